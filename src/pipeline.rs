//! The data's way from a cloud to its parts: `run`, which [`Pipeline::segment`] and [`Pipeline::lift`] share.

#[cfg(feature = "ort")]
use crate::models::Models;
use crate::{
    device::Device,
    error::{Error, Result},
    stages::{
        boxes::Boxes,
        cloud::Cloud,
        evidence::{self, Evidence},
        instances::{self, Instances},
        labels::{self, Labels, Rule},
        masks::Masks,
        memberships::{self, Memberships},
        network::Network,
        scores::Scores,
        superpoints::{self, Superpoints},
        views::{self, Views},
        weights::{self, Weights},
    },
};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// The options of every stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How to over-segment.
    pub superpoints: superpoints::Options,
    /// How to render.
    pub views: views::Options,
    /// How to detect.
    #[cfg(feature = "ort")]
    pub boxes: crate::stages::boxes::Options,
    /// How to segment boxes.
    #[cfg(feature = "ort")]
    pub masks: crate::stages::masks::Options,
    /// How to cut superpoints where the masks say so.
    pub evidence: evidence::Options,
    /// How to find the boxes' points.
    pub memberships: memberships::Options,
    /// How to weigh the boxes.
    pub weights: weights::Options,
    /// How to label.
    pub labels: labels::Options,
    /// How to merge instances.
    pub instances: instances::Options,
}

/// A stage of the pipeline, as progress and timings name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Stage {
    Superpoints,
    Views,
    Boxes,
    Masks,
    Evidence,
    Memberships,
    Weights,
    Scores,
    Labels,
    Instances,
}

impl Stage {
    /// The stages in the order they run.
    pub const ALL: [Stage; 10] = [
        Stage::Superpoints,
        Stage::Views,
        Stage::Boxes,
        Stage::Masks,
        Stage::Evidence,
        Stage::Memberships,
        Stage::Weights,
        Stage::Scores,
        Stage::Labels,
        Stage::Instances,
    ];

    /// Its lower-case name.
    pub fn name(self) -> &'static str {
        self.named().0
    }

    /// Its name, and the range that a profiler shows while it runs.
    fn named(self) -> (&'static str, tracing::Span) {
        macro_rules! named {
            ($($stage:ident: $name:literal),*) => {
                match self { $(Stage::$stage => ($name, tracing::info_span!(target: "partstad", $name)),)* }
            };
        }
        named!(
            Superpoints: "superpoints",
            Views: "views",
            Boxes: "boxes",
            Masks: "masks",
            Evidence: "evidence",
            Memberships: "memberships",
            Weights: "weights",
            Scores: "scores",
            Labels: "labels",
            Instances: "instances"
        )
    }
}

/// 2D predictions and whatever else is already known about a cloud, for [`Pipeline::lift`].
#[derive(Debug, Clone)]
pub struct Predictions {
    /// The boxes of all views.
    pub boxes: Boxes,
    /// A mask per box; [`Masks::Boxes`] lets the boxes themselves vote.
    pub masks: Masks,
    /// A partition to use instead of our own.
    pub superpoints: Option<Superpoints>,
    /// Weights to use instead of [`Options::weights`].
    pub weights: Option<Weights>,
}

/// Everything that the pipeline found about one cloud.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// The L part names.
    pub parts: Vec<String>,
    /// The over-segmentation.
    pub superpoints: Superpoints,
    /// The rendered views.
    pub views: Views,
    /// The detected boxes.
    pub boxes: Boxes,
    /// A mask per box.
    pub masks: Masks,
    /// Which boxes hold which points.
    pub memberships: Memberships,
    /// What each box's vote counts.
    pub weights: Weights,
    /// The votes.
    pub scores: Scores,
    /// The semantic segmentation.
    pub labels: Labels,
    /// The instance segmentation.
    pub instances: Instances,
    /// Wall-clock seconds per stage, in the order they ran.
    pub seconds: Vec<(Stage, f64)>,
}

/// What was found of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartSummary<'a> {
    /// Its name.
    pub name: &'a str,
    /// Points labelled with it.
    pub points: usize,
    /// Its instances.
    pub instances: usize,
    /// Its boxes, over all views.
    pub boxes: usize,
}

impl Segmentation {
    /// What was found of every part, `[L]`.
    ///
    /// # Errors
    /// [`Error::Device`] if the boxes lie on a device that failed.
    pub fn summary(&self) -> Result<Vec<PartSummary<'_>>> {
        let boxes = self.boxes.list()?;
        let of_part = |(j, name)| PartSummary {
            name,
            points: self.labels.of_point.iter().filter(|&&label| label == j as i32).count(),
            instances: self.instances.list.iter().filter(|i| i.label as usize == j).count(),
            boxes: boxes.iter().filter(|b| b.label as usize == j).count(),
        };
        Ok(self.parts.iter().map(String::as_str).enumerate().map(of_part).collect())
    }
}

/// Segments clouds; models, options and device are set up once, and may be shared by threads.
pub struct Pipeline {
    device: Device,
    options: Options,
    #[cfg(feature = "ort")]
    models: Option<Models>,
    network: Option<Network>,
    on_stage: Box<dyn Fn(Stage) + Send + Sync>,
}

impl Pipeline {
    /// A pipeline without models: it can [`lift`](Pipeline::lift).
    pub fn new(device: Device, options: Options) -> Pipeline {
        Pipeline {
            device,
            options,
            #[cfg(feature = "ort")]
            models: None,
            network: None,
            on_stage: Box::new(|_| ()),
        }
    }

    /// Gives it the models that [`segment`](Pipeline::segment) needs.
    #[cfg(feature = "ort")]
    pub fn with_models(self, models: Models) -> Pipeline {
        Pipeline { models: Some(models), ..self }
    }

    /// Weighs the boxes by learned weights, instead of [`Options::weights`]. Their scale is that of [`Rule::Threshold`],
    /// which becomes the label rule.
    pub fn with_network(mut self, network: Network) -> Pipeline {
        self.options.labels.rule = Rule::Threshold;
        Pipeline { network: Some(network), ..self }
    }

    /// Calls `observer` at the start of each stage, for progress bars.
    pub fn on_stage(self, observer: impl Fn(Stage) + Send + Sync + 'static) -> Pipeline {
        Pipeline { on_stage: Box::new(observer), ..self }
    }

    /// The device it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The options it was made with.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Segments a cloud into the named parts.
    ///
    /// # Errors
    /// [`Error::Invalid`] without part names or with an option out of range, [`Error::Model`] without models or if a
    /// model fails.
    #[cfg(feature = "ort")]
    pub fn segment(&self, cloud: &Cloud, parts: &[impl AsRef<str>]) -> Result<Segmentation> {
        let Pipeline { device, options, models, network, on_stage } = self;
        let Some(models) = models else {
            return Err(Error::Model(
                "the pipeline has no models; give it some with Pipeline::with_models".into(),
            ));
        };
        let parts = check_parts(parts)?;
        let clock = Clock { on_stage, seconds: vec![] };
        let known = (None, None, network.as_ref());
        run(device, options, clock, cloud, &parts, known, |clock, views| {
            let boxes = clock
                .time(Stage::Boxes, || Boxes::detect(views, &parts, &models.detector, &options.boxes))?;
            let masks = clock.time(Stage::Masks, || match &models.segmenter {
                Some(segmenter) => Masks::predict(views, &boxes, segmenter, &options.masks),
                None => Ok(Masks::Boxes),
            })?;
            Ok((boxes, masks))
        })
    }

    /// The 2D-to-3D half alone: lifts 2D predictions from any detector to the named parts of a cloud.
    ///
    /// # Errors
    /// [`Error::Invalid`] without part names, or if predictions, cloud and options do not fit together.
    pub fn lift(
        &self,
        cloud: &Cloud,
        parts: &[impl AsRef<str>],
        predictions: Predictions,
    ) -> Result<Segmentation> {
        let Predictions { boxes, masks, superpoints, weights } = predictions;
        let parts = check_parts(parts)?;
        let clock = Clock { on_stage: &self.on_stage, seconds: vec![] };
        let known = (superpoints, weights, self.network.as_ref());
        run(&self.device, &self.options, clock, cloud, &parts, known, |_, _| Ok((boxes, masks)))
    }
}

/// The data's way. `known`: superpoints, weights and what weighs the boxes, if the caller brings them; `predict`: the 2D half.
fn run(
    device: &Device,
    options: &Options,
    mut clock: Clock,
    cloud: &Cloud,
    parts: &[String],
    known: (Option<Superpoints>, Option<Weights>, Option<&Network>),
    predict: impl FnOnce(&mut Clock, &Views) -> Result<(Boxes, Masks)>,
) -> Result<Segmentation> {
    use Stage as S;
    let superpoints = match known.0 {
        Some(superpoints) => superpoints,
        None => clock.time(S::Superpoints, || Superpoints::partition(device, cloud, &options.superpoints))?,
    };
    let views = clock.time(S::Views, || Views::render(device, cloud, &options.views))?;
    let (boxes, masks) = predict(&mut clock, &views)?;
    // Boxes without masks end where no part does.
    let superpoints = if options.evidence.border > 0.0 && !matches!(masks, Masks::Boxes) {
        clock.time(S::Evidence, || {
            Evidence::gather(&views, &boxes, &masks, parts.len())?.split(
                cloud,
                &superpoints,
                &options.evidence,
            )
        })?
    } else {
        superpoints
    };
    let memberships = clock.time(S::Memberships, || {
        Memberships::find(device, &superpoints, &views, &boxes, &masks, &options.memberships)
    })?;
    let weights = match (known.1, known.2) {
        (Some(weights), _) => weights,
        (None, Some(network)) => clock.time(S::Weights, || network.weigh(device, &boxes, &views))?,
        (None, None) => clock.time(S::Weights, || Weights::new(device, &boxes, &options.weights))?,
    };
    let scores =
        clock.time(S::Scores, || Scores::vote(device, &memberships, &boxes, &weights, parts.len()))?;
    let labels = clock.time(S::Labels, || {
        let labels = Labels::assign(device, &superpoints, &scores, parts, &options.labels)?;
        match options.labels.fill_hidden {
            true => labels.fill(device, cloud, &superpoints, &memberships, parts.len()),
            false => Ok(labels),
        }
    })?;
    let instances = clock.time(S::Instances, || {
        Instances::merge(
            device,
            cloud,
            &superpoints,
            &boxes,
            &memberships,
            &scores,
            &labels,
            &options.instances,
        )
    })?;
    weights.check(boxes.len())?;
    Ok(Segmentation {
        parts: parts.to_vec(),
        superpoints,
        views,
        boxes,
        masks,
        memberships,
        weights,
        scores,
        labels,
        instances,
        seconds: clock.seconds,
    })
}

/// Tells the observer what begins, and remembers how long it took.
struct Clock<'a> {
    on_stage: &'a (dyn Fn(Stage) + Send + Sync),
    seconds: Vec<(Stage, f64)>,
}

impl Clock<'_> {
    fn time<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
        (self.on_stage)(stage);
        let _range = stage.named().1.entered();
        let start = Instant::now();
        let result = work();
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        result
    }
}

/// Trims the names; refuses none at all, empty ones, doubles and more than GLIP's 80.
fn check_parts(parts: &[impl AsRef<str>]) -> Result<Vec<String>> {
    let names: Vec<String> = parts.iter().map(|name| name.as_ref().trim().to_lowercase()).collect();
    if names.is_empty() {
        return Err(Error::invalid("no part names; give at least one, for example \"leg,seat\""));
    }
    if names.len() > 80 {
        return Err(Error::invalid(format!("{} part names; the detector takes at most 80", names.len())));
    }
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(Error::invalid(format!("part name {i} is empty")));
        }
        if names[..i].contains(name) {
            return Err(Error::invalid(format!("part {name:?} is named twice")));
        }
    }
    Ok(names)
}
