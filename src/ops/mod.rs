//! The operations: slices in, slices out, each with its CPU reference (`cpu`).

pub mod cut_pursuit;
pub mod detection;
pub mod edge_weights;
pub mod knn;
pub mod mask;
pub mod max_flow;
pub mod membership;
pub mod merge_small;
pub mod nms;
pub mod normalize;
pub mod normals;
pub mod positional;
pub mod rasterize;
pub mod region_merge;
pub mod resize;
pub mod riou;
pub mod scan;
pub mod softmax;
pub mod sort;
pub mod two_means;
pub mod visibility;
pub mod vote;
