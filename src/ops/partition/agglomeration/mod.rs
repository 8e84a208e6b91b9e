//! Agglomeration: a partition of a neighbour graph into connected regions of like features, made by merging alone.
//!
//! Minimises the energy E of [`cut_pursuit`](crate::ops::partition::cut_pursuit) from the other end: in the beginning every point is
//! a region. Merging a and b gains their border less the spread that it adds,
//! 2 lambda w_ab - n_a n_b / (n_a + n_b) |mean_a - mean_b|^2. In every round each region chooses the neighbour with which
//! it gains most, unless it would lose. Two that choose each other merge, and the larger is their root. Others join the
//! root or the idle region that they chose, if that is four times their size (`LARGER`) and the border no less than
//! n_a |mean_a - mean_b|^2, so that many may join at once and E does not rise. When few merge any more, small regions
//! choose their best neighbour at whatever cost.
//!
//! Sums of features and weights are integers (fixed point), so that they are exact in any order: the result does not
//! depend on threads, blocks or the device.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

/// How many times larger a region must be than those that join it without being chosen in return. Smaller factors end in
/// fewer rounds and a higher energy (1: 15 rounds, 0.7 % higher; 4: 19; 16: 25, 0.2 % lower, on real clouds).
const LARGER: u32 = 4;

/// Whether a round merged so few regions that small ones need no longer wait. (Waiting until there is no gain left
/// changes E by less than 0.3 % and takes half as many rounds again.)
fn few_merged(before: usize, after: usize) -> bool {
    (before - after) * 16 < before.max(1)
}

/// Odd, so that multiplying by it permutes the edges (their two ends as one number): neighbouring ones of equal gain are
/// chosen in no order.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4a_7c15;

/// How far regions are merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Weight of the cut edges against the squared distances, not negative.
    pub lambda: f32,
    /// Regions of at most this many points are merged in the end with the neighbour with which E rises least.
    pub small: usize,
    /// No feature is larger in magnitude.
    pub bound: f32,
}

/// Fixed point: how many units make 1. Powers of two, such that the sums over all points and edges fit 63 bits.
#[derive(Debug, Clone, Copy)]
struct Units {
    feature: f64,
    weight: f64,
}

impl Units {
    fn new(points: usize, neighbors: usize, bound: f32) -> Units {
        let bits = |most: f64| most.max(1.0).log2().ceil() as i32;
        let feature = 62 - bits(points as f64) - bits(bound as f64);
        let weight = 62 - bits(points as f64 * neighbors as f64);
        Units { feature: 2f64.powi(feature.min(40)), weight: 2f64.powi(weight.min(40)) }
    }

    /// Energy of a unit of border.
    fn border(&self, lambda: f32) -> f64 {
        2.0 * lambda as f64 / self.weight
    }

    /// The square of a unit of features.
    fn square(&self) -> f64 {
        1.0 / (self.feature * self.feature)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, cpu::agglomerate};
    use crate::ops::{basic::random::Random, partition::cut_pursuit, partition::cut_pursuit::graph::Graph};

    const OPTIONS: Options = Options { lambda: 0.05, small: 0, bound: 1.0 };

    /// A ring of `n` points, each with the next and the third but next.
    fn ring(n: usize, random: &mut Random) -> (Vec<u32>, Vec<f32>) {
        let neighbors: Vec<u32> = (0..n).flat_map(|i| [((i + 1) % n) as u32, ((i + 3) % n) as u32]).collect();
        let weights = neighbors.iter().map(|_| random.uniform() as f32).collect();
        (neighbors, weights)
    }

    fn regions(labels: &[u32]) -> usize {
        labels.iter().max().map_or(0, |&label| label as usize + 1)
    }

    #[test]
    fn finds_plateaus() {
        let mut random = Random::new(1, 0);
        for case in 0..50 {
            let (neighbors, weights) = ring(9, &mut random);
            let high = |i: usize| i < 3 + case % 3;
            let features: Vec<[f32; 2]> = (0..9)
                .map(|i| [if high(i) { 1.0 } else { -1.0 } * (1.0 - 0.01 * random.uniform() as f32), 0.0])
                .collect();
            let labels = agglomerate(&features, &neighbors, &weights, 2, &OPTIONS).unwrap();
            assert_eq!(regions(&labels), 2, "case {case}");
            assert!((0..9).all(|i| (labels[i] == labels[0]) == high(i)), "case {case}: {labels:?}");
        }
    }

    #[test]
    fn the_energy_is_near_that_of_cut_pursuit_on_noise() {
        let mut random = Random::new(2, 0);
        let (mut ours, mut theirs, mut alone) = (0.0, 0.0, 0.0);
        for _ in 0..20 {
            let n = 500;
            let (neighbors, weights) = ring(n, &mut random);
            let graph = Graph::from_neighbors(&neighbors, &weights, n, 2).unwrap();
            let features: Vec<[f32; 2]> = (0..n).map(|_| [(); 2].map(|_| random.uniform() as f32)).collect();
            let energy = |labels: &[u32]| cut_pursuit::energy(&graph, &features, labels, OPTIONS.lambda);
            ours += energy(&agglomerate(&features, &neighbors, &weights, 2, &OPTIONS).unwrap());
            theirs += energy(&cut_pursuit::cpu::partition(&graph, &features, &Default::default()).unwrap());
            alone += energy(&(0..n as u32).collect::<Vec<_>>());
        }
        println!("{ours} against {theirs}, {alone} of single points");
        assert!(
            ours < 1.02 * theirs && ours < 0.9 * alone,
            "{ours} against {theirs}, {alone} of single points"
        );
    }

    #[test]
    fn many_join_one_at_once() {
        // A wheel: every leaf has only the hub, which would take one a round.
        let n = 5000;
        let neighbors: Vec<u32> = (0..n).map(|i| if i == 0 { 1 } else { 0 }).collect();
        let labels =
            agglomerate(&vec![[0.5]; n as usize], &neighbors, &vec![0.5; n as usize], 1, &OPTIONS).unwrap();
        assert_eq!(regions(&labels), 1);
    }

    #[test]
    fn small_regions_merge_at_whatever_cost() {
        let mut random = Random::new(3, 0);
        let n = 500;
        let (neighbors, weights) = ring(n, &mut random);
        let features: Vec<[f32; 1]> = (0..n).map(|i| [(i / 100) as f32 / 5.0 + (i % 9 / 8) as f32]).collect();
        let smallest = |small| {
            let labels =
                agglomerate(&features, &neighbors, &weights, 2, &Options { small, bound: 2.0, ..OPTIONS })
                    .unwrap();
            let mut count = vec![0; regions(&labels)];
            labels.iter().for_each(|&label| count[label as usize] += 1);
            count.into_iter().min().unwrap()
        };
        assert!(smallest(0) <= 5);
        assert!(smallest(5) > 5);
        assert_eq!(smallest(n), n);
    }

    #[test]
    fn what_no_edge_joins_stays_apart() {
        let (neighbors, weights) = ([1, 0, 3, 2, 4], [1.0; 5]);
        let options = Options { small: 5, ..OPTIONS };
        assert_eq!(agglomerate(&[[0.5]; 5], &neighbors, &weights, 1, &options).unwrap(), [0, 0, 1, 1, 2]);
        assert!(agglomerate::<6>(&[], &[], &[], 10, &options).unwrap().is_empty());
    }

    /// Sums that would overflow in the units of small numbers.
    #[test]
    fn features_of_any_size() {
        let mut random = Random::new(4, 0);
        let n = 400;
        let (neighbors, weights) = ring(n, &mut random);
        let features: Vec<[f32; 1]> = (0..n).map(|i| [if i < 150 { 3e30 } else { -3e30 }]).collect();
        let labels =
            agglomerate(&features, &neighbors, &weights, 2, &Options { bound: 3e30, ..OPTIONS }).unwrap();
        assert_eq!(regions(&labels), 2);
    }
}
