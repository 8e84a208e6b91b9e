//! Device memory: buffers, and a cache that keeps what dropped ones leave for later ones.

use bytemuck::Pod;
use cudarc::driver::{
    CudaSlice, CudaStream, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr, DeviceSlice, DriverError,
    SyncOnDrop, sys,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    mem::ManuallyDrop,
    ops::{Deref, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// Values in the memory of a device. When it is dropped, its memory waits for another buffer of the same stream, or goes
/// back to the driver's pool ([`Gpu::cache_memory`](super::gpu::Gpu::cache_memory)).
#[derive(Debug)]
pub struct Buffer<T> {
    slice: ManuallyDrop<CudaSlice<T>>,
    memory: Memory,
}

/// Who has the memory of a buffer when it is dropped.
#[derive(Debug)]
enum Memory {
    Driver,
    /// A cache, as a block of that many bytes.
    Cached(Arc<Cache>, usize),
    /// Its owner, who had it all the time.
    Borrowed,
}

impl<T> Buffer<T> {
    /// Values in memory that stays its owner's.
    pub(super) fn borrowed(slice: CudaSlice<T>) -> Buffer<T> {
        Buffer { slice: ManuallyDrop::new(slice), memory: Memory::Borrowed }
    }

    /// A part of it, to be changed.
    ///
    /// # Panics
    /// If it does not lie within.
    pub fn slice_mut(&mut self, bounds: impl RangeBounds<usize>) -> CudaViewMut<'_, T> {
        self.slice.slice_mut(bounds)
    }

    /// What lies before `middle`, and the rest, to be changed.
    ///
    /// # Panics
    /// If there are fewer values.
    pub fn split_at_mut(&mut self, middle: usize) -> (CudaViewMut<'_, T>, CudaViewMut<'_, T>) {
        self.slice.split_at_mut(middle)
    }

    /// All of it, to be changed.
    pub fn as_view_mut(&mut self) -> CudaViewMut<'_, T> {
        self.slice.as_view_mut()
    }
}

impl<T> From<CudaSlice<T>> for Buffer<T> {
    /// Memory that cudarc made; it goes back to the driver.
    fn from(slice: CudaSlice<T>) -> Buffer<T> {
        Buffer { slice: ManuallyDrop::new(slice), memory: Memory::Driver }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the slice after this.
        let slice = unsafe { ManuallyDrop::take(&mut self.slice) };
        match &self.memory {
            Memory::Driver => drop(slice),
            Memory::Cached(cache, bytes) => cache.keep(slice.leak(), *bytes),
            Memory::Borrowed => _ = slice.leak(),
        }
    }
}

// There is no `DerefMut`: two slices that change places would be freed as each other's.
impl<T> Deref for Buffer<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        &self.slice
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

thread_local! {
    static CAPTURES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose buffers all come from the driver, which knows what a graph may hold.
#[cfg(feature = "study")]
pub(super) fn uncached<T>(work: impl FnOnce() -> T) -> T {
    let before = CAPTURES.replace(true);
    let done = work();
    CAPTURES.set(before);
    done
}

/// Blocks of memory of one stream that no buffer has. All that used one came before on that stream, or on another that the
/// stream was made to wait for.
#[derive(Debug)]
pub(super) struct Cache {
    stream: Arc<CudaStream>,
    blocks: Mutex<Blocks>,
    /// The caches of all streams that were forked from one, this one among them.
    family: Arc<Mutex<Vec<Weak<Cache>>>>,
}

#[derive(Debug)]
struct Blocks {
    /// Whether any are kept.
    keeps: bool,
    /// Where those of each size lie.
    of_size: BTreeMap<usize, Vec<sys::CUdeviceptr>>,
}

impl Cache {
    /// A cache for a stream; for a fork of another's, of that one's family.
    pub fn new(stream: Arc<CudaStream>, other: Option<&Cache>) -> Arc<Cache> {
        let keeps = other.is_none_or(|other| other.locked().keeps);
        let blocks = Mutex::new(Blocks { keeps, of_size: BTreeMap::new() });
        let family = other.map(|other| other.family.clone()).unwrap_or_default();
        let cache = Arc::new(Cache { stream, blocks, family: family.clone() });
        let mut family = family.lock().unwrap_or_else(PoisonError::into_inner);
        family.retain(|cache| cache.strong_count() > 0);
        family.push(Arc::downgrade(&cache));
        cache
    }

    /// Whether blocks are kept from now on; if not, none stays.
    pub fn keep_blocks(&self, keep: bool) {
        self.locked().keeps = keep;
        if !keep {
            self.clear();
        }
    }

    /// Memory for `len` values, whose bits are whatever lay there.
    pub fn buffer<T: DeviceRepr + Pod>(self: &Arc<Cache>, len: usize) -> Result<Buffer<T>, DriverError> {
        // The driver allocates nothing but something: a buffer of no values has room for one that nobody sees.
        let least = len.max(1).checked_mul(size_of::<T>()).filter(|&bytes| bytes <= MOST);
        let least = least.ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        // cudarc's events would be made anew with each buffer, and making one may fail.
        let cached = self.locked().keeps && !CAPTURES.get() && !self.stream.context().is_event_tracking();
        let (at, memory) = if cached {
            let bytes = block_size(least);
            (self.block(bytes)?, Memory::Cached(self.clone(), bytes))
        } else {
            // SAFETY: any bits are a valid T.
            let slice = unsafe { self.stream.alloc::<T>(len.max(1)) }?;
            if len > 0 {
                return Ok(slice.into());
            }
            (slice.leak(), Memory::Driver)
        };
        // SAFETY: so many bytes lie there, which nobody else has, and any bits are a valid T.
        let slice = unsafe { self.stream.upgrade_device_ptr(at, len) };
        Ok(Buffer { slice: ManuallyDrop::new(slice), memory })
    }

    /// A block of that size that is kept, or a new one. Others would do, but then whoever wants those finds none: what came
    /// before may allocate again.
    fn block(&self, bytes: usize) -> Result<sys::CUdeviceptr, DriverError> {
        if let Some(at) = self.locked().of_size.get_mut(&bytes).and_then(Vec::pop) {
            return Ok(at);
        }
        match self.allocate(bytes) {
            // What is kept may be what the driver lacks, once all streams have come to where it is given back.
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY && self.clear_all() > 0 => {
                self.stream.context().synchronize()?;
                self.allocate(bytes)
            }
            done => done,
        }
    }

    fn allocate(&self, bytes: usize) -> Result<sys::CUdeviceptr, DriverError> {
        // SAFETY: any bits are a valid u8.
        unsafe { self.stream.alloc::<u8>(bytes) }.map(CudaSlice::leak)
    }

    fn keep(&self, at: sys::CUdeviceptr, bytes: usize) {
        let mut blocks = self.locked();
        match blocks.keeps && !CAPTURES.get() {
            true => blocks.of_size.entry(bytes).or_default().push(at),
            false => self.free(at, bytes),
        }
    }

    /// Gives every block of the family back to the driver, and says how many there were.
    pub fn clear_all(&self) -> usize {
        let family = self.family.lock().unwrap_or_else(PoisonError::into_inner).clone();
        family.iter().filter_map(Weak::upgrade).map(|cache| cache.clear()).sum()
    }

    fn clear(&self) -> usize {
        let blocks = std::mem::take(&mut self.locked().of_size);
        let all = blocks.into_iter().flat_map(|(bytes, some)| some.into_iter().map(move |at| (at, bytes)));
        all.map(|(at, bytes)| self.free(at, bytes)).count()
    }

    fn free(&self, at: sys::CUdeviceptr, bytes: usize) {
        let context = self.stream.context();
        context.record_err(context.bind_to_thread());
        // SAFETY: `allocate` made it, and nobody has it.
        drop(unsafe { self.stream.upgrade_device_ptr::<u8>(at, bytes) });
    }

    fn locked(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Of a buffer, in bytes; no device has so much.
const MOST: usize = usize::MAX / 4;

/// Sizes that clouds of about the same size share: a power of two, or a quarter, a half, three quarters more.
fn block_size(bytes: usize) -> usize {
    const LEAST: usize = 512;
    let bytes = bytes.max(LEAST);
    bytes.next_multiple_of(1 << (bytes.ilog2() - 2))
}
