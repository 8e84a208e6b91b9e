//! Task adaptation: learns to weigh boxes from a few labelled shapes (paper section 4).
//!
//! Everything about the shapes that does not change is made once; a step costs the same whatever the number of points.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod folds;
mod record;
mod state;
#[cfg(test)]
mod tests;

pub use folds::{Folds, Gain, WINDOW, cross_validate};
pub use record::{curve, table};

use crate::{
    device::Device,
    error::{Error, Result},
    ops::{
        basic::{matmul::cpu::Real, random::Random, softmax},
        learn::adamw,
        lift::vote,
    },
    stages::{
        labels,
        network::{Basis, Network},
        scores::Scores,
        weights::{self, Held},
    },
    study::{metrics, sample::Sample},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How to train. The defaults are the authors', but for what learning begins from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// What the weights begin from. The paper's is [`Basis::Constant`].
    pub basis: Basis,
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
    /// So many of the last epochs' networks are averaged, number by number; 0 keeps the network of the best epoch.
    pub average: usize,
    /// Decides the first weights and the order of the shapes.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            basis: Basis::Agreement,
            epochs: 400,
            batch: 2,
            rate: 1e-4,
            null_rate: 0.05,
            adamw: adamw::Options::default(),
            riou: 1.0,
            cross_entropy: 0.0,
            deviation: 1e-4,
            average: 0,
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

impl<T: Real> Outcome<T> {
    /// As [`miou`], by the rule of the basis.
    fn miou(&self, sample: &Sample, basis: Basis) -> Result<Option<f64>> {
        let f32s = |values: &[T]| values.iter().map(|v| v.to_f32().expect("a float is a float")).collect();
        miou(sample, f32s(&self.votes), f32s(&self.probabilities), basis.rule())
    }
}

/// Mean IoU of the parts that a shape has; None if it has none.
fn miou(
    sample: &Sample,
    votes: Vec<f32>,
    probabilities: Vec<f32>,
    rule: labels::Rule,
) -> Result<Option<f64>> {
    let valid: Vec<u8> = sample.valid().into_iter().map(u8::from).collect();
    let (votes, probabilities, valid) = (votes.into(), probabilities.into(), valid.into());
    let scores = Scores { labels: sample.labels(), votes, probabilities, valid };
    let options = labels::Options { rule, ..Default::default() };
    let labels = labels::of_superpoints(&scores, &sample.parts, &options)?;
    Ok(metrics::mean(sample.iou(&labels)))
}

/// mIoU of a sample without learning: by the default weights, which are those of agreement, and the default label rule. None
/// if it has no parts.
///
/// # Errors
/// [`Error::Invalid`] if the sample does not fit together, [`Error::Device`] if its boxes lie on a device that failed.
pub fn unlearned_miou(sample: &Sample) -> Result<Option<f64>> {
    let options = weights::Options::default();
    let (weights, box_label) = (plain(sample, &options)?, sample.boxes.labels()?);
    let votes = vote::cpu::forward(&sample.votes(&box_label, &sample.visible()), &weights, options.null())?;
    let probabilities = softmax::cpu::forward(&votes, sample.labels() + 1)?;
    miou(sample, votes, probabilities, labels::Rule::default())
}

/// The weights of a sample's boxes without learning, `[B]`.
fn plain(sample: &Sample, options: &weights::Options) -> Result<Vec<f32>> {
    let Sample { boxes, sets, observed, views, .. } = sample;
    options.on_host(boxes, sample.labels(), || Ok(Held { sets, observed, views: *views }))
}

/// The sample as learning sees it: boxes that cannot vote hold nothing.
fn voting(sample: &Arc<Sample>, basis: Basis) -> Result<Arc<Sample>> {
    if basis == Basis::Constant {
        return Ok(sample.clone());
    }
    let weights = plain(sample, &weights::AGREEMENT)?;
    let sets = sample.sets.retain(|b| weights[b as usize] > 0.0);
    Ok(Arc::new(Sample { sets, ..Sample::clone(sample) }))
}

/// What a back end does with the samples and the network. It owns the network's numbers and the two averages of AdamW.
trait Engine<T>: Send {
    /// The numbers, as they are now.
    fn state(&self) -> Result<State<T>>;

    /// The losses' mean over a batch and its gradient by all numbers.
    fn gradient(&mut self, batch: &[usize]) -> Result<(Vec<Outcome<T>>, Vec<T>)>;

    /// One step of AdamW; what the network made of the batch before.
    fn step(&mut self, batch: &[usize], factors: Factors) -> Result<Vec<Outcome<T>>>;

    /// A step for each batch; the loss of every training sample before the last step that it took part in.
    fn steps(&mut self, batches: &[&[usize]], factors: &[Factors]) -> Result<Vec<f64>>;

    /// What the network makes of the samples that judge the epochs.
    fn judge(&mut self) -> Result<Vec<Outcome<T>>>;

    /// The null weight.
    fn null(&self) -> Result<T>;

    /// Remembers the network as the best.
    fn keep(&mut self) -> Result<()>;
}

/// AdamW's factors in a step, for the network and for the null weight.
type Factors = [adamw::Factors; 2];

/// The numbers that training changes, each of [`Network::values`]' kind and length.
#[derive(Debug, Clone, PartialEq)]
struct State<T> {
    values: Vec<T>,
    /// AdamW's averages of the gradient and of its square.
    moments: [Vec<T>; 2],
    /// Of the best epoch.
    best: Vec<T>,
}

impl<T: Real> State<T> {
    fn begin(network: Network<T>) -> State<T> {
        let zeros = vec![T::zero(); network.values().len()];
        let values = network.values().to_vec();
        State { best: values.clone(), values, moments: [zeros.clone(), zeros] }
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

/// A network while it learns. f32 for use; f64, on the CPU alone, to be compared with other code.
pub struct Trainer<T: Real = f32> {
    options: Options,
    /// As learning sees them.
    train: Vec<Arc<Sample>>,
    /// Those that judge the epochs, as learning sees them; the training samples if there are no others.
    val: Vec<Arc<Sample>>,
    /// The same as they were given.
    judged: Vec<Arc<Sample>>,
    fingerprint: String,
    channels: usize,
    engine: Box<dyn Engine<T>>,
    steps: u64,
    history: Vec<Epoch>,
    /// mIoU of the validation samples when they were judged last.
    mious: Vec<Option<f64>>,
    /// Of the numbers of the epochs that are averaged; empty before the first.
    sum: Vec<f64>,
}

impl<T: Real> Trainer<T> {
    /// Begins on the CPU: first weights from the seed.
    ///
    /// `train`, `val`: samples of one category, or of several that are to share a network; without `val` the training shapes
    /// themselves choose the best epoch.
    ///
    /// # Errors
    /// [`Error::Invalid`] without training samples, if the samples have different feature channels, or if an option is out
    /// of range.
    pub fn new(train: Vec<Sample>, val: Vec<Sample>, options: &Options) -> Result<Trainer<T>> {
        options.check()?;
        let all = || train.iter().chain(&val);
        if train.is_empty() {
            return Err(Error::invalid("train: no training sample; prepare some first"));
        }
        let Some(dim) = all().map(|s| s.boxes.feature_dim).find(|&dim| dim > 0) else {
            return Err(Error::invalid("train: no sample has a box; there is nothing to weigh"));
        };
        for (i, sample) in all().enumerate() {
            let found = sample.boxes.feature_dim;
            if found != dim && !sample.boxes.is_empty() {
                return Err(Error::invalid(format!(
                    "train: sample {i} has features of {found} channels, not {dim}"
                )));
            }
        }
        let fingerprint = state::fingerprint(&train, &val)?;
        let channels = dim + crate::ops::learn::positional::CODE;
        let network = Network::initial(options.basis, channels, options.deviation, options.seed);
        let shared = |samples: Vec<Sample>| samples.into_iter().map(Arc::new).collect::<Vec<_>>();
        let (train, val) = (shared(train), shared(val));
        let judged = if val.is_empty() { train.clone() } else { val };
        let voting = |samples: &[Arc<Sample>]| {
            samples.iter().map(|sample| voting(sample, options.basis)).collect::<Result<Vec<_>>>()
        };
        let (train, val) = (voting(&train)?, voting(&judged)?);
        let engine = Box::new(cpu::Engine::new(&train, &val, channels, State::begin(network), options)?);
        let options = options.clone();
        Ok(Trainer {
            options,
            train,
            val,
            judged,
            fingerprint,
            channels,
            engine,
            steps: 0,
            history: vec![],
            mious: vec![],
            sum: vec![],
        })
    }

    fn resumed(&self, state: State<T>) -> Result<Box<dyn Engine<T>>> {
        Ok(Box::new(cpu::Engine::new(&self.train, &self.val, self.channels, state, &self.options)?))
    }

    /// Begins from another network.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not read as many channels, or has another basis.
    pub fn start_from(mut self, network: Network<T>) -> Result<Trainer<T>> {
        let (found, wanted) = (network.channels(), self.channels);
        if found != wanted {
            return Err(Error::invalid(format!(
                "train: a network of {found} channels for samples of {wanted}"
            )));
        }
        let (found, wanted) = (network.basis(), self.options.basis);
        if found != wanted {
            return Err(Error::invalid(format!(
                "train: a network that begins from {found:?}, where training begins from {wanted:?}"
            )));
        }
        self.engine = self.resumed(State::begin(network))?;
        Ok(self)
    }

    /// The network as it is now.
    ///
    /// # Errors
    /// [`Error::Device`] if it lies on a device that failed; [`Error::Invalid`] if its numbers ran away to infinity.
    pub fn network(&self) -> Result<Network<T>> {
        Network::new(self.options.basis, self.channels, self.engine.state()?.values)
    }

    /// The network of the best epoch so far, the first of the highest validation mIoU; with [`Options::average`] the last
    /// epoch and the mean of those before it.
    ///
    /// # Errors
    /// As [`Trainer::network`].
    pub fn best(&self) -> Result<(Option<&Epoch>, Network<T>)> {
        let Options { basis, epochs, average, .. } = self.options;
        let network = |values| Network::new(basis, self.channels, values);
        if average == 0 || self.sum.is_empty() {
            return Ok((best(&self.history), network(self.engine.state()?.best)?));
        }
        let count = self.history.len() - epochs.saturating_sub(average);
        let mean = self.sum.iter().map(|sum| T::of(sum / count as f64)).collect();
        Ok((self.history.last(), network(mean)?))
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

    fn check(&self, batch: &[usize]) -> Result<()> {
        if batch.is_empty() || batch.iter().any(|&i| i >= self.train.len()) {
            let n = self.train.len();
            return Err(Error::invalid(format!(
                "train: batch {batch:?}; name some of the {n} samples, from 0"
            )));
        }
        Ok(())
    }

    /// The factors of the `i`th step from now.
    fn factors(&self, i: usize) -> Factors {
        let Options { rate, null_rate, adamw, .. } = &self.options;
        [*rate, *null_rate].map(|rate| adamw.factors(rate, self.steps + 1 + i as u64))
    }

    /// The mean loss of a batch and its gradient by all the network's numbers; `batch`: places among the training
    /// samples.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a batch that is empty or names a sample that is not there; [`Error::Device`].
    pub fn gradient(&mut self, batch: &[usize]) -> Result<(Vec<Outcome<T>>, Vec<T>)> {
        self.check(batch)?;
        self.engine.gradient(batch)
    }

    /// One step of AdamW on a batch; what the network made of it before.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn step(&mut self, batch: &[usize]) -> Result<Vec<Outcome<T>>> {
        self.check(batch)?;
        let outcomes = self.engine.step(batch, self.factors(0))?;
        self.steps += 1;
        Ok(outcomes)
    }

    /// A step of AdamW on each batch, one after another; a device is waited for at the end alone.
    ///
    /// Returns the loss of every training sample before the last step that it took part in, in this call or an earlier one; 0
    /// if there was none.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn steps(&mut self, batches: &[&[usize]]) -> Result<Vec<f64>> {
        batches.iter().try_for_each(|batch| self.check(batch))?;
        let factors: Vec<Factors> = (0..batches.len()).map(|i| self.factors(i)).collect();
        let losses = self.engine.steps(batches, &factors)?;
        self.steps += batches.len() as u64;
        Ok(losses)
    }

    /// One epoch: every training sample once, in an order from the seed; then validation.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the numbers ran away to infinity; [`Error::Device`].
    pub fn epoch(&mut self) -> Result<Epoch> {
        let epoch = self.history.len() + 1;
        let order = Random::new(self.options.seed, epoch as u64).order(self.train.len());
        let losses = self.steps(&order.chunks(self.options.batch).collect::<Vec<_>>())?;
        let loss = order.iter().map(|&i| losses[i]).sum::<f64>() / self.train.len() as f64;
        let (val_loss, val_miou) = self.validate()?;
        let null = self.engine.null()?.to_f64().expect("a float is a float");
        if !(loss.is_finite() && val_loss.is_finite() && null.is_finite()) {
            return Err(Error::invalid(format!(
                "train: in epoch {epoch} the loss is {loss}, the null weight {null}; a lower rate may help"
            )));
        }
        let found = Epoch { epoch, loss, val_loss, val_miou, null };
        self.history.push(found);
        if best(&self.history) == Some(&found) {
            self.engine.keep()?;
        }
        if epoch + self.options.average > self.options.epochs {
            let values = self.engine.state()?.values;
            self.sum.resize(values.len(), 0.0);
            self.sum
                .iter_mut()
                .zip(values)
                .for_each(|(sum, v)| *sum += v.to_f64().expect("a float is a float"));
        }
        Ok(found)
    }

    /// mIoU of each validation sample when they were judged last, None for one without parts; empty before that.
    pub fn val_mious(&self) -> &[Option<f64>] {
        &self.mious
    }

    /// Mean mIoU of the validation samples without learning.
    ///
    /// # Errors
    /// As [`unlearned_miou`].
    pub fn unlearned_miou(&self) -> Result<f64> {
        let mious = self.judged.iter().map(|sample| unlearned_miou(sample)).collect::<Result<Vec<_>>>()?;
        Ok(metrics::mean(mious).unwrap_or(0.0))
    }

    /// Mean loss and mean mIoU of the validation samples with the network as it is.
    ///
    /// # Errors
    /// [`Error::Device`] if a device failed.
    pub fn validate(&mut self) -> Result<(f64, f64)> {
        let outcomes = self.engine.judge()?;
        let loss = outcomes.iter().map(|outcome| outcome.loss).sum::<f64>() / outcomes.len() as f64;
        let miou = |(sample, outcome): (&Arc<Sample>, &Outcome<T>)| outcome.miou(sample, self.options.basis);
        self.mious = self.judged.iter().zip(&outcomes).map(miou).collect::<Result<Vec<_>>>()?;
        Ok((loss, metrics::mean(self.mious.iter().copied()).unwrap_or(0.0)))
    }
}

impl Trainer<f32> {
    /// The same training, on a device from here on.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn on(mut self, device: &Device) -> Result<Trainer<f32>> {
        let state = self.engine.state()?;
        self.engine = match device {
            Device::Cpu => self.resumed(state)?,
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                Box::new(cuda::Engine::new(gpu, &self.train, &self.val, self.channels, state, &self.options)?)
            }
        };
        Ok(self)
    }
}

/// The mean of a batch's gradients, summed in the batch's order.
fn mean<T: Real>(grads: Vec<Vec<T>>) -> Vec<T> {
    let share = T::of(1.0 / grads.len() as f64);
    let mut grads = grads.into_iter();
    let mut sum = grads.next().expect("the batch is not empty");
    for grad in grads {
        sum.iter_mut().zip(grad).for_each(|(sum, g)| *sum += g);
    }
    sum.iter_mut().for_each(|g| *g *= share);
    sum
}

/// The first epoch of the highest validation mIoU.
fn best(history: &[Epoch]) -> Option<&Epoch> {
    history.iter().rev().max_by(|a, b| a.val_miou.total_cmp(&b.val_miou))
}
