//! Nearest neighbours in a cloud: exact, by the squared distance (dx dx + dy dy) + dz dz in f32, ties to the lowest
//! index.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

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

#[cfg(test)]
mod tests {
    use super::cpu::{Found, Tree, nearest};
    use inputs::Random;

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
    fn lattice(n: usize, side: u32) -> Vec<[f32; 3]> {
        let mut random = Random(1);
        let mut next = || random.below(side) as f32 / side as f32;
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

    /// The items and the boxes of the tree on the emulated device.
    #[cfg(feature = "cuda")]
    fn arranged(points: &[[f32; 3]]) -> (Vec<[f32; 4]>, Vec<[f32; 8]>) {
        cuda_emulator::install();
        let gpu = crate::device::gpu::Gpu::new(0).unwrap();
        gpu.cache_memory(false);
        let positions = gpu.upload(points.as_flattened()).unwrap();
        let tree = super::cuda::Tree::build(&gpu, &positions, points.len()).unwrap();
        let (items, boxes) = tree.buffers();
        let (items, boxes) = (gpu.download(items).unwrap(), gpu.download(boxes).unwrap());
        (items.as_chunks().0.to_vec(), boxes.as_chunks().0.to_vec())
    }

    /// The place of a cell of 16 bits an axis on Hilbert's curve, as the kernel computes it.
    #[cfg(feature = "cuda")]
    fn along_curve(mut cell: [u32; 3]) -> u64 {
        for bit in (1..16).rev() {
            let below = (1 << bit) - 1;
            for axis in 0..3 {
                if cell[axis] >> bit & 1 == 1 {
                    cell[0] ^= below;
                } else {
                    let swapped = (cell[0] ^ cell[axis]) & below;
                    cell[0] ^= swapped;
                    cell[axis] ^= swapped;
                }
            }
        }
        cell[1] ^= cell[0];
        cell[2] ^= cell[1];
        let turned =
            (1..16).filter(|bit| cell[2] >> bit & 1 == 1).fold(0, |turned, bit| turned ^ ((1 << bit) - 1));
        let bits = (0..16).rev().flat_map(|bit| cell.map(|c| ((c ^ turned) >> bit & 1) as u64));
        bits.fold(0, |place, bit| place << 1 | bit)
    }

    /// Points one to a cell follow each other from neighbour to neighbour.
    #[cfg(feature = "cuda")]
    #[test]
    fn the_curve_never_jumps() {
        let points: Vec<[f32; 3]> = (0..512).map(|i| [i / 64, i / 8 % 8, i % 8].map(|c| c as f32)).collect();
        let (items, _) = arranged(&points);
        for pair in items.windows(2) {
            let steps: f32 = (0..3).map(|axis| (pair[0][axis] - pair[1][axis]).abs()).sum();
            assert_eq!(steps, 1.0, "{pair:?}");
        }
    }

    /// What is found does not depend on the order of the tree, and how fast it is found does: so the order and the boxes
    /// are looked at themselves. More points than one round of the blocks that look for the bounds.
    #[cfg(feature = "cuda")]
    #[test]
    fn a_tree_follows_the_curve_and_its_boxes_are_tight() {
        let mut points = lattice(70_001, 1 << 20);
        (points[68_000], points[69_000]) = ([3.0, -2.0, 0.5], [0.5, -1.0, 9.0]);
        let (items, boxes) = arranged(&points);

        let bound = |pick: fn(f32, f32) -> f32| {
            [0, 1, 2].map(|axis| points.iter().map(|p| p[axis]).reduce(pick).unwrap())
        };
        let (low, high) = (bound(f32::min), bound(f32::max));
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, f32::max);
        let cell = |&i: &u32| {
            [0, 1, 2].map(|axis| {
                (((points[i as usize][axis] - low[axis]) / longest).min(1.0) * ((1 << 16) - 1) as f32) as u32
            })
        };
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        order.sort_by_cached_key(|i| along_curve(cell(i)));
        let place = |&i: &u32| -> [f32; 8] {
            let [x, y, z] = points[i as usize];
            [x, y, z, f32::from_bits(i), x, y, z, 0.0]
        };
        let mut below: Vec<[f32; 8]> = order.iter().map(place).collect();
        assert!(
            items
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
