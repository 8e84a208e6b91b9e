//! Labelled clouds: preparing them, learning from them, and measuring methods on them.

pub mod dataset;
pub mod evaluate;
pub mod methods;
pub mod metrics;
pub mod prepare;
pub mod sam3d;
pub mod sample;
pub mod satr;
pub mod strays;
pub mod targets;
pub mod torch;
pub mod train;
