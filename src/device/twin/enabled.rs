//! Both sides, where there may be a device.

use super::{Counted, Mirrored};
use crate::{
    device::{
        download::Rows,
        gpu::{Buffer, Gpu},
    },
    error::Result,
    ragged::Ragged,
};
use std::sync::{Arc, OnceLock};

/// What may lie on a device as well.
pub trait Twinned: Counted + Sized {
    /// The same in the memory of a device.
    type Device;

    /// Copies it to a device.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory, [`Error::Device`](crate::Error::Device) if
    /// the device failed.
    fn upload(&self, gpu: &Gpu) -> Result<Self::Device>;

    /// Copies it from a device, and waits for what makes it there.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything before it failed.
    fn download(there: &Self::Device, gpu: &Gpu) -> Result<Self>;

    /// [`Counted::count`] of what lies on a device, without a wait.
    fn count_there(there: &Self::Device) -> usize;
}

/// What an array may hold: a number, or a few of one kind, which lie flat on a device.
pub trait Element: bytemuck::Pod {
    /// The number.
    type Scalar: cudarc::driver::DeviceRepr + bytemuck::Pod;
}

macro_rules! elements {
    ($($element:ty: $scalar:ty),*) => {$(
        impl Element for $element { type Scalar = $scalar; }
    )*};
}
elements!(u8: u8, i32: i32, u32: u32, i64: i64, f32: f32, [f32; 2]: f32, [f32; 3]: f32, [f32; 4]: f32);

impl<T: Element> Twinned for Vec<T> {
    type Device = Buffer<T::Scalar>;

    fn upload(&self, gpu: &Gpu) -> Result<Buffer<T::Scalar>> {
        gpu.upload(bytemuck::cast_slice(self))
    }

    fn download(there: &Buffer<T::Scalar>, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.download_as(there)
    }

    fn count_there(there: &Buffer<T::Scalar>) -> usize {
        there.len() * size_of::<T::Scalar>() / size_of::<T>()
    }
}

/// [`Ragged`] in the memory of a device.
#[derive(Debug)]
pub struct RaggedOnDevice<T: Element> {
    /// Where each row begins in the values, and where the last one ends, `[R + 1]`.
    pub offsets: Buffer<u32>,
    /// The values of all rows.
    pub values: Buffer<T::Scalar>,
}

impl<T: Element> RaggedOnDevice<T> {
    /// Number of rows, R.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Element> Twinned for Ragged<T> {
    type Device = RaggedOnDevice<T>;

    fn upload(&self, gpu: &Gpu) -> Result<RaggedOnDevice<T>> {
        Ok(RaggedOnDevice {
            offsets: gpu.upload(self.offsets())?,
            values: gpu.upload(bytemuck::cast_slice(self.values()))?,
        })
    }

    fn download(there: &RaggedOnDevice<T>, gpu: &Gpu) -> Result<Ragged<T>> {
        let (offsets, values) = gpu.download_all((&there.offsets, Rows::of(&there.values)))?;
        Ragged::new(offsets, values)
    }

    fn count_there(there: &RaggedOnDevice<T>) -> usize {
        there.len()
    }
}

/// A value on the host, on a device or on both; a device is the one that made it or first asked for it.
pub struct Twin<T: Twinned> {
    host: OnceLock<T>,
    device: OnceLock<Resident<T>>,
}

struct Resident<T: Twinned> {
    gpu: Gpu,
    value: Arc<T::Device>,
}

impl<T: Twinned> Twin<T> {
    /// What an operation left on `gpu`.
    pub fn on_device(gpu: &Gpu, value: T::Device) -> Twin<T> {
        let resident = Resident { gpu: gpu.clone(), value: Arc::new(value) };
        Twin { host: OnceLock::new(), device: OnceLock::from(resident) }
    }

    /// The value in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory, [`Error::Device`](crate::Error::Device) if a
    /// device failed.
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<T::Device>> {
        if let Some(there) = self.device.get().filter(|there| there.gpu == *gpu) {
            return Ok(there.value.clone());
        }
        let value = Arc::new(self.host()?.upload(gpu)?);
        let _ = self.device.set(Resident { gpu: gpu.clone(), value: value.clone() });
        Ok(value)
    }

    /// The value in the host's memory, fetched once if it lies on a device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if it lies on a device that failed; never without one.
    pub fn host(&self) -> Result<&T> {
        if let (None, Some(there)) = (self.host.get(), self.device.get()) {
            // A race fills it twice with the same values.
            let _ = self.host.set(T::download(&there.value, &there.gpu)?);
        }
        Ok(self.host.get().expect("one side is filled from the start"))
    }

    /// The value, if the host has it.
    pub fn here(&self) -> Option<&T> {
        self.host.get()
    }

    /// The value in the host's memory, to be changed; a device's copy is forgotten.
    ///
    /// # Errors
    /// As [`Twin::host`].
    pub fn host_mut(&mut self) -> Result<&mut T> {
        self.host()?;
        self.device.take();
        Ok(self.host.get_mut().expect("filled above"))
    }

    /// Takes the value out into the host's memory.
    ///
    /// # Errors
    /// As [`Twin::host`].
    pub fn into_host(self) -> Result<T> {
        self.host()?;
        Ok(self.host.into_inner().expect("filled above"))
    }

    /// Number of elements, without a wait for a device.
    pub fn len(&self) -> usize {
        match (self.host.get(), self.device.get()) {
            (None, Some(there)) => T::count_there(&there.value),
            (here, _) => here.map_or(0, T::count),
        }
    }
}

impl<T: Twinned> From<T> for Twin<T> {
    fn from(value: T) -> Twin<T> {
        Twin { host: OnceLock::from(value), device: OnceLock::new() }
    }
}

impl<T: Twinned + Clone> Clone for Twin<T> {
    /// Both sides; a device's copy is shared.
    fn clone(&self) -> Twin<T> {
        Twin { host: self.host.clone(), device: self.device.clone() }
    }
}

impl<T: Twinned> Clone for Resident<T> {
    fn clone(&self) -> Resident<T> {
        Resident { gpu: self.gpu.clone(), value: self.value.clone() }
    }
}

impl<T: Twinned> Mirrored<T> {
    /// A value that lies on both sides.
    pub fn on_both(here: T, gpu: &Gpu, there: T::Device) -> Mirrored<T> {
        let value = Mirrored::<T>::on_its_way(gpu, there);
        value.receive(here);
        value
    }

    /// A value that the host does not have yet. Whoever makes it sees to it that the host receives it, or knows that the
    /// device failed, before others read it.
    pub(crate) fn on_its_way(gpu: &Gpu, there: T::Device) -> Mirrored<T> {
        Mirrored(Twin::on_device(gpu, there))
    }

    /// Takes the value of a device for the host.
    pub(crate) fn receive(&self, here: T) {
        _ = self.0.host.set(here);
    }

    /// The value in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<T::Device>> {
        self.0.device(gpu)
    }
}
