//! The driver's pool of a device's memory, from which everything of ours is allocated.

use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::ffi::c_void;

/// Lets the pool keep what is freed.
pub(super) fn keep_all(context: &CudaContext) -> Result<(), DriverError> {
    let Some(pool) = of(context)? else { return Ok(()) };
    let all = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool belongs to the device, and the attribute is a u64.
    unsafe { sys::cuMemPoolSetAttribute(pool, threshold, &raw const all as *mut c_void).result() }
}

/// Gives back to the driver what the pool keeps and nobody uses.
pub(super) fn trim(context: &CudaContext) -> Result<(), DriverError> {
    let Some(pool) = of(context)? else { return Ok(()) };
    // SAFETY: the pool belongs to the device; what is in use stays.
    unsafe { sys::cuMemPoolTrimTo(pool, 0).result() }
}

/// The pool, if the driver has one for this device.
fn of(context: &CudaContext) -> Result<Option<sys::CUmemoryPool>, DriverError> {
    if !context.has_async_alloc() {
        return Ok(None);
    }
    // SAFETY: the context keeps the device.
    unsafe { result::device::get_default_mem_pool(context.cu_device()) }.map(Some)
}
