//! Instances: the superpoints of one part, merged into its separate pieces.

#[cfg(feature = "cuda")]
mod device;

use super::{
    boxes::Boxes, cloud::Cloud, labels::Labels, memberships::Memberships, scores::Scores,
    superpoints::Superpoints,
};
use crate::{
    device::Device,
    error::{Error, Result, in_range},
    ops::lift::{
        extents,
        instances::{self, Pieces, Rules},
    },
};
use serde::{Deserialize, Serialize};
use std::str::FromStr;

pub use crate::ops::lift::instances::Merge;

/// What is merged, and what is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which superpoints of a part are one instance.
    pub merge: Merge,
    /// Superpoints touch if their 3D bounding boxes are closer than this along every axis, in cloud radii.
    pub max_gap: f32,
    /// Of [`Merge::Touching`]: they merge only if one has less than this many times the points of the other.
    pub max_size_ratio: f64,
    /// Of [`Merge::Touching`]: they merge only if their shares in the part's boxes differ by less than this, relative to the
    /// larger sum.
    pub max_distance: f64,
    /// An instance is kept if, in some view, its extent has more than this IoU with a box of its part.
    pub min_box_iou: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            merge: Merge::default(),
            max_gap: 0.02,
            max_size_ratio: 100.0,
            max_distance: 0.2,
            min_box_iou: 0.5,
        }
    }
}

impl FromStr for Merge {
    type Err = Error;

    /// By the name that it has in files.
    fn from_str(name: &str) -> Result<Merge> {
        super::by_name("instances", name)
    }
}

impl Options {
    /// PartSLIP's rule, as the authors of PartSTAD take it.
    pub fn authors() -> Options {
        Options { merge: Merge::Touching, ..Options::default() }
    }

    /// Every part is one instance, however far its pieces lie apart.
    pub fn one_each() -> Options {
        Options {
            merge: Merge::Touching,
            max_gap: 1e9,
            max_size_ratio: 1e18,
            max_distance: 1e9,
            min_box_iou: 0.0,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Options { max_gap, max_size_ratio, max_distance, min_box_iou, .. } = *self;
        in_range((0.0..=f32::MAX).contains(&max_gap), "instances.max_gap", max_gap, "a number from 0")?;
        in_range(max_size_ratio >= 0.0, "instances.max_size_ratio", max_size_ratio, "a number from 0")?;
        in_range(max_distance >= 0.0, "instances.max_distance", max_distance, "a number from 0")?;
        in_range((0.0..=1.0).contains(&min_box_iou), "instances.min_box_iou", min_box_iou, "from 0 to 1")
    }
}

/// The part of an instance of which nobody knows what it is.
pub const UNLABELLED: u32 = u32::MAX;

/// One piece of a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Its part, below L, or [`UNLABELLED`].
    pub label: u32,
    /// Number of points.
    pub points: u32,
    /// From 0 to 1, by the rule of [`Merge`]: how well the boxes bear it out, or the mean softmax of its part over its points.
    pub confidence: f32,
}

/// The instance segmentation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instances {
    /// The instances, by part, then by their first superpoint.
    pub list: Vec<Instance>,
    /// Instance of every superpoint, -1 = none, `[S]`.
    pub of_superpoint: Vec<i32>,
    /// Instance of every point, -1 = none, `[N]`.
    pub of_point: Vec<i32>,
}

impl Instances {
    /// Merges the labelled superpoints.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the arguments do not belong together.
    #[allow(clippy::too_many_arguments)]
    pub fn merge(
        device: &Device,
        cloud: &Cloud,
        superpoints: &Superpoints,
        boxes: &Boxes,
        memberships: &Memberships,
        scores: &Scores,
        labels: &Labels,
        options: &Options,
    ) -> Result<Instances> {
        let s = superpoints.len();
        if memberships.len() != s || scores.len() != s || labels.of_superpoint.len() != s {
            return Err(Error::invalid(format!(
                "instances: {s} superpoints, but {} memberships, {} scores and {} labels",
                memberships.len(),
                scores.len(),
                labels.of_superpoint.len()
            )));
        }
        if cloud.len() != superpoints.of_point.len() {
            return Err(Error::invalid(format!(
                "instances: the cloud has {} points, the superpoints {}",
                cloud.len(),
                superpoints.of_point.len()
            )));
        }
        memberships.check(boxes, scores.labels)?;
        let Options { merge, max_gap, max_size_ratio, max_distance, min_box_iou } = *options;
        let rules = Rules { merge, max_gap, max_size_ratio, max_distance, min_box_iou };
        let pieces = match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                device::pieces(gpu, cloud, superpoints, boxes, memberships, scores, labels, &rules)?
            }
            Device::Cpu => pieces_on_cpu(cloud, superpoints, boxes, memberships, scores, labels, &rules)?,
        };
        Ok(Instances::of_pieces(&pieces, superpoints, labels))
    }

    fn of_pieces(pieces: &Pieces, superpoints: &Superpoints, labels: &Labels) -> Instances {
        let mut kept: Vec<usize> = (0..superpoints.len()).filter(|&s| pieces.points[s] > 0).collect();
        kept.sort_by_key(|&s| labels.of_superpoint[s]);
        let mut instance_of = vec![-1; superpoints.len()];
        kept.iter().zip(0..).for_each(|(&first, instance)| instance_of[first] = instance);
        let of_piece = |&root: &i32| usize::try_from(root).map_or(-1, |root| instance_of[root]);
        let of_superpoint: Vec<i32> = pieces.root.iter().map(of_piece).collect();
        let list = kept.iter().map(|&first| Instance {
            label: labels.of_superpoint[first] as u32,
            points: pieces.points[first],
            confidence: pieces.confidence[first],
        });
        Instances { list: list.collect(), of_point: superpoints.spread(&of_superpoint), of_superpoint }
    }
}

fn pieces_on_cpu(
    cloud: &Cloud,
    superpoints: &Superpoints,
    boxes: &Boxes,
    memberships: &Memberships,
    scores: &Scores,
    labels: &Labels,
    rules: &Rules,
) -> Result<Pieces> {
    let input = instances::Input {
        label: &labels.of_superpoint,
        superpoints: &superpoints.members,
        extents: &extents::cpu::extents(&cloud.positions, &superpoints.members),
        observed: memberships.observed()?,
        sets: memberships.sets()?,
        probabilities: scores.probabilities.host()?,
        box_label: &boxes.labels()?,
        box_view: &boxes.views()?,
        rects: &boxes.rects()?,
        box_score: &boxes.scores()?,
        views: memberships.views,
    };
    instances::cpu::instances(&input, rules)
}
