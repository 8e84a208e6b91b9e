//! CPU reference.

use super::{LARGER, Options, SCRAMBLE, Units, few_merged};
use crate::{error::Result, observer::step, ops::expect_len};
use rayon::prelude::*;

const NONE: u32 = u32::MAX;

/// The region of every point, `[N]`, numbered from 0.
///
/// `features`: `[N, D]`, finite; `neighbors` and `weights`: `[N, k]` the edges i -> j, weights in [0, 1]; edges of a
/// point to itself count nothing.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn agglomerate<const D: usize>(
    features: &[[f32; D]],
    neighbors: &[u32],
    weights: &[f32],
    k: usize,
    options: &Options,
) -> Result<Vec<u32>> {
    let n = features.len();
    expect_len("agglomeration", "neighbors [N, k]", neighbors.len(), n * k)?;
    expect_len("agglomeration", "weights [N, k]", weights.len(), n * k)?;
    let units = Units::new(n, k, options.bound);
    let energy = Energy { border: units.border(options.lambda), square: units.square() };
    let fixed = |x: f32, units: f64| (x as f64 * units).round_ties_even();
    let arc = |at: usize| Edge {
        low: ((at / k) as u32).min(neighbors[at]),
        high: ((at / k) as u32).max(neighbors[at]),
        border: fixed(weights[at], units.weight) as u64,
    };
    let arcs: Vec<Edge> = (0..neighbors.len()).into_par_iter().map(arc).collect();
    let mut labels: Vec<u32> = (0..n as u32).collect();
    let mut regions = Regions {
        root: labels.clone(),
        count: vec![1; n],
        sums: features.par_iter().map(|f| f.map(|x| fixed(x, units.feature) as i64)).collect(),
        edges: contract(&arcs, &labels, n),
    };
    let (mut small, small_last) = (0, options.small.min(n) as u32);
    loop {
        step!("{} regions", regions.count.len());
        let into = regions.choose(&energy, small);
        let stays: Vec<u32> = (0..into.len() as u32).filter(|&a| into[a as usize] == a).collect();
        match few_merged(into.len(), stays.len()) {
            true if small < small_last => small = small_last,
            _ if stays.len() == into.len() => break,
            _ => {}
        }
        let mut number = vec![0; into.len()];
        (0..).zip(&stays).for_each(|(i, &a)| number[a as usize] = i);
        let target: Vec<u32> = into.iter().map(|&into| number[into as usize]).collect();
        regions = regions.absorb(&target, &stays);
        labels.par_iter_mut().for_each(|label| *label = target[*label as usize]);
    }
    Ok(labels)
}

/// What the units are worth.
struct Energy {
    border: f64,
    square: f64,
}

/// The regions that border on each other, each pair once, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Edge {
    low: u32,
    high: u32,
    border: u64,
}

struct Regions<const D: usize> {
    /// The point that a region began with, ascending.
    root: Vec<u32>,
    count: Vec<u32>,
    sums: Vec<[i64; D]>,
    edges: Vec<Edge>,
}

impl<const D: usize> Regions<D> {
    /// What each region merges into; itself if it stays.
    fn choose(&self, energy: &Energy, small: u32) -> Vec<u32> {
        let Regions { root, count, sums, edges } = self;
        let mean = |(sum, &count): (&[i64; D], &u32)| sum.map(|x| x as f64 / count as f64);
        let means: Vec<[f64; D]> = sums.par_iter().zip(count).map(mean).collect();
        let squared = |a: u32, b: u32| {
            let (a, b) = (&means[a as usize], &means[b as usize]);
            (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f64>() * energy.square
        };
        let gain = |&Edge { low, high, border }: &Edge| {
            let (a, b) = (count[low as usize] as f64, count[high as usize] as f64);
            border as f64 * energy.border - a * b / (a + b) * squared(low, high)
        };
        let gains: Vec<f64> = edges.par_iter().map(gain).collect();

        let mut chosen = vec![NONE; count.len()];
        let place = |e: u32| {
            let Edge { low, high, .. } = edges[e as usize];
            (u64::from(root[low as usize]) << 32 | u64::from(root[high as usize])).wrapping_mul(SCRAMBLE)
        };
        for (e, &gain) in gains.iter().enumerate() {
            for end in [edges[e].low as usize, edges[e].high as usize] {
                let before = chosen[end];
                let better = || {
                    let order = gain.total_cmp(&gains[before as usize]);
                    order.then_with(|| place(e as u32).cmp(&place(before))).is_gt()
                };
                if (gain >= 0.0 || count[end] <= small) && (before == NONE || better()) {
                    chosen[end] = e as u32;
                }
            }
        }

        let chosen = |a: u32| chosen[a as usize];
        let other = |e: u32, a: u32| edges[e as usize].low ^ edges[e as usize].high ^ a;
        let size = |a: u32| count[a as usize];
        let larger = |a: u32, b: u32| {
            if size(a) == size(b) { a.min(b) } else { if size(a) > size(b) { a } else { b } }
        };
        let into = |a: u32| {
            let edge = chosen(a);
            if edge == NONE {
                return a;
            }
            let b = other(edge, a);
            if chosen(b) == edge {
                return larger(a, b);
            }
            let back = chosen(b);
            let stays = back == NONE || {
                let c = other(back, b);
                chosen(c) == back && larger(b, c) == b
            };
            let joins = || {
                let border = edges[edge as usize].border as f64 * energy.border;
                size(b) / LARGER >= size(a) && border >= size(a) as f64 * squared(a, b)
            };
            if stays && (size(a) <= small || joins()) { b } else { a }
        };
        (0..count.len() as u32).into_par_iter().map(into).collect()
    }

    /// The regions that these merge into: those of them that stay.
    fn absorb(&self, target: &[u32], stays: &[u32]) -> Regions<D> {
        let mut merged = Regions {
            root: stays.iter().map(|&a| self.root[a as usize]).collect(),
            count: vec![0; stays.len()],
            sums: vec![[0; D]; stays.len()],
            edges: contract(&self.edges, target, stays.len()),
        };
        for (a, &target) in target.iter().enumerate() {
            merged.count[target as usize] += self.count[a];
            let sums = merged.sums[target as usize].iter_mut().zip(&self.sums[a]);
            sums.for_each(|(sum, x)| *sum += x);
        }
        merged
    }
}

/// The edges between the `regions` that the ends of `edges` are in, by `target`; parallel ones as one.
fn contract(edges: &[Edge], target: &[u32], regions: usize) -> Vec<Edge> {
    let renamed = || {
        edges.iter().filter_map(|&Edge { low, high, border }| {
            let (a, b) = (target[low as usize], target[high as usize]);
            (a != b).then_some(Edge { low: a.min(b), high: a.max(b), border })
        })
    };
    let mut first = vec![0u32; regions + 1];
    renamed().for_each(|edge| first[edge.low as usize + 1] += 1);
    for a in 0..regions {
        first[a + 1] += first[a];
    }
    let mut next = first.clone();
    let mut sorted = vec![Edge { low: 0, high: 0, border: 0 }; first[regions] as usize];
    for edge in renamed() {
        let next = &mut next[edge.low as usize];
        sorted[*next as usize] = edge;
        *next += 1;
    }
    for a in 0..regions {
        sorted[first[a] as usize..first[a + 1] as usize].sort_unstable_by_key(|edge| edge.high);
    }
    sorted.dedup_by(|later, kept| {
        let same = (later.low, later.high) == (kept.low, kept.high);
        kept.border += if same { later.border } else { 0 };
        same
    });
    sorted
}
