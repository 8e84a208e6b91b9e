//! Arrays that know both sides: the host's memory and a device's. Each side is filled once, when it is asked for.

use crate::error::Result;
use std::{fmt, ops::Deref, sync::OnceLock};
#[cfg(feature = "cuda")]
use {
    crate::device::gpu::{Buffer, Gpu},
    std::sync::Arc,
};

/// What an array may hold: a number, or a few of one kind, which lie flat on a device.
#[cfg(feature = "cuda")]
pub trait Element: bytemuck::Pod {
    /// The number.
    type Scalar: cudarc::driver::DeviceRepr + bytemuck::Pod;
}
/// What an array may hold: a number, or a few of one kind.
#[cfg(not(feature = "cuda"))]
pub trait Element: Copy {}

macro_rules! elements {
    ($($element:ty: $scalar:ty),*) => {$(
        #[cfg(feature = "cuda")]
        impl Element for $element { type Scalar = $scalar; }
        #[cfg(not(feature = "cuda"))]
        impl Element for $element {}
    )*};
}
elements!(u8: u8, i32: i32, u32: u32, i64: i64, f32: f32, [f32; 2]: f32, [f32; 3]: f32, [f32; 4]: f32);

/// A copy of an array on the device that first asked for one.
#[cfg(feature = "cuda")]
struct Resident<T: Element> {
    gpu: Gpu,
    buffer: Arc<Buffer<T::Scalar>>,
}

/// An array that an operation made, where it was made; [`Buf::host`] fetches it from a device once.
pub struct Buf<T: Element> {
    host: OnceLock<Vec<T>>,
    #[cfg(feature = "cuda")]
    device: OnceLock<Resident<T>>,
    len: usize,
}

impl<T: Element> Buf<T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in the host's memory.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if they lie on a device that failed; never without one.
    pub fn host(&self) -> Result<&[T]> {
        #[cfg(feature = "cuda")]
        if let (None, Some(Resident { gpu, buffer })) = (self.host.get(), self.device.get()) {
            // A race fills it twice with the same values.
            let _ = self.host.set(gpu.download_as(&buffer.as_view())?);
        }
        Ok(self.host.get().expect("one side is filled from the start"))
    }

    /// Whether the host has them, so that [`Buf::host`] waits for no device.
    pub fn is_here(&self) -> bool {
        self.host.get().is_some()
    }

    /// The elements in the host's memory, to be changed; a device's copy is forgotten.
    ///
    /// # Errors
    /// As [`Buf::host`].
    pub fn host_mut(&mut self) -> Result<&mut [T]> {
        self.host()?;
        #[cfg(feature = "cuda")]
        self.device.take();
        Ok(self.host.get_mut().expect("filled above"))
    }

    /// Takes the elements out into the host's memory.
    ///
    /// # Errors
    /// As [`Buf::host`].
    pub fn into_host(self) -> Result<Vec<T>> {
        self.host()?;
        Ok(self.host.into_inner().expect("filled above"))
    }

    /// What an operation left on `gpu`.
    #[cfg(feature = "cuda")]
    pub fn on_device(gpu: &Gpu, buffer: Buffer<T::Scalar>) -> Buf<T> {
        let len = buffer.len() * size_of::<T::Scalar>() / size_of::<T>();
        let resident = Resident { gpu: gpu.clone(), buffer: Arc::new(buffer) };
        Buf { host: OnceLock::new(), device: OnceLock::from(resident), len }
    }

    /// The elements in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory, [`Error::Device`](crate::Error::Device) if a
    /// device failed.
    #[cfg(feature = "cuda")]
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<Buffer<T::Scalar>>> {
        if let Some(resident) = self.device.get().filter(|resident| resident.gpu == *gpu) {
            return Ok(resident.buffer.clone());
        }
        upload(gpu, self.host()?, &self.device)
    }
}

/// Copies to `gpu` and remembers the copy, if it is the first.
#[cfg(feature = "cuda")]
fn upload<T: Element>(
    gpu: &Gpu,
    values: &[T],
    memory: &OnceLock<Resident<T>>,
) -> Result<Arc<Buffer<T::Scalar>>> {
    let buffer = Arc::new(gpu.upload(bytemuck::cast_slice(values))?);
    let _ = memory.set(Resident { gpu: gpu.clone(), buffer: buffer.clone() });
    Ok(buffer)
}

impl<T: Element> From<Vec<T>> for Buf<T> {
    fn from(values: Vec<T>) -> Buf<T> {
        let len = values.len();
        Buf {
            host: OnceLock::from(values),
            #[cfg(feature = "cuda")]
            device: OnceLock::new(),
            len,
        }
    }
}

impl<T: Element> Default for Buf<T> {
    fn default() -> Buf<T> {
        vec![].into()
    }
}

impl<T: Element> Clone for Buf<T> {
    fn clone(&self) -> Buf<T> {
        #[cfg(feature = "cuda")]
        let device = match self.device.get() {
            Some(Resident { gpu, buffer }) => {
                OnceLock::from(Resident { gpu: gpu.clone(), buffer: buffer.clone() })
            }
            None => OnceLock::new(),
        };
        Buf {
            host: self.host.clone(),
            #[cfg(feature = "cuda")]
            device,
            len: self.len,
        }
    }
}

impl<T: Element + PartialEq> PartialEq for Buf<T> {
    /// Arrays that a device failed to hand over equal nothing.
    fn eq(&self, other: &Buf<T>) -> bool {
        matches!((self.host(), other.host()), (Ok(a), Ok(b)) if a == b)
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Buf<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.get() {
            Some(values) => values.fmt(f),
            None => write!(f, "[{} on a device]", self.len),
        }
    }
}

/// An array that the host has; it reads as a slice, and a device gets a copy once.
pub struct Mirrored<T: Element> {
    host: Vec<T>,
    #[cfg(feature = "cuda")]
    device: OnceLock<Resident<T>>,
}

impl<T: Element> Mirrored<T> {
    /// What an operation left on `gpu`, fetched once and kept on both sides.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything before it failed.
    #[cfg(feature = "cuda")]
    pub fn on_device(gpu: &Gpu, buffer: Buffer<T::Scalar>) -> Result<Mirrored<T>> {
        let host = gpu.download_as(&buffer)?;
        let resident = Resident { gpu: gpu.clone(), buffer: Arc::new(buffer) };
        Ok(Mirrored { host, device: OnceLock::from(resident) })
    }

    /// The elements in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
    #[cfg(feature = "cuda")]
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<Buffer<T::Scalar>>> {
        match self.device.get().filter(|resident| resident.gpu == *gpu) {
            Some(resident) => Ok(resident.buffer.clone()),
            None => upload(gpu, &self.host, &self.device),
        }
    }
}

impl<T: Element> Deref for Mirrored<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.host
    }
}

impl<T: Element> From<Vec<T>> for Mirrored<T> {
    fn from(host: Vec<T>) -> Mirrored<T> {
        Mirrored {
            host,
            #[cfg(feature = "cuda")]
            device: OnceLock::new(),
        }
    }
}

impl<T: Element> Default for Mirrored<T> {
    fn default() -> Mirrored<T> {
        vec![].into()
    }
}

impl<T: Element> Clone for Mirrored<T> {
    fn clone(&self) -> Mirrored<T> {
        self.host.clone().into()
    }
}

impl<T: Element + PartialEq> PartialEq for Mirrored<T> {
    fn eq(&self, other: &Mirrored<T>) -> bool {
        self.host == other.host
    }
}

impl<T: Element + Eq> Eq for Mirrored<T> {}

impl<T: Element + PartialEq, U: AsRef<[T]>> PartialEq<U> for Mirrored<T> {
    fn eq(&self, other: &U) -> bool {
        self.host == other.as_ref()
    }
}

impl<T: Element + fmt::Debug> fmt::Debug for Mirrored<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_made_reads_as_a_slice() {
        let array = Mirrored::from(vec![1u32, 2]);
        assert_eq!(array.len(), 2);
        assert_eq!(array, [1, 2]);
        assert_eq!(array.clone(), array);
        assert_ne!(array, Mirrored::default());
    }

    #[test]
    fn what_is_changed_reads_changed() {
        let mut array = Buf::from(vec![1.0f32, 2.0]);
        array.host_mut().unwrap()[0] = 3.0;
        assert_eq!(array.host().unwrap(), [3.0, 2.0]);
        assert_eq!(array.clone(), array);
        assert_ne!(array, vec![3.0].into());
    }
}
