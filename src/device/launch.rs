//! Launches of kernels, and what a profile tells of them.

use crate::{
    device::{
        gpu::{Gpu, failed, kernels},
        profile::{Launch, Seen},
    },
    error::Result,
};
use cudarc::driver::{CudaEvent, CudaFunction, DriverError, result, sys};
use std::ffi::c_void;

impl Gpu {
    /// What `work` returns, and the launches that it made on this stream, in order. The events around each launch cost a
    /// few microseconds of the whole, which is therefore no measure of `work`. A launch for which the stream waits is timed
    /// with that wait: let the stream have something else to do before.
    ///
    /// # Errors
    /// What `work` returns; [`Error::Device`](crate::Error::Device) if anything on the stream failed.
    pub fn profile<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Vec<Launch>)> {
        let profile = &self.0.profile;
        profile.take();
        profile.set_runs(true);
        let value = work();
        profile.set_runs(false);
        let seen = profile.take();
        let value = value?;
        self.synchronize()?;
        let read = |(index, bytes, [begin, end]): &Seen| {
            let milliseconds = begin.elapsed_ms(end).map_err(failed("timing a kernel"))?;
            Ok(Launch { kernel: kernels::KERNELS[*index].0, bytes: *bytes, milliseconds })
        };
        let launches = seen.iter().map(read).collect::<Result<_>>()?;
        profile.spare(seen.into_iter().flat_map(|(.., events)| events));
        Ok((value, launches))
    }

    fn event(&self) -> Result<CudaEvent> {
        let (stream, timing) = (self.stream(), Some(sys::CUevent_flags::CU_EVENT_DEFAULT));
        let event = self.0.profile.spared().map_or_else(|| stream.context().new_event(timing), Ok);
        let recorded = event.and_then(|event| event.record(stream).map(|()| event));
        recorded.map_err(failed("timing a kernel"))
    }

    /// Launches kernel `index` of [`kernels::KERNELS`]; a grid without blocks is nothing to do. If its blocks wait for each
    /// other, there are no more along x than the device holds at a time. `bytes`: of its arrays.
    ///
    /// # Safety
    /// `arguments` must point to values of the kernel's parameter types, its pointers to enough memory of this device.
    pub(super) unsafe fn launch(
        &self,
        index: usize,
        grid: [u32; 3],
        bytes: usize,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        let (name, block, cooperative) = kernels::KERNELS[index];
        let stream = self.stream();
        stream.context().bind_to_thread().map_err(|e| failed(name)(e))?;
        let function = &self.0.functions[index];
        let [mut x, y, z] = grid;
        if cooperative {
            let most = self.resident_blocks(function, block).map_err(|e| failed(name)(e))?;
            x = x.min(most / (y * z)).max(1);
        }
        let profile = &self.0.profile;
        let begin = profile.runs().then(|| self.event()).transpose()?;
        let launch = if cooperative { result::launch_cooperative_kernel } else { result::launch_kernel };
        let launched = loop {
            let (function, stream) = (function.cu_function(), stream.cu_stream());
            // SAFETY: the caller's; function and stream live as long as `self`.
            let launched = unsafe { launch(function, (x, y, z), (block, 1, 1), 0, stream, arguments) };
            let too_large = Err(DriverError(sys::CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE));
            if !cooperative || launched != too_large || x <= 1 {
                break launched;
            }
            // The stream may have a part of the device only.
            x /= 2;
        };
        launched.map_err(|e| failed(&format!("launching {name} on a grid of {x} x {y} x {z}"))(e))?;
        if let Some(begin) = begin {
            profile.note((index, bytes, [begin, self.event()?]));
        }
        Ok(())
    }

    /// Blocks of so many threads that the device holds at a time.
    fn resident_blocks(&self, function: &CudaFunction, block: u32) -> Result<u32, DriverError> {
        let each = function.occupancy_max_active_blocks_per_multiprocessor(block, 0, None)?;
        let of = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        Ok(each * self.stream().context().attribute(of)? as u32)
    }
}
