//! Parsers of other projects, kept from taking the program down.

use crate::error::{Error, Result};
use std::{
    fmt::Display,
    panic::{self, AssertUnwindSafe},
    path::Path,
};

/// Such crates panic at some damaged files; that is an error like others here.
pub(super) fn contained<T>(kind: &str, path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(unreadable(kind, "damaged", path)))
}

/// A file that its parser refuses.
pub(super) fn unreadable(kind: &str, e: impl Display, path: &Path) -> Error {
    Error::format(path, format!("not a readable {kind} file: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_crate_is_an_error() {
        let read = || -> Result<()> { panic!("a damaged file") };
        let error = contained("LAS", Path::new("a.las"), read).unwrap_err().to_string();
        assert!(error.contains("a.las: not a readable LAS file: damaged"), "{error}");
    }
}
