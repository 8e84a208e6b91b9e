//! Relaxed IoU: the loss that adapts the lifting to 3D segmentation (paper eq. 2 and 3), with its gradient.
//!
//! ```text
//! RIoU_j = sum_s n_s g p / (sum_s n_s g + sum_s n_s p - sum_s n_s g p)        g = truth[s, j], p = predicted[s, j]
//! loss   = mean over the L parts of (1 - RIoU_j)                              null (column 0) left out
//! ```
//! n_s is the number of points of superpoint s; superpoints that are not valid are left out.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::error::{Error, Result};

/// What predictions are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a, T> {
    /// The share of the superpoint's points that have each label, column 0 = none, `[S, L + 1]`.
    pub shares: &'a [T],
    /// Points per superpoint, `[S]`.
    pub sizes: &'a [u32],
    /// Whether the superpoint takes part, `[S]`.
    pub valid: &'a [bool],
    /// L + 1.
    pub columns: usize,
}

impl<T> Truth<'_, T> {
    fn check(&self, predicted: &[T]) -> Result<()> {
        let s = self.sizes.len();
        let expect = |what: &str, found: usize, wanted: usize| {
            if found == wanted {
                return Ok(());
            }
            Err(Error::invalid(format!("riou: {what} has {found} elements, not {wanted} ({s} superpoints)")))
        };
        if self.columns < 2 {
            return Err(Error::invalid(format!(
                "riou: {} columns; null and at least one part are needed",
                self.columns
            )));
        }
        expect("predicted [S, L + 1]", predicted.len(), s * self.columns)?;
        expect("shares [S, L + 1]", self.shares.len(), s * self.columns)?;
        expect("valid [S]", self.valid.len(), s)
    }
}
