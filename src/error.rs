//! One error type for the whole crate. Every message names the file or argument, the value found, and the remedy.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

/// What went wrong, in words that name the file or argument, the value found and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("{}: {source}", one_line(&path.to_string_lossy()))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file was read, but its content is not what its format asks for.
    #[error("{}: {message}", one_line(&path.to_string_lossy()))]
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

/// Refuses an option that is out of range. `name`: as files write it, like `views.side`; `range`: what it must be.
pub(crate) fn in_range(holds: bool, name: &str, value: impl Display, range: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::invalid(format!("option {name} is {value}; it must be {range}"))),
    }
}

/// Characters of a line that a terminal is given.
const LINE: usize = 2000;

/// A text from elsewhere, such as the name of a file, as one line for a terminal: what would move the cursor, colour what
/// follows or turn the direction of writing becomes U+FFFD, and a long line is cut.
pub fn one_line(text: &str) -> String {
    let harmless = |c: char| match c {
        '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'
        | '\u{2029}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let mut line: String = text.chars().take(LINE).map(harmless).collect();
    if text.chars().nth(LINE).is_some() {
        line.push('\u{2026}');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_moves_no_cursor() {
        assert_eq!(
            one_line("a\u{1b}[2J\nb\r\u{9b}31m\u{202e}c\u{7}é"),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}31m\u{fffd}c\u{fffd}é"
        );
        assert_eq!(one_line(&"é".repeat(LINE)).chars().count(), LINE);
        assert_eq!(one_line(&"é".repeat(5000)).chars().count(), LINE + 1);
        let error = Error::format("a\u{1b}]0;b\u{7}", "is odd").to_string();
        assert_eq!(error, "a\u{fffd}]0;b\u{fffd}: is odd");
    }
}
