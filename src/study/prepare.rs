//! Labelled shapes on their way to training and evaluation: from cloud to boxes and masks, and the samples that training
//! reads. What is costly is kept in a folder and made again only if something that it depends on has changed.
//!
//! The folder is laid out like the data:
//! ```text
//! <split>/<Category>/<id>.safetensors          the sample, the boxes' masks voting
//! no-sam/<split>/<Category>/<id>.safetensors   the sample, the boxes themselves voting
//! shapes/<split>/<Category>/<id>/              superpoints.npy, pred.json, features.npy, masks.npz, regions.npz,
//!                                              made-from.json
//! ```
//! Training reads the samples alone; `shapes` saves time when something changes, and may be deleted.

use crate::parts::Parts;
use crate::{
    device::Device,
    error::{Error, Result},
    input,
    io::{hash, npy, path_text, staged},
    lifting::{Scene, Voters},
    observer::Progress,
    options::Options,
    sam3d::Regions,
    stages::{
        boxes::{Boxes, MASKS_UNREAD},
        cloud::Cloud,
        instances::Merge,
        masks::Masks,
        superpoints::Superpoints,
        views::Views,
    },
    study::{
        dataset::{Object, Truth},
        methods::Weighing,
        sample::Sample,
        targets::Targets,
    },
};
#[cfg(feature = "ort")]
use crate::{
    lifting::{doubts, predict},
    models::{Models, NO_FEATURES, STAND_IN, Segmenter},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

/// Part of every hash: to be raised when a stage starts to give other results from the same input.
const VERSION: u32 = 2;

/// Where the 2D predictions come from.
pub enum Predictor {
    /// A detector and, if there is one, a segmenter.
    #[cfg(feature = "ort")]
    Models(Box<Models>),
    /// Files of any detector: `<folder>/<split>/<Category>/<id>/` with `pred.json`, `features.npy` (or `.npz`) and
    /// `masks.npz`, as `partstad lift` reads them. Without masks the boxes vote; features are needed for training only. SAM3D
    /// takes `regions.npz` or `regions.npy` ([`Regions::read`]).
    Folder(PathBuf),
}

impl fmt::Debug for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.description())
    }
}

impl fmt::Display for Predictor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => write!(f, "models {}", models.manifest.name),
            Predictor::Folder(folder) => write!(f, "files in {}", folder.display()),
        }
    }
}

impl Predictor {
    /// For records.
    pub fn description(&self) -> Value {
        match self {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                let manifest = &models.manifest;
                json!({ "models": manifest.name, "stand_in": manifest.stand_in, "files": manifest.files })
            }
            Predictor::Folder(folder) => json!({ "folder": path_text(folder) }),
        }
    }

    /// What to know of the predictions.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                let manifest = &models.manifest;
                let known = [(manifest.stand_in, STAND_IN), (manifest.lacks_features(), NO_FEATURES)];
                known.iter().filter(|(is, _)| *is).map(|(_, words)| words.to_string()).collect()
            }
            Predictor::Folder(_) => vec![],
        }
    }
}

/// A labelled shape, ready for any kind of vote.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The points and what was found in their views.
    pub scene: Scene<'static>,
    /// What is true of them, which are not always the rows of the file ([`Cloud::fit`]).
    pub truth: Truth,
}

/// What [`Preparer::samples`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// The samples' files.
    #[serde(serialize_with = "crate::io::serialize_paths")]
    pub samples: Vec<PathBuf>,
    /// Whether they were there already, made from the same things.
    pub kept: bool,
    /// Their size in bytes.
    pub bytes: u64,
    /// What to know of the cloud; nothing if they were kept.
    pub warnings: Vec<String>,
}

/// Makes shapes and samples; models, options and device are set up once.
#[derive(Debug)]
pub struct Preparer {
    device: Device,
    options: Options,
    predictor: Predictor,
    folder: Option<PathBuf>,
}

/// Where the samples of one kind of voters lie within a folder of prepared shapes.
pub(super) fn folder(voters: Voters) -> &'static str {
    match voters {
        Voters::Masks => "",
        Voters::Boxes => "no-sam",
    }
}

/// Hashes of what things are made from.
struct Keys {
    superpoints: String,
    /// Only models' predictions are kept.
    #[cfg_attr(not(feature = "ort"), allow(dead_code))]
    predictions: String,
    samples: [String; 2],
}

/// The hashes of what a folder holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct MadeFrom {
    superpoints: String,
    predictions: String,
    regions: String,
}

impl Preparer {
    /// Keeps what it makes in `folder`, if one is given.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is out of range.
    pub fn new(
        device: Device,
        options: Options,
        predictor: Predictor,
        folder: Option<PathBuf>,
    ) -> Result<Preparer> {
        options.check()?;
        Ok(Preparer { device, options, predictor, folder })
    }

    /// The device it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Tells instances apart by the paper's rule, and weighs as the paper does where nothing is learned.
    pub fn as_in_paper(mut self) -> Preparer {
        self.options.instances.merge = Merge::Touching;
        self.options.weights = Weighing::Constant.plain(self.options.weights);
        self
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the 2D predictions come from.
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// What a reader must know of the predictions for these objects before believing anything, names that the models can
    /// hardly find among it: once for each category. `parts`: the names of every category's parts.
    pub fn warnings(&self, objects: &[Object], parts: &BTreeMap<String, Parts>) -> Vec<String> {
        let categories: BTreeSet<&String> = objects.iter().map(|object| &object.category).collect();
        let doubts = |category: &String| {
            let doubts = parts.get(category).map_or(vec![], |parts| self.doubts(category, parts));
            doubts.into_iter().map(|doubt| format!("{category}: {doubt}")).collect::<Vec<_>>()
        };
        self.predictor.warnings().into_iter().chain(categories.into_iter().flat_map(doubts)).collect()
    }

    #[cfg_attr(not(feature = "ort"), allow(unused_variables))]
    fn doubts(&self, category: &str, parts: &Parts) -> Vec<String> {
        match &self.predictor {
            // Names that cannot be asked for fail with every object of theirs.
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                doubts(models, parts, &self.options.boxes.template.of(category)).unwrap_or_default()
            }
            Predictor::Folder(_) => vec![],
        }
    }

    /// Reads an object and finds its boxes and masks. `parts`: the names of its category's L parts.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for the object's files and those kept; [`Error::Model`] if a model fails.
    pub fn shape(&self, object: &Object, parts: &Parts) -> Result<Shape> {
        self.make(object, parts, &self.keys(object, parts)?)
    }

    /// Whether there are, or can be made, regions of an object's views.
    pub fn has_regions(&self, object: &Object) -> bool {
        match &self.predictor {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => models.segmenter().is_some_and(Segmenter::answers_points),
            Predictor::Folder(folder) => regions_of(&folder.join(object.place())).exists(),
        }
    }

    /// All masks of an object's views, whatever they show.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the models answer no points, [`Error::Model`] if they fail; [`Error::Io`] and [`Error::Format`] for
    /// files.
    pub fn regions(&self, object: &Object, views: &Views) -> Result<Regions> {
        match &self.predictor {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                let Some(segmenter) = models.segmenter() else {
                    return Err(Error::invalid("sam3d: models without a segmenter; give some with SAM"));
                };
                let make = || Regions::everything(&self.device, views, segmenter, &self.options.sam3d);
                let Some(mut kept) = self.kept(object)? else { return make() };
                let crate::sam3d::Options { top, whole, masks, .. } = &self.options.sam3d;
                let cloud = hash::sha256_of_file(&object.cloud)?;
                let Options { cloud: reading, views: of_views, .. } = &self.options;
                let all = json!([VERSION, cloud, reading, of_views, top, whole, masks, models.manifest]);
                let (key, path) = (hash::sha256(all.to_string().as_bytes()), regions_of(&kept.folder));
                if kept.made_from.regions == key {
                    return Regions::read(&path, views);
                }
                let regions = make()?;
                kept.remake(|made_from| &mut made_from.regions, &key, |_| regions.write(&path))?;
                Ok(regions)
            }
            Predictor::Folder(folder) => Regions::read(&regions_of(&folder.join(object.place())), views),
        }
    }

    fn kept(&self, object: &Object) -> Result<Option<Kept>> {
        let folder = self.folder.as_ref().map(|folder| folder.join("shapes").join(object.place()));
        folder.map(Kept::open).transpose()
    }

    /// Writes the samples of an object, those with masks and those without, unless they are there already.
    ///
    /// # Errors
    /// As [`Preparer::shape`]; [`Error::Invalid`] without a folder to write to.
    pub fn samples(&self, object: &Object, parts: &Parts) -> Result<Prepared> {
        let Some(folder) = &self.folder else {
            return Err(Error::invalid("prepare: no folder to write samples to"));
        };
        let path = |voters: Voters| {
            folder.join(self::folder(voters)).join(object.place()).with_added_extension("safetensors")
        };
        let keys = self.keys(object, parts)?;
        let there = |voters| Sample::source(&path(voters)).as_ref() == Some(&keys.samples[voters as usize]);
        let kept = there(Voters::Boxes) && (there(Voters::Masks) || !self.has_masks(object));
        let mut warnings = vec![];
        if !kept {
            // What was made from other things does not stay where making it anew fails.
            Voters::ALL.map(path).iter().try_for_each(|path| remove(path))?;
            let shape = self.make(object, parts, &keys)?;
            let Shape { scene, truth } = &shape;
            warnings.clone_from(&scene.cloud.warnings);
            for voters in Voters::ALL {
                let path = path(voters);
                if !scene.voters().contains(&voters) {
                    continue;
                }
                let gathered = scene.gather(
                    &self.device,
                    voters,
                    parts.len(),
                    &self.options,
                    &mut Progress::default(),
                )?;
                let targets = Targets::count(&gathered.superpoints, &truth.semantic, parts.len())?;
                let mut sample =
                    Sample::gather(parts, &scene.views, &scene.boxes, &gathered.memberships, &targets)?;
                sample.source = keys.samples[voters as usize].clone();
                sample.write(&path)?;
            }
        }
        let samples: Vec<PathBuf> = Voters::ALL.map(path).into_iter().filter(|path| path.exists()).collect();
        let bytes = samples.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| file.len()).sum();
        Ok(Prepared { samples, kept, bytes, warnings })
    }

    /// Without a segmenter there is no sample with masks.
    fn has_masks(&self, object: &Object) -> bool {
        match &self.predictor {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => models.segmenter().is_some() || models.concepts().is_some(),
            Predictor::Folder(folder) => {
                let [.., masks] = files(&folder.join(object.place()));
                masks.is_some()
            }
        }
    }

    fn keys(&self, object: &Object, parts: &Parts) -> Result<Keys> {
        let key = |what: Value| hash::sha256(what.to_string().as_bytes());
        let cloud = hash::sha256_of_file(&object.cloud)?;
        let labels = object.labels.hash()?;
        let Options { cloud: reading, superpoints, views, memberships, evidence, .. } = &self.options;
        let superpoints = key(json!([VERSION, cloud, reading, superpoints]));
        let predictions = match &self.predictor {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                let asked = self.options.boxes.template.of(&object.category).fill(parts)?;
                let threshold = self.options.boxes.threshold;
                key(json!([VERSION, cloud, reading, views, asked, threshold, models.manifest]))
            }
            Predictor::Folder(folder) => {
                let files = files(&folder.join(object.place()));
                let hashes = files.iter().flatten().map(|path| hash::sha256_of_file(path));
                key(json!([VERSION, hashes.collect::<Result<Vec<_>>>()?]))
            }
        };
        let sample = |voters| {
            let all = json!([VERSION, superpoints, predictions, labels, parts, views, memberships, voters]);
            let cut = voters == Voters::Masks && evidence.cuts();
            key(if cut { json!([all, evidence]) } else { all })
        };
        let samples = Voters::ALL.map(sample);
        Ok(Keys { superpoints, predictions, samples })
    }

    fn make(&self, object: &Object, parts: &Parts, keys: &Keys) -> Result<Shape> {
        let (points, truth) = object.read(parts.len())?;
        let named = |e: Error| Error::format(&object.cloud, e.to_string());
        self.options
            .check_memory(&self.device, points.len(), 0)
            .map_err(|e| input::named(&object.cloud, e))?;
        // As `segment` reads it, so that what is learned and measured here is true there.
        let mut cloud = Cloud::fit(&points, &self.options.cloud).map_err(named)?;
        let of_points = |of_rows: &[i32]| cloud.to_points(of_rows).into_owned();
        let truth = Truth { semantic: of_points(&truth.semantic), instance: of_points(&truth.instance) };
        let mut kept = self.kept(object)?;
        let superpoints = self.superpoints(&cloud, kept.as_mut(), &keys.superpoints)?;
        let views = Views::render(&self.device, &cloud, &self.options.views)?;
        let (boxes, masks) = match &self.predictor {
            #[cfg(feature = "ort")]
            Predictor::Models(models) => {
                self.detect(models, &views, (&object.category, parts), kept.as_mut(), &keys.predictions)?
            }
            Predictor::Folder(folder) => read_predictions(&folder.join(object.place()), &views, parts)?,
        };
        if boxes.masks_unread && masks == Masks::Boxes {
            cloud.warnings.push(MASKS_UNREAD.into());
        }
        Ok(Shape { scene: Scene { cloud: Cow::Owned(cloud), superpoints, views, boxes, masks }, truth })
    }

    fn superpoints(&self, cloud: &Cloud, kept: Option<&mut Kept>, key: &str) -> Result<Superpoints> {
        let partition = || Superpoints::partition(&self.device, cloud, &self.options.superpoints);
        let Some(kept) = kept else { return partition() };
        let path = kept.folder.join("superpoints.npy");
        if kept.made_from.superpoints == key {
            return Superpoints::load(&path, cloud);
        }
        let superpoints = partition()?;
        kept.remake(|made_from| &mut made_from.superpoints, key, |_| superpoints.save(&path, cloud))?;
        Ok(superpoints)
    }

    #[cfg(feature = "ort")]
    fn detect(
        &self,
        models: &Models,
        views: &Views,
        (category, parts): (&str, &Parts),
        kept: Option<&mut Kept>,
        key: &str,
    ) -> Result<(Boxes, Masks)> {
        if let Some(kept) = &kept
            && kept.made_from.predictions == key
        {
            return read_predictions(&kept.folder, views, parts);
        }
        let mut options = self.options.clone();
        options.boxes.template = options.boxes.template.of(category);
        let (boxes, masks) = predict(models, views, parts, &options, &mut Progress::default())?;
        if let Some(kept) = kept {
            let write = |folder: &Path| write_predictions(folder, &boxes, &masks, views.side);
            kept.remake(|made_from| &mut made_from.predictions, key, write)?;
        }
        Ok((boxes, masks))
    }
}

/// What was noticed of several objects, each thing once, with the numbers of the first: "test/Mug/7 and 2 more: ...".
pub fn noticed<'a>(objects: impl IntoIterator<Item = (&'a Path, &'a [String])>) -> Vec<String> {
    let mut found: Vec<(&Path, &String, usize)> = vec![];
    let bare = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    for (place, warning) in objects.into_iter().flat_map(|(place, all)| all.iter().map(move |w| (place, w))) {
        match found.iter_mut().find(|(_, known, _)| bare(known) == bare(warning)) {
            Some((.., more)) => *more += 1,
            None => found.push((place, warning, 0)),
        }
    }
    let line = |(place, warning, more): (&Path, &String, usize)| match more {
        0 => format!("{}: {warning}", place.display()),
        _ => format!("{} and {more} more: {warning}", place.display()),
    };
    found.into_iter().map(line).collect()
}

/// The samples of a category in a folder of prepared shapes, by name; none without its folder.
///
/// # Errors
/// Those of [`Sample::read`].
pub fn samples(folder: &Path, split: &str, category: &str) -> Result<Vec<Sample>> {
    sample_files(folder, split, category)?.iter().map(|path| Sample::read(path)).collect()
}

pub(super) fn sample_files(folder: &Path, split: &str, category: &str) -> Result<Vec<PathBuf>> {
    let folder = folder.join(split).join(category);
    if !folder.exists() {
        return Ok(vec![]);
    }
    let mut paths = entries(&folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    Ok(paths)
}

/// The folders that may be splits in a folder of prepared shapes; none without it.
pub(super) fn splits(folder: &Path) -> Result<Vec<String>> {
    if folder.is_dir() { folders(folder) } else { Ok(vec![]) }
}

/// The categories of a split in a folder of prepared shapes.
///
/// # Errors
/// [`Error::Invalid`] if there is no such folder, [`Error::Io`] if it cannot be read.
pub fn categories(folder: &Path, split: &str) -> Result<Vec<String>> {
    let all = folder.join(split);
    if !all.is_dir() {
        let message = format!("{}: no prepared shapes; `partstad prepare` makes them", all.display());
        return Err(Error::invalid(message));
    }
    folders(&all)
}

fn folders(folder: &Path) -> Result<Vec<String>> {
    let paths = entries(folder)?.into_iter().filter(|path| path.is_dir());
    Ok(paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
}

/// What a folder holds, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(Error::io(folder))?;
    paths.sort();
    Ok(paths)
}

/// A folder of what is known of one shape, and what that was made from.
struct Kept {
    folder: PathBuf,
    made_from: MadeFrom,
}

impl Kept {
    fn open(folder: PathBuf) -> Result<Kept> {
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let text = fs::read(folder.join("made-from.json")).unwrap_or_default();
        Ok(Kept { folder, made_from: serde_json::from_slice(&text).unwrap_or_default() })
    }

    /// Writes files that a key belongs to. Until they are whole they have none, whenever one stops.
    fn remake(
        &mut self,
        which: impl Fn(&mut MadeFrom) -> &mut String,
        key: &str,
        write: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        which(&mut self.made_from).clear();
        self.note()?;
        write(&self.folder)?;
        *which(&mut self.made_from) = key.into();
        self.note()
    }

    fn note(&self) -> Result<()> {
        staged::write_all(&self.folder.join("made-from.json"), json!(self.made_from).to_string().as_bytes())
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// Boxes, features and masks of one shape: the files that there are. Boxes come first, there or not.
fn files(folder: &Path) -> [Option<PathBuf>; 3] {
    let first = |names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.exists());
    [
        Some(folder.join("pred.json")),
        first(&["features.npy", "features.npz"]),
        first(&["masks.npz", "masks.npy"]),
    ]
}

fn regions_of(folder: &Path) -> PathBuf {
    let array = folder.join("regions.npy");
    if array.exists() { array } else { folder.join("regions.npz") }
}

fn read_predictions(folder: &Path, views: &Views, parts: &Parts) -> Result<(Boxes, Masks)> {
    let [_, features, masks] = files(folder);
    let path = folder.join("pred.json");
    let mut boxes = Boxes::read_named(&path, views.len(), parts)?;
    boxes.check_pixels(views.side).map_err(|e| Error::format(&path, e.to_string()))?;
    if let Some(path) = features {
        boxes.read_features(&path)?;
    }
    let masks = masks.map(|path| Masks::read(&path, boxes.len(), views.side)).transpose()?;
    Ok((boxes, masks.unwrap_or(Masks::Boxes)))
}

/// Writes predictions for [`Predictor::Folder`] to read. `side`: of the views' images.
///
/// # Errors
/// [`Error::Io`] if a file cannot be written.
pub fn write_predictions(folder: &Path, boxes: &Boxes, masks: &Masks, side: usize) -> Result<()> {
    boxes.write(&folder.join("pred.json"))?;
    let (features, path) = ([boxes.len(), boxes.feature_dim], folder.join("masks.npz"));
    npy::write(&folder.join("features.npy"), &features, boxes.features.host()?)?;
    if *masks == Masks::Boxes { remove(&path) } else { masks.write(&path, boxes, side) }
}
