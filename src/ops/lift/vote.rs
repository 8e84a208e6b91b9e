//! Vote: every superpoint's score for every part, and its gradient (paper eq. 5).
//!
//! ```text
//! score[s, 1 + j] = sum_e count(e) max(0, max_{b in set(e), label(b) = j} W(b)) / (n_s + 1e-6)     e: entries of s
//! score[s, 0]     = max(W_null, 5e-4)
//! ```
//! Where several boxes have the largest weight, the gradient goes to the first in the set's order.

use crate::error::Result;
use crate::ops::expect_len;
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
        let expect = |what, found, wanted| expect_len("vote", what, found, wanted);
        expect("weights [B]", weights.len(), self.box_label.len())?;
        expect("visible [S]", self.visible.len(), self.entry_offsets.len() - 1)?;
        expect("entry_count [E]", self.entry_count.len(), self.entry_set.len())
    }

    fn norm<T: Float>(&self, s: usize) -> T {
        T::from(self.visible[s]).expect("a count is a float") + T::from(1e-6).expect("a constant is a float")
    }

    /// The boxes of a set.
    fn set(&self, set: usize) -> &[u32] {
        &self.set_boxes[self.set_offsets[set] as usize..self.set_offsets[set + 1] as usize]
    }

    /// The winning box of every label that has one of positive weight in a set.
    fn winners<T: Float>(&self, set: usize, weights: &[T]) -> impl Iterator<Item = usize> {
        let same = |a: &u32, b: &u32| self.box_label[*a as usize] == self.box_label[*b as usize];
        self.set(set).chunk_by(same).filter_map(|of_label| {
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

/// The entries grouped by set, superpoints ascending within each: what the gradient runs over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BySet {
    /// Where each set's entries begin, `[D + 1]`.
    pub offsets: Vec<u32>,
    /// The superpoint of each, `[E]`.
    pub superpoint: Vec<u32>,
    /// The count of each, `[E]`.
    pub count: Vec<u32>,
}

/// CPU reference.
pub mod cpu {
    use super::{BySet, Input, MIN_NULL};
    use crate::{
        error::{Error, Result},
        ops::basic::sum,
    };
    use num_traits::Float;
    use rayon::prelude::*;

    /// Scores, `[S, L + 1]`, column 0 = null.
    ///
    /// `weights`: `[B]`; `null`: the null box's. An entry adds to lane i % 32, i its place in the superpoint.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the slices' lengths do not fit together.
    pub fn forward<T: Float + Send + Sync>(input: &Input, weights: &[T], null: T) -> Result<Vec<T>> {
        input.check(weights)?;
        let columns = input.labels + 1;
        let null = null.max(T::from(MIN_NULL).expect("a constant is a float"));
        let mut scores = vec![T::zero(); input.visible.len() * columns];
        let each = scores.par_chunks_exact_mut(columns).enumerate();
        each.for_each_init(
            || vec![sum::Warp::new(); input.labels],
            |votes, (s, row)| {
                votes.fill(sum::Warp::new());
                let entries = input.entry_offsets[s] as usize..input.entry_offsets[s + 1] as usize;
                for (i, e) in entries.enumerate() {
                    let count = T::from(input.entry_count[e]).expect("a count is a float");
                    for b in input.winners(input.entry_set[e] as usize, weights) {
                        votes[input.box_label[b] as usize].add(i, count * weights[b]);
                    }
                }
                let norm = input.norm::<T>(s);
                row[0] = null;
                row[1..].iter_mut().zip(&*votes).for_each(|(score, votes)| *score = votes.total() / norm);
            },
        );
        Ok(scores)
    }

    /// Gradients of the box weights, `[B]`, and of the null weight, from those of the scores.
    ///
    /// `grad_scores`: `[S, L + 1]`. Sums run over the entries of every set and then over the sets, in trees.
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
        let by_set = by_set(input);
        let mut grad = vec![sum::Block::new(); weights.len()];
        for (set, range) in by_set.offsets.windows(2).enumerate() {
            for b in input.winners(set, weights) {
                let column = 1 + input.box_label[b] as usize;
                grad[b].add(
                    set,
                    sum::warp((range[0] as usize..range[1] as usize).map(|i| {
                        let s = by_set.superpoint[i] as usize;
                        let count = T::from(by_set.count[i]).expect("a count is a float");
                        count * grad_scores[s * columns + column] / input.norm(s)
                    })),
                );
            }
        }
        let alive = null > T::from(MIN_NULL).expect("a constant is a float");
        let grad_null = sum::block(grad_scores.iter().step_by(columns).copied());
        let grad = grad.iter().map(sum::Block::total).collect();
        Ok((grad, if alive { grad_null } else { T::zero() }))
    }

    /// Groups the entries by set.
    pub fn by_set(input: &Input) -> BySet {
        let mut offsets = vec![0; input.set_offsets.len()];
        for &set in input.entry_set {
            offsets[set as usize + 1] += 1;
        }
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let mut next = offsets.clone();
        let mut by_set = BySet {
            offsets,
            superpoint: vec![0; input.entry_set.len()],
            count: vec![0; input.entry_set.len()],
        };
        for (s, range) in input.entry_offsets.windows(2).enumerate() {
            for e in range[0] as usize..range[1] as usize {
                let at = &mut next[input.entry_set[e] as usize];
                by_set.superpoint[*at as usize] = s as u32;
                by_set.count[*at as usize] = input.entry_count[e];
                *at += 1;
            }
        }
        by_set
    }
}

/// On a CUDA device. Nothing here allocates or waits but [`cuda::by_set`] and [`cuda::Workspace::new`], so that a
/// training step can be captured.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::MIN_NULL;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, VoteDims, VoteEntriesDims},
        },
        error::Result,
        ops::{basic::sort, expect_len},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const WARP: usize = 32;

    /// The compressed memberships that vote, as [`Input`](super::Input).
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// `[D + 1]`.
        pub set_offsets: &'a Buffer<u32>,
        /// The boxes of each set.
        pub set_boxes: &'a Buffer<u32>,
        /// `[S + 1]`.
        pub entry_offsets: &'a Buffer<u32>,
        /// `[E]`.
        pub entry_set: &'a Buffer<u32>,
        /// `[E]`.
        pub entry_count: &'a Buffer<u32>,
        /// `[S]`.
        pub visible: &'a Buffer<u32>,
        /// `[B]`.
        pub box_label: &'a Buffer<u32>,
        /// L.
        pub labels: usize,
    }

    impl Input<'_> {
        fn sets(&self) -> usize {
            self.set_offsets.len().saturating_sub(1)
        }

        fn check(&self, weights: usize, null: usize, workspace: &Workspace) -> Result<VoteDims> {
            let (s, cells) = (self.visible.len(), self.sets() * self.labels);
            expect_len("vote", "weights [B]", weights, self.box_label.len())?;
            expect_len("vote", "null [1]", null, 1)?;
            expect_len("vote", "entry_offsets [S + 1]", self.entry_offsets.len(), s + 1)?;
            expect_len("vote", "entry_count [E]", self.entry_count.len(), self.entry_set.len())?;
            expect_len("vote", "the workspace [D, L]", workspace.winner.len(), cells)?;
            Ok(VoteDims {
                superpoints: s as u32,
                boxes: self.box_label.len() as u32,
                sets: self.sets() as u32,
                labels: self.labels as u32,
                min_null: MIN_NULL as f32,
                epsilon: 1e-6,
            })
        }
    }

    /// [`BySet`](super::BySet) on the device.
    #[derive(Debug)]
    pub struct BySet {
        /// `[D + 1]`.
        pub offsets: Buffer<u32>,
        /// `[E]`.
        pub superpoint: Buffer<u32>,
        /// `[E]`.
        pub count: Buffer<u32>,
    }

    /// What the steps hand on.
    #[derive(Debug)]
    pub struct Workspace {
        /// The box that wins each label in each set, `[D, L]`.
        winner: Buffer<u32>,
        /// The gradient of what each set gives each label, `[D, L]`.
        pull: Buffer<f32>,
    }

    impl Workspace {
        /// Room for the sets and labels of `input`.
        ///
        /// # Errors
        /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
        pub fn new(gpu: &Gpu, input: &Input) -> Result<Workspace> {
            let cells = input.sets() * input.labels;
            Ok(Workspace { winner: gpu.alloc(cells)?, pull: gpu.alloc(cells)? })
        }
    }

    /// Scores, `[S, L + 1]`, column 0 = null, bit for bit the reference's, and which superpoints have an entry, `[S]`.
    ///
    /// `weights`: `[B]`; `null`: `[1]`; `workspace`: knows the winners afterwards.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn forward(
        gpu: &Gpu,
        input: &Input,
        weights: &impl DevicePtr<f32>,
        null: &impl DevicePtr<f32>,
        workspace: &mut Workspace,
        scores: &mut impl DevicePtrMut<f32>,
        valid: &mut Buffer<u8>,
    ) -> Result<()> {
        let d = input.check(weights.len(), null.len(), workspace)?;
        let s = input.visible.len();
        expect_len("vote", "scores [S, L + 1]", scores.len(), s * (input.labels + 1))?;
        expect_len("vote", "valid [S]", valid.len(), s)?;
        let Input {
            set_offsets,
            set_boxes,
            entry_offsets,
            entry_set,
            entry_count,
            visible,
            box_label,
            labels,
        } = *input;
        let Workspace { winner, .. } = workspace;
        let grid = blocks(input.sets() * labels, 256);
        kernels::vote_winners(gpu, grid, set_offsets, set_boxes, box_label, weights, winner, d)?;
        kernels::vote_forward(
            gpu,
            blocks(s * labels * WARP, 256),
            entry_offsets,
            entry_set,
            entry_count,
            visible,
            &*winner,
            weights,
            null,
            scores,
            valid,
            d,
        )
    }

    /// Gradients of the box weights, `[B]`, and of the null weight, `[1]`, from those of the scores, bit for bit the
    /// reference's.
    ///
    /// `grad_scores`: `[S, L + 1]`; `workspace`: as [`forward`] left it.
    ///
    /// # Errors
    /// As [`forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        gpu: &Gpu,
        input: &Input,
        by_set: &BySet,
        null: &impl DevicePtr<f32>,
        grad_scores: &Buffer<f32>,
        workspace: &mut Workspace,
        grad_weights: &mut Buffer<f32>,
        grad_null: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        let d = input.check(grad_weights.len(), null.len(), workspace)?;
        let cells = input.sets() * input.labels;
        expect_len(
            "vote",
            "grad_scores [S, L + 1]",
            grad_scores.len(),
            input.visible.len() * (input.labels + 1),
        )?;
        expect_len("vote", "grad_null [1]", grad_null.len(), 1)?;
        expect_len("vote", "by_set offsets [D + 1]", by_set.offsets.len(), input.set_offsets.len())?;
        let Workspace { winner, pull } = workspace;
        kernels::vote_backward_sets(
            gpu,
            blocks(cells * WARP, 256),
            &by_set.offsets,
            &by_set.superpoint,
            &by_set.count,
            input.visible,
            &*winner,
            grad_scores,
            pull,
            d,
        )?;
        let grid = [input.box_label.len() as u32 + 1, 1, 1];
        kernels::vote_backward_boxes(
            gpu,
            grid,
            &*winner,
            &*pull,
            input.box_label,
            null,
            grad_scores,
            grad_weights,
            grad_null,
            d,
        )
    }

    /// Groups the entries by set; done once for an object, as long as its boxes stay.
    ///
    /// # Errors
    /// As [`forward`].
    pub fn by_set(gpu: &Gpu, input: &Input) -> Result<BySet> {
        let (entries, sets) = (input.entry_set.len(), input.sets());
        let superpoints = input.visible.len();
        expect_len("vote", "entry_offsets [S + 1]", input.entry_offsets.len(), superpoints + 1)?;
        expect_len("vote", "entry_count [E]", input.entry_count.len(), entries)?;
        let d =
            VoteEntriesDims { superpoints: superpoints as u32, sets: sets as u32, entries: entries as u32 };
        let mut pairs = sort::cuda::Pairs::new(gpu, entries)?;
        let mut workspace = sort::cuda::Workspace::new(gpu, entries)?;
        let mut superpoint_of = gpu.alloc(entries)?;
        let grid = blocks(superpoints * WARP, 256);
        kernels::vote_entries(
            gpu,
            grid,
            input.entry_offsets,
            input.entry_set,
            &mut pairs.keys,
            &mut pairs.values,
            &mut superpoint_of,
            d,
        )?;
        sort::cuda::pairs(gpu, &mut pairs, entries, usize::BITS - sets.leading_zeros(), &mut workspace)?;
        let mut by_set = BySet {
            offsets: gpu.alloc(sets + 1)?,
            superpoint: gpu.alloc(entries)?,
            count: gpu.alloc(entries)?,
        };
        kernels::vote_by_set(
            gpu,
            blocks(entries.max(sets + 1), 256),
            &pairs.keys,
            &pairs.values,
            &superpoint_of,
            input.entry_count,
            &mut by_set.offsets,
            &mut by_set.superpoint,
            &mut by_set.count,
            d,
        )?;
        Ok(by_set)
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
