//! l0 cut pursuit: a partition of a graph into connected components of like features.
//!
//! Minimises E = sum_i |f_i - mean(f of i's component)|^2 + lambda * sum of w over the cut edges, every edge i -> j of
//! the neighbour graph taken in both directions (Landrieu & Obozinski 2017, "generalised minimal partition"; the
//! authors' library minimises E / 2). The start is not one component, but what single vertices merge into: a lower
//! energy for less time. In each round components are cut in two by a minimum cut between two mean values, single vertices
//! change over to neighbouring components, and neighbours merge, each where that lowers E.

pub mod cpu;
pub mod graph;
pub mod max_flow;
pub mod region;
pub mod region_merge;
mod split;
pub mod two_means;

use self::{graph::Graph, region::Region};

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

#[cfg(test)]
mod tests {
    use super::{Graph, Options, cpu::partition, energy};
    use inputs::Random;

    /// A ring of `n` vertices with chords, each vertex with two edges.
    fn ring(n: usize, random: &mut Random) -> Graph {
        let neighbors: Vec<u32> = (0..n).flat_map(|i| [((i + 1) % n) as u32, ((i + 3) % n) as u32]).collect();
        let weights: Vec<f32> = neighbors.iter().map(|_| random.uniform()).collect();
        Graph::from_neighbors(&neighbors, &weights, n, 2).unwrap()
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
        let graph = Graph::from_neighbors(&[1, 0, 1], &[1.0, 2.0, 4.0], 3, 1).unwrap();
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
                .map(|i| [if i < 3 + case % 3 { 3.0 } else { -3.0 } + 0.1 * random.uniform(), 0.0])
                .collect();
            let found =
                energy(&graph, &features, &partition(&graph, &features, &Options::default()).unwrap(), 0.05);
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
            let features: Vec<[f32; 2]> = (0..8).map(|_| [random.uniform(), random.uniform()]).collect();
            let lambda = 0.01 + 0.1 * random.uniform();
            let options = Options { lambda, ..Options::default() };
            let found = energy(&graph, &features, &partition(&graph, &features, &options).unwrap(), lambda);
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
            let labels = partition(&graph, &features, &Options { small, ..Options::default() }).unwrap();
            let count = |s| labels.iter().filter(|&&label| label == s).count();
            (0..=*labels.iter().max().unwrap()).map(count).min().unwrap()
        };
        assert!(smallest(0) <= 5);
        assert!(smallest(5) > 5);
    }

    #[test]
    fn components_are_connected_even_if_they_look_alike() {
        let graph = Graph::from_neighbors(&[1, 0, 3, 2], &[1.0; 4], 4, 1).unwrap();
        assert_eq!(partition(&graph, &[[0.5]; 4], &Options::default()).unwrap(), [0, 0, 1, 1]);
        assert!(partition::<6>(&Graph::default(), &[], &Options::default()).unwrap().is_empty());
    }

    #[test]
    fn same_bits_whatever_the_thread_count() {
        let n = 20_000;
        let mut random = Random(3);
        let graph = ring(n, &mut random);
        let features: Vec<[f32; 3]> =
            (0..n).map(|i| [(i / 50 % 7) as f32, random.uniform(), (i / 900) as f32]).collect();
        let labels = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| partition(&graph, &features, &Options::default()).unwrap())
        });
        assert!(labels[0].iter().max().unwrap() > &20);
        assert_eq!(labels[0], labels[1]);
        assert_eq!(labels[0], labels[2]);
    }
}
