//! Memory of a device: buffers, and what they leave to those that come after them.

use bytemuck::Pod;
use cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, DeviceSlice, DriverError, SyncOnDrop, sys,
};
use std::{
    collections::BTreeMap,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// Values in the memory of a device. When it is dropped, its memory waits for another buffer of the same stream, or goes
/// back to the driver's pool ([`Gpu::cache_memory`](super::gpu::Gpu::cache_memory)).
#[derive(Debug)]
pub struct Buffer<T> {
    slice: ManuallyDrop<CudaSlice<T>>,
    /// Who waits for the memory, and how large it is.
    back: Option<(Arc<Cache>, usize)>,
}

impl<T> Buffer<T> {
    /// Where it lies; its memory is nobody's.
    pub(super) fn leak(self) -> sys::CUdeviceptr {
        let mut this = ManuallyDrop::new(self);
        drop(this.back.take());
        // SAFETY: nobody uses the buffer after this, and it is not dropped.
        unsafe { ManuallyDrop::take(&mut this.slice) }.leak()
    }
}

impl<T> From<CudaSlice<T>> for Buffer<T> {
    /// Memory that cudarc made; it goes back to the driver.
    fn from(slice: CudaSlice<T>) -> Buffer<T> {
        Buffer { slice: ManuallyDrop::new(slice), back: None }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the slice after this.
        let slice = unsafe { ManuallyDrop::take(&mut self.slice) };
        if let Some((cache, bytes)) = self.back.take() {
            cache.keep(slice.leak(), bytes);
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        &self.slice
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut CudaSlice<T> {
        &mut self.slice
    }
}

impl<T> DeviceSlice<T> for Buffer<T> {
    fn len(&self) -> usize {
        self.slice.len()
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.slice.stream()
    }
}

impl<T> DevicePtr<T> for Buffer<T> {
    fn device_ptr<'a>(&'a self, stream: &'a CudaStream) -> (sys::CUdeviceptr, SyncOnDrop<'a>) {
        self.slice.device_ptr(stream)
    }
}

impl<T> DevicePtrMut<T> for Buffer<T> {
    fn device_ptr_mut<'a>(&'a mut self, stream: &'a CudaStream) -> (sys::CUdeviceptr, SyncOnDrop<'a>) {
        self.slice.device_ptr_mut(stream)
    }
}

/// Blocks of memory of one stream that no buffer has. All that used one is on that stream before all that will.
#[derive(Debug)]
pub(super) struct Cache {
    stream: Arc<CudaStream>,
    keeps: AtomicBool,
    /// Where the blocks of each size lie.
    blocks: Mutex<BTreeMap<usize, Vec<sys::CUdeviceptr>>>,
}

impl Cache {
    pub fn new(stream: Arc<CudaStream>, keeps: bool) -> Cache {
        Cache { stream, keeps: AtomicBool::new(keeps), blocks: Mutex::default() }
    }

    pub fn keeps(&self) -> bool {
        self.keeps.load(Relaxed)
    }

    /// Whether blocks are kept from now on; if not, none stays.
    pub fn keep_blocks(&self, keep: bool) {
        self.keeps.store(keep, Relaxed);
        if !keep {
            self.clear();
        }
    }

    /// Memory for `len` values, whose bits are whatever lay there.
    pub fn buffer<T: DeviceRepr + Pod>(self: &Arc<Cache>, len: usize) -> Result<Buffer<T>, DriverError> {
        // The driver allocates nothing but something: a buffer of no values has room for one that nobody sees.
        let least = len.max(1) * size_of::<T>();
        let (at, back) = match self.keeps() {
            true => {
                let (at, bytes) = self.block(block_size(least))?;
                (at, Some((self.clone(), bytes)))
            }
            false => (self.allocate(least)?, None),
        };
        // SAFETY: so many bytes lie there, which are nobody's else, and any bits are a valid T.
        let slice = unsafe { self.stream.upgrade_device_ptr(at, len) };
        Ok(Buffer { slice: ManuallyDrop::new(slice), back })
    }

    /// The smallest block that is kept and less than twice as large, or a new one; and its size.
    fn block(&self, bytes: usize) -> Result<(sys::CUdeviceptr, usize), DriverError> {
        let fits =
            self.locked().range_mut(bytes..2 * bytes).find_map(|(&size, some)| Some((some.pop()?, size)));
        if let Some(fits) = fits {
            return Ok(fits);
        }
        let refused = match self.allocate(bytes) {
            Ok(at) => return Ok((at, bytes)),
            Err(error) => error,
        };
        // What is kept may be what the driver lacks.
        match self.clear() {
            0 => Err(refused),
            _ => Ok((self.allocate(bytes)?, bytes)),
        }
    }

    fn allocate(&self, bytes: usize) -> Result<sys::CUdeviceptr, DriverError> {
        // SAFETY: any bits are a valid u8.
        unsafe { self.stream.alloc::<u8>(bytes) }.map(CudaSlice::leak)
    }

    fn keep(&self, at: sys::CUdeviceptr, bytes: usize) {
        match self.keeps() {
            true => self.locked().entry(bytes).or_default().push(at),
            false => self.free(at, bytes),
        }
    }

    /// Gives every block back to the driver, and says how many there were.
    pub fn clear(&self) -> usize {
        let blocks = std::mem::take(&mut *self.locked());
        let all = blocks.into_iter().flat_map(|(bytes, some)| some.into_iter().map(move |at| (at, bytes)));
        all.map(|(at, bytes)| self.free(at, bytes)).count()
    }

    fn free(&self, at: sys::CUdeviceptr, bytes: usize) {
        // SAFETY: `allocate` made it, and nobody has it.
        drop(unsafe { self.stream.upgrade_device_ptr::<u8>(at, bytes) });
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<sys::CUdeviceptr>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Sizes that clouds of about the same size share: a power of two, or a quarter, a half, three quarters more.
fn block_size(bytes: usize) -> usize {
    const LEAST: usize = 512;
    let bytes = bytes.max(LEAST);
    bytes.next_multiple_of(1 << (bytes.ilog2() - 2))
}
