//! From points to images, and back to the points that they show.

pub mod rasterize;
pub mod visibility;
