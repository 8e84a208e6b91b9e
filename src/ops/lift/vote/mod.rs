//! Vote: every superpoint's score for every part, and its gradient (paper eq. 5).
//!
//! ```text
//! score[s, 1 + j] = sum_e count(e) max(0, max_{b in set(e), label(b) = j} W(b)) / (n_s + 1e-6)     e: entries of s
//! score[s, 0]     = max(W_null, 5e-4)
//! ```
//! Where several boxes have the largest weight, the gradient goes to the first in the set's order.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::{
    error::Result,
    ops::{expect_len, lift::membership::Sets},
    ragged::Ragged,
};
use num_traits::Float;

/// The least score of the null label.
pub const MIN_NULL: f64 = 5e-4;

/// The compressed memberships that vote.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The distinct sets of boxes, in each those of one label consecutive, and every superpoint's entries.
    pub sets: &'a Sets,
    /// Visible points over all views, n_s, `[S]`.
    pub visible: &'a [u32],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// L.
    pub labels: usize,
}

impl Input<'_> {
    fn check<T>(&self, weights: &[T]) -> Result<()> {
        let expect = |what, found, wanted| expect_len("vote", what, found, wanted);
        expect("weights [B]", weights.len(), self.box_label.len())?;
        expect("visible [S]", self.visible.len(), self.sets.entries.len())
    }

    fn norm<T: Float>(&self, s: usize) -> T {
        T::from(self.visible[s]).expect("a count is a float") + T::from(1e-6).expect("a constant is a float")
    }

    /// The winning box of every label that has one of positive weight in a set.
    fn winners<T: Float>(&self, set: usize, weights: &[T]) -> impl Iterator<Item = usize> {
        let same = |a: &u32, b: &u32| self.box_label[*a as usize] == self.box_label[*b as usize];
        self.sets.boxes.row(set).chunk_by(same).filter_map(|of_label| {
            let mut best = (None, T::zero());
            for &b in of_label {
                if weights[b as usize] > best.1 {
                    best = (Some(b as usize), weights[b as usize]);
                }
            }
            best.0
        })
    }
}

/// The entries of each set, `[D]`, as superpoint and count, superpoints ascending: what the gradient runs over.
pub type BySet = Ragged<(u32, u32)>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::lift::membership::Entry;
    use std::sync::LazyLock;

    /// Superpoint 0: 3 points in boxes {0, 1, 2}, 1 point in {2}; superpoint 1: nothing. Box 0 and 1 are part 0.
    static INPUT: LazyLock<Input> =
        LazyLock::new(|| Input { sets: &SETS, visible: &[4, 0], box_label: &[0, 0, 1], labels: 2 });
    static SETS: LazyLock<Sets> = LazyLock::new(|| Sets {
        boxes: Ragged::from_iter([vec![0, 1, 2], vec![2]]),
        entries: Ragged::from_iter([vec![Entry { set: 0, count: 3 }, Entry { set: 1, count: 1 }], vec![]]),
    });

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
