//! Procedurally generated, part-labelled, coloured point clouds: shapes of PartNetE's categories with its part names,
//! every proportion, colour and texture drawn from a seed. For tests, benches and the training of the shipped models.
#![deny(missing_docs)]

pub mod clouds;
pub mod dataset;
mod material;
pub mod measure;
pub mod partitions;
pub mod predictions;
mod rng;
mod scene;
mod shapes;
mod solid;

use glam::{DQuat, DVec3};
use partstad::{
    Error, Result,
    io::{meshes::Mesh, points::PointCloud},
};
use scene::Scene;
pub use shapes::CATEGORIES;
use std::collections::HashMap;

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

/// Makes the shape of a seed with `points` points, none of them inside.
///
/// # Errors
/// [`Error::Invalid`] if there is no such category or no point is wanted.
pub fn generate(category: &str, seed: u64, points: usize) -> Result<Shape> {
    generate_hollow(category, seed, points, 0.0)
}

/// Makes the shape of a seed with its inside: surfaces that lie within others have `inside` times as many points as
/// those outside. Real clouds are drawn from such surfaces, so that one looks between the points of a shut door.
///
/// # Errors
/// [`Error::Invalid`] if there is no such category or no point is wanted.
pub fn generate_hollow(category: &str, seed: u64, points: usize, inside: f64) -> Result<Shape> {
    let category = find(category)?;
    if points == 0 {
        return Err(Error::invalid("points: 0; a shape needs at least one"));
    }
    let (scene, mut rng) = built(category, seed, inside > 0.0);
    let light = material::Light::random(&mut rng);
    let mut turn = |degrees: f64| rng.normal() * degrees.to_radians();
    let pose = if turn(1.0) > 0.5 { [4.0, 1.0, 1.0].map(&mut turn) } else { [0.0; 3] };
    let pose =
        DQuat::from_rotation_y(pose[0]) * DQuat::from_rotation_x(pose[1]) * DQuat::from_rotation_z(pose[2]);
    let samples = scene.sample(&mut rng, &light, points, inside);
    let place = |p: DVec3| (pose * p).to_array();
    Ok(Shape {
        cloud: PointCloud {
            positions: samples.iter().map(|s| place(s.position)).collect(),
            colors: samples.iter().map(|s| s.color).collect(),
            ..PointCloud::default()
        },
        parts: category.parts,
        semantic: samples.iter().map(|s| s.label).collect(),
        instance: samples.iter().map(|s| s.instance).collect(),
    })
}

/// A part-labelled mesh: every solid whole, also where it lies in another.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledMesh {
    /// The triangles, each solid's vertices at one place joined, with the solids' plain colours.
    pub mesh: Mesh,
    /// Names of the category's parts, in PartNetE's order.
    pub parts: &'static [&'static str],
    /// Index into `parts` of every face, -1 = none, `[F]`.
    pub semantic: Vec<i32>,
    /// Instance of every face, unique over all parts, -1 = none, `[F]`.
    pub instance: Vec<i32>,
}

/// Makes the mesh of the shape of a seed, as [`generate`] before it tilts some.
///
/// # Errors
/// [`Error::Invalid`] if there is no such category.
pub fn mesh(category: &str, seed: u64) -> Result<LabelledMesh> {
    let category = find(category)?;
    let (scene, _) = built(category, seed, false);
    let mut mesh = Mesh::default();
    let mut made =
        LabelledMesh { mesh: Mesh::default(), parts: category.parts, semantic: vec![], instance: vec![] };
    let mut vertex_at = HashMap::new();
    for (triangle, color, label, instance) in scene.triangles() {
        let area = (triangle[1] - triangle[0]).cross(triangle[2] - triangle[0]).length();
        if area < 1e-12 {
            continue;
        }
        let corners = triangle.map(|p| {
            *vertex_at.entry(p.to_array().map(f64::to_bits)).or_insert_with(|| {
                mesh.positions.push(p.to_array());
                mesh.positions.len() as u32 - 1
            })
        });
        mesh.face_of.push(mesh.faces.len() as u32);
        mesh.triangles.push(corners);
        mesh.faces.push(corners);
        mesh.face_colors.push(color);
        mesh.material_of.push(-1);
        made.semantic.push(label);
        made.instance.push(instance);
    }
    Ok(LabelledMesh { mesh, ..made })
}

fn find(category: &str) -> Result<&'static Category> {
    CATEGORIES.iter().find(|c| c.name == category).ok_or_else(|| {
        let names: Vec<&str> = CATEGORIES.iter().map(|c| c.name).collect();
        Error::invalid(format!("no category {category:?}; there are {}", names.join(", ")))
    })
}

fn built(category: &'static Category, seed: u64, furnished: bool) -> (Scene, rng::Rng) {
    let name = category.name.bytes().fold(seed, |hash, byte| rng::mix(hash ^ byte as u64));
    let mut rng = rng::Rng::new(name);
    let mut scene = Scene::new(category.parts);
    if furnished {
        scene = scene.furnished();
    }
    (category.build)(&mut scene, &mut rng);
    (scene, rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_shape_and_another_seed_another_one() {
        let a = generate("Chair", 7, 3000).unwrap();
        assert_eq!(a, generate("Chair", 7, 3000).unwrap());
        assert_ne!(a.cloud, generate("Chair", 8, 3000).unwrap().cloud);
    }

    #[test]
    fn every_category_makes_sound_shapes_and_every_part_appears() {
        for category in CATEGORIES {
            let mut seen = vec![false; category.parts.len()];
            for seed in 0..40 {
                let shape = generate(category.name, seed, 2000).unwrap();
                let at = format!("{} {seed}", category.name);
                assert_eq!(shape.cloud.positions.len(), 2000, "{at}");
                assert_eq!([shape.semantic.len(), shape.instance.len()], [2000, 2000], "{at}");
                assert!(shape.cloud.positions.iter().flatten().all(|x| x.is_finite()), "{at}");
                assert!(shape.cloud.colors.iter().flatten().all(|c| (0.0..=1.0).contains(c)), "{at}");
                let mut label_of = std::collections::HashMap::new();
                for (&label, &instance) in shape.semantic.iter().zip(&shape.instance) {
                    assert_eq!(label < 0, instance < 0, "{at}: labelled points belong to instances");
                    if label >= 0 {
                        seen[label as usize] = true;
                        assert_eq!(*label_of.entry(instance).or_insert(label), label, "{at}: one label each");
                    }
                }
            }
            assert!(seen.iter().all(|&seen| seen), "{}: {seen:?} of {:?}", category.name, category.parts);
        }
    }

    #[test]
    fn unknown_categories_and_empty_shapes_are_refused() {
        assert!(generate("Chiar", 0, 10).unwrap_err().to_string().contains("Chair"));
        assert!(generate("Chair", 0, 0).is_err());
    }

    #[test]
    fn what_lies_inside_another_solid_is_left_out() {
        let (plain, mut rng) = (material::Material::plain(DVec3::ONE), rng::Rng::new(0));
        let mut scene = Scene::new(&["core"]);
        scene.part("core", |s| s.put(DVec3::ZERO, solid::block(1.0, 1.0, 1.0, 0.0), &plain));
        scene.put(DVec3::ZERO, solid::block(2.0, 2.0, 2.0, 0.0), &plain);
        let light = material::Light::random(&mut rng);
        assert!(scene.sample(&mut rng, &light, 500, 0.0).iter().all(|sample| sample.label == -1));
        let within =
            scene.sample(&mut rng, &light, 4000, 0.5).iter().filter(|sample| sample.label == 0).count();
        // 6 of the 30 square units of surface lie within, and get half of their share: 3 of 27.
        assert!((350..540).contains(&within), "{within}");
    }

    #[test]
    fn solids_enclose_a_point_just_below_their_surface_and_none_above() {
        let solids = [
            solid::block(1.0, 2.0, 3.0, 0.0),
            solid::cylinder(0.5, 2.0, 0.1),
            solid::vessel(&[(0.5, 0.0), (0.8, 1.0)], 0.1),
            solid::plate(solid::rounded(1.0, 2.0, 0.3), 0.4),
            solid::plate(solid::arc(2.0, 0.4, 0.2), 0.5),
            solid::ring(glam::DVec2::new(1.0, 0.7), 0.2),
            solid::Solid::Beam { a: DVec3::ZERO, b: DVec3::new(0.3, 2.0, 0.1), from: 0.4, to: 0.2 },
            solid::Solid::Ellipsoid(DVec3::new(1.0, 0.5, 0.7)),
        ];
        for solid in solids {
            let (mut below, mut above, mut count) = (0, 0, 0);
            for [a, b, c] in solid.triangles() {
                let normal = (b - a).cross(c - a);
                if normal.length() < 1e-6 {
                    continue;
                }
                let middle = (a + b + c) / 3.0;
                count += 1;
                below += solid.contains(middle - 0.03 * normal.normalize(), 1e-6) as usize;
                above += solid.contains(middle + 0.03 * normal.normalize(), 1e-6) as usize;
            }
            assert!(below * 100 >= count * 95, "{solid:?}: {below} of {count}");
            assert!(above * 100 <= count * 5, "{solid:?}: {above} of {count}");
        }
    }
}
