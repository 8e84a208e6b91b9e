//! The operations: slices in, slices out, each with its CPU reference (`cpu`) and, beside it, its kernel's launch (`cuda`).
//!
//! The families follow the data: what all use, then what partitions a cloud, renders it, detects in its views, lifts the
//! detections back and learns to weigh them. `kernels/` has the same folders.

pub mod basic;
pub mod detect;
pub mod learn;
pub mod lift;
pub mod partition;
pub mod views;

use crate::error::{Error, Result};

/// Checks the length of an argument. `what`: its name and shape.
pub(crate) fn expect_len(op: &str, what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(format!("{op}: {what} has {found} elements, not {wanted}")))
}
