//! Point clouds of scanners: LAS, LAZ and E57, by the crates las and e57.

use super::{
    budget::{self, Budget},
    columns,
    contained::{contained, unreadable},
    points::{ColorUnit, PointCloud},
};
use crate::error::{Error, Result};
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Bytes that a point takes until it is in a cloud.
const POINT: usize = 96;

/// Bytes of the file that are read at once.
const BATCH: u64 = 1 << 22;

/// Points as they come.
#[derive(Default)]
struct Rows {
    positions: Vec<[f64; 3]>,
    colors: Vec<[f32; 3]>,
    intensities: Vec<f64>,
}

impl Rows {
    fn into_cloud(self, unit: ColorUnit, path: &Path) -> Result<PointCloud> {
        let Rows { positions, mut colors, intensities } = self;
        if colors.iter().flatten().all(|c| c.is_nan()) {
            colors.clear();
        }
        let uncolored = colors.is_empty().then(|| "its points have no colours".to_string());
        let cloud = PointCloud::checked(positions, colors, unit, path)?;
        Ok(PointCloud { intensities: columns::brightness(&intensities), uncolored, z_up: true, ..cloud })
    }
}

fn check_count(path: &Path, points: u64) -> Result<()> {
    let length = fs::metadata(path).map_err(Error::io(path))?.len();
    let room = Budget::of(length).take(usize::try_from(points).unwrap_or(usize::MAX), POINT);
    room.map_err(|what| Error::format(path, format!("says {points} points in {length} bytes, which {what}")))
}

/// Refuses a LAZ file whose table of chunks has more than the file has bytes: the crate makes room for all of them first.
fn check_chunks(path: &Path) -> Result<()> {
    let (mut file, length) = budget::open(path)?;
    // None where the file ends, which the crate says better.
    let mut bytes = |at: u64| -> Option<[u8; 8]> {
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let mut chunks = || {
        // The places of the header's fields, then of the table: before the points, or at the end of a stream.
        let compressed = bytes(104)?[0] & 0xc0 != 0;
        let points = u32::from_le_bytes(bytes(96)?[..4].try_into().ok()?);
        let table = match i64::from_le_bytes(bytes(points.into())?) {
            -1 => i64::from_le_bytes(bytes(length.checked_sub(8)?)?),
            table => table,
        };
        let count = u32::from_le_bytes(bytes(table.try_into().ok()?)?[4..].try_into().ok()?);
        compressed.then_some(u64::from(count))
    };
    match chunks() {
        Some(count) if count > length => {
            let message = format!("says {count} chunks in {length} bytes: truncated or damaged");
            Err(unreadable("LAS", message, path))
        }
        _ => Ok(()),
    }
}

/// Refuses a LAS file with an extended record that is longer than the file: the crate makes room for it first.
fn check_records(path: &Path) -> Result<()> {
    const HEAD: u64 = 60;
    let (mut file, length) = budget::open(path)?;
    let mut word = |at: u64| -> Option<u64> {
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    // The header of version 1.4 says where they begin, and how many they are.
    let has_them = word(24).is_some_and(|version| version >> 8 & 0xff >= 4);
    let (Some(mut at), Some(count), true) = (word(235), word(243).map(|n| n as u32), has_them) else {
        return Ok(());
    };
    for _ in 0..count {
        let Some(record) = word(at.saturating_add(20)) else { break };
        at = at.saturating_add(HEAD).saturating_add(record);
        if at > length {
            let message = format!("a record of {record} bytes in {length}: truncated or damaged");
            return Err(unreadable("LAS", message, path));
        }
    }
    Ok(())
}

/// Reads a `.las` or `.laz` file; its colours are of 16 bits, or of 8 if none is above 255.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read_las(path: &Path) -> Result<PointCloud> {
    contained("LAS", path, || las_points(path))
}

fn las_points(path: &Path) -> Result<PointCloud> {
    let broken = |e: las::Error| unreadable("LAS", e, path);
    check_chunks(path)?;
    check_records(path)?;
    let mut reader = las::Reader::from_path(path).map_err(broken)?;
    let promised = reader.header().number_of_points();
    check_count(path, promised)?;
    let along = reader.header().transforms();
    for (axis, transform) in [("x", along.x), ("y", along.y), ("z", along.z)] {
        if transform.scale == 0.0 || !transform.scale.is_finite() {
            return Err(unreadable(
                "LAS",
                format!("its header scales {axis} by {}: damaged", transform.scale),
                path,
            ));
        }
    }
    let mut rows = Rows::default();
    let mut batch = reader.read_points(0).map_err(broken)?;
    // The crate makes room for a batch before it reads: points may be said to have 65 thousand bytes each.
    let count = (BATCH / u64::from(reader.header().point_format().len()).max(1)).max(1);
    while reader.fill_points(count, &mut batch).map_err(broken)? > 0 {
        for point in batch.points() {
            let point = point.map_err(broken)?;
            rows.positions.push([point.x, point.y, point.z]);
            let color = point.color.map(|c| [c.red, c.green, c.blue].map(f32::from));
            rows.colors.push(color.unwrap_or([f32::NAN; 3]));
            rows.intensities.push(point.intensity.into());
        }
    }
    match rows.positions.len() as u64 == promised {
        true => rows.into_cloud(ColorUnit::Short, path),
        false => {
            let message = format!("ends after {} of {promised} points: truncated", rows.positions.len());
            Err(unreadable("LAS", message, path))
        }
    }
}

/// Reads an `.e57` file: the points of all its scans, in their common frame.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read_e57(path: &Path) -> Result<PointCloud> {
    contained("E57", path, || e57_points(path))
}

fn e57_points(path: &Path) -> Result<PointCloud> {
    let broken = |e: e57::Error| unreadable("E57", e, path);
    budget::open(path)?;
    let mut file = e57::E57Reader::from_file(path).map_err(broken)?;
    let scans = file.pointclouds();
    check_count(path, scans.iter().fold(0, |sum: u64, scan| sum.saturating_add(scan.records)))?;
    let mut rows = Rows::default();
    for scan in &scans {
        let mut points = file.pointcloud_simple(scan).map_err(broken)?;
        points.intensity_to_color(false);
        for point in points {
            let point = point.map_err(broken)?;
            rows.positions.push(match point.cartesian {
                e57::CartesianCoordinate::Valid { x, y, z } => [x, y, z],
                _ => [f64::NAN; 3],
            });
            let color = point.color.map(|c| [c.red, c.green, c.blue]);
            rows.colors.push(color.unwrap_or([f32::NAN; 3]));
            rows.intensities.push(point.intensity.map_or(f64::NAN, f64::from));
        }
    }
    rows.into_cloud(ColorUnit::Guess, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use las::{Builder, Color, Writer, point::Format};

    fn las(path: &Path, color: bool, scale: u16) -> Result<PointCloud> {
        let mut builder = Builder::from((1, 2));
        builder.point_format = Format::new(if color { 2 } else { 0 }).unwrap();
        builder.point_format.is_compressed = path.extension().is_some_and(|e| e == "laz");
        let mut writer = Writer::from_path(path, builder.into_header().unwrap()).unwrap();
        for i in 0..3u16 {
            let color = color.then(|| Color::new(255 * scale, 0, 51 * scale));
            let (x, intensity) = (f64::from(i) + 0.5, 10 * i);
            writer
                .write_point(las::Point { x, y: 2.0, z: -3.0, color, intensity, ..Default::default() })
                .unwrap();
        }
        writer.close().unwrap();
        read_las(path)
    }

    #[test]
    fn a_scale_of_nothing_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.las");
        las(&path, true, 1).unwrap();
        let mut file = fs::read(&path).unwrap();
        // The header's scale along y.
        file[139..147].fill(0);
        fs::write(&path, file).unwrap();
        let error = read_las(&path).unwrap_err().to_string();
        assert!(error.contains("its header scales y by 0: damaged"), "{error}");
    }

    #[test]
    fn las_and_laz() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.las", "a.laz"] {
            let path = dir.path().join(name);
            for scale in [1, 257] {
                let cloud = las(&path, true, scale).unwrap();
                assert_eq!(
                    (cloud.positions[1], cloud.colors[1]),
                    ([1.5, 2.0, -3.0], [1.0, 0.0, 0.2]),
                    "{name}"
                );
            }
            let plain = las(&path, false, 1).unwrap();
            assert_eq!(plain.intensities, [0.0, 0.5, 1.0]);
            assert!(plain.colors.is_empty() && plain.uncolored.unwrap().contains("no colours"));
            let whole = fs::read(&path).unwrap();
            if name == "a.laz" {
                let points = u32::from_le_bytes(whole[96..100].try_into().unwrap()) as usize;
                let table = i64::from_le_bytes(whole[points..points + 8].try_into().unwrap()) as usize;
                let mut endless = whole.clone();
                endless[table + 4..table + 8].fill(0xff);
                fs::write(&path, endless).unwrap();
                assert!(read_las(&path).unwrap_err().to_string().contains("4294967295 chunks"));
            }
            for end in (0..whole.len()).step_by(7) {
                fs::write(&path, &whole[..end]).unwrap();
                let error = read_las(&path).unwrap_err().to_string();
                assert!(error.contains(name) && error.contains("LAS"), "cut after {end}: {error}");
            }
        }
    }

    #[test]
    fn e57_with_a_point_that_is_no_place() {
        use e57::{E57Writer, Record, RecordValue};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.e57");
        let mut writer = E57Writer::from_file(&path, "file").unwrap();
        let prototype = vec![
            Record::CARTESIAN_X_F64,
            Record::CARTESIAN_Y_F64,
            Record::CARTESIAN_Z_F64,
            Record::COLOR_RED_U8,
            Record::COLOR_GREEN_U8,
            Record::COLOR_BLUE_U8,
        ];
        let mut scan = writer.add_pointcloud("scan", prototype).unwrap();
        for x in [1.0, f64::NAN] {
            let place = [x, 2.0, 3.0].map(RecordValue::Double);
            let color = [255, 0, 51].map(RecordValue::Integer);
            scan.add_point(place.into_iter().chain(color).collect()).unwrap();
        }
        scan.finalize().unwrap();
        writer.finalize().unwrap();
        let cloud = read_e57(&path).unwrap();
        assert_eq!((cloud.positions[0], cloud.colors[0], cloud.len()), ([1.0, 2.0, 3.0], [1.0, 0.0, 0.2], 2));
        assert!(cloud.positions[1][0].is_nan());
        let whole = fs::read(&path).unwrap();
        for end in (0..whole.len()).step_by(64) {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(
                read_e57(&path).unwrap_err().to_string().contains("a.e57: not a readable E57 file"),
                "{end}"
            );
        }
    }
}
