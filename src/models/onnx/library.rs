//! What a shared library and its folder must be before the library is loaded, which runs its code.

use crate::{
    error::{Error, Result},
    io::hash,
};
use std::{
    fs::{self, DirBuilder, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
};

/// Makes a folder, and those above it, that nobody else can look into; one that is there must be [`check_private`].
///
/// # Errors
/// [`Error::Io`] if it cannot be made, [`Error::Format`] if others may write there.
pub fn make_private(folder: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(Error::io(folder))?;
    check_private(folder)
}

/// Checks that a file or folder is the user's or the administrator's, and that nobody else may write to it.
///
/// # Errors
/// [`Error::Io`] if it is not there, [`Error::Format`] if others own it or may write to it.
#[cfg(unix)]
pub fn check_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    unsafe extern "C" {
        safe fn geteuid() -> u32;
    }
    let found = fs::metadata(path).map_err(Error::io(path))?;
    let (owner, user) = (found.uid(), geteuid());
    if owner != 0 && owner != user {
        let message = format!("belongs to user {owner}, not to {user}, who would run what it holds");
        return Err(Error::format(path, message));
    }
    if found.mode() & 0o022 != 0 {
        let message = format!(
            "others may write to it (mode {:o}), and this program would run what it holds; chmod go-w it if you trust what is there",
            found.mode() & 0o7777
        );
        return Err(Error::format(path, message));
    }
    Ok(())
}

/// Windows gives a user's folders to the user alone.
#[cfg(not(unix))]
pub fn check_private(path: &Path) -> Result<()> {
    fs::metadata(path).map(drop).map_err(Error::io(path))
}

/// Checks that a file is the one of this SHA-256.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is another.
pub fn check_content(path: &Path, sha256: &str) -> Result<()> {
    match hash::sha256_of_file(path)? {
        found if found == sha256 => Ok(()),
        found => Err(Error::format(path, format!("has SHA-256 {found}, expected {sha256}"))),
    }
}

/// Checks that an ELF file of 64 bits holds all that its header promises: the system's loader maps one that was cut off, and
/// the process dies where it reads past the end. What is no such file is left to the loader.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is cut off.
pub fn check_complete(path: &Path) -> Result<()> {
    const HEAD: usize = 64;
    const SEGMENT: usize = 56;
    let mut file = File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    let mut head = [0; HEAD];
    if file.read_exact(&mut head).is_err() || !head.starts_with(b"\x7fELF\x02\x01") {
        return Ok(());
    }
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a word"));
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]) as usize;
    let cut = || Error::format(path, format!("is cut off after {length} bytes; copy or fetch it again"));
    let (table, size, count) = (word(&head, 32), short(54), short(56));
    if size != SEGMENT {
        return Ok(());
    }
    let mut segments = vec![0; size * count];
    file.seek(SeekFrom::Start(table)).map_err(Error::io(path))?;
    file.read_exact(&mut segments).map_err(|_| cut())?;
    let whole = |s: &[u8]| word(s, 8).checked_add(word(s, 32)).is_some_and(|end| end <= length);
    if segments.chunks_exact(SEGMENT).all(whole) { Ok(()) } else { Err(cut()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, cut) = (std::env::current_exe().unwrap(), folder.path().join("cut"));
        check_complete(&whole).unwrap();
        let bytes = fs::read(&whole).unwrap();
        for length in [64, 1000, 100_000] {
            fs::write(&cut, &bytes[..length]).unwrap();
            let refused = check_complete(&cut).unwrap_err().to_string();
            assert!(refused.contains(&format!("cut off after {length} bytes")), "{refused}");
        }
        // Neither is an ELF file, which the loader says better.
        for other in [&bytes[..63], b"text"] {
            fs::write(&cut, other).unwrap();
            check_complete(&cut).unwrap();
        }
        let mut far = bytes[..4096].to_vec();
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        fs::write(&cut, far).unwrap();
        assert!(check_complete(&cut).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn what_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        make_private(&new).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&new), mode(new.parent().unwrap())), (0o700, 0o700));
        for (mode, refused) in [(0o755, false), (0o700, false), (0o775, true), (0o702, true)] {
            fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check_private(&new).is_err(), refused, "{mode:o}");
            assert_eq!(make_private(&new).is_err(), refused, "{mode:o}");
        }
        if std::os::unix::fs::chown(&new, Some(12345), None).is_ok() {
            fs::set_permissions(&new, fs::Permissions::from_mode(0o700)).unwrap();
            let refused = check_private(&new).unwrap_err().to_string();
            assert!(refused.contains("belongs to user 12345"), "{refused}");
        }
    }
}
