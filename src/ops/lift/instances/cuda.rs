//! On a CUDA device: bit for bit the reference's pieces.

use super::{Result, Rules, expect_len};
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, ComponentsDims, InstancesDims},
    },
    ops::lift::{membership::cuda::Sets, observe::cuda::Observed},
};

const WARP: usize = 32;

/// What the instances follow from, as [`Input`](super::Input).
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `[S]`.
    pub label: &'a Buffer<i32>,
    /// `[S + 1]`.
    pub offsets: &'a Buffer<u32>,
    /// `[S, 2, 3]`.
    pub extents: &'a Buffer<f32>,
    /// What each view shows of each superpoint.
    pub observed: &'a Observed,
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// `[S, L + 1]`.
    pub probabilities: &'a Buffer<f32>,
    /// `[B]`.
    pub box_label: &'a Buffer<u32>,
    /// `[B]`.
    pub box_view: &'a Buffer<u32>,
    /// `[B, 4]`.
    pub rects: &'a Buffer<f32>,
    /// K.
    pub views: usize,
}

/// The pieces, as [`Pieces`](super::Pieces).
#[derive(Debug)]
pub struct Pieces {
    /// `[S]`.
    pub root: Buffer<i32>,
    /// `[S]`.
    pub points: Buffer<u32>,
    /// `[S]`.
    pub confidence: Buffer<f32>,
}

impl Pieces {
    /// Copies them to the host.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if anything before it failed.
    pub fn download(&self, gpu: &Gpu) -> Result<super::Pieces> {
        let Pieces { root, points, confidence } = self;
        let (root, points) = (gpu.download(root)?, gpu.download(points)?);
        Ok(super::Pieces { root, points, confidence: gpu.download(confidence)? })
    }
}

/// Merges the superpoints of each part. Nothing waits for the host.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
/// the driver refuses.
pub fn instances(gpu: &Gpu, input: &Input, rules: &Rules) -> Result<Pieces> {
    let Input { label, offsets, extents, observed, sets, probabilities, box_label, box_view, rects, views } =
        *input;
    let (s, b) = (label.len(), box_label.len());
    let expect = |what, found, wanted| expect_len("instances", what, found, wanted);
    expect("offsets [S + 1]", offsets.len(), s + 1)?;
    expect("extents [S, 2, 3]", extents.len(), 6 * s)?;
    expect("observed [S, K]", observed.counts.len(), s * views)?;
    expect("sets [S]", sets.superpoints(), s)?;
    expect("box_view [B]", box_view.len(), b)?;
    expect("rects [B, 4]", rects.len(), 4 * b)?;
    let columns = probabilities.len() / s.max(1);
    expect("probabilities [S, L + 1]", probabilities.len(), columns * s)?;
    let words = s.div_ceil(WARP);
    let d = InstancesDims {
        max_size_ratio: rules.max_size_ratio,
        max_distance: rules.max_distance,
        min_box_iou: rules.min_box_iou,
        superpoints: s as u32,
        boxes: b as u32,
        views: views as u32,
        columns: columns as u32,
        words: words as u32,
        max_gap: rules.max_gap,
    };
    let (mut shares, mut parents, mut root) = (gpu.alloc(s * b)?, gpu.alloc(s)?, gpu.alloc(s)?);
    let (mut points, mut confidence) = (gpu.alloc(s)?, gpu.alloc(s)?);
    let Sets { boxes: of_set, entry_offsets, entry_set, entry_count } = sets;
    let Observed { counts, extents: seen, .. } = observed;
    let each = [s as u32, 1, 1];
    kernels::instances_shares(
        gpu,
        each,
        entry_offsets,
        entry_set,
        entry_count,
        &of_set.offsets,
        &of_set.values,
        box_view,
        counts,
        &mut shares,
        d,
    )?;
    let each_thread = blocks(s, 256);
    kernels::components_start(gpu, each_thread, &mut parents, ComponentsDims { vertices: s as u32 })?;
    let grid = blocks(s * words * WARP, 256);
    kernels::instances_join(gpu, grid, label, offsets, extents, &shares, box_label, &mut parents, d)?;
    kernels::instances_roots(gpu, each_thread, label, &parents, &mut root, d)?;
    kernels::instances_keep(
        gpu,
        each,
        &root,
        label,
        offsets,
        seen,
        probabilities,
        box_label,
        box_view,
        rects,
        &mut points,
        &mut confidence,
        d,
    )?;
    Ok(Pieces { root, points, confidence })
}
