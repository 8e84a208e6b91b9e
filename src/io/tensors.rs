//! Named arrays in one file, with a note: safetensors.
//!
//! The note is JSON under the metadata's one key `partstad` (several keys would be written in random order).

use super::{
    budget,
    npy::{self, Array, Element},
    staged,
};
use crate::error::{Error, Result};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

const KEY: &str = "partstad";

/// The content of a file.
pub struct Tensors {
    path: PathBuf,
    data: Vec<u8>,
    /// Where the arrays begin in `data`.
    start: usize,
    header: Metadata,
}

impl Tensors {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if it is not a safetensors file.
    pub fn read(path: &Path) -> Result<Tensors> {
        Tensors::parse(budget::read_all(path)?, path)
    }

    /// The content of a file that is in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Format`] if it is not a safetensors file.
    pub fn parse(data: Vec<u8>, path: &Path) -> Result<Tensors> {
        let (length, header) = SafeTensors::read_metadata(&data)
            .map_err(|e| Error::format(path, format!("not a readable safetensors file: {e}")))?;
        Ok(Tensors { path: path.to_path_buf(), data, start: 8 + length, header })
    }

    /// The names of the arrays, in the order of their data.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// A value of the metadata that another program wrote.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The note.
    ///
    /// # Errors
    /// [`Error::Format`] if there is none or it does not fit `T`. `what`: what the file should be, for the message.
    pub fn note<T: DeserializeOwned>(&self, what: &str) -> Result<T> {
        let note = self
            .metadata(KEY)
            .ok_or_else(|| self.unfit(format!("not {what}: its metadata lacks `{KEY}`")))?;
        serde_json::from_str(note).map_err(|e| self.unfit(format!("not {what}: {e} in its metadata")))
    }

    /// The shape of an array.
    ///
    /// # Errors
    /// [`Error::Format`] if there is none of this name.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        match self.header.info(name) {
            Some(info) => Ok(&info.shape),
            None => Err(self.unfit(format!("holds {:?}, but no `{name}`", self.names()))),
        }
    }

    /// An array; numbers of another type are converted as by [`npy::read`].
    ///
    /// # Errors
    /// [`Error::Format`] if there is none of this name or an element does not fit `T`.
    pub fn get<T: Element>(&self, name: &str) -> Result<Array<T>> {
        let Some(info) = self.header.info(name) else {
            return Err(self.unfit(format!("holds {:?}, but no `{name}`", self.names())));
        };
        let bytes = &self.data[self.start..][info.data_offsets.0..info.data_offsets.1];
        let (kind, size) = match info.dtype {
            Dtype::BOOL => (b'b', 1),
            Dtype::U8 => (b'u', 1),
            Dtype::U32 => (b'u', 4),
            Dtype::U64 => (b'u', 8),
            Dtype::I32 => (b'i', 4),
            Dtype::I64 => (b'i', 8),
            Dtype::F16 => (b'f', 2),
            Dtype::F32 => (b'f', 4),
            Dtype::F64 => (b'f', 8),
            other => return Err(self.unfit(format!("`{name}` has elements of type {other:?}, unknown here"))),
        };
        let data = npy::elements(kind, size, bytes).map_err(|number| {
            self.unfit(format!("`{name}` holds {number}, which does not fit {}", T::DESCR))
        })?;
        Ok(Array { shape: info.shape.clone(), data })
    }

    /// An array of a known shape.
    ///
    /// # Errors
    /// As [`Tensors::get`]; also if the shape is another.
    pub fn shaped<T: Element>(&self, name: &str, shape: &[usize]) -> Result<Vec<T>> {
        match self.shape(name)? {
            found if found == shape => Ok(self.get(name)?.data),
            found => Err(self.unfit(format!("`{name}` has shape {found:?}, not {shape:?}"))),
        }
    }

    /// An error that names the file.
    pub fn unfit(&self, message: impl Into<String>) -> Error {
        Error::format(&self.path, message)
    }
}

/// Arrays to be written.
#[derive(Default)]
pub struct Writer {
    arrays: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Writer {
    /// Adds an array.
    ///
    /// # Panics
    /// If the shape does not hold the data.
    pub fn add<T: Element>(&mut self, name: &str, shape: &[usize], data: &[T]) {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "the shape must hold the data");
        let dtype = match T::DESCR {
            "|b1" => Dtype::BOOL,
            "|u1" => Dtype::U8,
            "<u2" => Dtype::U16,
            "<u4" => Dtype::U32,
            "<i4" => Dtype::I32,
            "<i8" => Dtype::I64,
            "<f4" => Dtype::F32,
            _ => Dtype::F64,
        };
        let mut bytes = Vec::with_capacity(size_of_val(data));
        data.iter().for_each(|x| x.write(&mut bytes).expect("memory takes all"));
        self.arrays.push((name.to_string(), dtype, shape.to_vec(), bytes));
    }

    /// Writes a file with a note. A reader, or a process that is killed, finds either the old file or the whole new one.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(self, path: &Path, note: &impl Serialize) -> Result<()> {
        let note = serde_json::to_string(note).expect("notes are plain data");
        let views = self.arrays.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).expect("the shape holds the data"))
        });
        let file = safetensors::serialize(views, Some(HashMap::from([(KEY.to_string(), note)])))
            .map_err(|e| Error::io(path)(std::io::Error::other(e)))?;
        staged::write_all(path, &file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.safetensors");
        let write = || {
            let mut writer = Writer::default();
            writer.add("half", &[2, 2], &[0.5f32, -1.0, 0.0, 3.5]);
            writer.add("wide", &[1], &[1e-300f64]);
            writer.add("none", &[0, 3], &[0u32; 0]);
            writer.write(&path, &("note", 7)).unwrap();
            fs::read(&path).unwrap()
        };
        assert_eq!(write(), write());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        let file = Tensors::read(&path).unwrap();
        assert_eq!(file.note::<(String, u32)>("a pair").unwrap(), ("note".to_string(), 7));
        assert_eq!(file.shaped::<f64>("half", &[2, 2]).unwrap(), [0.5, -1.0, 0.0, 3.5]);
        assert_eq!(file.get::<f64>("wide").unwrap().data, [1e-300]);
        assert_eq!(file.get::<u32>("none").unwrap().shape, [0, 3]);
        for (error, names) in [
            (file.get::<f32>("third").unwrap_err(), "no `third`"),
            (file.get::<u32>("half").unwrap_err(), "holds 0.5"),
            (file.shaped::<f32>("half", &[4]).unwrap_err(), "not [4]"),
            (file.note::<u32>("a count").unwrap_err(), "not a count"),
        ] {
            assert!(
                error.to_string().contains(names) && error.to_string().contains("a.safetensors"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_file_is_refused() {
        for bytes in [&b""[..], b"not", &[0xff; 64], b"\x02\0\0\0\0\0\0\0{}x"] {
            let error = Tensors::parse(bytes.to_vec(), Path::new("x.safetensors")).err().expect("refused");
            assert!(error.to_string().contains("x.safetensors"), "{error}");
        }
    }
}
