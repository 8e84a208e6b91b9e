//! Softmax over the columns of every row (paper eq. 6). Panics without columns.

/// CPU reference.
pub mod cpu {
    use num_traits::Float;

    /// p = softmax(x) row by row. `x`: `[rows, columns]`.
    pub fn forward<T: Float>(x: &[T], columns: usize) -> Vec<T> {
        let mut p = x.to_vec();
        for row in p.chunks_exact_mut(columns) {
            let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
            let mut sum = T::zero();
            for v in row.iter_mut() {
                *v = (*v - largest).exp();
                sum = sum + *v;
            }
            row.iter_mut().for_each(|v| *v = *v / sum);
        }
        p
    }

    /// Gradient of x from that of p = softmax(x): p (grad - sum grad p). `p`, `grad`: `[rows, columns]`.
    pub fn backward<T: Float>(p: &[T], grad: &[T], columns: usize) -> Vec<T> {
        let mut out = grad.to_vec();
        for (row, p) in out.chunks_exact_mut(columns).zip(p.chunks_exact(columns)) {
            let inner = row.iter().zip(p).fold(T::zero(), |sum, (&g, &p)| sum + g * p);
            row.iter_mut().zip(p).for_each(|(g, &p)| *g = p * (*g - inner));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::cpu;

    #[test]
    fn large_scores_stay_finite() {
        assert_eq!(cpu::forward(&[1000.0f32, 1000.0, -1000.0], 3), [0.5, 0.5, 0.0]);
    }
}
