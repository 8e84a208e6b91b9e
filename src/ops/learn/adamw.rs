//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019), in the order in which PyTorch rounds.
//!
//! ```text
//! p -= lr decay p
//! m += (1 - beta1) (g - m)
//! v  = beta2 v + (1 - beta2) g g
//! p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//! ```

use serde::{Deserialize, Serialize};

/// What does not change from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How fast the two averages follow the gradient.
    pub betas: [f64; 2],
    /// Added to the root of the second.
    pub epsilon: f64,
    /// Share of every parameter, biases included, that a learning rate of 1 would take away.
    pub weight_decay: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 }
    }
}

/// The factors of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// 1 - lr decay.
    pub keep: f64,
    /// lr / (1 - beta1^t).
    pub step: f64,
    /// sqrt(1 - beta2^t).
    pub correction: f64,
}

impl Options {
    /// Those of step `t`, counted from 1.
    pub fn factors(&self, rate: f64, t: u64) -> Factors {
        let [beta1, beta2] = self.betas.map(|beta| 1.0 - beta.powf(t as f64));
        Factors { keep: 1.0 - rate * self.weight_decay, step: rate / beta1, correction: beta2.sqrt() }
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Factors, Options};
    use crate::{
        error::Result,
        ops::{basic::matmul::cpu::Real, expect_len},
    };

    /// A step of every parameter; all slices `[P]`. `factors`: [`Options::factors`].
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the slices differ in length.
    pub fn step<T: Real>(
        values: &mut [T],
        [first, second]: [&mut [T]; 2],
        grad: &[T],
        options: &Options,
        factors: Factors,
    ) -> Result<()> {
        let n = values.len();
        expect_len("adamw", "first moments [P]", first.len(), n)?;
        expect_len("adamw", "second moments [P]", second.len(), n)?;
        expect_len("adamw", "grad [P]", grad.len(), n)?;
        let Factors { keep, step, correction } = factors;
        let (keep, step, correction) = (T::of(keep), T::of(step), T::of(correction));
        let [follow, beta2] = [T::of(1.0 - options.betas[0]), T::of(options.betas[1])];
        let (take, epsilon) = (T::of(1.0 - options.betas[1]), T::of(options.epsilon));
        for i in 0..n {
            let g = grad[i];
            first[i] += follow * (g - first[i]);
            second[i] = beta2 * second[i] + take * g * g;
            let size = second[i].sqrt() / correction + epsilon;
            values[i] = values[i] * keep - step * (first[i] / size);
        }
        Ok(())
    }
}

/// On a CUDA device, bit for bit the reference's. Nothing here allocates or waits but what makes a [`cuda::Schedule`], so
/// that a training step can be captured.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Factors, Options};
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, AdamwDims},
        },
        error::{Error, Result},
        ops::expect_len,
    };
    use cudarc::driver::DevicePtr;

    /// The factors of the steps to come, of two groups of parameters, and which step it is: they change from step to
    /// step, and a replayed graph cannot be told.
    #[derive(Debug)]
    pub struct Schedule {
        /// `[T, 2, 3]`.
        factors: Buffer<f32>,
        cursor: Buffer<u32>,
    }

    impl Schedule {
        /// Room for so many steps.
        ///
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, steps: usize) -> Result<Schedule> {
            Ok(Schedule { factors: gpu.alloc(6 * steps)?, cursor: gpu.alloc(1)? })
        }

        /// Steps that there is room for.
        pub fn steps(&self) -> usize {
            self.factors.len() / 6
        }

        /// The next steps are these. Not to be captured.
        ///
        /// # Errors
        /// [`Error::Invalid`] if they are more than there is room for, [`Error::Device`] if the driver refuses.
        pub fn set(&mut self, gpu: &Gpu, steps: &[[Factors; 2]]) -> Result<()> {
            let row = |f: &Factors| [f.keep as f32, f.step as f32, f.correction as f32];
            let rows: Vec<[f32; 3]> = steps.as_flattened().iter().map(row).collect();
            gpu.write(rows.as_flattened(), &mut self.factors)?;
            gpu.write(&[u32::MAX], &mut self.cursor)
        }

        /// Begins a step; after [`Schedule::set`], the first.
        ///
        /// # Errors
        /// [`Error::Device`] if the driver refuses.
        pub fn next(&mut self, gpu: &Gpu) -> Result<()> {
            kernels::adamw_next(gpu, [1; 3], &mut self.cursor)
        }
    }

    /// The step of the schedule, of every parameter, on the mean of a batch's gradients.
    ///
    /// `values` and the two averages: `[P]`; `grads`: `[N, P]`; `tail`: parameters from there on are the second group.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit, [`Error::Device`] if the driver refuses.
    pub fn step(
        gpu: &Gpu,
        values: &mut Buffer<f32>,
        [first, second]: [&mut Buffer<f32>; 2],
        grads: &impl DevicePtr<f32>,
        schedule: &Schedule,
        options: &Options,
        tail: usize,
    ) -> Result<()> {
        let parameters = values.len();
        expect_len("adamw", "first [P]", first.len(), parameters)?;
        expect_len("adamw", "second [P]", second.len(), parameters)?;
        let batch = grads.len() / parameters.max(1);
        if batch == 0 || grads.len() != batch * parameters {
            let found = grads.len();
            return Err(Error::invalid(format!(
                "adamw: grads [N, P] has {found} elements, not N {parameters}"
            )));
        }
        let [beta1, beta2] = options.betas;
        let d = AdamwDims {
            parameters: parameters as u32,
            tail: tail as u32,
            batch: batch as u32,
            share: (1.0 / batch as f64) as f32,
            follow: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            take: (1.0 - beta2) as f32,
            epsilon: options.epsilon as f32,
        };
        let Schedule { factors, cursor } = schedule;
        kernels::adamw_step(gpu, blocks(parameters, 256), grads, factors, cursor, values, first, second, d)
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, cpu};

    #[test]
    fn the_first_step_has_the_length_of_the_rate() {
        let (mut p, mut m, mut v) = ([1.0f64, -2.0, 3.0], [0.0; 3], [0.0; 3]);
        let options = Options::default();
        cpu::step(&mut p, [&mut m, &mut v], &[0.5, -1e-3, 0.0], &options, options.factors(0.1, 1)).unwrap();
        let expected = [0.999 - 0.1, -1.998 + 0.1, 2.997];
        p.iter().zip(expected).for_each(|(&p, e)| approx::assert_relative_eq!(p, e, epsilon = 1e-5));
        approx::assert_relative_eq!(m[0], 0.05);
        approx::assert_relative_eq!(v[0], 0.00025, epsilon = 1e-15);
    }

    #[test]
    fn it_finds_a_minimum() {
        let (mut p, mut m, mut v) = ([4.0f32], [0.0], [0.0]);
        let options = Options { weight_decay: 0.0, ..Options::default() };
        for t in 1..=2000 {
            let grad = [2.0 * (p[0] - 1.5)];
            cpu::step(&mut p, [&mut m, &mut v], &grad, &options, options.factors(0.05, t)).unwrap();
        }
        approx::assert_relative_eq!(p[0], 1.5, epsilon = 1e-2);
    }
}
