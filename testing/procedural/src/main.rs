//! `procedural`: makes shapes and training images from seeds.
#![deny(missing_docs)]

use clap::{Parser, Subcommand};
use partstad::{
    Device, Error, Result,
    dataset::{Dataset, Truth},
    io::npy,
    models::Models,
    pipeline,
};
use procedural::{
    CATEGORIES, Shape, dataset, generate,
    measure::{Figures, Labelled, Voters, measure},
};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Makes procedurally generated, part-labelled, coloured shapes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Renders training images: images.npy, instances.npy, index.json.
    Dataset {
        /// Number of shapes; the categories take turns.
        #[arg(long)]
        shapes: usize,
        /// Images of each shape.
        #[arg(long, default_value_t = 4)]
        views_per_shape: usize,
        /// Seed of the first shape; each next one takes the next seed.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Points of each shape; 0 draws 30,000 to 120,000.
        #[arg(long, default_value_t = 0)]
        points: usize,
        /// Categories, comma separated; all of them by default.
        #[arg(long, value_delimiter = ',')]
        categories: Vec<String>,
        /// Folder to write to.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Measures lifting: predictions made from the ground truth, or those of models, and the figures of what they give.
    Measure {
        /// Folder of real clouds in PartNet-Ensembled's layout; procedural shapes by default.
        #[arg(long)]
        clouds: Option<PathBuf>,
        /// Splits of the real clouds.
        #[arg(long, value_delimiter = ',', default_values_t = ["test".to_owned()])]
        splits: Vec<String>,
        /// Procedural shapes of each category, from seed 1,000,000 on.
        #[arg(long, default_value_t = 2)]
        shapes: usize,
        /// Categories, comma separated; all of them by default.
        #[arg(long, value_delimiter = ',')]
        categories: Vec<String>,
        /// Seed of the predictions.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Options of the pipeline, a JSON file.
        #[arg(long)]
        options: Option<PathBuf>,
        /// Folder of models whose predictions to measure, instead of those made from the ground truth.
        #[arg(long)]
        models: Option<PathBuf>,
    },
    /// Writes one shape: pc.ply, semantic.npy, instance.npy.
    Shape {
        /// PartNetE's name of the category.
        category: String,
        /// Which shape.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Number of points.
        #[arg(long, default_value_t = 80_000)]
        points: usize,
        /// Folder to write to.
        #[arg(short, long)]
        output: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Dataset { shapes, views_per_shape, seed, points, categories, output } => {
            let options = dataset::Options { shapes, views_per_shape, seed, points, categories };
            dataset::write(&options, &output, |done| eprint!("\r{done} of {shapes} shapes"))?;
            eprintln!();
            Ok(())
        }
        Command::Measure { clouds, splits, shapes, categories, seed, options, models } => {
            let options = options.as_deref().map_or_else(|| Ok(Default::default()), read_options)?;
            let wanted = |category: &str| categories.is_empty() || categories.iter().any(|c| c == category);
            let load = |folder: PathBuf| Models::load(&Device::Cpu, &folder, &Default::default());
            let models = models.map(load).transpose()?;
            let voters = match &models {
                Some(models) => vec![Voters::models(models)],
                None => Voters::truth(),
            };
            let titles: Vec<_> = voters.iter().flat_map(|v| &v.figures).map(|(title, _)| title).collect();
            let mut figures: Vec<_> = titles.iter().map(|_| Figures::default()).collect();
            let mut add = |name: String, shape: &Labelled| {
                eprintln!("{name}");
                measure(shape, &voters, seed, &options, &mut figures)
            };
            match clouds {
                Some(root) => {
                    let dataset = Dataset::open(&root)?;
                    for split in splits {
                        for object in dataset.objects(&split)?.into_iter().filter(|o| wanted(&o.category)) {
                            let parts = dataset.parts[&object.category].clone();
                            let (points, Truth { semantic, instance }) = object.read(parts.len())?;
                            let category = object.category.clone();
                            let shape = Labelled { category, parts, points, semantic, instance };
                            add(format!("{} {}", object.category, object.id), &shape)?;
                        }
                    }
                }
                None => {
                    for category in CATEGORIES.iter().filter(|c| wanted(c.name)) {
                        for seed in 1_000_000..1_000_000 + shapes as u64 {
                            let Shape { cloud, parts, semantic, instance } =
                                generate(category.name, seed, 60_000)?;
                            let parts = parts.iter().map(|&part| part.into()).collect();
                            let category = category.name.to_owned();
                            let name = format!("{category} {seed}");
                            add(name, &Labelled { category, parts, points: cloud, semantic, instance })?;
                        }
                    }
                }
            }
            for (title, figures) in titles.iter().zip(&figures) {
                println!("Votes: {title}\n\n{}", figures.table());
            }
            Ok(())
        }
        Command::Shape { category, seed, points, output } => {
            let shape = generate(&category, seed, points)?;
            std::fs::create_dir_all(&output).map_err(Error::io(&output))?;
            write_ply(&output.join("pc.ply"), &shape)?;
            npy::write(&output.join("semantic.npy"), &[points], &shape.semantic)?;
            npy::write(&output.join("instance.npy"), &[points], &shape.instance)
        }
    }
}

fn read_options(path: &Path) -> Result<pipeline::Options> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))
}

/// Binary PLY with f32 positions and u8 colours.
fn write_ply(path: &Path, shape: &Shape) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        write!(file, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", shape.semantic.len())?;
        for axis in ["x", "y", "z"] {
            writeln!(file, "property float {axis}")?;
        }
        for channel in ["red", "green", "blue"] {
            writeln!(file, "property uchar {channel}")?;
        }
        writeln!(file, "end_header")?;
        for (position, color) in shape.cloud.positions.iter().zip(&shape.cloud.colors) {
            for x in position {
                file.write_all(&(*x as f32).to_le_bytes())?;
            }
            file.write_all(&color.map(|c| (255.0 * c).round() as u8))?;
        }
        file.flush()
    };
    write().map_err(Error::io(path))
}
