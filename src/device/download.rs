//! Several buffers of a device, copied to the host with one wait.

use crate::{
    device::gpu::{Buffer, Gpu, failed},
    error::Result,
};
use bytemuck::Pod;
use cudarc::driver::DeviceRepr;
use std::{marker::PhantomData, sync::PoisonError};

/// What [`Gpu::download_all`] fetches: a buffer, [`Rows`] of one, or a few of these.
pub trait Download: Copy {
    /// What it is on the host.
    type Host;

    /// How much memory its copy takes, in whole steps of 16 bytes.
    fn bytes(self) -> usize;

    /// Puts the copy to memory of that size on the stream.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    fn queue(self, gpu: &Gpu, to: &mut [u8]) -> Result<()>;

    /// What lies there once the stream has come so far.
    fn read(self, from: &[u8]) -> Self::Host;

    /// Copies it buffer by buffer to where it stays, and waits for each.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything on the stream failed.
    fn one_by_one(self, gpu: &Gpu) -> Result<Self::Host>;
}

/// Where a copy begins and ends in memory that it shares with others.
const ALIGNMENT: usize = 16;

const ROOM: &str = "there is room for all";

/// What is larger goes right to where it stays: of page-locked memory a system has little.
const MOST_LOCKED: usize = 16 << 20;

impl<T: DeviceRepr + Pod> Download for &Buffer<T> {
    type Host = Vec<T>;

    fn bytes(self) -> usize {
        self.num_bytes().next_multiple_of(ALIGNMENT)
    }

    fn queue(self, gpu: &Gpu, to: &mut [u8]) -> Result<()> {
        let to = bytemuck::cast_slice_mut::<_, T>(&mut to[..self.num_bytes()]);
        if to.is_empty() {
            return Ok(());
        }
        gpu.stream().memcpy_dtoh(self, to).map_err(failed("copying from the device"))
    }

    fn read(self, from: &[u8]) -> Vec<T> {
        bytemuck::cast_slice(&from[..self.num_bytes()]).to_vec()
    }

    fn one_by_one(self, gpu: &Gpu) -> Result<Vec<T>> {
        gpu.download(self)
    }
}

/// A buffer whose elements are several values each.
#[derive(Debug)]
pub struct Rows<'a, T, E>(&'a Buffer<T>, PhantomData<E>);

impl<'a, T, E> Rows<'a, T, E> {
    /// All of the buffer.
    pub fn of(buffer: &'a Buffer<T>) -> Rows<'a, T, E> {
        Rows(buffer, PhantomData)
    }
}

impl<T, E> Clone for Rows<'_, T, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E> Copy for Rows<'_, T, E> {}

impl<T: DeviceRepr + Pod, E: Pod> Download for Rows<'_, T, E> {
    type Host = Vec<E>;

    fn bytes(self) -> usize {
        self.0.bytes()
    }

    fn queue(self, gpu: &Gpu, to: &mut [u8]) -> Result<()> {
        self.0.queue(gpu, to)
    }

    fn read(self, from: &[u8]) -> Vec<E> {
        bytemuck::cast_slice(&from[..self.0.num_bytes()]).to_vec()
    }

    fn one_by_one(self, gpu: &Gpu) -> Result<Vec<E>> {
        gpu.download_as(self.0)
    }
}

macro_rules! together {
    ($($name:ident: $kind:ident),*) => {
        impl<$($kind: Download),*> Download for ($($kind,)*) {
            type Host = ($($kind::Host,)*);

            fn bytes(self) -> usize {
                let ($($name,)*) = self;
                0 $(+ $name.bytes())*
            }

            fn queue(self, gpu: &Gpu, to: &mut [u8]) -> Result<()> {
                let ($($name,)*) = self;
                let mut rest = to;
                $($name.queue(gpu, rest.split_off_mut(..$name.bytes()).expect(ROOM))?;)*
                Ok(())
            }

            fn read(self, from: &[u8]) -> Self::Host {
                let ($($name,)*) = self;
                let mut rest = from;
                ($($name.read(rest.split_off(..$name.bytes()).expect(ROOM)),)*)
            }

            fn one_by_one(self, gpu: &Gpu) -> Result<Self::Host> {
                let ($($name,)*) = self;
                Ok(($($name.one_by_one(gpu)?,)*))
            }
        }
    };
}
together!(a: A, b: B);
together!(a: A, b: B, c: C);

impl<D: Download, const N: usize> Download for [D; N] {
    type Host = [D::Host; N];

    fn bytes(self) -> usize {
        self.iter().map(|each| each.bytes()).sum()
    }

    fn queue(self, gpu: &Gpu, to: &mut [u8]) -> Result<()> {
        let mut rest = to;
        self.into_iter().try_for_each(|each| each.queue(gpu, rest.split_off_mut(..each.bytes()).expect(ROOM)))
    }

    fn read(self, from: &[u8]) -> [D::Host; N] {
        let mut rest = from;
        self.map(|each| each.read(rest.split_off(..each.bytes()).expect(ROOM)))
    }

    fn one_by_one(self, gpu: &Gpu) -> Result<[D::Host; N]> {
        let each = self.iter().map(|each| each.one_by_one(gpu)).collect::<Result<Vec<_>>>()?;
        Ok(each.try_into().unwrap_or_else(|_| unreachable!("as many as there are")))
    }
}

impl Gpu {
    /// Waits for the stream, once, and copies all that is named from the device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything on the stream failed.
    pub fn download_all<D: Download>(&self, all: D) -> Result<D::Host> {
        let bytes = all.bytes();
        if bytes > MOST_LOCKED {
            return all.one_by_one(self);
        }
        let mut locked = self.locked().lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(room) = locked.room(self.stream().context(), bytes) else {
            // The host has no memory to lock, or the device failed before.
            return all.one_by_one(self);
        };
        let queued = all.queue(self, room);
        // What is queued must not come when others have the memory.
        self.synchronize()?;
        queued.map(|()| all.read(room))
    }
}
