//! From 8-bit images to a model's input: resized, normalised, padded ([`resize`](crate::ops::detect::resize), then
//! [`normalize`](crate::ops::detect::normalize)).

use crate::error::{Error, Result};
use crate::ops::detect::normalize::Normalization;

/// What becomes of the images of one size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Height and width of the images.
    pub from: [usize; 2],
    /// Height and width after resizing.
    pub to: [usize; 2],
    /// Height and width of the model's input, no smaller than `to`.
    pub padded: [usize; 2],
    /// The numbers of the normalisation.
    pub rule: Normalization,
}

impl Plan {
    /// The number of images in so many bytes.
    fn check(&self, bytes: usize) -> Result<usize> {
        let Plan { from, to, padded, .. } = *self;
        let one = from[0] * from[1] * 3;
        if from.contains(&0) || to.contains(&0) || to[0] > padded[0] || to[1] > padded[1] {
            return Err(Error::invalid(format!(
                "model input: images of {from:?}, resized to {to:?}, padded to {padded:?}; sizes are above 0 and fit"
            )));
        }
        if !bytes.is_multiple_of(one) {
            return Err(Error::invalid(format!(
                "model input: {bytes} bytes are not images of {from:?} RGB pixels"
            )));
        }
        Ok(bytes / one)
    }

    fn len(&self) -> usize {
        3 * self.padded[0] * self.padded[1]
    }
}

/// CPU reference.
pub mod cpu {
    use super::Plan;
    use crate::{
        error::Result,
        ops::detect::{normalize, resize},
    };
    use rayon::prelude::*;

    /// Prepares images, `[n, from.0, from.1, 3]` RGB. Returns `[n, 3, padded.0, padded.1]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the sizes do not fit together.
    pub fn prepare(images: &[u8], plan: &Plan) -> Result<Vec<f32>> {
        let n = plan.check(images.len())?;
        let mut input = vec![0.0; n * plan.len()];
        let each = images.par_chunks_exact(images.len() / n.max(1));
        input.par_chunks_exact_mut(plan.len()).zip(each).try_for_each(|(out, image)| {
            let resized = resize::cpu::bilinear::<3>(image, plan.from, plan.to)?;
            normalize::cpu::normalize(&resized, plan.to, &plan.rule, plan.padded, out)
        })?;
        Ok(input)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::Plan;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ModelInputDims},
        },
        error::{Error, Result},
        ops::detect::{
            normalize::{Normalization, Order},
            resize,
        },
    };
    use cudarc::driver::DevicePtr;
    use half::f16;

    /// A plan with its taps on the device: made once, used for every batch.
    #[derive(Debug)]
    pub struct Prepare {
        plan: Plan,
        rows: Axis,
        columns: Axis,
    }

    #[derive(Debug)]
    struct Axis {
        first: Buffer<u32>,
        weights: Buffer<i32>,
        taps: usize,
    }

    impl Axis {
        fn new(gpu: &Gpu, from: usize, to: usize) -> Result<Axis> {
            let all = resize::taps(from, to);
            let taps = all.iter().map(|tap| tap.weights.len()).max().unwrap_or(0);
            let first: Vec<u32> = all.iter().map(|tap| tap.first as u32).collect();
            let padded = |tap: &resize::Tap| {
                let mut weights = tap.weights.clone();
                weights.resize(taps, 0);
                weights
            };
            let weights: Vec<i32> = all.iter().flat_map(padded).collect();
            Ok(Axis { first: gpu.upload(&first)?, weights: gpu.upload(&weights)?, taps })
        }
    }

    macro_rules! prepares {
        ($($(#[$doc:meta])* $element:ident by $kernel:ident;)*) => {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error::Invalid`] if the images do not fit the plan, [`Error::Device`] if the driver refuses.
            pub fn $element(&self, gpu: &Gpu, images: &impl DevicePtr<u8>) -> Result<Buffer<$element>> {
                let (n, grid, dims) = self.launch(images.len())?;
                let mut out = gpu.alloc(n * self.plan.len())?;
                let Prepare { rows, columns, .. } = self;
                let ([of_row, of_column], [rows, columns]) =
                    ([&rows.weights, &columns.weights], [&rows.first, &columns.first]);
                kernels::$kernel(gpu, grid, images, rows, of_row, columns, of_column, &mut out, dims)?;
                Ok(out)
            }
        )*};
    }

    impl Prepare {
        /// # Errors
        /// [`Error::Invalid`] if the sizes do not fit together, [`Error::Device`] if the driver refuses.
        pub fn new(gpu: &Gpu, plan: Plan) -> Result<Prepare> {
            plan.check(0)?;
            let [rows, columns] = [0, 1].map(|axis| Axis::new(gpu, plan.from[axis], plan.to[axis]));
            Ok(Prepare { plan, rows: rows?, columns: columns? })
        }

        prepares! {
            /// Prepares images, `[n, from.0, from.1, 3]` RGB. Returns `[n, 3, padded.0, padded.1]`, bit for bit what
            /// [`cpu`](super::cpu) makes of them.
            f32 by model_input_f32;
            /// As [`Prepare::f32`], rounded to the nearest f16.
            f16 by model_input_f16;
            /// As [`Prepare::f32`], for a plan whose numbers stay those of the pixels: scale 255, mean 0, deviation 1.
            u8 by model_input_u8;
        }

        fn launch(&self, bytes: usize) -> Result<(usize, [u32; 3], ModelInputDims)> {
            let n = self.plan.check(bytes)?;
            let Plan { from, to, padded, rule } = self.plan;
            if n > 65_535 || padded[0] > 65_535 {
                return Err(Error::invalid(format!(
                    "model input: {n} images padded to {padded:?}; at most 65535 images and rows fit a launch"
                )));
            }
            let Normalization { order, scale, mean, std } = rule;
            let d = ModelInputDims {
                height: from[0] as u32,
                width: from[1] as u32,
                rows: to[0] as u32,
                columns: to[1] as u32,
                row_taps: self.rows.taps as u32,
                column_taps: self.columns.taps as u32,
                padded_rows: padded[0] as u32,
                padded_columns: padded[1] as u32,
                bgr: (order == Order::Bgr) as u32,
                scale: scale / 255.0,
                mean_0: mean[0],
                mean_1: mean[1],
                mean_2: mean[2],
                std_0: std[0],
                std_1: std[1],
                std_2: std[2],
            };
            Ok((n, [blocks(padded[1], 256)[0], padded[0] as u32, n as u32], d))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::detect::normalize::Order;

    #[test]
    fn sizes_are_checked() {
        let rule = Normalization { order: Order::Rgb, scale: 1.0, mean: [0.0; 3], std: [1.0; 3] };
        let plan = Plan { from: [2, 2], to: [4, 4], padded: [4, 5], rule };
        assert_eq!(cpu::prepare(&[255; 24], &plan).unwrap().len(), 2 * 3 * 4 * 5);
        assert!(cpu::prepare(&[255; 13], &plan).unwrap_err().to_string().contains("13 bytes"));
        assert!(cpu::prepare(&[], &Plan { padded: [3, 5], ..plan }).is_err());
        assert!(cpu::prepare(&[], &Plan { from: [0, 2], ..plan }).is_err());
    }
}
