//! Symmetric weighted graphs, and what becomes of them when vertices are grouped.

use rayon::prelude::*;

/// A symmetric weighted graph on V vertices: A arcs, each edge as one arc in either direction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Graph {
    /// Where the arcs of each vertex begin, `[V + 1]`.
    pub first: Vec<u32>,
    /// The vertex at the other end of each arc, ascending within each vertex, `[A]`.
    pub heads: Vec<u32>,
    /// Sum of w over the edges between the two vertices, whichever way they point, on either arc, `[A]`.
    pub weights: Vec<f32>,
}

impl Graph {
    /// The graph of the edges i -> j of a neighbour list; edges from a point to itself are left out.
    ///
    /// `neighbors` and `weights`: `[N, k]`, no neighbour twice in a row.
    pub fn from_neighbors(neighbors: &[u32], weights: &[f32], n: usize, k: usize) -> Graph {
        let (first, into) = members(&neighbors[..n * k], n);
        let arcs_of = |v: u32| {
            let out = v as usize * k..(v as usize + 1) * k;
            let out = out.map(|edge| (neighbors[edge], weights[edge]));
            let into = &into[first[v as usize] as usize..first[v as usize + 1] as usize];
            let into = into.iter().map(|&edge| (edge / k as u32, weights[edge as usize]));
            out.chain(into).filter(move |&(head, _)| head != v)
        };
        Graph::gather(n, arcs_of)
    }

    /// The graph of `count` groups of vertices, the arcs between two groups added up. `of`: group of every vertex, `[V]`.
    pub fn contract(&self, of: &[u32], count: usize) -> Graph {
        let (first, members) = members(of, count);
        let arcs_of = |group: u32| {
            let members = &members[first[group as usize] as usize..first[group as usize + 1] as usize];
            let arcs = members.iter().flat_map(|&v| self.neighbors(v));
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
            let (mut part, mut row) = (Graph::default(), vec![]);
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
                for (head, weight) in row.drain(..) {
                    place[head as usize] = NONE;
                    part.heads.push(head);
                    part.weights.push(weight);
                }
                part.first.push(part.heads.len() as u32);
            }
            part
        };
        let parts = (0..n.div_ceil(CHUNK)).into_par_iter().map_init(|| vec![NONE; n], rows);
        let parts: Vec<Graph> = parts.collect();
        let arcs = parts.iter().map(|part| part.heads.len()).sum();
        let mut graph =
            Graph { first: vec![0], heads: Vec::with_capacity(arcs), weights: Vec::with_capacity(arcs) };
        for part in parts {
            let start = graph.heads.len() as u32;
            graph.first.extend(part.first.iter().map(|end| start + end));
            graph.heads.extend(part.heads);
            graph.weights.extend(part.weights);
        }
        graph
    }

    /// Number of vertices, V.
    pub fn len(&self) -> usize {
        self.first.len().saturating_sub(1)
    }

    /// Whether there is no vertex.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The neighbours of `v` and the weights of the arcs to them.
    pub fn neighbors(&self, v: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let arcs = self.first[v as usize] as usize..self.first[v as usize + 1] as usize;
        self.heads[arcs.clone()].iter().copied().zip(self.weights[arcs].iter().copied())
    }
}

/// The members of each of `count` groups, ascending: where each group's begin, `[count + 1]`, and they themselves.
///
/// `of`: group of every member.
pub fn members(of: &[u32], count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut first = vec![0; count + 1];
    for &group in of {
        first[group as usize + 1] += 1;
    }
    for group in 0..count {
        first[group + 1] += first[group];
    }
    let mut next = first.clone();
    let mut members = vec![0; of.len()];
    for (member, &group) in of.iter().enumerate() {
        members[next[group as usize] as usize] = member as u32;
        next[group as usize] += 1;
    }
    (first, members)
}

#[cfg(test)]
mod tests {
    use super::Graph;

    #[test]
    fn of_a_neighbor_list() {
        // 0 -> 1, 0 -> 2, 1 -> 0, 1 -> 1 (itself), 2 -> 1, 2 -> 0.
        let graph = Graph::from_neighbors(&[1, 2, 0, 1, 1, 0], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 3, 2);
        assert_eq!(graph.first, [0, 2, 4, 6]);
        assert_eq!(graph.heads, [1, 2, 0, 2, 0, 1]);
        assert_eq!(graph.weights, [5.0, 34.0, 5.0, 16.0, 34.0, 16.0]);
    }

    #[test]
    fn contracted() {
        // A square 0 1 2 3, each side as one edge; 0 and 3 become one.
        let graph = Graph::from_neighbors(&[1, 2, 3, 0], &[1.0, 2.0, 4.0, 8.0], 4, 1);
        let contracted = graph.contract(&[0, 1, 2, 0], 3);
        assert_eq!(contracted.first, [0, 2, 4, 6]);
        assert_eq!(contracted.heads, [1, 2, 0, 2, 0, 1]);
        assert_eq!(contracted.weights, [1.0, 4.0, 1.0, 2.0, 4.0, 2.0]);
        assert_eq!(graph.contract(&[0; 4], 1), Graph { first: vec![0, 0], ..Default::default() });
        assert_eq!(Graph::from_neighbors(&[], &[], 0, 1).len(), 0);
    }
}
