//! `procedural`: makes shapes and training images from seeds.
#![deny(missing_docs)]

use clap::{Parser, Subcommand};
use partstad::{
    Device, Error, Parts, Result,
    io::npy,
    models::Models,
    pipeline,
    stages::{cloud::Cloud, views::Views},
    study::{
        dataset::{Dataset, Truth},
        prepare::write_predictions,
    },
};
use procedural::{
    CATEGORIES, Shape,
    clouds::{self, Split},
    dataset, generate,
    measure::{Figures, Labelled, Predictions, measure},
    partitions::{Change, Comparison, Way},
    predictions,
};
use std::{
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
        /// Points of each shape; 0 draws 30,000 to 120,000, and up to twice that with an inside.
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
        /// Give the models' segmenter perfect boxes from the ground truth instead of the detector's.
        #[arg(long, requires = "models")]
        perfect_boxes: bool,
    },
    /// Compares partitions: superpoints, ceilings, and the figures of lifting predictions made from the ground truth.
    Partitions {
        /// Folder of real clouds in PartNet-Ensembled's layout.
        clouds: PathBuf,
        /// Splits.
        #[arg(long, value_delimiter = ',', default_value = "val")]
        splits: Vec<String>,
        /// Categories, comma separated; all of them by default.
        #[arg(long, value_delimiter = ',')]
        categories: Vec<String>,
        /// Clouds of each category and split, at most.
        #[arg(long, default_value_t = 1)]
        objects: usize,
        /// The ways compared: JSON like {"authors": {"superpoints": {"small": 10}}, "ours": {}}, each with the options of
        /// the pipeline that are not the usual ones.
        #[arg(long, default_value = r#"{"default": {}}"#)]
        ways: String,
        /// Values of lambda, comma separated: every way's curve; its own value by default.
        #[arg(long, value_delimiter = ',')]
        lambdas: Vec<f32>,
        /// Only the partitions, not what the pipeline makes of them.
        #[arg(long)]
        only: bool,
        /// Points of each cloud, drawn at random or put in between; as many as there are by default.
        #[arg(long)]
        points: Option<usize>,
        /// Standard deviation of noise added to each coordinate, in cloud radii.
        #[arg(long, default_value_t = 0.0)]
        noise: f64,
        /// Degrees to turn the clouds around the vertical axis.
        #[arg(long, default_value_t = 0.0)]
        rotation: f64,
        /// Without colours.
        #[arg(long)]
        gray: bool,
        /// Seed of the predictions.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
    /// Writes labelled clouds in PartNet-Ensembled's layout, for `partstad prepare` and `partstad evaluate`.
    Clouds {
        /// Categories, comma separated.
        #[arg(long, value_delimiter = ',', required = true)]
        categories: Vec<String>,
        /// Shapes of each category for training, validation and test.
        #[arg(long, value_delimiter = ',', default_values_t = [8, 8, 8])]
        shapes: Vec<u64>,
        /// Seed of the first shape.
        #[arg(long, default_value_t = 2_000_000)]
        seed: u64,
        /// Points of each shape.
        #[arg(long, default_value_t = 60_000)]
        points: usize,
        /// Folder to write to.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Writes 2D predictions made from the ground truth, for the option --predictions of `partstad prepare` and
    /// `partstad evaluate`.
    Predict {
        /// Folder of labelled clouds in PartNet-Ensembled's layout.
        clouds: PathBuf,
        /// Splits.
        #[arg(long, value_delimiter = ',', default_value = "train,val,test")]
        splits: Vec<String>,
        /// Categories, comma separated; all of them by default.
        #[arg(long, value_delimiter = ',')]
        categories: Vec<String>,
        /// Seed of the predictions.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// The faults, where they differ from the usual ones: JSON like {"spurious": 0.5, "signal": 0}.
        #[arg(long, default_value = "{}")]
        faults: String,
        /// Folder to write to.
        #[arg(short, long)]
        output: PathBuf,
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
        Command::Measure { clouds, splits, shapes, categories, seed, options, models, perfect_boxes } => {
            let options = options.as_deref().map_or_else(|| Ok(Default::default()), read_options)?;
            let wanted = |category: &str| categories.is_empty() || categories.iter().any(|c| c == category);
            let load = |folder: PathBuf| Models::load(&Device::Cpu, &folder, &Default::default());
            let models = models.map(load).transpose()?;
            let predictions = match &models {
                Some(models) if perfect_boxes => {
                    let none = || Error::invalid("--perfect-boxes: these models have no segmenter");
                    Predictions::segmenter(models.segmenter().ok_or_else(none)?)
                }
                Some(models) => vec![Predictions::models(models)],
                None => Predictions::truth(),
            };
            let titles: Vec<_> =
                predictions.iter().flat_map(|p| &p.figures).map(|(title, _)| title).collect();
            let mut figures: Vec<_> = titles.iter().map(|_| Figures::default()).collect();
            let mut add = |name: String, shape: &Labelled| {
                eprintln!("{name}");
                measure(shape, &predictions, seed, &options, &mut figures)
            };
            match clouds {
                Some(root) => {
                    let dataset = Dataset::open(&root)?;
                    for split in splits {
                        for object in dataset.objects(&split)?.into_iter().filter(|o| wanted(&o.category)) {
                            let parts = dataset.parts[&object.category].clone();
                            let (points, truth) = object.read(parts.len())?;
                            let category = object.category.clone();
                            let shape = Labelled { category, parts, points, truth };
                            add(format!("{} {}", object.category, object.id), &shape)?;
                        }
                    }
                }
                None => {
                    for category in CATEGORIES.iter().filter(|c| wanted(c.name)) {
                        for seed in 1_000_000..1_000_000 + shapes as u64 {
                            let Shape { cloud, parts, semantic, instance } =
                                generate(category.name, seed, 60_000)?;
                            let (parts, truth) = (Parts::new(parts)?, Truth { semantic, instance });
                            let category = category.name.to_owned();
                            let name = format!("{category} {seed}");
                            add(name, &Labelled { category, parts, points: cloud, truth })?;
                        }
                    }
                }
            }
            for (title, figures) in titles.iter().zip(&figures) {
                println!("Votes: {title}\n\n{}", figures.table(title).markdown());
            }
            Ok(())
        }
        Command::Partitions {
            clouds,
            splits,
            categories,
            objects,
            ways,
            lambdas,
            only,
            points,
            noise,
            rotation,
            gray,
            seed,
        } => {
            let ways: std::collections::BTreeMap<String, pipeline::Options> =
                serde_json::from_str(&ways).map_err(|e| Error::invalid(format!("--ways {ways}: {e}")))?;
            let along = |(name, options): (String, pipeline::Options)| {
                let lambdas =
                    if lambdas.is_empty() { vec![options.superpoints.lambda] } else { lambdas.clone() };
                lambdas.into_iter().map(move |lambda| {
                    let mut options = options.clone();
                    options.superpoints.lambda = lambda;
                    Way { name: format!("{name}, {lambda}"), options }
                })
            };
            let mut comparison = Comparison::new(ways.into_iter().flat_map(along).collect(), !only);
            let change = Change { points, noise, rotation, gray };
            let dataset = Dataset::open(&clouds)?;
            for split in splits {
                let mut of_category = std::collections::BTreeMap::<String, usize>::new();
                for object in dataset.objects(&split)? {
                    let count = of_category.entry(object.category.clone()).or_default();
                    *count += 1;
                    if *count > objects || !categories.is_empty() && !categories.contains(&object.category) {
                        continue;
                    }
                    let parts = dataset.parts[&object.category].clone();
                    let (points, truth) = object.read(parts.len())?;
                    let category = object.category.clone();
                    let shape = Labelled { category, parts, points, truth };
                    comparison.add(&change.apply(shape)?, seed)?;
                    eprintln!("{}", object.place().display());
                }
            }
            println!("{}", comparison.table().markdown());
            Ok(())
        }
        Command::Clouds { categories, shapes, seed, points, output } => {
            let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
            let mut next = seed;
            let splits = ["train", "val", "test"].into_iter().zip(shapes).map(|(name, shapes)| {
                next += shapes;
                Split { name, shapes, seed: next - shapes }
            });
            clouds::write(&output, &categories, &splits.collect::<Vec<_>>(), points)
        }
        Command::Predict { clouds, splits, categories, seed, faults, output } => {
            let faults: predictions::Options = serde_json::from_str(&faults)
                .map_err(|e| Error::invalid(format!("--faults {faults}: {e}")))?;
            let dataset = Dataset::open(&clouds)?;
            for split in splits {
                for object in dataset.objects(&split)? {
                    if !categories.is_empty() && !categories.contains(&object.category) {
                        continue;
                    }
                    let labels = dataset.parts[&object.category].len();
                    let (points, truth) = object.read(labels)?;
                    let views = Views::render(&Device::Cpu, &Cloud::new(&points)?, &Default::default())?;
                    // Every object has faults of its own.
                    let seed =
                        object.id.bytes().fold(seed, |hash, byte| 31 * (hash % (1 << 32)) + byte as u64);
                    let (boxes, masks) =
                        predictions::predict(&views, &truth.semantic, &truth.instance, labels, seed, &faults);
                    write_predictions(&output.join(object.place()), &boxes, &masks, views.side)?;
                    eprintln!("{}: {} boxes", object.place().display(), boxes.len());
                }
            }
            Ok(())
        }
        Command::Shape { category, seed, points, output } => {
            let shape = generate(&category, seed, points)?;
            std::fs::create_dir_all(&output).map_err(Error::io(&output))?;
            clouds::write_ply(&output.join("pc.ply"), &shape)?;
            npy::write(&output.join("semantic.npy"), &[points], &shape.semantic)?;
            npy::write(&output.join("instance.npy"), &[points], &shape.instance)
        }
    }
}

fn read_options(path: &Path) -> Result<pipeline::Options> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|e| Error::format(path, e.to_string()))
}
