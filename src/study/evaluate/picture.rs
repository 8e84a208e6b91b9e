//! Objects to look at.

use crate::{
    error::Result,
    io::png,
    output::palette,
    parts::Parts,
    stages::{
        instances::{Instance, Instances, UNLABELLED},
        labels::Labels,
    },
    study::{dataset::Object, prepare::Shape},
};
use rayon::prelude::*;

/// An object in one view: as it is, as it should be labelled, and as it was by one run or by all; what, and the PNG file.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub category: String,
    pub id: String,
    pub parts: Parts,
    pub miou: f64,
    pub images: Vec<(String, Vec<u8>)>,
}

/// What pictures colour points by: their labels, or their instances if these have none.
pub(super) fn colored((labels, instances): &(Labels, Instances)) -> &[i32] {
    match instances.list.first() {
        Some(Instance { label: UNLABELLED, .. }) => &instances.of_point,
        _ => &labels.of_point,
    }
}

/// Pixels along the longer side of a picture, at most.
const PICTURE_SIDE: usize = 240;

impl Picture {
    /// `results`: what each shows, and labels of the points.
    pub fn new(
        object: &Object,
        parts: &Parts,
        shape: &Shape,
        results: &[(&str, &[i32])],
        miou: f64,
    ) -> Result<Picture> {
        let (truth, views) = (&shape.truth.semantic, &shape.scene.views);
        let maps = views.pixel_to_point.host()?;
        let labelled = |k: &usize| {
            let shown = maps[k * views.side * views.side..][..views.side * views.side].par_iter();
            shown.filter(|&&point| point >= 0 && truth[point as usize] >= 0).count()
        };
        // Of the views that show as many labelled pixels, the first.
        let k = (0..views.len()).rev().max_by_key(labelled).unwrap_or(0);
        let (map, side) = (views.pixel_to_point(k)?, views.side);
        let shown = || (0..map.len()).filter(|&pixel| map[pixel] >= 0);
        let range = |of: fn(usize, usize) -> usize| {
            let (low, high) = shown().fold((side, 0), |(low, high), pixel| {
                (low.min(of(pixel, side)), high.max(of(pixel, side) + 1))
            });
            if low < high { low..high } else { 0..side }
        };
        let (columns, rows) = (range(|pixel, side| pixel % side), range(|pixel, side| pixel / side));
        let step = columns.len().max(rows.len()).div_ceil(PICTURE_SIDE);
        let (width, height) = (columns.len().div_ceil(step), rows.len().div_ceil(step));
        let image = |color: &dyn Fn(usize) -> [u8; 3]| {
            let pixels = rows
                .clone()
                .step_by(step)
                .flat_map(|y| columns.clone().step_by(step).flat_map(move |x| color(y * side + x)));
            png::encode_rgb(&pixels.collect::<Vec<u8>>(), width, height)
        };
        let rgb = views.image(k)?;
        let by = |labels: &[i32], pixel: usize| match usize::try_from(map[pixel]) {
            Ok(point) => palette::color(labels[point]),
            Err(_) => [255; 3],
        };
        Ok(Picture {
            category: object.category.clone(),
            id: object.id.clone(),
            parts: parts.clone(),
            miou,
            images: [
                ("the cloud".to_string(), image(&|pixel| std::array::from_fn(|c| rgb[3 * pixel + c]))),
                ("the ground truth".to_string(), image(&|pixel| by(truth, pixel))),
            ]
            .into_iter()
            .chain(
                results.iter().map(|&(what, labels)| (what.to_string(), image(&|pixel| by(labels, pixel)))),
            )
            .collect(),
        })
    }
}
