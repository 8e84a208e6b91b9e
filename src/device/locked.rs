//! Page-locked host memory, into which a device copies by itself.

use cudarc::driver::{CudaContext, DriverError, result};
use std::{ptr::NonNull, slice, sync::Arc};

/// As much as was ever asked for.
#[derive(Default)]
pub(super) struct Locked(Option<Block>);

struct Block {
    context: Arc<CudaContext>,
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is the block's alone, and freed in its context from any thread.
unsafe impl Send for Block {}

/// Locking and freeing may wait for the whole device, so it is done seldom.
const LEAST: usize = 1 << 20;

impl Locked {
    /// So many bytes.
    pub fn room(&mut self, context: &Arc<CudaContext>, bytes: usize) -> Result<&mut [u8], DriverError> {
        if self.0.as_ref().is_none_or(|block| block.bytes < bytes) {
            self.0 = None;
            self.0 = Some(Block::new(context, bytes.max(LEAST).next_power_of_two())?);
        }
        let block = self.0.as_mut().expect("made above");
        // SAFETY: so many bytes are there, written when the block was made, and borrowed with it.
        Ok(unsafe { slice::from_raw_parts_mut(block.at.as_ptr(), bytes) })
    }
}

impl Block {
    fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Block, DriverError> {
        context.bind_to_thread()?;
        // SAFETY: what comes back is freed once, by `drop`.
        let at = unsafe { result::malloc_host(bytes, 0) }?;
        let at = NonNull::new(at.cast::<u8>()).expect("the driver gives memory or an error");
        // SAFETY: so many bytes are there.
        unsafe { at.write_bytes(0, bytes) };
        Ok(Block { context: context.clone(), at, bytes })
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: the driver made it, and no copy to it is under way.
        let free = || unsafe { result::free_host(self.at.as_ptr().cast()) };
        self.context.record_err(self.context.bind_to_thread().and_then(|()| free()));
    }
}
