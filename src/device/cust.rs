//! Work on the streams and buffers of the crate `cust`, without a copy.
//!
//! Contexts: `cust::context::Context` and [`Gpu`] both hold the device's primary context, so that memory of one is
//! memory of the other.

use crate::{
    device::gpu::{Buffer, Gpu},
    error::{Error, Result},
};
use cudarc::driver::{CudaContext, DevicePtr, result, sys};
use cust::{
    context::CurrentContext,
    memory::{DeviceCopy, DevicePointer, DeviceSlice},
    stream::Stream,
};
use std::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};

impl Gpu {
    /// Works on a stream of `cust`'s, so that its work and ours run in order without a wait. The stream's context must
    /// be the current one.
    ///
    /// # Errors
    /// [`Error::Device`] if no context is current, if it is not its device's primary one, or as [`Gpu::on_stream`].
    ///
    /// # Safety
    /// The stream must live as long as the `Gpu`, its clones and their buffers.
    pub unsafe fn on_cust_stream(stream: &Stream) -> Result<Gpu> {
        let device = CurrentContext::get_device()
            .map_err(|e| Error::Device(format!("cust: finding the current context: {e}")))?;
        let ordinal = device.as_raw() as usize;
        let current = result::ctx::get_current().ok().flatten();
        let context = CudaContext::new(ordinal)
            .map_err(|e| Error::Device(format!("CUDA: opening cuda:{ordinal}: {e}")))?;
        if Some(context.cu_ctx()) != current {
            return Err(Error::Device(format!(
                "the current context is not the primary one of cuda:{ordinal}; make it with cust::context::Context::new"
            )));
        }
        // SAFETY: every buffer made through a `Gpu` is used on that one stream, in order.
        unsafe { context.disable_event_tracking() };
        let stream = stream.as_inner() as sys::CUstream;
        // SAFETY: the stream belongs to the current context, and lives long enough by the caller's promise.
        Gpu::on_stream(unsafe { context.wrap_borrowed_stream(stream) })
    }

    /// A slice of `cust`'s as a buffer that our operations read. What fills it must be on this stream or have ended: a stream
    /// of `NON_BLOCKING` does not wait for `cust`'s own copies, which are on the default stream.
    pub fn borrow<'a, T: DeviceCopy>(&self, slice: &'a DeviceSlice<T>) -> Borrowed<'a, T> {
        // SAFETY: the slice is so many values, and `Borrowed` gives the memory back without freeing it.
        let buffer = unsafe { self.stream().upgrade_device_ptr(slice.as_device_ptr().as_raw(), slice.len()) };
        Borrowed { buffer: ManuallyDrop::new(buffer), owner: PhantomData }
    }

    /// A slice of `cust`'s as a buffer that our operations write, under the same condition.
    pub fn borrow_mut<'a, T: DeviceCopy>(&self, slice: &'a mut DeviceSlice<T>) -> BorrowedMut<'a, T> {
        BorrowedMut { borrowed: self.borrow(slice), owner: PhantomData }
    }

    /// A buffer of ours as a slice of `cust`'s.
    pub fn lend<'a, T: DeviceCopy>(&self, buffer: &'a Buffer<T>) -> Lent<'a, T> {
        let (at, _sync) = buffer.device_ptr(self.stream());
        // SAFETY: the buffer is so many values, and lives as long as what is returned.
        let slice = unsafe { DeviceSlice::from_raw_parts(DevicePointer::from_raw(at), buffer.len()) };
        Lent { slice, owner: PhantomData }
    }
}

/// Memory of `cust`'s, to be read. See [`Gpu::borrow`].
#[derive(Debug)]
pub struct Borrowed<'a, T: DeviceCopy> {
    buffer: ManuallyDrop<Buffer<T>>,
    owner: PhantomData<&'a DeviceSlice<T>>,
}

impl<T: DeviceCopy> Deref for Borrowed<'_, T> {
    type Target = Buffer<T>;

    fn deref(&self) -> &Buffer<T> {
        &self.buffer
    }
}

impl<T: DeviceCopy> Drop for Borrowed<'_, T> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the buffer after this.
        unsafe { ManuallyDrop::take(&mut self.buffer) }.leak();
    }
}

/// Memory of `cust`'s, to be written. See [`Gpu::borrow_mut`].
#[derive(Debug)]
pub struct BorrowedMut<'a, T: DeviceCopy> {
    borrowed: Borrowed<'a, T>,
    owner: PhantomData<&'a mut DeviceSlice<T>>,
}

impl<T: DeviceCopy> Deref for BorrowedMut<'_, T> {
    type Target = Buffer<T>;

    fn deref(&self) -> &Buffer<T> {
        &self.borrowed
    }
}

impl<T: DeviceCopy> DerefMut for BorrowedMut<'_, T> {
    fn deref_mut(&mut self) -> &mut Buffer<T> {
        &mut self.borrowed.buffer
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
