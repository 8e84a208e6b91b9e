//! Small components join whole the component of the large-component point nearest to their first point (the authors'
//! `merge_small_components`; first is lowest here).

/// CPU reference.
pub mod cpu {
    use crate::{
        error::Result,
        ops::{
            expect_len,
            partition::knn::cpu::{Found, Tree},
        },
    };
    use rayon::prelude::*;

    /// Components of at most `small` points are merged; none is if all are small, where the authors' code fails.
    ///
    /// `points`: `[N]`; `labels`: the component of every point, `[N]`. Returns labels out of those that were there.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn merge_small(points: &[[f32; 3]], labels: &[u32], small: usize) -> Result<Vec<u32>> {
        expect_len("merge_small", "labels [N]", labels.len(), points.len())?;
        const NONE: u32 = u32::MAX;
        let components = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut count = vec![0usize; components];
        let mut first = vec![NONE; components];
        for (i, &label) in labels.iter().enumerate() {
            count[label as usize] += 1;
            first[label as usize] = first[label as usize].min(i as u32);
        }
        let large = (0..labels.len()).filter(|&i| count[labels[i] as usize] > small);
        let tree = Tree::with_indices(large.map(|i| (points[i], i as u32)));
        let into: Vec<u32> = (0..components as u32)
            .into_par_iter()
            .map_init(Found::default, |found, label| {
                let (count, first) = (count[label as usize], first[label as usize]);
                if count == 0 || count > small {
                    return label;
                }
                tree.nearest(points[first as usize], found).map_or(label, |point| labels[point as usize])
            })
            .collect();
        Ok(labels.iter().map(|&label| into[label as usize]).collect())
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, MergeSmallDims},
        },
        error::{Error, Result},
        ops::{basic::group::cuda::Groups, partition::knn::cuda::Tree},
    };
    use cudarc::driver::DevicePtr;

    const BLOCK: u32 = 256;
    const WARP: usize = 32;
    /// Blocks that look for components: a warp takes several where there are more.
    const MOST_BLOCKS: u32 = 1024;

    /// Components of at most `small` points are merged; none is if all are small.
    ///
    /// `positions`: `[N, 3]`, those that the tree was built from; `components`: groups of all the tree's points. Returns the
    /// component of every point, out of those that were there, `[N]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Memory`] if there is not enough memory, [`Error::Device`] if
    /// the driver refuses.
    pub fn merge_small(
        gpu: &Gpu,
        positions: &impl DevicePtr<f32>,
        tree: &Tree,
        components: &Groups,
        small: usize,
    ) -> Result<Buffer<u32>> {
        let n = tree.len();
        let Groups { of_point, offsets, points, count } = components;
        if positions.len() < 3 * n || of_point.len() < n {
            return Err(Error::invalid(format!(
                "merge_small: positions must be [{n}, 3] and components have room for {n} points, not {} values and {}",
                positions.len(),
                of_point.len()
            )));
        }
        let (items, boxes) = tree.buffers();
        let small = small.min(n) as u32;
        let d = MergeSmallDims { points: n as u32, small };
        let (mut into, mut merged) = (gpu.alloc(n)?, gpu.alloc(n)?);
        let [all, ..] = blocks(WARP * n, BLOCK);
        let grid = [all.min(MOST_BLOCKS), 1, 1];
        kernels::merge_small_find(
            gpu, grid, positions, of_point, offsets, points, count, items, boxes, &mut into, d,
        )?;
        kernels::merge_small_join(gpu, blocks(n, BLOCK), of_point, &into, &mut merged, d)?;
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::merge_small;

    #[test]
    fn the_first_point_decides() {
        // Component 2 = points 4 and 5: its first point is nearest to component 1, its second to component 0.
        let points = [0.0, 0.1, 0.9, 1.0, 0.8, 0.2].map(|x| [x, 0.0, 0.0]);
        assert_eq!(merge_small(&points, &[0, 0, 1, 1, 2, 2], 1).unwrap(), [0, 0, 1, 1, 2, 2]);
        let points = [0.0, 0.1, 0.05, 0.9, 1.0, 0.95, 0.8, 0.2].map(|x| [x, 0.0, 0.0]);
        assert_eq!(merge_small(&points, &[0, 0, 0, 1, 1, 1, 2, 2], 2).unwrap(), [0, 0, 0, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn equal_distances_go_to_the_lowest_point() {
        let points = [0.0, 0.0, 0.5, 1.0, 1.0].map(|x| [x, 0.0, 0.0]);
        assert_eq!(merge_small(&points, &[3, 3, 0, 1, 1], 1).unwrap(), [3, 3, 3, 1, 1]);
    }

    #[test]
    fn all_small_stay() {
        assert_eq!(merge_small(&[[0.0; 3]; 3], &[0, 2, 1], 10).unwrap(), [0, 2, 1]);
        assert!(merge_small(&[], &[], 10).unwrap().is_empty());
    }
}
