//! The library's errors as exceptions of `partstad._errors`, with the same messages.

use partstad::Error;
use pyo3::{prelude::*, types::PyString};
use std::io::ErrorKind;

/// The exception that stands for an error.
pub fn exception(py: Python, error: Error) -> PyErr {
    let message = error.to_string();
    let class = match &error {
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound => "NotFoundError",
        Error::Io { .. } => "FileError",
        Error::Format { .. } => "FormatError",
        Error::Invalid(_) => "InvalidError",
        Error::Model(_) => "ModelError",
        Error::Device(_) => "DeviceError",
        Error::Memory(_) => "OutOfMemoryError",
        _ => "Error",
    };
    let made = || {
        let exception =
            py.import("partstad._errors")?.getattr(class)?.call1((PyString::new(py, &message),))?;
        if let Error::Io { path, source } = &error {
            exception.setattr("filename", path.as_os_str())?;
            exception.setattr("errno", source.raw_os_error())?;
            exception.setattr("strerror", source.to_string())?;
        }
        Ok(PyErr::from_value(exception))
    };
    made().unwrap_or_else(|e: PyErr| e)
}

/// An argument that cannot be used.
pub fn invalid(py: Python, message: impl Into<String>) -> PyErr {
    exception(py, Error::invalid(message))
}

/// The library's results as Python's.
pub trait OrRaise<T> {
    fn or_raise(self, py: Python) -> PyResult<T>;
}

impl<T> OrRaise<T> for partstad::Result<T> {
    fn or_raise(self, py: Python) -> PyResult<T> {
        self.map_err(|error| exception(py, error))
    }
}
