//! The models' side end to end, on tiny ONNX models with the real signatures. ONNX Runtime is fetched if need be.
#![cfg(feature = "ort")]

mod check;
mod common;
mod concepts;
mod detector;
mod folder;
mod runtime;
mod segmenter;
#[cfg(feature = "small-models")]
mod small;
