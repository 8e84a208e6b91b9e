//! The files below a folder.

use crate::error::{Error, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How deep below the folder files are looked for.
const DEPTH: usize = 8;

/// The files below `root`, from there on, by path; hidden ones and those of hidden folders left out.
///
/// # Errors
/// [`Error::Io`] if `root` cannot be read; a folder below it that cannot is left out with a warning.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    walk(root, Path::new(""), 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(root: &Path, folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let here = root.join(folder);
    for entry in fs::read_dir(&here).map_err(Error::io(&here))? {
        let name = entry.map_err(Error::io(&here))?.file_name();
        let path = folder.join(&name);
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match root.join(&path).is_dir() {
            true if depth < DEPTH => {
                if let Err(e) = walk(root, &path, depth + 1, found) {
                    tracing::warn!("left out: {e}");
                }
            }
            true => (),
            false => found.push(path),
        }
    }
    Ok(())
}
