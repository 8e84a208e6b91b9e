//! Clouds from files of any format, which their names tell.

use super::{
    npy, ply,
    points::{ColorUnit, PointCloud},
};
use crate::error::{Error, Result};
use std::path::Path;

impl PointCloud {
    /// Reads a cloud with colours from a `.ply` file, or from an array with the columns x y z r g b (`[N, 6]`) in a
    /// `.npy` file or an `.npz` archive: its member `points` if it has one, else its only member.
    ///
    /// Integer colours of a PLY file count in 1/255, those of 16 bits in 1/65535. Floating-point colours and those of
    /// arrays count as they are, unless the file's largest is above 1: then all of them count in 1/255.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] if the extension is another one, if the content
    /// breaks its format, or if there is no point, no colour, a coordinate that is not finite or a colour out of range.
    pub fn read(path: &Path) -> Result<PointCloud> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        match extension.as_str() {
            "ply" => ply::read(path),
            "npy" | "npz" => PointCloud::from_rows(npy::read_either(path, "points")?, path),
            _ => {
                Err(Error::format(path, "clouds are read from .ply, .npy and .npz files; convert it to one"))
            }
        }
    }

    /// From the columns x y z r g b, `[N, 6]`; `path` is for messages.
    ///
    /// # Errors
    /// As [`PointCloud::read`].
    pub fn from_rows(array: npy::Array<f64>, path: &Path) -> Result<PointCloud> {
        let &[_, 6] = array.shape.as_slice() else {
            let message = format!("shape {:?} is not [N, 6], columns x y z r g b", array.shape);
            return Err(Error::format(path, message));
        };
        let (positions, colors) = array
            .data
            .as_chunks()
            .0
            .iter()
            .map(|&[x, y, z, r, g, b]| ([x, y, z], [r as f32, g as f32, b as f32]))
            .unzip();
        PointCloud::checked(positions, colors, ColorUnit::Guess, path)
    }
}
