//! On a CUDA device: bit for bit what the reference finds.

use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, KnnDims, KnnLevelDims},
    },
    error::{Error, Result},
    ops::basic::sort::{self, cuda::Pairs},
};
use cudarc::driver::DevicePtr;

/// Most points that a search can find: one for each lane of a warp.
pub const MOST: usize = 32;
const BLOCK: u32 = 256;
const WARP: usize = 32;
/// Bits of a key: 16 an axis.
const KEY_BITS: u32 = 48;
/// Blocks that look for the cloud's bounds: every one of them adds six atomics.
const BOUNDS_BLOCKS: u32 = 264;

/// Points arranged for searching: along Hilbert's curve, with a box around every 32, around every 32 boxes and so on.
#[derive(Debug)]
pub struct Tree {
    points: usize,
    items: Buffer<f32>,
    boxes: Buffer<f32>,
}

impl Tree {
    /// Arranges the first `n` of `points`, `[n, 3]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are fewer or too many, [`Error::Memory`] if there is not enough memory,
    /// [`Error::Device`] if the driver refuses.
    pub fn build(gpu: &Gpu, points: &impl DevicePtr<f32>, n: usize) -> Result<Tree> {
        if points.len() < 3 * n {
            return Err(Error::invalid(format!("knn: points must be [{n}, 3], not {} values", points.len())));
        }
        // A search has a warp for each point, and 32 bits for its threads.
        if n > i32::MAX as usize / WARP {
            let most = i32::MAX as usize / WARP;
            return Err(Error::invalid(format!("knn: {n} points; the limit on a CUDA device is {most}")));
        }
        let (mut items, mut boxes) = (gpu.alloc(4 * n)?, gpu.alloc(8 * levels(n).sum::<usize>())?);
        if n > 0 {
            let (mut bounds, mut order) = (gpu.zeros(6)?, Pairs::<u64>::new(gpu, n)?);
            let d = KnnDims { points: n as u32, width: 0, neighbors: 0 };
            let [all, ..] = blocks(n, BLOCK);
            kernels::knn_bounds(gpu, [all.min(BOUNDS_BLOCKS), 1, 1], points, &mut bounds, d)?;
            kernels::knn_keys(gpu, [all, 1, 1], points, &bounds, &mut order.keys, &mut order.values, d)?;
            let mut workspace = sort::cuda::Workspace::new(gpu, n)?;
            sort::cuda::pairs(gpu, &mut order, n, KEY_BITS, &mut workspace)?;
            kernels::knn_leaves(gpu, [all, 1, 1], points, &order.values, &mut items, &mut boxes, d)?;
        }
        let mut begin = 0;
        for count in levels(n).take_while(|&count| count > WARP) {
            let d = KnnLevelDims { begin: begin as u32, count: count as u32 };
            kernels::knn_nodes(gpu, blocks(count, BLOCK), &mut boxes, d)?;
            begin += count;
        }
        Ok(Tree { points: n, items, boxes })
    }

    /// Number of points in it, N.
    pub fn len(&self) -> usize {
        self.points
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// The points in their order, x, y, z and the bits of the index, `[N, 4]`; the boxes.
    pub(crate) fn buffers(&self) -> (&Buffer<f32>, &Buffer<f32>) {
        (&self.items, &self.boxes)
    }
}

/// Boxes of every level, leaves first, up to the one that a warp can look at.
fn levels(points: usize) -> impl Iterator<Item = usize> {
    let leaves = points.div_ceil(WARP);
    std::iter::successors(Some(leaves), |&count| (count > WARP).then(|| count.div_ceil(WARP)))
}

/// The tree of `n` points and, from it, up to `width` points around each. `positions`: `[n, 3]`.
///
/// # Errors
/// As [`Tree::build`] and [`Around::find`].
pub fn search(gpu: &Gpu, positions: &impl DevicePtr<f32>, n: usize, width: usize) -> Result<(Tree, Around)> {
    let tree = Tree::build(gpu, positions, n)?;
    let around = Around::find(gpu, &tree, width)?;
    Ok((tree, around))
}

/// The points around every point, itself among them, nearest first: from it follow [`nearest`] and normals.
#[derive(Debug)]
pub struct Around {
    points: usize,
    width: usize,
    indices: Buffer<u32>,
}

impl Around {
    /// `width` points around each of the tree's, or N where there are fewer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if that is more than [`MOST`], [`Error::Memory`] if there is not enough memory,
    /// [`Error::Device`] if the driver refuses.
    pub fn find(gpu: &Gpu, tree: &Tree, width: usize) -> Result<Around> {
        let n = tree.len();
        let width = width.min(n);
        if width > MOST {
            return Err(Error::invalid(format!(
                "knn: {width} points around each, itself among them; on a CUDA device the limit is {MOST}; use fewer \
                 neighbours or the device cpu"
            )));
        }
        let mut indices = gpu.alloc(n * width)?;
        if width > 0 {
            let d = KnnDims { points: n as u32, width: width as u32, neighbors: 0 };
            let grid = blocks(WARP * n, BLOCK);
            kernels::knn_search(gpu, grid, &tree.items, &tree.boxes, &mut indices, d)?;
        }
        Ok(Around { points: n, width, indices })
    }

    /// N, the width w and the indices `[N, w]`.
    pub(crate) fn rows(&self) -> (usize, usize, &Buffer<u32>) {
        (self.points, self.width, &self.indices)
    }
}

/// As [`Neighbors`](super::Neighbors).
#[derive(Debug)]
pub struct Neighbors {
    /// Columns.
    pub k: usize,
    /// `[N, k]`.
    pub indices: Buffer<u32>,
    /// `[N, k]`.
    pub distances: Buffer<f32>,
}

/// The `k` nearest other points of every point. `points`: `[N, 3]`, those that were searched.
///
/// # Errors
/// [`Error::Invalid`] if `around` has no more than `k` points a row or there are too few points or too many neighbours,
/// [`Error::Memory`] if there is not enough memory, [`Error::Device`] if the driver refuses.
pub fn nearest(gpu: &Gpu, points: &impl DevicePtr<f32>, around: &Around, k: usize) -> Result<Neighbors> {
    let (n, width, rows) = around.rows();
    let k = k.min(n.saturating_sub(1));
    if k > 0 && k >= width {
        return Err(Error::invalid(format!(
            "knn: {k} neighbours of rows of {width} points, each row's own among them; search for {} around each",
            k + 1
        )));
    }
    if points.len() < 3 * n || n * k >= 1 << 32 {
        return Err(Error::invalid(format!(
            "knn: points must be [{n}, 3], not {} values, and neighbours [{n}, {k}] below 2^32",
            points.len()
        )));
    }
    let (mut indices, mut distances) = (gpu.alloc(n * k)?, gpu.alloc(n * k)?);
    if k > 0 {
        let d = KnnDims { points: n as u32, width: width as u32, neighbors: k as u32 };
        kernels::knn_nearest(gpu, blocks(WARP * n, BLOCK), points, rows, &mut indices, &mut distances, d)?;
    }
    Ok(Neighbors { k, indices, distances })
}
