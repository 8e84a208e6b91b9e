//! Nearest neighbours in a cloud: exact, by the squared distance (dx dx + dy dy) + dz dz in f32, ties to the lowest
//! index.

/// The k nearest other points of each of N points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbors {
    /// Columns: as many as were asked for, or N - 1 where there are fewer other points.
    pub k: usize,
    /// Neighbours of every point, nearest first, `[N, k]`.
    pub indices: Vec<u32>,
    /// Their distances, `[N, k]`.
    pub distances: Vec<f32>,
}

/// CPU reference: a balanced k-d tree with tight boxes, whose cost hardly depends on how the points are spread.
pub mod cpu {
    use super::Neighbors;
    use rayon::prelude::*;

    /// The `k` nearest other points of every point of `points`, `[N]`.
    ///
    /// The authors ask for one more and drop the first column, taking it for the point itself. Where points coincide
    /// it may be a duplicate, and the row then keeps an edge to the point itself. Here no point is its own neighbour.
    pub fn nearest(points: &[[f32; 3]], k: usize) -> Neighbors {
        let k = k.min(points.len().saturating_sub(1));
        if k == 0 {
            return Neighbors::default();
        }
        let tree = Tree::new(points);
        let mut rows = vec![0; points.len() * k];
        let batches = rows.par_chunks_mut(BATCH * k).zip(tree.items.par_chunks(BATCH));
        batches.for_each_init(Found::default, |found, (rows, items)| {
            for (row, item) in rows.chunks_exact_mut(k).zip(items) {
                tree.search(item.position, k, f32::INFINITY, item.index, found);
                row.copy_from_slice(&found.keys);
            }
        });
        let (mut indices, mut distances) = (vec![0; rows.len()], vec![0.0; rows.len()]);
        for (row, item) in rows.chunks_exact(k).zip(&tree.items) {
            let start = item.index as usize * k;
            for (column, &key) in row.iter().enumerate() {
                let (index, squared) = unpack(key);
                indices[start + column] = index;
                distances[start + column] = squared.sqrt();
            }
        }
        Neighbors { k, indices, distances }
    }

    /// Most points of a leaf.
    const LEAF: usize = 8;
    /// Points that one task answers.
    const BATCH: usize = 256;
    /// Smallest subtree that is worth a task.
    const TASK: usize = 4096;
    const NOBODY: u32 = u32::MAX;

    /// Points arranged for searching.
    #[derive(Debug)]
    pub struct Tree {
        /// The points, leaf by leaf.
        items: Vec<Item>,
        /// A complete binary tree in preorder. A node's points are split in two halves, the smaller one left.
        nodes: Vec<Node>,
    }

    #[derive(Debug, Clone, Copy)]
    struct Item {
        position: [f32; 3],
        index: u32,
    }

    /// What bounds the points of a subtree.
    #[derive(Debug, Clone, Copy)]
    struct Node {
        low: [f32; 3],
        high: [f32; 3],
        /// Their lowest index: decides whether a subtree at the same distance can still win.
        first: u32,
    }

    /// The result of one search, kept between searches to spare allocations.
    #[derive(Debug, Default)]
    pub struct Found {
        /// Squared distance above, index below: one comparison orders by distance, then index. Ascending.
        keys: Vec<u64>,
        wanted: usize,
        /// Only smaller keys can still enter.
        bound: u64,
    }

    impl Found {
        /// The points found, nearest first: index and squared distance.
        pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, f32)> + '_ {
            self.keys.iter().map(|&key| unpack(key))
        }

        fn offer(&mut self, key: u64) {
            if key >= self.bound {
                return;
            }
            if self.keys.len() == self.wanted {
                self.keys.pop();
            }
            let place = self.keys.iter().rposition(|&other| other < key).map_or(0, |i| i + 1);
            self.keys.insert(place, key);
            if self.keys.len() == self.wanted {
                self.bound = self.keys[self.wanted - 1];
            }
        }
    }

    impl Tree {
        /// Arranges `points`, `[N]`.
        pub fn new(points: &[[f32; 3]]) -> Tree {
            Tree::with_indices(points.iter().copied().zip(0..))
        }

        /// Arranges points that carry their own indices, each below `u32::MAX`.
        pub fn with_indices(points: impl Iterator<Item = ([f32; 3], u32)>) -> Tree {
            let mut items: Vec<Item> = points.map(|(position, index)| Item { position, index }).collect();
            let leaves = items.len().div_ceil(LEAF).next_power_of_two();
            let mut nodes = vec![Node::around(&[]); 2 * leaves - 1];
            arrange(&mut items, &mut nodes);
            Tree { items, nodes }
        }

        /// The nearest point to `query`: its index, `None` of no points.
        pub fn nearest(&self, query: [f32; 3], found: &mut Found) -> Option<u32> {
            self.search(query, 1, f32::INFINITY, NOBODY, found);
            found.iter().next().map(|(index, _)| index)
        }

        /// The at most `most` nearest points that are closer to `query` than `radius`.
        pub fn within(&self, query: [f32; 3], radius: f32, most: usize, found: &mut Found) {
            self.search(query, most, radius, NOBODY, found);
        }

        /// What `each` makes of every point, in the order of the indices, which must be 0..N. Neighbouring points
        /// follow each other, so that their searches find the caches warm.
        pub fn map<T: Copy + Default + Send>(
            &self,
            each: impl Fn([f32; 3], &mut Found) -> T + Sync,
        ) -> Vec<T> {
            let mut ordered = vec![T::default(); self.items.len()];
            let batches = ordered.par_chunks_mut(BATCH).zip(self.items.par_chunks(BATCH));
            batches.for_each_init(Found::default, |found, (results, items)| {
                for (result, item) in results.iter_mut().zip(items) {
                    *result = each(item.position, found);
                }
            });
            let mut results = vec![T::default(); ordered.len()];
            for (result, item) in ordered.into_iter().zip(&self.items) {
                results[item.index as usize] = result;
            }
            results
        }

        fn search(&self, query: [f32; 3], wanted: usize, radius: f32, skip: u32, found: &mut Found) {
            found.keys.clear();
            found.wanted = wanted;
            found.bound = if wanted == 0 { 0 } else { pack(radius * radius, 0) };
            visit(&self.nodes, &self.items, query, skip, found);
        }
    }

    impl Node {
        fn around(items: &[Item]) -> Node {
            let empty = Node { low: [f32::INFINITY; 3], high: [f32::NEG_INFINITY; 3], first: u32::MAX };
            items.iter().fold(empty, |node, item| Node {
                low: std::array::from_fn(|axis| node.low[axis].min(item.position[axis])),
                high: std::array::from_fn(|axis| node.high[axis].max(item.position[axis])),
                first: node.first.min(item.index),
            })
        }

        /// At most the key of any point inside: rounding is monotone, so no point is missed.
        fn key(&self, query: [f32; 3]) -> u64 {
            let nearest = std::array::from_fn(|axis| query[axis].max(self.low[axis]).min(self.high[axis]));
            pack(squared_distance(query, nearest), self.first)
        }
    }

    /// Sorts `items` into the leaves of the subtree `nodes`, splitting the widest axis at the median.
    fn arrange(items: &mut [Item], nodes: &mut [Node]) {
        let (node, children) = nodes.split_first_mut().expect("a tree has a root");
        *node = Node::around(items);
        if children.is_empty() {
            return;
        }
        let width = |axis: usize| node.high[axis] - node.low[axis];
        let axis = (1..3).fold(0, |widest, axis| if width(axis) > width(widest) { axis } else { widest });
        let middle = items.len() / 2;
        if middle > 0 {
            items.select_nth_unstable_by(middle, |a, b| {
                a.position[axis].total_cmp(&b.position[axis]).then(a.index.cmp(&b.index))
            });
        }
        let big = items.len() > TASK;
        let (left, right) = items.split_at_mut(middle);
        let (left_nodes, right_nodes) = children.split_at_mut(children.len() / 2);
        if big {
            rayon::join(|| arrange(left, left_nodes), || arrange(right, right_nodes));
        } else {
            arrange(left, left_nodes);
            arrange(right, right_nodes);
        }
    }

    fn visit(nodes: &[Node], items: &[Item], query: [f32; 3], skip: u32, found: &mut Found) {
        let children = &nodes[1..];
        if children.is_empty() {
            for item in items {
                if item.index != skip {
                    found.offer(pack(squared_distance(query, item.position), item.index));
                }
            }
            return;
        }
        let (left, right) = items.split_at(items.len() / 2);
        let (left_nodes, right_nodes) = children.split_at(children.len() / 2);
        let mut near = (left_nodes[0].key(query), left_nodes, left);
        let mut far = (right_nodes[0].key(query), right_nodes, right);
        if far.0 < near.0 {
            std::mem::swap(&mut near, &mut far);
        }
        for (key, nodes, items) in [near, far] {
            if key < found.bound {
                visit(nodes, items, query, skip, found);
            }
        }
    }

    fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
        let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
        d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    }

    fn pack(squared: f32, index: u32) -> u64 {
        (squared.to_bits() as u64) << 32 | index as u64
    }

    fn unpack(key: u64) -> (u32, f32) {
        (key as u32, f32::from_bits((key >> 32) as u32))
    }
}

/// On a CUDA device: bit for bit what the reference finds.
#[cfg(feature = "cuda")]
pub mod cuda {
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
    pub fn search(
        gpu: &Gpu,
        positions: &impl DevicePtr<f32>,
        n: usize,
        width: usize,
    ) -> Result<(Tree, Around)> {
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
}

#[cfg(test)]
mod tests {
    use super::cpu::{Found, Tree, nearest};

    fn brute(points: &[[f32; 3]], query: usize, include_self: bool) -> Vec<(f32, u32)> {
        let q = points[query];
        let mut all: Vec<(f32, u32)> = (0..points.len())
            .filter(|&i| include_self || i != query)
            .map(|i| {
                let d = [q[0] - points[i][0], q[1] - points[i][1], q[2] - points[i][2]];
                (d[0] * d[0] + d[1] * d[1] + d[2] * d[2], i as u32)
            })
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all
    }

    /// Points on a coarse lattice: many duplicates and many equal distances.
    fn lattice(n: usize, side: u64) -> Vec<[f32; 3]> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % side) as f32 / side as f32
        };
        (0..n).map(|_| [next(), next(), next()]).collect()
    }

    #[test]
    fn equals_brute_force_with_ties_and_duplicates() {
        for (n, side) in
            [(0, 4), (1, 4), (2, 4), (10, 4), (11, 2), (31, 4), (33, 3), (700, 5), (900, 1), (800, 100_000)]
        {
            let points = lattice(n, side);
            let found = nearest(&points, 10);
            assert_eq!(found.k, 10.min(n.saturating_sub(1)));
            assert_eq!(found.indices.len(), n * found.k);
            for i in 0..n {
                for (column, (squared, index)) in
                    brute(&points, i, false).into_iter().take(found.k).enumerate()
                {
                    assert_eq!(found.indices[i * found.k + column], index, "{n} points, row {i}");
                    assert_eq!(found.distances[i * found.k + column], squared.sqrt());
                }
            }
        }
    }

    #[test]
    fn within_keeps_the_nearest_of_those_strictly_closer() {
        let points = lattice(500, 6);
        let tree = Tree::new(&points);
        let mut found = Found::default();
        for (radius, most) in [(0.2, 7), (1.0 / 6.0, 500), (10.0, 500), (0.2, 0)] {
            for i in 0..points.len() {
                tree.within(points[i], radius, most, &mut found);
                let expected: Vec<(u32, f32)> = brute(&points, i, true)
                    .into_iter()
                    .filter(|&(squared, _)| squared < radius * radius)
                    .take(most)
                    .map(|(squared, index)| (index, squared))
                    .collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected);
            }
        }
    }

    /// What is found does not depend on the order of the tree, and how fast it is found does: so the order and the boxes
    /// are looked at themselves. More points than one round of the blocks that look for the bounds.
    #[cfg(feature = "cuda")]
    #[test]
    fn a_tree_is_in_morton_order_and_its_boxes_are_tight() {
        use super::cuda;
        use crate::device::gpu::Gpu;

        cuda_emulator::install();
        let gpu = Gpu::new(0).unwrap();
        let mut points = lattice(70_001, 1 << 20);
        (points[68_000], points[69_000]) = ([3.0, -2.0, 0.5], [0.5, -1.0, 9.0]);
        let mut tree = cuda::Tree::new(&gpu, points.len()).unwrap();
        tree.build(&gpu, &gpu.upload(points.as_flattened()).unwrap(), points.len()).unwrap();

        let bound = |pick: fn(f32, f32) -> f32| {
            [0, 1, 2].map(|axis| points.iter().map(|p| p[axis]).reduce(pick).unwrap())
        };
        let (low, high) = (bound(f32::min), bound(f32::max));
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, f32::max);
        let key = |&i: &u32| {
            let cells = [0, 1, 2].map(|axis| {
                (((points[i as usize][axis] - low[axis]) / longest).min(1.0) * ((1 << 16) - 1) as f32) as u64
            });
            (0..48).map(|bit| (cells[bit % 3] >> (bit / 3) & 1) << bit).sum::<u64>()
        };
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        order.sort_by_key(key);
        let (items, boxes) = tree.buffers();
        let (items, boxes) = (gpu.download(items).unwrap(), gpu.download(boxes).unwrap());
        let boxes: &[[f32; 8]] = boxes.as_chunks().0;
        let place = |&i: &u32| -> [f32; 8] {
            let [x, y, z] = points[i as usize];
            [x, y, z, f32::from_bits(i), x, y, z, 0.0]
        };
        let mut below: Vec<[f32; 8]> = order.iter().map(place).collect();
        let found = items.as_chunks::<4>().0;
        assert!(
            found
                .iter()
                .zip(&below)
                .all(|(item, place)| item.map(f32::to_bits) == [0, 1, 2, 3].map(|i| place[i].to_bits()))
        );
        let mut begin = 0;
        while begin < boxes.len() {
            let level: Vec<[f32; 8]> = below
                .chunks(32)
                .map(|children| {
                    let value = |i: usize| children.iter().map(move |child| child[i]);
                    std::array::from_fn(|i| match i {
                        0..3 => value(i).fold(f32::INFINITY, f32::min),
                        3 => f32::from_bits(value(3).map(f32::to_bits).min().unwrap()),
                        4..7 => value(i).fold(f32::NEG_INFINITY, f32::max),
                        _ => 0.0,
                    })
                })
                .collect();
            let there = &boxes[begin..begin + level.len()];
            let bits = |b: &[f32; 8]| [0, 1, 2, 3, 4, 5, 6].map(|i| b[i].to_bits());
            assert!(there.iter().zip(&level).all(|(a, b)| bits(a) == bits(b)), "boxes from {begin} on");
            begin += level.len();
            below = level;
        }
        assert_eq!(below.len(), 3);
    }
}
