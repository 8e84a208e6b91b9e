//! Content hashes.

use super::budget;
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::{io, path::Path};

/// The SHA-256 of a file's content in hexadecimal.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is no file.
pub fn sha256_of_file(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let (mut file, _) = budget::open(path)?;
    io::copy(&mut file, &mut DigestWriter(&mut hash)).map_err(Error::io(path))?;
    Ok(hexadecimal(&hash.finalize()))
}

struct DigestWriter<'a>(&'a mut Sha256);

impl io::Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The SHA-256 of bytes in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
