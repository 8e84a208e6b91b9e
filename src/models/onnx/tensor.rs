//! The tensors of a model's inputs, on either side.

use super::contract::Element;
use half::f16;

/// The values of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
    /// Truths.
    Bool(&'a [bool]),
    /// 8-bit integers from 0.
    U8(&'a [u8]),
}

macro_rules! values {
    ($type:ident) => {
        impl $type<'_> {
            /// Number of values.
            pub fn len(&self) -> usize {
                match self {
                    $type::F16(values) => values.len(),
                    $type::F32(values) => values.len(),
                    $type::I64(values) => values.len(),
                    $type::Bool(values) => values.len(),
                    $type::U8(values) => values.len(),
                }
            }

            /// What they are.
            pub fn element(&self) -> Element {
                match self {
                    $type::F16(_) => Element::F16,
                    $type::F32(_) => Element::F32,
                    $type::I64(_) => Element::I64,
                    $type::Bool(_) => Element::Bool,
                    $type::U8(_) => Element::U8,
                }
            }
        }
    };
}
values!(Values);

/// The values of an input, with their memory.
#[derive(Debug)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub enum Owned {
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
    /// Truths.
    Bool(Vec<bool>),
    /// 8-bit integers from 0.
    U8(Vec<u8>),
}

impl Owned {
    /// Floats as a model takes them: rounded to the nearest, if it takes f16; whole ones alone, if it takes integers.
    pub fn floats(values: Vec<f32>, element: Element) -> Owned {
        match element {
            Element::F16 => Owned::F16(values.into_iter().map(f16::from_f32).collect()),
            Element::F32 => Owned::F32(values),
            Element::I64 => Owned::I64(values.into_iter().map(|x| x as i64).collect()),
            Element::Bool => Owned::Bool(values.into_iter().map(|x| x != 0.0).collect()),
            Element::U8 => Owned::U8(values.into_iter().map(|x| x as u8).collect()),
        }
    }

    /// Integers as a model takes them: as they are, or whether they are not 0.
    pub fn integers(values: &[i64], element: Element) -> Owned {
        match element {
            Element::Bool => Owned::Bool(values.iter().map(|&x| x != 0).collect()),
            _ => Owned::I64(values.to_vec()),
        }
    }

    /// What a run takes.
    pub fn values(&self) -> Values<'_> {
        match self {
            Owned::F16(values) => Values::F16(values),
            Owned::F32(values) => Values::F32(values),
            Owned::I64(values) => Values::I64(values),
            Owned::Bool(values) => Values::Bool(values),
            Owned::U8(values) => Values::U8(values),
        }
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::Element;
    use crate::{
        device::{
            Device,
            download::{Download, Pass},
            gpu::{Buffer, Gpu},
        },
        error::Result,
    };
    use cudarc::driver::DevicePtr;
    use half::f16;
    use std::{ffi::c_void, sync::Mutex};

    /// The values of an input.
    #[derive(Debug, Clone, Copy)]
    pub enum Values<'a> {
        /// 16-bit floats.
        F16(&'a Buffer<f16>),
        /// 32-bit floats.
        F32(&'a Buffer<f32>),
        /// 64-bit integers.
        I64(&'a Buffer<i64>),
        /// Truths, a byte each.
        Bool(&'a Buffer<u8>),
        /// 8-bit integers from 0.
        U8(&'a Buffer<u8>),
    }
    values!(Values);

    impl Download for Values<'_> {
        type Host = super::Owned;

        fn fetch(self, pass: &mut Pass) -> Result<super::Owned> {
            Ok(match self {
                Values::F16(values) => super::Owned::F16(values.fetch(pass)?),
                Values::F32(values) => super::Owned::F32(values.fetch(pass)?),
                Values::I64(values) => super::Owned::I64(values.fetch(pass)?),
                Values::Bool(values) => {
                    super::Owned::Bool(values.fetch(pass)?.into_iter().map(|x| x != 0).collect())
                }
                Values::U8(values) => super::Owned::U8(values.fetch(pass)?),
            })
        }
    }

    impl Values<'_> {
        /// Where they lie.
        pub fn address(&self, gpu: &Gpu) -> *mut c_void {
            let at = match self {
                Values::F16(values) => values.device_ptr(gpu.stream()).0,
                Values::F32(values) => values.device_ptr(gpu.stream()).0,
                Values::I64(values) => values.device_ptr(gpu.stream()).0,
                Values::Bool(values) | Values::U8(values) => values.device_ptr(gpu.stream()).0,
            };
            at as *mut c_void
        }
    }

    /// The values of an input, with their memory.
    #[derive(Debug)]
    pub enum Owned {
        /// 16-bit floats.
        F16(Buffer<f16>),
        /// 32-bit floats.
        F32(Buffer<f32>),
        /// 64-bit integers.
        I64(Buffer<i64>),
        /// Truths, a byte each.
        Bool(Buffer<u8>),
        /// 8-bit integers from 0.
        U8(Buffer<u8>),
    }

    impl Owned {
        /// Values that the host has.
        ///
        /// # Errors
        /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
        pub fn upload(gpu: &Gpu, values: &super::Owned) -> Result<Owned> {
            Ok(match values {
                super::Owned::F16(values) => Owned::F16(gpu.upload(values)?),
                super::Owned::F32(values) => Owned::F32(gpu.upload(values)?),
                super::Owned::I64(values) => Owned::I64(gpu.upload(values)?),
                super::Owned::Bool(values) => {
                    Owned::Bool(gpu.upload(bytemuck::cast_slice::<bool, u8>(values))?)
                }
                super::Owned::U8(values) => Owned::U8(gpu.upload(values)?),
            })
        }

        /// Room for as many values.
        ///
        /// # Errors
        /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
        pub fn alloc(gpu: &Gpu, like: &Values) -> Result<Owned> {
            Ok(match like {
                Values::F16(values) => Owned::F16(gpu.alloc(values.len())?),
                Values::F32(values) => Owned::F32(gpu.alloc(values.len())?),
                Values::I64(values) => Owned::I64(gpu.alloc(values.len())?),
                Values::Bool(values) => Owned::Bool(gpu.alloc(values.len())?),
                Values::U8(values) => Owned::U8(gpu.alloc(values.len())?),
            })
        }

        /// What a run takes.
        pub fn values(&self) -> Values<'_> {
            match self {
                Owned::F16(values) => Values::F16(values),
                Owned::F32(values) => Values::F32(values),
                Owned::I64(values) => Values::I64(values),
                Owned::Bool(values) => Values::Bool(values),
                Owned::U8(values) => Values::U8(values),
            }
        }

        /// Copies the values that it was made like.
        ///
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if the driver refuses.
        pub fn copy_from(&mut self, gpu: &Gpu, from: &Values) -> Result<()> {
            match (self, from) {
                (Owned::F16(to), Values::F16(from)) => gpu.copy(*from, to),
                (Owned::F32(to), Values::F32(from)) => gpu.copy(*from, to),
                (Owned::I64(to), Values::I64(from)) => gpu.copy(*from, to),
                (Owned::Bool(to), Values::Bool(from)) => gpu.copy(*from, to),
                (Owned::U8(to), Values::U8(from)) => gpu.copy(*from, to),
                _ => unreachable!("made like it"),
            }
        }
    }

    /// Where a model computes, and what it keeps there.
    #[derive(Debug)]
    pub struct Place {
        /// The device whose stream it computes on; none if it computes on the CPU.
        pub gpu: Option<Gpu>,
        /// Where its work is replayed as a graph: the memory that the graph of each shape works on.
        pub kept: Option<Mutex<Vec<Kept>>>,
    }

    /// Inputs and outputs that stay where they are, for inputs of one shape.
    #[derive(Debug)]
    pub struct Kept {
        /// Of every input.
        pub shapes: Vec<Vec<usize>>,
        /// Every input.
        pub inputs: Vec<Owned>,
        /// Every output.
        pub outputs: Vec<Buffer<f32>>,
    }

    impl Place {
        /// On a device, where work may be replayed as `graphs`.
        pub fn new(device: &Device, graphs: bool) -> Place {
            let gpu = match device {
                Device::Cpu => None,
                Device::Cuda(gpu) => Some(gpu.clone()),
            };
            Place { gpu, kept: graphs.then(Mutex::default) }
        }
    }
}
