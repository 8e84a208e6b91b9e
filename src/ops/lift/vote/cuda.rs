//! On a CUDA device. Nothing here allocates or waits but [`by_set`] and [`Workspace::new`], so that a
//! training step can be captured.

use super::MIN_NULL;
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, VoteDims, VoteEntriesDims},
    },
    error::{Error, Result},
    ops::{basic::sort, expect_len, lift::membership::cuda::Sets},
};
use cudarc::driver::{DevicePtr, DevicePtrMut};

const WARP: usize = 32;

/// The compressed memberships that vote, as [`Input`](super::Input).
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The distinct sets and every superpoint's entries.
    pub sets: &'a Sets,
    /// `[S]`.
    pub visible: &'a Buffer<u32>,
    /// `[B]`.
    pub box_label: &'a Buffer<u32>,
    /// L.
    pub labels: usize,
}

impl Input<'_> {
    fn sets(&self) -> usize {
        self.sets.boxes.len()
    }

    fn check(&self, weights: usize, null: usize, workspace: &Workspace) -> Result<VoteDims> {
        let (s, cells) = (self.visible.len(), self.sets() * self.labels);
        expect_len("vote", "weights [B]", weights, self.box_label.len())?;
        expect_len("vote", "null [1]", null, 1)?;
        expect_len("vote", "sets [S]", self.sets.superpoints(), s)?;
        expect_len("vote", "the workspace [D, L]", workspace.winner.len(), cells)?;
        if s * self.labels * WARP > u32::MAX as usize {
            return Err(Error::invalid(format!(
                "vote: {s} superpoints and {} labels are too many",
                self.labels
            )));
        }
        Ok(VoteDims {
            superpoints: s as u32,
            boxes: self.box_label.len() as u32,
            sets: self.sets() as u32,
            labels: self.labels as u32,
            min_null: MIN_NULL as f32,
            epsilon: 1e-6,
        })
    }
}

/// [`BySet`](super::BySet) on the device.
#[derive(Debug)]
pub struct BySet {
    /// `[D + 1]`.
    pub offsets: Buffer<u32>,
    /// `[E]`.
    pub superpoint: Buffer<u32>,
    /// `[E]`.
    pub count: Buffer<u32>,
}

/// What the steps hand on.
#[derive(Debug)]
pub struct Workspace {
    /// The box that wins each label in each set, `[D, L]`.
    winner: Buffer<u32>,
    /// The gradient of what each set gives each label, `[D, L]`.
    pull: Buffer<f32>,
}

impl Workspace {
    /// Room for the sets and labels of `input`.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn new(gpu: &Gpu, input: &Input) -> Result<Workspace> {
        let cells = input.sets() * input.labels;
        Ok(Workspace { winner: gpu.alloc(cells)?, pull: gpu.alloc(cells)? })
    }
}

/// Scores, `[S, L + 1]`, column 0 = null, bit for bit the reference's, and which superpoints have an entry, `[S]`.
///
/// `weights`: `[B]`; `null`: `[1]`; `workspace`: knows the winners afterwards.
///
/// # Errors
/// [`Error::Invalid`] if a shape does not fit, [`Error::Device`] if
/// the driver refuses.
pub fn forward(
    gpu: &Gpu,
    input: &Input,
    weights: &impl DevicePtr<f32>,
    null: &impl DevicePtr<f32>,
    workspace: &mut Workspace,
    scores: &mut impl DevicePtrMut<f32>,
    valid: &mut Buffer<u8>,
) -> Result<()> {
    let d = input.check(weights.len(), null.len(), workspace)?;
    let s = input.visible.len();
    expect_len("vote", "scores [S, L + 1]", scores.len(), s * (input.labels + 1))?;
    expect_len("vote", "valid [S]", valid.len(), s)?;
    let Input { sets, visible, box_label, labels } = *input;
    let Sets { boxes, entry_offsets, entry_set, entry_count } = sets;
    let Workspace { winner, .. } = workspace;
    let grid = blocks(input.sets() * labels, 256);
    kernels::vote_winners(gpu, grid, &boxes.offsets, &boxes.values, box_label, weights, winner, d)?;
    kernels::vote_forward(
        gpu,
        blocks(s * labels * WARP, 256),
        entry_offsets,
        entry_set,
        entry_count,
        visible,
        &*winner,
        weights,
        null,
        scores,
        valid,
        d,
    )
}

/// Gradients of the box weights, `[B]`, and of the null weight, `[1]`, from those of the scores, bit for bit the
/// reference's.
///
/// `grad_scores`: `[S, L + 1]`; `workspace`: as [`forward`] left it.
///
/// # Errors
/// As [`forward`].
#[allow(clippy::too_many_arguments)]
pub fn backward(
    gpu: &Gpu,
    input: &Input,
    by_set: &BySet,
    null: &impl DevicePtr<f32>,
    grad_scores: &Buffer<f32>,
    workspace: &mut Workspace,
    grad_weights: &mut Buffer<f32>,
    grad_null: &mut impl DevicePtrMut<f32>,
) -> Result<()> {
    let d = input.check(grad_weights.len(), null.len(), workspace)?;
    let cells = input.sets() * input.labels;
    expect_len(
        "vote",
        "grad_scores [S, L + 1]",
        grad_scores.len(),
        input.visible.len() * (input.labels + 1),
    )?;
    expect_len("vote", "grad_null [1]", grad_null.len(), 1)?;
    expect_len("vote", "by_set offsets [D + 1]", by_set.offsets.len(), input.sets() + 1)?;
    let Workspace { winner, pull } = workspace;
    kernels::vote_backward_sets(
        gpu,
        blocks(cells * WARP, 256),
        &by_set.offsets,
        &by_set.superpoint,
        &by_set.count,
        input.visible,
        &*winner,
        grad_scores,
        pull,
        d,
    )?;
    let grid = [input.box_label.len() as u32 + 1, 1, 1];
    kernels::vote_backward_boxes(
        gpu,
        grid,
        &*winner,
        &*pull,
        input.box_label,
        null,
        grad_scores,
        grad_weights,
        grad_null,
        d,
    )
}

/// Groups the entries by set; done once for an object, as long as its boxes stay.
///
/// # Errors
/// As [`forward`].
pub fn by_set(gpu: &Gpu, input: &Input) -> Result<BySet> {
    let Sets { entry_offsets, entry_set, entry_count, .. } = input.sets;
    let (entries, sets, superpoints) = (entry_set.len(), input.sets(), input.visible.len());
    expect_len("vote", "sets [S]", input.sets.superpoints(), superpoints)?;
    let d = VoteEntriesDims { superpoints: superpoints as u32, sets: sets as u32, entries: entries as u32 };
    let mut pairs = sort::cuda::Pairs::new(gpu, entries)?;
    let mut workspace = sort::cuda::Workspace::new(gpu, entries)?;
    let mut superpoint_of = gpu.alloc(entries)?;
    let grid = blocks(superpoints * WARP, 256);
    kernels::vote_entries(
        gpu,
        grid,
        entry_offsets,
        entry_set,
        &mut pairs.keys,
        &mut pairs.values,
        &mut superpoint_of,
        d,
    )?;
    sort::cuda::pairs(gpu, &mut pairs, entries, usize::BITS - sets.leading_zeros(), &mut workspace)?;
    let mut by_set =
        BySet { offsets: gpu.alloc(sets + 1)?, superpoint: gpu.alloc(entries)?, count: gpu.alloc(entries)? };
    kernels::vote_by_set(
        gpu,
        blocks(entries.max(sets + 1), 256),
        &pairs.keys,
        &pairs.values,
        &superpoint_of,
        entry_count,
        &mut by_set.offsets,
        &mut by_set.superpoint,
        &mut by_set.count,
        d,
    )?;
    Ok(by_set)
}
