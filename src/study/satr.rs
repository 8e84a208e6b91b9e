//! SATR on clouds: what its boxes make of points, and of superpoints.

use crate::{
    device::Device,
    error::Result,
    lifting::Scene,
    ops::surface::thin,
    options::Options,
    satr::{self, Detection, Scores, Surface},
    stages::{
        cloud::Cloud,
        labels::{Labels, NONE},
        views::{self, Views},
    },
};

/// Points that a cloud is thinned to: faces on a pixel's scale, and rings as wide as on a mesh.
const POINTS: usize = 6000;

/// SATR without a mesh, on the thinned cloud. Every point is what the nearest one of it is.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the scene does not fit together, [`Error::Device`](crate::Error::Device) if
/// the device fails.
pub fn knn(device: &Device, scene: &Scene, parts: &[String], options: &Options) -> Result<Labels> {
    let of_point = known(&of_points(device, scene, parts, options)?);
    Ok(Labels { of_point: of_point.into(), ..Labels::default() })
}

/// The same; every superpoint is what the mean scores of its points say.
///
/// # Errors
/// As [`knn`].
pub fn knn_superpoints(
    device: &Device,
    scene: &Scene,
    parts: &[String],
    options: &Options,
) -> Result<Labels> {
    let superpoints = &scene.superpoints;
    let of_superpoint = known(&of_points(device, scene, parts, options)?.means(&superpoints.members));
    let of_point: Vec<i32> = superpoints.of_point.iter().map(|&s| of_superpoint[s as usize]).collect();
    Ok(Labels { of_superpoint: of_superpoint.into(), of_point: of_point.into(), ..Labels::default() })
}

/// The labels of rows of scores; nothing where no box counts.
fn known(scores: &Scores) -> Vec<i32> {
    let unknown = scores.parts as i32;
    scores.labels().into_iter().map(|label| if label == unknown { NONE } else { label }).collect()
}

fn of_points(device: &Device, scene: &Scene, parts: &[String], options: &Options) -> Result<Scores> {
    let Scene { cloud, views, boxes, .. } = scene;
    let kept = thin::cpu::thin(&cloud.positions, POINTS);
    let of = |values: &[[f32; 3]]| kept.iter().map(|&i| values[i as usize]).collect::<Vec<_>>();
    let positions = of(&cloud.positions);
    let thinned = Cloud {
        positions: positions.clone().into(),
        colors: of(&cloud.colors).into(),
        radius: 1.0,
        ..Cloud::default()
    };
    let poses = views.cameras.iter().map(|camera| camera.pose).collect();
    let seen = views::Options { poses, side: views.side, ..options.views.clone() };
    let maps = Views::render(device, &thinned, &seen)?.pixel_to_point;
    boxes.check(views.len(), parts.len())?;
    let boxes: Vec<Detection> = boxes.list()?.iter().map(Detection::from).collect();
    let surface = Surface::points(positions)?;
    let scores =
        surface.score(device, maps.host()?, views.side, &boxes, parts.len(), &satr::Options::default())?;
    Ok(scores.of_points(&surface, &cloud.positions))
}
