//! `.npz` archives, written.

use super::{Element, write_to};
use crate::{
    error::{Error, Result},
    io::staged::Staged,
};
use std::{
    fs::File,
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// An `.npz` archive being written, member by member.
pub struct ArchiveWriter {
    zip: ZipWriter<Abandoning<BufWriter<File>>>,
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
        Ok(ArchiveWriter {
            zip: ZipWriter::new(Abandoning::new(BufWriter::new(file))),
            staged,
            path: path.to_path_buf(),
        })
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
            .map_err(io::Error::from)
            .and_then(|()| write_to(BufWriter::new(&mut self.zip), shape, data))
            .map_err(Error::io(&self.path))
    }

    /// Completes the archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn finish(self) -> Result<()> {
        let result = self.zip.finish().map_err(io::Error::from).and_then(Abandoning::finish);
        result.map_err(Error::io(&self.path))?;
        self.staged.finish()
    }
}

/// A file that is abandoned when it fails: what is written then is dropped, as if it were there. A `ZipWriter` that is dropped
/// completes its file, and prints what goes wrong.
struct Abandoning<W> {
    file: W,
    failed: bool,
    at: u64,
    end: u64,
}

impl<W: Write> Abandoning<W> {
    fn new(file: W) -> Abandoning<W> {
        Abandoning { file, failed: false, at: 0, end: 0 }
    }

    fn finish(mut self) -> io::Result<()> {
        match self.failed {
            true => Err(io::Error::other("an earlier write failed")),
            false => self.file.flush(),
        }
    }

    fn attempt<T>(&mut self, dropped: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.failed {
            return Ok(dropped);
        }
        act(&mut self.file).inspect_err(|e| self.failed = e.kind() != io::ErrorKind::Interrupted)
    }
}

impl<W: Write> Write for Abandoning<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.attempt(bytes.len(), |file| file.write(bytes))?;
        self.at += written as u64;
        self.end = self.end.max(self.at);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt((), W::flush)
    }
}

impl<W: Write + Seek> Seek for Abandoning<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.at = self.attempt(at, |file| file.seek(SeekFrom::Start(at)))?;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk(io::Cursor<Vec<u8>>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.position() as usize + bytes.len() > self.1 {
                true => Err(io::ErrorKind::StorageFull.into()),
                false => self.0.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn an_archive_on_a_full_disk_fails_once() {
        let content: Vec<u8> = (0..40_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        let written = |room: usize| {
            let mut zip = ZipWriter::new(Abandoning::new(Disk(io::Cursor::default(), room)));
            for name in ["a", "b"] {
                zip.start_file(name, SimpleFileOptions::default())?;
                zip.write_all(&content)?;
            }
            zip.finish()?.finish()
        };
        written(usize::MAX).unwrap();
        // Dropped after the error, in whatever state it is: it neither panics nor prints.
        for room in (0..200).map(|i| i * 397) {
            assert_eq!(written(room).unwrap_err().kind(), io::ErrorKind::StorageFull, "{room}");
        }
    }
}
