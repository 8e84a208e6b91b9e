//! Softmax over the columns of every row (paper eq. 6).

use crate::error::{Error, Result};

/// The number of rows in so many elements.
fn rows(len: usize, columns: usize) -> Result<usize> {
    if columns == 0 || !len.is_multiple_of(columns) {
        return Err(Error::invalid(format!("softmax: {len} elements are not rows of {columns} columns")));
    }
    Ok(len / columns)
}

/// CPU reference.
pub mod cpu {
    use super::{Result, rows};
    use crate::ops::{
        basic::{self, sum},
        expect_len,
    };
    use num_traits::Float;

    /// e^x by [`basic::exp`], x not positive.
    pub(crate) fn exp<T: Float>(x: T) -> T {
        let exact = basic::exp::exp(x.to_f64().expect("a float is an f64"));
        T::from(exact).expect("an f64 is a float")
    }

    /// p = softmax(x) row by row. `x`: `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if there are no columns, or x is no rows of so many.
    pub fn forward<T: Float>(x: &[T], columns: usize) -> Result<Vec<T>> {
        rows(x.len(), columns)?;
        let mut p = x.to_vec();
        for row in p.chunks_exact_mut(columns) {
            let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
            row.iter_mut().for_each(|v| *v = exp(*v - largest));
            let sum = sum::warp(row.iter().copied());
            row.iter_mut().for_each(|v| *v = *v / sum);
        }
        Ok(p)
    }

    /// Gradient of x from that of p = softmax(x): p (grad - sum grad p). `p`, `grad`: `[rows, columns]`.
    ///
    /// # Errors
    /// As [`forward`].
    pub fn backward<T: Float>(p: &[T], grad: &[T], columns: usize) -> Result<Vec<T>> {
        rows(p.len(), columns)?;
        expect_len("softmax", "grad [rows, columns]", grad.len(), p.len())?;
        let mut out = grad.to_vec();
        for (row, p) in out.chunks_exact_mut(columns).zip(p.chunks_exact(columns)) {
            let inner = sum::warp(row.iter().zip(p).map(|(&g, &p)| g * p));
            row.iter_mut().zip(p).for_each(|(g, &p)| *g = p * (*g - inner));
        }
        Ok(out)
    }
}

/// On a CUDA device. Nothing here allocates or waits, so that a training step can be captured.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, SoftmaxDims},
        },
        error::Result,
        ops::expect_len,
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const WARP: usize = 32;

    fn dims(len: usize, columns: usize) -> Result<([u32; 3], SoftmaxDims)> {
        let rows = super::rows(len, columns)?;
        Ok((blocks(rows * WARP, 256), SoftmaxDims { rows: rows as u32, columns: columns as u32 }))
    }

    /// p = softmax(x) row by row, bit for bit the reference's. `x`, `p`: `[rows, columns]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if the
    /// driver refuses.
    pub fn forward(
        gpu: &Gpu,
        x: &impl DevicePtr<f32>,
        columns: usize,
        p: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        let (grid, d) = dims(x.len(), columns)?;
        expect_len("softmax", "p [rows, columns]", p.len(), x.len())?;
        kernels::softmax_forward(gpu, grid, x, p, d)
    }

    /// Gradient of x from that of p = softmax(x), bit for bit the reference's. All: `[rows, columns]`.
    ///
    /// # Errors
    /// As [`forward`].
    pub fn backward(
        gpu: &Gpu,
        p: &impl DevicePtr<f32>,
        grad: &Buffer<f32>,
        columns: usize,
        out: &mut Buffer<f32>,
    ) -> Result<()> {
        let (grid, d) = dims(p.len(), columns)?;
        expect_len("softmax", "grad [rows, columns]", grad.len(), p.len())?;
        expect_len("softmax", "out [rows, columns]", out.len(), p.len())?;
        kernels::softmax_backward(gpu, grid, p, grad, out, d)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu;

    #[test]
    fn large_scores_stay_finite() {
        assert_eq!(cpu::forward(&[1000.0f32, 1000.0, -1000.0], 3).unwrap(), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        for columns in [0, 2] {
            assert!(cpu::forward(&[0.0f32; 3], columns).is_err());
            assert!(cpu::backward(&[0.0f32; 3], &[0.0; 3], columns).is_err());
        }
        assert!(cpu::backward(&[0.5f32; 4], &[0.0; 3], 2).is_err());
    }
}
