//! Meshes from file to points and back to faces.

mod faces;
mod reading;
mod sampling;
mod scenes;

use partstad::{
    io::{meshes::Mesh, png},
    mesh::{Options, Sampled},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const RED: [f32; 3] = [1.0, 0.0, 0.0];
const GREEN: [f32; 3] = [0.0, 1.0, 0.0];

fn few(points: usize) -> Options {
    Options { points: Some(points), ..Options::default() }
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn read(path: &Path) -> Mesh {
    Mesh::read(path).unwrap_or_else(|e| panic!("{e}"))
}

fn sample(mesh: &Mesh, points: usize) -> Sampled {
    mesh.sample(&few(points)).unwrap_or_else(|e| panic!("{e}"))
}

/// 4 x 2 pixels: the left half red, the right half green.
fn picture() -> Vec<u8> {
    let row = [RED, RED, GREEN, GREEN].map(|c| c.map(|c| (c * 255.0) as u8));
    png::encode_rgb([row, row].as_flattened().as_flattened(), 4, 2)
}
