//! ONNX Runtime: found or fetched, tried on the device, and the models that it runs.

#[cfg(feature = "cuda")]
mod binding;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod ep;
pub mod external;
mod failure;
mod fetch;
mod library;
#[cfg(feature = "cuda")]
mod probe;

pub mod choose;
pub mod contract;
pub mod model;
pub mod options;
pub mod runtime;
pub mod session;
pub mod tensor;
