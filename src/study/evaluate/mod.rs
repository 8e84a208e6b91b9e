//! Evaluation: methods against the ground truth of labelled shapes, by the paper's aggregation (section 5.1).
//!
//! What does not depend on the method (views, superpoints, boxes, masks) is made once per shape and shared by all.

mod page;
mod paper;
mod picture;
mod shared;
mod tables;

pub use self::{
    paper::Paper,
    tables::{Figure, Table, details},
};

use self::{
    picture::{Picture, colored},
    shared::Gatherer,
};
use crate::{
    error::{Error, Result},
    lifting::{Gathered, Scene, Voters, Weigher},
    observer::Progress,
    parts::Parts,
    stages::{
        boxes::Boxes,
        checkpoint::Checkpoint,
        instances::Instances,
        labels::{Labels, NONE},
        network::{Basis, Network},
        weights,
    },
    study::{
        dataset::{Object, Truth},
        methods::{Bound, Method, Way},
        metrics::{Category, Summary, mean, semantic_iou},
        prepare::{Preparer, Shape},
        satr,
        targets::Targets,
    },
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    time::Instant,
};

/// A method with the weights that it uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The method.
    pub method: Method,
    /// Folder of learned weights, `<Category>.safetensors`; those of [`Method::weights_folder`] within it. Or one such
    /// file, for all categories that are evaluated.
    #[serde(serialize_with = "crate::io::serialize_path")]
    pub weights: Option<PathBuf>,
}

impl Run {
    /// Every method with every folder of weights that it can use, each once. Without a method it is PartSTAD with weights, else what
    /// needs none; with `compare` all that can be run.
    pub fn all(methods: &[Method], weights: &[PathBuf], compare: bool) -> Vec<Run> {
        let usable = |method: &Method| match method.weights_folder() {
            None => true,
            Some(folder) => weights.iter().any(|weights| weights.join(folder).is_dir() || folder.is_empty()),
        };
        let methods = match (methods, compare, weights.is_empty()) {
            ([], true, _) => Method::ALL.iter().copied().filter(usable).collect(),
            ([], false, true) => vec![Method::AGREEMENT],
            ([], false, false) => vec![Method::PARTSTAD],
            (methods, _, _) => unique(methods),
        };
        let weights = unique(weights);
        let with_weights = |method: Method| match method.weights_folder() {
            Some(_) if !weights.is_empty() => {
                weights.iter().map(|weights| Run { method, weights: Some(weights.clone()) }).collect()
            }
            _ => vec![Run { method, weights: None }],
        };
        methods.into_iter().flat_map(with_weights).collect()
    }
}

/// How well a run did.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// What was run.
    pub run: Run,
    /// By category.
    pub categories: BTreeMap<String, Summary>,
    /// mIoU by category, counting only the points that some view shows.
    pub visible_miou: BTreeMap<String, Option<f64>>,
    /// Categories without learned weights, which [`Evaluation::weights`] stood in for.
    pub unlearned: Vec<String>,
    /// Categories whose learned weights begin from agreement; the paper's begin from constant ones.
    pub agreed: Vec<String>,
    /// Seconds that it would have taken alone, once views and predictions were there.
    #[serde(skip)]
    pub seconds: f64,
}

/// An object and how well each run did on it.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectFigures {
    /// Its place: `<split>/<Category>/<id>`.
    pub object: PathBuf,
    /// Mean IoU over its parts, by run; None without a labelled point.
    pub miou: Vec<Option<f64>>,
    /// What to know of its cloud.
    pub warnings: Vec<String>,
}

/// An object that could not be evaluated.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Its place: `<split>/<Category>/<id>`.
    pub object: PathBuf,
    /// Why.
    pub error: String,
}

/// The figures of all runs on all objects.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// By run.
    pub figures: Vec<Figures>,
    /// The weights without learning that were asked for.
    #[serde(skip)]
    pub weights: weights::Options,
    /// The part names of the categories that were evaluated.
    pub parts: BTreeMap<String, Parts>,
    /// Category and part of those that no object's truth has: left out of every figure.
    pub unlabelled: Vec<(String, String)>,
    /// By object.
    pub objects: Vec<ObjectFigures>,
    /// Objects that are in no figure.
    pub failures: Vec<Failure>,
    /// Methods that need the boxes' masks, left out as the predictions have none.
    pub without_masks: Vec<Method>,
    /// Methods that need masks without labels, left out as there are none and no segmenter that answers points.
    pub without_regions: Vec<Method>,
    /// Seconds that reading, partitioning, rendering and predicting took, which all methods need.
    #[serde(skip)]
    pub shared_seconds: f64,
    /// Of every category, the best and the worst object of one run, which is `pictured`.
    #[serde(skip)]
    pictures: Vec<Picture>,
    #[serde(skip)]
    pictured: usize,
}

/// Takes in one object after the other.
#[derive(Debug)]
pub struct Evaluator {
    preparer: Preparer,
    categories: BTreeMap<String, Parts>,
    runs: Vec<Running>,
    pictured: usize,
    pictures_all: bool,
    objects: Vec<ObjectFigures>,
    failures: Vec<Failure>,
    without_masks: Vec<Method>,
    without_regions: Vec<Method>,
    shared_seconds: f64,
    pictures: BTreeMap<String, Vec<Picture>>,
}

/// A run while its objects come in.
#[derive(Debug)]
struct Running {
    run: Run,
    /// All points, and those that some view shows.
    categories: BTreeMap<String, [Category; 2]>,
    networks: BTreeMap<String, Option<Network>>,
    unlearned: Vec<String>,
    agreed: Vec<String>,
    seconds: f64,
}

impl Evaluator {
    /// Evaluates these runs on what `preparer` makes of the objects.
    ///
    /// # Errors
    /// [`Error::Invalid`] without runs, or for a method that needs learned weights and has none.
    pub fn new(preparer: Preparer, runs: Vec<Run>) -> Result<Evaluator> {
        if runs.is_empty() {
            return Err(Error::invalid("no method to evaluate"));
        }
        if let Some(run) =
            runs.iter().find(|run| run.method.weights_folder().is_some() && run.weights.is_none())
        {
            return Err(Error::invalid(format!(
                "method {} needs learned weights; name their folder, or evaluate agreement",
                run.method
            )));
        }
        let running = |run| Running {
            run,
            categories: BTreeMap::new(),
            networks: BTreeMap::new(),
            unlearned: vec![],
            agreed: vec![],
            seconds: 0.0,
        };
        Ok(Evaluator {
            preparer,
            categories: BTreeMap::new(),
            pictured: pictured(runs.iter()),
            runs: runs.into_iter().map(running).collect(),
            pictures_all: false,
            objects: vec![],
            failures: vec![],
            without_masks: vec![],
            without_regions: vec![],
            shared_seconds: 0.0,
            pictures: BTreeMap::new(),
        })
    }

    /// Pictures show what every method made of an object, each method's first run, side by side.
    pub fn picturing_all(self) -> Evaluator {
        Evaluator { pictures_all: true, ..self }
    }

    /// Evaluates one more object; one that fails is noted and returned. `parts`: the names of its category's parts.
    pub fn add(&mut self, object: &Object, parts: &Parts) -> Option<&Failure> {
        match self.try_add(object, parts) {
            Ok(()) => None,
            Err(error) => {
                self.failures.push(Failure { object: object.place(), error: error.to_string() });
                self.failures.last()
            }
        }
    }

    fn try_add(&mut self, object: &Object, parts: &Parts) -> Result<()> {
        let begin = Instant::now();
        let shape = self.preparer.shape(object, parts)?;
        let Shape { scene, truth } = &shape;
        let seen = seen(scene)?;
        if self.objects.is_empty() {
            if !scene.voters().contains(&Voters::Masks) {
                self.leave_out(Way::needs_masks, |this| &mut this.without_masks);
            }
            if !self.preparer.has_regions(object) {
                self.leave_out(Way::needs_regions, |this| &mut this.without_regions);
            }
        }
        let mut gathered = Gatherer::new(scene, &self.preparer, object, parts);
        let shared = begin.elapsed().as_secs_f64();
        let (mut found, mut miou, mut seconds) = (vec![], vec![], vec![]);
        for running in &mut self.runs {
            let (begin, saved) = (Instant::now(), gathered.seconds_saved);
            let mut label = || {
                let (labels, instances) = running.label(&mut gathered, truth, &object.category)?;
                let iou = match running.run.method.way {
                    Way::Unlabelled(..) => vec![],
                    _ => semantic_iou(&labels.of_point, &truth.semantic, parts.len())?,
                };
                if instances.of_point.len() != truth.semantic.len() {
                    let (n, wanted) = (instances.of_point.len(), truth.semantic.len());
                    return Err(Error::invalid(format!("instances of {n} points, not {wanted}")));
                }
                Ok((labels, instances, mean(iou)))
            };
            let (labels, instances, iou) =
                label().map_err(|e| Error::invalid(format!("method {}: {e}", running.run.method)))?;
            found.push((labels, instances));
            miou.push(iou);
            seconds.push(begin.elapsed().as_secs_f64() + gathered.seconds_saved - saved);
        }
        self.shared_seconds += shared;
        self.runs.iter_mut().zip(seconds).for_each(|(running, seconds)| running.seconds += seconds);
        // Nothing is counted before everything has gone well, so that all runs count the same objects.
        for (running, (labels, instances)) in self.runs.iter_mut().zip(&found) {
            let new = || [(); 2].map(|()| Category::new(parts.len()));
            let [all, visible] = running.categories.entry(object.category.clone()).or_insert_with(new);
            all.add(labels, instances, truth)?;
            let only_seen = |labels: &[i32]| -> Vec<i32> {
                labels.iter().zip(&seen).map(|(&label, &seen)| if seen { label } else { NONE }).collect()
            };
            let none = vec![NONE; seen.len()];
            let truth = Truth { semantic: only_seen(&truth.semantic), instance: none.clone() };
            let labels = Labels { of_point: only_seen(&labels.of_point).into(), ..Labels::default() };
            let instances = Instances { of_point: none, ..Instances::default() };
            visible.add(&labels, &instances, &truth)?;
        }
        if let Some(miou) = miou[self.pictured] {
            let pictures = self.pictures.entry(object.category.clone()).or_default();
            let at = pictures.partition_point(|picture| picture.miou >= miou);
            // Only the best and the worst are shown.
            if pictures.len() < 2 || at == 0 || at == pictures.len() {
                let title = |i: usize| self.runs[i].run.method.title;
                let first = |&i: &usize| !(0..i).any(|j| title(j) == title(i));
                let shown: Vec<(&str, &[i32])> = match self.pictures_all {
                    true => (0..found.len()).filter(first).map(|i| (title(i), colored(&found[i]))).collect(),
                    false => vec![("the result", colored(&found[self.pictured]))],
                };
                pictures.insert(at, Picture::new(object, parts, &shape, &shown, miou)?);
                if pictures.len() == 3 {
                    pictures.remove(1);
                }
            }
        }
        self.categories.entry(object.category.clone()).or_insert_with(|| parts.clone());
        let warnings = scene.cloud.warnings.clone();
        self.objects.push(ObjectFigures { object: object.place(), miou, warnings });
        Ok(())
    }

    /// Leaves out the runs that need something, unless there is no other.
    fn leave_out(&mut self, needs: fn(&Way) -> bool, list: fn(&mut Evaluator) -> &mut Vec<Method>) {
        let needs = |running: &Running| needs(&running.run.method.way);
        if self.runs.iter().all(needs) {
            return;
        }
        let (left_out, runs) = std::mem::take(&mut self.runs).into_iter().partition::<Vec<_>, _>(needs);
        let mut methods: Vec<Method> = left_out.iter().map(|running| running.run.method).collect();
        methods.dedup();
        *list(self) = methods;
        self.pictured = pictured(runs.iter().map(|running| &running.run));
        self.runs = runs;
    }

    /// The figures of what was added.
    pub fn finish(self) -> Evaluation {
        let absent = |(category, parts): (&String, &Parts)| {
            let iou = self.runs[0].categories[category][0].summary().iou;
            let absent = parts.iter().zip(iou).filter(|(_, iou)| iou.is_none());
            absent.map(|(part, _)| (category.clone(), part.clone())).collect::<Vec<_>>()
        };
        Evaluation {
            unlabelled: self.categories.iter().flat_map(absent).collect(),
            weights: self.preparer.options().weights,
            figures: self.runs.into_iter().map(Running::figures).collect(),
            parts: self.categories,
            objects: self.objects,
            failures: self.failures,
            without_masks: self.without_masks,
            without_regions: self.without_regions,
            shared_seconds: self.shared_seconds,
            pictures: self.pictures.into_values().flatten().collect(),
            pictured: self.pictured,
        }
    }
}

fn unique<T: PartialEq + Clone>(list: &[T]) -> Vec<T> {
    let is_first = |(i, one): &(usize, &T)| !list[..*i].contains(one);
    list.iter().enumerate().filter(is_first).map(|(_, one)| one.clone()).collect()
}

/// The run of which pictures are shown.
fn pictured<'a>(mut runs: impl Iterator<Item = &'a Run>) -> usize {
    runs.position(|run| run.method == Method::PARTSTAD).unwrap_or(0)
}

impl Running {
    fn label(
        &mut self,
        gathered: &mut Gatherer,
        truth: &Truth,
        category: &str,
    ) -> Result<(Labels, Instances)> {
        let (device, options) = (gathered.preparer.device(), gathered.preparer.options());
        let (scene, parts, progress) = (gathered.scene, gathered.parts, &mut Progress::default());
        let no_instances = || Instances { of_point: vec![NONE; scene.cloud.len()], ..Instances::default() };
        let (voters, weighing) = match self.run.method.way {
            Way::Label(label) => return label(device, scene, parts, options),
            Way::Surface(through, of) => {
                return Ok((satr::labels(scene, gathered.scores(through)?, of), no_instances()));
            }
            Way::Unlabelled(source, join) => {
                let instances = join(device, scene, gathered.regions(source)?, options)?;
                let none = vec![NONE; scene.cloud.len()];
                return Ok((Labels { of_point: none.into(), ..Labels::default() }, instances));
            }
            Way::Ceiling(bound) => {
                let best =
                    best_labels(gathered.of(scene.voters()[0])?, &scene.boxes, truth, parts.len(), bound)?;
                return Ok((best, no_instances()));
            }
            Way::Vote(voters, weighing) => (voters, weighing),
        };
        let plain = Weigher::Plain(weighing.plain(options.weights));
        // Of methods that learn nothing there is no network.
        let weigher = self.network(category, parts)?.map_or(plain, Weigher::Learned);
        let lifted = scene.lift(device, gathered.of(voters)?, parts, weigher, options, progress)?;
        Ok((lifted.labels, lifted.instances))
    }

    /// The learned weights of a category; None, which is noted, if there are none.
    fn network(&mut self, category: &str, parts: &Parts) -> Result<Option<&Network>> {
        let (Some(root), Some(folder)) = (&self.run.weights, self.run.method.weights_folder()) else {
            return Ok(None);
        };
        Ok(match self.networks.entry(category.to_string()) {
            Entry::Occupied(entry) => entry.into_mut().as_ref(),
            Entry::Vacant(entry) => {
                let path = match root.is_file() {
                    true => root.clone(),
                    false => root.join(folder).join(category).with_added_extension("safetensors"),
                };
                let checkpoint = path.exists().then(|| Checkpoint::read(&path)).transpose()?;
                let Some(checkpoint) = checkpoint else {
                    self.unlearned.push(category.to_string());
                    return Ok(entry.insert(None).as_ref());
                };
                checkpoint.check(parts).map_err(|e| Error::format(&path, e.to_string()))?;
                if checkpoint.network.basis() == Basis::Agreement {
                    self.agreed.push(category.to_string());
                }
                entry.insert(Some(checkpoint.network)).as_ref()
            }
        })
    }

    fn figures(self) -> Figures {
        let way = self.run.method.way;
        let summary = |category: &Category| {
            let s = category.summary();
            let none = || vec![None; s.iou.len()];
            match way {
                Way::Ceiling(_) | Way::Surface(..) => {
                    Summary { ap50: none(), map50: None, map50_agnostic: None, ..s }
                }
                Way::Unlabelled(..) => Summary { iou: none(), miou: None, ap50: none(), map50: None, ..s },
                Way::Vote(..) | Way::Label(_) => s,
            }
        };
        let by_category = || self.categories.iter().map(|(name, both)| (name.clone(), both));
        Figures {
            categories: by_category().map(|(name, [all, _])| (name, summary(all))).collect(),
            visible_miou: by_category().map(|(name, [_, visible])| (name, summary(visible).miou)).collect(),
            run: self.run,
            unlearned: self.unlearned,
            agreed: self.agreed,
            seconds: self.seconds,
        }
    }
}

/// The most frequent true label of every superpoint, none included, within what bounds it.
fn best_labels(
    gathered: &Gathered,
    boxes: &Boxes,
    truth: &Truth,
    parts: usize,
    bound: Bound,
) -> Result<Labels> {
    let (superpoints, sets, boxes) = (&gathered.superpoints, gathered.memberships.sets()?, boxes.list()?);
    let held = |s: usize, label: u32| {
        sets.counts(s).flat_map(|(set, _)| set).any(|&b| boxes[b as usize].label == label)
    };
    let targets = Targets::count(superpoints, &truth.semantic, parts)?;
    let best = |(s, counts): (usize, &[u32])| {
        let may_have = |column: usize| column == 0 || bound == Bound::Partition || held(s, column as u32 - 1);
        let allowed = (0..=parts).filter(|&column| may_have(column));
        allowed.rev().max_by_key(|&column| counts[column]).map_or(NONE, |column| column as i32 - 1)
    };
    let of_superpoint: Vec<i32> = targets.counts.chunks_exact(parts + 1).enumerate().map(best).collect();
    let of_point = superpoints.spread(&of_superpoint).into();
    Ok(Labels { of_superpoint: of_superpoint.into(), of_point, ..Labels::default() })
}

/// Whether some view shows the point, `[N]`.
fn seen(scene: &Scene) -> Result<Vec<bool>> {
    let mut seen = vec![false; scene.cloud.len()];
    for k in 0..scene.views.len() {
        for &point in scene.views.pixel_to_point(k)?.iter().filter(|&&point| point >= 0) {
            seen[point as usize] = true;
        }
    }
    Ok(seen)
}
