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
            Buffer, Gpu, ViewMut,
            kernels::{self, SortDims},
        },
        error::{Error, Result},
    };
    use cudarc::driver::DeviceRepr;

    const TILE: usize = 2048;
    const DIGITS: usize = 256;
    const BITS: usize = 8;
    const MOST_PASSES: usize = u64::BITS as usize / BITS;
    /// Blocks that count digits: some for each multiprocessor.
    const COUNTING: usize = 512;

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
        /// How often each pass meets each digit, `[P, 256]`, then how many tiles it has begun, `[P]`.
        counts: Buffer<u32>,
        /// What the blocks of a pass tell each other, `[T, 256]`.
        told: Buffer<u64>,
    }

    impl<K: Key> Workspace<K> {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Workspace<K>> {
            Ok(Workspace {
                other: Pairs::new(gpu, most)?,
                counts: gpu.alloc(MOST_PASSES * (DIGITS + 1))?,
                told: gpu.alloc(DIGITS * most.div_ceil(TILE))?,
            })
        }
    }

    /// The lowest bits that keys below `most` may have set.
    pub fn bits(most: usize) -> u32 {
        usize::BITS - most.saturating_sub(1).leading_zeros()
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
        pairs_up_to(gpu, pairs, count, None, bits, workspace)
    }

    /// The same of as many pairs as `count` says, `[1]`, but no more than `most`.
    ///
    /// # Errors
    /// As [`pairs()`].
    pub fn pairs_up_to<K: Key>(
        gpu: &Gpu,
        pairs: &mut Pairs<K>,
        most: usize,
        count: Option<&Buffer<u32>>,
        bits: u32,
        workspace: &mut Workspace<K>,
    ) -> Result<()> {
        let Workspace { other, counts, told } = workspace;
        // The sorts before may have swapped buffers of other sizes in.
        let room = pairs.capacity().min(other.capacity()).min(told.len() / DIGITS * TILE);
        if most > room || most >= 1 << 31 {
            return Err(Error::invalid(format!(
                "sort: {most} pairs do not fit buffers for {room}, or are 2^31 or more"
            )));
        }
        let bits = (bits as usize).min(8 * size_of::<K>());
        let (tiles, passes) = (most.div_ceil(TILE), bits.div_ceil(BITS));
        if tiles == 0 || passes == 0 {
            return Ok(());
        }
        let mut d = SortDims { count: most as u32, tiles: tiles as u32, passes: passes as u32, pass: 0 };
        let mut counts = counts.slice_mut(..passes * (DIGITS + 1));
        gpu.clear(&mut counts)?;
        let (mut counts, mut tickets) = counts.split_at_mut(passes * DIGITS);
        let told = &mut told.slice_mut(..tiles * DIGITS);
        K::digits(gpu, [tiles.min(COUNTING) as u32, 1, 1], &pairs.keys, count, &mut counts, told, d)?;
        for pass in 0..passes {
            d.pass = pass as u32;
            K::scatter(gpu, [tiles as u32, 1, 1], pairs, count, &counts, &mut tickets, told, other, d)?;
            std::mem::swap(pairs, other);
        }
        Ok(())
    }

    /// A type of keys that there are kernels for.
    pub trait Key: DeviceRepr + bytemuck::Pod {
        #[doc(hidden)]
        fn digits(
            gpu: &Gpu,
            grid: [u32; 3],
            keys: &Buffer<Self>,
            count: Option<&Buffer<u32>>,
            counts: &mut ViewMut<'_, u32>,
            told: &mut ViewMut<'_, u64>,
            d: SortDims,
        ) -> Result<()>;

        #[doc(hidden)]
        #[allow(clippy::too_many_arguments)]
        fn scatter(
            gpu: &Gpu,
            grid: [u32; 3],
            from: &Pairs<Self>,
            count: Option<&Buffer<u32>>,
            counts: &ViewMut<'_, u32>,
            tickets: &mut ViewMut<'_, u32>,
            told: &mut ViewMut<'_, u64>,
            to: &mut Pairs<Self>,
            d: SortDims,
        ) -> Result<()>;
    }

    macro_rules! key {
        ($key:ty, $digits:ident, $scatter:ident) => {
            impl Key for $key {
                fn digits(
                    gpu: &Gpu,
                    grid: [u32; 3],
                    keys: &Buffer<$key>,
                    count: Option<&Buffer<u32>>,
                    counts: &mut ViewMut<'_, u32>,
                    told: &mut ViewMut<'_, u64>,
                    d: SortDims,
                ) -> Result<()> {
                    kernels::$digits(gpu, grid, &keys.slice(..d.count as usize), count, counts, told, d)
                }

                fn scatter(
                    gpu: &Gpu,
                    grid: [u32; 3],
                    from: &Pairs<$key>,
                    count: Option<&Buffer<u32>>,
                    counts: &ViewMut<'_, u32>,
                    tickets: &mut ViewMut<'_, u32>,
                    told: &mut ViewMut<'_, u64>,
                    to: &mut Pairs<$key>,
                    d: SortDims,
                ) -> Result<()> {
                    let most = d.count as usize;
                    let (keys, values) = (from.keys.slice(..most), from.values.slice(..most));
                    let mut to = (to.keys.slice_mut(..most), to.values.slice_mut(..most));
                    kernels::$scatter(
                        gpu, grid, &keys, &values, count, counts, tickets, told, &mut to.0, &mut to.1, d,
                    )
                }
            }
        };
    }
    key!(u32, sort_digits_u32, sort_scatter_u32);
    key!(u64, sort_digits_u64, sort_scatter_u64);
}

#[cfg(test)]
mod tests {
    use super::cpu::pairs;

    #[test]
    fn equal_keys_keep_their_order() {
        assert_eq!(pairs(&[3u64, 1, 3, 1], &[10, 11, 12, 13]), (vec![1, 1, 3, 3], vec![11, 13, 10, 12]));
    }
}
