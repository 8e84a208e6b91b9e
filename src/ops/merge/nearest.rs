//! The nearest point of another cloud, if it is near enough.

/// CPU reference.
pub mod cpu {
    use crate::ops::partition::knn::cpu::{Found, Tree};
    use rayon::prelude::*;

    /// Of every query the nearest of `points`, of as near ones the first; -1 if its distance, in f32, is not below `radius`.
    /// `points`: `[N]`; `queries`: `[Q]`; returns `[Q]`.
    pub fn within(points: &[[f32; 3]], queries: &[[f32; 3]], radius: f64) -> Vec<i32> {
        let tree = Tree::new(points);
        let nearest = |found: &mut Found, &query: &[f32; 3]| {
            tree.within(query, f32::INFINITY, 1, found);
            let near = found.iter().find(|&(_, squared)| f64::from(squared.sqrt()) < radius);
            near.map_or(-1, |(index, _)| index as i32)
        };
        queries.par_iter().map_init(Found::default, nearest).collect()
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, NearestDims},
        },
        error::{Error, Result},
        ops::partition::knn::cuda::Tree,
    };
    use cudarc::driver::DevicePtr;

    const WARP: usize = 32;

    /// Where some points lie, `[points, 3]`. `positions`: `[N, 3]`; `points`: below N.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn positions(
        gpu: &Gpu,
        positions: &impl DevicePtr<f32>,
        points: &Buffer<u32>,
    ) -> Result<Buffer<f32>> {
        let n = check(points.len())?;
        let mut there = gpu.alloc(3 * points.len())?;
        let d = NearestDims { radius: 0.0, points: n, queries: 0 };
        kernels::nearest_positions(gpu, blocks(3 * points.len(), 256), positions, points, &mut there, d)?;
        Ok(there)
    }

    /// As the reference. `points`: `[N, 3]`; `queries`: `[Q, 3]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are too many, [`Error::Device`] if the driver refuses.
    pub fn within(
        gpu: &Gpu,
        points: &Buffer<f32>,
        queries: &impl DevicePtr<f32>,
        radius: f64,
    ) -> Result<Buffer<i32>> {
        let (n, q) = (points.len() / 3, queries.len() / 3);
        let d = NearestDims { radius, points: check(n)?, queries: check(q)? };
        if n == 0 {
            return gpu.upload(&vec![-1; q]);
        }
        let tree = Tree::build(gpu, points, n)?;
        let (items, boxes) = tree.buffers();
        let mut found = gpu.alloc(q)?;
        kernels::nearest_within(gpu, blocks(WARP * q, 256), items, boxes, queries, &mut found, d)?;
        Ok(found)
    }

    fn check(points: usize) -> Result<u32> {
        match u32::try_from(points) {
            Ok(n) if points <= i32::MAX as usize / WARP => Ok(n),
            _ => Err(Error::invalid(format!(
                "nearest: {points} points; the limit on a CUDA device is {}",
                i32::MAX as usize / WARP
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::within;

    #[test]
    fn the_radius_itself_is_too_far() {
        let points = [[0.0; 3], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]];
        let queries = [[0.5, 0.0, 0.0], [0.75, 0.0, 0.0], [1.0, 0.0, 0.5]];
        assert_eq!(within(&points, &queries, 0.5), [-1, 1, -1]);
        assert_eq!(within(&points, &queries, 0.5f64.next_up()), [0, 1, 1]);
        assert_eq!(within(&[], &queries, 9.0), [-1; 3]);
    }
}
