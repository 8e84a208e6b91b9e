//! l0 cut pursuit: a partition of a graph into connected components of like features.
//!
//! Minimises E = sum_i |f_i - mean(f of i's component)|^2 + lambda * sum of w over the cut edges, every edge i -> j of
//! the neighbour graph taken in both directions (Landrieu & Obozinski 2017, "generalised minimal partition"; the
//! authors' library minimises E / 2). The start is not one component, but what single vertices merge into: a lower
//! energy for less time. In each round components are cut in two by a minimum cut between two mean values, single vertices
//! change over to neighbouring components, and neighbours merge, each where that lowers E.

pub mod graph;
pub mod max_flow;
pub mod region_merge;
pub mod two_means;

use self::{
    graph::Graph,
    max_flow::{Arc, Network},
    region_merge::Region,
};
use crate::{ops::basic::components::cpu::connected, ragged::Ragged};
use rayon::prelude::*;

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
    /// The authors' values; they take ten starts and stop at a progress of 5 %.
    fn default() -> Options {
        Options { lambda: 0.05, rounds: 15, progress: 0.02, cuts: 3, starts: 3, iterations: 5, small: 0 }
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
        let place = graph.breadth_first();
        let ordered = order(&place, features);
        let (graph, features) = (&graph.contract(&place, graph.len()), &ordered[..]);
        let mut components = Components::singles(graph.len());
        components.merge(graph, features, options.lambda, 0);
        let mut before = energy(graph, features, &components.labels, options.lambda);
        for round in 0..options.rounds {
            components.split(graph, features, options);
            components.relocate(graph, features, options.lambda);
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
        let labels = place.iter().map(|&at| components.labels[at as usize]).collect();
        components.relabel(labels, &vec![false; components.len()]);
        components.labels
    }

    fn order<T: Copy>(place: &[u32], values: &[T]) -> Vec<T> {
        let mut ordered = values.to_vec();
        for (&place, &value) in place.iter().zip(values) {
            ordered[place as usize] = value;
        }
        ordered
    }
}

/// A partition on its way.
struct Components {
    /// Component of every vertex, `[V]`.
    labels: Vec<u32>,
    /// Place of every vertex among the members of its component, `[V]`.
    place: Vec<u32>,
    /// The vertices of each component, ascending.
    members: Ragged<u32>,
    /// Whether a split may still be found, `[components]`.
    open: Vec<bool>,
}

impl Components {
    /// Every vertex alone.
    fn singles(n: usize) -> Components {
        let (place, members) = (vec![0; n], Ragged::default());
        let mut components = Components { labels: vec![], place, members, open: vec![] };
        components.relabel((0..n as u32).collect(), &vec![false; n]);
        components
    }

    fn len(&self) -> usize {
        self.open.len()
    }

    /// Replaces the partition by the one in which the vertices with the same `key` are together, numbered by their
    /// lowest vertices. `open`: of every key.
    fn relabel(&mut self, mut key: Vec<u32>, open: &[bool]) {
        const NONE: u32 = u32::MAX;
        let mut label = vec![NONE; open.len()];
        self.open.clear();
        for key in &mut key {
            let label = &mut label[*key as usize];
            if *label == NONE {
                *label = self.open.len() as u32;
                self.open.push(open[*key as usize]);
            }
            *key = *label;
        }
        self.labels = key;
        self.members = Ragged::members(&self.labels, self.len());
        for members in self.members.rows() {
            members.iter().zip(0..).for_each(|(&v, place)| self.place[v as usize] = place);
        }
    }

    /// Cuts every open component in two, if that lowers the energy; the connected parts become components.
    fn split<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], options: &Options) {
        // Large components first: the last task to end is then a small one.
        let mut tasks: Vec<usize> = (0..self.len()).filter(|&c| self.open[c]).collect();
        tasks.sort_by_key(|&c| std::cmp::Reverse(self.members.row(c).len()));
        let parts: Vec<Option<(Vec<u32>, usize)>> = tasks
            .par_iter()
            .with_max_len(1)
            .map(|&c| split(graph, features, self.members.row(c), &self.labels, &self.place, options))
            .collect();
        let mut key = self.labels.clone();
        let mut open = vec![false; self.len()];
        for (c, parts) in tasks.into_iter().zip(parts) {
            let Some((part, count)) = parts else { continue };
            for (&v, part) in self.members.row(c).iter().zip(part) {
                key[v as usize] = open.len() as u32 + part;
            }
            open.resize(open.len() + count, true);
        }
        self.relabel(key, &open);
    }

    /// Merges neighbouring components while that lowers the energy.
    fn merge<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], lambda: f32, small: usize) {
        let reduced;
        let graph = if self.len() == graph.len() {
            graph
        } else {
            reduced = graph.contract(&self.labels, self.len());
            &reduced
        };
        let (into, count) = region_merge::cpu::merge(self.regions(features), graph, 2.0 * lambda, small);
        let mut open = vec![false; count];
        let mut merged = vec![false; count];
        for (&into, &was_open) in into.iter().zip(&self.open) {
            open[into as usize] |= was_open || merged[into as usize];
            merged[into as usize] = true;
        }
        let key = self.labels.iter().map(|&label| into[label as usize]).collect();
        self.relabel(key, &open);
    }

    /// Moves single vertices to neighbouring components where that lowers the energy; what falls apart becomes several.
    fn relocate<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], lambda: f32) {
        const SWEEPS: usize = 5;
        let mut regions = self.regions(features);
        let mut labels = std::mem::take(&mut self.labels);
        let mut waiting: Vec<u32> = (0..graph.len() as u32).collect();
        let mut waits = vec![true; graph.len()];
        for _ in 0..SWEEPS {
            waits.fill(false);
            let moves = |&v: &u32| better(graph, features, &labels, &regions, lambda, v).is_some();
            let movers: Vec<u32> = waiting.par_iter().with_min_len(256).copied().filter(moves).collect();
            waiting.clear();
            for v in movers {
                // Others may have moved first.
                let Some(to) = better(graph, features, &labels, &regions, lambda, v) else { continue };
                let from = std::mem::replace(&mut labels[v as usize], to);
                (self.open[from as usize], self.open[to as usize]) = (true, true);
                regions[from as usize].remove(&features[v as usize]);
                regions[to as usize].add(&features[v as usize]);
                for w in graph.neighbors(v).map(|(head, _)| head).chain([v]) {
                    if !std::mem::replace(&mut waits[w as usize], true) {
                        waiting.push(w);
                    }
                }
            }
        }
        let labels = &labels;
        let alike = |v: u32| {
            let heads = graph.neighbors(v).map(|(head, _)| head);
            heads.filter(move |&head| labels[head as usize] == labels[v as usize])
        };
        let (part, count) = connected(graph.len(), alike);
        let mut open = vec![false; count];
        for (&part, &label) in part.iter().zip(labels) {
            open[part as usize] |= self.open[label as usize];
        }
        self.relabel(part, &open);
    }

    fn regions<const D: usize>(&self, features: &[[f32; D]]) -> Vec<Region<D>> {
        let region = |c: usize| Region::of(self.members.row(c).iter().map(|&v| &features[v as usize]));
        (0..self.len()).into_par_iter().with_min_len(64).map(region).collect()
    }
}

/// The neighbouring component that lowers the energy most by taking `v` from its own, which holds more; `None` if none does.
fn better<const D: usize>(
    graph: &Graph,
    features: &[[f32; D]],
    labels: &[u32],
    regions: &[Region<D>],
    lambda: f32,
    v: u32,
) -> Option<u32> {
    let own = labels[v as usize];
    if regions[own as usize].count < 2.0 || graph.neighbors(v).all(|(head, _)| labels[head as usize] == own) {
        return None;
    }
    let mut borders = vec![(own, 0.0)];
    for (head, weight) in graph.neighbors(v) {
        let label = labels[head as usize];
        match borders.iter_mut().find(|(other, _)| *other == label) {
            Some((_, border)) => *border += weight,
            None => borders.push((label, weight)),
        }
    }
    // What the spread grows by with `v`, or has grown by, less what is saved of the border.
    let cost = |&(label, border): &(u32, f32)| {
        let region = &regions[label as usize];
        let others = if label == own { -1.0 } else { 1.0 };
        let spread =
            region.count / (region.count + others) * squared_distance(&features[v as usize], &region.mean());
        (spread - 2.0 * (lambda * border) as f64, label)
    };
    let best = borders.iter().map(cost).reduce(|best, next| if next.0 < best.0 { next } else { best });
    best.map(|(_, label)| label).filter(|&label| label != own)
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
        let heads = network.arcs.row(v as usize).iter().map(|arc| arc.head);
        heads.filter(move |&head| side[head as usize] == side[v as usize])
    };
    let (part, count) = connected(own.len(), same_side);
    lowers(&network, &own, &part, count).then_some((part, count))
}

/// The network of one component: arcs inside it, capacity `scale` times their weight.
fn subgraph(graph: &Graph, members: &[u32], labels: &[u32], place: &[u32], scale: f32) -> Network {
    let component = labels[members[0] as usize];
    let arcs_of = |&v: &u32| {
        let inside = graph.neighbors(v).filter(|&(head, _)| labels[head as usize] == component);
        inside.map(|(head, weight)| Arc { head: place[head as usize], reverse: 0, residual: scale * weight })
    };
    let mut arcs: Ragged<Arc> = members.iter().map(arcs_of).collect();
    // Heads ascend within a vertex, so the arcs back to it are met in the order of its heads.
    let mut next = arcs.offsets().to_vec();
    for arc in arcs.values_mut() {
        let back = &mut next[arc.head as usize];
        arc.reverse = *back;
        *back += 1;
    }
    Network { arcs, excess: vec![0.0; members.len()] }
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
        .flat_map(|v| network.arcs.row(v as usize).iter().map(move |arc| (v, arc)))
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
        let n = 20_000;
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
