//! SATR on clouds: what boxes make of points, and of superpoints, through a mesh that is made for it or without one.
//!
//! How the paper made its meshes, and what its superpoints add, is not published; both are this project's choice.

use crate::{
    device::Device,
    error::{Error, Result},
    lifting::Scene,
    ops::{
        partition::{knn, normals},
        surface::{ball_pivoting, centre, thin, triangles::Sides},
    },
    options::Options,
    satr::{self, Detection, Scores, Surface},
    stages::{
        cloud::Cloud,
        labels::{Labels, NONE},
        views::{self, Views},
    },
};

/// Points that a cloud is thinned to.
const POINTS: usize = 6000;
/// Neighbours that a normal is estimated from, and that it is made to agree with.
const NORMALS: [usize; 2] = [16, 15];
/// Of the balls that find the mesh, in mean distances to the nearest neighbour.
const RADII: [f32; 3] = [1.0, 1.5, 2.5];

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Through {
    /// A mesh through the thinned cloud (SATR).
    Mesh,
    /// The thinned cloud itself, without a mesh.
    Points,
}

/// Whose scores label a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The nearest vertex's.
    Vertices,
    /// The mean ones of its superpoint's points.
    Superpoints,
}

/// The scores of all points: those of the nearest vertex, or of the nearest point of the thinned cloud.
///
/// # Errors
/// [`Error::Invalid`] if the scene does not fit together or no mesh can be made, [`Error::Device`] if the device fails.
pub fn scores(
    device: &Device,
    scene: &Scene,
    parts: &[String],
    options: &Options,
    through: Through,
) -> Result<Scores> {
    match through {
        Through::Mesh => on_mesh(device, scene, parts),
        Through::Points => on_points(device, scene, parts, options),
    }
}

/// The labels that scores of the points give.
pub fn labels(scene: &Scene, scores: &Scores, of: Of) -> Labels {
    match of {
        Of::Vertices => Labels { of_point: known(scores).into(), ..Labels::default() },
        Of::Superpoints => {
            let superpoints = &scene.superpoints;
            let of_superpoint = known(&scores.means(&superpoints.members));
            let of_point = superpoints.spread(&of_superpoint).into();
            Labels { of_superpoint: of_superpoint.into(), of_point, ..Labels::default() }
        }
    }
}

/// The labels of rows of scores; nothing where no box counts.
fn known(scores: &Scores) -> Vec<i32> {
    let unknown = scores.parts as i32;
    scores.labels().into_iter().map(|label| if label == unknown { NONE } else { label }).collect()
}

fn on_mesh(device: &Device, scene: &Scene, parts: &[String]) -> Result<Scores> {
    let kept = thin::cpu::thin(&scene.cloud.positions, POINTS);
    let points: Vec<[f32; 3]> = kept.iter().map(|&i| scene.cloud.positions[i as usize]).collect();
    let surface = reconstruct(&points)?;
    // The winding follows normals that may point into the cloud.
    let maps = surface.render(device, &scene.views.cameras, scene.views.side, Sides::Both)?;
    score(device, scene, parts, &surface, &maps)
}

fn on_points(device: &Device, scene: &Scene, parts: &[String], options: &Options) -> Result<Scores> {
    let Scene { cloud, views, .. } = scene;
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
    score(device, scene, parts, &Surface::points(positions)?, maps.host()?)
}

fn score(
    device: &Device,
    scene: &Scene,
    parts: &[String],
    surface: &Surface,
    maps: &[i32],
) -> Result<Scores> {
    let Scene { cloud, views, boxes, .. } = scene;
    boxes.check(views.len(), parts.len())?;
    let boxes: Vec<Detection> = boxes.list()?.iter().map(Detection::from).collect();
    let scores = surface.score(device, maps, views.side, &boxes, parts.len(), &satr::Options::default())?;
    Ok(scores.of_points(surface, &cloud.positions))
}

/// A mesh through points in the unit ball; points that no face has are left out.
///
/// # Errors
/// [`Error::Invalid`] if there is no face, [`Error::Memory`] if the mesh is too large.
pub fn reconstruct(points: &[[f32; 3]]) -> Result<Surface> {
    let [around, agreeing] = NORMALS;
    let mut normals = normals::cpu::estimate(points, f32::INFINITY, around);
    let near = knn::cpu::nearest(points, agreeing);
    normals::cpu::orient(&mut normals, &near.indices, near.k)?;
    let nearest = near.distances.iter().step_by(near.k.max(1)).map(|&d| f64::from(d));
    let spacing = (nearest.sum::<f64>() / points.len().max(1) as f64) as f32;
    let faces = ball_pivoting::faces(points, &normals, &RADII.map(|radius| radius * spacing))?;
    if faces.is_empty() {
        return Err(Error::invalid(format!(
            "satr: no mesh goes through {} points; take a method without one, such as satr-knn",
            points.len()
        )));
    }
    let mut number = vec![u32::MAX; points.len()];
    faces.as_flattened().iter().for_each(|&v| number[v as usize] = 0);
    let mut vertices = vec![];
    for (number, &point) in number.iter_mut().zip(points).filter(|(number, _)| **number == 0) {
        *number = vertices.len() as u32;
        vertices.push(point);
    }
    let faces: Vec<[u32; 3]> = faces.into_iter().map(|face| face.map(|v| number[v as usize])).collect();
    let areas = centre::cpu::areas(&vertices, &faces);
    Surface::placed(vertices, faces, areas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_become_a_mesh_of_those_that_have_faces() {
        let mut points = inputs::spiral(2000);
        points.push([9.0; 3]);
        let surface = reconstruct(&points).unwrap();
        assert_eq!(surface.vertices(), &points[..2000]);
        assert!((3900..4000).contains(&surface.faces().len()), "{}", surface.faces().len());
        let error = reconstruct(&points[..2]).unwrap_err().to_string();
        assert!(error.contains("satr-knn"), "{error}");
    }
}
