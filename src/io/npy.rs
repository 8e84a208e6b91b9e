//! NumPy arrays: `.npy` files and the members of `.npz` archives.

use crate::error::{Error, Result};
use npyz::WriterBuilder;
use std::{
    fs::File,
    io::{BufReader, BufWriter, Read},
    path::Path,
};

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements, last axis fastest.
    pub data: Vec<T>,
}

/// Writes an array to a `.npy` file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn write<T: npyz::AutoSerialize + Copy>(path: &Path, shape: &[usize], data: &[T]) -> Result<()> {
    assert_eq!(shape.iter().product::<usize>(), data.len(), "the shape must hold the data");
    let file = File::create(path).map_err(Error::io(path))?;
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(BufWriter::new(file))
        .begin_nd()
        .map_err(Error::io(path))?;
    writer.extend(data.iter().copied()).and_then(|()| writer.finish()).map_err(Error::io(path))
}

/// Reads a `.npy` file whose elements have exactly the type `T`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it holds another element type.
pub fn read<T: npyz::Deserialize>(path: &Path) -> Result<Array<T>> {
    let file = File::open(path).map_err(Error::io(path))?;
    read_from(BufReader::new(file), path)
}

fn read_from<T: npyz::Deserialize>(from: impl Read, path: &Path) -> Result<Array<T>> {
    let npy = npyz::NpyFile::new(from).map_err(|e| Error::format(path, format!("not a NumPy array: {e}")))?;
    let shape: Vec<usize> = npy.shape().iter().map(|&n| n as usize).collect();
    if npy.order() != npyz::Order::C && shape.len() > 1 {
        return Err(Error::format(path, "column-major array; save it with numpy.ascontiguousarray"));
    }
    let data = npy.into_vec().map_err(|e| Error::format(path, e.to_string()))?;
    Ok(Array { shape, data })
}
