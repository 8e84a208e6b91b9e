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
        error::Result,
        ops::{expect_fours, expect_len},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    /// Blocks that are enough to keep a device's memory busy.
    const BLOCKS: u32 = 1024;

    /// Adds their number to `total`, one value. The values begin at a multiple of 16 bytes, as those of a buffer do.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if they do not or `total` is not one value,
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn count(gpu: &Gpu, values: &impl DevicePtr<f32>, total: &mut impl DevicePtrMut<u32>) -> Result<()> {
        expect_len("nan", "total", total.len(), 1)?;
        expect_fours(gpu, "nan", "values", values)?;
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
