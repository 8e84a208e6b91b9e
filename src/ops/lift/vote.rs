//! Vote: every superpoint's score for every part, and its gradient (paper eq. 5).
//!
//! ```text
//! score[s, 1 + j] = sum_e count(e) max(0, max_{b in set(e), label(b) = j} W(b)) / (n_s + 1e-6)     e: entries of s
//! score[s, 0]     = max(W_null, 5e-4)
//! ```
//! Where several boxes have the largest weight, the gradient goes to the first in the set's order.

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

/// CPU reference.
pub mod cpu {
    use super::{BySet, Input, MIN_NULL, Ragged};
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
                for (i, entry) in input.sets.entries.row(s).iter().enumerate() {
                    let count = T::from(entry.count).expect("a count is a float");
                    for b in input.winners(entry.set as usize, weights) {
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
        for (set, entries) in by_set.rows().enumerate() {
            for b in input.winners(set, weights) {
                let column = 1 + input.box_label[b] as usize;
                grad[b].add(
                    set,
                    sum::warp(entries.iter().map(|&(s, count)| {
                        let count = T::from(count).expect("a count is a float");
                        count * grad_scores[s as usize * columns + column] / input.norm(s as usize)
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
        let entries = &input.sets.entries;
        let of_superpoint =
            (0..).zip(entries.rows()).flat_map(|(s, row)| row.iter().map(move |entry| (s, entry.count)));
        let entry: Vec<(u32, u32)> = of_superpoint.collect();
        let sets = entries.map(|entry| entry.set);
        Ragged::members(sets.values(), input.sets.boxes.len()).map(|&at| entry[at as usize])
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
        ops::{basic::sort, expect_len, lift::membership::cuda::Sets},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const WARP: usize = 32;

    /// The compressed memberships that vote, as [`Input`](super::Input).
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// The distinct sets and every superpoint's entries.
        pub sets: &'a Sets,
        /// `[S]`.
        pub visible: &'a Buffer<u32>,
        /// `[B]`.
        pub box_label: &'a Buffer<u32>,
        /// L.
        pub labels: usize,
    }

    impl Input<'_> {
        fn sets(&self) -> usize {
            self.sets.boxes.len()
        }

        fn check(&self, weights: usize, null: usize, workspace: &Workspace) -> Result<VoteDims> {
            let (s, cells) = (self.visible.len(), self.sets() * self.labels);
            expect_len("vote", "weights [B]", weights, self.box_label.len())?;
            expect_len("vote", "null [1]", null, 1)?;
            expect_len("vote", "sets [S]", self.sets.superpoints(), s)?;
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
        let Input { sets, visible, box_label, labels } = *input;
        let Sets { boxes, entry_offsets, entry_set, entry_count } = sets;
        let Workspace { winner, .. } = workspace;
        let grid = blocks(input.sets() * labels, 256);
        kernels::vote_winners(gpu, grid, &boxes.offsets, &boxes.values, box_label, weights, winner, d)?;
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
        expect_len("vote", "by_set offsets [D + 1]", by_set.offsets.len(), input.sets() + 1)?;
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
        let Sets { entry_offsets, entry_set, entry_count, .. } = input.sets;
        let (entries, sets, superpoints) = (entry_set.len(), input.sets(), input.visible.len());
        expect_len("vote", "sets [S]", input.sets.superpoints(), superpoints)?;
        let d =
            VoteEntriesDims { superpoints: superpoints as u32, sets: sets as u32, entries: entries as u32 };
        let mut pairs = sort::cuda::Pairs::new(gpu, entries)?;
        let mut workspace = sort::cuda::Workspace::new(gpu, entries)?;
        let mut superpoint_of = gpu.alloc(entries)?;
        let grid = blocks(superpoints * WARP, 256);
        kernels::vote_entries(
            gpu,
            grid,
            entry_offsets,
            entry_set,
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
            entry_count,
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
