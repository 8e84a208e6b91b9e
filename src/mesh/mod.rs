//! From a mesh to points on its surface, and from labels of the points back to those of the faces.

#[cfg(feature = "meshes")]
mod colors;
#[cfg(feature = "meshes")]
mod faces;
#[cfg(feature = "meshes")]
mod sample;
#[cfg(feature = "meshes")]
mod spread;
#[cfg(feature = "meshes")]
mod tree;

#[cfg(feature = "meshes")]
pub use self::{faces::Faces, sample::Sampled};

use serde::{Deserialize, Serialize};

/// How a mesh becomes points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Number of points; 0 draws none, and takes the vertices of a `.ply` file as a cloud. None: 80,000, as the clouds of the
    /// paper's data have, or as many more as it takes to leave no holes in the usual views, at most 320,000.
    pub points: Option<usize>,
    /// What the points are drawn from: the same seed gives the same points.
    pub seed: u64,
    /// Whether there are points where no one sees them from outside.
    pub hidden: bool,
}
