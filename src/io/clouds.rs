//! Clouds from files of any format, which their names tell.

#[cfg(feature = "scans")]
use super::scans;
use super::{
    budget::Budget,
    columns::{self, Column},
    extension,
    npy::{self, content::Content},
    pcd, ply,
    points::{ColorUnit, PointCloud},
    text,
};
use crate::error::{Error, Result};
use std::path::Path;

const EXTENSIONS: &[&str] = &["ply", "pcd", "npy", "npz", "xyz", "txt", "csv", "asc", "pts", "xyzrgb"];
/// Those that need the feature `scans`.
const SCANS: &[&str] = &["las", "laz", "e57"];

/// The extensions in words.
fn formats() -> String {
    let dotted = |names: &[&str]| names.iter().map(|name| format!(".{name}")).collect::<Vec<_>>().join(", ");
    match cfg!(feature = "scans") {
        true => dotted(&[EXTENSIONS, SCANS].concat()),
        false => format!("{} ({} need the feature `scans`)", dotted(EXTENSIONS), dotted(SCANS)),
    }
}

const MESHES: &str =
    if cfg!(feature = "meshes") { ", meshes from .glb, .gltf, .obj, .ply and .stl files" } else { "" };

impl PointCloud {
    /// Whether the extension is one of those that [`PointCloud::read`] knows.
    pub fn is_readable(path: &Path) -> bool {
        let extension = &&extension(path)[..];
        EXTENSIONS.contains(extension) || cfg!(feature = "scans") && SCANS.contains(extension)
    }

    /// Reads a cloud from a file of any of these formats, by its extension:
    /// - `.ply`, `.pcd`; with the feature `scans` also `.las`, `.laz` and `.e57`;
    /// - text in `.xyz`, `.txt`, `.csv`, `.asc`, `.pts` and `.xyzrgb`;
    /// - a `.npy` file or `.npz` archive of columns x y z r g b (`[N, 6]`), records with these names, or arrays of points and
    ///   of colours.
    ///
    /// Integer colours of 8 bits count in 1/255, those of 16 bits in 1/65535 if any is above 255. Floating-point colours and
    /// those of plain arrays count as they are; in 1/255 if any is above 2, or above 1 and all are whole; in 1/65535 if any
    /// is above 4095. A file without colours is read; [`PointCloud::uncolored`] says why there are none.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] if the extension is another one, if the content
    /// breaks its format, or if there is no point or a colour out of range.
    pub fn read(path: &Path) -> Result<PointCloud> {
        match extension(path).as_str() {
            "ply" => ply::read(path),
            "npy" => of_content(Content::read(path)?, path),
            "npz" => of_archive(path),
            "pcd" => pcd::read(path),
            "xyz" | "txt" | "csv" | "asc" | "pts" | "xyzrgb" => text::read(path),
            #[cfg(feature = "scans")]
            "las" | "laz" => scans::read_las(path),
            #[cfg(feature = "scans")]
            "e57" => scans::read_e57(path),
            "glb" | "gltf" | "obj" | "stl" if cfg!(feature = "meshes") => {
                Err(Error::format(path, "is a mesh, not a cloud; read it as a mesh, and draw points on it"))
            }
            _ => Err(Error::format(
                path,
                format!("clouds are read from {} files{MESHES}; convert it to one", formats()),
            )),
        }
    }

    /// From the columns x y z r g b, `[N, 6]`, or x y z, `[N, 3]`; `path` is for messages.
    ///
    /// # Errors
    /// As [`PointCloud::read`].
    pub fn from_rows(array: npy::Array<f64>, path: &Path) -> Result<PointCloud> {
        let width = array.shape.last().copied().filter(|_| array.shape.len() > 1);
        let Some(width @ (3 | 6)) = width else {
            let message = format!("shape {:?} is not [N, 6], columns x y z r g b", array.shape);
            return Err(Error::format(path, message));
        };
        let rows = || array.data.chunks_exact(width);
        let positions = rows().map(|row| [row[0], row[1], row[2]]).collect();
        let (colors, uncolored): (Vec<[f32; 3]>, _) = match width {
            6 => (rows().map(|row| [3, 4, 5].map(|i| row[i] as f32)).collect(), None),
            _ => (
                vec![],
                Some(format!("shape {:?} has no colours: columns x y z r g b are needed", array.shape)),
            ),
        };
        let cloud = PointCloud::checked(positions, colors, ColorUnit::Guess, path)?;
        Ok(PointCloud { uncolored, ..cloud })
    }
}

fn of_content(content: Content, path: &Path) -> Result<PointCloud> {
    match content {
        Content::Numbers(_, array) => PointCloud::from_rows(array, path),
        Content::Records(columns, names) => columns::cloud(columns, "records", &names, None, path),
    }
}

/// An archive's only array, its `points` if they have colours, or arrays of points and of colours.
fn of_archive(path: &Path) -> Result<PointCloud> {
    let names = npy::members(path)?;
    // Of all arrays together.
    let mut budget = Budget::of(std::fs::metadata(path).map_err(Error::io(path))?.len());
    if let [only] = &names[..] {
        return of_content(Content::member(path, only, &mut budget)?, path);
    }
    let (mut found, mut rows): (Vec<Column>, Option<(&str, usize)>) = (vec![], None);
    // Where colours have an array of their own, six columns of points are places and normals.
    let colored = names.iter().any(|name| columns::is_colors(name));
    for name in &names {
        if !columns::is_known(name) {
            continue;
        }
        match Content::member(path, name, &mut budget)? {
            Content::Numbers(_, array)
                if array.shape.last() == Some(&6) && columns::is_points(name) && !colored =>
            {
                return PointCloud::from_rows(array, path);
            }
            Content::Numbers(scalar, array) => {
                let width = if array.shape.len() > 1 { array.shape[array.shape.len() - 1] } else { 1 };
                let count = array.data.len() / width.max(1);
                if let Some((other, n)) = rows.replace((name, count)).filter(|&(_, n)| n != count) {
                    let message =
                        format!("`{other}` has {n} rows, `{name}` {count}; they must be of the same points");
                    return Err(Error::format(path, message));
                }
                for i in 0..width.min(4) {
                    let name = if array.shape.len() > 1 { format!("{name}:{i}") } else { name.clone() };
                    let Some(mut column) = Column::wanted(&name, scalar) else { continue };
                    budget.take(count, size_of::<f64>()).map_err(|what| Error::format(path, what))?;
                    column.values = array.data.iter().skip(i).step_by(width).copied().collect();
                    found.push(column);
                }
            }
            records => return of_content(records, path),
        }
    }
    if found.is_empty() {
        return Err(Error::format(path, format!("holds {names:?}, but no `points`")));
    }
    columns::cloud(found, "arrays", &names, None, path)
}
