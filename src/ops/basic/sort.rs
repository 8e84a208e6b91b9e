//! Stable sort of pairs by unsigned keys: the order of equal keys stays.

/// CPU reference.
pub mod cpu {
    /// `keys`, `values`: `[N]`. Returns both in the order of the keys.
    pub fn pairs<K: Copy + Ord>(keys: &[K], values: &[u32]) -> (Vec<K>, Vec<u32>) {
        let mut pairs: Vec<(K, u32)> = keys.iter().copied().zip(values.iter().copied()).collect();
        pairs.sort_by_key(|&(key, _)| key);
        pairs.into_iter().unzip()
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu,
            kernels::{self, SortDims},
        },
        error::{Error, Result},
        ops::basic::scan,
    };
    use cudarc::driver::DeviceRepr;

    const TILE: usize = 2048;
    const DIGITS: usize = 256;
    const BITS: u32 = 8;

    /// Keys and what goes with them.
    #[derive(Debug)]
    pub struct Pairs<K> {
        /// `[most]`.
        pub keys: Buffer<K>,
        /// `[most]`.
        pub values: Buffer<u32>,
    }

    impl<K: Key> Pairs<K> {
        /// Room for `most` pairs, not yet written.
        ///
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Pairs<K>> {
            Ok(Pairs { keys: gpu.alloc(most)?, values: gpu.alloc(most)? })
        }

        fn capacity(&self) -> usize {
            self.keys.len().min(self.values.len())
        }
    }

    /// What the sort of up to `most` pairs needs beside them.
    #[derive(Debug)]
    pub struct Workspace<K> {
        other: Pairs<K>,
        counts: Buffer<u32>,
        offsets: Buffer<u32>,
        scan: scan::cuda::Workspace,
    }

    impl<K: Key> Workspace<K> {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Workspace<K>> {
            let counts = DIGITS * most.div_ceil(TILE);
            Ok(Workspace {
                other: Pairs::new(gpu, most)?,
                counts: gpu.alloc(counts)?,
                offsets: gpu.alloc(counts + 1)?,
                scan: scan::cuda::Workspace::new(gpu, counts)?,
            })
        }
    }

    /// Sorts the first `count` pairs by the lowest `bits` bits of their keys, the only ones that may be set. Every 8 bits
    /// take a pass, after which `pairs` and the workspace have swapped their buffers: make both of one size.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn pairs<K: Key>(
        gpu: &Gpu,
        pairs: &mut Pairs<K>,
        count: usize,
        bits: u32,
        workspace: &mut Workspace<K>,
    ) -> Result<()> {
        let Workspace { other, counts, offsets, scan } = workspace;
        let room = pairs.capacity().min(other.capacity());
        if count > room || count >= 1 << 31 {
            return Err(Error::invalid(format!(
                "sort: {count} pairs do not fit buffers for {room}, or are 2^31 or more"
            )));
        }
        let tiles = count.div_ceil(TILE);
        let grid = [tiles as u32, 1, 1];
        for shift in (0..bits).step_by(BITS as usize) {
            let d = SortDims { count: count as u32, tiles: tiles as u32, shift };
            K::histogram(gpu, grid, &pairs.keys, counts, d)?;
            scan::cuda::exclusive(gpu, counts, DIGITS * tiles, offsets, scan)?;
            K::scatter(gpu, grid, pairs, offsets, other, d)?;
            std::mem::swap(pairs, other);
        }
        Ok(())
    }

    /// A type of keys that there are kernels for.
    pub trait Key: DeviceRepr + bytemuck::Pod {
        #[doc(hidden)]
        fn histogram(
            gpu: &Gpu,
            grid: [u32; 3],
            keys: &Buffer<Self>,
            counts: &mut Buffer<u32>,
            d: SortDims,
        ) -> Result<()>;

        #[doc(hidden)]
        fn scatter(
            gpu: &Gpu,
            grid: [u32; 3],
            from: &Pairs<Self>,
            offsets: &Buffer<u32>,
            to: &mut Pairs<Self>,
            d: SortDims,
        ) -> Result<()>;
    }

    macro_rules! key {
        ($key:ty, $histogram:ident, $scatter:ident) => {
            impl Key for $key {
                fn histogram(
                    gpu: &Gpu,
                    grid: [u32; 3],
                    keys: &Buffer<$key>,
                    counts: &mut Buffer<u32>,
                    d: SortDims,
                ) -> Result<()> {
                    kernels::$histogram(gpu, grid, &keys.slice(..d.count as usize), counts, d)
                }

                fn scatter(
                    gpu: &Gpu,
                    grid: [u32; 3],
                    from: &Pairs<$key>,
                    offsets: &Buffer<u32>,
                    to: &mut Pairs<$key>,
                    d: SortDims,
                ) -> Result<()> {
                    let count = d.count as usize;
                    let (keys, values) = (from.keys.slice(..count), from.values.slice(..count));
                    let mut to = (to.keys.slice_mut(..count), to.values.slice_mut(..count));
                    kernels::$scatter(gpu, grid, &keys, &values, offsets, &mut to.0, &mut to.1, d)
                }
            }
        };
    }
    key!(u32, sort_histogram_u32, sort_scatter_u32);
    key!(u64, sort_histogram_u64, sort_scatter_u64);
}

#[cfg(test)]
mod tests {
    use super::cpu::pairs;

    #[test]
    fn equal_keys_keep_their_order() {
        assert_eq!(pairs(&[3u64, 1, 3, 1], &[10, 11, 12, 13]), (vec![1, 1, 3, 3], vec![11, 13, 10, 12]));
    }
}
