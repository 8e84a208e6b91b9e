//! `partstad batch`: many clouds, resumable.

use super::{
    Global,
    isolate::{self, Ward},
    progress,
    run::{self, ModelSettings, Segmenting},
    segment::names,
    settings::{in_words, read_json},
};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use partstad::{
    Device, Error, Parts, Pipeline, Result,
    batch::{
        Batch, Segmenter, Shape, Totals, Watcher, Worker, Write, flow,
        journal::{Entry, Journal},
        list, sheet,
    },
    input::Input,
    io::{hash, path_text, walk},
    memory,
    models::STAND_IN,
    options::{Options, alike},
    output,
    segmentation::counted,
    study::dataset::is_label,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Component, Path, PathBuf},
};

/// Segment many clouds, and go on where it stopped
///
/// Reads, segments and writes at the same time. Every result is written as a whole. DIR/journal.jsonl has a line for each
/// outcome: started again, only what is missing, failed or changed is done. DIR/index.html shows all, failures first.
/// One bad cloud never stops the others; the exit code is 1 if one failed. --device takes several: cuda:0,cuda:1 or cuda:all.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad batch scans --parts door,handle -o results
  partstad batch 'scans/**/*.ply' --categories categories.json --device cuda:all -o results
  partstad batch --manifest shapes.jsonl --write labels --shard 3/8 -o results
  partstad batch things --unnamed -o results

A manifest has a line for each cloud, {\"id\": \"a\", \"cloud\": \"a.ply\", \"parts\": [\"leg\"]},
or is CSV with the columns id, cloud, parts, category, weights. Instead of parts a line may
name a category of --categories, a JSON file like
{\"Chair\": [\"leg\", \"seat\"], \"Mug\": {\"parts\": [\"handle\"], \"weights\": \"Mug.safetensors\"}}")]
pub struct BatchCommand {
    /// Clouds, directories of clouds, or patterns like 'scans/**/*.ply'
    #[arg(required_unless_present = "manifest", value_name = "CLOUD")]
    inputs: Vec<PathBuf>,
    /// List of clouds: .jsonl or .csv; its paths are relative to its directory
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// What to look for, separated by commas or as a caption, where nothing else says it
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    parts: Vec<String>,
    /// Find parts without knowing their names, as `partstad segment --unnamed` does
    #[arg(long, conflicts_with_all = ["parts", "categories", "score", "template", "instances"])]
    unnamed: bool,
    /// Part names, and learned weights if there are some, by category: JSON. A cloud's category is the nearest directory of that
    /// name that it lies in, if no manifest says it
    #[arg(long, value_name = "FILE")]
    categories: Option<PathBuf>,
    /// What to write of each cloud
    #[arg(long, value_enum, default_value = "all")]
    write: What,
    /// Only the clouds i, i + n, i + 2 n ... of the list: i/n, i from 1. Each shard has a journal of its own
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Clouds that are segmented at the same time on each device
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    overlap: u8,
    /// Run in a process of its own: a cloud that ends it, for example by running out of memory, fails, and the others go on
    #[arg(long)]
    isolate: bool,
    /// Directory with manifest.json and ONNX models [default: the small stand-ins inside this program]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    model_settings: ModelSettings,
    #[command(flatten)]
    segmenting: Segmenting,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// A directory with the files of `partstad segment`
    All,
    /// One .npz: labels and instances of every row of the file, label and confidence of every instance
    Labels,
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parsed {
        Some((i, n)) if (1..=n).contains(&i) => Ok((i, n)),
        _ => Err("give i/n, i from 1 to n".into()),
    }
}

/// A category of --categories: an object, or a list of its parts alone.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct Category {
    parts: Parts,
    weights: Option<PathBuf>,
}

impl TryFrom<Value> for Category {
    type Error = String;

    fn try_from(value: Value) -> Result<Category, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            parts: Parts,
            #[serde(default)]
            weights: Option<PathBuf>,
        }
        let full = if value.is_object() { value } else { json!({ "parts": value }) };
        let Full { parts, weights } = serde_json::from_value(full).map_err(|e| e.to_string())?;
        Ok(Category { parts, weights })
    }
}

/// What --categories says, each category once.
struct Categories(BTreeMap<String, Category>);

impl<'de> Deserialize<'de> for Categories {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Categories, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Categories;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object, {...}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Categories, A::Error> {
                let mut categories = BTreeMap::new();
                while let Some((name, category)) = entries.next_entry::<String, Category>()? {
                    if categories.insert(name.clone(), category).is_some() {
                        return Err(de::Error::custom(format!("category {name:?} comes twice")));
                    }
                }
                Ok(Categories(categories))
            }
        }
        from.deserialize_map(Each)
    }
}

/// A line of a manifest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    cloud: PathBuf,
    #[serde(default)]
    parts: Option<Names>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default)]
    weights: Option<PathBuf>,
    /// Options of its own, over those of the batch.
    #[serde(default)]
    options: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Text(String),
}

impl BatchCommand {
    pub fn run(&self, global: &Global) -> Result<()> {
        let options = self.segmenting.options()?;
        let mut shapes = self.shapes(&options)?;
        list::check(&shapes)?;
        let journal = match self.shard {
            Some((i, n)) => {
                shapes = list::shard(shapes, i, n);
                format!("journal-{i}-of-{n}.jsonl")
            }
            None => "journal.jsonl".into(),
        };
        let ward = Ward::of_this_process()?;
        if ward.is_none() && self.isolate {
            let tell = |entry: &Entry| Lines::tell(global, &ProgressBar::hidden(), entry);
            let totals = isolate::supervise(shapes.len(), &self.out.join(&journal), tell)?;
            let entries = Journal::open(&self.out.join(&journal))?.all();
            return self.report(global, &totals, &entries, &journal);
        }
        if let Some(ward) = &ward {
            shapes.retain(|shape| ward.takes(&shape.id));
        }
        let workers = self.workers(global, &options)?;
        // Later less is free, because clouds are under way.
        let memory = options.memory.or_else(memory::free);
        let workers: Vec<Worker> = workers.into_iter().map(|worker| worker.with_memory(memory)).collect();
        for own in shapes.iter_mut().filter_map(|shape| shape.options.as_mut()) {
            own.memory = own.memory.or(memory);
        }
        let stands_in = workers[0].pipeline().models().is_some_and(|models| models.manifest.stand_in);
        let mut parameters = output::parameters("batch", workers[0].pipeline());
        parameters["models"] = workers[0].made_from();
        let workers: Vec<&dyn Segmenter> = workers.iter().map(|worker| worker as &dyn Segmenter).collect();
        let bar = progress::objects("batch", shapes.len());
        let watcher = Lines { bar: &bar, global, ward: ward.as_ref() };
        let batch = Batch::begin(&workers, &self.out, &journal, self.write(), parameters, &watcher)?;
        let memory = memory.unwrap_or(u64::MAX);
        let flow = flow::Options { readers: 2, writers: 2, memory, ..flow::Options::default() };
        let totals = batch.run(&shapes, &flow)?;
        bar.finish_and_clear();
        if stands_in && ward.as_ref().is_none_or(Ward::is_whole) {
            tracing::warn!("{STAND_IN}");
        }
        match ward {
            Some(_) => Ok(()),
            None => self.report(global, &totals, &batch.entries(), &journal),
        }
    }

    fn write(&self) -> Write {
        match self.write {
            What::All => Write::All,
            What::Labels => Write::Labels,
        }
    }

    /// Writes the page of all outcomes, and says how many there are.
    fn report(&self, global: &Global, totals: &Totals, entries: &[Entry], journal: &str) -> Result<()> {
        sheet::write(&self.out, entries, self.write() == Write::All)?;
        let page = self.out.join("index.html");
        let text = format!(
            "{} segmented, {} there already, {} failed; look at {}",
            counted(totals.done, "cloud", "clouds"),
            totals.kept,
            totals.failed,
            page.display()
        );
        global.report(json!({ "totals": totals, "out": path_text(&self.out), "journal": journal }), &text)?;
        match totals.failed {
            0 => Ok(()),
            failed => Err(Error::invalid(format!(
                "{failed} of {} clouds failed",
                totals.done + totals.kept + failed
            ))),
        }
    }

    /// One a device and overlap.
    fn workers(&self, global: &Global, options: &Options) -> Result<Vec<Worker>> {
        let mut workers = vec![];
        for device in devices(&self.segmenting.settings.device)? {
            let load = |device: &Device| -> Result<Pipeline> {
                let folder = self.models.as_deref();
                let (models, _) =
                    self.model_settings.load(global, &self.segmenting.settings, device, folder)?;
                if self.unnamed {
                    run::load_points(&models, folder)?;
                }
                Ok(Pipeline::new(device.clone(), options.clone()).with_models(models))
            };
            let first = load(&device)?;
            for _ in 1..self.overlap {
                workers.push(Worker::new(match &device {
                    #[cfg(feature = "cuda")]
                    Device::Cuda(gpu) => load(&Device::Cuda(gpu.fork()?))?,
                    _ => first.clone(),
                }));
            }
            workers.push(Worker::new(first));
        }
        Ok(workers)
    }

    fn shapes(&self, options: &Options) -> Result<Vec<Shape>> {
        let Categories(categories) = match &self.categories {
            Some(path) => read_json(path, "categories with their part names")?,
            None => Categories(BTreeMap::new()),
        };
        let lines = self.lines()?;
        let base = self.categories.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let general = if self.parts.is_empty() { None } else { Some(run::parts(&self.parts)) };
        let shape = |(id, line): (String, Line)| {
            let Line { cloud, parts, category, weights, options: own, .. } = line;
            let category = match category {
                Some(name) => {
                    let why = format!("its category {name:?} is not in the file of --categories");
                    categories.get(&name).map(Some).ok_or(why)
                }
                None => Ok(cloud.iter().rev().skip(1).find_map(|step| categories.get(step.to_str()?))),
            };
            let own_parts = parts.map(|parts| {
                let parts = match &parts {
                    Names::List(names) => Parts::new(names),
                    Names::Text(text) => Parts::listed(text),
                };
                parts.map_err(|e| e.to_string())
            });
            let own = own.map(|own| over(options, own)).transpose();
            let asked = || -> Result<_, String> {
                if self.unnamed {
                    return match own_parts.is_some() || weights.is_some() {
                        true => Err("its line has parts or weights, which --unnamed does not take; remove them from the \
                                     line, or leave out --unnamed"
                            .into()),
                        false => Ok((None, None, own?)),
                    };
                }
                let (of_category, learned) = match category? {
                    None => (None, None),
                    Some(Category { parts, weights }) => {
                        (Some(parts), weights.as_ref().map(|path| base.join(path)))
                    }
                };
                let nobody =
                    "nobody says what to look for; give --parts, its category in --categories, or --unnamed";
                let parts = match own_parts {
                    Some(own) => own?,
                    None => of_category.or(general.as_ref()).ok_or(nobody)?.clone(),
                };
                Ok((Some(parts), learned, own?))
            };
            let named = |why: String| Error::format(&cloud, why).to_string();
            match asked() {
                Ok((parts, learned, own)) => {
                    let (weights, options) = (weights.or(learned), own.map(Box::new));
                    Shape { id, cloud, parts: Ok(parts), weights, options }
                }
                Err(why) => Shape { id, parts: Err(named(why)), cloud, weights, options: None },
            }
        };
        let shapes: Vec<Shape> = lines.into_iter().map(shape).collect();
        match shapes.iter().any(|shape| shape.parts.is_ok()) {
            true => Ok(shapes),
            false => Err(Error::invalid(shapes[0].parts().unwrap_err().to_string())),
        }
    }

    /// The clouds with their names.
    fn lines(&self) -> Result<Vec<(String, Line)>> {
        let mut lines = match &self.manifest {
            Some(path) => manifest(path)?,
            None => vec![],
        };
        let listed = lines.len();
        for input in &self.inputs {
            lines.extend(clouds(input, &self.out)?.into_iter().map(|(id, cloud)| Line {
                id,
                cloud,
                parts: None,
                category: None,
                weights: None,
                options: None,
            }));
        }
        let mut ids = ids(&lines)?;
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            // Names within several directories may be the same.
            lines[listed..].iter_mut().for_each(|line| line.id = None);
            ids = self::ids(&lines)?;
        }
        match lines.is_empty() {
            true => Err(Error::invalid("no cloud to segment")),
            false => Ok(ids.into_iter().zip(lines).collect()),
        }
    }
}

/// What each line's result is called.
fn ids(lines: &[Line]) -> Result<Vec<String>> {
    let unnamed = lines.iter().filter(|line| line.id.is_none()).map(|line| line.cloud.clone());
    let mut names = names(&unnamed.collect::<Vec<_>>())?.into_iter();
    let id = |line: &Line| line.id.clone().unwrap_or_else(|| id_of(&names.next().unwrap_or_default()));
    Ok(lines.iter().map(id).collect())
}

/// A path as an id; one that is no UTF-8, or has characters that no id may have, is told from those that look alike.
fn id_of(path: &Path) -> String {
    let text = path_text(path).replace('\\', "/").replace(char::is_control, "_");
    match path.to_str() {
        Some(same) if same.replace('\\', "/") == text => text,
        _ => format!("{text}-{}", &hash::sha256(path.as_os_str().as_encoded_bytes())[..8]),
    }
}

/// The devices that a list names: cpu, auto, cuda:0,cuda:1 or cuda:all.
fn devices(text: &str) -> Result<Vec<Device>> {
    #[cfg(feature = "cuda")]
    if text == "cuda:all" {
        let count = partstad::device::gpu::device_count()?;
        return (0..count.max(1)).map(Device::cuda).collect();
    }
    text.split(',').map(|name| name.trim().parse()).collect()
}

/// Options with some of their own.
fn over(options: &Options, own: Value) -> Result<Options, String> {
    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                // Another choice has other fields.
                if from.get("from").is_some_and(|choice| into.get("from") != Some(choice)) {
                    into.clear();
                }
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }
    let mut all = json!(options);
    alike(&own, &all, "").map_err(|e| format!("options of its own: {e}"))?;
    merge(&mut all, own);
    let own: Options =
        serde_path_to_error::deserialize(all).map_err(|e| format!("options of its own: {}", in_words(e)))?;
    own.check().map_err(|e| format!("options of its own: {e}"))?;
    Ok(own)
}

/// The clouds that an argument names, but for what lies in `out`, results of an earlier run. Those of a directory are named
/// by their paths from there on, whatever else is there.
fn clouds(input: &Path, out: &Path) -> Result<Vec<(Option<String>, PathBuf)>> {
    let nothing = |what: &str| Error::invalid(format!("{}: {what}", input.display()));
    let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    let out = absolute(out);
    let inside =
        |path: &Path| out.as_ref().zip(absolute(path)).is_some_and(|(out, path)| path.starts_with(out));
    let only_inside =
        "its only clouds lie in the directory of -o, where results are; choose another for these";
    if input.is_dir() {
        let is_cloud = |file: &PathBuf| {
            let path = input.join(file);
            Input::is_readable(file) && !is_label(file) && path.is_file() && !is_result(&path)
        };
        let (within, files): (Vec<PathBuf>, Vec<PathBuf>) =
            walk::files(input)?.into_iter().filter(is_cloud).partition(|file| inside(&input.join(file)));
        let files: Vec<_> = files.into_iter().map(|file| (input.join(&file), file)).collect();
        return match (&files[..], &within[..]) {
            ([], []) => Err(nothing("no cloud in this directory")),
            ([], _) => Err(nothing(only_inside)),
            _ => Ok(named(files)),
        };
    }
    let pattern = input.to_str().filter(|text| !input.exists() && text.contains(['*', '?', '[']));
    let Some(pattern) = pattern else { return Ok(vec![(None, input.to_path_buf())]) };
    // Where it begins to be one; found paths do not begin with `.` either.
    let steps = input.components().filter(|step| *step != Component::CurDir);
    let is_fixed = |step: &Component| !step.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let fixed: PathBuf = steps.take_while(is_fixed).collect();
    let found = glob::glob(pattern).map_err(|e| nothing(&format!("no pattern of paths: {e}")))?;
    let (mut within, mut files) = (false, vec![]);
    for path in found {
        let path = path.map_err(|e| nothing(&e.to_string()))?;
        let file = path.strip_prefix(&fixed).unwrap_or(&path).to_path_buf();
        let hidden = file.iter().any(|step| step.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() && !is_result(&path) {
            match inside(&path) {
                true => within = true,
                false => files.push((path, file)),
            }
        }
    }
    match files.is_empty() {
        true if within => Err(nothing(only_inside)),
        true => Err(nothing("no file that is not hidden is of this pattern")),
        false => Ok(named(files)),
    }
}

/// Where results lie whose names the batch itself has.
const APART: &str = "clouds";

/// Files, each with its path from some folder on, by which its result is named: without the extension, unless others are or
/// lie where that leads, or the batch itself.
fn named(files: Vec<(PathBuf, PathBuf)>) -> Vec<(Option<String>, PathBuf)> {
    let stem = |file: &Path| file.with_extension("");
    let mut taken: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for (_, file) in &files {
        file.ancestors().skip(1).for_each(|folder| *taken.entry(folder.into()).or_default() += 1);
        *taken.entry(stem(file)).or_default() += 1;
    }
    let name = |(path, file): (PathBuf, PathBuf)| {
        let short = if taken[&stem(&file)] == 1 { stem(&file) } else { file.clone() };
        let apart = Path::new(APART).join(&short);
        let name = [short, file].into_iter().find(|name| !list::is_own(&id_of(name))).unwrap_or(apart);
        (Some(id_of(&name)), path)
    };
    files.into_iter().map(name).collect()
}

/// Whether a file is part of a result that a command has written.
fn is_result(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new(""));
    folder.join("run.json").is_file() && output::files(folder).any(|file| file == path)
}

/// The lines of a manifest, files from its directory on.
fn manifest(path: &Path) -> Result<Vec<Line>> {
    let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let text = text.trim_start_matches('\u{feff}');
    let unfit = |number: usize, why: String| Error::format(path, format!("line {number}: {why}"));
    let mut lines: Vec<Line> = vec![];
    if is_csv {
        if text.lines().next().is_some_and(|names| names.contains(';')) {
            return Err(unfit(1, "columns are parted by semicolons; part them by commas".into()));
        }
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let mut names = BTreeSet::new();
        let columns = reader.headers().map_err(|e| unfit(1, e.to_string()))?;
        if let Some(twice) = columns.iter().find(|&name| !name.is_empty() && !names.insert(name)) {
            return Err(unfit(1, format!("column {twice:?} comes twice")));
        }
        for (i, row) in reader.deserialize::<BTreeMap<String, String>>().enumerate() {
            let row = row.map_err(|e| unfit(i + 2, e.to_string()))?;
            let filled: BTreeMap<&String, &String> =
                row.iter().filter(|(_, value)| !value.is_empty()).collect();
            lines.push(serde_json::from_value(json!(filled)).map_err(|e| unfit(i + 2, e.to_string()))?);
        }
    } else {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            lines.push(serde_json::from_str(line).map_err(|e| unfit(i + 1, e.to_string()))?);
        }
    }
    let base = path.parent().unwrap_or(Path::new(""));
    for line in &mut lines {
        line.cloud = base.join(&line.cloud);
        line.weights = line.weights.take().map(|weights| base.join(weights));
    }
    Ok(lines)
}

/// Tells of each outcome.
struct Lines<'a> {
    bar: &'a ProgressBar,
    global: &'a Global,
    ward: Option<&'a Ward>,
}

impl Lines<'_> {
    fn tell(global: &Global, bar: &ProgressBar, entry: &Entry) {
        if global.json {
            // Whoever reads the lines may go; the journal has them.
            let _ = bar.suspend(|| global.report(json!(entry), ""));
        }
        if let Some(error) = &entry.error {
            progress::complain(bar, &format!("{}: {error}", entry.id));
        }
    }
}

impl Watcher for Lines<'_> {
    fn begun(&self, shape: &Shape) -> Result<()> {
        self.ward.map_or(Ok(()), |ward| ward.begun(&shape.id))
    }

    fn done(&self, entry: &Entry) {
        if let Some(ward) = self.ward {
            ward.ended(entry);
        }
        Lines::tell(self.global, self.bar, entry);
        self.bar.set_message(entry.id.clone());
        self.bar.inc(1);
    }
}
