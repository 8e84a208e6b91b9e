//! Lifting: the one way from a cloud and its 2D predictions to labels and instances. [`Pipeline`](crate::Pipeline),
//! preparing for training, evaluating and measuring all go it.

use crate::{
    device::Device,
    error::{Error, Result},
    observer::{Progress, Stage},
    options::Options,
    stages::{
        boxes::Boxes,
        cloud::Cloud,
        evidence::Evidence,
        instances::Instances,
        labels::{self, Labels, Rule},
        masks::Masks,
        memberships::Memberships,
        network::Network,
        scores::Scores,
        superpoints::Superpoints,
        views::Views,
        weights::{self, Weights},
    },
};
#[cfg(feature = "ort")]
use crate::{
    models::{Finder, Models},
    parts::Template,
    stages::masks,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A cloud and what was found in its views.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// The points.
    pub cloud: Cow<'a, Cloud>,
    /// The over-segmentation.
    pub superpoints: Superpoints,
    /// The rendered views.
    pub views: Views,
    /// The detected boxes.
    pub boxes: Boxes,
    /// A mask per box; [`Masks::Boxes`] without a segmenter.
    pub masks: Masks,
}

/// What votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Voters {
    /// The boxes' masks.
    Masks,
    /// The boxes themselves, masks or not (the paper's "without SAM").
    Boxes,
}

impl Voters {
    /// Both.
    pub const ALL: [Voters; 2] = [Voters::Masks, Voters::Boxes];
}

/// What says how much each box's vote counts, and with it by which rule the votes label.
#[derive(Debug, Clone, Copy)]
pub enum Weigher<'a> {
    /// Agreement of the views, constant weights, or the detector's confidence.
    Plain(weights::Options),
    /// A network, by the rule of its basis.
    Learned(&'a Network),
    /// The caller.
    Given(&'a Weights),
}

impl Weigher<'_> {
    /// The boxes' weights. `labels`: L.
    ///
    /// # Errors
    /// Those of [`Weights::new`] and [`Network::weigh`].
    pub fn weigh(
        &self,
        device: &Device,
        boxes: &Boxes,
        memberships: &Memberships,
        views: &Views,
        labels: usize,
    ) -> Result<Weights> {
        match self {
            Weigher::Plain(options) => Weights::new(device, boxes, memberships, labels, options),
            Weigher::Learned(network) => network.weigh(device, boxes, memberships, views, labels),
            Weigher::Given(weights) => Ok((*weights).clone()),
        }
    }

    /// The rule that labels: `asked`, unless the weights bring their own.
    pub fn rule(&self, asked: Rule) -> Rule {
        match self {
            Weigher::Learned(network) => network.basis().rule(),
            Weigher::Plain(_) | Weigher::Given(_) => asked,
        }
    }
}

/// Which boxes hold what, for one kind of [`Voters`]; any number of [`Weigher`]s may share it.
#[derive(Debug, Clone)]
pub struct Gathered<'s> {
    /// The scene's superpoints, cut where the masks say so if the options ask for that.
    pub superpoints: Cow<'s, Superpoints>,
    /// The boxes that hold their visible points.
    pub memberships: Memberships,
}

/// What the votes made of a scene.
#[derive(Debug, Clone)]
pub struct Lifted {
    /// What each box's vote counted.
    pub weights: Weights,
    /// The votes.
    pub scores: Scores,
    /// The semantic segmentation.
    pub labels: Labels,
    /// The instance segmentation.
    pub instances: Instances,
}

impl Scene<'_> {
    /// Who can vote, the better one first: without masks the boxes alone.
    pub fn voters(&self) -> &'static [Voters] {
        match self.masks {
            Masks::Boxes => &[Voters::Boxes],
            _ => &Voters::ALL,
        }
    }

    /// Finds what the voters hold. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if masks shall vote and there are none, or if the scene does not fit together;
    /// [`Error::Cancelled`].
    pub fn gather(
        &self,
        device: &Device,
        voters: Voters,
        labels: usize,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<Gathered<'_>> {
        let Scene { cloud, superpoints, views, boxes, masks } = self;
        if !self.voters().contains(&voters) {
            return Err(Error::invalid(
                "masks shall vote, and the 2D predictions have none; give masks, or take a method whose boxes vote: partslip, agreement-boxes, no-sam",
            ));
        }
        let masks = match voters {
            Voters::Masks => masks,
            Voters::Boxes => &Masks::Boxes,
        };
        // Boxes without masks end where no part does.
        let superpoints = if options.evidence.cuts() && voters == Voters::Masks {
            Cow::Owned(progress.run(Stage::Evidence, || {
                Evidence::cut(cloud, superpoints, views, boxes, masks, labels, &options.evidence)
            })?)
        } else {
            Cow::Borrowed(superpoints)
        };
        let memberships = progress.run(Stage::Memberships, || {
            Memberships::find(device, &superpoints, views, boxes, masks, &options.memberships)
        })?;
        Ok(Gathered { superpoints, memberships })
    }

    /// Weighs, votes, labels, and merges instances.
    ///
    /// # Errors
    /// Those of [`Ballot::lift`].
    pub fn lift(
        &self,
        device: &Device,
        gathered: &Gathered,
        parts: &[String],
        weigher: Weigher,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<Lifted> {
        self.ballot(gathered).lift(device, parts, weigher, options, progress)
    }

    /// What labels are made from.
    pub fn ballot<'a>(&'a self, gathered: &'a Gathered) -> Ballot<'a> {
        let Scene { cloud, views, boxes, .. } = self;
        let Gathered { superpoints, memberships } = gathered;
        Ballot { cloud, superpoints, views, boxes, memberships }
    }
}

/// All that labels are made from without looking at a pixel again.
#[derive(Debug, Clone, Copy)]
pub struct Ballot<'a> {
    /// The points.
    pub cloud: &'a Cloud,
    /// What the votes are on.
    pub superpoints: &'a Superpoints,
    /// Where the boxes were found.
    pub views: &'a Views,
    /// Who votes.
    pub boxes: &'a Boxes,
    /// Which boxes hold which points.
    pub memberships: &'a Memberships,
}

impl Ballot<'_> {
    /// Weighs, votes, labels, and merges instances.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a weight is not finite or does not fit; [`Error::Device`] if a device fails;
    /// [`Error::Cancelled`].
    pub fn lift(
        &self,
        device: &Device,
        parts: &[String],
        weigher: Weigher,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<Lifted> {
        let Ballot { cloud, superpoints, boxes, memberships, .. } = *self;
        let (weights, scores, labels) = self.label(device, parts, weigher, options, progress)?;
        let instances = progress.run(Stage::Instances, || {
            Instances::merge(
                device,
                cloud,
                superpoints,
                boxes,
                memberships,
                &scores,
                &labels,
                &options.instances,
            )
        })?;
        // On a device they are read only now that nothing has to wait for them.
        if !matches!(weigher, Weigher::Plain(_)) {
            weights.check(boxes.len())?;
        }
        Ok(Lifted { weights, scores, labels, instances })
    }

    /// Weighs, votes and labels alone. Nobody has checked the weights, and the host may have yet to receive the labels.
    ///
    /// # Errors
    /// As [`Ballot::lift`].
    pub(crate) fn label(
        &self,
        device: &Device,
        parts: &[String],
        weigher: Weigher,
        options: &Options,
        progress: &mut Progress,
    ) -> Result<(Weights, Scores, Labels)> {
        let Ballot { cloud, superpoints, views, boxes, memberships } = *self;
        let weights =
            progress.run(Stage::Weights, || weigher.weigh(device, boxes, memberships, views, parts.len()))?;
        let scores = progress
            .run(Stage::Scores, || Scores::vote(device, memberships, boxes, &weights, parts.len()))?;
        let labels = progress.run(Stage::Labels, || {
            let options =
                labels::Options { rule: weigher.rule(options.labels.rule), ..options.labels.clone() };
            let labels = Labels::begin(device, superpoints, &scores, parts, &options)?;
            match options.fill_hidden {
                true => labels.begin_fill(device, cloud, superpoints, memberships, parts.len()),
                false => Ok(labels),
            }
        })?;
        Ok((weights, scores, labels))
    }
}

/// A name that a model can hardly find, and why.
#[cfg(feature = "ort")]
fn in_words(parts: &[String], (part, why): &(u32, String)) -> String {
    format!("The name {:?} {why}; expect to find little of it.", parts[*part as usize])
}

/// What to say of the names that models can hardly find, before they look for any.
///
/// # Errors
/// [`Error::Invalid`] if the models cannot be asked for the parts, [`Error::Model`] if a text encoder fails.
#[cfg(feature = "ort")]
pub fn doubts(models: &Models, parts: &[String], template: &Template) -> Result<Vec<String>> {
    let in_words = |doubts: &[(u32, String)]| doubts.iter().map(|doubt| in_words(parts, doubt)).collect();
    Ok(match &models.finder {
        Finder::Boxes(detector, _) => in_words(&detector.prompt(parts, template)?.doubts),
        Finder::Concepts(concepts) => in_words(&concepts.prompt(&template.fill(parts)?)?.doubts),
    })
}

/// The 2D half: what models find in the views. The boxes vote themselves where there is no segmenter.
///
/// # Errors
/// [`Error::Model`] and [`Error::Memory`] if a model fails, [`Error::Invalid`] if the detector cannot be asked for the
/// parts, [`Error::Cancelled`].
#[cfg(feature = "ort")]
pub fn predict(
    models: &Models,
    views: &Views,
    parts: &[String],
    options: &Options,
    progress: &mut Progress,
) -> Result<(Boxes, Masks)> {
    let warn = |boxes: &Boxes, progress: &mut Progress| {
        let doubts = boxes.detected.iter().flat_map(|detected| &detected.doubts);
        doubts.for_each(|doubt| progress.warn(in_words(parts, doubt)));
    };
    let check_memory = |device: &Device, boxes: &Boxes| {
        options.check_memory(device, views.screen.len() / views.len(), boxes.len())
    };
    match &models.finder {
        Finder::Boxes(detector, segmenter) => {
            let boxes =
                progress.run(Stage::Boxes, || Boxes::detect(views, parts, detector, &options.boxes))?;
            warn(&boxes, progress);
            check_memory(detector.device(), &boxes)?;
            let masks = match segmenter {
                Some(segmenter) => {
                    progress.run(Stage::Masks, || Masks::predict(views, &boxes, segmenter, &options.masks))?
                }
                None => Masks::Boxes,
            };
            Ok((boxes, masks))
        }
        Finder::Concepts(concepts) => {
            let (boxes, masks) = progress
                .run(Stage::Masks, || masks::find(views, parts, concepts, &options.boxes, &options.masks))?;
            warn(&boxes, progress);
            check_memory(concepts.device(), &boxes)?;
            Ok((boxes, masks))
        }
    }
}
