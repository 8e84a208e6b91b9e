//! Work on the streams and memory of others, as raw handles of the driver, without a copy.

use crate::{
    device::gpu::{Buffer, Gpu, failed},
    error::{Error, Result},
};
use cudarc::driver::{CudaContext, DevicePtr, result, sys};
use std::{
    ffi::c_void,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

impl Gpu {
    /// Works on a stream of the caller's (a `CUstream`, a `cudaStream_t`), so that its work and ours run in order without a
    /// wait. The stream's context must be current on this thread, and be its device's primary one, as the CUDA runtime and
    /// PyTorch have it. NULL is the default stream, on which training cannot run.
    ///
    /// # Errors
    /// [`Error::Device`] without a driver, if no context is current, if it is not its device's primary one, or as
    /// [`Gpu::on_stream`].
    ///
    /// # Safety
    /// The stream must live as long as the `Gpu`, its clones and their buffers.
    pub unsafe fn on_raw_stream(stream: *mut c_void) -> Result<Gpu> {
        super::gpu::device_count()?;
        let Some(current) = result::ctx::get_current().map_err(failed("finding the current context"))? else {
            return Err(Error::Device(
                "no CUDA context is current on this thread; make the primary one of the stream's device current \
                 (cudaSetDevice, cuCtxSetCurrent)"
                    .into(),
            ));
        };
        let mut ordinal = 0;
        // SAFETY: writes one number, of the context that is current.
        unsafe { sys::cuCtxGetDevice(&mut ordinal) }
            .result()
            .map_err(failed("finding the current context's device"))?;
        let opening = failed(&format!("opening cuda:{ordinal}"));
        let context = CudaContext::new(ordinal as usize).map_err(opening)?;
        if context.cu_ctx() != current {
            return Err(Error::Device(format!(
                "the current context is not the primary one of cuda:{ordinal}; make the stream in the primary one \
                 (cuDevicePrimaryCtxRetain)"
            )));
        }
        // SAFETY: every buffer made through a `Gpu` is used on that one stream, in order.
        unsafe { context.disable_event_tracking() };
        // SAFETY: the stream belongs to the current context, and lives long enough by the caller's promise.
        Gpu::on_stream(unsafe { context.wrap_borrowed_stream(stream.cast()) })
    }

    /// `len` values of somebody's in this device's memory, as a buffer that our operations take. What fills it must be on
    /// this stream, or have ended. Operations that read boxes in fours refuse those that begin at no multiple of 16 bytes.
    ///
    /// # Safety
    /// So many values must lie there, aligned, as long as the lifetime says, and nobody may change them meanwhile.
    pub unsafe fn borrow_raw<'a, T>(&self, at: sys::CUdeviceptr, len: usize) -> Borrowed<'a, T> {
        // SAFETY: the caller's; the buffer never frees the memory.
        let slice = unsafe { self.stream().upgrade_device_ptr(at, len) };
        Borrowed { buffer: Buffer::borrowed(slice), owner: PhantomData }
    }

    /// Where a buffer of ours lies, for others to read: on this stream, or after it.
    pub fn address<T>(&self, buffer: &Buffer<T>) -> sys::CUdeviceptr {
        let (at, _order) = buffer.device_ptr(self.stream());
        at
    }
}

/// Memory of others, to be read. See [`Gpu::borrow_raw`].
#[derive(Debug)]
pub struct Borrowed<'a, T> {
    buffer: Buffer<T>,
    owner: PhantomData<&'a T>,
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = Buffer<T>;

    fn deref(&self) -> &Buffer<T> {
        &self.buffer
    }
}

/// Memory of others, to be written.
#[derive(Debug)]
pub struct BorrowedMut<'a, T> {
    borrowed: Borrowed<'a, T>,
    owner: PhantomData<&'a mut T>,
}

impl<'a, T> BorrowedMut<'a, T> {
    /// Lets it be written.
    ///
    /// # Safety
    /// Nobody else may use the memory as long as the lifetime says.
    pub unsafe fn new(borrowed: Borrowed<'a, T>) -> BorrowedMut<'a, T> {
        BorrowedMut { borrowed, owner: PhantomData }
    }
}

impl<T> Deref for BorrowedMut<'_, T> {
    type Target = Buffer<T>;

    fn deref(&self) -> &Buffer<T> {
        &self.borrowed
    }
}

impl<T> DerefMut for BorrowedMut<'_, T> {
    fn deref_mut(&mut self) -> &mut Buffer<T> {
        &mut self.borrowed.buffer
    }
}
