//! Relaxed IoU: the loss that adapts the lifting to 3D segmentation (paper eq. 2 and 3), with its gradient.
//!
//! ```text
//! RIoU_j = sum_s n_s g p / (sum_s n_s g + sum_s n_s p - sum_s n_s g p)        g = truth[s, j], p = predicted[s, j]
//! loss   = mean over the L parts of (1 - RIoU_j)                              null (column 0) left out
//! ```
//! n_s is the number of points of superpoint s; superpoints that are not valid are left out.

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

/// CPU reference. Every function fails with [`Error::Invalid`] if the slices' lengths do not fit together.
pub mod cpu {
    use super::Truth;
    use crate::error::{Error, Result};
    use num_traits::Float;

    struct Sums<T> {
        both: Vec<T>,
        truth: Vec<T>,
        predicted: Vec<T>,
    }

    fn sums<T: Float>(predicted: &[T], truth: &Truth<T>) -> Sums<T> {
        let zeros = || vec![T::zero(); truth.columns];
        let mut sums = Sums { both: zeros(), truth: zeros(), predicted: zeros() };
        let rows = predicted.chunks_exact(truth.columns).zip(truth.shares.chunks_exact(truth.columns));
        for (s, (p, g)) in rows.enumerate().filter(|(s, _)| truth.valid[*s]) {
            let n = T::from(truth.sizes[s]).expect("a count is a float");
            for j in 0..truth.columns {
                sums.both[j] = sums.both[j] + n * g[j] * p[j];
                sums.truth[j] = sums.truth[j] + n * g[j];
                sums.predicted[j] = sums.predicted[j] + n * p[j];
            }
        }
        sums
    }

    /// RIoU of every column, null included, `[L + 1]`; 0 where nothing was predicted.
    ///
    /// `predicted`: `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn riou<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<Vec<T>> {
        truth.check(predicted)?;
        let sums = sums(predicted, truth);
        let one = |j: usize| match sums.predicted[j] == T::zero() {
            true => T::zero(),
            false => sums.both[j] / (sums.truth[j] + sums.predicted[j] - sums.both[j]),
        };
        Ok((0..truth.columns).map(one).collect())
    }

    /// The loss: the mean over the parts of 1 - RIoU. A part that the shape lacks enters as 1 (QUIRK absent part).
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn forward<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<T> {
        let riou = riou(predicted, truth)?;
        let parts = T::from(truth.columns - 1).expect("a count is a float");
        Ok(riou[1..].iter().fold(T::zero(), |sum, &r| sum + (T::one() - r)) / parts)
    }

    /// Gradient of the loss with respect to `predicted`, `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn backward<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<Vec<T>> {
        truth.check(predicted)?;
        let sums = sums(predicted, truth);
        let parts = T::from(truth.columns - 1).expect("a count is a float");
        let mut grad = vec![T::zero(); predicted.len()];
        let rows = grad.chunks_exact_mut(truth.columns).zip(truth.shares.chunks_exact(truth.columns));
        for (s, (row, g)) in rows.enumerate().filter(|(s, _)| truth.valid[*s]) {
            let n = T::from(truth.sizes[s]).expect("a count is a float");
            for j in (1..truth.columns).filter(|&j| sums.predicted[j] != T::zero()) {
                let union = sums.truth[j] + sums.predicted[j] - sums.both[j];
                let slope = n * g[j] / union - sums.both[j] / (union * union) * (n - n * g[j]);
                row[j] = -slope / parts;
            }
        }
        Ok(grad)
    }

    /// Cross-entropy, the ablation: mean over the valid superpoints of `-log softmax(predicted)[label]`.
    /// QUIRK double softmax: the authors pass probabilities where logits are expected.
    ///
    /// `label`: column of every superpoint, below L + 1, `[S]`. 0 if no superpoint is valid.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn cross_entropy<T: Float>(predicted: &[T], label: &[u32], truth: &Truth<T>) -> Result<T> {
        check_labels(predicted, label, truth)?;
        let mut sum = T::zero();
        for (s, row) in predicted.chunks_exact(truth.columns).enumerate().filter(|(s, _)| truth.valid[*s]) {
            let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
            let log_sum = row.iter().fold(T::zero(), |sum, &p| sum + (p - largest).exp()).ln() + largest;
            sum = sum + (log_sum - row[label[s] as usize]);
        }
        Ok(sum / valid(truth))
    }

    /// Gradient of [`cross_entropy`] with respect to `predicted`, `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn cross_entropy_backward<T: Float>(
        predicted: &[T],
        label: &[u32],
        truth: &Truth<T>,
    ) -> Result<Vec<T>> {
        check_labels(predicted, label, truth)?;
        let count = valid(truth);
        let mut grad = crate::ops::softmax::cpu::forward(predicted, truth.columns);
        for (s, row) in grad.chunks_exact_mut(truth.columns).enumerate() {
            match truth.valid[s] {
                true => {
                    row[label[s] as usize] = row[label[s] as usize] - T::one();
                    row.iter_mut().for_each(|g| *g = *g / count);
                }
                false => row.fill(T::zero()),
            }
        }
        Ok(grad)
    }

    fn check_labels<T: Float>(predicted: &[T], label: &[u32], truth: &Truth<T>) -> Result<()> {
        truth.check(predicted)?;
        if label.len() != truth.sizes.len() || label.iter().any(|&column| column as usize >= truth.columns) {
            let (found, s, columns) = (label.len(), truth.sizes.len(), truth.columns);
            return Err(Error::invalid(format!(
                "riou: {found} labels for {s} superpoints; one below {columns} is needed for each"
            )));
        }
        Ok(())
    }

    /// How many superpoints take part, at least 1.
    fn valid<T: Float>(truth: &Truth<T>) -> T {
        T::from(truth.valid.iter().filter(|&&v| v).count().max(1)).expect("a count is a float")
    }
}
