//! CPU reference: a balanced k-d tree with tight boxes, whose cost hardly depends on how the points are spread.

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
    pub fn map<T: Copy + Default + Send>(&self, each: impl Fn([f32; 3], &mut Found) -> T + Sync) -> Vec<T> {
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
