//! Work on the streams and buffers of the crate `cust`, without a copy.
//!
//! Contexts: `cust::context::Context` and [`Gpu`] both hold the device's primary context, so that memory of one is
//! memory of the other.

use crate::{
    device::{
        borrowed::{Borrowed, BorrowedMut},
        gpu::{Buffer, Gpu},
    },
    error::Result,
};
use cudarc::driver::DevicePtr;
use cust::{
    memory::{DeviceCopy, DevicePointer, DeviceSlice},
    stream::Stream,
};
use std::{marker::PhantomData, ops::Deref};

impl Gpu {
    /// [`Gpu::on_raw_stream`] with a stream of `cust`'s.
    ///
    /// # Errors
    /// As [`Gpu::on_raw_stream`].
    ///
    /// # Safety
    /// The stream must live as long as the `Gpu`, its clones and their buffers.
    pub unsafe fn on_cust_stream(stream: &Stream) -> Result<Gpu> {
        // SAFETY: the caller's.
        unsafe { Gpu::on_raw_stream(stream.as_inner().cast()) }
    }

    /// A slice of `cust`'s as a buffer that our operations read. What fills it must be on this stream or have ended: a stream
    /// of `NON_BLOCKING` does not wait for `cust`'s own copies, which are on the default stream.
    pub fn borrow<'a, T: DeviceCopy>(&self, slice: &'a DeviceSlice<T>) -> Borrowed<'a, T> {
        // SAFETY: the slice is so many values, and is borrowed as long.
        unsafe { self.borrow_raw(slice.as_device_ptr().as_raw(), slice.len()) }
    }

    /// A slice of `cust`'s as a buffer that our operations write, under the same condition.
    pub fn borrow_mut<'a, T: DeviceCopy>(&self, slice: &'a mut DeviceSlice<T>) -> BorrowedMut<'a, T> {
        // SAFETY: the slice is so many values, and is borrowed as long by us alone.
        unsafe { BorrowedMut::new(self.borrow_raw(slice.as_device_ptr().as_raw(), slice.len())) }
    }

    /// A buffer of ours as a slice of `cust`'s.
    pub fn lend<'a, T: DeviceCopy>(&self, buffer: &'a Buffer<T>) -> Lent<'a, T> {
        let (at, _sync) = buffer.device_ptr(self.stream());
        // SAFETY: the buffer is so many values, and lives as long as what is returned.
        let slice = unsafe { DeviceSlice::from_raw_parts(DevicePointer::from_raw(at), buffer.len()) };
        Lent { slice, owner: PhantomData }
    }
}

/// Memory of ours, for `cust` to read. See [`Gpu::lend`].
pub struct Lent<'a, T: DeviceCopy> {
    slice: DeviceSlice<T>,
    owner: PhantomData<&'a Buffer<T>>,
}

impl<T: DeviceCopy> Deref for Lent<'_, T> {
    type Target = DeviceSlice<T>;

    fn deref(&self) -> &DeviceSlice<T> {
        &self.slice
    }
}
