//! Procedurally generated, part-labelled, coloured point clouds: shapes of PartNetE's categories with its part names,
//! every proportion, colour and texture drawn from a seed. For tests, benches and the training of the shipped models.
#![deny(missing_docs)]

pub mod dataset;
mod material;
mod rng;
mod scene;
mod shapes;
mod solid;

use glam::{DQuat, DVec3};
use partstad::{Error, Result, io::points::PointCloud};
use scene::Scene;
pub use shapes::CATEGORIES;

/// A part-labelled point cloud.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The points, y up, the front towards +z.
    pub cloud: PointCloud,
    /// Names of the category's parts, in PartNetE's order.
    pub parts: &'static [&'static str],
    /// Index into `parts` of every point, -1 = none, `[N]`.
    pub semantic: Vec<i32>,
    /// Instance of every point, unique over all parts, -1 = none, `[N]`.
    pub instance: Vec<i32>,
}

/// A kind of shape.
#[derive(Debug)]
pub struct Category {
    /// PartNetE's name for it.
    pub name: &'static str,
    /// Names of its parts.
    pub parts: &'static [&'static str],
    build: fn(&mut Scene, &mut rng::Rng),
}

/// Makes the shape of a seed with `points` points.
///
/// # Errors
/// [`Error::Invalid`] if there is no such category or no point is wanted.
pub fn generate(category: &str, seed: u64, points: usize) -> Result<Shape> {
    let Some(category) = CATEGORIES.iter().find(|c| c.name == category) else {
        let names: Vec<&str> = CATEGORIES.iter().map(|c| c.name).collect();
        return Err(Error::invalid(format!("no category {category:?}; there are {}", names.join(", "))));
    };
    if points == 0 {
        return Err(Error::invalid("points: 0; a shape needs at least one"));
    }
    let name = category.name.bytes().fold(seed, |hash, byte| rng::mix(hash ^ byte as u64));
    let mut rng = rng::Rng::new(name);
    let mut scene = Scene::new(category.parts);
    (category.build)(&mut scene, &mut rng);
    let light = material::Light::random(&mut rng);
    let mut turn = |degrees: f64| rng.normal() * degrees.to_radians();
    let pose = if turn(1.0) > 0.5 { [4.0, 1.0, 1.0].map(&mut turn) } else { [0.0; 3] };
    let pose =
        DQuat::from_rotation_y(pose[0]) * DQuat::from_rotation_x(pose[1]) * DQuat::from_rotation_z(pose[2]);
    let samples = scene.sample(&mut rng, &light, points);
    let place = |p: DVec3| (pose * p).to_array();
    Ok(Shape {
        cloud: PointCloud {
            positions: samples.iter().map(|s| place(s.position)).collect(),
            colors: samples.iter().map(|s| s.color).collect(),
        },
        parts: category.parts,
        semantic: samples.iter().map(|s| s.label).collect(),
        instance: samples.iter().map(|s| s.instance).collect(),
    })
}
