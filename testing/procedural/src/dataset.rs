//! Training images: shapes rendered by the project's own rasterizer, with the instance each pixel shows.

use crate::{CATEGORIES, Shape, generate_hollow, rng::Rng};
use partstad::{
    Device, Error, Result,
    stages::{
        cloud::Cloud,
        views::{self, POSES, Pose, Views},
    },
};
use rayon::prelude::*;
use serde::Serialize;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Pixels along each side of an image.
const SIDE: usize = 800;
/// What `instances.npy` holds where a pixel shows no point.
const BACKGROUND: u8 = 0;
/// What `instances.npy` holds where a pixel shows a point of no part.
const UNLABELLED: u8 = 255;

/// What to make.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of shapes; the categories take turns.
    pub shapes: usize,
    /// Images of each shape.
    pub views_per_shape: usize,
    /// Seed of the first shape; each next one takes the next seed.
    pub seed: u64,
    /// Points of each shape; if 0 drawn between 30,000 and 120,000, and up to twice that with an inside.
    pub points: usize,
    /// The categories' names; all of them if empty.
    pub categories: Vec<String>,
}

/// One image in `index.json`.
#[derive(Debug, Serialize)]
struct Image {
    category: &'static str,
    seed: u64,
    parts: &'static [&'static str],
    /// Entry k is what `instances.npy` calls k + 1.
    instances: Vec<Instance>,
    elevation: f32,
    azimuth: f32,
    #[serde(skip)]
    rgb: Vec<u8>,
    #[serde(skip)]
    map: Vec<u8>,
}

#[derive(Debug, Serialize)]
struct Instance {
    /// Index into `parts`.
    label: i32,
}

/// Writes `images.npy` u8 [M, 800, 800, 3], `instances.npy` u8 [M, 800, 800] (0 = background, 255 = no part,
/// k + 1 = entry k of the image's instances) and `index.json` into `folder`, M = shapes x views.
///
/// `progress` is told the number of shapes done.
///
/// # Errors
/// [`Error::Invalid`] if a category is unknown, [`Error::Io`] if a file cannot be written.
pub fn write(options: &Options, folder: &Path, progress: impl Fn(usize)) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let names: Vec<&str> = if options.categories.is_empty() {
        CATEGORIES.iter().map(|category| category.name).collect()
    } else {
        options.categories.iter().map(String::as_str).collect()
    };
    let count = options.shapes * options.views_per_shape;
    let mut images = npy(&folder.join("images.npy"), &[count, SIDE, SIDE, 3])?;
    let mut instances = npy(&folder.join("instances.npy"), &[count, SIDE, SIDE])?;
    let mut index: Vec<Image> = Vec::new();
    let batch = 4 * rayon::current_num_threads();
    for first in (0..options.shapes).step_by(batch) {
        let last = (first + batch).min(options.shapes);
        let shapes: Vec<Result<Vec<Image>>> = (first..last)
            .into_par_iter()
            .map(|i| render(options, names[i % names.len()], options.seed + i as u64))
            .collect();
        for shape in shapes {
            for mut image in shape? {
                images.append(&std::mem::take(&mut image.rgb))?;
                instances.append(&std::mem::take(&mut image.map))?;
                index.push(image);
            }
        }
        progress(last);
    }
    images.finish()?;
    instances.finish()?;
    let path = folder.join("index.json");
    let file = BufWriter::new(File::create(&path).map_err(Error::io(&path))?);
    serde_json::to_writer(file, &index).map_err(|e| Error::format(&path, e.to_string()))
}

fn render(options: &Options, category: &str, seed: u64) -> Result<Vec<Image>> {
    let mut rng = Rng::new(!seed);
    // Three of five show their inside between the points, as most real clouds do.
    let inside = if rng.chance(0.6) { rng.range(0.2, 1.0) } else { 0.0 };
    let points = match options.points {
        0 => (30_000.0 * (1.0 + inside) * 4f64.powf(rng.unit())) as usize,
        points => points,
    };
    let shape = generate_hollow(category, seed, points, inside)?;
    let cloud = Cloud::new(&shape.cloud)?;
    let poses = (0..options.views_per_shape).map(|_| pose(&mut rng)).collect();
    let views = Views::render(&Device::Cpu, &cloud, &views::Options { poses, ..Default::default() })?;
    let image = |k| image(&shape, &views, k, category, seed);
    Ok((0..views.len()).map(image).collect())
}

/// Mostly the paper's poses, shaken; else any direction from which objects are seen.
fn pose(rng: &mut Rng) -> Pose {
    if rng.chance(0.7) {
        let pose = rng.pick(&POSES);
        let shake = |degrees: f64, rng: &mut Rng| (degrees * rng.range(-1.0, 1.0)) as f32;
        let (elevation, azimuth) = (pose.elevation + shake(6.0, rng), pose.azimuth + shake(10.0, rng));
        Pose { elevation, azimuth: azimuth.rem_euclid(360.0), distance: 2.2 }
    } else {
        let (elevation, azimuth) = (rng.range(-35.0, 65.0) as f32, rng.range(0.0, 360.0) as f32);
        Pose { elevation, azimuth, distance: 2.2 }
    }
}

fn image(shape: &Shape, views: &Views, k: usize, category: &str, seed: u64) -> Image {
    let mut numbers = std::collections::HashMap::new();
    let mut instances = Vec::new();
    let number = |&point: &i32| {
        let Ok(point) = usize::try_from(point) else { return BACKGROUND };
        let (label, instance) = (shape.semantic[point], shape.instance[point]);
        if label < 0 {
            return UNLABELLED;
        }
        *numbers.entry(instance).or_insert_with(|| {
            if instances.len() + 1 == UNLABELLED as usize {
                return UNLABELLED;
            }
            instances.push(Instance { label });
            instances.len() as u8
        })
    };
    let map = views.pixel_to_point(k).expect("rendered on the CPU").iter().map(number).collect();
    let Pose { elevation, azimuth, .. } = views.cameras[k].pose;
    let category = CATEGORIES.iter().find(|c| c.name == category).map_or("", |c| c.name);
    Image {
        category,
        seed,
        parts: shape.parts,
        instances,
        elevation,
        azimuth,
        rgb: views.image(k).expect("rendered on the CPU").to_vec(),
        map,
    }
}

/// An array of bytes that is written piece by piece.
struct Npy {
    path: std::path::PathBuf,
    file: BufWriter<File>,
}

/// Begins an array of u8.
fn npy(path: &Path, shape: &[usize]) -> Result<Npy> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    // Magic, version and length take 10 bytes; the data begins at a multiple of 64.
    header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
    header.push('\n');
    let mut npy = Npy {
        path: path.to_path_buf(),
        file: BufWriter::with_capacity(1 << 20, File::create(path).map_err(Error::io(path))?),
    };
    npy.append(b"\x93NUMPY\x01\x00")?;
    npy.append(&(header.len() as u16).to_le_bytes())?;
    npy.append(header.as_bytes())?;
    Ok(npy)
}

impl Npy {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.path))
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }
}
