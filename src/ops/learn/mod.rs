//! The network that weighs boxes, its loss and its optimiser.

pub mod adamw;
pub mod mlp;
pub mod positional;
pub mod riou;
