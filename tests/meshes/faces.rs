//! Labels back to the faces, and the files that are written of them.

use super::{picture, read, sample, scenes::triangle, write};
use partstad::{
    Device, Parts, Pipeline, Predictions,
    io::{
        meshes::{
            Material, Picture,
            glb::{Group, Scene},
        },
        points::PointCloud,
    },
    ops::surface::triangles::Sides,
    output::{Output, Surface, report::Report},
    satr::{self, Detection},
    stages::{
        cloud::Cloud,
        views::{self, Camera, POSES, Views},
    },
};
use procedural::{LabelledMesh, predictions};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs};

/// The share of the area whose faces have the right label.
fn right(made: &LabelledMesh, labels: &[i32], counts: impl Fn(usize) -> bool) -> f64 {
    let (mut all, mut good) = (0.0, 0.0);
    for t in 0..made.mesh.triangles.len() {
        let [a, b, c] = made.mesh.corners(t).map(glam);
        let area = (b - a).cross(c - a).length();
        let face = made.mesh.face_of[t] as usize;
        if counts(face) {
            all += area;
            good += area * f64::from(u8::from(labels[face] == made.semantic[face]));
        }
    }
    good / all
}

fn glam(p: [f64; 3]) -> glam::DVec3 {
    p.into()
}

#[test]
fn labels_of_points_come_back_to_the_faces() {
    for (category, seed) in [("Chair", 3), ("Table", 1), ("StorageFurniture", 1), ("Kettle", 5)] {
        let made = procedural::mesh(category, seed).unwrap();
        for points in [80_000, 5_000] {
            let sampled = sample(&made.mesh, points);
            let of_points = |of_face: &[i32]| -> Vec<i32> {
                sampled.triangles.iter().map(|&t| of_face[made.mesh.face_of[t as usize] as usize]).collect()
            };
            let (labels, instances) = (of_points(&made.semantic), of_points(&made.instance));
            let faces = sampled.faces(&made.mesh, &labels, &instances).unwrap();
            let share = right(&made, &faces.labels, |_| true);
            println!("{category} {seed}, {points} points: {:.2} % of the area", 100.0 * share);
            assert!(share > 0.99, "{category} {seed}, {points} points: {share}");
        }
    }
}

#[test]
fn perfect_masks_come_back_to_the_faces_and_all_files_are_written() {
    let made = procedural::mesh("Chair", 3).unwrap();
    let mut mesh = made.mesh.clone();
    mesh.pictures.push(Picture { name: "unused.png".into(), bytes: picture() });
    mesh.materials.push(Material {
        name: "unused".into(),
        color: [0.5; 4],
        texture: None,
        alpha_cutoff: None,
    });
    let sampled = sample(&mesh, 20_000);
    let cloud = Cloud::fit(&sampled.points, &Default::default()).unwrap();
    let of_points = |of_face: &[i32]| -> Vec<i32> {
        sampled.triangles.iter().map(|&t| of_face[mesh.face_of[t as usize] as usize]).collect()
    };
    let (labels, instances) = (of_points(&made.semantic), of_points(&made.instance));
    let options = partstad::pipeline::Options {
        views: views::Options { side: 400, radius: 0.01, ..Default::default() },
        ..Default::default()
    };
    let views = Views::render(&Device::Cpu, &cloud, &options.views).unwrap();
    let (semantic, instance) = (cloud.to_points(&labels), cloud.to_points(&instances));
    let (boxes, masks) = predictions::predict(
        &views,
        &semantic,
        &instance,
        made.parts.len(),
        0,
        &predictions::Options::perfect(),
    );
    let parts = Parts::new(made.parts.iter().copied()).unwrap();
    let predictions = Predictions { boxes, masks, superpoints: None, weights: None };
    let found = Pipeline::new(Device::Cpu, options).lift(&cloud, &parts, predictions, &()).unwrap();
    let faces = found.faces(&mesh, &sampled, &cloud).unwrap();
    let mut seen = vec![false; mesh.len()];
    sampled.triangles.iter().for_each(|&t| seen[mesh.face_of[t as usize] as usize] = true);
    let share = right(&made, &faces.labels, |face| seen[face]);
    println!("perfect masks of a chair, 20000 points: {:.2} % of the area that is seen", 100.0 * share);
    assert!(share > 0.9, "{share}");

    let dir = tempfile::tempdir().unwrap();
    let warnings = [];
    let report = Report {
        title: "chair.glb",
        cloud: &cloud,
        found: &found,
        parameters: &Value::Null,
        warnings: &warnings,
    };
    let surface = Some(Surface { mesh: &mesh, sampled: &sampled });
    Output { points: &sampled.points, surface, report }.write(dir.path()).unwrap();
    let said: Value = serde_json::from_slice(&fs::read(dir.path().join("parts.json")).unwrap()).unwrap();
    let counted: u64 =
        said["parts"].as_array().unwrap().iter().map(|part| part["faces"].as_u64().unwrap()).sum();
    assert_eq!(counted + said["none"]["faces"].as_u64().unwrap(), mesh.len() as u64);
    let leg = &said["parts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|part| part["instances"][0].is_object())
        .unwrap()["instances"][0];
    assert!(leg["box"]["min"][1].as_f64() < leg["box"]["max"][1].as_f64(), "{leg}");

    let bytes = fs::read(dir.path().join("segmentation.glb")).unwrap();
    // The crate's own validation, complete.
    let file = gltf::Gltf::from_slice(&bytes).unwrap();
    let names: Vec<String> = file.nodes().map(|node| node.name().unwrap_or_default().to_string()).collect();
    assert_eq!(names[0], "chair.glb");
    assert!(names.contains(&leg["name"].as_str().unwrap().to_string()), "{names:?}");
    assert!(
        names.iter().any(|name| name == "no part") || faces.labels.iter().all(|&label| label >= 0),
        "{names:?}"
    );
    let again = read(&dir.path().join("segmentation.glb"));
    assert_eq!(again.len(), mesh.len());
    let mesh_ply = read(&dir.path().join("segmentation-mesh.ply"));
    assert_eq!((mesh_ply.len(), mesh_ply.face_colors.len()), (mesh.len(), mesh.len()));
    assert_eq!(PointCloud::read(&dir.path().join("segmentation.ply")).unwrap().len(), 20_000);
}

#[test]
fn what_is_written_keeps_materials_textures_and_places() {
    let file = triangle(|file| {
        file["extensionsUsed"] = json!(["KHR_materials_unlit", "KHR_texture_transform"]);
        file["materials"] = json!([{
            "name": "wood", "doubleSided": true, "emissiveFactor": [0.5, 0, 0], "extensions": { "KHR_materials_unlit": {} },
            "pbrMetallicRoughness": { "baseColorTexture": {
                "index": 0, "extensions": { "KHR_texture_transform": { "scale": [2, 2] } },
            } },
        }]);
        file["textures"] = json!([{ "source": 0 }]);
        file["images"] = json!([{ "uri": "wood.png", "name": "planks" }]);
        file["meshes"][0]["primitives"][0]["material"] = json!(0);
        file["nodes"][0]["translation"] = json!([4e6, 0, 0]);
    });
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "wood.png", picture());
    let mesh = read(&write(dir.path(), "a.glb", file));
    let groups = vec![
        Group { name: "leg 1".into(), faces: vec![0], extras: json!({ "label": 0 }) },
        Group { name: "empty".into(), faces: vec![], extras: Value::Null },
    ];
    // z of the file is up.
    let axes = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
    let bytes = Scene { name: "a", mesh: &mesh, groups, axes }.encode().unwrap();
    let whole = gltf::Gltf::from_slice(&bytes).unwrap();
    let was = &mesh.gltf.as_ref().unwrap()["materials"];
    let text: Value = serde_json::from_slice(&gltf::Glb::from_slice(&bytes).unwrap().json).unwrap();
    assert_eq!((&text["materials"], &text["images"][0]["name"]), (was, &json!("planks")));
    assert_eq!(text["extensionsUsed"], json!(["KHR_materials_unlit", "KHR_texture_transform"]));
    assert_eq!(whole.nodes().filter_map(|node| node.name()).collect::<Vec<_>>(), ["a", "leg 1"]);
    fs::remove_file(dir.path().join("wood.png")).unwrap();
    let again = read(&write(dir.path(), "b.glb", bytes));
    assert_eq!(again.pictures[0].bytes, picture());
    // Far from the origin nothing is lost.
    assert_eq!(again.positions[1], [4e6 + 1.0, 0.0, 0.0]);
    assert_eq!(again.positions[2], [4e6, 0.0, -1.0]);
}

/// Boxes around what the views show of each instance, and the labels that they give the faces.
#[test]
fn boxes_in_views_of_a_mesh_label_its_faces() {
    const SIDE: usize = 400;
    for (category, seed) in [("Chair", 3), ("Kettle", 5)] {
        let made = procedural::mesh(category, seed).unwrap();
        let surface = satr::Surface::of(&made.mesh).unwrap();
        let cameras: Vec<Camera> = POSES.into_iter().map(Camera::new).collect();
        let maps = surface.render(&Device::Cpu, &cameras, SIDE, Sides::Front).unwrap();
        let (mut boxes, mut shown) = (BTreeMap::new(), vec![false; made.mesh.len()]);
        for (pixel, &triangle) in maps.iter().enumerate().filter(|&(_, &triangle)| triangle >= 0) {
            let face = made.mesh.face_of[triangle as usize] as usize;
            shown[face] = true;
            if let Ok(part) = u32::try_from(made.semantic[face]) {
                let view = (pixel / (SIDE * SIDE)) as u32;
                let [x, y] = [pixel % SIDE, pixel / SIDE % SIDE].map(|x| x as f32);
                let [left, top, right, bottom] =
                    boxes.entry((view, made.instance[face], part)).or_insert([x, y, x, y]);
                (*left, *top) = (left.min(x), top.min(y));
                (*right, *bottom) = (right.max(x + 1.0), bottom.max(y + 1.0));
            }
        }
        let boxes: Vec<Detection> = boxes
            .into_iter()
            .map(|((view, _, part), corners)| Detection { view, part, corners, score: 0.8 })
            .collect();
        let scores =
            surface.score(&Device::Cpu, &maps, SIDE, &boxes, made.parts.len(), &Default::default()).unwrap();
        let mut labels = vec![-1; made.mesh.len()];
        for (&face, label) in made.mesh.face_of.iter().zip(scores.labels()) {
            labels[face as usize] = if label == made.parts.len() as i32 { -1 } else { label };
        }
        let share = right(&made, &labels, |face| shown[face]);
        println!("{category} {seed}: {:.1} % of the area that is seen", 100.0 * share);
        assert!(share > 0.6, "{category} {seed}: {share}");
    }
}
