//! The tiny models, and views for them.

use inputs::Random;
use partstad::{
    Device,
    models::{Models, Options},
    stages::views::{Camera, POSES, Views},
};
use std::{fs, path::Path};
use tempfile::TempDir;

pub const FIXTURES: &str = "tests/fixtures/models";

/// The parts that the tiny vocabulary knows.
pub const PARTS: [&str; 5] = ["arm", "back", "leg", "seat", "wheel"];

pub fn load(folder: &Path) -> partstad::Result<Models> {
    Models::load(&Device::Cpu, folder, &Options { threads: 1, ..Options::default() })
}

pub fn tiny() -> Models {
    load(Path::new(FIXTURES)).unwrap()
}

/// Views of blurred noise, others for another seed.
pub fn views(count: usize, side: usize, seed: u64) -> Views {
    let mut random = Random(seed);
    let mut images = vec![0; count * side * side * 3];
    let block = side / 8;
    for image in images.chunks_exact_mut(side * side * 3) {
        let blocks: Vec<u8> = (0..8 * 8 * 3).map(|_| (random.bits() >> 24) as u8).collect();
        for (i, value) in image.iter_mut().enumerate() {
            let (row, column, channel) = (i / 3 / side, i / 3 % side, i % 3);
            *value = blocks[(row / block * 8 + column / block) * 3 + channel];
        }
    }
    let cameras = (0..count).map(|k| Camera::new(POSES[k % POSES.len()])).collect();
    Views {
        cameras,
        side,
        pixel_to_point: vec![-1; count * side * side].into(),
        screen: vec![].into(),
        images: images.into(),
    }
}

/// The first `count` of some views.
pub fn first(views: &Views, count: usize) -> Views {
    let mut first = views.clone();
    first.cameras.truncate(count);
    first.images = views.images.host().unwrap()[..count * views.side * views.side * 3].to_vec().into();
    first
}

/// A copy of the tiny models to damage.
pub fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(FIXTURES).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

/// What loading the folder complains about.
pub fn complaint(folder: &Path) -> String {
    load(folder).map(|_| ()).unwrap_err().to_string()
}
