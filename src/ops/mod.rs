//! The operations: slices in, slices out, each with its CPU reference (`cpu`).

pub mod rasterize;
