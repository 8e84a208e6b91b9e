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
    pub(super) fn assign_on_gpu(
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
        Labels::fetch(gpu, label, of_point, rule)
    }

    /// `count`: L.
    pub(super) fn fill_on_gpu(
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
        Labels::fetch(gpu, filled, of_point, self.rule)
    }

    /// Labels on both sides.
    fn fetch(gpu: &Gpu, of_superpoint: Buffer<i32>, of_point: Buffer<i32>, rule: Rule) -> Result<Labels> {
        let [superpoints, points] = gpu.download_all([&of_superpoint, &of_point])?;
        Ok(Labels {
            of_superpoint: Mirrored::on_both(superpoints, gpu, of_superpoint),
            of_point: Mirrored::on_both(points, gpu, of_point),
            rule,
        })
    }
}
