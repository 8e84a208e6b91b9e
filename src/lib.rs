//! Segments coloured 3D point clouds into named parts and instances (PartSTAD, ECCV 2024): renders the cloud from ten
//! views, lets a text-prompted detector find boxes and a segmenter turn them into masks, and lifts both back to 3D by
//! a weighted vote over superpoints.
//!
//! # The data's way
//! Every noun is one file of [`stages`]: its struct, its invariants, its options and the one function that makes it
//! from earlier nouns.
//!
//! ```text
//! cloud -> superpoints ----------------------------------------+
//!       -> views -> boxes -> masks -> memberships -> weights -> scores -> labels -> instances -> metrics
//! ```
//! [`Pipeline`] is those steps in order, but for metrics.
//!
//! # The floors
//! A file imports only from its own or lower floors, and inside `stages` only from nouns earlier in the list:
//! [`error`], [`device`] and `gpu` (CUDA), [`io`] (files), [`ops`] (slices in, slices out: each operation with its CPU reference),
//! [`models`] (ONNX Runtime), [`stages`], [`pipeline`], the command line.
//!
//! # Names and units
//! N points, K views, S superpoints, L parts, B boxes, F feature channels. Array shapes are written `[K, N]`, the last
//! axis fastest. Positions are in cloud radii, image positions in pixels, x to the right and y down.
#![deny(missing_docs)]

pub mod device;
pub mod error;
pub mod io;
#[cfg(feature = "ort")]
pub mod models;
pub mod ops;
pub mod output;
pub mod pipeline;
pub mod stages;
#[cfg(feature = "study")]
pub mod study;

pub use device::Device;
pub use error::{Error, Result};
pub use pipeline::{Pipeline, Predictions, Segmentation};

#[cfg(all(doctest, feature = "small-models"))]
#[doc = include_str!("../README.md")]
struct Readme;
