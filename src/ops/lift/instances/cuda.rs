//! On a CUDA device: bit for bit the reference's pieces.

use super::{Merge, Pieces, Result, Rules, expect_len, groups::Grouped};
use crate::{
    device::{
        download::{Download, Rows},
        gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, InstancesDims},
        },
    },
    ops::lift::{
        extents::Extent,
        membership::cuda::Sets,
        observe::cuda::Observed,
        overlaps::{self, Owners},
    },
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
    /// `[B]`.
    pub box_score: &'a Buffer<f32>,
    /// K.
    pub views: usize,
}

/// Merges the superpoints of each part: the reference's pieces, and what else the host shall have. By [`Merge::Touching`] it
/// waits once; by [`Merge::Masks`], where it groups, three times.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
/// the driver refuses.
pub fn instances<D: Download>(gpu: &Gpu, input: &Input, rules: &Rules, also: D) -> Result<(Pieces, D::Host)> {
    let d = input.dims(rules)?;
    match rules.merge {
        Merge::Touching => {
            let root = touching(gpu, input, d)?;
            let points = keep(gpu, input, &root, d)?;
            let Input { label, offsets, probabilities, .. } = *input;
            let mut confidence = gpu.alloc(label.len())?;
            let grid = [d.superpoints, 1, 1];
            kernels::instances_softmax(
                gpu,
                grid,
                &root,
                label,
                offsets,
                probabilities,
                &points,
                &mut confidence,
                d,
            )?;
            let ((root, points, confidence), also) =
                gpu.download_all(((&root, &points, &confidence), also))?;
            Ok((Pieces { root, points, confidence }, also))
        }
        Merge::Masks => by_masks(gpu, input, rules.max_gap, also, d),
    }
}

/// The points of every piece that a box confirms, at its first superpoint, `[S]`.
fn keep(gpu: &Gpu, input: &Input, root: &Buffer<i32>, d: InstancesDims) -> Result<Buffer<u32>> {
    let Input { label, offsets, observed, box_label, box_view, rects, .. } = *input;
    let mut points = gpu.alloc(label.len())?;
    kernels::instances_keep(
        gpu,
        [d.superpoints, 1, 1],
        root,
        label,
        offsets,
        &observed.extents,
        box_label,
        box_view,
        rects,
        &mut points,
        d,
    )?;
    Ok(points)
}

impl Input<'_> {
    fn dims(&self, rules: &Rules) -> Result<InstancesDims> {
        let Input {
            label,
            offsets,
            extents,
            observed,
            sets,
            probabilities,
            box_label,
            box_view,
            rects,
            box_score,
            views,
        } = *self;
        let (s, b) = (label.len(), box_label.len());
        let expect = |what, found, wanted| expect_len("instances", what, found, wanted);
        expect("offsets [S + 1]", offsets.len(), s + 1)?;
        expect("extents [S, 2, 3]", extents.len(), 6 * s)?;
        expect("observed [S, K]", observed.counts.len(), s * views)?;
        expect("sets [S]", sets.superpoints(), s)?;
        expect("box_view [B]", box_view.len(), b)?;
        expect("rects [B, 4]", rects.len(), 4 * b)?;
        expect("box_score [B]", box_score.len(), b)?;
        let columns = probabilities.len() / s.max(1);
        expect("probabilities [S, L + 1]", probabilities.len(), columns * s)?;
        Ok(InstancesDims {
            max_size_ratio: rules.max_size_ratio,
            max_distance: rules.max_distance,
            min_box_iou: rules.min_box_iou,
            superpoints: s as u32,
            boxes: b as u32,
            views: views as u32,
            columns: columns as u32,
            words: s.div_ceil(WARP) as u32,
            max_gap: rules.max_gap,
        })
    }
}

/// The first superpoint of what touches and lies in the same boxes, `[S]`.
fn touching(gpu: &Gpu, input: &Input, d: InstancesDims) -> Result<Buffer<i32>> {
    let Input { label, offsets, extents, observed, sets, box_label, box_view, .. } = *input;
    let (s, b) = (label.len(), box_label.len());
    let (mut shares, mut parents, mut root) = (gpu.alloc(s * b)?, gpu.alloc(s)?, gpu.alloc(s)?);
    let Sets { boxes: of_set, entry_offsets, entry_set, entry_count } = sets;
    kernels::instances_shares(
        gpu,
        [s as u32, 1, 1],
        entry_offsets,
        entry_set,
        entry_count,
        &of_set.offsets,
        &of_set.values,
        box_view,
        &observed.counts,
        &mut shares,
        d,
    )?;
    let each_thread = blocks(s, 256);
    kernels::instances_start(gpu, each_thread, &mut parents, d)?;
    let grid = blocks(s * s.div_ceil(WARP) * WARP, 256);
    kernels::instances_join(gpu, grid, label, offsets, extents, &shares, box_label, &mut parents, d)?;
    kernels::instances_roots(gpu, each_thread, label, &parents, &mut root, d)?;
    Ok(root)
}

/// What the masks of one object hold. The host groups the masks and joins what touches.
fn by_masks<D: Download>(
    gpu: &Gpu,
    input: &Input,
    max_gap: f32,
    also: D,
    d: InstancesDims,
) -> Result<(Pieces, D::Host)> {
    let Input { label, extents, observed, sets, box_label, box_view, views, .. } = *input;
    let held = overlaps::cuda::Held::count(
        gpu,
        overlaps::cuda::Input { observed, sets, box_label, box_view, views },
    )?;
    let (sums, also) = held.sums(gpu, also)?;
    let overlaps::cuda::Sums { overlaps, owners: [part_here, view_here], shown } = sums;
    let group = overlaps.groups(&Owners { label: &part_here, view: &view_here, views });
    let holder = held.holders(gpu, label, &group)?;
    let ([label_here, holder], extents) =
        gpu.download_all(([label, &holder], Rows::<_, Extent>::of(extents)))?;
    let grouped = Grouped {
        label: &label_here,
        extents: &extents,
        holder: &holder,
        group: &group,
        box_view: &view_here,
    };
    let root_here = grouped.roots(max_gap);
    let root = gpu.upload(&root_here)?;
    let points = keep(gpu, input, &root, d)?;
    let mut confidence = gpu.alloc(label.len())?;
    kernels::instances_support(
        gpu,
        [d.superpoints, 1, 1],
        &root,
        label,
        &points,
        &observed.counts,
        &held.counts,
        &shown,
        box_label,
        box_view,
        input.box_score,
        &mut confidence,
        d,
    )?;
    let (points, confidence) = gpu.download_all((&points, &confidence))?;
    Ok((Pieces { root: root_here, points, confidence }, also))
}
