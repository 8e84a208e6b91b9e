//! Task adaptation: learns to weigh boxes from a few labelled shapes (paper section 4).
//!
//! Everything about the shapes that does not change is made once; a step costs the same whatever the number of points.

mod record;
#[cfg(test)]
mod tests;

pub use record::{curve, table};

use crate::{
    error::{Error, Result},
    io::tensors::{Tensors, Writer},
    ops::{
        adamw,
        matmul::cpu::Real,
        mlp,
        random::Random,
        riou::{self, Truth},
        softmax, vote,
    },
    stages::{
        labels::{self, Rule},
        metrics,
        network::{self, Network},
        sample::Sample,
        scores::Scores,
    },
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// How to train. The defaults are the authors'.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How often every training shape is seen.
    pub epochs: usize,
    /// Shapes per step; the loss is their mean.
    pub batch: usize,
    /// Learning rate of the network.
    pub rate: f64,
    /// Learning rate of the null weight.
    pub null_rate: f64,
    /// The rest of AdamW's. QUIRK decay of all: it pulls the biases and the null weight too.
    pub adamw: adamw::Options,
    /// Share of the relaxed IoU in the loss.
    pub riou: f64,
    /// Share of the cross-entropy in the loss: 0, or 1 with `riou` 0 for the paper's ablation.
    pub cross_entropy: f64,
    /// Standard deviation of the network's first weights.
    pub deviation: f64,
    /// Decides the first weights and the order of the shapes.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            epochs: 400,
            batch: 2,
            rate: 1e-4,
            null_rate: 0.05,
            adamw: adamw::Options::default(),
            riou: 1.0,
            cross_entropy: 0.0,
            deviation: 1e-4,
            seed: 0,
        }
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let Options { batch, rate, null_rate, adamw, riou, cross_entropy, deviation, .. } = *self;
        if batch == 0 {
            return Err(Error::invalid("train: a batch of 0 shapes; use at least 1"));
        }
        let [beta1, beta2] = adamw.betas;
        for (name, value, ok) in [
            ("rate", rate, rate > 0.0),
            ("null_rate", null_rate, null_rate >= 0.0),
            ("adamw.betas[0]", beta1, (0.0..1.0).contains(&beta1)),
            ("adamw.betas[1]", beta2, (0.0..1.0).contains(&beta2)),
            ("adamw.epsilon", adamw.epsilon, adamw.epsilon > 0.0),
            ("adamw.weight_decay", adamw.weight_decay, adamw.weight_decay >= 0.0),
            ("riou", riou, riou >= 0.0),
            ("cross_entropy", cross_entropy, cross_entropy >= 0.0),
            ("deviation", deviation, deviation >= 0.0),
        ] {
            if !(ok && value.is_finite()) {
                return Err(Error::invalid(format!("train: {name} is {value}, out of range")));
            }
        }
        match riou + cross_entropy > 0.0 {
            true => Ok(()),
            false => {
                Err(Error::invalid("train: riou and cross_entropy are both 0; there is nothing to learn"))
            }
        }
    }
}

/// A shape, made ready.
struct Task<T> {
    sample: Sample,
    /// What the network reads, `[B, C]`.
    x: Vec<T>,
    box_label: Vec<u32>,
    shares: Vec<T>,
    valid: Vec<bool>,
    /// The column of every superpoint's true label, `[S]`.
    columns: Vec<u32>,
}

/// What a network makes of a shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome<T> {
    /// What is learned from.
    pub loss: f64,
    /// W(b), `[B]`.
    pub weights: Vec<T>,
    /// Weighted votes, column 0 = null, `[S, L + 1]`.
    pub votes: Vec<T>,
    /// Their softmax, `[S, L + 1]`.
    pub probabilities: Vec<T>,
}

impl<T: Real> Task<T> {
    fn new(sample: Sample) -> Task<T> {
        Task {
            x: network::inputs(&sample.boxes, &sample.places),
            box_label: sample.boxes.labels(),
            shares: sample.targets.shares().into_iter().map(T::of).collect(),
            valid: sample.valid(),
            columns: sample.targets.labels.iter().map(|&label| (label + 1) as u32).collect(),
            sample,
        }
    }

    fn truth(&self) -> Truth<'_, T> {
        let (sizes, columns) = (&self.sample.targets.sizes, self.sample.labels() + 1);
        Truth { shares: &self.shares, sizes, valid: &self.valid, columns }
    }

    fn forward(
        &self,
        network: &Network<T>,
        options: &Options,
    ) -> Result<(mlp::cpu::Activations<T>, Outcome<T>)> {
        let seen = mlp::cpu::forward(network.mlp(), &self.x, network.channels())?;
        let votes = vote::cpu::forward(&self.sample.votes(&self.box_label), &seen.weights, network.null())?;
        let truth = self.truth();
        let probabilities = softmax::cpu::forward(&votes, truth.columns);
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
        let grad = softmax::cpu::backward(p, &grad, truth.columns);
        let votes = self.sample.votes(&self.box_label);
        let (grad, grad_null) = vote::cpu::backward(&votes, &seen.weights, network.null(), &grad)?;
        let mut grad = mlp::cpu::backward(network.mlp(), &self.x, network.channels(), &seen, &grad)?;
        grad.push(grad_null);
        Ok((outcome, grad))
    }

    /// Mean IoU of the parts that the shape has, with the paper's label rule; None if it has none.
    fn miou(&self, outcome: &Outcome<T>) -> Result<Option<f64>> {
        let f32s = |values: &[T]| {
            values.iter().map(|v| v.to_f32().expect("a float is a float")).collect::<Vec<_>>().into()
        };
        let scores = Scores {
            labels: self.sample.labels(),
            votes: f32s(&outcome.votes),
            probabilities: f32s(&outcome.probabilities),
            valid: self.valid.iter().map(|&valid| valid as u8).collect::<Vec<_>>().into(),
        };
        let options = labels::Options { rule: Rule::Threshold };
        let labels = labels::of_superpoints(&scores, &self.sample.parts, &options)?;
        Ok(metrics::mean(self.sample.iou(&labels)))
    }
}

/// An epoch's figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean loss of the training shapes, each before the step it took part in.
    pub loss: f64,
    /// Mean loss of the validation shapes, after the epoch.
    pub val_loss: f64,
    /// Their mean mIoU.
    pub val_miou: f64,
    /// The null weight after the epoch.
    pub null: f64,
}

/// A network while it learns. f32 for use; f64 to be compared with other code.
pub struct Trainer<T: Real = f32> {
    options: Options,
    train: Vec<Task<T>>,
    /// Empty: the training shapes judge the epochs.
    val: Vec<Task<T>>,
    fingerprint: String,
    network: Network<T>,
    moments: [Vec<T>; 2],
    steps: u64,
    history: Vec<Epoch>,
    best: Network<T>,
}

impl<T: Real> Trainer<T> {
    /// Begins: first weights from the seed.
    ///
    /// `train`, `val`: samples of one category; without `val` the training shapes themselves choose the best epoch.
    ///
    /// # Errors
    /// [`Error::Invalid`] without training samples, if the samples have different parts or feature channels, or if an
    /// option is out of range.
    pub fn new(train: Vec<Sample>, val: Vec<Sample>, options: &Options) -> Result<Trainer<T>> {
        options.check()?;
        let all = || train.iter().chain(&val);
        let Some(first) = train.first() else {
            return Err(Error::invalid("train: no training sample; prepare some first"));
        };
        let Some(dim) = all().map(|s| s.boxes.feature_dim).find(|&dim| dim > 0) else {
            return Err(Error::invalid("train: no sample has a box; there is nothing to weigh"));
        };
        for (i, sample) in all().enumerate() {
            if sample.parts != first.parts {
                let (a, b) = (&first.parts, &sample.parts);
                return Err(Error::invalid(format!("train: sample {i} has parts {b:?}, sample 0 {a:?}")));
            }
            let found = sample.boxes.feature_dim;
            if found != dim && !sample.boxes.is_empty() {
                return Err(Error::invalid(format!(
                    "train: sample {i} has features of {found} channels, not {dim}"
                )));
            }
        }
        let fingerprint = fingerprint(&train, &val);
        let network = Network::initial(dim + crate::ops::positional::CODE, options.deviation, options.seed);
        let zeros = vec![T::zero(); network.values().len()];
        Ok(Trainer {
            options: options.clone(),
            train: train.into_iter().map(Task::new).collect(),
            val: val.into_iter().map(Task::new).collect(),
            fingerprint,
            best: network.clone(),
            network,
            moments: [zeros.clone(), zeros],
            steps: 0,
            history: vec![],
        })
    }

    /// Begins from another network.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not read as many channels.
    pub fn start_from(mut self, network: Network<T>) -> Result<Trainer<T>> {
        let (found, wanted) = (network.channels(), self.network.channels());
        if found != wanted {
            return Err(Error::invalid(format!(
                "train: a network of {found} channels for samples of {wanted}"
            )));
        }
        (self.best, self.network) = (network.clone(), network);
        Ok(self)
    }

    /// The network as it is now.
    pub fn network(&self) -> &Network<T> {
        &self.network
    }

    /// The network of the best epoch so far: the first of the highest validation mIoU.
    pub fn best(&self) -> (Option<&Epoch>, &Network<T>) {
        (best(&self.history), &self.best)
    }

    /// The epochs so far.
    pub fn history(&self) -> &[Epoch] {
        &self.history
    }

    /// How it trains.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether all epochs are done.
    pub fn done(&self) -> bool {
        self.history.len() >= self.options.epochs
    }

    /// The mean loss of a batch and its gradient by all the network's numbers; `batch`: places among the training
    /// samples.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a batch that is empty or names a sample that is not there.
    pub fn gradient(&self, batch: &[usize]) -> Result<(Vec<Outcome<T>>, Vec<T>)> {
        if batch.is_empty() || batch.iter().any(|&i| i >= self.train.len()) {
            let n = self.train.len();
            return Err(Error::invalid(format!(
                "train: batch {batch:?}; name some of the {n} samples, from 0"
            )));
        }
        let each = batch.par_iter().map(|&i| self.train[i].backward(&self.network, &self.options));
        let (outcomes, grads): (Vec<_>, Vec<_>) = each.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let mut grads = grads.into_iter();
        let mut sum = grads.next().expect("the batch is not empty");
        for grad in grads {
            sum.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g);
        }
        let share = T::of(1.0 / batch.len() as f64);
        sum.iter_mut().for_each(|g| *g *= share);
        Ok((outcomes, sum))
    }

    /// One step of AdamW on a batch; what the network made of it before.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn step(&mut self, batch: &[usize]) -> Result<Vec<Outcome<T>>> {
        let (outcomes, grad) = self.gradient(batch)?;
        self.steps += 1;
        let Options { rate, null_rate, adamw, .. } = &self.options;
        let [first, second] = &mut self.moments;
        let split = grad.len() - 1;
        let (values, null) = self.network.values_mut().split_at_mut(split);
        let (first, first_null) = first.split_at_mut(split);
        let (second, second_null) = second.split_at_mut(split);
        adamw::cpu::step(values, [first, second], &grad[..split], adamw, *rate, self.steps);
        adamw::cpu::step(null, [first_null, second_null], &grad[split..], adamw, *null_rate, self.steps);
        Ok(outcomes)
    }

    /// One epoch: every training sample once, in an order from the seed; then validation.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the numbers ran away to infinity.
    pub fn epoch(&mut self) -> Result<Epoch> {
        let epoch = self.history.len() + 1;
        let order = Random::new(self.options.seed, epoch as u64).order(self.train.len());
        let mut loss = 0.0;
        for batch in order.chunks(self.options.batch) {
            loss += self.step(batch)?.iter().map(|outcome| outcome.loss).sum::<f64>();
        }
        let loss = loss / self.train.len() as f64;
        let (val_loss, val_miou) = self.validate()?;
        let null = self.network.null().to_f64().expect("a float is a float");
        if !(loss.is_finite() && val_loss.is_finite() && null.is_finite()) {
            return Err(Error::invalid(format!(
                "train: in epoch {epoch} the loss is {loss}, the null weight {null}; a lower rate may help"
            )));
        }
        let found = Epoch { epoch, loss, val_loss, val_miou, null };
        self.history.push(found);
        if best(&self.history) == Some(&found) {
            self.best.clone_from(&self.network);
        }
        Ok(found)
    }

    /// Mean loss and mean mIoU of the validation samples with the network as it is.
    ///
    /// # Errors
    /// None that the samples did not show before.
    pub fn validate(&self) -> Result<(f64, f64)> {
        let tasks = if self.val.is_empty() { &self.train } else { &self.val };
        let judge = |task: &Task<T>| {
            let (_, outcome) = task.forward(&self.network, &self.options)?;
            Ok((outcome.loss, task.miou(&outcome)?))
        };
        let found = tasks.par_iter().map(judge).collect::<Result<Vec<_>>>()?;
        let loss = found.iter().map(|(loss, _)| loss).sum::<f64>() / found.len() as f64;
        Ok((loss, metrics::mean(found.into_iter().map(|(_, miou)| miou)).unwrap_or(0.0)))
    }
}

/// The first epoch of the highest validation mIoU.
fn best(history: &[Epoch]) -> Option<&Epoch> {
    history.iter().rev().max_by(|a, b| a.val_miou.total_cmp(&b.val_miou))
}

/// Of everything that the samples hold and training reads.
fn fingerprint(train: &[Sample], val: &[Sample]) -> String {
    let mut hash = Sha256::new();
    let mut add = |values: &mut dyn Iterator<Item = u64>| {
        values.for_each(|value| hash.update(value.to_le_bytes()));
        hash.update(b";");
    };
    for samples in [train, val] {
        add(&mut [samples.len() as u64].into_iter());
        for s in samples {
            add(&mut s.boxes.features.iter().map(|f| f.to_bits() as u64));
            add(&mut s.places.as_flattened().iter().map(|p| p.to_bits()));
            let sets = &s.sets;
            for list in [&sets.set_offsets, &sets.set_boxes, &sets.entry_offsets, &sets.entry_set] {
                add(&mut list.iter().map(|&v| v as u64));
            }
            for list in [&sets.entry_count, &s.visible, &s.targets.counts, &s.boxes.labels()] {
                add(&mut list.iter().map(|&v| v as u64));
            }
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the file of an interrupted training says about itself.
#[derive(Serialize, Deserialize)]
struct Note {
    training: u32,
    options: Options,
    samples: String,
    channels: usize,
    steps: u64,
}

/// Of the file's layout.
const VERSION: u32 = 1;
const WHAT: &str = "the state of a training";

impl Trainer<f32> {
    /// Writes all that is needed to go on later as if nothing had happened.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut file = Writer::default();
        let n = self.network.values().len();
        file.add("values", &[n], self.network.values());
        file.add("first_moments", &[n], &self.moments[0]);
        file.add("second_moments", &[n], &self.moments[1]);
        file.add("best_values", &[n], self.best.values());
        let row = |e: &Epoch| [e.loss, e.val_loss, e.val_miou, e.null];
        let history: Vec<[f64; 4]> = self.history.iter().map(row).collect();
        file.add("history", &[history.len(), 4], history.as_flattened());
        let note = Note {
            training: VERSION,
            options: self.options.clone(),
            samples: self.fingerprint.clone(),
            channels: self.network.channels(),
            steps: self.steps,
        };
        file.write(path, &note)
    }

    /// Goes on where [`Trainer::save`] left off. Only the number of epochs may have changed.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the file is no such state, or of other samples or options.
    pub fn resume(mut self, path: &Path) -> Result<Trainer<f32>> {
        let file = Tensors::read(path)?;
        let note: Note = file.note(WHAT)?;
        let options = Options { epochs: self.options.epochs, ..note.options };
        let channels = self.network.channels();
        for (what, same) in [
            ("another version of the file", note.training == VERSION),
            ("other samples", note.samples == self.fingerprint && note.channels == channels),
            ("other options", options == self.options),
        ] {
            if !same {
                return Err(file.unfit(format!("{WHAT} with {what}; train anew, or with what it was begun")));
            }
        }
        let n = self.network.values().len();
        let list = |name: &str| file.shaped::<f32>(name, &[n]);
        let network = |name: &str| Network::new(channels, list(name)?).map_err(|e| file.unfit(e.to_string()));
        (self.network, self.best) = (network("values")?, network("best_values")?);
        self.moments = [list("first_moments")?, list("second_moments")?];
        self.steps = note.steps;
        let history = file.get::<f64>("history")?;
        let epoch = |(i, &[loss, val_loss, val_miou, null]): (usize, &[f64; 4])| Epoch {
            epoch: i + 1,
            loss,
            val_loss,
            val_miou,
            null,
        };
        self.history = history.data.as_chunks().0.iter().enumerate().map(epoch).collect();
        Ok(self)
    }
}
