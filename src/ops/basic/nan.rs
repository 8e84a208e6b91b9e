//! How many values are not a number.

/// CPU reference.
pub mod cpu {
    /// Counts them.
    pub fn count(values: &[f32]) -> u32 {
        values.iter().filter(|value| value.is_nan()).count() as u32
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Gpu, blocks,
            kernels::{self, NanDims},
        },
        error::{Error, Result},
        ops::expect_len,
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    /// Blocks that are enough to keep a device's memory busy.
    const BLOCKS: u32 = 1024;

    /// Adds their number to `total`, one value. The values begin at a multiple of four within their buffer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they do not or `total` is not one value, [`Error::Device`] if the driver refuses.
    pub fn count(gpu: &Gpu, values: &impl DevicePtr<f32>, total: &mut impl DevicePtrMut<u32>) -> Result<()> {
        expect_len("nan", "total", total.len(), 1)?;
        // The kernel reads four at a time.
        let (address, _order) = values.device_ptr(gpu.stream());
        if !address.is_multiple_of(16) {
            return Err(Error::invalid(format!(
                "nan: the values begin at address {address:#x}, not at a multiple of 16; slice buffers at a multiple of four"
            )));
        }
        let [all, ..] = blocks(values.len().div_ceil(4), 256);
        kernels::nan_count(
            gpu,
            [all.min(BLOCKS), 1, 1],
            values,
            total,
            NanDims { values: values.len() as u64 },
        )
    }
}
