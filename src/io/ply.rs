//! Point clouds as PLY files: ascii, binary little and big endian.

use super::points::{ColorUnit, PointCloud};
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, de};
use serde_ply::{ElementDef, PlyFormat, PlyReader, PropertyType, ScalarType};
use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    marker::PhantomData,
    path::Path,
};

/// No point cloud's header is longer; a longer one is a file of another kind.
const HEADER_LIMIT: u64 = 1 << 20;

/// Reads the `vertex` element's x, y, z, red, green, blue, of any numeric type; everything else is skipped.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read(path: &Path) -> Result<PointCloud> {
    let file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    parse(BufReader::new(file), length, path)
}

/// Reads a PLY file of `length` bytes from anywhere; `path` is for messages.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn parse(mut from: impl BufRead, length: u64, path: &Path) -> Result<PointCloud> {
    let header = header(&mut from, path)?;
    let body = length.saturating_sub(header.len() as u64);
    // serde-ply wants white space after the last number of an ascii file; not every program writes it.
    let tail: &[u8] = if header.contains("format ascii") { b"\n" } else { b"" };
    let whole = header.as_bytes().chain(from).chain(tail);
    let broken = |e: serde_ply::DeserializeError| Error::format(path, format!("not a PLY file: {}", e.0));
    let mut reader = PlyReader::from_reader(whole).map_err(broken)?;
    let format = reader.header().format;
    while let Some(element) = reader.current_element() {
        check_count(element, format, body, path)?;
        if element.name != "vertex" {
            reader.next_element::<Rows<Skipped>>().map_err(|e| Error::format(path, e.0.to_string()))?;
            continue;
        }
        if let Some(name) = ["x", "y", "z"].into_iter().find(|name| !element.has_property(name)) {
            return Err(Error::format(path, format!("its vertices have no property {name}")));
        }
        let unit = color_unit(element, path)?;
        let rows = reader.next_element::<Rows<Vertex>>().map_err(|e| Error::format(path, e.0.to_string()))?.0;
        let positions = rows.iter().map(|v| [v.x, v.y, v.z]).collect();
        let colors = rows.iter().map(|v| [v.red, v.green, v.blue]).collect();
        return PointCloud::checked(positions, colors, unit, path);
    }
    Err(Error::format(path, "has no element named vertex"))
}

/// The header, up to and including its last line.
fn header(from: &mut impl BufRead, path: &Path) -> Result<String> {
    let mut header = Vec::new();
    let mut limited = from.take(HEADER_LIMIT);
    loop {
        let start = header.len();
        limited.read_until(b'\n', &mut header).map_err(Error::io(path))?;
        let line = header[start..].trim_ascii();
        if start == 0 && line != b"ply" {
            return Err(Error::format(path, "not a PLY file: its first line is not `ply`"));
        }
        if line == b"end_header" && header.ends_with(b"\n") {
            // Comments may be in any encoding.
            return Ok(String::from_utf8_lossy(&header).into_owned());
        }
        if header.len() == start || limited.limit() == 0 {
            return Err(Error::format(path, "not a PLY file: its header has no line `end_header`"));
        }
    }
}

/// Refuses counts that the file has no room for, before anything is read or allocated.
fn check_count(element: &ElementDef, format: PlyFormat, body: u64, path: &Path) -> Result<()> {
    let ElementDef { name, count, properties } = element;
    let size = |t| match t {
        _ if format == PlyFormat::Ascii => 2, // a digit and a space
        ScalarType::I8 | ScalarType::U8 => 1,
        ScalarType::I16 | ScalarType::U16 => 2,
        ScalarType::I32 | ScalarType::U32 | ScalarType::F32 => 4,
        ScalarType::F64 => 8,
    };
    let row: u64 = properties
        .iter()
        .map(|p| match p.property_type {
            PropertyType::Scalar(t) | PropertyType::List { count_type: t, .. } => size(t),
        })
        .sum();
    if *count > 0 && row == 0 {
        return Err(Error::format(path, format!("its {count} elements named {name} have no properties")));
    }
    // One byte more: the last line of an ascii file need not end.
    match (*count as u64).checked_mul(row) {
        Some(needed) if needed <= body + 1 => Ok(()),
        _ => Err(Error::format(
            path,
            format!(
                "the header says {count} elements named {name} of {row} bytes or more, but only {body} bytes follow: \
                 the file is truncated or damaged"
            ),
        )),
    }
}

fn color_unit(vertex: &ElementDef, path: &Path) -> Result<ColorUnit> {
    let mut unit = None;
    for name in ["red", "green", "blue"] {
        let this = match vertex.get_property(name).map(|p| &p.property_type) {
            Some(PropertyType::Scalar(ScalarType::F32 | ScalarType::F64)) => ColorUnit::Guess,
            Some(PropertyType::Scalar(ScalarType::I16 | ScalarType::U16)) => ColorUnit::UpTo(65535.0),
            Some(PropertyType::Scalar(_)) => ColorUnit::UpTo(255.0),
            Some(PropertyType::List { .. }) => {
                return Err(Error::format(path, format!("its vertices' {name} is a list, not a number")));
            }
            None => {
                return Err(Error::format(
                    path,
                    format!(
                        "its vertices have no property {name}; the method needs colours (red, green, blue). Give the \
                         points some, for example one grey for all in MeshLab: Filters > Color Creation > Vertex Color Filling"
                    ),
                ));
            }
        };
        if *unit.get_or_insert(this) != this {
            return Err(Error::format(path, "its vertices' red, green and blue have different types"));
        }
    }
    Ok(unit.unwrap_or(ColorUnit::Guess))
}

#[derive(Deserialize)]
struct Vertex {
    x: f64,
    y: f64,
    z: f64,
    red: f32,
    green: f32,
    blue: f32,
}

#[derive(Deserialize)]
struct Skipped {}

/// All rows of an element; an error says which row it met.
struct Rows<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Rows<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Rows<T>, D::Error> {
        struct Visitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
            type Value = Rows<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("the rows of an element")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Rows<T>, A::Error> {
                let mut rows = Vec::new();
                loop {
                    match seq.next_element() {
                        Ok(Some(row)) => rows.push(row),
                        Ok(None) => return Ok(Rows(rows)),
                        Err(e) => {
                            let message = format!(
                                "row {} cannot be read, the file is damaged or truncated: {e}",
                                rows.len()
                            );
                            return Err(de::Error::custom(message));
                        }
                    }
                }
            }
        }
        from.deserialize_seq(Visitor(PhantomData))
    }
}

/// Writes a binary little-endian PLY file: x y z as `double`, red green blue as `uchar`, then the named columns as `int`,
/// each of N values. MeshLab and Open3D open it.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Invalid`] if the lengths differ.
pub fn write(path: &Path, cloud: &PointCloud, columns: &[(&str, &[i32])]) -> Result<()> {
    let n = cloud.positions.len();
    if cloud.colors.len() != n || columns.iter().any(|(_, column)| column.len() != n) {
        return Err(Error::invalid(format!("PLY: colours and columns must have the {n} rows of the points")));
    }
    let file = File::create(path).map_err(Error::io(path))?;
    write_to(BufWriter::new(file), cloud, columns).map_err(Error::io(path))
}

fn write_to(mut to: impl Write, cloud: &PointCloud, columns: &[(&str, &[i32])]) -> std::io::Result<()> {
    write!(to, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", cloud.positions.len())?;
    write!(to, "property double x\nproperty double y\nproperty double z\n")?;
    write!(to, "property uchar red\nproperty uchar green\nproperty uchar blue\n")?;
    for (name, _) in columns {
        writeln!(to, "property int {name}")?;
    }
    writeln!(to, "end_header")?;
    for (i, (position, color)) in cloud.positions.iter().zip(&cloud.colors).enumerate() {
        for x in position {
            to.write_all(&x.to_le_bytes())?;
        }
        to.write_all(&color.map(|c| (c * 255.0).round() as u8))?;
        for (_, column) in columns {
            to.write_all(&column[i].to_le_bytes())?;
        }
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &[u8]) -> Result<PointCloud, String> {
        parse(file, file.len() as u64, Path::new("a.ply")).map_err(|e| e.to_string())
    }

    fn binary(order: &str, number: impl Fn(f32) -> [u8; 4]) -> Vec<u8> {
        let mut file = format!(
            "ply\r\nformat binary_{order}_endian 1.0\r\ncomment caf\u{e9}\r\nelement face 1\nproperty list uchar int i\n\
             element vertex 2\nproperty float x\nproperty float quality\nproperty float y\nproperty float z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\nend_header\n"
        )
        .into_bytes();
        file.extend([2, 9, 9, 9, 9, 9, 9, 9, 9]);
        for colors in [[255, 0, 51, 255], [0, 255, 102, 255]] {
            for x in [1.0, f32::NAN, 2.0, 3.0] {
                file.extend(number(x));
            }
            file.extend(colors);
        }
        file
    }

    fn ascii(vertex: &str, rows: &str) -> Vec<u8> {
        let properties: String = vertex.split(", ").map(|p| format!("property {p}\n")).collect();
        let count = rows.lines().count();
        format!("ply\nformat ascii 1.0\nelement vertex {count}\n{properties}end_header\n{rows}").into_bytes()
    }

    const XYZRGB: &str = "double x, double y, double z, float red, float green, float blue";

    #[test]
    fn either_byte_order_with_other_properties_and_faces() {
        let expected = PointCloud {
            positions: vec![[1.0, 2.0, 3.0]; 2],
            colors: vec![[1.0, 0.0, 0.2], [0.0, 1.0, 0.4]],
        };
        assert_eq!(parsed(&binary("little", f32::to_le_bytes)).unwrap(), expected);
        assert_eq!(parsed(&binary("big", f32::to_be_bytes)).unwrap(), expected);
        let mut latin1 = binary("big", f32::to_be_bytes);
        let at = latin1.windows(2).position(|pair| pair == "\u{e9}".as_bytes()).unwrap();
        latin1.splice(at..at + 2, [0xe9]);
        assert_eq!(parsed(&latin1).unwrap(), expected);
    }

    #[test]
    fn ascii_colors_in_their_units() {
        let colors = |file: Vec<u8>| parsed(&file).unwrap().colors;
        assert_eq!(colors(ascii(XYZRGB, "0 0 0 0 .5 1\n1 1e-3 1 1 1 1")), [[0.0, 0.5, 1.0], [1.0; 3]]);
        assert_eq!(colors(ascii(XYZRGB, "0 0 0 0 51 255")), [[0.0, 0.2, 1.0]]);
        let short = XYZRGB.replace("float", "ushort");
        assert_eq!(colors(ascii(&short, "0 0 0 0 13107 65535")), [[0.0, 0.2, 1.0]]);
    }

    #[test]
    fn what_is_written_is_read() {
        let cloud = PointCloud { positions: vec![[0.1, -2e9, 3.0]], colors: vec![[1.0, 0.2, 0.0]] };
        let mut file = Vec::new();
        write_to(&mut file, &cloud, &[("label", &[-1]), ("instance", &[7])]).unwrap();
        assert_eq!(parsed(&file).unwrap(), cloud);
    }

    #[test]
    fn every_cut_and_every_odd_value_is_an_error_that_says_so() {
        let whole = binary("little", f32::to_le_bytes);
        for end in 0..whole.len() {
            assert!(parsed(&whole[..end]).is_err(), "cut after {end} bytes");
        }
        let says = |file: Vec<u8>, words: &str| {
            let message = parsed(&file).unwrap_err();
            assert!(message.starts_with("a.ply: ") && message.contains(words), "{message}");
        };
        says(ascii(XYZRGB, "0 0 0 0 0 0\n0 nan 0 0 0 0"), "point 1 lies at [0.0, NaN, 0.0]");
        says(ascii(XYZRGB, "0 0 0 0 0 0\n0 0 zero 0 0 0"), "row 1");
        says(ascii(XYZRGB, "0 0 0 0 0 300"), "colours must lie in 0..=255");
        says(ascii(XYZRGB, ""), "no points");
        says(ascii("float x, float y, float z", "0 0 0"), "no property red");
        says(ascii("float x, float y, uchar red, uchar green, uchar blue", "0 0 0 0 0"), "no property z");
        says(ascii(&XYZRGB.replace("float red", "uchar red"), "0 0 0 0 0 0"), "different types");
        says(
            b"ply\nformat ascii 1.0\nelement vertex 9000000000000000000\nproperty float x\nend_header\n"
                .into(),
            "truncated",
        );
        says(
            b"ply\nformat ascii 1.0\nelement nothing 9000000000000000000\nend_header\n".into(),
            "no properties",
        );
        says(b"solid cube\n".into(), "not a PLY file");
        says([&b"ply\n"[..], &vec![b'x'; 3 << 20]].concat(), "end_header");
    }
}
