//! The tensors of a model's inputs, on either side.

use super::contract::Element;
#[cfg(feature = "cuda")]
use crate::{
    device::gpu::{Buffer, Gpu},
    error::Result,
};
use half::f16;
#[cfg(feature = "cuda")]
use std::ffi::c_void;

/// The values of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

/// The values of an input, on a device.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy)]
pub enum OnDevice<'a> {
    /// 16-bit floats.
    F16(&'a Buffer<f16>),
    /// 32-bit floats.
    F32(&'a Buffer<f32>),
    /// 64-bit integers.
    I64(&'a Buffer<i64>),
}

macro_rules! values {
    ($type:ident) => {
        impl $type<'_> {
            pub(super) fn len(&self) -> usize {
                match self {
                    $type::F16(values) => values.len(),
                    $type::F32(values) => values.len(),
                    $type::I64(values) => values.len(),
                }
            }

            pub(super) fn element(&self) -> Element {
                match self {
                    $type::F16(_) => Element::F16,
                    $type::F32(_) => Element::F32,
                    $type::I64(_) => Element::I64,
                }
            }
        }
    };
}
values!(Values);
#[cfg(feature = "cuda")]
values!(OnDevice);

#[cfg(feature = "cuda")]
impl OnDevice<'_> {
    /// A copy in the host's memory.
    pub(super) fn download(&self, gpu: &Gpu) -> Result<Owned> {
        Ok(match self {
            OnDevice::F16(values) => Owned::F16(gpu.download(*values)?),
            OnDevice::F32(values) => Owned::F32(gpu.download(*values)?),
            OnDevice::I64(values) => Owned::I64(gpu.download(*values)?),
        })
    }

    /// Where it lies.
    pub(super) fn address(&self, gpu: &Gpu) -> *mut c_void {
        use cudarc::driver::DevicePtr;
        let at = match self {
            OnDevice::F16(values) => values.device_ptr(gpu.stream()).0,
            OnDevice::F32(values) => values.device_ptr(gpu.stream()).0,
            OnDevice::I64(values) => values.device_ptr(gpu.stream()).0,
        };
        at as *mut c_void
    }
}

/// The values of an input, with their memory.
#[derive(Debug)]
pub enum Owned {
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Owned {
    /// Floats as a model takes them: rounded to the nearest, if it takes f16.
    pub fn floats(values: Vec<f32>, element: Element) -> Owned {
        match element {
            Element::F16 => Owned::F16(values.into_iter().map(f16::from_f32).collect()),
            _ => Owned::F32(values),
        }
    }

    /// What a run takes.
    pub fn values(&self) -> Values<'_> {
        match self {
            Owned::F16(values) => Values::F16(values),
            Owned::F32(values) => Values::F32(values),
            Owned::I64(values) => Values::I64(values),
        }
    }
}

/// The values of an input, with their memory on a device.
#[cfg(feature = "cuda")]
#[derive(Debug)]
pub enum OwnedOnDevice {
    /// 16-bit floats.
    F16(Buffer<f16>),
    /// 32-bit floats.
    F32(Buffer<f32>),
    /// 64-bit integers.
    I64(Buffer<i64>),
}

#[cfg(feature = "cuda")]
impl OwnedOnDevice {
    /// What a run takes.
    pub fn values(&self) -> OnDevice<'_> {
        match self {
            OwnedOnDevice::F16(values) => OnDevice::F16(values),
            OwnedOnDevice::F32(values) => OnDevice::F32(values),
            OwnedOnDevice::I64(values) => OnDevice::I64(values),
        }
    }

    pub(super) fn alloc(gpu: &Gpu, like: &OnDevice) -> Result<OwnedOnDevice> {
        Ok(match like {
            OnDevice::F16(values) => OwnedOnDevice::F16(gpu.alloc(values.len())?),
            OnDevice::F32(values) => OwnedOnDevice::F32(gpu.alloc(values.len())?),
            OnDevice::I64(values) => OwnedOnDevice::I64(gpu.alloc(values.len())?),
        })
    }

    pub(super) fn copy_from(&mut self, gpu: &Gpu, from: &OnDevice) -> Result<()> {
        match (self, from) {
            (OwnedOnDevice::F16(to), OnDevice::F16(from)) => gpu.copy(*from, to),
            (OwnedOnDevice::F32(to), OnDevice::F32(from)) => gpu.copy(*from, to),
            (OwnedOnDevice::I64(to), OnDevice::I64(from)) => gpu.copy(*from, to),
            _ => unreachable!("made like it"),
        }
    }
}
