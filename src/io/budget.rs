//! What reading one file may cost.
//!
//! A small file must not fill the memory: by compression, by a count in its header, by many names for one array, or by
//! numbers that become wider. Where the caller knows the shape that it needs, the shape is checked before the data is
//! read. Else what is read must stay within a multiple of the file's length. Both must fit the memory that is free.

use crate::{
    error::{Error, Result},
    memory,
};
use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
};

/// So much any file may become; where files are made up, little, so that amplification shows.
const LEAST: u64 = if cfg!(fuzzing) { 8 << 20 } else { 256 << 20 };
/// Bytes in memory a byte of a larger file. Text of short numbers becomes thirty times as large.
const GROWTH: u64 = 64;
/// No file of settings is larger.
pub(crate) const SETTINGS: u64 = 16 << 20;

/// Bytes of memory that may still be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    left: u64,
    all: u64,
    why: &'static str,
}

impl Budget {
    /// For what a file of `length` bytes holds.
    pub fn of(length: u64) -> Budget {
        let all = length.saturating_mul(GROWTH).max(LEAST);
        let free = Budget::of_memory();
        if free.all < all {
            free
        } else {
            Budget { left: all, all, why: "are the most for a file of this size" }
        }
    }

    /// For what is of a shape that the caller asked for.
    pub fn of_memory() -> Budget {
        let all = memory::free().unwrap_or(u64::MAX);
        Budget { left: all, all, why: "are free" }
    }

    /// Takes room for `count` values of `size` bytes each.
    ///
    /// # Errors
    /// In words, if there is not so much left.
    pub fn take(&mut self, count: usize, size: usize) -> Result<(), String> {
        let asked = (count as u64).saturating_mul(size as u64);
        match self.left.checked_sub(asked) {
            Some(left) => self.left = left,
            None => {
                let (asked, all) = (asked.saturating_add(self.all - self.left) >> 20, self.all >> 20);
                return Err(format!("would take {asked} MiB of memory; {all} MiB {}", self.why));
            }
        }
        Ok(())
    }
}

/// A file to read, and its length. What is no file, and might never end, is refused.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`].
pub(crate) fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let found = fs::metadata(path).map_err(Error::io(path))?;
    if !found.is_file() {
        return Err(Error::format(path, "is not a file"));
    }
    Ok((BufReader::new(File::open(path).map_err(Error::io(path))?), found.len()))
}

/// The content of a file or pipe of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] if it is larger.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    read_opened(File::open(path).map_err(Error::io(path))?, path, limit)
}

fn read_opened(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let found = file.metadata().map_err(Error::io(path))?;
    let length = found.len();
    // What is no file may never end.
    let limit = if found.is_file() { limit } else { limit.min(LEAST) };
    let too_large = || Error::format(path, format!("has more than {limit} bytes, the limit for such a file"));
    if length > limit {
        return Err(too_large());
    }
    let mut content = Vec::with_capacity(length as usize);
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(Error::io(path))?;
    if content.len() as u64 > limit { Err(too_large()) } else { Ok(content) }
}

/// The content of a file that is read as a whole, whatever its length, if the memory holds it.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_all(path: &Path) -> Result<Vec<u8>> {
    read_all_opened(File::open(path).map_err(Error::io(path))?, path)
}

/// The same of a file that is open; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_all_opened(file: File, path: &Path) -> Result<Vec<u8>> {
    read_opened(file, path, memory::free().unwrap_or(u64::MAX) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends() {
        let mut budget = Budget { left: 100, all: 100, why: "are there" };
        budget.take(10, 8).unwrap();
        assert!(budget.take(usize::MAX, 8).unwrap_err().contains("MiB are there"));
        assert!(budget.take(3, 8).is_err());
        budget.take(5, 4).unwrap();
        assert!(Budget::of(1).take(1, 255 << 20).is_ok());
        let refused = Budget::of(1).take(1, 257 << 20).unwrap_err();
        assert_eq!(refused, "would take 257 MiB of memory; 256 MiB are the most for a file of this size");
    }

    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_refused() {
        let zero = Path::new("/dev/zero");
        assert!(read(zero, 1000).unwrap_err().to_string().contains("more than 1000 bytes"));
        assert!(open(zero).unwrap_err().to_string().contains("is not a file"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, [7; 1000]).unwrap();
        assert_eq!(read(&path, 1000).unwrap(), [7; 1000]);
        assert!(read(&path, 999).is_err());
    }
}
