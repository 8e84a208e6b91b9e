//! One error type for the whole crate. Every message names the file or argument, the value found, and the remedy.

use std::path::{Path, PathBuf};

/// What went wrong, in words that name the file or argument, the value found and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read, but its content is not what its format asks for.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        message: String,
    },
    /// An argument of a function or an option is outside what the operation accepts.
    #[error("{0}")]
    Invalid(String),
    /// A model or ONNX Runtime itself cannot be used.
    #[error("{0}")]
    Model(String),
    /// The requested device cannot be used.
    #[error("{0}")]
    Device(String),
    /// A device, or the host while a model runs, has not enough memory.
    #[error("{0}")]
    Memory(String),
    /// The caller's [`Observer`](crate::Observer) stopped the work.
    #[error("cancelled")]
    Cancelled,
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` on file operations: adds the path to what the operating system says.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, source }
    }

    /// A file whose content breaks its format.
    pub fn format(path: impl AsRef<Path>, message: impl Into<String>) -> Error {
        Error::Format { path: path.as_ref().to_path_buf(), message: message.into() }
    }

    /// An argument outside what the operation accepts.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::Invalid(message.into())
    }
}
