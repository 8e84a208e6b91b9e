//! CPU reference. Every function fails with [`Error::Invalid`] if the slices' lengths do not fit together.

use super::Truth;
use crate::{
    error::{Error, Result},
    ops::basic::{softmax, sum},
};
use num_traits::Float;

struct Sums<T> {
    both: Vec<T>,
    truth: Vec<T>,
    predicted: Vec<T>,
}

fn sums<T: Float>(predicted: &[T], truth: &Truth<T>) -> Sums<T> {
    let over = |j: usize, value: fn(T, T, T) -> T| {
        sum::block(truth.valid.iter().enumerate().map(|(s, &valid)| {
            let at = s * truth.columns + j;
            let n = T::from(truth.sizes[s]).expect("a count is a float");
            if valid { value(n, truth.shares[at], predicted[at]) } else { T::zero() }
        }))
    };
    let all = |value| (0..truth.columns).map(|j| over(j, value)).collect();
    Sums { both: all(|n, g, p| n * g * p), truth: all(|n, g, _| n * g), predicted: all(|n, _, p| n * p) }
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
    Ok(sum::warp(riou[1..].iter().map(|&r| T::one() - r)) / parts)
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
    let rows = predicted.chunks_exact(truth.columns).zip(label).zip(truth.valid);
    let sum = sum::block(rows.map(|((row, &label), &valid)| {
        if !valid {
            return T::zero();
        }
        let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
        let exps = sum::warp(row.iter().map(|&p| softmax::cpu::exp(p - largest)));
        // In f64 for the same reason as the exponential.
        let log = exps.to_f64().expect("a float is an f64").ln();
        T::from(log).expect("an f64 is a float") + largest - row[label as usize]
    }));
    Ok(sum / valid(truth))
}

/// Gradient of [`cross_entropy`] with respect to `predicted`, `[S, L + 1]`.
///
/// # Errors
/// See [`cpu`](self).
pub fn cross_entropy_backward<T: Float>(predicted: &[T], label: &[u32], truth: &Truth<T>) -> Result<Vec<T>> {
    check_labels(predicted, label, truth)?;
    let count = valid(truth);
    let mut grad = softmax::cpu::forward(predicted, truth.columns)?;
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
