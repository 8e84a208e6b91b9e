//! Devices, and the threads of the CPU.

use crate::{
    arguments::{given, make, put, text},
    status::{free, guard, partstad_status, string},
};
use rust::{Device, Error, Result};
use std::ffi::{CString, c_char, c_void};

/// Where pipelines compute. May be used by any number of threads.
pub struct partstad_device {
    pub(crate) device: Device,
    name: CString,
}

impl From<Device> for partstad_device {
    fn from(device: Device) -> partstad_device {
        partstad_device { name: string(&device.to_string()), device }
    }
}

/// Opens a device: "cpu", "cuda" (the first), "cuda:1" and so on, or "auto", which is the CUDA device with the most
/// free memory and else the CPU.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_device_open(
    name: *const c_char,
    device: *mut *mut partstad_device,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    unsafe { make(device, "device", || Ok(given(text(name, "name")?, "name")?.parse::<Device>()?.into())) }
}

/// Works on a stream of the caller's, a `CUstream` or `cudaStream_t`, so that the caller's work and the library's run in
/// order without a wait; NULL is the default stream. The stream's context must be current on this thread, and be the
/// device's primary one, as the CUDA runtime has it. The stream must live until the device and all that was made with it
/// (pipelines, clouds, views, results) are freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_device_on_stream(
    stream: *mut c_void,
    device: *mut *mut partstad_device,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    unsafe { make(device, "device", || Ok(on_stream(stream)?.into())) }
}

#[cfg(feature = "cuda")]
unsafe fn on_stream(stream: *mut c_void) -> Result<Device> {
    // SAFETY: the caller's.
    unsafe { rust::device::gpu::Gpu::on_raw_stream(stream) }.map(Device::Cuda)
}

#[cfg(not(feature = "cuda"))]
unsafe fn on_stream(_: *mut c_void) -> Result<Device> {
    Device::cuda(0)
}

/// The device's name, such as "cuda:0"; lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_device_name(
    device: Option<&partstad_device>,
    name: *mut *const c_char,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { put(name, given(device, "device")?.name.as_ptr(), "name") })
}

/// Waits for the device, and gives back to the driver the memory that the library keeps there for the next cloud. A CPU keeps
/// none.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_device_trim(device: Option<&partstad_device>) -> partstad_status {
    guard(|| given(device, "device")?.device.trim())
}

/// Frees a device. Pipelines that were made with it keep what they need. NULL is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_device_free(device: Option<Box<partstad_device>>) {
    free(device);
}

/// Starts the threads that all pipelines of the process compute on; 0 = one per core, which is what happens without
/// this call. Results do not depend on their number. Call it before anything else; afterwards it is an error.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_start_threads(threads: usize) -> partstad_status {
    guard(|| {
        const MOST: usize = 1024;
        if threads > MOST {
            return Err(Error::invalid(format!("{threads} threads; the limit is {MOST}")));
        }
        let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        built.map_err(|e| Error::invalid(format!("the threads do not start: {e}")))
    })
}
