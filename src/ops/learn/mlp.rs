//! The weight network: what every box's vote counts, from its features and those of the shape's other boxes
//! (paper section 4.2, eq. 7), and its gradient.
//!
//! ```text
//! a    = x W_in^T + b_in                              x: [B, C], W_in: [C, C]
//! n    = (a - mean(a)) / std(a)                       context norm: per channel, over all boxes; biased std
//! W(b) = max(10 + w_out . (x + max(n, 0)) + b_out, 0)
//! ```
//! QUIRK first bias: the context norm takes b_in away again, so it is neither read nor learned; it is there because the
//! authors' checkpoints hold it. QUIRK no epsilon: std stands alone; where it is 0 (one box, a channel that is the same
//! in all boxes) the authors get NaN, and we n = 0.

use crate::error::{Error, Result};

/// Added to the network's output, so that training starts from equal weights.
pub const OFFSET: f64 = 10.0;

/// The network's parameters, and likewise their gradients, as one row of numbers: W_in, b_in, w_out, b_out.
pub fn parameters(channels: usize) -> usize {
    channels * channels + 2 * channels + 1
}

/// The parameters by name.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a, T> {
    /// W_in, `[C, C]`, a row per output.
    pub weight_in: &'a [T],
    /// b_in, `[C]`.
    pub bias_in: &'a [T],
    /// w_out, `[C]`.
    pub weight_out: &'a [T],
    /// b_out.
    pub bias_out: &'a T,
}

impl<'a, T> Parameters<'a, T> {
    /// Splits [`parameters`] many numbers.
    ///
    /// # Panics
    /// If they are fewer.
    pub fn split(values: &'a [T], channels: usize) -> Parameters<'a, T> {
        let (weight_in, rest) = values.split_at(channels * channels);
        let (bias_in, rest) = rest.split_at(channels);
        let (weight_out, rest) = rest.split_at(channels);
        Parameters { weight_in, bias_in, weight_out, bias_out: &rest[0] }
    }
}

fn check<T>(values: &[T], x: &[T], channels: usize) -> Result<()> {
    if values.len() != parameters(channels) {
        let (found, wanted) = (values.len(), parameters(channels));
        return Err(Error::invalid(format!("mlp: {found} parameters for {channels} channels, not {wanted}")));
    }
    if channels == 0 || !x.len().is_multiple_of(channels) {
        let found = x.len();
        return Err(Error::invalid(format!("mlp: x [B, C] has {found} elements, no rows of {channels}")));
    }
    Ok(())
}

/// CPU reference.
pub mod cpu {
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
        let p = Parameters::split(values, channels);
        let boxes = x.len() / channels;
        let mut normal =
            multiply(Matrix::new(x, boxes, channels), Matrix::new(p.weight_in, channels, channels).t());
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
        let p = Parameters::split(values, channels);
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
        let means =
            |sums: sum::Columns<T>| sums.totals().into_iter().map(|s: T| s / count).collect::<Vec<T>>();
        let (mean, mean_n) = (means(sums), means(sums_n));
        for (grad, n) in grad_a.chunks_exact_mut(channels).zip(seen.normal.chunks_exact(channels)) {
            for c in 0..channels {
                let centred = grad[c] - mean[c] - n[c] * mean_n[c];
                grad[c] = if seen.deviation[c] > T::zero() { centred / seen.deviation[c] } else { T::zero() };
            }
        }
        let mut grad = multiply(Matrix::new(&grad_a, boxes, channels).t(), Matrix::new(x, boxes, channels));
        grad.reserve_exact(parameters(channels) - grad.len());
        grad.extend(std::iter::repeat_n(T::zero(), channels));
        grad.extend(grad_out.totals());
        grad.push(grad_bias.total());
        Ok(grad)
    }
}

/// On a CUDA device. Nothing here allocates or waits but [`cuda::Workspace::new`], so that a training step can be
/// captured. Given the same product x W_in^T, every sum is the reference's bit for bit; the products are those of
/// [`matmul::cuda`](super::matmul::cuda).
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{OFFSET, parameters};
    use crate::{
        device::gpu::{
            Buffer, Gpu, View, ViewMut, blocks,
            kernels::{self, MlpDims},
        },
        error::{Error, Result},
        ops::{basic::matmul, expect_len},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const WARP: usize = 32;

    /// What forward hands to backward, and their room to work in.
    #[derive(Debug)]
    pub struct Workspace {
        boxes: usize,
        channels: usize,
        /// x W_in^T, `[slices, B, C]`.
        product: Buffer<f32>,
        /// n, before the relu, `[B, C]`.
        pub normal: Buffer<f32>,
        /// std(a), `[C]`.
        pub deviation: Buffer<f32>,
    }

    impl Workspace {
        /// Room for B boxes of C channels.
        ///
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, boxes: usize, channels: usize) -> Result<Workspace> {
            Ok(Workspace {
                boxes,
                channels,
                product: gpu.alloc(matmul::cuda::slices(channels) * boxes * channels)?,
                normal: gpu.alloc(boxes * channels)?,
                deviation: gpu.alloc(channels)?,
            })
        }

        fn check(&self, values: usize, x: usize, weights: usize) -> Result<MlpDims> {
            let Workspace { boxes, channels, .. } = *self;
            if channels == 0 {
                return Err(Error::invalid("mlp: 0 channels; at least 1 is needed"));
            }
            expect_len("mlp", "values", values, parameters(channels))?;
            expect_len("mlp", "x [B, C]", x, boxes * channels)?;
            expect_len("mlp", "weights [B]", weights, boxes)?;
            Ok(MlpDims {
                boxes: boxes as u32,
                channels: channels as u32,
                slices: matmul::cuda::slices(channels) as u32,
                offset: OFFSET as f32,
            })
        }
    }

    /// Weighs the boxes. `values`: the parameters; `x`: `[B, C]`; `weights`: `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit, [`Error::Device`] if the driver refuses.
    pub fn forward(
        gpu: &Gpu,
        values: &View<f32>,
        x: &Buffer<f32>,
        workspace: &mut Workspace,
        weights: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        let d = workspace.check(values.len(), x.len(), weights.len())?;
        let Workspace { boxes, channels, product, normal, deviation } = workspace;
        let weight_in = values.slice(..*channels * *channels);
        matmul::cuda::by_transpose(gpu, [*boxes, *channels, *channels], x, &weight_in, product)?;
        kernels::mlp_normalize(gpu, blocks(*channels, WARP as u32), &*product, normal, deviation, d)?;
        kernels::mlp_weigh(gpu, blocks(*boxes * WARP, 128), values, x, &*normal, weights, d)
    }

    /// Gradients of the parameters, as many, from those of the weights, `[B]`.
    ///
    /// `weights`, `workspace`: as [`forward`] left them; the workspace is good for no second backward.
    ///
    /// # Errors
    /// As [`forward`].
    pub fn backward(
        gpu: &Gpu,
        values: &View<f32>,
        x: &Buffer<f32>,
        workspace: &mut Workspace,
        weights: &impl DevicePtr<f32>,
        grad_weights: &Buffer<f32>,
        grad: &mut ViewMut<f32>,
    ) -> Result<()> {
        let d = workspace.check(values.len(), x.len(), weights.len())?;
        let Workspace { boxes, channels, product, normal, deviation } = workspace;
        expect_len("mlp", "grad_weights [B]", grad_weights.len(), *boxes)?;
        expect_len("mlp", "grad", grad.len(), parameters(*channels))?;
        // The product is no longer needed; its first slice has the room for the gradient of a.
        let mut grad_a = product.slice_mut(..*boxes * *channels);
        let grid = blocks(*channels, WARP as u32);
        let (normal, deviation) = (&*normal, &*deviation);
        kernels::mlp_backward(
            gpu,
            grid,
            values,
            x,
            normal,
            deviation,
            weights,
            grad_weights,
            &mut grad_a,
            grad,
            d,
        )?;
        let mut grad_in = grad.slice_mut(..*channels * *channels);
        matmul::cuda::of_transpose(gpu, [*channels, *channels, *boxes], &grad_a, x, &mut grad_in)
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu, parameters};

    #[test]
    fn one_box_and_equal_boxes_are_finite() {
        let channels = 3;
        let values: Vec<f32> = (0..parameters(channels)).map(|i| 0.1 * i as f32 - 0.7).collect();
        for boxes in [0, 1, 5] {
            let x = [0.3f32, -0.1, 0.7].repeat(boxes);
            let seen = cpu::forward(&values, &x, channels).unwrap();
            assert!(seen.normal.iter().chain(&seen.deviation).all(|&v| v == 0.0));
            let expected = 10.0 + (0.3 * values[12] - 0.1 * values[13] + 0.7 * values[14]) + values[15];
            seen.weights.iter().for_each(|&w| approx::assert_relative_eq!(w, expected, epsilon = 1e-5));
            let grad = cpu::backward(&values, &x, channels, &seen, &vec![1.0; boxes]).unwrap();
            assert_eq!(grad.len(), values.len());
            assert!(grad[..12].iter().all(|&g| g == 0.0));
            assert_eq!(grad[15], boxes as f32);
        }
    }

    #[test]
    fn the_first_bias_has_no_say() {
        let x = [0.5, 1.0, -1.0, 0.25, 2.0, -0.5];
        let mut values = vec![0.3f64, -0.2, 0.9, 0.1, 0.0, 0.0, 1.0, -1.0, 0.5];
        let without = cpu::forward(&values, &x, 2).unwrap();
        values[4..6].copy_from_slice(&[3.0, -8.0]);
        assert_eq!(cpu::forward(&values, &x, 2).unwrap(), without);
    }

    #[test]
    fn a_weight_is_never_negative_and_then_does_not_learn() {
        let (x, values) = ([1.0f32, 3.0], [0.0f32, 0.0, -4.0, 0.0]);
        let seen = cpu::forward(&values, &x, 1).unwrap();
        assert_eq!(seen.weights, [6.0, 0.0]);
        assert_eq!(cpu::backward(&values, &x, 1, &seen, &[1.0, 5.0]).unwrap(), [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn lengths_are_checked() {
        let values = [0.0f32; 9];
        assert!(cpu::forward(&values, &[0.0; 3], 2).unwrap_err().to_string().contains("rows of 2"));
        assert!(cpu::forward(&values, &[0.0; 3], 3).unwrap_err().to_string().contains("not 16"));
        let seen = cpu::forward(&values, &[0.0; 4], 2).unwrap();
        assert!(
            cpu::backward(&values, &[0.0; 4], 2, &seen, &[0.0]).unwrap_err().to_string().contains("boxes")
        );
    }
}
