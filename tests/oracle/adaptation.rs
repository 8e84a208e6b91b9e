//! Training, step by step.

use crate::lifting::Case;
use inputs::{fixture, golden};
use partstad::{
    Device,
    io::npy,
    ops::{
        basic::matmul::cpu::Real,
        learn::{
            positional::{self, PLACE},
            riou,
        },
    },
    stages::{
        labels::{self, Rule},
        network::{Basis, Network},
        scores::Scores,
    },
    study::{
        metrics,
        sample::Sample,
        train::{Options, Outcome, Trainer},
    },
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A recorded training.
struct Trace {
    steps: Vec<Value>,
    names: Vec<String>,
    samples: Vec<Sample>,
    network: Network<f64>,
    /// What was recorded of some steps.
    arrays: PathBuf,
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Our views' directions and the boxes' places in f64, as the authors have them; ours are rounded to f32.
fn places(pred: &Path) -> Vec<[f64; PLACE]> {
    let directions: Vec<f64> = npy::read(&fixture("cameras/view_posenc.npy")).unwrap().data;
    let place = |b: &Value| {
        let bbox: [f64; 4] = numbers(&b["bbox"]).try_into().unwrap();
        let direction = directions.as_chunks::<3>().0[b["image_id"].as_u64().unwrap() as usize];
        positional::place(direction, bbox, 800)
    };
    json(pred).as_array().unwrap().iter().map(place).collect()
}

impl Trace {
    /// `object`: where the files of an object lie.
    fn read(folder: &Path, name: &str, object: impl Fn(&str) -> PathBuf) -> Trace {
        let trace = json(&folder.join(format!("trace_{name}.json")));
        let steps = trace["trace"].as_array().unwrap().clone();
        let mut names: Vec<String> = vec![];
        for batch in trace["batches"].as_array().unwrap() {
            names.extend(batch.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_string()));
        }
        let sample = |name: &String| {
            let folder = object(name);
            let mut sample = Case::full(folder.clone()).sample(&folder.join("box_feature.npy"));
            let ours = std::mem::replace(&mut sample.places, places(&folder.join("pred.json")));
            for (ours, theirs) in ours.as_flattened().iter().zip(sample.places.as_flattened()) {
                assert!((ours - theirs).abs() < 1e-6, "place {ours} against {theirs}");
            }
            sample
        };
        let init = |what: &str| {
            let file = format!("init_{}_{what}.npy", trace["init"].as_str().unwrap());
            npy::read::<f64>(&folder.join(file)).unwrap().data
        };
        let values =
            [init("W1"), init("b1"), init("W2"), init("b2"), vec![trace["init_weight"].as_f64().unwrap()]];
        Trace {
            samples: names.iter().map(sample).collect(),
            network: Network::new(Basis::Constant, 403, values.concat()).unwrap(),
            arrays: folder.join(format!("arrays_{name}.npz")),
            steps,
            names,
        }
    }

    fn trainer<T: Real>(&self) -> Trainer<T> {
        let options = Options { basis: Basis::Constant, ..Options::default() };
        let trainer = Trainer::new(self.samples.clone(), vec![], &options).unwrap();
        trainer.start_from(self.network.cast()).unwrap()
    }

    /// Goes along the recorded steps; fails where ours differs from theirs by more than `tolerance` of the largest of
    /// the numbers compared.
    fn follow<T: Real>(&self, mut trainer: Trainer<T>, steps: usize, tolerance: f64) {
        let recorded = npy::members(&self.arrays).unwrap();
        let mut compare = Compare { tolerance, worst: (0.0, String::new()), count: 0 };
        for (i, step) in self.steps.iter().enumerate().take(steps) {
            let place = |name: &Value| self.names.iter().position(|n| *n == name.as_str().unwrap()).unwrap();
            let batch: Vec<usize> = step["objects"].as_array().unwrap().iter().map(place).collect();
            let (_, grad) = trainer.gradient(&batch).unwrap();
            let split = Split::new(&grad);
            compare.one(i, "gradient of the null weight", split.null, step["grad_null"].as_f64().unwrap());
            for (name, values) in split.network() {
                let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
                let expected = step["grad_norms"][name].as_f64().unwrap();
                compare.one(i, &format!("norm of the gradient of {name}"), norm, expected);
                compare.array(i, &self.arrays, &recorded, &format!("step{i:03}_grad_{name}"), values);
            }
            let outcomes = trainer.step(&batch).unwrap();
            let loss = outcomes.iter().map(|o| o.loss).sum::<f64>() / outcomes.len() as f64;
            compare.one(i, "loss", loss, step["loss"].as_f64().unwrap());
            compare.one(
                i,
                "null weight",
                f64s(&[trainer.network().unwrap().null()])[0],
                step["null_weight_after"].as_f64().unwrap(),
            );
            for (&object, outcome) in batch.iter().zip(&outcomes) {
                let (name, sample) = (&self.names[object], &self.samples[object]);
                self.compare_outcome(i, &mut compare, step, name, sample, outcome);
                let prefix = format!("step{i:03}_{name}");
                let weights = f64s(&outcome.weights);
                // The authors' array begins with the null weight.
                if recorded.contains(&format!("{prefix}_weights")) {
                    let theirs: Vec<f64> =
                        npy::read_member(&self.arrays, &format!("{prefix}_weights")).unwrap().data;
                    compare.all(i, &format!("{prefix}_weights"), &weights, &theirs[1..]);
                }
                compare.array(i, &self.arrays, &recorded, &format!("{prefix}_score"), &f64s(&outcome.votes));
            }
            for (name, values) in Split::new(trainer.network().unwrap().values()).network() {
                compare.parameters(i, &self.arrays, &recorded, &format!("after{i:03}_{name}"), values);
            }
        }
        let Compare { worst: (worst, what), count, .. } = compare;
        println!(
            "{}: {count} comparisons, the worst {worst:.1e} of {tolerance:.0e} ({what})",
            self.arrays.display()
        );
    }

    fn compare_outcome<T: Real>(
        &self,
        i: usize,
        compare: &mut Compare,
        step: &Value,
        name: &str,
        sample: &Sample,
        outcome: &Outcome<T>,
    ) {
        let (shares, valid) = (sample.targets.shares(), sample.valid());
        let columns = sample.labels() + 1;
        let truth = riou::Truth { shares: &shares, sizes: &sample.targets.sizes, valid: &valid, columns };
        let found = riou::cpu::riou(&f64s(&outcome.probabilities), &truth).unwrap();
        compare.all(i, &format!("RIoU of {name}"), &found, &numbers(&step["rious"][name]));
        let f32s = |values: &[T]| f64s(values).iter().map(|&v| v as f32).collect::<Vec<_>>().into();
        let bytes = |flags: &[bool]| flags.iter().map(|&flag| flag as u8).collect::<Vec<_>>().into();
        let (votes, probabilities) = (f32s(&outcome.votes), f32s(&outcome.probabilities));
        let scores = Scores { labels: sample.labels(), votes, probabilities, valid: bytes(&valid) };
        for (rule, theirs) in [(Rule::Threshold, "miou"), (Rule::ArgMax, "miou_wo_thr")] {
            let labels = labels::of_superpoints(
                &scores,
                &sample.parts,
                &labels::Options { rule, ..Default::default() },
            )
            .unwrap();
            let miou = metrics::mean(sample.iou(&labels)).unwrap();
            let theirs = step[theirs][name].as_f64().unwrap();
            assert!(
                (miou - theirs).abs() < 1e-6,
                "step {i}, {rule:?}: mIoU of {name} is {miou}, not {theirs}"
            );
        }
    }
}

fn f64s<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64().unwrap()).collect()
}

/// The network's numbers by the authors' names.
struct Split {
    values: Vec<f64>,
    null: f64,
}

impl Split {
    fn new<T: Real>(values: &[T]) -> Split {
        let mut values = f64s(values);
        Split { null: values.pop().unwrap(), values }
    }

    /// Without b1: its true gradient is 0 (the context norm takes it away); theirs is rounding noise.
    fn network(&self) -> [(&'static str, &[f64]); 3] {
        let (w1, rest) = self.values.split_at(403 * 403);
        let (w2, b2) = rest[403..].split_at(403);
        [("W1", w1), ("W2", w2), ("b2", b2)]
    }
}

struct Compare {
    tolerance: f64,
    worst: (f64, String),
    count: usize,
}

impl Compare {
    fn one(&mut self, step: usize, what: &str, found: f64, expected: f64) {
        self.all(step, what, &[found], &[expected]);
    }

    fn array(&mut self, step: usize, file: &Path, names: &[String], name: &str, found: &[f64]) {
        if names.iter().any(|n| n == name) {
            self.all(step, name, found, &npy::read_member::<f64>(file, name).unwrap().data);
        }
    }

    /// By the norm of the difference: where a gradient is as small as AdamW's epsilon, its rounding is all that is left of
    /// the step, in f32.
    fn parameters(&mut self, step: usize, file: &Path, names: &[String], name: &str, found: &[f64]) {
        if names.iter().any(|n| n == name) {
            let expected = npy::read_member::<f64>(file, name).unwrap().data;
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
            let size = norm(&mut expected.iter().copied());
            let apart = norm(&mut found.iter().zip(&expected).map(|(f, e)| f - e));
            self.one(step, name, 1.0 + apart / size, 1.0);
        }
    }

    fn all(&mut self, step: usize, what: &str, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "step {step}: {what}");
        let scale = expected.iter().fold(1e-3, |most: f64, v| most.max(v.abs()));
        self.count += found.len();
        for (i, (&f, &e)) in found.iter().zip(expected).enumerate() {
            let error = (f - e).abs() / scale;
            assert!(
                error <= self.tolerance,
                "they part at step {step}: {what} [{i}] is {f}, not {e} ({error:.1e})"
            );
            if error > self.worst.0 {
                self.worst = (error, format!("step {step}: {what} [{i}]"));
            }
        }
    }
}

fn small() -> Trace {
    Trace::read(&fixture("train_trace"), "f64_default_syn8k_d", fixture)
}

fn large() -> impl Iterator<Item = Trace> {
    let names = ["default_syn8k_d", "std02_syn8k_d", "default_syn30k_a_syn30k_b_syn8k_d"];
    names.into_iter().map(|name| Trace::read(&golden("train_trace"), &format!("f64_{name}"), golden))
}

/// Not against their f32 run: its gradients are up to 1e-2 away from those of their f64 run.
fn follow_in_f32(trace: &Trace, device: &Device) {
    trace.follow::<f32>(trace.trainer().on(device).unwrap(), 20, 1e-4);
}

#[test]
fn a_small_training() {
    small().follow::<f64>(small().trainer(), usize::MAX, 1e-9);
    follow_in_f32(&small(), &Device::Cpu);
}

#[test]
#[ignore = "needs PARTSTAD_GOLDEN"]
fn large_trainings() {
    for trace in large() {
        trace.follow::<f64>(trace.trainer(), usize::MAX, 1e-9);
        follow_in_f32(&trace, &Device::Cpu);
    }
}

#[cfg(feature = "cuda")]
#[test]
fn a_small_training_on_cuda() {
    cuda_emulator::install();
    follow_in_f32(&small(), &Device::cuda(0).unwrap());
}

#[cfg(feature = "cuda")]
#[test]
#[ignore = "needs PARTSTAD_GOLDEN"]
fn large_trainings_on_cuda() {
    cuda_emulator::install();
    large().for_each(|trace| follow_in_f32(&trace, &Device::cuda(0).unwrap()));
}
