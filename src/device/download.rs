//! Buffers of a device, copied to the host; several with one wait.

use crate::{
    device::gpu::{Buffer, Gpu, failed},
    error::Result,
};
use bytemuck::Pod;
use cudarc::driver::{DevicePtr, DeviceRepr};
use std::{marker::PhantomData, sync::PoisonError};

/// What [`Gpu::download_all`] fetches: a buffer, [`Rows`] of one, or some of these.
pub trait Download: Copy {
    /// What it is on the host.
    type Host;

    /// Its share of a pass, which takes buffer after buffer. What comes back of a pass that reads nothing is empty.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses, or if anything on the stream failed that was waited
    /// for.
    fn fetch(self, pass: &mut Pass) -> Result<Self::Host>;
}

/// What is done with every buffer.
#[derive(Debug)]
pub enum Pass<'a> {
    /// Adds how much memory its copy takes, in whole steps of 16 bytes.
    Measure(&'a mut usize),
    /// Takes so much of the memory, and puts the copy to it on the stream.
    Queue(&'a Gpu, &'a mut [u8]),
    /// Reads the copy from there, once the stream has come so far.
    Read(&'a [u8]),
    /// Copies it right to where it stays, and waits.
    Alone(&'a Gpu),
}

/// Where a copy begins and ends in memory that it shares with others.
const ALIGNMENT: usize = 16;

const ROOM: &str = "there is room for all";

/// What is larger goes right to where it stays: of page-locked memory a system has little.
const MOST_LOCKED: usize = 16 << 20;

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

    fn fetch(self, pass: &mut Pass) -> Result<Vec<E>> {
        let bytes = self.0.num_bytes();
        let room = bytes.next_multiple_of(ALIGNMENT);
        match pass {
            Pass::Measure(all) => **all += room,
            Pass::Queue(gpu, rest) => {
                let to = &mut rest.split_off_mut(..room).expect(ROOM)[..bytes];
                if !to.is_empty() {
                    let to = bytemuck::cast_slice_mut::<_, T>(to);
                    gpu.stream().memcpy_dtoh(self.0, to).map_err(failed("copying from the device"))?;
                }
            }
            Pass::Read(rest) => {
                let from = &rest.split_off(..room).expect(ROOM)[..bytes];
                return Ok(bytemuck::cast_slice(from).to_vec());
            }
            Pass::Alone(gpu) => return gpu.download_as(self.0),
        }
        Ok(vec![])
    }
}

impl<T: DeviceRepr + Pod> Download for &Buffer<T> {
    type Host = Vec<T>;

    fn fetch(self, pass: &mut Pass) -> Result<Vec<T>> {
        Rows::<T, T>::of(self).fetch(pass)
    }
}

impl Download for () {
    type Host = ();

    fn fetch(self, _: &mut Pass) -> Result<()> {
        Ok(())
    }
}

impl<A: Download, B: Download> Download for (A, B) {
    type Host = (A::Host, B::Host);

    fn fetch(self, pass: &mut Pass) -> Result<Self::Host> {
        Ok((self.0.fetch(pass)?, self.1.fetch(pass)?))
    }
}

impl<A: Download, B: Download, C: Download> Download for (A, B, C) {
    type Host = (A::Host, B::Host, C::Host);

    fn fetch(self, pass: &mut Pass) -> Result<Self::Host> {
        Ok((self.0.fetch(pass)?, self.1.fetch(pass)?, self.2.fetch(pass)?))
    }
}

impl<D: Download> Download for Option<D> {
    type Host = Option<D::Host>;

    fn fetch(self, pass: &mut Pass) -> Result<Option<D::Host>> {
        self.map(|some| some.fetch(pass)).transpose()
    }
}

impl<D: Download> Download for &[D] {
    type Host = Vec<D::Host>;

    fn fetch(self, pass: &mut Pass) -> Result<Vec<D::Host>> {
        self.iter().map(|&each| each.fetch(pass)).collect()
    }
}

impl<D: Download, const N: usize> Download for [D; N] {
    type Host = [D::Host; N];

    fn fetch(self, pass: &mut Pass) -> Result<[D::Host; N]> {
        let each = self.as_slice().fetch(pass)?;
        Ok(each.try_into().unwrap_or_else(|_| unreachable!("as many as there are")))
    }
}

impl Gpu {
    /// Waits for the stream and copies values from the device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything on the stream failed.
    pub fn download<T: DeviceRepr + Pod>(&self, buffer: &impl DevicePtr<T>) -> Result<Vec<T>> {
        self.download_as(buffer)
    }

    /// The same, as elements of several values each.
    pub(crate) fn download_as<T: DeviceRepr + Pod, E: Pod>(
        &self,
        buffer: &impl DevicePtr<T>,
    ) -> Result<Vec<E>> {
        let mut elements = bytemuck::zeroed_vec::<E>(buffer.len() * size_of::<T>() / size_of::<E>());
        let values: &mut [T] = bytemuck::cast_slice_mut(&mut elements);
        if !values.is_empty() {
            self.stream().memcpy_dtoh(buffer, values).map_err(failed("copying from the device"))?;
        }
        self.synchronize()?;
        Ok(elements)
    }

    /// Waits for the stream, once, and copies all that is named from the device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything on the stream failed.
    pub fn download_all<D: Download>(&self, all: D) -> Result<D::Host> {
        let mut bytes = 0;
        all.fetch(&mut Pass::Measure(&mut bytes))?;
        if bytes > MOST_LOCKED {
            return all.fetch(&mut Pass::Alone(self));
        }
        let mut locked = self.locked().lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(room) = locked.room(self.stream().context(), bytes) else {
            // The host has no memory to lock, or the device failed before.
            return all.fetch(&mut Pass::Alone(self));
        };
        let queued = all.fetch(&mut Pass::Queue(self, room));
        // What is queued must not come when others have the memory.
        self.synchronize()?;
        queued?;
        all.fetch(&mut Pass::Read(room))
    }
}
