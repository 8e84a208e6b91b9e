//! The operations: slices in, slices out, each with its CPU reference (`cpu`).

pub mod detection;
pub mod mask;
pub mod membership;
pub mod nms;
pub mod normalize;
pub mod rasterize;
pub mod resize;
pub mod riou;
pub mod softmax;
pub mod visibility;
pub mod vote;
