//! l0 cut pursuit: a partition of a graph into connected components of like features.
//!
//! Minimises E = sum_i |f_i - mean(f of i's component)|^2 + lambda * sum of w over the cut edges, every edge i -> j of
//! the neighbour graph taken in both directions (Landrieu & Obozinski 2017, "generalised minimal partition"; the
//! authors' library minimises E / 2). Components are cut in two by a minimum cut between two mean values, over and
//! over; after each round neighbours are merged where that lowers E.

use crate::ops::{
    components::cpu::connected,
    max_flow::{self, Arc, Network},
    region_merge::{self, Region},
    two_means,
};
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

/// How far the optimisation goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Weight of the cut edges against the squared distances, not negative.
    pub lambda: f32,
    /// Most rounds of splitting and merging.
    pub rounds: usize,
    /// Ends when a round lowers the energy by less than this share of it.
    pub progress: f64,
    /// Minimum cuts per split, each from the mean values of the one before.
    pub cuts: usize,
    /// Random starts of the two mean values, of which the best is taken.
    pub starts: usize,
    /// Lloyd's iterations from each start.
    pub iterations: usize,
    /// Components of at most this many vertices are merged in the end with the neighbour with which E rises least.
    pub small: usize,
}

impl Default for Options {
    /// The authors' values; they stop at a progress of 5 %.
    fn default() -> Options {
        Options { lambda: 0.05, rounds: 15, progress: 1e-3, cuts: 3, starts: 10, iterations: 5, small: 0 }
    }
}

impl Graph {
    /// The graph of the edges i -> j of a neighbour list; edges from a point to itself are left out.
    ///
    /// `neighbors` and `weights`: `[N, k]`, no neighbour twice in a row.
    pub fn from_neighbors(neighbors: &[u32], weights: &[f32], n: usize, k: usize) -> Graph {
        let row = |i: u32| i as usize * k..(i as usize + 1) * k;
        let weight_of = |i: u32, j: u32| row(i).find(|&at| neighbors[at] == j).map(|at| weights[at]);
        let edges = || {
            let edge = |at: usize| ((at / k) as u32, neighbors[at], weights[at]);
            (0..n * k).map(edge).filter(|&(i, j, _)| i != j)
        };
        // A row holds the point's own edges and those that only its neighbours have.
        let mut first = vec![0u32; n + 1];
        for (i, j, _) in edges() {
            first[i as usize + 1] += 1;
            first[j as usize + 1] += weight_of(j, i).is_none() as u32;
        }
        for i in 0..n {
            first[i + 1] += first[i];
        }
        let mut next = first.clone();
        let mut arcs = vec![(0, 0.0); first[n] as usize];
        let mut put = |tail: u32, head: u32, weight: f32| {
            arcs[next[tail as usize] as usize] = (head, weight);
            next[tail as usize] += 1;
        };
        for (i, j, weight) in edges() {
            let back = weight_of(j, i);
            put(i, j, weight + back.unwrap_or(0.0));
            if back.is_none() {
                put(j, i, weight);
            }
        }
        for i in 0..n {
            arcs[first[i] as usize..first[i + 1] as usize].sort_unstable_by_key(|&(head, _)| head);
        }
        let (heads, weights) = arcs.into_iter().unzip();
        Graph { first, heads, weights }
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
    fn neighbors(&self, v: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let arcs = self.first[v as usize] as usize..self.first[v as usize + 1] as usize;
        self.heads[arcs.clone()].iter().copied().zip(self.weights[arcs].iter().copied())
    }
}

/// The energy E of a partition.
///
/// `features`: `[V, D]`; `labels`: the component of every vertex, `[V]`.
pub fn energy<const D: usize>(graph: &Graph, features: &[[f32; D]], labels: &[u32], lambda: f32) -> f64 {
    let mut sums = vec![Region::default(); labels.iter().max().map_or(0, |&s| s as usize + 1)];
    for (feature, &label) in features.iter().zip(labels) {
        sums[label as usize].add(feature);
    }
    let means: Vec<[f64; D]> = sums.iter().map(Region::mean).collect();
    let spread: f64 =
        features.iter().zip(labels).map(|(f, &label)| squared_distance(f, &means[label as usize])).sum();
    let cut: f64 = (0..graph.len() as u32)
        .flat_map(|v| graph.neighbors(v).map(move |(head, weight)| (v, head, weight)))
        .filter(|&(v, head, _)| labels[v as usize] != labels[head as usize])
        .map(|(_, _, weight)| weight as f64)
        .sum();
    spread + lambda as f64 * cut
}

fn squared_distance<const D: usize>(feature: &[f32; D], mean: &[f64; D]) -> f64 {
    (0..D).map(|i| (feature[i] as f64 - mean[i]).powi(2)).sum()
}

/// CPU reference.
pub mod cpu {
    use super::*;

    /// The component of every vertex, `[V]`, numbered by their lowest vertices.
    ///
    /// `features`: `[V, D]`, finite.
    pub fn partition<const D: usize>(graph: &Graph, features: &[[f32; D]], options: &Options) -> Vec<u32> {
        let mut components = Components::of(graph);
        let mut before = f64::INFINITY;
        for round in 0..options.rounds {
            if components.open.iter().all(|&open| !open) {
                break;
            }
            components.split(graph, features, options);
            components.merge(graph, features, options.lambda, 0);
            let after = energy(graph, features, &components.labels, options.lambda);
            tracing::debug!(round, components = components.len(), energy = after, "cut pursuit");
            if before - after < options.progress * after {
                break;
            }
            before = after;
        }
        if options.small > 0 {
            components.merge(graph, features, options.lambda, options.small);
        }
        components.labels
    }
}

/// A partition on its way.
struct Components {
    /// Component of every vertex, `[V]`.
    labels: Vec<u32>,
    /// The vertices grouped by component, ascending within each, `[V]`.
    members: Vec<u32>,
    /// Where the members of each component begin, `[components + 1]`.
    first: Vec<u32>,
    /// Whether a split may still be found, `[components]`.
    open: Vec<bool>,
}

impl Components {
    /// The connected components of the graph.
    fn of(graph: &Graph) -> Components {
        let n = graph.len();
        let (labels, count) = connected(n, |v| graph.neighbors(v).map(|(head, _)| head));
        let mut components =
            Components { labels: vec![0; n], members: vec![0; n], first: vec![], open: vec![] };
        components.relabel(labels, &vec![true; count]);
        components
    }

    fn len(&self) -> usize {
        self.open.len()
    }

    fn members(&self, component: usize) -> &[u32] {
        &self.members[self.first[component] as usize..self.first[component + 1] as usize]
    }

    /// Replaces the partition by the one in which the vertices with the same `key` are together, numbered by their
    /// lowest vertices. Every key is below `keys`; `open` is by key.
    fn relabel(&mut self, key: Vec<u32>, open: &[bool]) {
        const NONE: u32 = u32::MAX;
        let mut label = vec![NONE; open.len()];
        let mut first = vec![0];
        self.open.clear();
        for &key in &key {
            if label[key as usize] == NONE {
                label[key as usize] = self.open.len() as u32;
                self.open.push(open[key as usize]);
                first.push(0);
            }
            first[label[key as usize] as usize + 1] += 1;
        }
        for component in 0..self.open.len() {
            first[component + 1] += first[component];
        }
        let mut next = first.clone();
        for (v, key) in key.into_iter().enumerate() {
            let component = label[key as usize];
            self.labels[v] = component;
            self.members[next[component as usize] as usize] = v as u32;
            next[component as usize] += 1;
        }
        self.first = first;
    }

    /// Cuts every open component in two, if that lowers the energy; the connected parts become components.
    fn split<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], options: &Options) {
        // Place of every vertex within its component.
        let mut place = vec![0; self.labels.len()];
        for component in 0..self.len() {
            for (at, &v) in self.members(component).iter().enumerate() {
                place[v as usize] = at as u32;
            }
        }
        // Large components first: the last task to end is then a small one.
        let mut tasks: Vec<usize> = (0..self.len()).filter(|&c| self.open[c]).collect();
        tasks.sort_by_key(|&c| std::cmp::Reverse(self.members(c).len()));
        let parts: Vec<Option<(Vec<u32>, usize)>> = tasks
            .par_iter()
            .with_max_len(1)
            .map(|&c| split(graph, features, self.members(c), &self.labels, &place, options))
            .collect();
        let mut key = self.labels.clone();
        let mut open = vec![false; self.len()];
        for (c, parts) in tasks.into_iter().zip(parts) {
            let Some((part, count)) = parts else { continue };
            for (&v, part) in self.members(c).iter().zip(part) {
                key[v as usize] = open.len() as u32 + part;
            }
            open.resize(open.len() + count, true);
        }
        self.relabel(key, &open);
    }

    /// Merges neighbouring components while that lowers the energy.
    fn merge<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], lambda: f32, small: usize) {
        let mut borders = vec![];
        for (v, &label) in self.labels.iter().enumerate() {
            for (head, weight) in graph.neighbors(v as u32) {
                let other = self.labels[head as usize];
                if label < other {
                    borders.push((label, other, 2.0 * lambda as f64 * weight as f64));
                }
            }
        }
        let regions =
            (0..self.len()).map(|c| Region::of(self.members(c).iter().map(|&v| &features[v as usize])));
        let into = region_merge::cpu::merge(regions.collect(), borders, small);
        let mut open = self.open.clone();
        for (component, &into) in into.iter().enumerate() {
            if into as usize != component {
                open[into as usize] = true;
            }
        }
        let key = self.labels.iter().map(|&label| into[label as usize]).collect();
        self.relabel(key, &open);
    }
}

/// The connected parts of the best cut of one component: part of each member and their number; `None` if no cut was
/// found that lowers the energy.
fn split<const D: usize>(
    graph: &Graph,
    features: &[[f32; D]],
    members: &[u32],
    labels: &[u32],
    place: &[u32],
    options: &Options,
) -> Option<(Vec<u32>, usize)> {
    let own: Vec<[f32; D]> = members.iter().map(|&v| features[v as usize]).collect();
    let mut side = two_means::cpu::two_means(&own, members[0] as u64, options.starts, options.iterations)?;
    let mut network = subgraph(graph, members, labels, place, 2.0 * options.lambda);
    let mut preference = vec![0.0; own.len()];
    for _ in 0..options.cuts {
        let mut sums = [Region::default(); 2];
        own.iter().zip(&side).for_each(|(feature, &side)| sums[side as usize].add(feature));
        if sums.iter().any(|sum| sum.count == 0.0) {
            return None;
        }
        let means = sums.map(|sum| sum.mean());
        // How much better the first mean fits than the second: such vertices hang on the source.
        for ((feature, before), excess) in own.iter().zip(&mut preference).zip(&mut network.excess) {
            let now = (squared_distance(feature, &means[1]) - squared_distance(feature, &means[0])) as f32;
            *excess += now - *before;
            *before = now;
        }
        let after = max_flow::cpu::min_cut(&mut network);
        if after == side {
            break;
        }
        side = after;
    }
    let side = &side;
    let same_side = |v: u32| {
        let heads = network.arcs(v).iter().map(|arc| arc.head);
        heads.filter(move |&head| side[head as usize] == side[v as usize])
    };
    let (part, count) = connected(own.len(), same_side);
    lowers(&network, &own, &part, count).then_some((part, count))
}

/// The network of one component: arcs inside it, capacity `scale` times their weight.
fn subgraph(graph: &Graph, members: &[u32], labels: &[u32], place: &[u32], scale: f32) -> Network {
    let component = labels[members[0] as usize];
    let mut first = vec![0];
    let mut arcs: Vec<Arc> = vec![];
    for &v in members {
        let inside = graph.neighbors(v).filter(|&(head, _)| labels[head as usize] == component);
        arcs.extend(inside.map(|(head, weight)| Arc {
            head: place[head as usize],
            reverse: 0,
            residual: scale * weight,
        }));
        first.push(arcs.len() as u32);
    }
    // Heads ascend within a vertex, so the arcs back to it are met in the order of its heads.
    let mut next = first.clone();
    for v in 0..members.len() {
        for at in first[v]..first[v + 1] {
            let back = &mut next[arcs[at as usize].head as usize];
            arcs[at as usize].reverse = *back;
            *back += 1;
        }
    }
    Network { first, arcs, excess: vec![0.0; members.len()] }
}

/// Whether the parts have a lower energy than the whole.
fn lowers<const D: usize>(network: &Network, features: &[[f32; D]], part: &[u32], count: usize) -> bool {
    let mut parts = vec![Region::default(); count];
    for (feature, &part) in features.iter().zip(part) {
        parts[part as usize].add(feature);
    }
    let whole = parts.iter().fold(Region::default(), |whole, part| whole.join(part));
    let gain = parts.iter().map(Region::concentration).sum::<f64>() - whole.concentration();
    // An edge's two residuals always sum to twice its capacity.
    let cut: f64 = (0..features.len() as u32)
        .flat_map(|v| network.arcs(v).iter().map(move |arc| (v, arc)))
        .filter(|(v, arc)| part[*v as usize] != part[arc.head as usize])
        .map(|(_, arc)| arc.residual as f64 / 2.0)
        .sum();
    gain > cut
}

#[cfg(test)]
mod tests {
    use super::{Graph, Options, cpu::partition, energy};

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32
        }
    }

    /// A ring of `n` vertices with chords, each vertex with two edges.
    fn ring(n: usize, random: &mut Random) -> Graph {
        let neighbors: Vec<u32> = (0..n).flat_map(|i| [((i + 1) % n) as u32, ((i + 3) % n) as u32]).collect();
        let weights: Vec<f32> = neighbors.iter().map(|_| random.next()).collect();
        Graph::from_neighbors(&neighbors, &weights, n, 2)
    }

    /// The lowest energy of all partitions (restricted growth strings).
    fn lowest<const D: usize>(graph: &Graph, features: &[[f32; D]], lambda: f32) -> f64 {
        fn extend<const D: usize>(graph: &Graph, f: &[[f32; D]], lambda: f32, labels: &mut Vec<u32>) -> f64 {
            if labels.len() == f.len() {
                return energy(graph, f, labels, lambda);
            }
            let next = labels.iter().max().map_or(0, |m| m + 1);
            let mut best = f64::INFINITY;
            for label in 0..=next {
                labels.push(label);
                best = best.min(extend(graph, f, lambda, labels));
                labels.pop();
            }
            best
        }
        extend(graph, features, lambda, &mut vec![])
    }

    #[test]
    fn graph_of_a_neighbor_list() {
        // 0 -> 1, 0 -> 2, 1 -> 0, 1 -> 1 (itself), 2 -> 1, 2 -> 0.
        let graph = Graph::from_neighbors(&[1, 2, 0, 1, 1, 0], &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 3, 2);
        assert_eq!(graph.first, [0, 2, 4, 6]);
        assert_eq!(graph.heads, [1, 2, 0, 2, 0, 1]);
        assert_eq!(graph.weights, [5.0, 34.0, 5.0, 16.0, 34.0, 16.0]);
    }

    #[test]
    fn energy_counts_every_edge_in_both_directions() {
        let graph = Graph::from_neighbors(&[1, 0, 1], &[1.0, 2.0, 4.0], 3, 1);
        let features = [[0.0], [2.0], [7.0]];
        // {0, 1} has mean 1; the edge 2 -> 1 is cut.
        assert_eq!(energy(&graph, &features, &[0, 0, 1], 0.5), 2.0 + 0.5 * 2.0 * 4.0);
        assert_eq!(energy(&graph, &features, &[0, 1, 2], 0.5), 0.5 * 2.0 * (3.0 + 4.0));
    }

    #[test]
    fn finds_separate_plateaus() {
        let mut random = Random(1);
        for case in 0..50 {
            let graph = ring(8, &mut random);
            let features: Vec<[f32; 2]> = (0..8)
                .map(|i| [if i < 3 + case % 3 { 3.0 } else { -3.0 } + 0.1 * random.next(), 0.0])
                .collect();
            let found = energy(&graph, &features, &partition(&graph, &features, &Options::default()), 0.05);
            assert!((found - lowest(&graph, &features, 0.05)).abs() < 1e-6, "case {case}");
        }
    }

    /// Cut pursuit is greedy, so that it may miss the optimum of noise, but not often and not by much.
    #[test]
    fn is_close_to_brute_force_on_noise() {
        let mut random = Random(2);
        let (mut optimal, mut worst) = (0, 1f64);
        for _ in 0..200 {
            let graph = ring(8, &mut random);
            let features: Vec<[f32; 2]> = (0..8).map(|_| [random.next(), random.next()]).collect();
            let lambda = 0.01 + 0.1 * random.next();
            let options = Options { lambda, ..Options::default() };
            let found = energy(&graph, &features, &partition(&graph, &features, &options), lambda);
            let ratio = found / lowest(&graph, &features, lambda);
            assert!(ratio > 1.0 - 1e-6);
            optimal += (ratio < 1.0 + 1e-6) as usize;
            worst = worst.max(ratio);
        }
        println!("{optimal} of 200 optimal, worst {worst}");
        assert!(optimal >= 150 && worst < 1.35, "{optimal} of 200 optimal, worst {worst}");
    }

    #[test]
    fn small_components_are_merged() {
        let mut random = Random(4);
        let graph = ring(500, &mut random);
        let features: Vec<[f32; 1]> = (0..500).map(|i| [(i / 100) as f32 + (i % 9 / 8) as f32]).collect();
        let smallest = |small| {
            let labels = partition(&graph, &features, &Options { small, ..Options::default() });
            let count = |s| labels.iter().filter(|&&label| label == s).count();
            (0..=*labels.iter().max().unwrap()).map(count).min().unwrap()
        };
        assert!(smallest(0) <= 5);
        assert!(smallest(5) > 5);
    }

    #[test]
    fn components_are_connected_even_if_they_look_alike() {
        let graph = Graph::from_neighbors(&[1, 0, 3, 2], &[1.0; 4], 4, 1);
        assert_eq!(partition(&graph, &[[0.5]; 4], &Options::default()), [0, 0, 1, 1]);
        assert!(partition::<6>(&Graph::default(), &[], &Options::default()).is_empty());
    }

    #[test]
    fn same_bits_whatever_the_thread_count() {
        let n = 6000;
        let mut random = Random(3);
        let graph = ring(n, &mut random);
        let features: Vec<[f32; 3]> =
            (0..n).map(|i| [(i / 50 % 7) as f32, random.next(), (i / 900) as f32]).collect();
        let labels = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| partition(&graph, &features, &Options::default()))
        });
        assert!(labels[0].iter().max().unwrap() > &20);
        assert_eq!(labels[0], labels[1]);
        assert_eq!(labels[0], labels[2]);
    }
}
