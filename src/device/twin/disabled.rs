//! The host's side alone.

use super::Counted;
use crate::error::Result;

/// What may lie on a device as well, in a build with the feature `cuda`.
pub trait Twinned: Counted + Sized {}

impl<T: Counted> Twinned for T {}

/// A value on the host.
#[derive(Clone)]
pub struct Twin<T: Twinned>(T);

impl<T: Twinned> Twin<T> {
    /// The value in the host's memory.
    ///
    /// # Errors
    /// Never here; in a build with the feature `cuda`, if a device failed.
    pub fn host(&self) -> Result<&T> {
        Ok(&self.0)
    }

    /// The value, if the host has it: it has.
    pub fn here(&self) -> Option<&T> {
        Some(&self.0)
    }

    /// The value, to be changed.
    ///
    /// # Errors
    /// As [`Twin::host`].
    pub fn host_mut(&mut self) -> Result<&mut T> {
        Ok(&mut self.0)
    }

    /// Takes the value out.
    ///
    /// # Errors
    /// As [`Twin::host`].
    pub fn into_host(self) -> Result<T> {
        Ok(self.0)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.count()
    }
}

impl<T: Twinned> From<T> for Twin<T> {
    fn from(value: T) -> Twin<T> {
        Twin(value)
    }
}
