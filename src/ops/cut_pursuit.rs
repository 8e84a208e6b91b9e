//! l0 cut pursuit: a partition of a graph into connected components of like features.
//!
//! Minimises E = sum_i |f_i - mean(f of i's component)|^2 + lambda * sum of w over the cut edges, every edge i -> j of
//! the neighbour graph taken in both directions (Landrieu & Obozinski 2017, "generalised minimal partition"; the
//! authors' library minimises E / 2). Components are cut in two by a minimum cut between two mean values, over and
//! over; after each round neighbours are merged where that lowers E.

use crate::ops::{
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
}

impl Default for Options {
    /// The authors' values; they stop at a progress of 5 %.
    fn default() -> Options {
        Options { lambda: 0.05, rounds: 15, progress: 1e-3, cuts: 3, starts: 10, iterations: 5 }
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
        let mut components = Components::whole(graph.len());
        let mut before = f64::INFINITY;
        for round in 0..options.rounds {
            if components.open.iter().all(|&open| !open) {
                break;
            }
            components.split(graph, features, options);
            components.merge(graph, features, options.lambda);
            let after = energy(graph, features, &components.labels, options.lambda);
            tracing::debug!(round, components = components.len(), energy = after, "cut pursuit");
            if before - after < options.progress * after {
                break;
            }
            before = after;
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
    fn whole(n: usize) -> Components {
        let members = (0..n as u32).collect();
        Components { labels: vec![0; n], members, first: vec![0, n as u32], open: vec![true] }
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
    fn merge<const D: usize>(&mut self, graph: &Graph, features: &[[f32; D]], lambda: f32) {
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
        let into = region_merge::cpu::merge(regions.collect(), borders);
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
    let (part, count) = connected(&network, &side);
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

/// The connected parts of the two sides: the part of every vertex, and their number.
fn connected(network: &Network, side: &[bool]) -> (Vec<u32>, usize) {
    const NONE: u32 = u32::MAX;
    let mut part = vec![NONE; side.len()];
    let mut count = 0;
    let mut stack = vec![];
    for root in 0..side.len() {
        if part[root] != NONE {
            continue;
        }
        part[root] = count;
        stack.push(root);
        while let Some(v) = stack.pop() {
            for arc in &network.arcs[network.first[v] as usize..network.first[v + 1] as usize] {
                let head = arc.head as usize;
                if part[head] == NONE && side[head] == side[v] {
                    part[head] = count;
                    stack.push(head);
                }
            }
        }
        count += 1;
    }
    (part, count as usize)
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
    let cut: f64 = (0..features.len())
        .flat_map(|v| {
            network.arcs[network.first[v] as usize..network.first[v + 1] as usize].iter().map(move |a| (v, a))
        })
        .filter(|(v, arc)| part[*v] != part[arc.head as usize])
        .map(|(_, arc)| arc.residual as f64)
        .sum::<f64>()
        / 2.0;
    gain > cut
}
