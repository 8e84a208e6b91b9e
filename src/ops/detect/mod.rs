//! From images to a model's input, and from a detector's outputs to boxes.

pub mod atss;
pub mod automatic;
pub mod boxes;
pub mod candidates;
pub mod concepts;
pub mod detection;
pub mod model_input;
pub mod nms;
pub mod normalize;
pub mod queries;
pub mod resize;
