//! CPU reference.

use super::{OFFSET, Parameters, check, parameters};
use crate::{
    error::{Error, Result},
    ops::basic::{
        matmul::{
            Matrix,
            cpu::{Real, multiply},
        },
        sum,
    },
};

/// What the gradient needs to know of a forward pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activations<T> {
    /// n, before the relu, `[B, C]`.
    pub normal: Vec<T>,
    /// std(a), `[C]`.
    pub deviation: Vec<T>,
    /// W(b), `[B]`.
    pub weights: Vec<T>,
}

/// Weighs the boxes. `values`: the parameters; `x`: `[B, C]`; `channels`: C.
///
/// # Errors
/// [`Error::Invalid`] if the lengths do not fit together.
pub fn forward<T: Real>(values: &[T], x: &[T], channels: usize) -> Result<Activations<T>> {
    check(values, x, channels)?;
    let p = Parameters::split(values, channels)?;
    let boxes = x.len() / channels;
    let mut normal =
        multiply(Matrix::new(x, boxes, channels)?, Matrix::new(p.weight_in, channels, channels)?.t())?;
    let deviation = normalize(&mut normal, channels);
    let weight = |(x, n): (&[T], &[T])| {
        let hidden = x.iter().zip(n).map(|(&x, &n)| x + n.max(T::zero()));
        let out = sum::warp(p.weight_out.iter().zip(hidden).map(|(&w, h)| w * h));
        (T::of(OFFSET) + (out + *p.bias_out)).max(T::zero())
    };
    let weights = x.chunks_exact(channels).zip(normal.chunks_exact(channels)).map(weight).collect();
    Ok(Activations { normal, deviation, weights })
}

/// (a - mean) / std of every column; returns std. Counted from the first row, so that equal rows give exactly 0.
fn normalize<T: Real>(a: &mut [T], channels: usize) -> Vec<T> {
    let Some(first) = a.get(..channels).map(<[T]>::to_vec) else { return vec![T::zero(); channels] };
    let count = T::of((a.len() / channels) as f64);
    let mut sums = sum::Columns::new(channels);
    for (b, row) in a.chunks_exact_mut(channels).enumerate() {
        for ((a, &first), sum) in row.iter_mut().zip(&first).zip(sums.lane(b)) {
            *a -= first;
            *sum += *a;
        }
    }
    let means: Vec<T> = sums.totals().into_iter().map(|sum: T| sum / count).collect();
    let mut squares = sum::Columns::new(channels);
    for (b, row) in a.chunks_exact_mut(channels).enumerate() {
        for ((a, &mean), sum) in row.iter_mut().zip(&means).zip(squares.lane(b)) {
            *a -= mean;
            *sum += *a * *a;
        }
    }
    let deviation: Vec<T> = squares.totals().into_iter().map(|sum: T| (sum / count).sqrt()).collect();
    for row in a.chunks_exact_mut(channels) {
        for (a, &deviation) in row.iter_mut().zip(&deviation) {
            *a = if deviation > T::zero() { *a / deviation } else { T::zero() };
        }
    }
    deviation
}

/// Gradients of the parameters, from those of the weights, `[B]`.
///
/// # Errors
/// [`Error::Invalid`] if the lengths do not fit together.
pub fn backward<T: Real>(
    values: &[T],
    x: &[T],
    channels: usize,
    seen: &Activations<T>,
    grad_weights: &[T],
) -> Result<Vec<T>> {
    check(values, x, channels)?;
    let boxes = x.len() / channels;
    if grad_weights.len() != boxes || seen.weights.len() != boxes || seen.normal.len() != x.len() {
        return Err(Error::invalid(format!(
            "mlp: activations of {} and gradients of {} boxes for {boxes}",
            seen.weights.len(),
            grad_weights.len()
        )));
    }
    let p = Parameters::split(values, channels)?;
    let count = T::of(boxes as f64);
    let columns = || sum::Columns::new(channels);
    let (mut grad_out, mut grad_bias) = (columns(), sum::Warp::new());
    // d loss / d n, and its sums that the mean and the deviation pass on.
    let mut grad_a = vec![T::zero(); x.len()];
    let (mut sums, mut sums_n) = (columns(), columns());
    for b in (0..boxes).filter(|&b| seen.weights[b] > T::zero()) {
        let g = grad_weights[b];
        grad_bias.add(b, g);
        let row = b * channels..(b + 1) * channels;
        let (x, n, grad) = (&x[row.clone()], &seen.normal[row.clone()], &mut grad_a[row]);
        let (grad_out, sum, sum_n) = (grad_out.lane(b), sums.lane(b), sums_n.lane(b));
        for c in 0..channels {
            let active = n[c].max(T::zero());
            grad_out[c] += g * (x[c] + active);
            grad[c] = if n[c] > T::zero() { g * p.weight_out[c] } else { T::zero() };
            sum[c] += grad[c];
            sum_n[c] += grad[c] * active;
        }
    }
    let means = |sums: sum::Columns<T>| sums.totals().into_iter().map(|s: T| s / count).collect::<Vec<T>>();
    let (mean, mean_n) = (means(sums), means(sums_n));
    for (grad, n) in grad_a.chunks_exact_mut(channels).zip(seen.normal.chunks_exact(channels)) {
        for c in 0..channels {
            let centred = grad[c] - mean[c] - n[c] * mean_n[c];
            grad[c] = if seen.deviation[c] > T::zero() { centred / seen.deviation[c] } else { T::zero() };
        }
    }
    let mut grad = multiply(Matrix::new(&grad_a, boxes, channels)?.t(), Matrix::new(x, boxes, channels)?)?;
    grad.reserve_exact(parameters(channels) - grad.len());
    grad.extend(std::iter::repeat_n(T::zero(), channels));
    grad.extend(grad_out.totals());
    grad.push(grad_bias.total());
    Ok(grad)
}
