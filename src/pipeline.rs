//! The data's way from a cloud to its parts: [`Pipeline::segment`] finds them, [`Pipeline::lift`] starts from 2D
//! predictions that you have.

#[cfg(feature = "ort")]
use crate::models::Models;
use crate::{
    device::Device,
    error::{Error, Result},
    lifting::{Ballot, Gathered, Lifted, Scene, Weigher},
    observer::{Observer, Progress, Stage},
    parts::Parts,
    sam3d::Regions,
    segmentation::counted,
    stages::{
        boxes::Boxes, cloud::Cloud, masks::Masks, network::Network, superpoints::Superpoints, views::Views,
        weights::Weights,
    },
    unnamed,
};
use std::borrow::Cow;
#[cfg(feature = "ort")]
use std::sync::Arc;

pub use crate::{
    options::Options,
    segmentation::{PartSummary, Segmentation},
};

/// 2D predictions and whatever else is already known about a cloud, for [`Pipeline::lift`].
#[derive(Debug, Clone)]
pub struct Predictions {
    /// The boxes of all views.
    pub boxes: Boxes,
    /// A mask per box; [`Masks::Boxes`] lets the boxes themselves vote.
    pub masks: Masks,
    /// A partition to use instead of our own.
    pub superpoints: Option<Superpoints>,
    /// Weights to use instead of the pipeline's.
    pub weights: Option<Weights>,
}

impl Predictions {
    /// Boxes that vote themselves, and nothing else known.
    pub fn new(boxes: Boxes) -> Predictions {
        Predictions { boxes, masks: Masks::Boxes, superpoints: None, weights: None }
    }
}

/// Segments clouds; models, options and device are set up once, and may be shared by threads. A clone shares the models.
#[derive(Clone)]
pub struct Pipeline {
    device: Device,
    options: Options,
    #[cfg(feature = "ort")]
    models: Option<Arc<Models>>,
    network: Option<Network>,
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
        }
    }

    /// Gives it the models that [`segment`](Pipeline::segment) needs.
    #[cfg(feature = "ort")]
    pub fn with_models(self, models: Models) -> Pipeline {
        Pipeline { models: Some(Arc::new(models)), ..self }
    }

    /// Weighs the boxes by learned weights, instead of [`Options::weights`]. Their label rule becomes the
    /// options', also for weights that a call brings along.
    pub fn with_network(mut self, network: Network) -> Pipeline {
        self.options.labels.rule = network.basis().rule();
        Pipeline { network: Some(network), ..self }
    }

    /// Goes by other options.
    pub fn with_options(self, options: Options) -> Pipeline {
        let rule = self.network.as_ref().map_or(options.labels.rule, |network| network.basis().rule());
        let mut pipeline = Pipeline { options, ..self };
        pipeline.options.labels.rule = rule;
        pipeline
    }

    /// Its models.
    #[cfg(feature = "ort")]
    pub fn models(&self) -> Option<&Models> {
        self.models.as_deref()
    }

    /// The device it computes on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The options that it goes by.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Segments a cloud into the named parts. `observer`: `&()` for none.
    ///
    /// # Errors
    /// [`Error::Invalid`] with an option out of range, [`Error::Memory`] if the cloud would take more than there is,
    /// [`Error::Model`] without models or if a model fails, [`Error::Cancelled`] if the observer says so.
    #[cfg(feature = "ort")]
    pub fn segment(&self, cloud: &Cloud, parts: &Parts, observer: &dyn Observer) -> Result<Segmentation> {
        let Some(models) = &self.models else {
            return Err(Error::Model(
                "the pipeline has no models; give it some with Pipeline::with_models".into(),
            ));
        };
        let mut progress = self.begin(cloud, 0, observer)?;
        let superpoints = self.partition(cloud, &mut progress)?;
        let views = self.render(cloud, &mut progress)?;
        let (boxes, masks) = crate::lifting::predict(models, &views, parts, &self.options, &mut progress)?;
        let scene = Scene { cloud: Cow::Borrowed(cloud), superpoints, views, boxes, masks };
        self.label(scene, parts, None, progress)
    }

    /// The same pipeline as it finds parts without names: by SAM3D's groups, which all weigh the same; each is one instance
    /// and has what is hidden beside it. [`relabel`](Pipeline::relabel) of such parts is its too.
    pub fn unnamed(&self) -> Pipeline {
        Pipeline { options: unnamed::options(&self.options), network: None, ..self.clone() }
    }

    /// Segments a cloud into parts without names, by the options of [`Pipeline::unnamed`]: "part 1" is the largest, and each
    /// is one instance. `observer`: `&()` for none.
    ///
    /// # Errors
    /// [`Error::Model`] without a segmenter that answers points, or if it fails; else as [`Pipeline::segment`].
    #[cfg(feature = "ort")]
    pub fn segment_unnamed(&self, cloud: &Cloud, observer: &dyn Observer) -> Result<Segmentation> {
        let segmenter = self.models().and_then(Models::segmenter).filter(|found| found.answers_points());
        let Some(segmenter) = segmenter else {
            return Err(Error::Model(
                "parts without names need a segmenter that answers points: take the stand-ins, or export SAM with its point \
                 decoder (docs/models.md)"
                    .into(),
            ));
        };
        let Pipeline { device, options, .. } = self;
        self.find_unnamed(cloud, observer, |views| match cloud.len() < options.sam3d.small as usize {
            // No group can be large enough.
            true => Regions::new(vec![-1; views.len() * views.side * views.side], views.side),
            false => Regions::everything(device, views, segmenter, &options.sam3d),
        })
    }

    /// The same with masks that are at hand. `observer`: `&()` for none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the regions are not of the views; else as [`Pipeline::lift`].
    pub fn lift_unnamed(
        &self,
        cloud: &Cloud,
        regions: Regions,
        observer: &dyn Observer,
    ) -> Result<Segmentation> {
        self.find_unnamed(cloud, observer, |_| Ok(regions))
    }

    fn find_unnamed(
        &self,
        cloud: &Cloud,
        observer: &dyn Observer,
        regions: impl FnOnce(&Views) -> Result<Regions>,
    ) -> Result<Segmentation> {
        let pipeline = self.unnamed();
        let Pipeline { device, options, .. } = &pipeline;
        let mut progress = pipeline.begin(cloud, 0, observer)?;
        let superpoints = pipeline.partition(cloud, &mut progress)?;
        let views = pipeline.render(cloud, &mut progress)?;
        let regions = progress.run(Stage::Masks, || regions(&views))?;
        let (parts, scene) = progress.run(Stage::Boxes, || {
            unnamed::scene(device, Cow::Borrowed(cloud), superpoints, views, &regions, options)
        })?;
        let mut found = pipeline.label(scene, &parts, None, progress)?;
        if found.boxes.is_empty() {
            found.warnings.clone_from(&cloud.warnings);
            found.warnings.push(unnamed::nothing(&options.sam3d));
        }
        Ok(found)
    }

    /// The 2D-to-3D half alone: lifts 2D predictions from any detector to the named parts of a cloud. `observer`: `&()`
    /// for none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if predictions, cloud and options do not fit together, [`Error::Memory`] if the cloud would take
    /// more than there is, [`Error::Cancelled`] if the observer says so.
    pub fn lift(
        &self,
        cloud: &Cloud,
        parts: &Parts,
        predictions: Predictions,
        observer: &dyn Observer,
    ) -> Result<Segmentation> {
        let Predictions { boxes, masks, superpoints, weights } = predictions;
        let mut progress = self.begin(cloud, boxes.len(), observer)?;
        let empty = boxes.here().unwrap_or_default().iter().filter(|b| b.is_empty()).count();
        if empty > 0 {
            progress.warn(format!("{} no area, and so no vote.", counted(empty, "box has", "boxes have")));
        }
        let superpoints = match superpoints {
            Some(superpoints) => superpoints,
            None => self.partition(cloud, &mut progress)?,
        };
        let views = self.render(cloud, &mut progress)?;
        let scene = Scene { cloud: Cow::Borrowed(cloud), superpoints, views, boxes, masks };
        self.label(scene, parts, weights.as_ref(), progress)
    }

    /// Labels a cloud anew after a change of weights, label rule, instance rules or names of parts, by the options and the
    /// network that the pipeline has now. Nothing is rendered, detected or held against masks again.
    ///
    /// `found`: of the same cloud; its `parts` may have been renamed. It stays as it is if this fails. `weights`: instead of
    /// the pipeline's, of `found.boxes`; a box of weight 0 does not vote.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a weight is not finite or does not fit, or if `found` is of another cloud or has another number
    /// of parts; [`Error::Device`] if a device fails; [`Error::Cancelled`].
    pub fn relabel(
        &self,
        cloud: &Cloud,
        found: &mut Segmentation,
        weights: Option<&Weights>,
        observer: &dyn Observer,
    ) -> Result<()> {
        let Segmentation { parts, superpoints, views, boxes, memberships, .. } = &*found;
        let (n, of) = (cloud.len(), superpoints.of_point.len());
        if n != of || parts.len() != found.scores.labels {
            return Err(Error::invalid(format!(
                "relabel: a cloud of {n} points and {} parts, for what was found of {of} points and {} parts",
                parts.len(),
                found.scores.labels
            )));
        }
        self.options.check()?;
        let stale = little_found(found)?;
        let mut progress = Progress::new(observer);
        let ballot = Ballot { cloud, superpoints, views, boxes, memberships };
        let lifted = ballot.lift(&self.device, parts, self.weigher(weights), &self.options, &mut progress)?;
        Lifted {
            weights: found.weights,
            scores: found.scores,
            labels: found.labels,
            instances: found.instances,
        } = lifted;
        little_found(found)?.into_iter().for_each(|warning| progress.warn(warning));
        found.warnings.retain(|warning| !stale.contains(warning));
        found.warnings.extend(progress.warnings);
        found.seconds = progress.seconds;
        Ok(())
    }

    fn weigher<'a>(&'a self, weights: Option<&'a Weights>) -> Weigher<'a> {
        match (weights, &self.network) {
            (Some(weights), _) => Weigher::Given(weights),
            (None, Some(network)) => Weigher::Learned(network),
            (None, None) => Weigher::Plain(self.options.weights),
        }
    }

    /// Checks the options, and that a cloud was made as they say and will find memory with so many boxes. `segment` and
    /// `lift` do so first.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming an option out of range, or if the cloud was made with others; [`Error::Memory`].
    pub fn check(&self, cloud: &Cloud, boxes: usize) -> Result<()> {
        self.options.check()?;
        self.options.check_memory(&self.device, cloud.len(), boxes)?;
        let (made, asked) = (cloud.options, self.options.cloud);
        match made == asked {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the cloud was made with the options cloud {}, the pipeline has {}; make both with the same",
                serde_json::json!(made),
                serde_json::json!(asked)
            ))),
        }
    }

    /// Checks what is asked for, and hands on what there is to know about the cloud.
    fn begin<'o>(&self, cloud: &Cloud, boxes: usize, observer: &'o dyn Observer) -> Result<Progress<'o>> {
        self.check(cloud, boxes)?;
        let mut progress = Progress::new(observer);
        cloud.warnings.iter().for_each(|warning| progress.warn(warning.clone()));
        Ok(progress)
    }

    fn partition(&self, cloud: &Cloud, progress: &mut Progress) -> Result<Superpoints> {
        let Pipeline { device, options, .. } = self;
        progress.run(Stage::Superpoints, || Superpoints::partition(device, cloud, &options.superpoints))
    }

    fn render(&self, cloud: &Cloud, progress: &mut Progress) -> Result<Views> {
        let Pipeline { device, options, .. } = self;
        progress.run(Stage::Views, || Views::render(device, cloud, &options.views))
    }

    fn label(
        &self,
        scene: Scene,
        parts: &Parts,
        weights: Option<&Weights>,
        mut progress: Progress,
    ) -> Result<Segmentation> {
        let Pipeline { device, options, .. } = self;
        let weigher = self.weigher(weights);
        let gathered = scene.gather(device, scene.voters()[0], parts.len(), options, &mut progress)?;
        let Lifted { weights, scores, labels, instances } =
            scene.lift(device, &gathered, parts, weigher, options, &mut progress)?;
        let Gathered { superpoints, memberships } = gathered;
        let cut = match superpoints {
            Cow::Owned(cut) => Some(cut),
            Cow::Borrowed(_) => None,
        };
        let mut found = Segmentation {
            parts: parts.clone(),
            superpoints: cut.unwrap_or(scene.superpoints),
            views: scene.views,
            boxes: scene.boxes,
            masks: scene.masks,
            memberships,
            weights,
            scores,
            labels,
            instances,
            seconds: vec![],
            warnings: vec![],
        };
        little_found(&found)?.into_iter().for_each(|warning| progress.warn(warning));
        (found.seconds, found.warnings) = (progress.seconds, progress.warnings);
        Ok(found)
    }
}

/// A cloud that covers less of the views' pixels than this is too small or too thin to be recognised.
const COVERAGE: f64 = 0.01;

/// What to say of the parts that have no points.
fn little_found(found: &Segmentation) -> Result<Vec<String>> {
    let is_instance = |j: i32| found.instances.list.iter().any(|instance| instance.label as i32 == j);
    if (0..found.parts.len() as i32).all(|j| found.labels.of_point.contains(&j) && is_instance(j)) {
        return Ok(vec![]);
    }
    let mut warnings = vec![];
    if found.boxes.is_empty() && found.boxes.detected.is_none() {
        warnings.push("There is no box in the predictions, so no point has a part.".to_string());
    } else if found.boxes.is_empty() {
        warnings.push(
            "There is no box, so no point has a part. Look at the views: the object must stand upright (option cloud.up) and \
             fill them; the names must be words that a caption of such an image would have."
                .to_string(),
        );
    }
    for PartSummary { name, points, reason, .. } in found.summary()? {
        let what = if points == 0 { "No point is" } else { "There is no instance of" };
        warnings.extend(reason.map(|reason| format!("{what} {name:?}: {reason}.")));
    }
    // Images are worth fetching from a device only where nothing was seen in them.
    let coverage = if found.boxes.is_empty() { found.views.coverage()? } else { 1.0 };
    if coverage < COVERAGE {
        warnings.push(format!(
            "The cloud covers only {:.2} % of the views. Crop it to the object, or draw its points larger (option views.radius).",
            100.0 * coverage
        ));
    }
    Ok(warnings)
}
