//! Files in and out: point clouds, arrays, images.

use std::path::Path;

mod clouds;
mod columns;
pub mod hash;
pub mod npy;
pub mod pcd;
pub mod pickle;
pub mod ply;
pub mod png;
pub mod points;
#[cfg(feature = "scans")]
pub mod scans;
pub mod tensors;
pub mod text;

/// A path as text, for JSON; a byte that is no UTF-8 becomes U+FFFD.
pub fn path_text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
