//! Training on a CUDA device.
//!
//! All samples lie on the device with room for whatever a step makes of them, so that a step allocates nothing and waits
//! for nothing: what it does is captured once as a graph and replayed. There is a graph per batch, for the first 256, captured
//! when the batch first comes: of 8 samples in twos there are 56, and 1,600 steps. The other way, one graph whose kernels look up which
//! samples they are to read, would have every kernel of the vote and the losses know of batches, pad what they read
//! to the largest sample, and make the samples of a batch wait for each other; in a graph of its own a batch is as many
//! branches as samples, side by side, each of the very launches that lift a single shape, and the bits of a sample do not
//! depend on its company. The branches meet in AdamW, which adds up their gradients in the order of the batch.
//!
//! What changes from step to step but is no sample, AdamW's factors, lies on the device for a whole epoch
//! ([`adamw::cuda::Schedule`]). The host reads once an epoch: the losses of its steps, then what validation made.

use crate::study::train::{Factors, Options, Outcome, State};
use crate::{
    device::gpu::{Buffer, Gpu, Graph, View, ViewMut},
    error::Result,
    ops::{
        basic::softmax,
        learn::{adamw, mlp, positional, riou},
        lift::{membership, vote},
    },
    study::sample::Sample,
};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// Streams beside the main one: so many samples are worked on side by side.
const LANES: usize = 8;
/// Batches whose graphs are kept; those that come later are launched kernel by kernel.
const GRAPHS: usize = 256;

/// Where the results of a sample lie among those of all; the losses come first, one each.
#[derive(Debug, Clone)]
struct Places {
    loss: usize,
    weights: Range<usize>,
    votes: Range<usize>,
    probabilities: Range<usize>,
}

/// A shape, made ready, and room for what a step makes of it.
struct Task {
    places: Places,
    x: Buffer<f32>,
    sets: membership::cuda::Sets,
    by_set: vote::cuda::BySet,
    visible: Buffer<u32>,
    box_label: Buffer<u32>,
    labels: usize,
    shares: Buffer<f32>,
    sizes: Buffer<u32>,
    /// The column of every superpoint's true label, `[S]`.
    columns: Buffer<u32>,
    valid: Buffer<u8>,
    mlp: mlp::cuda::Workspace,
    vote: vote::cuda::Workspace,
    riou: riou::cuda::Workspace,
    rious: Buffer<f32>,
    entropy: Buffer<f32>,
    grad: Buffer<f32>,
    grad_entropy: Buffer<f32>,
    grad_votes: Buffer<f32>,
    grad_weights: Buffer<f32>,
}

impl Task {
    fn new(gpu: &Gpu, sample: &Sample, channels: usize, places: Places) -> Result<Task> {
        let (s, b, columns) = (sample.len(), sample.boxes.len(), sample.labels() + 1);
        let mut x = gpu.alloc(b * channels)?;
        let features = gpu.upload(sample.boxes.features.host()?)?;
        positional::cuda::inputs(gpu, &features, &gpu.upload(sample.places.as_flattened())?, &mut x)?;
        let sets = membership::cuda::Sets::upload(gpu, &sample.sets)?;
        let (visible, box_label) = (gpu.upload(&sample.visible())?, gpu.upload(&sample.boxes.labels()?)?);
        let labels = sample.labels();
        let input = vote::cuda::Input { sets: &sets, visible: &visible, box_label: &box_label, labels };
        let shares: Vec<f32> = sample.targets.shares().into_iter().map(|share| share as f32).collect();
        Ok(Task {
            by_set: vote::cuda::by_set(gpu, &input)?,
            vote: vote::cuda::Workspace::new(gpu, &input)?,
            places,
            x,
            sets,
            visible,
            box_label,
            labels,
            shares: gpu.upload(&shares)?,
            sizes: gpu.upload(&sample.targets.sizes)?,
            columns: gpu.upload(&sample.targets.columns())?,
            valid: gpu.alloc(s)?,
            mlp: mlp::cuda::Workspace::new(gpu, b, channels)?,
            riou: riou::cuda::Workspace::new(gpu, s, columns)?,
            rious: gpu.alloc(columns)?,
            entropy: gpu.alloc(1)?,
            grad: gpu.alloc(s * columns)?,
            grad_entropy: gpu.alloc(s * columns)?,
            grad_votes: gpu.alloc(s * columns)?,
            grad_weights: gpu.alloc(b)?,
        })
    }

    /// Leaves loss, weights, votes and probabilities in the results.
    fn forward(
        &mut self,
        gpu: &Gpu,
        values: &Buffer<f32>,
        results: &mut Buffer<f32>,
        options: &Options,
    ) -> Result<()> {
        let Task { sets, visible, box_label, labels, valid, .. } = self;
        let Places { loss, weights, votes, probabilities } = self.places.clone();
        let (network, null) = split(values);
        let (mut losses, mut rest) = results.split_at_mut(weights.start);
        let loss = &mut losses.slice_mut(loss..loss + 1);
        let base = weights.start;
        let mut rest = rest.slice_mut(..probabilities.end - base);
        let (mut first, mut probabilities) = rest.split_at_mut(probabilities.start - base);
        let (mut weights, mut votes) = first.split_at_mut(votes.start - base);

        mlp::cuda::forward(gpu, &network, &self.x, &mut self.mlp, &mut weights)?;
        let input = vote::cuda::Input { sets, visible, box_label, labels: *labels };
        vote::cuda::forward(gpu, &input, &weights, &null, &mut self.vote, &mut votes, valid)?;
        softmax::cuda::forward(gpu, &votes, *labels + 1, &mut probabilities)?;

        let (shares, sizes, valid) = (&self.shares, &self.sizes, &self.valid);
        let truth = riou::cuda::Truth { shares, sizes, valid, columns: *labels + 1 };
        let (ious, columns, p) = (&mut self.rious, &self.columns, &probabilities);
        match shares_of(options) {
            Shares::Riou => riou::cuda::forward(gpu, p, &truth, &mut self.riou, ious, loss),
            Shares::Entropy => riou::cuda::cross_entropy(gpu, p, columns, &truth, &mut self.riou, loss),
            Shares::Both(a, b) => {
                riou::cuda::forward(gpu, p, &truth, &mut self.riou, ious, loss)?;
                riou::cuda::cross_entropy(gpu, p, columns, &truth, &mut self.riou, &mut self.entropy)?;
                riou::cuda::blend(gpu, loss, a, &self.entropy, b)
            }
        }
    }

    /// As [`Task::forward`], and the gradient of the loss by all the network's numbers.
    fn backward(
        &mut self,
        gpu: &Gpu,
        values: &Buffer<f32>,
        results: &mut Buffer<f32>,
        grad: &mut ViewMut<f32>,
        options: &Options,
    ) -> Result<()> {
        self.forward(gpu, values, results, options)?;
        let (network, null) = split(values);
        let (p, weights) =
            (results.slice(self.places.probabilities.clone()), results.slice(self.places.weights.clone()));
        let columns = self.labels + 1;
        let (shares, sizes, valid) = (&self.shares, &self.sizes, &self.valid);
        let truth = riou::cuda::Truth { shares, sizes, valid, columns };
        let (label, of_p) = (&self.columns, &mut self.grad);
        match shares_of(options) {
            Shares::Riou => riou::cuda::backward(gpu, &truth, &self.riou, of_p)?,
            Shares::Entropy => {
                riou::cuda::cross_entropy_backward(gpu, &p, label, &truth, &self.riou, of_p)?;
            }
            Shares::Both(a, b) => {
                riou::cuda::backward(gpu, &truth, &self.riou, of_p)?;
                let of_entropy = &mut self.grad_entropy;
                riou::cuda::cross_entropy_backward(gpu, &p, label, &truth, &self.riou, of_entropy)?;
                riou::cuda::blend(gpu, of_p, a, of_entropy, b)?;
            }
        }
        softmax::cuda::backward(gpu, &p, &self.grad, columns, &mut self.grad_votes)?;
        let (sets, visible, box_label) = (&self.sets, &self.visible, &self.box_label);
        let input = vote::cuda::Input { sets, visible, box_label, labels: self.labels };
        let (mut of_network, mut of_null) = grad.split_at_mut(network.len());
        vote::cuda::backward(
            gpu,
            &input,
            &self.by_set,
            &null,
            &self.grad_votes,
            &mut self.vote,
            &mut self.grad_weights,
            &mut of_null,
        )?;
        let of_weights = &self.grad_weights;
        mlp::cuda::backward(gpu, &network, &self.x, &mut self.mlp, &weights, of_weights, &mut of_network)
    }
}

/// The network's parameters and the null weight.
fn split(values: &Buffer<f32>) -> (View<'_, f32>, View<'_, f32>) {
    let null = values.len() - 1;
    (values.slice(..null), values.slice(null..))
}

/// What the loss is made of.
enum Shares {
    Riou,
    Entropy,
    Both(f32, f32),
}

fn shares_of(options: &Options) -> Shares {
    match (options.riou as f32, options.cross_entropy as f32) {
        (1.0, 0.0) => Shares::Riou,
        (0.0, 1.0) => Shares::Entropy,
        (riou, entropy) => Shares::Both(riou, entropy),
    }
}

/// Samples and what the network makes of them.
struct Tasks {
    list: Vec<Task>,
    /// Losses, then [`Places`] by sample.
    results: Buffer<f32>,
}

impl Tasks {
    fn new(gpu: &Gpu, samples: &[Arc<Sample>], channels: usize) -> Result<Tasks> {
        let mut end = samples.len();
        let mut next = |len| {
            end += len;
            end - len..end
        };
        let mut list = vec![];
        for (loss, sample) in samples.iter().enumerate() {
            let cells = sample.len() * (sample.labels() + 1);
            let (weights, votes) = (next(sample.boxes.len()), next(cells));
            let places = Places { loss, weights, votes, probabilities: next(cells) };
            list.push(Task::new(gpu, sample, channels, places)?);
        }
        Ok(Tasks { list, results: gpu.zeros(end)? })
    }
}

fn outcome(results: &[f32], places: &Places) -> Outcome<f32> {
    let Places { loss, weights, votes, probabilities } = places.clone();
    let [weights, votes, probabilities] = [weights, votes, probabilities].map(|at| results[at].to_vec());
    Outcome { loss: results[loss].into(), weights, votes, probabilities }
}

/// The samples and the network in the device's memory.
pub(super) struct Engine {
    graphs: HashMap<Vec<usize>, Graph>,
    validation: Option<Graph>,
    work: Work,
}

/// What graphs are captured of.
struct Work {
    gpu: Gpu,
    lanes: Vec<Gpu>,
    options: Options,
    train: Tasks,
    val: Tasks,
    values: Buffer<f32>,
    moments: [Buffer<f32>; 2],
    best: Buffer<f32>,
    /// Of every sample of a batch, `[batch, values]`.
    grads: Buffer<f32>,
    schedule: adamw::cuda::Schedule,
}

impl Engine {
    /// `state`: of a network of so many channels.
    pub fn new(
        gpu: &Gpu,
        train: &[Arc<Sample>],
        val: &[Arc<Sample>],
        channels: usize,
        state: State<f32>,
        options: &Options,
    ) -> Result<Engine> {
        let State { values, moments: [first, second], best } = state;
        let lanes = train.len().max(val.len()).min(LANES);
        let batch = options.batch.min(train.len());
        let work = Work {
            lanes: (0..lanes).map(|_| gpu.fork()).collect::<Result<_>>()?,
            options: options.clone(),
            train: Tasks::new(gpu, train, channels)?,
            val: Tasks::new(gpu, val, channels)?,
            grads: gpu.alloc(batch * values.len())?,
            values: gpu.upload(&values)?,
            moments: [gpu.upload(&first)?, gpu.upload(&second)?],
            best: gpu.upload(&best)?,
            schedule: adamw::cuda::Schedule::new(gpu, train.len())?,
            gpu: gpu.clone(),
        };
        Ok(Engine { graphs: HashMap::new(), validation: None, work })
    }

    /// A step on a batch, replayed if it came before.
    fn run(&mut self, batch: &[usize]) -> Result<()> {
        let Engine { graphs, work, .. } = self;
        if let Some(graph) = graphs.get_mut(batch) {
            return graph.launch();
        }
        if graphs.len() >= GRAPHS {
            return work.step(batch);
        }
        let mut graph = work.gpu.clone().capture(|| work.step(batch))?;
        graph.launch()?;
        graphs.insert(batch.to_vec(), graph);
        Ok(())
    }

    /// Room for the gradients of a batch and for the factors of so many steps; graphs know where they lay.
    fn reserve(&mut self, batch: &[usize], steps: usize) -> Result<()> {
        let Engine { graphs, work, .. } = self;
        let wanted = batch.len() * work.values.len();
        if wanted > work.grads.len() {
            graphs.clear();
            work.grads = work.gpu.alloc(wanted)?;
        }
        if steps > work.schedule.steps() {
            graphs.clear();
            work.schedule = adamw::cuda::Schedule::new(&work.gpu, steps)?;
        }
        Ok(())
    }
}

impl Work {
    /// Gradients of a batch, each sample on a lane of its own, or of those that share it. `meanwhile`: on the main stream.
    fn backward(&mut self, batch: &[usize], meanwhile: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let lanes = self.lanes.len();
        // A sample that comes twice has one place to be worked on.
        let lane = |i: &usize| batch.iter().position(|other| other == i).expect("it is there") % lanes;
        let used = batch.len().min(self.lanes.len());
        self.lanes[..used].iter().try_for_each(|lane| lane.after(&self.gpu))?;
        let count = self.values.len();
        for (slot, i) in batch.iter().enumerate() {
            let mut grad = self.grads.slice_mut(slot * count..(slot + 1) * count);
            let Tasks { list, results } = &mut self.train;
            list[*i].backward(&self.lanes[lane(i)], &self.values, results, &mut grad, &self.options)?;
        }
        meanwhile(self)?;
        self.lanes[..used].iter().try_for_each(|lane| self.gpu.after(lane))
    }

    fn step(&mut self, batch: &[usize]) -> Result<()> {
        self.backward(batch, |work| work.schedule.next(&work.gpu))?;
        let Work { gpu, values, moments: [first, second], grads, schedule, options, .. } = self;
        let (grads, null) = (grads.slice(..batch.len() * values.len()), values.len() - 1);
        adamw::cuda::step(gpu, values, [first, second], &grads, schedule, &options.adamw, null)
    }

    fn validate(&mut self) -> Result<()> {
        let Work { gpu, lanes, val: Tasks { list, results }, values, options, .. } = self;
        lanes.iter().try_for_each(|lane| lane.after(gpu))?;
        for (task, lane) in list.iter_mut().zip(lanes.iter().cycle()) {
            task.forward(lane, values, results, options)?;
        }
        lanes.iter().try_for_each(|lane| gpu.after(lane))
    }

    fn outcomes(&self, batch: &[usize]) -> Result<Vec<Outcome<f32>>> {
        let results = self.gpu.download(&self.train.results)?;
        Ok(batch.iter().map(|&i| outcome(&results, &self.train.list[i].places)).collect())
    }
}

impl super::Engine<f32> for Engine {
    fn state(&self) -> Result<State<f32>> {
        let Work { gpu, values, moments: [first, second], best, .. } = &self.work;
        let [values, first, second, best] = gpu.download_all([values, first, second, best])?;
        Ok(State { values, moments: [first, second], best })
    }

    fn gradient(&mut self, batch: &[usize]) -> Result<(Vec<Outcome<f32>>, Vec<f32>)> {
        self.reserve(batch, 0)?;
        self.work.backward(batch, |_| Ok(()))?;
        let count = self.work.values.len();
        let grads = self.work.gpu.download(&self.work.grads.slice(..batch.len() * count))?;
        let grads = grads.chunks_exact(count).map(<[f32]>::to_vec).collect();
        Ok((self.work.outcomes(batch)?, super::mean(grads)))
    }

    fn step(&mut self, batch: &[usize], factors: Factors) -> Result<Vec<Outcome<f32>>> {
        self.reserve(batch, 1)?;
        self.work.schedule.set(&self.work.gpu, &[factors])?;
        self.run(batch)?;
        self.work.outcomes(batch)
    }

    fn steps(&mut self, batches: &[&[usize]], factors: &[Factors]) -> Result<Vec<f64>> {
        batches.iter().try_for_each(|batch| self.reserve(batch, factors.len()))?;
        self.work.schedule.set(&self.work.gpu, factors)?;
        for batch in batches {
            self.run(batch)?;
        }
        let Tasks { list, results } = &self.work.train;
        let losses = self.work.gpu.download(&results.slice(..list.len()))?;
        Ok(losses.into_iter().map(f64::from).collect())
    }

    fn judge(&mut self) -> Result<Vec<Outcome<f32>>> {
        let Engine { validation, work, .. } = self;
        let graph = match validation {
            Some(graph) => graph,
            None => validation.insert(work.gpu.clone().capture(|| work.validate())?),
        };
        graph.launch()?;
        let Tasks { list, results } = &work.val;
        let results = work.gpu.download(results)?;
        Ok(list.iter().map(|task| outcome(&results, &task.places)).collect())
    }

    fn null(&self) -> Result<f32> {
        let (_, null) = split(&self.work.values);
        Ok(self.work.gpu.download(&null)?[0])
    }

    fn keep(&mut self) -> Result<()> {
        let Work { gpu, values, best, .. } = &mut self.work;
        gpu.copy(values, best)
    }
}
