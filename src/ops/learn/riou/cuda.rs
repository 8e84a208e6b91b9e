//! On a CUDA device. Nothing here allocates or waits but [`Workspace::new`], so that a training step can be
//! captured. Every function fails with [`Error::Invalid`] if a shape does not fit and with [`Error::Device`] if the
//! driver refuses.

use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, BlendDims, RiouDims},
    },
    error::{Error, Result},
    ops::expect_len,
};
use cudarc::driver::{DevicePtr, DevicePtrMut};

const WARP: usize = 32;

/// What predictions are compared with, as [`Truth`](super::Truth).
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// `[S, L + 1]`.
    pub shares: &'a Buffer<f32>,
    /// `[S]`.
    pub sizes: &'a Buffer<u32>,
    /// 0 or 1, `[S]`.
    pub valid: &'a Buffer<u8>,
    /// L + 1.
    pub columns: usize,
}

impl Truth<'_> {
    fn check(&self, predicted: usize, workspace: &Workspace) -> Result<RiouDims> {
        let s = self.sizes.len();
        if self.columns < 2 {
            return Err(Error::invalid(format!(
                "riou: {} columns; null and at least one part are needed",
                self.columns
            )));
        }
        expect_len("riou", "predicted [S, L + 1]", predicted, s * self.columns)?;
        expect_len("riou", "shares [S, L + 1]", self.shares.len(), s * self.columns)?;
        expect_len("riou", "valid [S]", self.valid.len(), s)?;
        expect_len("riou", "the workspace [L + 1, 3]", workspace.sums.len(), 3 * self.columns)?;
        expect_len("riou", "the workspace [S]", workspace.losses.len(), s)?;
        Ok(RiouDims { superpoints: s as u32, columns: self.columns as u32 })
    }
}

/// What forward hands to backward.
#[derive(Debug)]
pub struct Workspace {
    sums: Buffer<f32>,
    losses: Buffer<f32>,
    count: Buffer<u32>,
}

impl Workspace {
    /// Room for S superpoints and L + 1 columns.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn new(gpu: &Gpu, superpoints: usize, columns: usize) -> Result<Workspace> {
        let (sums, losses) = (gpu.alloc(3 * columns)?, gpu.alloc(superpoints)?);
        Ok(Workspace { sums, losses, count: gpu.alloc(1)? })
    }
}

/// RIoU of every column, `[L + 1]`, and the loss, `[1]`, bit for bit the reference's. `predicted`: `[S, L + 1]`.
///
/// # Errors
/// See [`cuda`](self).
pub fn forward(
    gpu: &Gpu,
    predicted: &impl DevicePtr<f32>,
    truth: &Truth,
    workspace: &mut Workspace,
    riou: &mut Buffer<f32>,
    loss: &mut impl DevicePtrMut<f32>,
) -> Result<()> {
    let d = truth.check(predicted.len(), workspace)?;
    expect_len("riou", "riou [L + 1]", riou.len(), truth.columns)?;
    expect_len("riou", "loss [1]", loss.len(), 1)?;
    let Truth { shares, sizes, valid, columns } = *truth;
    let Workspace { sums, .. } = workspace;
    kernels::riou_sums(gpu, [columns as u32, 1, 1], predicted, shares, sizes, valid, sums, d)?;
    kernels::riou_forward(gpu, [1; 3], &*sums, riou, loss, d)
}

/// Gradient of the loss with respect to `predicted`, `[S, L + 1]`, bit for bit the reference's.
///
/// `workspace`: as [`forward`] left it.
///
/// # Errors
/// See [`cuda`](self).
pub fn backward(gpu: &Gpu, truth: &Truth, workspace: &Workspace, grad: &mut Buffer<f32>) -> Result<()> {
    let d = truth.check(grad.len(), workspace)?;
    let Truth { shares, sizes, valid, .. } = *truth;
    kernels::riou_backward(gpu, blocks(grad.len(), 256), shares, sizes, valid, &workspace.sums, grad, d)
}

/// Cross-entropy, `[1]`. `predicted`: `[S, L + 1]`; `label`: column of every superpoint, below L + 1, `[S]`.
///
/// # Errors
/// See [`cuda`](self).
pub fn cross_entropy(
    gpu: &Gpu,
    predicted: &impl DevicePtr<f32>,
    label: &Buffer<u32>,
    truth: &Truth,
    workspace: &mut Workspace,
    loss: &mut impl DevicePtrMut<f32>,
) -> Result<()> {
    let d = truth.check(predicted.len(), workspace)?;
    let s = truth.sizes.len();
    expect_len("riou", "label [S]", label.len(), s)?;
    expect_len("riou", "loss [1]", loss.len(), 1)?;
    let Workspace { losses, count, .. } = workspace;
    kernels::cross_entropy_losses(gpu, blocks(s * WARP, 256), predicted, label, truth.valid, losses, d)?;
    kernels::cross_entropy_mean(gpu, [1; 3], &*losses, truth.valid, loss, count, d)
}

/// Gradient of [`cross_entropy`] with respect to `predicted`, `[S, L + 1]`. `workspace`: as it left it.
///
/// # Errors
/// See [`cuda`](self).
pub fn cross_entropy_backward(
    gpu: &Gpu,
    predicted: &impl DevicePtr<f32>,
    label: &Buffer<u32>,
    truth: &Truth,
    workspace: &Workspace,
    grad: &mut Buffer<f32>,
) -> Result<()> {
    let d = truth.check(predicted.len(), workspace)?;
    let s = truth.sizes.len();
    expect_len("riou", "label [S]", label.len(), s)?;
    expect_len("riou", "grad [S, L + 1]", grad.len(), predicted.len())?;
    let grid = blocks(s * WARP, 256);
    kernels::cross_entropy_backward(gpu, grid, predicted, label, truth.valid, &workspace.count, grad, d)
}
/// values = share values + other_share others: two losses, or their gradients, as one.
///
/// # Errors
/// See [`cuda`](self).
pub fn blend(
    gpu: &Gpu,
    values: &mut impl DevicePtrMut<f32>,
    share: f32,
    others: &Buffer<f32>,
    other_share: f32,
) -> Result<()> {
    expect_len("riou", "others", others.len(), values.len())?;
    let d = BlendDims { count: values.len() as u32, share, other_share };
    kernels::riou_blend(gpu, blocks(values.len(), 256), others, values, d)
}
