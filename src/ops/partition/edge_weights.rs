//! Weights of the neighbour graph: high between points that are close and look alike.
//!
//! w = (1 / (1 + d / mean(d) + |f_i - f_j| / mean(|f_i - f_j|)))^2 over the edges i -> j, the means over all edges; a
//! term whose mean is 0 counts 0 (the authors' `gen_superpoint`).

/// Edges of one partial sum of the means, in the tree of [`sum::block`](crate::ops::basic::sum::block).
const CHUNK: usize = 2048;

/// CPU reference.
pub mod cpu {
    use super::CHUNK;
    use crate::{
        error::Result,
        ops::{basic::sum, expect_len},
    };
    use rayon::prelude::*;

    /// `features`: `[N, D]`; `neighbors` and `distances`: `[N, k]`. Returns `[N, k]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn edge_weights<const D: usize>(
        features: &[[f32; D]],
        neighbors: &[u32],
        distances: &[f32],
        k: usize,
    ) -> Result<Vec<f32>> {
        expect_len("edge_weights", "neighbors [N, k]", neighbors.len(), features.len() * k)?;
        expect_len("edge_weights", "distances [N, k]", distances.len(), neighbors.len())?;
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
        Ok(weights)
    }

    fn mean(values: &[f32]) -> f64 {
        let chunk = |chunk: &[f32]| sum::block(chunk.iter().map(|&x| x as f64));
        let sums: Vec<f64> = values.par_chunks(CHUNK).map(chunk).collect();
        sum::block(sums) / values.len() as f64
    }
}

/// On a CUDA device: bit for bit the reference's weights.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::CHUNK;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, EdgeWeightsDims},
        },
        error::{Error, Result},
    };
    use cudarc::driver::DevicePtr;

    const BLOCK: u32 = 256;

    /// `features`: `[N, D]`; `neighbors`, `distances` and the result: `[N, k]`; `shape`: N, D and k.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Memory`] if there is not enough memory, [`Error::Device`] if
    /// the driver refuses.
    pub fn edge_weights(
        gpu: &Gpu,
        features: &impl DevicePtr<f32>,
        neighbors: &impl DevicePtr<u32>,
        distances: &impl DevicePtr<f32>,
        [n, dimensions, k]: [usize; 3],
    ) -> Result<Buffer<f32>> {
        let edges = n * k;
        let lens = [neighbors.len(), distances.len()];
        if features.len() < n * dimensions || lens.iter().any(|&len| len < edges) || edges >= 1 << 31 {
            return Err(Error::invalid(format!(
                "edge_weights: features must be [{n}, {dimensions}] and the rest [{n}, {k}], below 2^31 values, not {} and \
                 {lens:?} values",
                features.len()
            )));
        }
        let mut weights = gpu.alloc(edges)?;
        if edges == 0 {
            return Ok(weights);
        }
        let chunks = edges.div_ceil(CHUNK) as u32;
        let d = EdgeWeightsDims {
            edges: edges as u32,
            neighbors: k as u32,
            dimensions: dimensions as u32,
            chunks,
        };
        let (mut unlike, mut sums) = (gpu.alloc(edges)?, gpu.alloc(2 * chunks as usize)?);
        let mut means = gpu.alloc(2)?;
        let grid = [chunks, 1, 1];
        kernels::edge_weights_differences(
            gpu,
            grid,
            features,
            neighbors,
            distances,
            &mut unlike,
            &mut sums,
            d,
        )?;
        kernels::edge_weights_means(gpu, [1, 1, 1], &sums, &mut means, d)?;
        kernels::edge_weights_weigh(gpu, blocks(edges, BLOCK), distances, &unlike, &means, &mut weights, d)?;
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::edge_weights;

    #[test]
    fn follows_the_formula() {
        // Means: 2 of the distances, 1/3 of the differences.
        let weights = edge_weights(&[[0.0], [1.0], [1.0]], &[1, 2, 1], &[1.0, 3.0, 2.0], 1).unwrap();
        let expected = [1f32 / (1.0 + 0.5 + 3.0), 1.0 / (1.0 + 1.5), 1.0 / (1.0 + 1.0)].map(|x| x * x);
        for (weight, expected) in weights.into_iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn is_one_where_nothing_differs() {
        assert_eq!(edge_weights(&[[0.5, 0.5]; 2], &[1, 0], &[0.0, 0.0], 1).unwrap(), [1.0, 1.0]);
        assert!(edge_weights::<6>(&[], &[], &[], 0).unwrap().is_empty());
    }
}
