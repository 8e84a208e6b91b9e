//! On a CUDA device: bit for bit the reference's regions.

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
        return Err(Error::invalid(format!("agglomerate: {n} points have 2^31 features or edges, or more")));
    }
    let units = Units::new(n, k, options.bound);
    let start = |units, columns| AgglomerationStartDims { units, points: n as u32, columns: columns as u32 };
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
    fn choose(&self, gpu: &Gpu, edges: &Edges, d: AgglomerationDims) -> Result<(Buffer<u32>, Buffer<u32>)> {
        let Edges { low, high, border } = edges;
        let (r, count) = (self.count.len(), &self.count);
        let (each_region, each_edge) = (blocks(r, BLOCK), blocks(low.len(), BLOCK));
        let mut means = gpu.alloc(self.sums.len())?;
        let (mut gains, mut best, mut chosen) = (gpu.alloc(low.len())?, gpu.zeros(r)?, gpu.zeros(r)?);
        let (mut into, mut stays) = (gpu.alloc(r)?, gpu.alloc(r)?);
        kernels::agglomeration_means(gpu, blocks(self.sums.len(), BLOCK), &self.sums, count, &mut means, d)?;
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
    fn absorb(&self, gpu: &Gpu, target: &Buffer<u32>, left: usize, d: AgglomerationDims) -> Result<Regions> {
        let (mut count, mut sums) = (gpu.zeros(left)?, gpu.zeros(left * d.dimensions as usize)?);
        let grid = blocks(self.sums.len(), BLOCK);
        kernels::agglomeration_absorb(gpu, grid, target, &self.sums, &self.count, &mut sums, &mut count, d)?;
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
        let mut united = Edges { low: gpu.zeros(apart)?, high: gpu.zeros(apart)?, border: gpu.zeros(apart)? };
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
