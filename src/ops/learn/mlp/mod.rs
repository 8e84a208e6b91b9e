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

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::{
    error::{Error, Result},
    ops::expect_len,
};

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
    /// # Errors
    /// [`Error::Invalid`] if they are not so many.
    pub fn split(values: &'a [T], channels: usize) -> Result<Parameters<'a, T>> {
        expect_len("mlp", "parameters", values.len(), parameters(channels))?;
        let (weight_in, rest) = values.split_at(channels * channels);
        let (bias_in, rest) = rest.split_at(channels);
        let (weight_out, rest) = rest.split_at(channels);
        Ok(Parameters { weight_in, bias_in, weight_out, bias_out: &rest[0] })
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
