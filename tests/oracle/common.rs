//! Where the golden files lie.

use std::path::PathBuf;

/// A file among the small cases that the repository holds.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from("tests/fixtures").join(path)
}

/// A file among the large cases.
pub fn golden(path: &str) -> PathBuf {
    let root =
        std::env::var_os("PARTSTAD_GOLDEN").expect("PARTSTAD_GOLDEN must name the folder of the large cases");
    PathBuf::from(root).join(path)
}
