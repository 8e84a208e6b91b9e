//! Distances on points without a mesh: shortest paths in the symmetric graph of the k nearest neighbours.
//!
//! What no path leads to is as far as the mean of the rest. Paths along edges are some 5 to 15 % longer than geodesics.

use crate::{ops::partition::knn, ragged::Ragged};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Points and the edges between neighbours.
#[derive(Debug, Clone)]
pub struct Graph(Ragged<(u32, f32)>);

impl Graph {
    /// Joins every point with its `k` nearest others, `[N]`.
    pub fn new(points: &[[f32; 3]], k: usize) -> Graph {
        let near = knn::cpu::nearest(points, k);
        let pairs = (0..).zip(near.indices.iter().zip(&near.distances));
        let both = pairs.flat_map(|(e, (&b, &length))| {
            let a = (e / near.k) as u32;
            [(a, b, length.to_bits()), (b, a, length.to_bits())]
        });
        let mut edges: Vec<_> = both.collect();
        edges.sort_unstable();
        edges.dedup();
        let begin = |v: usize| edges.partition_point(|&(from, ..)| (from as usize) < v) as u32;
        let offsets = (0..=points.len()).map(begin).collect();
        let to = edges.iter().map(|&(_, to, length)| (to, f32::from_bits(length))).collect();
        Graph(Ragged::new(offsets, to).expect("edges are sorted"))
    }

    /// Distances from a point to every point, `[N]` (Dijkstra).
    pub fn distances(&self, source: u32) -> Vec<f64> {
        let mut distances = vec![f64::INFINITY; self.0.len()];
        distances[source as usize] = 0.0;
        // Distances are not negative, so that their bits order as they do.
        let mut open = BinaryHeap::from([Reverse((0, source))]);
        while let Some(Reverse((bits, point))) = open.pop() {
            let distance = f64::from_bits(bits);
            if distance > distances[point as usize] {
                continue;
            }
            for &(to, length) in self.0.row(point as usize) {
                let through = distance + f64::from(length);
                if through < distances[to as usize] {
                    distances[to as usize] = through;
                    open.push(Reverse((through.to_bits(), to)));
                }
            }
        }
        let reached = || distances.iter().filter(|d| d.is_finite());
        let mean = reached().sum::<f64>() / reached().count() as f64;
        distances.iter().map(|&d| if d.is_finite() { d } else { mean }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Graph;

    #[test]
    fn paths_are_shortest_and_other_pieces_as_far_as_the_mean() {
        let at = |x: f32| [x, 0.0, 0.0];
        // The last but one asks for its neighbours to the left; nobody asks for it.
        let points = [0.0, 1.0, 2.0, 4.0, 100.0, 101.0, 102.0].map(at);
        let graph = Graph::new(&points, 2);
        assert_eq!(graph.distances(0), [0.0, 1.0, 2.0, 4.0, 7.0 / 4.0, 7.0 / 4.0, 7.0 / 4.0]);
        assert_eq!(graph.distances(3)[..4], [4.0, 3.0, 2.0, 0.0], "edges go both ways");
        assert_eq!(Graph::new(&points[..1], 2).distances(0), [0.0]);
    }
}
