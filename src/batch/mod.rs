//! Many clouds: reading, segmenting and writing overlap, every result is written as a whole, and a journal tells what need
//! not be done again. One bad cloud is an entry in the journal and never stops the others.

pub mod flow;
pub mod journal;
pub mod list;
pub mod sheet;

use self::{
    flow::{Seconds, Steps, lock},
    journal::{Entry, File, Journal, Part, State},
};
#[cfg(feature = "meshes")]
use crate::output::Surface;
use crate::{
    device::Device,
    error::{Error, Result},
    input::{self, Input},
    io::{
        hash, npy, path_text, png,
        staged::{self, Folder},
    },
    observer::Observer,
    options::Options,
    output::{self, Output, palette, report::Report},
    parts::Parts,
    pipeline::Pipeline,
    segmentation::{PartSummary, Segmentation},
    stages::{checkpoint::Checkpoint, cloud::Cloud, network::Network},
    unnamed,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// One cloud to segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Its name, unlike all others': that of its results. Slashes make folders.
    pub id: String,
    /// Its file.
    pub cloud: PathBuf,
    /// What to look for, none for parts without names, or why that is not known; such a shape fails.
    pub parts: Result<Option<Parts>, String>,
    /// Learned weights.
    pub weights: Option<PathBuf>,
    /// Options instead of the batch's.
    pub options: Option<Box<Options>>,
}

impl Shape {
    /// What to look for; none for parts without names.
    ///
    /// # Errors
    /// [`Error::Invalid`] with why that is not known.
    pub fn parts(&self) -> Result<Option<&Parts>> {
        self.parts.as_ref().map(Option::as_ref).map_err(|why| Error::invalid(why.clone()))
    }

    fn is_unnamed(&self) -> bool {
        self.parts == Ok(None)
    }
}

/// What to write of each cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// A folder `<id>/` with all that [`Output::write`] writes.
    All,
    /// One file `<id>.npz`: `labels` and `instances`, i32, of every row, -1 = none; `instance_labels`, u32, and
    /// `instance_confidences`, f32, of every instance.
    Labels,
}

/// What finds the parts of a cloud. [`Pipeline`] does; so may anything else.
pub trait Segmenter: Sync {
    /// Segments a cloud. `shape` says into which parts, and by which weights and options.
    ///
    /// # Errors
    /// They are the shape's.
    fn segment(&self, shape: &Shape, cloud: &Cloud, observer: &dyn Observer) -> Result<Segmentation>;

    /// The options that a shape is segmented by.
    fn options<'a>(&'a self, shape: &'a Shape) -> &'a Options;

    /// Where it computes.
    fn device(&self) -> &Device;

    /// All that a result depends on, besides the shape itself.
    fn made_from(&self) -> Value;
}

/// A pipeline, and the learned weights that its shapes name.
pub struct Worker {
    pipeline: Pipeline,
    networks: Mutex<BTreeMap<PathBuf, Result<Checkpoint, String>>>,
}

impl Worker {
    /// A worker that computes by `pipeline`.
    pub fn new(pipeline: Pipeline) -> Worker {
        Worker { pipeline, networks: Mutex::default() }
    }

    /// The same, where no cloud may take more than so much memory, if its options do not say how much.
    #[must_use]
    pub fn with_memory(self, most: Option<u64>) -> Worker {
        let mut options = self.pipeline.options().clone();
        options.memory = options.memory.or(most);
        Worker { pipeline: self.pipeline.with_options(options), ..self }
    }

    /// Its pipeline.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    fn network(&self, shape: &Shape, parts: &Parts) -> Result<Option<Network>> {
        let Some(path) = &shape.weights else { return Ok(None) };
        let mut networks = lock(&self.networks);
        let read = || Checkpoint::read(path).map_err(|e| e.to_string());
        let checkpoint = networks.entry(path.clone()).or_insert_with(read).as_ref();
        let checkpoint = checkpoint.map_err(|e| Error::invalid(e.clone()))?;
        checkpoint.check(parts).map_err(|e| Error::format(path, e.to_string()))?;
        Ok(Some(checkpoint.network.clone()))
    }
}

impl Segmenter for Worker {
    #[cfg(feature = "ort")]
    fn segment(&self, shape: &Shape, cloud: &Cloud, observer: &dyn Observer) -> Result<Segmentation> {
        let mut pipeline = self.pipeline.clone();
        if let Some(options) = &shape.options {
            pipeline = pipeline.with_options((**options).clone());
        }
        let Some(parts) = shape.parts()? else {
            return match &shape.weights {
                None => pipeline.segment_unnamed(cloud, observer),
                Some(path) => Err(Error::format(path, "learned weights are of named parts")),
            };
        };
        if let Some(network) = self.network(shape, parts)? {
            pipeline = pipeline.with_network(network);
        }
        pipeline.segment(cloud, parts, observer)
    }

    #[cfg(not(feature = "ort"))]
    fn segment(&self, shape: &Shape, _: &Cloud, _: &dyn Observer) -> Result<Segmentation> {
        shape.parts()?.map(|parts| self.network(shape, parts)).transpose()?;
        Err(Error::invalid("this build has no models; build it with the feature ort"))
    }

    fn options<'a>(&'a self, shape: &'a Shape) -> &'a Options {
        shape.options.as_deref().unwrap_or(self.pipeline.options())
    }

    fn device(&self) -> &Device {
        self.pipeline.device()
    }

    fn made_from(&self) -> Value {
        #[cfg(feature = "ort")]
        return json!(self.pipeline.models().map(|models| &models.manifest));
        #[cfg(not(feature = "ort"))]
        return Value::Null;
    }
}

/// A batch: who segments, and where results go.
pub struct Batch<'a> {
    workers: &'a [&'a dyn Segmenter],
    out: &'a Path,
    write: Write,
    /// For `run.json`.
    parameters: Value,
    /// What all results depend on.
    made_from: Value,
    /// Of the weights' files, each read once.
    weights: Mutex<BTreeMap<PathBuf, String>>,
    journal: Mutex<Journal>,
    watcher: &'a dyn Watcher,
}

/// Watches a batch.
pub trait Watcher: Sync {
    /// A shape is about to be read.
    ///
    /// # Errors
    /// They are the shape's.
    fn begun(&self, _shape: &Shape) -> Result<()> {
        Ok(())
    }

    /// A shape has an outcome.
    fn done(&self, _entry: &Entry) {}

    /// Whether to begin no further shape; those under way are finished.
    fn stops(&self) -> bool {
        false
    }
}

impl Watcher for () {}

/// How a batch ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Shapes with a result that was made now.
    pub done: usize,
    /// Shapes whose result was there.
    pub kept: usize,
    /// Shapes without a result.
    pub failed: usize,
}

impl<'a> Batch<'a> {
    /// Begins a batch, or goes on with it. `workers`: each segments one cloud at a time; `out`: the folder of the results,
    /// made if need be; `journal`: the file name of the journal in it; `parameters`: what else a result's `run.json` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] without workers; those of [`Journal::open`].
    pub fn begin(
        workers: &'a [&'a dyn Segmenter],
        out: &'a Path,
        journal: &str,
        write: Write,
        parameters: Value,
        watcher: &'a dyn Watcher,
    ) -> Result<Batch<'a>> {
        let Some(worker) = workers.first() else { return Err(Error::invalid("batch: no worker")) };
        let made_from = json!([env!("CARGO_PKG_VERSION"), worker.made_from(), write == Write::All]);
        fs::create_dir_all(out).map_err(Error::io(out))?;
        let journal = Mutex::new(Journal::open(&out.join(journal))?);
        let weights = Mutex::default();
        Ok(Batch { workers, out, write, parameters, made_from, weights, journal, watcher })
    }

    /// Segments what has no result yet, or one made from other things. Shapes that failed before are tried again.
    ///
    /// # Errors
    /// [`Error::Invalid`] if two shapes have one name; [`Error::Io`] if the journal cannot be written: then nothing further
    /// is begun.
    pub fn run(&self, shapes: &[Shape], flow: &flow::Options) -> Result<Totals> {
        list::check(shapes)?;
        if lock(&self.journal).entries().is_empty() {
            self.take_over(shapes)?;
        }
        let todo: Vec<&Shape> = shapes.iter().filter(|shape| !self.is_there(shape)).collect();
        let mut totals = Totals { kept: shapes.len() - todo.len(), ..Totals::default() };
        let outcomes = Mutex::new((0, 0));
        let options = flow::Options { workers: self.workers.len(), ..flow.clone() };
        flow::run(&Run { batch: self, outcomes: &outcomes }, &todo, &options)?;
        (totals.done, totals.failed) = *lock(&outcomes);
        Ok(totals)
    }

    /// The last entry of every shape that the journal knows.
    pub fn entries(&self) -> Vec<Entry> {
        lock(&self.journal).all()
    }

    /// The files of a shape's result, and their lengths.
    fn files(&self, shape: &Shape) -> BTreeMap<String, u64> {
        let paths: Vec<PathBuf> = match self.write {
            Write::All => output::files(&self.out.join(&shape.id)).collect(),
            Write::Labels => vec![self.result(shape)],
        };
        let found = paths.iter().filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len()))
        });
        found.collect()
    }

    /// The file that tells that a shape's result is whole.
    fn result(&self, shape: &Shape) -> PathBuf {
        match self.write {
            Write::All => self.out.join(&shape.id).join("run.json"),
            Write::Labels => self.out.join(&shape.id).with_added_extension("npz"),
        }
    }

    fn sha256(&self, shape: &Shape) -> Result<String> {
        hash::sha256_of_file(&self.result(shape))
    }

    /// Takes over what other journals in the folder know of the shapes: those of shards, or of a batch without shards.
    fn take_over(&self, shapes: &[Shape]) -> Result<()> {
        let by_id: BTreeMap<&str, &Shape> = shapes.iter().map(|shape| (&shape.id[..], shape)).collect();
        let is_of = |entry: &Entry| by_id.get(&entry.id[..]).is_some_and(|shape| self.is_of(entry, shape));
        let mut journal = lock(&self.journal);
        let found = journal::beside(journal.path()).into_iter().filter(is_of).collect();
        journal.add_all(found)
    }

    /// Whether the shape's result is there, made from the same things.
    fn is_there(&self, shape: &Shape) -> bool {
        lock(&self.journal).entries().get(&shape.id).is_some_and(|entry| self.is_of(entry, shape))
    }

    /// Whether an entry is of the shape as it is now, and its files are there.
    fn is_of(&self, entry: &Entry, shape: &Shape) -> bool {
        let known = entry.input.as_ref();
        entry.state == State::Done
            && entry.made_from == self.made_from(shape)
            && self.files(shape) == entry.files
            && entry
                .result_sha256
                .as_ref()
                .is_none_or(|known| self.sha256(shape).is_ok_and(|found| found == *known))
            && File::of(&shape.cloud, known)
                .is_ok_and(|file| known.is_some_and(|known| known.sha256 == file.sha256))
    }

    /// All that the shape's result depends on besides its file.
    fn made_from(&self, shape: &Shape) -> String {
        let weights = shape.weights.as_ref().map(|path| {
            let mut known = lock(&self.weights);
            let hash = || hash::sha256_of_file(path).unwrap_or_default();
            known.entry(path.clone()).or_insert_with(hash).clone()
        });
        let options = self.options_of_result(shape);
        let all = json!([self.made_from, shape.parts.as_ref().ok(), options, weights]);
        hash::sha256(all.to_string().as_bytes())
    }

    /// The options that the shape's result depends on.
    fn options_of_result(&self, shape: &Shape) -> Options {
        let options = self.workers[0].options(shape);
        match shape.is_unnamed() {
            true => Options { sam3d: options.sam3d.clone(), ..unnamed::options(options).of_result() },
            false => options.of_result(),
        }
    }

    fn write(&self, shape: &Shape, made: &Made) -> Result<()> {
        let Made { input, found, .. } = made;
        // First, so that a shape that fails leaves no result.
        self.thumbnail(shape, found)?;
        let Input { points, cloud, .. } = input;
        match self.write {
            Write::All => {
                let title = shape.id.clone();
                let mut parameters = self.parameters.clone();
                parameters["options"] = json!(self.options_of_result(shape));
                parameters["input"] = json!({
                    "cloud": path_text(&shape.cloud), "weights": shape.weights.as_ref().map(path_text),
                });
                if shape.is_unnamed() {
                    parameters["unnamed"] = true.into();
                }
                let report = Report {
                    title: &title,
                    cloud,
                    found,
                    parameters: &parameters,
                    warnings: &found.warnings,
                };
                let folder = Folder::begin(&self.out.join(&shape.id))?;
                let output = Output {
                    points,
                    #[cfg(feature = "meshes")]
                    surface: Surface::of(input),
                    report,
                };
                output.write_into(folder)?;
            }
            Write::Labels => {
                let mut archive = npy::ArchiveWriter::create(&self.result(shape))?;
                let labels = cloud.to_rows(&found.labels.of_point, -1);
                let instances = cloud.to_rows(&found.instances.of_point, -1);
                archive.member("labels", &[labels.len()], labels.iter().copied())?;
                archive.member("instances", &[instances.len()], instances.iter().copied())?;
                let list = &found.instances.list;
                archive.member("instance_labels", &[list.len()], list.iter().map(|i| i.label))?;
                archive.member("instance_confidences", &[list.len()], list.iter().map(|i| i.confidence))?;
                archive.finish()?;
            }
        }
        Ok(())
    }

    /// A small picture of the first view in the colours of the parts, for the contact sheet.
    fn thumbnail(&self, shape: &Shape, found: &Segmentation) -> Result<()> {
        const SIDE: usize = 160;
        if found.views.is_empty() {
            return Ok(());
        }
        let (map, side) = (found.views.pixel_to_point(0)?, found.views.side);
        let pixels = (0..SIDE * SIDE).flat_map(|i| {
            let (x, y) = (i % SIDE * side / SIDE, i / SIDE * side / SIDE);
            match usize::try_from(map[y * side + x]) {
                Ok(point) => palette::color(found.labels.of_point[point]),
                Err(_) => [255; 3],
            }
        });
        let path = sheet::thumbnail(self.out, &shape.id);
        staged::write_all(&path, &png::encode_rgb(&pixels.collect::<Vec<u8>>(), SIDE, SIDE))
    }
}

/// The steps of one run of a batch.
struct Run<'r> {
    batch: &'r Batch<'r>,
    /// Done and failed.
    outcomes: &'r Mutex<(usize, usize)>,
}

/// A cloud that was read.
struct Ready {
    file: File,
    input: Input,
    memory: u64,
}

/// A cloud that was segmented.
struct Made {
    file: File,
    input: Input,
    found: Segmentation,
    gpu: Option<Value>,
}

/// What the journal keeps of it.
struct Note {
    file: File,
    points: usize,
    files: BTreeMap<String, u64>,
    sha256: String,
    parts: Vec<Part>,
    warnings: Vec<String>,
    gpu: Option<Value>,
}

/// Boxes that a cloud may get, for the estimate of what it needs.
const BOXES: usize = 200;

impl<'r> Steps for Run<'r> {
    type Item = &'r Shape;
    type Read = Ready;
    type Found = Made;
    type Written = Note;

    fn read(&self, shape: &&'r Shape) -> Result<Ready> {
        self.batch.watcher.begun(shape)?;
        shape.parts()?;
        let worker = self.batch.workers[0];
        let options = worker.options(shape);
        if self.batch.write == Write::All {
            staged::check_apart(output::files(&self.batch.out.join(&shape.id)), &[&shape.cloud])?;
        }
        let file = File::of(&shape.cloud, None)?;
        let input = Input::read(&shape.cloud, worker.device(), options)?;
        let memory = options.memory_of(worker.device(), input.points.len(), BOXES);
        Ok(Ready { file, input, memory })
    }

    fn memory(&self, ready: &Ready) -> u64 {
        ready.memory
    }

    fn compute(&self, worker: usize, shape: &&'r Shape, ready: Ready) -> Result<Made> {
        let Ready { file, input, .. } = ready;
        let worker = self.batch.workers[worker];
        let found = worker.segment(shape, &input.cloud, &()).map_err(|e| input::named(&shape.cloud, e))?;
        Ok(Made { file, input, found, gpu: worker.device().describe() })
    }

    fn write(&self, shape: &&'r Shape, made: Made) -> Result<Note> {
        self.batch.write(shape, &made)?;
        let Made { file, input, found, gpu } = made;
        let part = |part: PartSummary| Part {
            name: part.name.to_string(),
            points: part.points,
            instances: part.instances,
            without_instance: part.without_instance,
        };
        let parts = found.summary()?.into_iter().map(part).collect();
        let (files, sha256) = (self.batch.files(shape), self.batch.sha256(shape)?);
        Ok(Note { file, points: input.cloud.len(), files, sha256, parts, warnings: found.warnings, gpu })
    }

    fn done(&self, shape: &&'r Shape, outcome: Result<Note>, seconds: Seconds) -> Result<()> {
        let (id, made_from) = (shape.id.clone(), self.batch.made_from(shape));
        let entry = match outcome {
            Ok(Note { file, points, files, sha256, parts, warnings, gpu }) => {
                lock(self.outcomes).0 += 1;
                Entry {
                    id,
                    state: State::Done,
                    input: Some(file),
                    made_from,
                    seconds,
                    files,
                    result_sha256: Some(sha256),
                    parts,
                    points,
                    warnings,
                    error: None,
                    gpu,
                }
            }
            Err(e) => {
                lock(self.outcomes).1 += 1;
                Entry { made_from, seconds, ..Entry::failed(id, e.to_string()) }
            }
        };
        lock(&self.batch.journal).add(entry.clone())?;
        self.batch.watcher.done(&entry);
        Ok(())
    }

    fn stops(&self) -> bool {
        self.batch.watcher.stops()
    }
}
