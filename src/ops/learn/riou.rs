//! Relaxed IoU: the loss that adapts the lifting to 3D segmentation (paper eq. 2 and 3), with its gradient.
//!
//! ```text
//! RIoU_j = sum_s n_s g p / (sum_s n_s g + sum_s n_s p - sum_s n_s g p)        g = truth[s, j], p = predicted[s, j]
//! loss   = mean over the L parts of (1 - RIoU_j)                              null (column 0) left out
//! ```
//! n_s is the number of points of superpoint s; superpoints that are not valid are left out.

use crate::error::{Error, Result};

/// What predictions are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a, T> {
    /// The share of the superpoint's points that have each label, column 0 = none, `[S, L + 1]`.
    pub shares: &'a [T],
    /// Points per superpoint, `[S]`.
    pub sizes: &'a [u32],
    /// Whether the superpoint takes part, `[S]`.
    pub valid: &'a [bool],
    /// L + 1.
    pub columns: usize,
}

impl<T> Truth<'_, T> {
    fn check(&self, predicted: &[T]) -> Result<()> {
        let s = self.sizes.len();
        let expect = |what: &str, found: usize, wanted: usize| {
            if found == wanted {
                return Ok(());
            }
            Err(Error::invalid(format!("riou: {what} has {found} elements, not {wanted} ({s} superpoints)")))
        };
        if self.columns < 2 {
            return Err(Error::invalid(format!(
                "riou: {} columns; null and at least one part are needed",
                self.columns
            )));
        }
        expect("predicted [S, L + 1]", predicted.len(), s * self.columns)?;
        expect("shares [S, L + 1]", self.shares.len(), s * self.columns)?;
        expect("valid [S]", self.valid.len(), s)
    }
}

/// CPU reference. Every function fails with [`Error::Invalid`] if the slices' lengths do not fit together.
pub mod cpu {
    use super::Truth;
    use crate::{
        error::{Error, Result},
        ops::basic::{softmax, sum},
    };
    use num_traits::Float;

    struct Sums<T> {
        both: Vec<T>,
        truth: Vec<T>,
        predicted: Vec<T>,
    }

    fn sums<T: Float>(predicted: &[T], truth: &Truth<T>) -> Sums<T> {
        let over = |j: usize, value: fn(T, T, T) -> T| {
            sum::block(truth.valid.iter().enumerate().map(|(s, &valid)| {
                let at = s * truth.columns + j;
                let n = T::from(truth.sizes[s]).expect("a count is a float");
                if valid { value(n, truth.shares[at], predicted[at]) } else { T::zero() }
            }))
        };
        let all = |value| (0..truth.columns).map(|j| over(j, value)).collect();
        Sums { both: all(|n, g, p| n * g * p), truth: all(|n, g, _| n * g), predicted: all(|n, _, p| n * p) }
    }

    /// RIoU of every column, null included, `[L + 1]`; 0 where nothing was predicted.
    ///
    /// `predicted`: `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn riou<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<Vec<T>> {
        truth.check(predicted)?;
        let sums = sums(predicted, truth);
        let one = |j: usize| match sums.predicted[j] == T::zero() {
            true => T::zero(),
            false => sums.both[j] / (sums.truth[j] + sums.predicted[j] - sums.both[j]),
        };
        Ok((0..truth.columns).map(one).collect())
    }

    /// The loss: the mean over the parts of 1 - RIoU. A part that the shape lacks enters as 1 (QUIRK absent part).
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn forward<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<T> {
        let riou = riou(predicted, truth)?;
        let parts = T::from(truth.columns - 1).expect("a count is a float");
        Ok(sum::warp(riou[1..].iter().map(|&r| T::one() - r)) / parts)
    }

    /// Gradient of the loss with respect to `predicted`, `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn backward<T: Float>(predicted: &[T], truth: &Truth<T>) -> Result<Vec<T>> {
        truth.check(predicted)?;
        let sums = sums(predicted, truth);
        let parts = T::from(truth.columns - 1).expect("a count is a float");
        let mut grad = vec![T::zero(); predicted.len()];
        let rows = grad.chunks_exact_mut(truth.columns).zip(truth.shares.chunks_exact(truth.columns));
        for (s, (row, g)) in rows.enumerate().filter(|(s, _)| truth.valid[*s]) {
            let n = T::from(truth.sizes[s]).expect("a count is a float");
            for j in (1..truth.columns).filter(|&j| sums.predicted[j] != T::zero()) {
                let union = sums.truth[j] + sums.predicted[j] - sums.both[j];
                let slope = n * g[j] / union - sums.both[j] / (union * union) * (n - n * g[j]);
                row[j] = -slope / parts;
            }
        }
        Ok(grad)
    }

    /// Cross-entropy, the ablation: mean over the valid superpoints of `-log softmax(predicted)[label]`.
    /// QUIRK double softmax: the authors pass probabilities where logits are expected.
    ///
    /// `label`: column of every superpoint, below L + 1, `[S]`. 0 if no superpoint is valid.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn cross_entropy<T: Float>(predicted: &[T], label: &[u32], truth: &Truth<T>) -> Result<T> {
        check_labels(predicted, label, truth)?;
        let rows = predicted.chunks_exact(truth.columns).zip(label).zip(truth.valid);
        let sum = sum::block(rows.map(|((row, &label), &valid)| {
            if !valid {
                return T::zero();
            }
            let largest = row.iter().copied().fold(T::neg_infinity(), T::max);
            let exps = sum::warp(row.iter().map(|&p| softmax::cpu::exp(p - largest)));
            // In f64 for the same reason as the exponential.
            let log = exps.to_f64().expect("a float is an f64").ln();
            T::from(log).expect("an f64 is a float") + largest - row[label as usize]
        }));
        Ok(sum / valid(truth))
    }

    /// Gradient of [`cross_entropy`] with respect to `predicted`, `[S, L + 1]`.
    ///
    /// # Errors
    /// See [`cpu`](self).
    pub fn cross_entropy_backward<T: Float>(
        predicted: &[T],
        label: &[u32],
        truth: &Truth<T>,
    ) -> Result<Vec<T>> {
        check_labels(predicted, label, truth)?;
        let count = valid(truth);
        let mut grad = softmax::cpu::forward(predicted, truth.columns);
        for (s, row) in grad.chunks_exact_mut(truth.columns).enumerate() {
            match truth.valid[s] {
                true => {
                    row[label[s] as usize] = row[label[s] as usize] - T::one();
                    row.iter_mut().for_each(|g| *g = *g / count);
                }
                false => row.fill(T::zero()),
            }
        }
        Ok(grad)
    }

    fn check_labels<T: Float>(predicted: &[T], label: &[u32], truth: &Truth<T>) -> Result<()> {
        truth.check(predicted)?;
        if label.len() != truth.sizes.len() || label.iter().any(|&column| column as usize >= truth.columns) {
            let (found, s, columns) = (label.len(), truth.sizes.len(), truth.columns);
            return Err(Error::invalid(format!(
                "riou: {found} labels for {s} superpoints; one below {columns} is needed for each"
            )));
        }
        Ok(())
    }

    /// How many superpoints take part, at least 1.
    fn valid<T: Float>(truth: &Truth<T>) -> T {
        T::from(truth.valid.iter().filter(|&&v| v).count().max(1)).expect("a count is a float")
    }
}

/// On a CUDA device. Nothing here allocates or waits but [`cuda::Workspace::new`], so that a training step can be
/// captured. Every function fails with [`Error::Invalid`] if a shape does not fit and with [`Error::Device`] if the
/// driver refuses.
#[cfg(feature = "cuda")]
pub mod cuda {
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
}
