//! Matrix products.

use crate::error::{Error, Result};

/// A matrix, or the transpose of one.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    /// Elements between neighbours in a column and in a row.
    strides: [usize; 2],
}

impl<'a, T> Matrix<'a, T> {
    /// `data`: row by row.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are not so many.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Result<Matrix<'a, T>> {
        if Some(data.len()) != rows.checked_mul(columns) {
            let found = data.len();
            return Err(Error::invalid(format!(
                "matmul: {found} numbers for a matrix of {rows} x {columns}"
            )));
        }
        Ok(Matrix { data, rows, columns, strides: [columns, 1] })
    }

    /// The transpose.
    pub fn t(self) -> Matrix<'a, T> {
        let Matrix { data, rows, columns, strides: [row, column] } = self;
        Matrix { data, rows: columns, columns: rows, strides: [column, row] }
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Error, Matrix, Result};
    use num_traits::{Float, NumAssign};
    use rayon::prelude::*;
    use std::fmt::Debug;

    /// f32 or f64.
    pub trait Real: Float + NumAssign + Debug + Send + Sync + 'static {
        /// c = a b, as `matrixmultiply` has it.
        ///
        /// # Safety
        /// All elements that dimensions and strides reach must be there: to be read at `a` and `b`, written at `c`.
        #[allow(clippy::too_many_arguments)]
        unsafe fn gemm(
            dims: [usize; 3],
            a: *const Self,
            a_strides: [isize; 2],
            b: *const Self,
            b_strides: [isize; 2],
            c: *mut Self,
        );

        /// A number as this type.
        fn of(value: f64) -> Self {
            Self::from(value).expect("f64 is a float")
        }
    }

    macro_rules! real {
        ($t:ty, $gemm:path) => {
            impl Real for $t {
                unsafe fn gemm(
                    [m, k, n]: [usize; 3],
                    a: *const $t,
                    [ra, ca]: [isize; 2],
                    b: *const $t,
                    [rb, cb]: [isize; 2],
                    c: *mut $t,
                ) {
                    // SAFETY: the caller's promise; c is m rows of n.
                    unsafe { $gemm(m, k, n, 1.0, a, ra, ca, b, rb, cb, 0.0, c, n as isize, 1) }
                }
            }
        };
    }

    real!(f32, matrixmultiply::sgemm);
    real!(f64, matrixmultiply::dgemm);

    /// Rows of the product that one task computes.
    const PANEL: usize = 64;

    /// a b, row by row, `[a.rows, b.columns]`. The bits depend on the machine's vector units, not on the threads.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a has not as many columns as b has rows.
    pub fn multiply<T: Real>(a: Matrix<T>, b: Matrix<T>) -> Result<Vec<T>> {
        if a.columns != b.rows {
            let (columns, rows) = (a.columns, b.rows);
            return Err(Error::invalid(format!("matmul: a has {columns} columns, b {rows} rows")));
        }
        let mut c = vec![T::zero(); a.rows * b.columns];
        if c.is_empty() || a.columns == 0 {
            return Ok(c);
        }
        let strides = |m: &Matrix<T>| m.strides.map(|stride| stride as isize);
        c.par_chunks_mut(PANEL * b.columns).enumerate().for_each(|(panel, c)| {
            let dims = [c.len() / b.columns, a.columns, b.columns];
            let first = &a.data[panel * PANEL * a.strides[0]..];
            // SAFETY: a matrix holds all elements that its dimensions and strides reach (checked when it was made);
            // the panel's rows begin at `first` and are among a's; c is so many rows.
            unsafe {
                T::gemm(dims, first.as_ptr(), strides(&a), b.data.as_ptr(), strides(&b), c.as_mut_ptr());
            }
        });
        Ok(c)
    }
}

/// On a CUDA device, in f32. Nothing here allocates or waits, so that a training step can be captured.
///
/// Every product is summed in ascending order with fused additions, so that it is within `K 2^-24 sum |a b|` of the exact
/// one, K the inner dimension; so is the reference's, in another order. Always the same bits.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Gpu,
            kernels::{self, MatmulDims},
        },
        error::Result,
        ops::expect_len,
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const TILE: usize = 32;
    /// Of the inner dimension, that a block sums over where the output is too small to fill a GPU.
    const SLICE: usize = 96;

    /// Slices of the inner dimension `inner` that [`by_transpose`] makes; the sum of none is one, of zeros.
    pub fn slices(inner: usize) -> usize {
        inner.div_ceil(SLICE).max(1)
    }

    fn launch_dims([m, n, k]: [usize; 3], slice: usize) -> ([u32; 3], MatmulDims) {
        let grid = [n.div_ceil(TILE), m.div_ceil(TILE), k.div_ceil(slice).max(1)].map(|side| side as u32);
        (grid, MatmulDims { rows: m as u32, columns: n as u32, inner: k as u32, slice: slice as u32 })
    }

    /// a b^T in [`slices`] of the inner dimension, whose sum it is. `dims`: M, N, K; `a`: `[M, K]`, `b`: `[N, K]`, `c`:
    /// `[slices, M, N]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn by_transpose(
        gpu: &Gpu,
        dims: [usize; 3],
        a: &impl DevicePtr<f32>,
        b: &impl DevicePtr<f32>,
        c: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        let [m, n, k] = dims;
        expect_len("matmul", "a [M, K]", a.len(), m * k)?;
        expect_len("matmul", "b [N, K]", b.len(), n * k)?;
        expect_len("matmul", "c [slices, M, N]", c.len(), slices(k) * m * n)?;
        let (grid, d) = launch_dims(dims, SLICE);
        kernels::matmul_by_transpose(gpu, grid, a, b, c, d)
    }

    /// a^T b. `dims`: M, N, K; `a`: `[K, M]`, `b`: `[K, N]`, `c`: `[M, N]`.
    ///
    /// # Errors
    /// As [`by_transpose`].
    pub fn of_transpose(
        gpu: &Gpu,
        dims: [usize; 3],
        a: &impl DevicePtr<f32>,
        b: &impl DevicePtr<f32>,
        c: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        let [m, n, k] = dims;
        expect_len("matmul", "a [K, M]", a.len(), k * m)?;
        expect_len("matmul", "b [K, N]", b.len(), k * n)?;
        expect_len("matmul", "c [M, N]", c.len(), m * n)?;
        let (grid, d) = launch_dims(dims, k.max(1));
        kernels::matmul_of_transpose(gpu, grid, a, b, c, d)
    }
}

#[cfg(test)]
mod tests {
    use super::{Matrix, cpu};

    #[test]
    fn products_and_transposes() {
        let (m, k, n) = (130, 7, 5);
        let a: Vec<f64> = (0..m * k).map(|i| ((i * 37) % 11) as f64 - 5.0).collect();
        let b: Vec<f64> = (0..k * n).map(|i| ((i * 53) % 13) as f64 - 6.0).collect();
        let expected: Vec<f64> =
            (0..m * n).map(|i| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum()).collect();
        let transposed = |x: &[f64], rows, columns| -> Vec<f64> {
            (0..rows * columns).map(|i| x[i % rows * columns + i / rows]).collect()
        };
        let (at, bt) = (transposed(&a, m, k), transposed(&b, k, n));
        let (a, b) = (Matrix::new(&a, m, k).unwrap(), Matrix::new(&b, k, n).unwrap());
        assert_eq!(cpu::multiply(a, b).unwrap(), expected);
        assert_eq!(
            cpu::multiply(Matrix::new(&at, k, m).unwrap().t(), Matrix::new(&bt, n, k).unwrap().t()).unwrap(),
            expected
        );
        assert!(
            cpu::multiply(Matrix::new(&[0f32; 0], 0, 3).unwrap(), Matrix::new(&[1.0; 6], 3, 2).unwrap())
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            cpu::multiply(Matrix::new(&[0f32; 0], 2, 0).unwrap(), Matrix::new(&[], 0, 1).unwrap()).unwrap(),
            [0.0; 2]
        );
    }
}
