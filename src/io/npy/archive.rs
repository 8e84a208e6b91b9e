//! `.npz` archives, written.

use super::{Element, write_to};
use crate::{
    error::{Error, Result},
    io::staged::Staged,
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// An `.npz` archive being written, member by member.
pub struct ArchiveWriter {
    zip: ZipWriter<BufWriter<File>>,
    staged: Staged,
    path: PathBuf,
}

impl ArchiveWriter {
    /// Begins an archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn create(path: &Path) -> Result<ArchiveWriter> {
        let staged = Staged::create(path)?;
        let file = staged.file().try_clone().map_err(Error::io(path))?;
        Ok(ArchiveWriter { zip: ZipWriter::new(BufWriter::new(file)), staged, path: path.to_path_buf() })
    }

    /// Adds the array `name` (without `.npy`), compressed.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    ///
    /// # Panics
    /// If the shape does not hold the data.
    pub fn member<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
        data: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let large = shape.iter().product::<usize>() >= 1 << 28;
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(large);
        self.zip
            .start_file(format!("{name}.npy"), options)
            .map_err(std::io::Error::from)
            .and_then(|()| write_to(BufWriter::new(&mut self.zip), shape, data))
            .map_err(Error::io(&self.path))
    }

    /// Completes the archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn finish(self) -> Result<()> {
        let result = self.zip.finish().map_err(std::io::Error::from).and_then(|mut file| file.flush());
        result.map_err(Error::io(&self.path))?;
        self.staged.finish()
    }
}
