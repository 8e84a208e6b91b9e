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

/// How many times larger a region must be than those that join it without being chosen in return. Smaller factors end in
/// fewer rounds and a higher energy (1: 15 rounds, 0.7 % higher; 4: 19; 16: 25, 0.2 % lower, on real clouds).
const LARGER: u32 = 4;

/// Whether a round merged so few regions that small ones need no longer wait. (Waiting until there is no gain left
/// changes E by less than 0.3 % and takes half as many rounds again.)
fn few_merged(before: usize, after: usize) -> bool {
    (before - after) * 16 < before.max(1)
}

/// Odd, so that multiplying by it permutes the 32-bit numbers: neighbouring edges of equal gain are chosen in no order.
const SCRAMBLE: u32 = 0x9e37_79b1;

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

/// CPU reference.
pub mod cpu {
    use super::{LARGER, Options, SCRAMBLE, Units, few_merged};
    use rayon::prelude::*;

    const NONE: u32 = u32::MAX;

    /// The region of every point, `[N]`, numbered from 0.
    ///
    /// `features`: `[N, D]`, finite; `neighbors` and `weights`: `[N, k]` the edges i -> j, weights in [0, 1]; edges of a
    /// point to itself count nothing.
    pub fn agglomerate<const D: usize>(
        features: &[[f32; D]],
        neighbors: &[u32],
        weights: &[f32],
        k: usize,
        options: &Options,
    ) -> Vec<u32> {
        let n = features.len();
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
            count: vec![1; n],
            sums: features.par_iter().map(|f| f.map(|x| fixed(x, units.feature) as i64)).collect(),
            edges: contract(&arcs, &labels, n),
        };
        let (mut small, small_last) = (0, options.small.min(n) as u32);
        loop {
            let into = regions.choose(&energy, small);
            let mut target = vec![0; into.len()];
            let mut left = 0;
            for (a, &into) in into.iter().enumerate() {
                if into == a as u32 {
                    target[a] = left;
                    left += 1;
                }
            }
            match few_merged(into.len(), left as usize) {
                true if small < small_last => small = small_last,
                _ if left as usize == into.len() => break,
                _ => {}
            }
            let target: Vec<u32> = into.iter().map(|&into| target[into as usize]).collect();
            regions = regions.absorb(&target, left as usize);
            labels.par_iter_mut().for_each(|label| *label = target[*label as usize]);
        }
        labels
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
        count: Vec<u32>,
        sums: Vec<[i64; D]>,
        edges: Vec<Edge>,
    }

    impl<const D: usize> Regions<D> {
        /// What each region merges into; itself if it stays.
        fn choose(&self, energy: &Energy, small: u32) -> Vec<u32> {
            let Regions { count, sums, edges } = self;
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
            let place = |e: u32| (e + 1).wrapping_mul(SCRAMBLE);
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
            let root = |a: u32, b: u32| {
                if size(a) == size(b) { a.min(b) } else { if size(a) > size(b) { a } else { b } }
            };
            let into = |a: u32| {
                let edge = chosen(a);
                if edge == NONE {
                    return a;
                }
                let b = other(edge, a);
                if chosen(b) == edge {
                    return root(a, b);
                }
                let back = chosen(b);
                let stays = back == NONE || {
                    let c = other(back, b);
                    chosen(c) == back && root(b, c) == b
                };
                let joins = || {
                    let border = edges[edge as usize].border as f64 * energy.border;
                    size(b) / LARGER >= size(a) && border >= size(a) as f64 * squared(a, b)
                };
                if stays && (size(a) <= small || joins()) { b } else { a }
            };
            (0..count.len() as u32).into_par_iter().map(into).collect()
        }

        /// The `count` regions that these merge into.
        fn absorb(&self, target: &[u32], count: usize) -> Regions<D> {
            let mut merged = Regions {
                count: vec![0; count],
                sums: vec![[0; D]; count],
                edges: contract(&self.edges, target, count),
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
}

/// On a CUDA device: bit for bit the reference's regions.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Options, Units, few_merged};
    use crate::{
        device::gpu::{
            Buffer, Gpu, View, blocks,
            kernels::{self, AgglomerationDims, AgglomerationEdgesDims, AgglomerationStartDims},
        },
        error::{Error, Result},
        ops::{
            basic::{
                scan,
                sort::{self, cuda::Pairs},
            },
            expect_len,
        },
    };

    const BLOCK: u32 = 256;

    /// The region of every point, `[N]`, numbered from 0, and how many there are. The host waits once a round, for two
    /// numbers.
    ///
    /// `shape`: N, D, k; `features`: `[N, D]`, finite; `neighbors` and `weights`: `[N, k]` the edges i -> j, weights in
    /// [0, 1]; edges of a point to itself count nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit, [`Error::Device`] if the driver refuses.
    pub fn agglomerate(
        gpu: &Gpu,
        features: &Buffer<f32>,
        neighbors: &Buffer<u32>,
        weights: &Buffer<f32>,
        shape: [usize; 3],
        options: &Options,
    ) -> Result<(Buffer<u32>, usize)> {
        let [n, dimensions, k] = shape;
        let expect = |what, found, wanted| expect_len("agglomerate", what, found, wanted);
        expect("features [N, D]", features.len(), n * dimensions)?;
        expect("neighbors [N, k]", neighbors.len(), n * k)?;
        expect("weights [N, k]", weights.len(), n * k)?;
        if (n * dimensions.max(k)) >> 31 > 0 {
            return Err(Error::invalid(format!(
                "agglomerate: {n} points have 2^31 features or edges, or more"
            )));
        }
        let units = Units::new(n, k, options.bound);
        let start =
            |units, columns| AgglomerationStartDims { units, points: n as u32, columns: columns as u32 };
        let (of_features, of_weights) = (start(units.feature, dimensions), start(units.weight, k));
        let mut labels = gpu.alloc(n)?;
        let mut regions = Regions { count: gpu.alloc(n)?, sums: gpu.alloc(n * dimensions)? };
        let Regions { count, sums } = &mut regions;
        let grid = blocks(n * dimensions, BLOCK);
        kernels::agglomeration_points(gpu, grid, features, sums, count, &mut labels, of_features)?;
        let mut edges = Edges { low: gpu.alloc(n * k)?, high: gpu.alloc(n * k)?, border: gpu.alloc(n * k)? };
        let Edges { low, high, border } = &mut edges;
        kernels::agglomeration_arcs(
            gpu,
            blocks(n * k, BLOCK),
            neighbors,
            weights,
            low,
            high,
            border,
            of_weights,
        )?;

        let mut contraction = Contraction::new(gpu, n * k)?;
        // Every point is its own region's number.
        let apart = gpu.download(&contraction.rank(gpu, &edges, &labels)?)?[0] as usize;
        edges = contraction.unite(gpu, &edges, &labels, n, apart)?;
        let mut ranking = scan::cuda::Workspace::new(gpu, n)?;
        let (mut small, small_last) = (0, options.small.min(n) as u32);
        loop {
            let r = regions.count.len();
            let d = AgglomerationDims {
                border: units.border(options.lambda),
                square: units.square(),
                regions: r as u32,
                edges: edges.low.len() as u32,
                dimensions: dimensions as u32,
                small,
            };
            let (into, stays) = regions.choose(gpu, &edges, d)?;
            let (mut ranks, mut target) = (gpu.alloc(r + 1)?, gpu.alloc(r)?);
            scan::cuda::exclusive(gpu, &stays, r, &mut ranks, &mut ranking)?;
            kernels::agglomeration_target(gpu, blocks(r, BLOCK), &into, &ranks, &mut target, d)?;
            let mut counts = gpu.alloc(2)?;
            gpu.copy(&ranks.slice(r..), &mut counts.slice_mut(..1))?;
            gpu.copy(&contraction.rank(gpu, &edges, &target)?, &mut counts.slice_mut(1..))?;
            let counts = gpu.download(&counts)?;
            let (left, apart) = (counts[0] as usize, counts[1] as usize);
            match few_merged(r, left) {
                true if small < small_last => small = small_last,
                _ if left == r => break,
                _ => {}
            }
            kernels::agglomeration_rename(gpu, blocks(n, BLOCK), &target, &mut labels, of_features)?;
            edges = contraction.unite(gpu, &edges, &target, left, apart)?;
            regions = regions.absorb(gpu, &target, left, d)?;
        }
        Ok((labels, regions.count.len()))
    }

    struct Regions {
        /// `[R]`.
        count: Buffer<u32>,
        /// `[R, D]`.
        sums: Buffer<i64>,
    }

    impl Regions {
        /// What each region merges into, and whether it stays: `[R]`.
        fn choose(
            &self,
            gpu: &Gpu,
            edges: &Edges,
            d: AgglomerationDims,
        ) -> Result<(Buffer<u32>, Buffer<u32>)> {
            let Edges { low, high, border } = edges;
            let (r, count) = (self.count.len(), &self.count);
            let (each_region, each_edge) = (blocks(r, BLOCK), blocks(low.len(), BLOCK));
            let mut means = gpu.alloc(self.sums.len())?;
            let (mut gains, mut best, mut chosen) = (gpu.alloc(low.len())?, gpu.zeros(r)?, gpu.zeros(r)?);
            let (mut into, mut stays) = (gpu.alloc(r)?, gpu.alloc(r)?);
            kernels::agglomeration_means(
                gpu,
                blocks(self.sums.len(), BLOCK),
                &self.sums,
                count,
                &mut means,
                d,
            )?;
            kernels::agglomeration_gains(
                gpu, each_edge, low, high, border, count, &means, &mut gains, &mut best, d,
            )?;
            kernels::agglomeration_choose(gpu, each_edge, low, high, &gains, &best, &mut chosen, d)?;
            kernels::agglomeration_join(
                gpu,
                each_region,
                low,
                high,
                border,
                count,
                &means,
                &chosen,
                &mut into,
                &mut stays,
                d,
            )?;
            Ok((into, stays))
        }

        /// The `left` regions that these merge into.
        fn absorb(
            &self,
            gpu: &Gpu,
            target: &Buffer<u32>,
            left: usize,
            d: AgglomerationDims,
        ) -> Result<Regions> {
            let (mut count, mut sums) = (gpu.zeros(left)?, gpu.zeros(left * d.dimensions as usize)?);
            let grid = blocks(self.sums.len(), BLOCK);
            kernels::agglomeration_absorb(
                gpu,
                grid,
                target,
                &self.sums,
                &self.count,
                &mut sums,
                &mut count,
                d,
            )?;
            Ok(Regions { count, sums })
        }
    }

    /// The regions that border on each other, low < high, in ascending order; unused ones, at the end, lead from 0 to 0.
    struct Edges {
        /// `[E]`.
        low: Buffer<u32>,
        /// `[E]`.
        high: Buffer<u32>,
        /// `[E]`.
        border: Buffer<u64>,
    }

    /// Makes the edges between merged regions of those between the regions before.
    struct Contraction {
        flags: Buffer<u32>,
        ranks: Buffer<u32>,
        order: Pairs<u64>,
        sort: sort::cuda::Workspace<u64>,
        scan: scan::cuda::Workspace,
    }

    impl Contraction {
        /// Of up to `most` edges.
        fn new(gpu: &Gpu, most: usize) -> Result<Contraction> {
            Ok(Contraction {
                flags: gpu.alloc(most)?,
                ranks: gpu.alloc(most + 1)?,
                order: Pairs::new(gpu, most)?,
                sort: sort::cuda::Workspace::new(gpu, most)?,
                scan: scan::cuda::Workspace::new(gpu, most)?,
            })
        }

        /// Ranks the edges whose ends are in two regions, by `target`; their number, `[1]`.
        fn rank(&mut self, gpu: &Gpu, edges: &Edges, target: &Buffer<u32>) -> Result<View<'_, u32>> {
            let Contraction { flags, ranks, scan, .. } = self;
            let Edges { low, high, .. } = edges;
            let e = low.len();
            let d = AgglomerationEdgesDims { edges: e as u32, bits: 0 };
            let mut flags = flags.slice_mut(..e);
            kernels::agglomeration_apart(gpu, blocks(e, BLOCK), low, high, target, &mut flags, d)?;
            scan::cuda::exclusive(gpu, &flags, e, &mut ranks.slice_mut(..e + 1), scan)?;
            Ok(ranks.slice(e..e + 1))
        }

        /// Those `apart` edges, between `regions` regions; parallel ones as one.
        fn unite(
            &mut self,
            gpu: &Gpu,
            edges: &Edges,
            target: &Buffer<u32>,
            regions: usize,
            apart: usize,
        ) -> Result<Edges> {
            let Contraction { flags, ranks, order, sort, scan } = self;
            let bits = usize::BITS - regions.leading_zeros();
            let e = edges.low.len();
            let before = AgglomerationEdgesDims { edges: e as u32, bits };
            kernels::agglomeration_keys(
                gpu,
                blocks(e, BLOCK),
                &edges.low,
                &edges.high,
                target,
                &flags.slice(..e),
                &ranks.slice(..e),
                &mut order.keys.slice_mut(..apart),
                &mut order.values.slice_mut(..apart),
                before,
            )?;
            sort::cuda::pairs(gpu, order, apart, 2 * bits, sort)?;
            let (grid, d) = (blocks(apart, BLOCK), AgglomerationEdgesDims { edges: apart as u32, bits });
            let (keys, values) = (order.keys.slice(..apart), order.values.slice(..apart));
            let (mut flags, mut ranks) = (flags.slice_mut(..apart), ranks.slice_mut(..apart + 1));
            kernels::agglomeration_starts(gpu, grid, &keys, &mut flags, d)?;
            scan::cuda::exclusive(gpu, &flags, apart, &mut ranks, scan)?;
            let mut united =
                Edges { low: gpu.zeros(apart)?, high: gpu.zeros(apart)?, border: gpu.zeros(apart)? };
            let Edges { low, high, border } = &mut united;
            kernels::agglomeration_unite(
                gpu,
                grid,
                &keys,
                &values,
                &flags,
                &ranks,
                &edges.border,
                low,
                high,
                border,
                d,
            )?;
            Ok(united)
        }
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
            let labels = agglomerate(&features, &neighbors, &weights, 2, &OPTIONS);
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
            let graph = Graph::from_neighbors(&neighbors, &weights, n, 2);
            let features: Vec<[f32; 2]> = (0..n).map(|_| [(); 2].map(|_| random.uniform() as f32)).collect();
            let energy = |labels: &[u32]| cut_pursuit::energy(&graph, &features, labels, OPTIONS.lambda);
            ours += energy(&agglomerate(&features, &neighbors, &weights, 2, &OPTIONS));
            theirs += energy(&cut_pursuit::cpu::partition(&graph, &features, &Default::default()));
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
        let labels = agglomerate(&vec![[0.5]; n as usize], &neighbors, &vec![0.5; n as usize], 1, &OPTIONS);
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
                agglomerate(&features, &neighbors, &weights, 2, &Options { small, bound: 2.0, ..OPTIONS });
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
        assert_eq!(agglomerate(&[[0.5]; 5], &neighbors, &weights, 1, &options), [0, 0, 1, 1, 2]);
        assert!(agglomerate::<6>(&[], &[], &[], 10, &options).is_empty());
    }

    /// Sums that would overflow in the units of small numbers.
    #[test]
    fn features_of_any_size() {
        let mut random = Random::new(4, 0);
        let n = 400;
        let (neighbors, weights) = ring(n, &mut random);
        let features: Vec<[f32; 1]> = (0..n).map(|i| [if i < 150 { 3e30 } else { -3e30 }]).collect();
        let labels = agglomerate(&features, &neighbors, &weights, 2, &Options { bound: 3e30, ..OPTIONS });
        assert_eq!(regions(&labels), 2);
    }
}
