//! Scores: how much every superpoint looks like every part.

#[cfg(feature = "cuda")]
mod device;

use super::{boxes::Boxes, memberships::Memberships, weights::Weights};
use crate::{
    device::{Device, twin::Twin},
    error::{Error, Result},
    ops::{basic::softmax, lift::vote},
};

/// The votes of every superpoint and their softmax.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Number of part labels, L.
    pub labels: usize,
    /// Weighted votes (equation 5), column 0 = null, `[S, L + 1]`.
    pub votes: Twin<Vec<f32>>,
    /// Their softmax over the columns (equation 6), `[S, L + 1]`.
    pub probabilities: Twin<Vec<f32>>,
    /// 1 where a box holds one of the superpoint's visible points, else 0: those get no label, `[S]`.
    pub valid: Twin<Vec<u8>>,
}

impl Scores {
    /// Lets the boxes vote. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the weights do not fit the boxes, a weight is not finite, or a box's label is
    /// not below L.
    pub fn vote(
        device: &Device,
        memberships: &Memberships,
        boxes: &Boxes,
        weights: &Weights,
        labels: usize,
    ) -> Result<Scores> {
        if labels == 0 {
            return Err(Error::invalid("scores: no part labels; name at least one part"));
        }
        memberships.check(boxes, labels)?;
        // Those that a device is still working on are not waited for.
        if weights.boxes.is_here() {
            weights.check(boxes.len())?;
        }
        match device {
            Device::Cpu => Scores::vote_on_cpu(memberships, boxes, weights, labels),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => Scores::vote_on_gpu(gpu, memberships, boxes, weights, labels),
        }
    }

    fn vote_on_cpu(
        memberships: &Memberships,
        boxes: &Boxes,
        weights: &Weights,
        labels: usize,
    ) -> Result<Scores> {
        let (sets, visible) = (memberships.sets()?, memberships.visible_totals()?);
        let box_label = boxes.labels()?;
        let votes = vote::Input { sets, visible: &visible, box_label: &box_label, labels };
        let votes = vote::cpu::forward(&votes, weights.boxes.host()?, weights.null)?;
        let probabilities = softmax::cpu::forward(&votes, labels + 1)?;
        let valid: Vec<u8> = (0..memberships.len()).map(|s| sets.valid(s) as u8).collect();
        Ok(Scores { labels, votes: votes.into(), probabilities: probabilities.into(), valid: valid.into() })
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there is no superpoint.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }
}
