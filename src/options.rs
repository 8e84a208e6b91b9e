//! The options of every stage, as files hold them and as every way through the stages takes them.

use crate::stages::{
    boxes, cloud, evidence, instances, labels, masks, memberships, superpoints, views, weights,
};
use serde::{Deserialize, Serialize};

/// The options of every stage, in the order of the stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How a file's points become a cloud ([`Cloud::fit`](cloud::Cloud::fit)).
    pub cloud: cloud::Options,
    /// How to over-segment.
    pub superpoints: superpoints::Options,
    /// How to render.
    pub views: views::Options,
    /// How to detect.
    pub boxes: boxes::Options,
    /// How to segment boxes.
    pub masks: masks::Options,
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
