//! Families of detectors: what each says in the manifest, what its outputs are, and how they become boxes. One file a family.

mod family;

pub mod atss;
pub mod queries;

pub(super) use self::family::{Family, Search, need};

use self::{atss::Atss, queries::Queries};
use serde::{Deserialize, Serialize};

/// A detector's family, the manifest's `kind`, with the fields that are its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Head {
    /// One square anchor per location, centerness (GLIP).
    #[serde(rename = "atss")]
    Atss(Atss),
    /// Queries with a box each (GroundingDINO, OWL-ViT).
    #[serde(rename = "detr")]
    Queries(Queries),
}

impl Head {
    pub(super) fn family(&self) -> &dyn Family {
        match self {
            Head::Atss(head) => head,
            Head::Queries(head) => head,
        }
    }
}
