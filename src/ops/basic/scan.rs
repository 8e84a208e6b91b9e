//! Exclusive prefix sums: `offsets[i] = sum of values[j] over j < i`, for i = 0..N, so that `offsets[N]` is the sum of all.

/// CPU reference.
pub mod cpu {
    /// `values`: `[N]`, with a sum below 2^32. Returns `[N + 1]`.
    pub fn exclusive(values: &[u32]) -> Vec<u32> {
        let mut offsets = Vec::with_capacity(values.len() + 1);
        let mut sum = 0;
        offsets.push(0);
        offsets.extend(values.iter().map(|&value| {
            sum += value;
            sum
        }));
        offsets
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{Buffer, Gpu, kernels},
        error::{Error, Result},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const TILE: usize = 2048;

    /// Words of `told` before those of the tiles.
    const COUNTS: usize = 2;

    /// What the sums of up to `most` values need beside them.
    #[derive(Debug)]
    pub struct Workspace {
        /// What the blocks tell each other, `[2 + T]`; 0 between the uses.
        told: Buffer<u64>,
    }

    impl Workspace {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Workspace> {
            Ok(Workspace { told: gpu.zeros(COUNTS + most.div_ceil(TILE))? })
        }
    }

    /// The sums of the first `count` values; nothing is read or written beyond them.
    ///
    /// `values`: `[count]`; `offsets`: `[count + 1]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn exclusive(
        gpu: &Gpu,
        values: &impl DevicePtr<u32>,
        count: usize,
        offsets: &mut impl DevicePtrMut<u32>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let tiles = count.div_ceil(TILE);
        let Workspace { told } = workspace;
        if count >= 1 << 31 || values.len() < count || offsets.len() <= count || told.len() < COUNTS + tiles {
            return Err(Error::invalid(format!(
                "scan: {count} values (below 2^31) need buffers of {count}, {} and {}, not {}, {} and {}",
                count + 1,
                COUNTS + tiles,
                values.len(),
                offsets.len(),
                told.len()
            )));
        }
        if count == 0 {
            return gpu.clear(offsets);
        }
        let d = kernels::ScanDims { count: count as u32 };
        kernels::scan_offsets(gpu, [tiles as u32, 1, 1], values, offsets, told, d)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::exclusive;

    #[test]
    fn counts_what_comes_before() {
        assert_eq!(exclusive(&[3, 0, 2]), [0, 3, 3, 5]);
        assert_eq!(exclusive(&[]), [0]);
    }
}
