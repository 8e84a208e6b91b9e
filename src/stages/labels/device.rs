//! Labels on a device.

use super::{Labels, NEIGHBORS, Rule};
use crate::{
    device::{
        gpu::{Buffer, Gpu},
        twin::Mirrored,
    },
    error::Result,
    ops::{
        lift::{fill, labels},
        partition::knn,
    },
    stages::{cloud::Cloud, memberships::Memberships, scores::Scores, superpoints::Superpoints},
};

impl Labels {
    /// `small`: which parts are, `[L]`.
    pub(super) fn begin_on_gpu(
        gpu: &Gpu,
        superpoints: &Superpoints,
        scores: &Scores,
        small: &[u8],
        rule: Rule,
    ) -> Result<Labels> {
        let label = labels::cuda::labels(
            gpu,
            &labels::cuda::Input {
                votes: &*scores.votes.device(gpu)?,
                probabilities: &*scores.probabilities.device(gpu)?,
                valid: &*scores.valid.device(gpu)?,
                small: &gpu.upload(small)?,
            },
            rule,
        )?;
        let of_point = labels::cuda::spread(gpu, &*superpoints.of_point.device(gpu)?, &label)?;
        Ok(Labels::on_their_way(gpu, label, of_point, rule))
    }

    /// `count`: L.
    pub(super) fn begin_fill_on_gpu(
        self,
        gpu: &Gpu,
        cloud: &Cloud,
        superpoints: &Superpoints,
        memberships: &Memberships,
        count: usize,
    ) -> Result<Labels> {
        let visible = &memberships.device(gpu)?.observed.totals;
        let known = fill::cuda::Known::of(gpu, &*self.of_superpoint.device(gpu)?, visible)?;
        if known.hidden == 0 {
            return Ok(self);
        }
        let (n, positions) = (cloud.len(), cloud.positions.device(gpu)?);
        let (_, around) = knn::cuda::search(gpu, &*positions, n, NEIGHBORS + 1)?;
        let neighbors = knn::cuda::nearest(gpu, &*positions, &around, NEIGHBORS)?.indices;
        let superpoint_of = superpoints.of_point.device(gpu)?;
        let filled = known.fill(gpu, &superpoint_of, &neighbors, count)?;
        let of_point = labels::cuda::spread(gpu, &superpoint_of, &filled)?;
        Ok(Labels::on_their_way(gpu, filled, of_point, self.rule))
    }

    /// The host has yet to receive them.
    fn on_their_way(gpu: &Gpu, of_superpoint: Buffer<i32>, of_point: Buffer<i32>, rule: Rule) -> Labels {
        let [of_superpoint, of_point] =
            [of_superpoint, of_point].map(|labels| Mirrored::on_its_way(gpu, labels));
        Labels { of_superpoint, of_point, rule }
    }

    /// Waits for both, if the host has yet to receive them.
    pub(super) fn fetch(&self, gpu: &Gpu) -> Result<()> {
        if self.of_point.is_here() {
            return Ok(());
        }
        let [of_superpoint, of_point] = [self.of_superpoint.device(gpu)?, self.of_point.device(gpu)?];
        self.receive(gpu.download_all([&*of_superpoint, &*of_point])?);
        Ok(())
    }

    /// Takes those of superpoints and of points for the host.
    pub(in crate::stages) fn receive(&self, [of_superpoint, of_point]: [Vec<i32>; 2]) {
        self.of_superpoint.receive(of_superpoint);
        self.of_point.receive(of_point);
    }
}
