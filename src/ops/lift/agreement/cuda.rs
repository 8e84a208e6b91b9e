//! On a CUDA device: the reference's bits.

use super::{LEAST, ROUNDS, UNIT, UNKNOWN};
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, AgreementDims},
    },
    error::{Error, Result},
    ops::{
        expect_len,
        lift::{membership::cuda::Sets, observe::cuda::Observed},
    },
};

/// What the beliefs follow from, as [`Input`](super::Input).
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// What each view shows of each superpoint.
    pub observed: &'a Observed,
    /// K.
    pub views: usize,
    /// `[B]`.
    pub box_view: &'a Buffer<u32>,
    /// `[B]`.
    pub box_label: &'a Buffer<u32>,
    /// `[B]`.
    pub box_score: &'a Buffer<f32>,
    /// L.
    pub labels: usize,
}

/// Sums of a box in a round.
const SUMS: usize = 4;

/// Takes the vote of the boxes that are not believed: their `weights` `[B]` become 0.
///
/// # Errors
/// [`Error::Invalid`] if a shape does not fit, [`Error::Memory`] if there is not enough memory, [`Error::Device`] if the
/// driver refuses.
pub fn silence(gpu: &Gpu, input: &Input, weights: &mut Buffer<f32>) -> Result<()> {
    let Input { sets, observed, views, box_view, box_label, box_score, labels } = *input;
    let (b, s) = (box_label.len(), sets.superpoints());
    expect_len("agreement", "box_view [B]", box_view.len(), b)?;
    expect_len("agreement", "box_score [B]", box_score.len(), b)?;
    expect_len("agreement", "weights [B]", weights.len(), b)?;
    expect_len("agreement", "observed [S, K]", observed.counts.len(), s * views)?;
    if s * labels > u32::MAX as usize {
        return Err(Error::invalid(format!("agreement: {s} superpoints and {labels} labels are too many")));
    }
    let mut belief = gpu.alloc(b)?;
    let mut sums = gpu.zeros(ROUNDS * (SUMS * b + views))?;
    let mut best = gpu.zeros((ROUNDS + 1) * views * labels)?;
    let mut d = AgreementDims {
        superpoints: s as u32,
        boxes: b as u32,
        views: views as u32,
        labels: labels as u32,
        round: 0,
        rounds: ROUNDS as u32,
        unit: UNIT,
        least: LEAST,
        unknown: UNKNOWN,
    };
    let Sets { boxes, entry_offsets, entry_set, entry_count } = sets;
    kernels::agreement_begin(gpu, blocks(b, 128), box_view, box_label, &mut belief, &mut best, d)?;
    for round in 0..ROUNDS {
        d.round = round as u32;
        kernels::agreement_tell(
            gpu,
            blocks(s * labels, 128),
            entry_offsets,
            entry_set,
            entry_count,
            &boxes.offsets,
            &boxes.values,
            box_view,
            box_label,
            &belief,
            &observed.counts,
            &mut sums,
            d,
        )?;
        kernels::agreement_believe(
            gpu,
            blocks(b, 128),
            &sums,
            box_view,
            box_label,
            box_score,
            &mut belief,
            &mut best,
            weights,
            d,
        )?;
    }
    Ok(())
}
