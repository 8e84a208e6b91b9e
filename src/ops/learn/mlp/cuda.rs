//! On a CUDA device. Nothing here allocates or waits but [`Workspace::new`], so that a training step can be
//! captured. Given the same product x W_in^T, every sum is the reference's bit for bit; the products are those of
//! [`matmul::cuda`].

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
