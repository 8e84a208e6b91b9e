//! Point clouds written as PLY files.

use crate::{
    error::{Error, Result},
    io::{points::PointCloud, staged},
};
use std::{io::Write, path::Path};

/// Writes a binary little-endian PLY file: x y z as `double`, red green blue as `uchar`, then the named columns as `int`,
/// each of N values. MeshLab and Open3D open it.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Invalid`] if the lengths differ.
pub fn write(path: &Path, cloud: &PointCloud, columns: &[(&str, &[i32])]) -> Result<()> {
    write_colored(path, &cloud.positions, &cloud.colors, columns)
}

/// The same of positions in other colours than their cloud's, `[N]` each; colours in [0, 1].
///
/// # Errors
/// As [`write()`].
pub fn write_colored(
    path: &Path,
    positions: &[[f64; 3]],
    colors: &[[f32; 3]],
    columns: &[(&str, &[i32])],
) -> Result<()> {
    let n = positions.len();
    if colors.len() != n || columns.iter().any(|(_, column)| column.len() != n) {
        return Err(Error::invalid(format!("PLY: colours and columns must have the {n} rows of the points")));
    }
    staged::write(path, |to| write_to(to, positions, colors, columns))
}

pub(super) fn write_to(
    mut to: impl Write,
    positions: &[[f64; 3]],
    colors: &[[f32; 3]],
    columns: &[(&str, &[i32])],
) -> std::io::Result<()> {
    write!(to, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", positions.len())?;
    write!(to, "property double x\nproperty double y\nproperty double z\n")?;
    write!(to, "property uchar red\nproperty uchar green\nproperty uchar blue\n")?;
    for (name, _) in columns {
        writeln!(to, "property int {name}")?;
    }
    writeln!(to, "end_header")?;
    for (i, (position, color)) in positions.iter().zip(colors).enumerate() {
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
