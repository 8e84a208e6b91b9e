//! The operations: slices in, slices out, each with its CPU reference (`cpu`).

pub mod adamw;
pub mod agglomeration;
pub mod atss;
pub mod boxes;
pub mod components;
pub mod confidence;
pub mod cut_pursuit;
pub mod detection;
pub mod edge_weights;
pub mod evidence;
pub mod extents;
pub mod fill;
pub mod graph;
pub mod group;
pub mod instances;
pub mod knn;
pub mod labels;
pub mod mask;
pub mod matmul;
pub mod max_flow;
pub mod membership;
pub mod merge_small;
pub mod mlp;
pub mod model_input;
pub mod nan;
pub mod nms;
pub mod normalize;
pub mod normals;
pub mod observe;
pub mod point_features;
pub mod positional;
pub mod queries;
pub mod random;
pub mod rasterize;
pub mod region_merge;
pub mod resize;
pub mod riou;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod sum;
pub mod two_means;
pub mod visibility;
pub mod vote;
pub mod whole_object;

use crate::error::{Error, Result};

/// Checks the length of an argument. `what`: its name and shape.
pub(crate) fn expect_len(op: &str, what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(format!("{op}: {what} has {found} elements, not {wanted}")))
}
