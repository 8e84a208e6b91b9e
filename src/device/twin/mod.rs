//! Values that know both sides: the host's memory and a device's. Each side is filled once, when it is asked for.
//! Without the feature `cuda` there is one side, and a [`Twin`] is the value itself.

#[cfg(not(feature = "cuda"))]
mod disabled;
#[cfg(feature = "cuda")]
mod enabled;

#[cfg(not(feature = "cuda"))]
pub use disabled::{Twin, Twinned};
#[cfg(feature = "cuda")]
pub use enabled::{Element, RaggedOnDevice, Twin, Twinned};

use crate::ragged::Ragged;
use std::{fmt, ops::Deref};

/// What is so many of something.
pub trait Counted {
    /// How many.
    fn count(&self) -> usize;
}

impl<T> Counted for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T> Counted for Ragged<T> {
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T: Twinned> Twin<T> {
    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the host has the value, so that [`Twin::host`] waits for no device.
    pub fn is_here(&self) -> bool {
        self.here().is_some()
    }
}

impl<T: Twinned + Default> Default for Twin<T> {
    fn default() -> Twin<T> {
        T::default().into()
    }
}

impl<T: Twinned + PartialEq> PartialEq for Twin<T> {
    /// Values that a device failed to hand over equal nothing.
    fn eq(&self, other: &Twin<T>) -> bool {
        matches!((self.host(), other.host()), (Ok(a), Ok(b)) if a == b)
    }
}

impl<T: Twinned + fmt::Debug> fmt::Debug for Twin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.here() {
            Some(value) => value.fmt(f),
            None => write!(f, "[{} on a device]", self.len()),
        }
    }
}

/// A value that the host has from the start; it reads as the value itself. Between stages it may still be on its way from a
/// device: reading it then waits.
#[derive(Clone, Default, PartialEq)]
pub struct Mirrored<T: Twinned>(Twin<T>);

impl<T: Twinned> From<T> for Mirrored<T> {
    fn from(value: T) -> Mirrored<T> {
        Mirrored(value.into())
    }
}

impl<T: Twinned> Deref for Mirrored<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.host().expect("a device hands over what it has")
    }
}

impl<T: Twinned> Mirrored<T> {
    /// Whether the host has the value, so that reading it waits for no device.
    pub fn is_here(&self) -> bool {
        self.0.is_here()
    }

    /// Number of elements, without a wait for a device.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Twinned + Eq> Eq for Mirrored<T> {}

impl<T: Twinned + fmt::Debug> fmt::Debug for Mirrored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_made_reads_as_itself() {
        let array = Mirrored::from(vec![1u32, 2]);
        assert_eq!(array.len(), 2);
        assert_eq!(*array, [1, 2]);
        assert_eq!(array.clone(), array);
        assert_ne!(array, Mirrored::default());
    }

    #[test]
    fn what_is_changed_reads_changed() {
        let mut array = Twin::from(vec![1.0f32, 2.0]);
        array.host_mut().unwrap()[0] = 3.0;
        assert_eq!(*array.host().unwrap(), [3.0, 2.0]);
        assert_eq!(array.clone(), array);
        assert_ne!(array, vec![3.0].into());
    }
}
