//! CPU reference.

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
pub fn backward<T: Float>(input: &Input, weights: &[T], null: T, grad_scores: &[T]) -> Result<(Vec<T>, T)> {
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
