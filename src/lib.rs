//! Segments coloured point clouds into named parts and instances.
#![deny(missing_docs)]

pub mod device;
pub mod error;
pub mod io;
#[cfg(feature = "ort")]
pub mod models;
pub mod ops;
pub mod stages;

pub use device::Device;
pub use error::{Error, Result};
