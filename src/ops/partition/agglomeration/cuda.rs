//! On a CUDA device: bit for bit the reference's regions, under other numbers in the same order.

use super::{Options, Units};
use crate::{
    device::gpu::{
        Buffer, Gpu, ViewMut, blocks,
        kernels::{self, AgglomerationDims, AgglomerationStartDims},
    },
    error::{Error, Result},
    ops::expect_len,
};

const BLOCK: u32 = 256;

/// Rounds that are queued before the host asks how many regions and edges are left.
const ROUNDS: usize = 4;
/// A round in which nothing merges may be followed by one that merges small regions.
const _: () = assert!(ROUNDS >= 2);
/// No more regions, and edges between them, than one block merges in little time.
const FEW: [usize; 2] = [2048, 8192];

/// The region of every point, `[N]`, named after one of its points, and how many there are at most. The host waits for a
/// few numbers, before the first round and after every `ROUNDS`, until few regions are left.
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
    if dimensions == 0 {
        return Err(Error::invalid("agglomerate: points need features"));
    }
    if (n * dimensions.max(k)) >> 30 > 0 {
        return Err(Error::invalid(format!("agglomerate: {n} points have 2^30 features or edges, or more")));
    }
    if n == 0 {
        return Ok((gpu.alloc(0)?, 0));
    }
    let units = Units::new(n, k, options.bound);
    let mut edges = Edges::new(gpu, room(n * k))?;
    let mut regions = Regions::new(gpu, features, dimensions, &units, edges.slots())?;
    let arcs = AgglomerationStartDims {
        units: units.weight as f32,
        points: n as u32,
        columns: k as u32,
        slots: edges.slots() as u32,
    };
    let Edges { pairs, borders } = &mut edges;
    let grid = blocks(n * k, BLOCK);
    kernels::agglomeration_arcs(gpu, grid, neighbors, weights, pairs, borders, &mut regions.state, arcs)?;

    let (_, mut borders) = regions.left(gpu)?;
    let mut next = Edges::new(gpu, room(borders))?;
    let mut gains = gpu.alloc(edges.slots())?;
    let d = AgglomerationDims {
        border: units.border(options.lambda),
        square: units.square(),
        dimensions: dimensions as u32,
        small: options.small.min(n) as u32,
    };
    let (mut left, mut slots) = (n, edges.slots());
    loop {
        if left <= FEW[0] && borders <= FEW[1] {
            regions.finish(gpu, edges.first(slots), next.first(slots), &mut gains, d)?;
            break;
        }
        for _ in 0..ROUNDS {
            let new_slots = room(borders);
            regions.merge(gpu, left, edges.first(slots), next.first(new_slots), &mut gains, d)?;
            std::mem::swap(&mut edges, &mut next);
            slots = new_slots;
        }
        let before = left;
        (left, borders) = regions.left(gpu)?;
        if left == before {
            break;
        }
    }
    Ok((regions.of_points(gpu)?, left))
}

/// Slots of a table for so many edges, as the kernels say.
fn room(edges: usize) -> usize {
    edges + edges / 2 + 1
}

/// The regions that border on each other, under their ends in a hash table.
struct Edges {
    /// `[S]`; 0 is an empty slot.
    pairs: Buffer<u64>,
    /// `[S]`.
    borders: Buffer<u64>,
}

impl Edges {
    fn new(gpu: &Gpu, slots: usize) -> Result<Edges> {
        Ok(Edges { pairs: gpu.zeros(slots)?, borders: gpu.zeros(slots)? })
    }

    fn slots(&self) -> usize {
        self.pairs.len()
    }

    /// So many slots, or all.
    fn first(&mut self, slots: usize) -> [ViewMut<'_, u64>; 2] {
        let slots = slots.min(self.slots());
        [self.pairs.slice_mut(..slots), self.borders.slice_mut(..slots)]
    }
}

/// Regions by the number of one of their points.
struct Regions {
    dimensions: usize,
    /// `[N, D]`.
    sums: Buffer<i64>,
    /// `[N]`.
    count: Buffer<u32>,
    /// `[N, D]`.
    means: Buffer<f64>,
    /// `[N]`, the gain of a region's best edge; 0 between rounds.
    best: Buffer<u64>,
    /// `[N]`, that edge; 0 between rounds.
    chosen: Buffer<u64>,
    /// `[N]`, what a region merged into; itself if it stays.
    parent: Buffer<u32>,
    /// `[N]`, the numbers of those that stay come first.
    live: Buffer<u32>,
    /// `[N]`, of the next round.
    next_live: Buffer<u32>,
    /// How many regions there are and, third, how many edges; the rest is the kernels' own.
    state: Buffer<u32>,
    /// The same, of the next round.
    next_state: Buffer<u32>,
}

impl Regions {
    /// Every point is one; their edges will be in a table of so many slots.
    fn new(
        gpu: &Gpu,
        features: &Buffer<f32>,
        dimensions: usize,
        units: &Units,
        slots: usize,
    ) -> Result<Regions> {
        let n = features.len() / dimensions;
        let mut regions = Regions {
            dimensions,
            sums: gpu.alloc(n * dimensions)?,
            count: gpu.alloc(n)?,
            means: gpu.alloc(n * dimensions)?,
            best: gpu.zeros(n)?,
            chosen: gpu.zeros(n)?,
            parent: gpu.alloc(n)?,
            live: gpu.alloc(n)?,
            next_live: gpu.alloc(n)?,
            state: gpu.zeros(6)?,
            next_state: gpu.alloc(6)?,
        };
        let Regions { sums, count, parent, live, state, .. } = &mut regions;
        let d = AgglomerationStartDims {
            units: units.feature as f32,
            points: n as u32,
            columns: dimensions as u32,
            slots: slots as u32,
        };
        let grid = blocks(n * dimensions, BLOCK);
        kernels::agglomeration_points(gpu, grid, features, sums, count, live, parent, state, d)?;
        Ok(regions)
    }

    /// How many regions and edges there are. Waits.
    fn left(&self, gpu: &Gpu) -> Result<(usize, usize)> {
        let state = gpu.download(&self.state)?;
        Ok((state[0] as usize, state[2] as usize))
    }

    /// A round of at most so many regions; it empties the table of their edges and fills that of the next round.
    fn merge(
        &mut self,
        gpu: &Gpu,
        most: usize,
        [ref mut pairs, ref mut borders]: [ViewMut<u64>; 2],
        [ref mut new_pairs, ref mut new_borders]: [ViewMut<u64>; 2],
        gains: &mut Buffer<u64>,
        d: AgglomerationDims,
    ) -> Result<()> {
        let Regions {
            dimensions,
            sums,
            count,
            means,
            best,
            chosen,
            parent,
            live,
            next_live,
            state,
            next_state,
        } = self;
        let gains = &mut gains.slice_mut(..pairs.len());
        let (each, each_value) = (blocks(most, BLOCK), blocks(most * *dimensions, BLOCK));
        let each_slot = blocks(pairs.len(), BLOCK);
        kernels::agglomeration_means(gpu, each_value, live, sums, count, means, state, next_state, d)?;
        kernels::agglomeration_gains(gpu, each_slot, pairs, borders, count, means, gains, best, state, d)?;
        kernels::agglomeration_choose(gpu, each_slot, pairs, gains, best, chosen, state)?;
        kernels::agglomeration_join(
            gpu, each, live, pairs, borders, count, means, chosen, parent, next_live, state, d,
        )?;
        kernels::agglomeration_merge(
            gpu,
            blocks(pairs.len().max(most * *dimensions), BLOCK),
            live,
            parent,
            sums,
            count,
            best,
            chosen,
            pairs,
            borders,
            new_pairs,
            new_borders,
            state,
            next_state,
            d,
        )?;
        std::mem::swap(live, next_live);
        std::mem::swap(state, next_state);
        Ok(())
    }

    /// All rounds that are left.
    fn finish(
        &mut self,
        gpu: &Gpu,
        [ref mut pairs, ref mut borders]: [ViewMut<u64>; 2],
        [ref mut new_pairs, ref mut new_borders]: [ViewMut<u64>; 2],
        gains: &mut Buffer<u64>,
        d: AgglomerationDims,
    ) -> Result<()> {
        let Regions { sums, count, means, best, chosen, parent, live, next_live, state, next_state, .. } =
            self;
        let gains = &mut gains.slice_mut(..pairs.len());
        kernels::agglomeration_finish(
            gpu,
            [1, 1, 1],
            live,
            sums,
            count,
            means,
            pairs,
            borders,
            gains,
            best,
            chosen,
            parent,
            next_live,
            new_pairs,
            new_borders,
            state,
            next_state,
            d,
        )
    }

    /// The region of every point.
    fn of_points(&self, gpu: &Gpu) -> Result<Buffer<u32>> {
        let n = self.parent.len();
        let mut region = gpu.alloc(n)?;
        let d = AgglomerationStartDims { units: 1.0, points: n as u32, columns: 1, slots: 0 };
        kernels::agglomeration_regions(gpu, blocks(n, BLOCK), &self.parent, &mut region, d)?;
        Ok(region)
    }
}
