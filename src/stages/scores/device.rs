//! The vote on a device.

use super::Scores;
use crate::{
    device::{gpu::Gpu, twin::Twin},
    error::Result,
    ops::{basic::softmax, lift::vote},
    stages::{boxes::Boxes, memberships::Memberships, weights::Weights},
};

impl Scores {
    pub(super) fn vote_on_gpu(
        gpu: &Gpu,
        memberships: &Memberships,
        boxes: &Boxes,
        weights: &Weights,
        labels: usize,
    ) -> Result<Scores> {
        let there = memberships.device(gpu)?;
        let boxes = boxes.device(gpu)?;
        let (visible, box_label) = (&there.observed.totals, &boxes.labels);
        let input = vote::cuda::Input { sets: &there.sets, visible, box_label, labels };
        let (weight, null) = (weights.boxes.device(gpu)?, gpu.upload(&[weights.null])?);
        let cells = memberships.len() * (labels + 1);
        let (mut votes, mut probabilities) = (gpu.alloc(cells)?, gpu.alloc(cells)?);
        let mut valid = gpu.alloc(memberships.len())?;
        let mut workspace = vote::cuda::Workspace::new(gpu, &input)?;
        vote::cuda::forward(gpu, &input, &*weight, &null, &mut workspace, &mut votes, &mut valid)?;
        softmax::cuda::forward(gpu, &votes, labels + 1, &mut probabilities)?;
        Ok(Scores {
            labels,
            votes: Twin::on_device(gpu, votes),
            probabilities: Twin::on_device(gpu, probabilities),
            valid: Twin::on_device(gpu, valid),
        })
    }
}
