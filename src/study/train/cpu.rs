//! Training on the CPU, by the references.

use crate::study::train::{Factors, Options, Outcome, State};
use crate::{
    error::Result,
    ops::{
        basic::{matmul::cpu::Real, softmax},
        learn::{
            adamw, mlp,
            riou::{self, Truth},
        },
        lift::vote,
    },
    stages::network::{self, Network},
    study::sample::Sample,
};
use rayon::prelude::*;
use std::sync::Arc;

/// A shape, made ready.
struct Task<T> {
    sample: Arc<Sample>,
    /// What the network reads, `[B, C]`.
    x: Vec<T>,
    box_label: Vec<u32>,
    /// Visible points of every superpoint, `[S]`.
    visible: Vec<u32>,
    shares: Vec<T>,
    valid: Vec<bool>,
    /// The column of every superpoint's true label, `[S]`.
    columns: Vec<u32>,
}

impl<T: Real> Task<T> {
    fn new(sample: &Arc<Sample>) -> Result<Task<T>> {
        Ok(Task {
            x: network::inputs(&sample.boxes, &sample.places)?,
            box_label: sample.boxes.labels()?,
            visible: sample.visible(),
            shares: sample.targets.shares().into_iter().map(T::of).collect(),
            valid: sample.valid(),
            columns: sample.targets.columns(),
            sample: sample.clone(),
        })
    }

    fn truth(&self) -> Truth<'_, T> {
        let (sizes, columns) = (&self.sample.targets.sizes, self.sample.labels() + 1);
        Truth { shares: &self.shares, sizes, valid: &self.valid, columns }
    }

    fn votes(&self) -> vote::Input<'_> {
        self.sample.votes(&self.box_label, &self.visible)
    }

    fn forward(
        &self,
        network: &Network<T>,
        options: &Options,
    ) -> Result<(mlp::cpu::Activations<T>, Outcome<T>)> {
        let seen = mlp::cpu::forward(network.mlp(), &self.x, network.channels())?;
        let votes = vote::cpu::forward(&self.votes(), &seen.weights, network.null())?;
        let truth = self.truth();
        let probabilities = softmax::cpu::forward(&votes, truth.columns)?;
        let mut loss = T::zero();
        if options.riou > 0.0 {
            loss += T::of(options.riou) * riou::cpu::forward(&probabilities, &truth)?;
        }
        if options.cross_entropy > 0.0 {
            let entropy = riou::cpu::cross_entropy(&probabilities, &self.columns, &truth)?;
            loss += T::of(options.cross_entropy) * entropy;
        }
        let loss = loss.to_f64().expect("a float is a float");
        Ok((seen.clone(), Outcome { loss, weights: seen.weights, votes, probabilities }))
    }

    /// What the network makes of the shape, and the gradient of the loss by all its numbers.
    fn backward(&self, network: &Network<T>, options: &Options) -> Result<(Outcome<T>, Vec<T>)> {
        let (seen, outcome) = self.forward(network, options)?;
        let (truth, p) = (self.truth(), &outcome.probabilities);
        let mut grad = vec![T::zero(); p.len()];
        let mut add = |share: f64, of: Vec<T>| {
            grad.iter_mut().zip(of).for_each(|(grad, of)| *grad += T::of(share) * of);
        };
        if options.riou > 0.0 {
            add(options.riou, riou::cpu::backward(p, &truth)?);
        }
        if options.cross_entropy > 0.0 {
            let of = riou::cpu::cross_entropy_backward(p, &self.columns, &truth)?;
            add(options.cross_entropy, of);
        }
        let grad = softmax::cpu::backward(p, &grad, truth.columns)?;
        let (grad, grad_null) = vote::cpu::backward(&self.votes(), &seen.weights, network.null(), &grad)?;
        let mut grad = mlp::cpu::backward(network.mlp(), &self.x, network.channels(), &seen, &grad)?;
        grad.push(grad_null);
        Ok((outcome, grad))
    }
}

/// The samples and the network in the host's memory.
pub(super) struct Engine<T> {
    options: Options,
    train: Vec<Task<T>>,
    val: Vec<Task<T>>,
    network: Network<T>,
    moments: [Vec<T>; 2],
    best: Vec<T>,
    /// Of the training samples, before the last step of each.
    losses: Vec<f64>,
}

impl<T: Real> Engine<T> {
    /// `state`: of a network of so many channels.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if boxes lie on a device that failed.
    pub fn new(
        train: &[Arc<Sample>],
        val: &[Arc<Sample>],
        channels: usize,
        state: State<T>,
        options: &Options,
    ) -> Result<Engine<T>> {
        let tasks = |samples: &[Arc<Sample>]| samples.iter().map(Task::new).collect::<Result<_>>();
        let State { values, moments, best } = state;
        let (network, losses) = (Network::of(options.basis, channels, values), vec![0.0; train.len()]);
        Ok(Engine {
            options: options.clone(),
            train: tasks(train)?,
            val: tasks(val)?,
            network,
            moments,
            best,
            losses,
        })
    }
}

impl<T: Real> super::Engine<T> for Engine<T> {
    fn state(&self) -> Result<State<T>> {
        let Engine { network, moments, best, .. } = self;
        Ok(State { values: network.values().to_vec(), moments: moments.clone(), best: best.clone() })
    }

    fn gradient(&mut self, batch: &[usize]) -> Result<(Vec<Outcome<T>>, Vec<T>)> {
        let each = batch.par_iter().map(|&i| self.train[i].backward(&self.network, &self.options));
        let (outcomes, grads): (Vec<_>, Vec<_>) = each.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok((outcomes, super::mean(grads)))
    }

    fn step(&mut self, batch: &[usize], factors: Factors) -> Result<Vec<Outcome<T>>> {
        let (outcomes, grad) = self.gradient(batch)?;
        let [first, second] = &mut self.moments;
        let split = grad.len() - 1;
        let (values, null) = self.network.values_mut().split_at_mut(split);
        let (first, first_null) = first.split_at_mut(split);
        let (second, second_null) = second.split_at_mut(split);
        let options = &self.options.adamw;
        adamw::cpu::step(values, [first, second], &grad[..split], options, factors[0])?;
        adamw::cpu::step(null, [first_null, second_null], &grad[split..], options, factors[1])?;
        Ok(outcomes)
    }

    fn steps(&mut self, batches: &[&[usize]], factors: &[Factors]) -> Result<Vec<f64>> {
        for (batch, factors) in batches.iter().zip(factors) {
            for (i, outcome) in batch.iter().zip(self.step(batch, *factors)?) {
                self.losses[*i] = outcome.loss;
            }
        }
        Ok(self.losses.clone())
    }

    fn judge(&mut self) -> Result<Vec<Outcome<T>>> {
        let forward = |task: &Task<T>| Ok(task.forward(&self.network, &self.options)?.1);
        self.val.par_iter().map(forward).collect()
    }

    fn null(&self) -> Result<T> {
        Ok(self.network.null())
    }

    fn keep(&mut self) -> Result<()> {
        self.best.copy_from_slice(self.network.values());
        Ok(())
    }
}
