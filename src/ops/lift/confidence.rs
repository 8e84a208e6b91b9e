//! The detector's confidence as a box's weight, an ablation of the paper's supplementary material: `W(b) = scale score(b)`.

/// CPU reference.
pub mod cpu {
    /// `scores`: `[B]`; returns the weights, `[B]`.
    pub fn weights(scores: impl Iterator<Item = f32>, scale: f32) -> Vec<f32> {
        scores.map(|score| scale * score).collect()
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ConfidenceDims},
        },
        error::Result,
    };

    /// `scores`: `[B]`; returns the weights, `[B]`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough, [`Error::Device`](crate::Error::Device) if the driver
    /// refuses.
    pub fn weights(gpu: &Gpu, scores: &Buffer<f32>, scale: f32) -> Result<Buffer<f32>> {
        let mut weights = gpu.alloc(scores.len())?;
        let d = ConfidenceDims { boxes: scores.len() as u32, scale };
        kernels::confidence_weights(gpu, blocks(scores.len(), 256), scores, &mut weights, d)?;
        Ok(weights)
    }
}
