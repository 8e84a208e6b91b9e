//! On a CUDA device, all images of a batch at once: bit for bit what the reference finds.

use super::{Level, Rules, locations};
use crate::{
    device::gpu::{
        Gpu, blocks,
        kernels::{self, AtssDims},
    },
    error::{Error, Result},
    ops::{
        detect::detection::{
            Thresholds,
            cuda::{Counts, Workspace},
        },
        expect_fours,
    },
};
use cudarc::driver::DevicePtr;
use std::ops::Range;

/// A head's outputs for N images.
#[derive(Debug)]
pub struct Head<'a, B> {
    /// The pyramid.
    pub levels: &'a [Level],
    /// `[N, A, L]`
    pub token_logits: &'a B,
    /// `[N, A, 4]`
    pub box_regression: &'a B,
    /// `[N, A]`
    pub centerness: &'a B,
}

/// What a batch of up to `most` images needs. `parts`: `[P]` the tokens of each part.
///
/// # Errors
/// As [`Workspace::new`].
pub fn workspace(
    gpu: &Gpu,
    most: usize,
    levels: &[Level],
    parts: &[Range<usize>],
    rules: &Rules,
) -> Result<Workspace> {
    let levels: Vec<usize> = levels.iter().map(|level| level.rows * level.columns).collect();
    Workspace::new(gpu, most, &levels, parts, rules.top_n)
}

/// Finds the boxes of `images` images and leaves them in the workspace; returns how many each image has, the one
/// thing that the host waits for.
///
/// `size`, `rules`: as for the reference, whose threshold is `thresholds.weak`.
///
/// # Errors
/// [`Error::Invalid`] if shapes do not fit together, [`Error::Device`] if the driver refuses.
pub fn detect<B: DevicePtr<f32>>(
    gpu: &Gpu,
    head: &Head<B>,
    images: usize,
    size: [usize; 2],
    rules: &Rules,
    thresholds: Thresholds,
    workspace: &mut Workspace,
) -> Result<Counts> {
    let Head { levels, token_logits, box_regression, centerness } = *head;
    let rows = images * locations(levels);
    let (tokens, parts) = (token_logits.len() / rows.max(1), workspace.part_count);
    workspace.check(images, locations(levels), rules.top_n)?;
    if token_logits.len() != tokens * rows || box_regression.len() != 4 * rows || centerness.len() != rows {
        return Err(Error::invalid(format!(
            "detection: of {images} images and {} locations, token_logits must be [N, A, L], box_regression [N, A, 4] \
             and centerness [N, A], not {}, {} and {} values",
            locations(levels),
            token_logits.len(),
            box_regression.len(),
            centerness.len()
        )));
    }
    expect_fours(gpu, "detection", "box_regression [N, A, 4]", box_regression)?;
    let [weight_x, weight_y, weight_w, weight_h] = rules.box_weights;
    let d = AtssDims {
        images: images as u32,
        locations: locations(levels) as u32,
        tokens: tokens as u32,
        parts: parts as u32,
        levels: levels.len() as u32,
        slots: workspace.slots() as u32,
        pre_nms: rules.pre_nms,
        threshold: thresholds.weak,
        weight_x,
        weight_y,
        weight_w,
        weight_h,
        last_x: size[1] as f32 - 1.0,
        last_y: size[0] as f32 - 1.0,
    };
    if images == 0 || parts == 0 {
        return Ok(Counts::none(images));
    }
    let mut first = 0;
    let mut table = vec![];
    for &Level { stride, anchor, rows, columns } in levels {
        table.extend([stride, anchor, columns, first].map(|x| x as u32));
        first += rows * columns;
    }
    let levels = gpu.upload(&table)?;
    let Workspace { parts: tokens, scores, .. } = workspace;
    kernels::atss_scores(gpu, blocks(rows * parts, 256), token_logits, centerness, tokens, scores, d)?;
    workspace.rank(gpu, images)?;
    let grid = workspace.grid(images);
    let Workspace { keys, part_begin, corners, .. } = workspace;
    kernels::atss_decode(gpu, grid, keys, part_begin, box_regression, &levels, corners, d)?;
    workspace.choose(gpu, images, rules.nms, rules.max_det, thresholds.found)
}
