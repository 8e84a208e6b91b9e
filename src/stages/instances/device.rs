//! Merging on a device.

use crate::{
    device::{gpu::Gpu, twin::RaggedOnDevice},
    error::Result,
    ops::lift::{
        extents,
        instances::{self, Pieces, Rules},
    },
    stages::{
        boxes::Boxes, cloud::Cloud, labels::Labels, memberships::Memberships, scores::Scores,
        superpoints::Superpoints,
    },
};

#[allow(clippy::too_many_arguments)]
pub fn pieces(
    gpu: &Gpu,
    cloud: &Cloud,
    superpoints: &Superpoints,
    boxes: &Boxes,
    memberships: &Memberships,
    scores: &Scores,
    labels: &Labels,
    rules: &Rules,
) -> Result<Pieces> {
    let (positions, members) = (cloud.positions.device(gpu)?, superpoints.members.device(gpu)?);
    let RaggedOnDevice { offsets, values: points } = &*members;
    let mut extents = gpu.alloc(6 * superpoints.len())?;
    extents::cuda::extents(gpu, &*positions, offsets, points, superpoints.len(), &mut extents)?;
    let (there, boxes) = (memberships.device(gpu)?, boxes.device(gpu)?);
    let label = labels.of_superpoint.device(gpu)?;
    let input = instances::cuda::Input {
        label: &label,
        offsets,
        extents: &extents,
        observed: &there.observed,
        sets: &there.sets,
        probabilities: &*scores.probabilities.device(gpu)?,
        box_label: &boxes.labels,
        box_view: &boxes.views,
        rects: &boxes.rects,
        box_score: &boxes.scores,
        views: memberships.views,
    };
    if labels.of_point.is_here() {
        return Ok(instances::cuda::instances(gpu, &input, rules, ())?.0);
    }
    let of_point = labels.of_point.device(gpu)?;
    let (pieces, here) = instances::cuda::instances(gpu, &input, rules, [&*label, &*of_point])?;
    labels.receive(here);
    Ok(pieces)
}
