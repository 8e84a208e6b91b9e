//! Parts that nobody has named: SAM3D groups what masks show, and the groups are then voted on like named parts.

use crate::{
    device::Device,
    error::Result,
    lifting::{Scene, Voters, Weigher},
    observer::Progress,
    options::Options,
    parts::Parts,
    sam3d::{self, Regions},
    stages::{
        boxes::Boxes, cloud::Cloud, instances, labels::Labels, masks::Masks, superpoints::Superpoints,
        views::Views, weights,
    },
};
use std::{borrow::Cow, cmp::Reverse};

/// A quarter of a superpoint is enough: nothing is of no part.
const NULL: f32 = weights::INITIAL / 4.0;
/// Parts whose order changes with the order itself are left as they are after so many votes.
const ROUNDS: usize = 8;

/// How such scenes are lifted: all regions weigh the same, and each part is one instance and has what is hidden beside it.
pub fn options(asked: &Options) -> Options {
    let mut options = asked.clone();
    options.weights = weights::Options::Constant { weight: weights::INITIAL, null: NULL };
    options.instances = instances::Options::one_each();
    options.labels.fill_hidden = true;
    options
}

/// What to say where there is no part.
pub fn nothing(options: &sam3d::Options) -> String {
    let sam3d::Options { small, masks, .. } = options;
    format!(
        "No part was found: masks are kept that are sure (option sam3d.masks.min_iou, {}) and stable \
         (sam3d.masks.min_stability, {}), and no group of such masks has {small} points (sam3d.small). Lower these, or give \
         more points.",
        masks.min_iou, masks.min_stability
    )
}

/// The groups that win points as parts, "part 1" the largest, and the regions that show them as their boxes and masks.
/// Where there is none, "part 1" has no boxes. `options`: as [`options`] makes them.
///
/// # Errors
/// Those of [`sam3d::segment`] and [`Ballot::lift`](crate::lifting::Ballot::lift); [`Error::Memory`](crate::Error::Memory).
pub fn scene<'a>(
    device: &Device,
    cloud: Cow<'a, Cloud>,
    superpoints: Superpoints,
    views: Views,
    regions: &Regions,
    options: &Options,
) -> Result<(Parts, Scene<'a>)> {
    let groups = sam3d::segment(device, &cloud, &views, regions, &superpoints, &options.sam3d)?;
    let mut found = sam3d::named(&views, regions, &groups)?;
    options.check_memory(device, cloud.len(), found.boxes.len())?;
    let mut scene = Scene { cloud, superpoints, views, boxes: Boxes::default(), masks: Masks::Boxes };
    // Where some are gone, others win more; where numbers change, ties fall otherwise.
    for round in 1.. {
        (scene.boxes, scene.masks) = (found.boxes.clone().into(), found.masks());
        let parts = found.names()?;
        let labels = labels(device, &scene, &parts, options)?;
        let mut points = vec![0; found.parts];
        labels.of_point.iter().filter(|&&label| label >= 0).for_each(|&label| points[label as usize] += 1);
        let mut winners: Vec<usize> = (0..found.parts).filter(|&part| points[part] > 0).collect();
        winners.sort_by_key(|&part| Reverse(points[part]));
        if winners.iter().copied().eq(0..found.parts) || round == ROUNDS {
            return Ok((parts, scene));
        }
        found = found.some(&winners);
    }
    unreachable!("the last round returns")
}

fn labels(device: &Device, scene: &Scene, parts: &Parts, options: &Options) -> Result<Labels> {
    let mut progress = Progress::default();
    let gathered = scene.gather(device, Voters::Masks, parts.len(), options, &mut progress)?;
    let weigher = Weigher::Plain(options.weights);
    let (_, _, labels) = scene.ballot(&gathered).label(device, parts, weigher, options, &mut progress)?;
    labels.wait(device)?;
    Ok(labels)
}
