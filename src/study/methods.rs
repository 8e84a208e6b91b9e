//! The methods that are compared: one row each.

use crate::{
    device::Device,
    error::{Error, Result},
    lifting::{Scene, Voters},
    options::Options,
    sam3d::Regions,
    stages::{instances::Instances, labels::Labels, weights},
    study::{
        sam3d,
        satr::{Of, Through},
    },
};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// A way from a scene to labels: the paper's method, its baselines and its ablations, and ceilings that know the truth.
#[derive(Clone, Copy)]
pub struct Method {
    /// What files and the command line call it.
    pub name: &'static str,
    /// What tables call it.
    pub title: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// How it does that.
    pub way: Way,
}

/// How a method labels.
#[derive(Clone, Copy)]
pub enum Way {
    /// The boxes vote, or their masks.
    Vote(Voters, Weighing),
    /// Some other way.
    Label(Labeller),
    /// The boxes score a surface, whose scores label points; there are no instances.
    Surface(Through, Of),
    /// Masks without labels become instances without labels.
    Unlabelled(Source, Joiner),
    /// No method, but the best that the labels of the superpoints could be.
    Ceiling(Bound),
}

/// From a scene and part names to labels and instances.
pub type Labeller = fn(&Device, &Scene, &[String], &Options) -> Result<(Labels, Instances)>;

/// From masks without labels to instances without labels.
pub type Joiner = fn(&Device, &Scene, &Regions, &Options) -> Result<Instances>;

/// Where masks without labels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A segmenter that is not told what to look for.
    Everything,
    /// The masks of the detector's boxes.
    Boxes,
}

/// Where the weights of the votes come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Weighing {
    /// The same for all boxes.
    Constant,
    /// Agreement of the views.
    Agreement,
    /// The detector's confidence.
    Confidence,
    /// A network, from this folder within a folder of weights.
    Learned(&'static str),
}

impl Weighing {
    /// The weights without learning: `asked` if they are of this kind, or else this kind's own. Where a network lacks its
    /// learned weights, those asked for stand in.
    pub fn plain(self, asked: weights::Options) -> weights::Options {
        use weights::Options::{Agreement, Confidence, Constant};
        match (self, asked) {
            (Weighing::Learned(_), _) => asked,
            (Weighing::Constant, Constant { .. })
            | (Weighing::Agreement, Agreement { .. })
            | (Weighing::Confidence, Confidence { .. }) => asked,
            (Weighing::Constant, _) => weights::CONSTANT,
            (Weighing::Agreement, _) => weights::Options::default(),
            (Weighing::Confidence, _) => Way::CONFIDENCE,
        }
    }
}

/// What bounds the labels of the superpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Nothing: each superpoint gets its most frequent true label, none included.
    Partition,
    /// The same among the labels of the boxes whose masks hold it.
    Boxes,
}

impl Way {
    /// Whether it needs masks of the boxes.
    pub fn needs_masks(&self) -> bool {
        matches!(self, Way::Vote(Voters::Masks, _) | Way::Unlabelled(Source::Boxes, _))
    }

    /// Whether it needs masks of whatever there is.
    pub fn needs_regions(&self) -> bool {
        matches!(self, Way::Unlabelled(Source::Everything, _))
    }

    /// What the detector's confidence weighs.
    pub const CONFIDENCE: weights::Options =
        weights::Options::Confidence { scale: weights::INITIAL, null: weights::INITIAL / 2.0 };
}

macro_rules! methods {
    ($($constant:ident = $name:literal, $title:literal, $way:expr, $about:literal;)*) => {
        impl Method {
            $(
                #[doc = concat!($title, ": ", $about, ".")]
                pub const $constant: Method =
                    Method { name: $name, title: $title, about: $about, way: $way };
            )*

            /// All of them, in the order of the paper's tables, the ceilings last. The ceilings have the most points right, not
            /// quite the highest IoU.
            pub const ALL: &'static [Method] = &[$(Method::$constant),*];
        }
    };
}

methods! {
    PARTSLIP = "partslip", "PartSLIP", Way::Vote(Voters::Boxes, Weighing::Constant),
        "boxes without masks vote, all weighing the same";
    NO_WEIGHTS = "no-weights", "w/o weights", Way::Vote(Voters::Masks, Weighing::Constant),
        "masks vote, all boxes weighing the same";
    AGREEMENT = "agreement", "Agreement", Way::Vote(Voters::Masks, Weighing::Agreement),
        "masks vote, if other views say the same of the points that they hold";
    AGREEMENT_BOXES = "agreement-boxes", "Agreement (boxes)", Way::Vote(Voters::Boxes, Weighing::Agreement),
        "boxes without masks vote, if other views say the same of the points that they hold";
    NO_SAM = "no-sam", "w/o SAM", Way::Vote(Voters::Boxes, Weighing::Learned("no-sam")),
        "boxes without masks vote with learned weights";
    CONFIDENCE = "confidence", "confidence", Way::Vote(Voters::Masks, Weighing::Confidence),
        "masks vote, a box weighing as much as the detector's confidence in it";
    NULL_ONLY = "null-only", "null alone", Way::Vote(Voters::Masks, Weighing::Learned("null-only")),
        "masks vote, all boxes weighing the same, null as much as was learned";
    CROSS_ENTROPY = "cross-entropy", "cross entropy", Way::Vote(Voters::Masks, Weighing::Learned("cross-entropy")),
        "masks vote with weights learned by cross entropy";
    PARTSTAD = "partstad", "PartSTAD", Way::Vote(Voters::Masks, Weighing::Learned("")),
        "masks vote with weights learned by mRIoU";
    SATR = "satr", "SATR", Way::Surface(Through::Mesh, Of::Vertices),
        "boxes score the faces under them, by distances on a mesh through the cloud; no instances";
    SATR_SP = "satr-sp", "SATR+SP", Way::Surface(Through::Mesh, Of::Superpoints),
        "the same, every superpoint having the mean scores of its points";
    SATR_KNN = "satr-knn", "SATR (kNN)", Way::Surface(Through::Points, Of::Vertices),
        "SATR without a mesh: boxes score points, by distances in a graph of neighbours; no instances";
    SATR_KNN_SP = "satr-knn-sp", "SATR+SP (kNN)", Way::Surface(Through::Points, Of::Superpoints),
        "the same, every superpoint having the mean scores of its points";
    SAM3D = "sam3d", "SAM3D", Way::Unlabelled(Source::Everything, sam3d::as_asked),
        "all masks of every view, merged by the points they share; instances without labels";
    SAM3D_VOXELS = "sam3d-voxels", "SAM3D (voxels 0.05)", Way::Unlabelled(Source::Everything, sam3d::voxels),
        "the same, thinned to one point in voxels of 0.05, as published";
    SAM3D_FINE = "sam3d-voxels-0.02", "SAM3D (voxels 0.02)", Way::Unlabelled(Source::Everything, sam3d::fine_voxels),
        "the same in voxels of 0.02";
    UNNAMED = "unnamed", "unnamed", Way::Unlabelled(Source::Everything, sam3d::voted),
        "what `segment --unnamed` gives: the groups of sam3d, voted on by their masks";
    SAM3D_BOXES = "sam3d-boxes", "SAM3D (boxes)", Way::Unlabelled(Source::Boxes, sam3d::as_asked),
        "no SAM3D: the masks of the detector's boxes, without their labels, merged as in sam3d";
    SAM3D_BOXES_VOXELS = "sam3d-boxes-voxels", "SAM3D (boxes, voxels 0.05)",
        Way::Unlabelled(Source::Boxes, sam3d::voxels), "the same, merged as in sam3d-voxels";
    SAM3D_BOXES_FINE = "sam3d-boxes-voxels-0.02", "SAM3D (boxes, voxels 0.02)",
        Way::Unlabelled(Source::Boxes, sam3d::fine_voxels), "the same, merged as in sam3d-voxels-0.02";
    BOX_CEILING = "box-ceiling", "box ceiling", Way::Ceiling(Bound::Boxes),
        "every superpoint has its most frequent true label among those of the boxes that hold it";
    CEILING = "ceiling", "ceiling", Way::Ceiling(Bound::Partition),
        "every superpoint has its most frequent true label";
}

impl Method {
    /// Where its learned weights lie within a folder of weights; None if it learns none.
    pub fn weights_folder(&self) -> Option<&'static str> {
        match self.way {
            Way::Vote(_, Weighing::Learned(folder)) => Some(folder),
            _ => None,
        }
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Method) -> bool {
        self.name == other.name
    }
}

impl Eq for Method {}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Method> {
        Method::ALL.iter().find(|method| method.name == text).copied().ok_or_else(|| {
            let names: Vec<&str> = Method::ALL.iter().map(|method| method.name).collect();
            Error::invalid(format!("method {text:?} is not one of {}", names.join(", ")))
        })
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_apart_by_name() {
        for method in Method::ALL {
            assert_eq!(method.name.parse::<Method>().unwrap(), *method);
            assert_eq!(Method::ALL.iter().filter(|other| other.title == method.title).count(), 1);
        }
        let error = "best".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("partslip") && error.contains("ceiling"), "{error}");
    }

    #[test]
    fn a_method_keeps_to_its_weights() {
        let asked = weights::Options::Constant { weight: 10.0, null: 8.0 };
        assert_eq!(Weighing::Constant.plain(asked), asked);
        assert_eq!(Weighing::Constant.plain(weights::Options::default()), weights::CONSTANT);
        assert_eq!(Weighing::Agreement.plain(asked), weights::Options::default());
        assert_eq!(Weighing::Confidence.plain(asked), Way::CONFIDENCE);
        let asked = weights::Options::Confidence { scale: 2.0, null: 1.0 };
        assert_eq!(Weighing::Confidence.plain(asked), asked);
        assert_eq!(Weighing::Learned("").plain(asked), asked, "what stands in");
    }
}
