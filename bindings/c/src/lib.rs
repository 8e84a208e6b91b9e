//! The C interface: `include/partstad.h` is made from this source, and says all that a caller needs to know.
//!
//! Handles are boxes that the caller frees. A call checks its arguments, works inside [`status::guard`], and returns a
//! status; what it hands out are views of what a handle holds.
#![deny(missing_docs)]
// The names are C's, and the header says once what all pointers must be.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

pub mod arguments;
pub mod cloud;
pub mod device;
pub mod observer;
pub mod pipeline;
pub mod result;
pub mod segment;
pub mod status;
pub mod views;
