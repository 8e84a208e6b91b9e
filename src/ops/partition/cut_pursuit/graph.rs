//! Symmetric weighted graphs, and what becomes of them when vertices are grouped.

use crate::{error::Result, ops::expect_len, ragged::Ragged};
use rayon::prelude::*;

/// A symmetric weighted graph on V vertices: A arcs, each edge as one arc in either direction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// The arcs of each vertex, `[V]`: the vertex at the other end, ascending, and the sum of w over the edges between the
    /// two, whichever way they point.
    pub arcs: Ragged<(u32, f32)>,
}

impl Graph {
    /// The graph of the edges i -> j of a neighbour list; edges from a point to itself are left out.
    ///
    /// `neighbors` and `weights`: `[N, k]`, no neighbour twice in a row.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn from_neighbors(neighbors: &[u32], weights: &[f32], n: usize, k: usize) -> Result<Graph> {
        expect_len("graph", "neighbors [N, k]", neighbors.len(), n * k)?;
        expect_len("graph", "weights [N, k]", weights.len(), n * k)?;
        let into = Ragged::members(neighbors, n);
        let arcs_of = |v: u32| {
            let out = v as usize * k..(v as usize + 1) * k;
            let out = out.map(|edge| (neighbors[edge], weights[edge]));
            let into = into.row(v as usize).iter().map(|&edge| (edge / k as u32, weights[edge as usize]));
            out.chain(into).filter(move |&(head, _)| head != v)
        };
        Ok(Graph::gather(n, arcs_of))
    }

    /// The graph of `count` groups of vertices, the arcs between two groups added up. `of`: group of every vertex, `[V]`.
    pub fn contract(&self, of: &[u32], count: usize) -> Graph {
        let members = Ragged::members(of, count);
        let arcs_of = |group: u32| {
            let arcs = members.row(group as usize).iter().flat_map(|&v| self.neighbors(v));
            arcs.map(|(head, weight)| (of[head as usize], weight)).filter(move |&(head, _)| head != group)
        };
        Graph::gather(count, arcs_of)
    }

    /// Place of every vertex, `[V]`, if each component is walked breadth first: neighbours come near each other.
    pub fn breadth_first(&self) -> Vec<u32> {
        const NONE: u32 = u32::MAX;
        let mut place = vec![NONE; self.len()];
        let mut order: Vec<u32> = Vec::with_capacity(self.len());
        for root in 0..self.len() as u32 {
            let mut next = order.len();
            if place[root as usize] == NONE {
                place[root as usize] = order.len() as u32;
                order.push(root);
            }
            while let Some(&v) = order.get(next) {
                next += 1;
                for (head, _) in self.neighbors(v) {
                    if place[head as usize] == NONE {
                        place[head as usize] = order.len() as u32;
                        order.push(head);
                    }
                }
            }
        }
        place
    }

    /// The graph of `n` vertices with these arcs, those between the same two vertices added up in the order they come.
    fn gather<I: Iterator<Item = (u32, f32)>>(n: usize, arcs_of: impl Fn(u32) -> I + Sync) -> Graph {
        const CHUNK: usize = 1024;
        const NONE: u32 = u32::MAX;
        // `place`: where in `row` the arc to each vertex is.
        let rows = |place: &mut Vec<u32>, chunk: usize| {
            let (mut part, mut row) = (Ragged::default(), vec![]);
            for v in chunk * CHUNK..n.min((chunk + 1) * CHUNK) {
                arcs_of(v as u32).for_each(|(head, weight)| {
                    let place = &mut place[head as usize];
                    if *place == NONE {
                        *place = row.len() as u32;
                        row.push((head, weight));
                    } else {
                        row[*place as usize].1 += weight;
                    }
                });
                row.sort_unstable_by_key(|&(head, _)| head);
                row.iter().for_each(|&(head, _)| place[head as usize] = NONE);
                part.push(row.drain(..));
            }
            part
        };
        let parts = (0..n.div_ceil(CHUNK)).into_par_iter().map_init(|| vec![NONE; n], rows);
        Graph { arcs: Ragged::concat(parts.collect()) }
    }

    /// Number of vertices, V.
    pub fn len(&self) -> usize {
        self.arcs.len()
    }

    /// Whether there is no vertex.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbours of `v` and the weights of the arcs to them.
    pub fn neighbors(&self, v: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        self.arcs.row(v as usize).iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Ragged};

    #[test]
    fn of_a_neighbor_list() {
        // 0 -> 1, 0 -> 2, 1 -> 0, 1 -> 1 (itself), 2 -> 1, 2 -> 0.
        let graph =
            Graph::from_neighbors(&[1, 2, 0, 1, 1, 0], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 3, 2).unwrap();
        let arcs = [[(1, 5.0), (2, 34.0)], [(0, 5.0), (2, 16.0)], [(0, 34.0), (1, 16.0)]];
        assert_eq!(graph.arcs, Ragged::from_iter(arcs));
    }

    #[test]
    fn contracted() {
        // A square 0 1 2 3, each side as one edge; 0 and 3 become one.
        let graph = Graph::from_neighbors(&[1, 2, 3, 0], &[1.0, 2.0, 4.0, 8.0], 4, 1).unwrap();
        let contracted = graph.contract(&[0, 1, 2, 0], 3);
        let arcs = [[(1, 1.0), (2, 4.0)], [(0, 1.0), (2, 2.0)], [(0, 4.0), (1, 2.0)]];
        assert_eq!(contracted.arcs, Ragged::from_iter(arcs));
        assert_eq!(graph.contract(&[0; 4], 1).arcs, Ragged::from_iter([[]]));
        assert_eq!(Graph::from_neighbors(&[], &[], 0, 1).unwrap().len(), 0);
    }
}
