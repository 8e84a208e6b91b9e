//! Weights of the neighbour graph: high between points that are close and look alike.
//!
//! w = (1 / (1 + d / mean(d) + |f_i - f_j| / mean(|f_i - f_j|)))^2 over the edges i -> j, the means over all edges; a
//! term whose mean is 0 counts 0 (the authors' `gen_superpoint`).

/// CPU reference.
pub mod cpu {
    use rayon::prelude::*;

    /// Edges that one task takes; the sums are made of its partial sums in order, whatever the thread count.
    const BATCH: usize = 1 << 14;

    /// `features`: `[N, D]`; `neighbors` and `distances`: `[N, k]`. Returns `[N, k]`.
    pub fn edge_weights<const D: usize>(
        features: &[[f32; D]],
        neighbors: &[u32],
        distances: &[f32],
        k: usize,
    ) -> Vec<f32> {
        let difference = |edge: usize| {
            let (a, b) = (&features[edge / k], &features[neighbors[edge] as usize]);
            (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>().sqrt()
        };
        let mut weights: Vec<f32> = (0..neighbors.len()).into_par_iter().map(difference).collect();
        let (apart, unlike) = (mean(distances), mean(&weights));
        let relative = |x: f32, mean: f64| if mean > 0.0 { x as f64 / mean } else { 0.0 };
        weights.par_iter_mut().zip(distances).for_each(|(weight, &distance)| {
            let root = (1.0 / (1.0 + relative(distance, apart) + relative(*weight, unlike))) as f32;
            *weight = root * root;
        });
        weights
    }

    fn mean(values: &[f32]) -> f64 {
        let sums: Vec<f64> =
            values.par_chunks(BATCH).map(|batch| batch.iter().map(|&x| x as f64).sum()).collect();
        sums.iter().sum::<f64>() / values.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::edge_weights;

    #[test]
    fn follows_the_formula() {
        // Means: 2 of the distances, 1/3 of the differences.
        let weights = edge_weights(&[[0.0], [1.0], [1.0]], &[1, 2, 1], &[1.0, 3.0, 2.0], 1);
        let expected = [1f32 / (1.0 + 0.5 + 3.0), 1.0 / (1.0 + 1.5), 1.0 / (1.0 + 1.0)].map(|x| x * x);
        for (weight, expected) in weights.into_iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn is_one_where_nothing_differs() {
        assert_eq!(edge_weights(&[[0.5, 0.5]; 2], &[1, 0], &[0.0, 0.0], 1), [1.0, 1.0]);
        assert!(edge_weights::<6>(&[], &[], &[], 0).is_empty());
    }
}
