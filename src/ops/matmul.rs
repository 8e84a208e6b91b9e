//! Matrix products.

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
    /// # Panics
    /// If they are not so many.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        assert_eq!(Some(data.len()), rows.checked_mul(columns), "a matrix of {rows} x {columns}");
        Matrix { data, rows, columns, strides: [columns, 1] }
    }

    /// The transpose.
    pub fn t(self) -> Matrix<'a, T> {
        let Matrix { data, rows, columns, strides: [row, column] } = self;
        Matrix { data, rows: columns, columns: rows, strides: [column, row] }
    }
}

/// CPU reference.
pub mod cpu {
    use super::Matrix;
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
    /// # Panics
    /// If a has not as many columns as b has rows.
    pub fn multiply<T: Real>(a: Matrix<T>, b: Matrix<T>) -> Vec<T> {
        assert_eq!(a.columns, b.rows, "the inner dimensions of a product");
        let mut c = vec![T::zero(); a.rows * b.columns];
        if c.is_empty() || a.columns == 0 {
            return c;
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
        c
    }

    /// Sum of x y, in eight interleaved sums, so that it is fast and always the same.
    pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
        let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
        let mut sums = [T::zero(); 8];
        for (x, y) in x.iter().zip(y) {
            for i in 0..8 {
                sums[i] += x[i] * y[i];
            }
        }
        let [a, b, c, d, e, f, g, h] = sums;
        let sum = ((a + b) + (c + d)) + ((e + f) + (g + h));
        x_rest.iter().zip(y_rest).fold(sum, |sum, (&x, &y)| sum + x * y)
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
        let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
        assert_eq!(cpu::multiply(a, b), expected);
        assert_eq!(cpu::multiply(Matrix::new(&at, k, m).t(), Matrix::new(&bt, n, k).t()), expected);
        assert!(cpu::multiply(Matrix::new(&[0f32; 0], 0, 3), Matrix::new(&[1.0; 6], 3, 2)).is_empty());
        assert_eq!(cpu::multiply(Matrix::new(&[0f32; 0], 2, 0), Matrix::new(&[], 0, 1)), [0.0; 2]);
    }

    #[test]
    fn dots() {
        let x: Vec<f32> = (0..21).map(|i| i as f32).collect();
        assert_eq!(cpu::dot(&x, &x), 2870.0);
        assert_eq!(cpu::dot::<f32>(&[], &[]), 0.0);
    }
}
