//! Vote: every superpoint's score for every part, and its gradient (paper eq. 5).
//!
//! ```text
//! score[s, 1 + j] = sum_e count(e) max(0, max_{b in set(e), label(b) = j} W(b)) / (n_s + 1e-6)     e: entries of s
//! score[s, 0]     = max(W_null, 5e-4)
//! ```
//! Where several boxes have the largest weight, the gradient goes to the first in the set's order.

use crate::error::{Error, Result};
use num_traits::Float;

/// The least score of the null label.
pub const MIN_NULL: f64 = 5e-4;

/// The compressed memberships that vote.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Where each set's boxes begin in `set_boxes`, `[D + 1]`.
    pub set_offsets: &'a [u32],
    /// The boxes of each set; those of one label are consecutive.
    pub set_boxes: &'a [u32],
    /// Where each superpoint's entries begin, `[S + 1]`.
    pub entry_offsets: &'a [u32],
    /// The set of each entry, `[E]`.
    pub entry_set: &'a [u32],
    /// How many points lie in it, `[E]`.
    pub entry_count: &'a [u32],
    /// Visible points over all views, n_s, `[S]`.
    pub visible: &'a [u32],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// L.
    pub labels: usize,
}

impl Input<'_> {
    fn check<T>(&self, weights: &[T]) -> Result<()> {
        let expect = |what: &str, found: usize, wanted: usize| {
            if found == wanted {
                return Ok(());
            }
            Err(Error::invalid(format!("vote: {what} has {found} elements, not {wanted}")))
        };
        expect("weights [B]", weights.len(), self.box_label.len())?;
        expect("visible [S]", self.visible.len(), self.entry_offsets.len() - 1)?;
        expect("entry_count [E]", self.entry_count.len(), self.entry_set.len())
    }

    fn norm<T: Float>(&self, s: usize) -> T {
        T::from(self.visible[s]).expect("a count is a float") + T::from(1e-6).expect("a constant is a float")
    }

    /// Calls `each(box, count)` with every entry's winning box of every label that has one of positive weight.
    fn winners<T: Float>(&self, s: usize, weights: &[T], mut each: impl FnMut(usize, u32)) {
        for e in self.entry_offsets[s] as usize..self.entry_offsets[s + 1] as usize {
            let set = self.entry_set[e] as usize;
            let boxes = &self.set_boxes[self.set_offsets[set] as usize..self.set_offsets[set + 1] as usize];
            for of_label in boxes.chunk_by(|&a, &b| self.box_label[a as usize] == self.box_label[b as usize])
            {
                let mut best = (None, T::zero());
                for &b in of_label {
                    if weights[b as usize] > best.1 {
                        best = (Some(b as usize), weights[b as usize]);
                    }
                }
                if let Some(b) = best.0 {
                    each(b, self.entry_count[e]);
                }
            }
        }
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Input, MIN_NULL};
    use crate::error::{Error, Result};
    use num_traits::Float;
    use rayon::prelude::*;

    /// Scores, `[S, L + 1]`, column 0 = null.
    ///
    /// `weights`: `[B]`; `null`: the null box's.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the slices' lengths do not fit together.
    pub fn forward<T: Float + Send + Sync>(input: &Input, weights: &[T], null: T) -> Result<Vec<T>> {
        input.check(weights)?;
        let columns = input.labels + 1;
        let mut scores = vec![T::zero(); input.visible.len() * columns];
        scores.par_chunks_exact_mut(columns).enumerate().for_each(|(s, row)| {
            input.winners(s, weights, |b, count| {
                let votes = &mut row[1 + input.box_label[b] as usize];
                *votes = *votes + T::from(count).expect("a count is a float") * weights[b];
            });
            let norm = input.norm::<T>(s);
            row.iter_mut().for_each(|score| *score = *score / norm);
            row[0] = null.max(T::from(MIN_NULL).expect("a constant is a float"));
        });
        Ok(scores)
    }

    /// Gradients of the box weights, `[B]`, and of the null weight, from those of the scores.
    ///
    /// `grad_scores`: `[S, L + 1]`. Sums run over the superpoints in order, so the bits never change.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the slices' lengths do not fit together.
    pub fn backward<T: Float>(
        input: &Input,
        weights: &[T],
        null: T,
        grad_scores: &[T],
    ) -> Result<(Vec<T>, T)> {
        input.check(weights)?;
        let columns = input.labels + 1;
        if grad_scores.len() != input.visible.len() * columns {
            return Err(Error::invalid(format!(
                "vote: grad_scores [S, L + 1] has {} elements, not {}",
                grad_scores.len(),
                input.visible.len() * columns
            )));
        }
        let mut grad = vec![T::zero(); weights.len()];
        let mut grad_null = T::zero();
        for (s, row) in grad_scores.chunks_exact(columns).enumerate() {
            grad_null = grad_null + row[0];
            let norm = input.norm::<T>(s);
            input.winners(s, weights, |b, count| {
                let votes = T::from(count).expect("a count is a float");
                grad[b] = grad[b] + votes * row[1 + input.box_label[b] as usize] / norm;
            });
        }
        let alive = null > T::from(MIN_NULL).expect("a constant is a float");
        Ok((grad, if alive { grad_null } else { T::zero() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Superpoint 0: 3 points in boxes {0, 1, 2}, 1 point in {2}; superpoint 1: nothing. Box 0 and 1 are part 0.
    const INPUT: Input = Input {
        set_offsets: &[0, 3, 4],
        set_boxes: &[0, 1, 2, 2],
        entry_offsets: &[0, 2, 2],
        entry_set: &[0, 1],
        entry_count: &[3, 1],
        visible: &[4, 0],
        box_label: &[0, 0, 1],
        labels: 2,
    };

    #[test]
    fn every_point_counts_its_best_box_of_each_part() {
        let scores = cpu::forward(&INPUT, &[1.0f64, 2.0, 4.0], 7.0).unwrap();
        let expected = [7.0, 6.0 / 4.000001, 16.0 / 4.000001, 7.0, 0.0, 0.0];
        scores.iter().zip(expected).for_each(|(s, e)| approx::assert_relative_eq!(*s, e));
    }

    #[test]
    fn a_tie_pulls_the_first_box() {
        let (grad, null) = cpu::backward(&INPUT, &[2.0f64, 2.0, 0.0], 1.0, &[1.0; 6]).unwrap();
        approx::assert_relative_eq!(grad[0], 3.0 / 4.000001);
        assert_eq!((grad[1], grad[2], null), (0.0, 0.0, 2.0));
    }

    #[test]
    fn a_weight_that_is_not_positive_neither_votes_nor_learns() {
        let scores = cpu::forward(&INPUT, &[-1.0f32, 0.0, -3.0], -1.0).unwrap();
        assert_eq!(scores, [5e-4, 0.0, 0.0, 5e-4, 0.0, 0.0]);
        let (grad, null) = cpu::backward(&INPUT, &[-1.0f32, 0.0, -3.0], -1.0, &[1.0; 6]).unwrap();
        assert_eq!((grad, null), (vec![0.0; 3], 0.0));
    }

    #[test]
    fn lengths_are_checked() {
        assert!(cpu::forward(&INPUT, &[1.0f32], 1.0).unwrap_err().to_string().contains("weights [B]"));
        assert!(
            cpu::backward(&INPUT, &[1.0f32; 3], 1.0, &[0.0; 5])
                .unwrap_err()
                .to_string()
                .contains("grad_scores")
        );
    }
}
