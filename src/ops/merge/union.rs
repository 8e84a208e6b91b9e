//! One point of each place: the first of those with equal keys, in the order of the keys.
//!
//! The key of a point is its number, or the hash of the voxel that it lies in.
//!
//! QUIRK first: of a voxel one point is kept as it is, with its group, and neither their mean nor a vote. The authors' code keeps
//! an unspecified one; this is what it does with a stable sort.

/// CPU reference.
pub mod cpu {
    /// A 64-bit hash (FNV) of the cell of every point, counted from the lowest cell of all along each axis, `[N]`.
    pub fn hashes(cells: &[[i32; 3]]) -> Vec<u64> {
        let low = |axis: usize| cells.iter().map(|cell| cell[axis]).min().unwrap_or(0);
        let low = [low(0), low(1), low(2)];
        let next = |hash: u64, (&x, low): (&i32, i32)| {
            hash.wrapping_mul(1_099_511_628_211) ^ (i64::from(x) - i64::from(low)) as u64
        };
        cells.iter().map(|cell| cell.iter().zip(low).fold(14_695_981_039_346_656_037, next)).collect()
    }

    /// The first row of each key, in the order of the keys. `keys`: `[N]`.
    pub fn firsts(keys: &[u64]) -> Vec<u32> {
        let mut rows: Vec<u32> = (0..keys.len() as u32).collect();
        rows.sort_by_key(|&row| keys[row as usize]);
        rows.dedup_by_key(|row| keys[*row as usize]);
        rows
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, UnionDims},
        },
        error::Result,
        ops::{
            basic::{
                scan,
                sort::{self, cuda::Pairs},
            },
            merge::frame::cuda::Frame,
        },
    };

    /// Blocks that look for the lowest cell: each warp adds three atomics.
    const BLOCKS: u32 = 64;

    /// One row of each place, in the order of their keys: the hash of the point's cell, or without `cells` its number. Waits for
    /// how many there are.
    ///
    /// `points`: below N; `cells`: `[N, 3]`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn rows(gpu: &Gpu, points: &Buffer<u32>, cells: Option<&Buffer<i32>>) -> Result<Buffer<u32>> {
        let n = points.len();
        let (grid, d) = (blocks(n, 256), UnionDims { points: n as u32 });
        let mut order = Pairs::<u64>::new(gpu, n)?;
        let bits = match cells {
            Some(cells) => {
                let mut low = gpu.zeros(3)?;
                kernels::union_low(gpu, [grid[0].min(BLOCKS), 1, 1], cells, points, &mut low, d)?;
                kernels::union_hashes(gpu, grid, cells, points, &low, &mut order.keys, &mut order.values, d)?;
                u64::BITS
            }
            None => {
                kernels::union_numbers(gpu, grid, points, &mut order.keys, &mut order.values, d)?;
                u32::BITS
            }
        };
        sort::cuda::pairs(gpu, &mut order, n, bits, &mut sort::cuda::Workspace::new(gpu, n)?)?;
        let (mut starts, mut places) = (gpu.alloc(n)?, gpu.alloc(n + 1)?);
        kernels::union_starts(gpu, grid, &order.keys, &mut starts, d)?;
        let mut workspace = scan::cuda::Workspace::new(gpu, n)?;
        scan::cuda::exclusive(gpu, &starts, n, &mut places, &mut workspace)?;
        let mut rows = gpu.alloc(gpu.download(&places.slice(n..))?[0] as usize)?;
        kernels::union_rows(gpu, grid, &starts, &order.values, &places, &mut rows, d)?;
        Ok(rows)
    }

    /// Some rows of a frame.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn gather(gpu: &Gpu, frame: &Frame, rows: &Buffer<u32>) -> Result<Frame> {
        let n = rows.len();
        let mut to = Frame { points: gpu.alloc(n)?, groups: gpu.alloc(n)? };
        let d = UnionDims { points: n as u32 };
        let Frame { points, groups } = frame;
        kernels::union_gather(gpu, blocks(n, 256), points, groups, rows, &mut to.points, &mut to.groups, d)?;
        Ok(to)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::*;

    #[test]
    fn the_first_of_a_place_stays() {
        assert_eq!(firsts(&[7, 3, 7, 3, 9]), [1, 0, 4]);
        let keys = hashes(&[[-1, 0, 4], [-1, 0, 5], [-1, 0, 4], [0, 0, 4]]);
        assert_eq!(keys[0], keys[2]);
        assert!(keys[0] != keys[1] && keys[0] != keys[3] && keys[1] != keys[3]);
        assert_eq!(hashes(&[[9, 9, 9]]), hashes(&[[0, 0, 0]]), "cells count from the lowest");
    }
}
