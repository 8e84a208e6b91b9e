//! What the commands that segment share: reading, running, writing, telling.

use super::{Global, settings::read_options};
use clap::Args;
#[cfg(feature = "ort")]
use partstad::models::{self, Models, Provider};
use partstad::{
    Device, Error, Parts, Pipeline, Result, Segmentation, Template,
    input::Input,
    io::{
        path_text,
        points::PointCloud,
        staged::{self, Folder},
    },
    mesh,
    output::{self, Output, Surface, report::Report},
    pipeline::{Options, PartSummary},
    segmentation::counted,
    stages::{
        checkpoint::Checkpoint,
        cloud::{self, Colors, Up},
        evidence,
        instances::Merge,
        views,
    },
};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Instant,
};

/// The arguments of every command that segments.
#[derive(Args)]
pub struct Settings {
    /// Cameras and image size instead of the usual ten views: JSON like
    /// {"poses": [{"elevation": 10, "azimuth": 0, "distance": 2.2}], "side": 800, "radius": 0.005}
    #[arg(long, value_name = "FILE")]
    views: Option<PathBuf>,
    /// Options of every stage as JSON; run.json holds those of a run under parameters.options
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Where to compute: cpu, cuda:N, or auto for the CUDA device with the most free memory and else the CPU
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    pub device: String,
    #[command(flatten)]
    reading: Reading,
}

/// How a file's points become a cloud.
#[derive(Args)]
pub struct Reading {
    /// Which way is up in the file: x, y, z, -x, -y or -z [default: y]
    #[arg(long, value_name = "AXIS", allow_hyphen_values = true)]
    up: Option<Up>,
    /// Take greys for colours: the file's intensities, or else a shade by the direction of the surface
    #[arg(long)]
    grey: bool,
}

/// How points are drawn on a mesh.
#[derive(Args)]
pub struct Drawing {
    /// Points to draw on a mesh; 0 takes the vertices of a .ply file as they are [default: 80000, up to four times as many
    /// where these would leave holes in the views]
    #[arg(long, value_name = "N")]
    points: Option<usize>,
    /// Seed of the points drawn on a mesh: the same seed gives the same points [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Draw points also where no one sees them from outside
    #[arg(long)]
    hidden: bool,
}

impl Reading {
    /// The same options with what was asked for.
    pub fn of(&self, options: Options) -> Options {
        let cloud = cloud::Options {
            up: self.up.unwrap_or(options.cloud.up),
            colors: if self.grey { Colors::Grey } else { options.cloud.colors },
        };
        Options { cloud, ..options }
    }
}

impl Drawing {
    /// The same options with what was asked for.
    pub fn of(&self, options: Options) -> Options {
        let mesh = mesh::Options {
            points: self.points.or(options.mesh.points),
            seed: self.seed.unwrap_or(options.mesh.seed),
            hidden: self.hidden || options.mesh.hidden,
        };
        Options { mesh, ..options }
    }
}

impl Reading {
    /// What was asked for, and these views, to commands that take no other options.
    pub fn alone(&self, views: views::Options) -> Options {
        self.of(Options { views, ..Options::default() })
    }
}

/// The library's words for what the program calls otherwise.
pub fn with_flags(message: &str) -> String {
    [
        ("option cloud.colors", "--grey"),
        ("option cloud.up", "--up"),
        ("option mesh.hidden", "--hidden"),
        ("option mesh.points", "--points"),
        ("option boxes.template", "--template"),
        ("option boxes.threshold", "--score"),
        ("option memberships.views", "--skip-empty-views"),
    ]
    .iter()
    .fold(message.to_string(), |message, (option, flag)| message.replace(option, flag))
}

/// The names of parts. Names that cannot be are a malformed argument.
pub fn parts(names: &[String]) -> Parts {
    Parts::listed(&names.join(",")).unwrap_or_else(|e| super::malformed("--parts", &e))
}

impl Settings {
    /// The options of the pipeline.
    pub fn options(&self) -> Result<Options> {
        let mut options: Options = match &self.options {
            Some(path) => checked(read_options(path, "pipeline options")?, path)?,
            None => Options::default(),
        };
        if let Some(path) = &self.views {
            if options.views != views::Options::default() {
                let twice = "--views and the file of --options both say how to render; leave one of them out";
                return Err(Error::invalid(format!("{}: {twice}", path.display())));
            }
            options.views = views_options(path)?;
        }
        Ok(self.reading.of(options))
    }

    /// The files that they are read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.views, &self.options].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The device.
    pub fn device(&self) -> Result<Device> {
        self.device.parse()
    }
}

/// The arguments of every command whose models look for the parts.
#[derive(Args)]
pub struct Segmenting {
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    drawing: Drawing,
    /// Boxes need a higher score than this, from 0.1 to 0.95 [default: 0.5]. A low score lets in many boxes, and
    /// the segmenter takes time for each
    #[arg(long, value_name = "X", value_parser = score, allow_negative_numbers = true)]
    score: Option<f32>,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    refinements: Refinements,
}

impl Segmenting {
    /// The options of the pipeline.
    pub fn options(&self) -> Result<Options> {
        let mut options = self.refinements.of(self.drawing.of(self.settings.options()?));
        options.boxes.threshold = self.score.unwrap_or(options.boxes.threshold);
        Ok(self.asking.of(options))
    }
}

/// How models are asked for a part.
#[derive(Args)]
pub struct Asking {
    /// What to ask the models for instead of a part's bare name, like "{part} of a chair"; prepare and evaluate also know
    /// {category} [default: {part}]
    #[arg(long, value_name = "TEXT")]
    template: Option<Template>,
}

impl Asking {
    /// The same options with what was asked for.
    pub fn of(&self, mut options: Options) -> Options {
        options.boxes.template = self.template.clone().unwrap_or(options.boxes.template);
        options
    }
}

fn score(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(score) if (0.1..=0.95).contains(&score) => Ok(score),
        _ => Err("give a number from 0.1 to 0.95".into()),
    }
}

/// What may be done beyond the paper's method.
#[derive(Args)]
pub struct Refinements {
    /// Cut superpoints where the masks of several views agree on a border
    #[arg(long)]
    cut_by_masks: bool,
    /// Find small parts that lie inside one superpoint, where the masks of two views or more agree on them
    #[arg(long)]
    small_parts: bool,
    /// What tells instances of one part apart: masks, each of one object in its view, or touching, as PartSLIP does it
    /// [default: masks]
    #[arg(long, value_name = "RULE")]
    instances: Option<Merge>,
    /// Give points that no view shows the part that surrounds them, instead of none
    #[arg(long)]
    fill_hidden: bool,
}

impl Refinements {
    /// The same options with what was asked for.
    pub fn of(&self, mut options: Options) -> Options {
        if self.cut_by_masks {
            options.evidence = evidence::Options { free: options.evidence.free, ..evidence::Options::cut() };
        }
        options.evidence.free |= self.small_parts;
        options.instances.merge = self.instances.unwrap_or(options.instances.merge);
        options.labels.fill_hidden |= self.fill_hidden;
        options
    }
}

/// Where the models come from and what computes them.
#[cfg(feature = "ort")]
#[derive(Args)]
pub struct ModelSettings {
    /// What computes the models on a CUDA device: device (ONNX Runtime's CUDA provider), device-or-cpu, tensorrt or cpu
    /// [default: device, device-or-cpu with --device auto]
    #[arg(long, value_name = "NAME")]
    provider: Option<Provider>,
    /// Options of the models as JSON, like {"batch_memory": 8000000000, "cuda_graphs": true}; run.json holds those of a run
    /// under parameters.models.options
    #[arg(long, value_name = "FILE")]
    model_options: Option<PathBuf>,
}

#[cfg(feature = "ort")]
impl ModelSettings {
    /// Loads a folder's models, or those inside this program, and the options that they were loaded with.
    pub fn load(
        &self,
        global: &Global,
        settings: &Settings,
        device: &Device,
        folder: Option<&Path>,
    ) -> Result<(Models, models::Options)> {
        let mut options: models::Options = match &self.model_options {
            Some(path) => read_options(path, "model options")?,
            None => models::Options::default(),
        };
        if options.threads == 0 {
            options.threads = global.threads.unwrap_or(0).into();
        }
        if let Some(provider) = self.provider {
            options.provider = provider;
        } else if settings.device == "auto" && options.provider == Provider::Device {
            options.provider = Provider::DeviceOrCpu;
        }
        let models = match folder {
            Some(folder) => Models::load(device, folder, &options),
            None => Models::embedded(device, &options),
        };
        Ok((models?, options))
    }
}

/// Learned weights of the boxes.
#[derive(Args)]
pub struct Learned {
    /// Learned weights of the boxes, as `partstad train` writes them: a file, or a directory with --category
    #[arg(long, value_name = "PATH")]
    pub weights: Option<PathBuf>,
    /// Category of the cloud, whose <Category>.safetensors in the directory of --weights is used
    #[arg(long, value_name = "NAME", requires = "weights")]
    category: Option<String>,
}

impl Learned {
    /// Gives them to a pipeline, if they were asked for and there are some for the category; what to warn of otherwise.
    pub fn give(&self, pipeline: Pipeline, parts: &Parts) -> Result<(Pipeline, Option<String>)> {
        let Some(path) = &self.weights else { return Ok((pipeline, None)) };
        let file = match (&self.category, path.is_dir()) {
            (Some(category), true) => path.join(category).with_added_extension("safetensors"),
            (None, true) => {
                return Err(Error::invalid(format!(
                    "--weights {} is a directory; say with --category which category the cloud is of",
                    path.display()
                )));
            }
            (Some(_), false) if path.exists() => {
                return Err(Error::invalid(format!(
                    "--weights {} is a file; leave out --category, which chooses one of a directory",
                    path.display()
                )));
            }
            (_, false) => path.clone(),
        };
        if path.is_dir() && !file.exists() {
            let warning = format!(
                "There is no {}: boxes weigh as they do without learning. Weights there are of {}.",
                file.display(),
                match &categories_of(path)[..] {
                    [] => "no category".into(),
                    names => names.join(", "),
                }
            );
            return Ok((pipeline, Some(warning)));
        }
        let checkpoint = Checkpoint::read(&file)?;
        checkpoint.check(parts).map_err(|e| Error::format(&file, e.to_string()))?;
        let (asked, rule) = (pipeline.options(), checkpoint.network.basis().rule());
        let used = asked.weights == Default::default()
            && (asked.labels.rule == rule || asked.labels.rule == Default::default());
        let unused = "--weights decides what boxes and null weigh, and the label rule: the options weights and labels.rule are \
                      not used.";
        let warning = (!used).then(|| unused.to_string());
        Ok((pipeline.with_network(checkpoint.network), warning))
    }
}

/// The categories that a directory has weights of.
fn categories_of(weights: &Path) -> Vec<String> {
    let of_file = |path: PathBuf| {
        let is_one = path.extension().is_some_and(|extension| extension == "safetensors");
        path.file_stem().filter(|_| is_one).map(path_text)
    };
    let files = std::fs::read_dir(weights).into_iter().flatten().flatten();
    let mut names: Vec<String> = files.filter_map(|entry| of_file(entry.path())).collect();
    names.sort();
    names
}

/// The view options in a JSON file.
pub fn views_options(path: &Path) -> Result<views::Options> {
    let options = Options { views: read_options(path, "view options")?, ..Options::default() };
    Ok(checked(options, path)?.views)
}

/// Options of a file, all in their range.
fn checked(options: Options, path: &Path) -> Result<Options> {
    // Not as flags, which others may have.
    let named = |e: Error| Error::format(path, e.to_string().trim_start_matches("option ").to_string());
    options.check().map_err(named)?;
    Ok(options)
}

/// Loads what finds parts without names, and refuses models that cannot. `folder`: theirs.
#[cfg(feature = "ort")]
pub fn load_points(models: &Models, folder: Option<&Path>) -> Result<()> {
    match models.segmenter().filter(|segmenter| segmenter.answers_points()) {
        Some(segmenter) => segmenter.load_points(),
        None => Err(Error::format(
            folder.unwrap_or(Path::new("models")),
            "has no segmenter that answers points, which --unnamed needs: export SAM with its point decoder \
             (docs/models.md), or leave out --models",
        )),
    }
}

/// Refuses a folder where one cloud is needed.
pub fn check_is_one(cloud: &Path) -> Result<()> {
    match cloud.is_dir() {
        true => Err(Error::format(
            cloud,
            "is a folder: name one cloud; `partstad batch` takes folders, and segments all that is in them",
        )),
        false => Ok(()),
    }
}

/// A cloud on its way through a command.
pub struct Job<'a> {
    pub path: &'a Path,
    pub input: Input,
    start: Instant,
}

impl<'a> Job<'a> {
    /// Reads the cloud or the mesh.
    pub fn read(path: &'a Path, device: &Device, options: &Options) -> Result<Job<'a>> {
        let start = Instant::now();
        check_is_one(path)?;
        Ok(Job { path, input: Input::read(path, device, options)?, start })
    }

    /// A cloud that is at hand; `path` names it.
    pub fn new(path: &'a Path, points: PointCloud, options: &Options) -> Result<Job<'a>> {
        let start = Instant::now();
        Ok(Job { path, input: Input::new(path, points, options)?, start })
    }

    /// Writes what was found; returns it for machines and for people.
    pub fn finish(
        &self,
        found: &Segmentation,
        folder: Folder,
        parameters: Value,
        warnings: &[String],
    ) -> Result<Finished> {
        let dir = folder.place().to_path_buf();
        let title = title(self.path);
        let found_out: Vec<String> = found.warnings.iter().map(|warning| with_flags(warning)).collect();
        let warnings = &[warnings, &found_out[..]].concat();
        let report =
            Report { title: &title, cloud: &self.input.cloud, found, parameters: &parameters, warnings };
        let output = Output { points: &self.input.points, surface: Surface::of(&self.input), report };
        let mut run = output.write_into(folder)?;
        run["out"] = json!(path_text(&dir));
        let path = self.path.display();
        let text = summary(&path.to_string(), found, &dir, self.start.elapsed().as_secs_f64())?;
        let warnings = found_out.iter().map(|warning| format!("{path}: {warning}")).collect();
        Ok(Finished { run, text, warnings })
    }
}

/// Checks that no result would take the place of what is read.
pub fn check_results(folders: &[impl AsRef<Path>], inputs: &[&Path]) -> Result<()> {
    let outputs = folders.iter().flat_map(|folder| output::files(folder.as_ref()));
    staged::check_apart(outputs, inputs)
}

/// What a cloud is called in reports.
pub fn title(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}

fn summary(path: &str, found: &Segmentation, dir: &Path, seconds: f64) -> Result<String> {
    let n = found.labels.of_point.len();
    let mut text = format!(
        "{path}: {}, {} in {}\n",
        counted(n, "point", "points"),
        counted(found.boxes.len(), "box", "boxes"),
        counted(found.views.len(), "view", "views")
    );
    let width = found.parts.iter().map(String::len).max().unwrap_or_default();
    for PartSummary { name, points, instances, without_instance, .. } in found.summary()? {
        let share = 100.0 * points as f64 / n as f64;
        let noun = if instances == 1 { "instance" } else { "instances" };
        let rest = match without_instance {
            0 => String::new(),
            rest => format!(", {} in none", counted(rest, "point", "points")),
        };
        text += &format!("  {name:width$}  {points:>8} points  {share:5.1} %  {instances:>3} {noun}{rest}\n");
    }
    Ok(text + &format!("{seconds:.1} s; look at {}", dir.join("report.html").display()))
}

/// What a cloud gave.
pub struct Finished {
    /// For machines.
    pub run: Value,
    /// For people.
    pub text: String,
    /// What concerns this cloud alone.
    pub warnings: Vec<String>,
}

/// Prints the warnings, those of all clouds first, and what every cloud gave.
pub fn print(global: &Global, clouds: Vec<Finished>, warnings: &[String]) -> Result<()> {
    for warning in warnings.iter().chain(clouds.iter().flat_map(|cloud| &cloud.warnings)) {
        super::warn(warning);
    }
    let (values, texts): (Vec<Value>, Vec<String>) =
        clouds.into_iter().map(|cloud| (cloud.run, cloud.text)).unzip();
    let value = if values.len() == 1 { values.into_iter().next() } else { Some(Value::Array(values)) };
    global.report(value.unwrap_or_default(), &texts.join("\n\n"))
}
