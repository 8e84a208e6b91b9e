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

/// All regions count the same, and a quarter of a superpoint is enough: everything is of some part.
pub const WEIGHER: Weigher =
    Weigher::Plain(weights::Options::Constant { weight: weights::INITIAL, null: weights::INITIAL / 4.0 });

/// How such a scene is lifted: each part is one instance, and has what is hidden beside it.
pub fn options(asked: &Options) -> Options {
    let mut options = Options { instances: instances::Options::one_each(), ..asked.clone() };
    options.labels.fill_hidden = true;
    options
}

/// The groups that win points as parts, "part 1" the largest, and the regions that show them as their boxes and masks.
/// Where there is none, "part 1" has no boxes.
///
/// # Errors
/// Those of [`sam3d::segment`] and [`Scene::lift`].
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
    let mut scene = Scene { cloud, superpoints, views, boxes: Boxes::default(), masks: Masks::Boxes };
    loop {
        (scene.boxes, scene.masks) = (found.boxes.clone().into(), found.masks());
        let labels = labels(device, &scene, &found.names()?, options)?;
        let mut points = vec![0; found.parts];
        labels.of_point.iter().filter(|&&label| label >= 0).for_each(|&label| points[label as usize] += 1);
        let mut winners: Vec<usize> = (0..found.parts).filter(|&part| points[part] > 0).collect();
        winners.sort_by_key(|&part| Reverse(points[part]));
        let all = winners.len() == found.parts;
        found = found.some(&winners);
        // Where some are gone, others win more.
        if all {
            (scene.boxes, scene.masks) = (found.boxes.clone().into(), found.masks());
            return Ok((found.names()?, scene));
        }
    }
}

fn labels(device: &Device, scene: &Scene, parts: &Parts, asked: &Options) -> Result<Labels> {
    let (options, mut progress) = (self::options(asked), Progress::default());
    let gathered = scene.gather(device, Voters::Masks, parts.len(), &options, &mut progress)?;
    Ok(scene.lift(device, &gathered, parts, WEIGHER, &options, &mut progress)?.labels)
}
