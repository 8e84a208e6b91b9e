//! Files in and out: point clouds, arrays, images.

use crate::error::{Error, Result};
use serde::Serializer;
use std::path::{Component, Path, PathBuf};

pub(crate) mod budget;
mod clouds;
mod columns;
#[cfg(any(feature = "meshes", feature = "scans"))]
mod contained;
pub mod hash;
#[cfg(feature = "meshes")]
pub mod meshes;
pub mod npy;
pub mod pcd;
pub mod pickle;
pub mod ply;
pub mod png;
pub mod points;
#[cfg(feature = "scans")]
pub mod scans;
pub mod staged;
pub mod tensors;
pub mod text;
pub mod walk;

/// Checks that a name can be the name of a file: a folder above, or below, is none.
///
/// # Errors
/// [`Error::Invalid`] if it cannot. `what`: what is named, for the message.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let mut steps = Path::new(name).components();
    match (steps.next(), steps.next()) {
        (Some(Component::Normal(step)), None) if step == name => Ok(()),
        _ => Err(Error::invalid(format!(
            "{what} {name:?} would name a file elsewhere; name it without folders"
        ))),
    }
}

/// The content of a file of settings, which has at most 16 MiB.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Format`] if it is larger.
pub fn read_settings(path: &Path) -> Result<Vec<u8>> {
    budget::read(path, budget::SETTINGS)
}

/// The extension of a file's name, in lower case; empty if it has none.
pub(crate) fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// A path as text, for JSON; a byte that is no UTF-8 becomes U+FFFD.
pub fn path_text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

/// For `serialize_with`: a path, if there is one, as [`path_text`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_path<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path_text(path)),
        None => to.serialize_none(),
    }
}

/// For `serialize_with`: paths as [`path_text`].
///
/// # Errors
/// Those of the serializer.
pub fn serialize_paths<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(path_text))
}
