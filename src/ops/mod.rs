//! The operations: slices in, slices out, each with its CPU reference (`cpu`).

pub mod mask;
pub mod membership;
pub mod rasterize;
pub mod riou;
pub mod softmax;
pub mod visibility;
pub mod vote;
