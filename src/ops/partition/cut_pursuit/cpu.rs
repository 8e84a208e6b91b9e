//! CPU reference.

use super::{Options, energy, graph::Graph, region::Region, region_merge, split::split, squared_distance};
use crate::{
    error::Result,
    observer::step,
    ops::{basic::components::cpu::connected, expect_len},
    ragged::Ragged,
};
use rayon::prelude::*;

/// The component of every vertex, `[V]`, numbered by their lowest vertices.
///
/// `features`: `[V, D]`, finite.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn partition<const D: usize>(
    graph: &Graph,
    features: &[[f32; D]],
    options: &Options,
) -> Result<Vec<u32>> {
    expect_len("cut_pursuit", "features [V, D]", features.len(), graph.len())?;
    let place = graph.breadth_first();
    let ordered = order(&place, features);
    let (graph, features) = (&graph.contract(&place, graph.len()), &ordered[..]);
    let mut components = Components::singles(graph.len());
    components.merge(graph, features, options.lambda, 0);
    let mut before = energy(graph, features, &components.labels, options.lambda);
    for round in 0..options.rounds {
        step!("round {} of at most {}", round + 1, options.rounds);
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
    Ok(components.labels)
}

fn order<T: Copy>(place: &[u32], values: &[T]) -> Vec<T> {
    let mut ordered = values.to_vec();
    for (&place, &value) in place.iter().zip(values) {
        ordered[place as usize] = value;
    }
    ordered
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
