//! On a CUDA device: bit for bit what the reference finds.

use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, KnnDims, KnnLevelDims},
    },
    error::{Error, Result},
    ops::basic::sort::{self, cuda::Pairs},
};
use cudarc::driver::{DevicePtr, DevicePtrMut};

/// Most points that a search can find: one for each lane of a warp.
pub const MOST: usize = 32;
const BLOCK: u32 = 256;
const WARP: usize = 32;
/// Bits of a key: 16 an axis.
const KEY_BITS: u32 = 48;
/// Blocks that look for the cloud's bounds: every one of them adds six atomics.
const BOUNDS_BLOCKS: u32 = 264;

/// Points arranged for searching: in Morton order, with a box around every 32, around every 32 boxes and so on.
#[derive(Debug)]
pub struct Tree {
    points: usize,
    items: Buffer<f32>,
    boxes: Buffer<f32>,
    bounds: Buffer<u32>,
    order: Pairs<u64>,
    sort: sort::cuda::Workspace<u64>,
}

impl Tree {
    /// Room for `most` points, none in it yet.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn new(gpu: &Gpu, most: usize) -> Result<Tree> {
        let boxes: usize = levels(most).sum();
        Ok(Tree {
            points: 0,
            items: gpu.alloc(4 * most)?,
            boxes: gpu.alloc(8 * boxes)?,
            bounds: gpu.alloc(6)?,
            order: Pairs::new(gpu, most)?,
            sort: sort::cuda::Workspace::new(gpu, most)?,
        })
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

    /// Arranges the first `n` of `points`, `[n, 3]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn build(&mut self, gpu: &Gpu, points: &impl DevicePtr<f32>, n: usize) -> Result<()> {
        if points.len() < 3 * n || self.items.len() < 4 * n {
            return Err(Error::invalid(format!(
                "knn: points must be [{n}, 3], not {} values, and the tree have room for {n}, not {}",
                points.len(),
                self.items.len() / 4
            )));
        }
        self.points = n;
        if n == 0 {
            return Ok(());
        }
        let Tree { items, boxes, bounds, order, sort, .. } = self;
        let d = KnnDims { points: n as u32, width: 0, neighbors: 0 };
        let [all, ..] = blocks(n, BLOCK);
        gpu.clear(bounds)?;
        kernels::knn_bounds(gpu, [all.min(BOUNDS_BLOCKS), 1, 1], points, bounds, d)?;
        kernels::knn_keys(gpu, [all, 1, 1], points, bounds, &mut order.keys, &mut order.values, d)?;
        sort::cuda::pairs(gpu, order, n, KEY_BITS, sort)?;
        kernels::knn_leaves(gpu, [all, 1, 1], points, &order.values, items, boxes, d)?;
        let mut begin = 0;
        for count in levels(n).take_while(|&count| count > WARP) {
            let d = KnnLevelDims { begin: begin as u32, count: count as u32 };
            kernels::knn_nodes(gpu, blocks(count, BLOCK), boxes, d)?;
            begin += count;
        }
        Ok(())
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
/// As [`Tree::build`] and [`Around::new`].
pub fn search(gpu: &Gpu, positions: &impl DevicePtr<f32>, n: usize, width: usize) -> Result<(Tree, Around)> {
    let mut tree = Tree::new(gpu, n)?;
    let mut around = Around::new(gpu, n, n.min(width))?;
    tree.build(gpu, positions, n)?;
    around.find(gpu, &tree)?;
    Ok((tree, around))
}

/// The points around every point, itself among them, nearest first: from it follow [`nearest`] and normals.
#[derive(Debug)]
pub struct Around {
    points: usize,
    most: usize,
    width: usize,
    indices: Buffer<u32>,
}

impl Around {
    /// Room for `most_width` around each of `most` points.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `most_width` exceeds [`MOST`], [`Error::Memory`] if there is not enough memory.
    pub fn new(gpu: &Gpu, most: usize, most_width: usize) -> Result<Around> {
        if most_width > MOST {
            return Err(Error::invalid(format!(
                "knn: {most_width} points around each, itself among them; on a CUDA device the limit is {MOST}; use \
                 fewer neighbours or the device cpu"
            )));
        }
        let indices = gpu.alloc(most * most_width)?;
        Ok(Around { points: 0, most: most_width, width: 0, indices })
    }

    /// Finds them for all points of `tree`; the width is that asked for, or N where there are fewer points.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is not enough room, [`Error::Device`] if the driver refuses.
    pub fn find(&mut self, gpu: &Gpu, tree: &Tree) -> Result<()> {
        let n = tree.len();
        let width = self.most.min(n);
        if self.indices.len() < n * width {
            return Err(Error::invalid(format!(
                "knn: {width} points around each of {n} do not fit a buffer of {}",
                self.indices.len()
            )));
        }
        (self.points, self.width) = (n, width);
        if width == 0 {
            return Ok(());
        }
        let d = KnnDims { points: n as u32, width: width as u32, neighbors: 0 };
        let grid = blocks(WARP * n, BLOCK);
        kernels::knn_search(gpu, grid, &tree.items, &tree.boxes, &mut self.indices, d)
    }

    /// N, the width w and the indices `[N, w]`.
    pub(crate) fn rows(&self) -> (usize, usize, &Buffer<u32>) {
        (self.points, self.width, &self.indices)
    }
}

/// The `k` nearest other points of every point; returns how many columns there are, `k` or N - 1 where there are
/// fewer other points.
///
/// `points`: `[N, 3]`, those that were searched; `indices`, `distances`: `[N, k]`.
///
/// # Errors
/// [`Error::Invalid`] if `around` has no more than `k` points a row or a buffer is too small, [`Error::Device`] if the
/// driver refuses.
pub fn nearest(
    gpu: &Gpu,
    points: &impl DevicePtr<f32>,
    around: &Around,
    k: usize,
    indices: &mut impl DevicePtrMut<u32>,
    distances: &mut impl DevicePtrMut<f32>,
) -> Result<usize> {
    let (n, width, rows) = around.rows();
    let k = k.min(n.saturating_sub(1));
    if k > 0 && k >= width {
        return Err(Error::invalid(format!(
            "knn: {k} neighbours of rows of {width} points, each row's own among them; search for {} around each",
            k + 1
        )));
    }
    let lens = [indices.len(), distances.len()];
    if points.len() < 3 * n || lens.iter().any(|&len| len < n * k) || n * k >= 1 << 32 {
        return Err(Error::invalid(format!(
            "knn: points must be [{n}, 3], indices and distances [{n}, {k}], below 2^32 values, not {} and {lens:?} \
             values",
            points.len()
        )));
    }
    if k > 0 {
        let d = KnnDims { points: n as u32, width: width as u32, neighbors: k as u32 };
        kernels::knn_nearest(gpu, blocks(WARP * n, BLOCK), points, rows, indices, distances, d)?;
    }
    Ok(k)
}
