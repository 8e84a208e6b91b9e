//! On a CUDA device: bit for bit the reference's regions, under other numbers in the same order.

use super::{Options, Units};
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, AgglomerationDims, AgglomerationStartDims},
    },
    error::{Error, Result},
    ops::expect_len,
};

const BLOCK: u32 = 256;
/// A block of the rounds.
const ROUNDS_BLOCK: u32 = 640;

/// The region of every point, `[N]`, named after one of its points. The host waits for nothing; for that the tables of edges
/// have room for all neighbours, at 60 bytes each.
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
) -> Result<Buffer<u32>> {
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
    let mut region = gpu.alloc(n)?;
    if n == 0 {
        return Ok(region);
    }
    let units = Units::new(n, k, options.bound);
    // A third of the slots stays empty.
    let slots = n * k + n * k / 2 + 1;
    let start = |units: f64, columns| AgglomerationStartDims {
        units: units as f32,
        points: n as u32,
        columns: columns as u32,
        slots: slots as u32,
    };

    // How many regions and edges there are; the rest is the kernels' own. The same of the next round.
    let (mut state, mut next) = (gpu.alloc(6)?, gpu.alloc(6)?);
    // Of every region.
    let (mut sums, mut means) = (gpu.alloc(n * dimensions)?, gpu.alloc(n * dimensions)?);
    let (mut count, mut parent) = (gpu.alloc(n)?, gpu.alloc(n)?);
    let (mut best, mut chosen) = (gpu.alloc(n)?, gpu.alloc(n)?);
    let (mut live, mut next_live) = (gpu.alloc(n)?, gpu.alloc(n)?);
    // Of every edge, in two hash tables.
    let (mut pairs, mut borders) = (gpu.zeros(slots)?, gpu.zeros(slots)?);
    let (mut new_pairs, mut new_borders, mut gains) =
        (gpu.alloc(slots)?, gpu.alloc(slots)?, gpu.alloc(slots)?);

    kernels::agglomeration_points(
        gpu,
        blocks(n * dimensions, BLOCK),
        features,
        &mut sums,
        &mut count,
        &mut best,
        &mut chosen,
        &mut live,
        &mut parent,
        &mut state,
        start(units.feature, dimensions),
    )?;
    kernels::agglomeration_arcs(
        gpu,
        blocks(n * k, BLOCK),
        neighbors,
        weights,
        &mut pairs,
        &mut borders,
        &mut state,
        start(units.weight, k),
    )?;
    kernels::agglomeration_rounds(
        gpu,
        blocks(slots.max(n * dimensions), ROUNDS_BLOCK),
        &mut live,
        &mut sums,
        &mut count,
        &mut means,
        &mut pairs,
        &mut borders,
        &mut gains,
        &mut best,
        &mut chosen,
        &mut parent,
        &mut next_live,
        &mut new_pairs,
        &mut new_borders,
        &mut state,
        &mut next,
        AgglomerationDims {
            border: units.border(options.lambda),
            square: units.square(),
            dimensions: dimensions as u32,
            small: options.small.min(n) as u32,
        },
    )?;
    kernels::agglomeration_regions(gpu, blocks(n, BLOCK), &parent, &mut region, start(1.0, 1))?;
    Ok(region)
}
