//! Every call of the driver fails once: an error with its cause, nothing lost, and what comes next is right to the bit. On the
//! emulated driver alone.

use cuda_emulator::{Faults, Gpu as Driver, fail, live_allocations};
use inputs::Random;
use partstad::{
    Device, Error, Observer, Parts, Pipeline, Predictions, Result, Segmentation,
    batch::{Batch, Segmenter, Shape, Totals, Write, flow},
    device::gpu::Gpu,
    io::{ply, points::PointCloud},
    ops::{
        learn::positional::PLACE,
        lift::membership::{Entry, Sets},
    },
    pipeline::Options,
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
        masks::Masks,
        network::Basis,
        superpoints::Superpoints,
        views::Pose,
    },
    study::{
        sample::Sample,
        targets::Targets,
        train::{self, Epoch, Trainer},
    },
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

/// Allocations are counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// CUDA's codes for too little memory and a failed launch, and one that no version of the enum has.
const CODES: [i32; 3] = [2, 719, 12_345];

/// What an error says of a code.
fn cause(code: i32) -> &'static str {
    match code {
        2 => "out of memory",
        719 => "unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)",
        _ => "code 12345",
    }
}

/// Has every `step`th call of `work` fail, and compares what it gives afterwards.
fn every_call_fails<T: PartialEq>(what: &str, step: u64, work: impl Fn() -> Result<T>) {
    let (whole, Faults { calls, .. }) = fail(u64::MAX, 0, &work).expect("the emulator");
    let whole = whole.unwrap();
    let live = live_allocations();
    let mut kinds = BTreeMap::<String, u32>::new();
    for at in (0..calls).step_by(step as usize) {
        let code = CODES[at as usize / step as usize % CODES.len()];
        let (done, faults) = fail(at, code, || catch_unwind(AssertUnwindSafe(&work))).unwrap();
        let call = faults.failed.expect("as many calls as before");
        let place = format!("{what}: call {at}, {call}, code {code}");
        let done = done.unwrap_or_else(|_| panic!("{place}: a panic"));
        let error = done.err().unwrap_or_else(|| panic!("{place}: no error")).to_string();
        assert!(error.contains(cause(code)), "{place}: {error}");
        assert_eq!(live_allocations(), live, "{place}: a leak");
        assert!(work().unwrap() == whole, "{place}: another result afterwards");
        *kinds.entry(call).or_default() += 1;
    }
    println!("{what}: {} of {calls} calls failed once each: {kinds:?}", calls.div_ceil(step));
    let copies = ["cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuStreamSynchronize"];
    for kind in ["cuMemAllocAsync", "cuLaunchKernel"].iter().chain(copies.iter().filter(|_| step == 1)) {
        assert!(kinds.contains_key(*kind), "{what}: no {kind} among {kinds:?}");
    }
}

/// A device for this thread, whose turn it is.
fn alone<T>(work: impl FnOnce(&Gpu) -> T) -> Option<T> {
    if cuda_emulator::install() == Driver::Real {
        println!("SKIPPED: a real driver fails no call on demand");
        return None;
    }
    let _turn = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let gpu = Gpu::new(0).unwrap();
    gpu.cache_memory(false);
    Some(work(&gpu))
}

/// Four walls.
fn walls(seed: u64) -> PointCloud {
    let mut random = Random(seed);
    let wall = |i: usize, u: f64, v: f64| match i % 4 {
        0 => [0.0, u, v],
        1 => [1.0, u, v],
        2 => [u, v, 0.0],
        _ => [u, v, 1.0],
    };
    let n = 150;
    let positions = (0..n).map(|i| wall(i, random.uniform().into(), random.uniform().into())).collect();
    let colors =
        (0..n).map(|i| [[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.5; 3]][i % 4]).collect();
    PointCloud { positions, colors, ..PointCloud::default() }
}

/// Two small views, and superpoints of few points.
fn pipeline(gpu: &Gpu) -> Pipeline {
    let mut options = Options::default();
    let pose = |azimuth| Pose { elevation: 10.0, azimuth, distance: 2.2 };
    (options.views.poses, options.views.side, options.views.radius) = (vec![pose(0.0), pose(90.0)], 32, 0.1);
    options.superpoints.small = 5;
    Pipeline::new(Device::Cuda(gpu.clone()), options)
}

/// Four boxes with masks.
fn predictions() -> Predictions {
    let box2d = |view, label, x: f32| Box2d { view, label, bbox: [x, 4.0, 12.0, 22.0], score: 0.7 };
    let boxes: Boxes = vec![box2d(0, 0, 3.0), box2d(0, 1, 15.0), box2d(1, 1, 3.0), box2d(1, 0, 15.0)].into();
    let pixels: Vec<bool> = (0..4 * 32 * 32).map(|i| i / 7 % 3 > 0).collect();
    Predictions { masks: Masks::pack(&pixels, 32), ..Predictions::new(boxes) }
}

fn lift(gpu: &Gpu) -> Result<(Vec<i32>, Vec<i32>, Vec<f32>)> {
    let pipeline = pipeline(gpu);
    let cloud = Cloud::fit(&walls(5), &pipeline.options().cloud)?;
    let found = pipeline.lift(&cloud, &Parts::new(["leg", "seat"])?, predictions(), &())?;
    let scores = found.scores.probabilities.host()?.to_vec();
    Ok((found.labels.of_point.to_vec(), found.instances.of_point.clone(), scores))
}

/// A pipeline with a device that fails one call of one shape.
struct Faulty {
    pipeline: Pipeline,
    shape: &'static str,
    /// Which call, and how; what failed.
    fault: Mutex<(u64, i32, Option<Faults>)>,
}

impl Segmenter for Faulty {
    fn segment(&self, shape: &Shape, cloud: &Cloud, observer: &dyn Observer) -> Result<Segmentation> {
        let lift = || self.pipeline.lift(cloud, shape.parts()?.unwrap(), predictions(), observer);
        if shape.id != self.shape {
            return lift();
        }
        let mut fault = self.fault.lock().unwrap();
        let (done, faults) = fail(fault.0, fault.1, lift).unwrap();
        fault.2 = Some(faults);
        done
    }

    fn options<'a>(&'a self, _: &'a Shape) -> &'a Options {
        self.pipeline.options()
    }

    fn device(&self) -> &Device {
        self.pipeline.device()
    }

    fn made_from(&self) -> Value {
        Value::Null
    }
}

/// One shape of three meets a fault of the device: it is an entry, the others are as ever, and the next run makes it.
fn calls_of_a_batch_fail(gpu: &Gpu, step: u64) {
    let dir = tempfile::tempdir().unwrap();
    let shape = |(i, id): (usize, &str)| {
        let cloud = dir.path().join(id).with_extension("ply");
        ply::write(&cloud, &walls(5 + i as u64), &[]).unwrap();
        let parts = Ok(Some(Parts::new(["leg", "seat"]).unwrap()));
        Shape { id: id.into(), cloud, parts, weights: None, options: None }
    };
    let shapes: Vec<Shape> = ["a", "b", "c"].into_iter().enumerate().map(shape).collect();
    let worker = Faulty { pipeline: pipeline(gpu), shape: "b", fault: Mutex::new((u64::MAX, 0, None)) };
    let run = |name: &str| {
        let out = dir.path().join(name);
        let workers: [&dyn Segmenter; 1] = [&worker];
        let batch = Batch::begin(&workers, &out, "journal.jsonl", Write::Labels, Value::Null, &()).unwrap();
        let totals = batch.run(&shapes, &flow::Options::default()).unwrap();
        let result = |shape: &Shape| std::fs::read(out.join(&shape.id).with_extension("npz")).ok();
        let error = batch.entries().into_iter().find_map(|entry| entry.error.map(|error| (entry.id, error)));
        (totals, shapes.iter().map(result).collect::<Vec<_>>(), error)
    };
    let (_, whole, _) = run("whole");
    let calls = worker.fault.lock().unwrap().2.take().unwrap().calls;
    let live = live_allocations();
    for at in (0..calls).step_by(step as usize) {
        let code = CODES[at as usize / step as usize % CODES.len()];
        *worker.fault.lock().unwrap() = (at, code, None);
        let name = at.to_string();
        let (totals, results, error) = run(&name);
        let call = worker.fault.lock().unwrap().2.take().unwrap().failed;
        let place = format!("a batch: call {at}, {call:?}, code {code}");
        assert_eq!(totals, Totals { done: 2, kept: 0, failed: 1 }, "{place}");
        let (id, error) = error.unwrap_or_else(|| panic!("{place}: no error"));
        assert!(id == "b" && error.contains(cause(code)), "{place}: {id}: {error}");
        assert_eq!((&results[0], &results[1], &results[2]), (&whole[0], &None, &whole[2]), "{place}");
        assert_eq!(live_allocations(), live, "{place}: a leak");
        worker.fault.lock().unwrap().0 = u64::MAX;
        let (totals, results, _) = run(&name);
        assert_eq!((totals, results), (Totals { done: 1, kept: 2, failed: 0 }, whole.clone()), "{place}");
    }
    println!("a batch: {} of {calls} calls failed once each", calls.div_ceil(step));
}

/// A shape of random boxes in random sets.
fn sample(random: &mut Random, superpoints: usize, boxes: usize, sets: usize) -> Sample {
    let labels: Vec<u32> = (0..boxes).map(|_| random.below(2)).collect();
    let mut held = Sets::default();
    for _ in 0..sets {
        let mut set: Vec<u32> = (0..boxes as u32).filter(|_| random.below(3) == 0).collect();
        set.sort_by_key(|&b| labels[b as usize]);
        held.boxes.push(set);
    }
    let mut visible = vec![];
    for s in 0..superpoints {
        let entry = |_| Entry { set: random.below(sets as u32), count: 1 + random.below(50) };
        let entries: Vec<Entry> = (0..3).map(entry).collect();
        held.entries.push(entries);
        visible.push(held.counts(s).map(|(_, count)| count).sum::<u32>() + 2);
    }
    let points: Vec<i32> = (0..superpoints as i32).flat_map(|s| [s; 4]).collect();
    let truth: Vec<i32> = points.iter().map(|_| random.below(3) as i32 - 1).collect();
    let list: Vec<Box2d> = labels
        .iter()
        .map(|&label| Box2d { view: 0, label, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 })
        .collect();
    let features = (0..3 * boxes).map(|_| random.uniform()).collect();
    Sample {
        parts: vec!["leg".into(), "seat".into()],
        boxes: Boxes::with_features(list, features, 3),
        places: (0..boxes).map(|_| [0; PLACE].map(|_| random.uniform() as f64)).collect(),
        sets: held,
        observed: visible,
        views: 1,
        targets: Targets::count(&Superpoints::from_labels(&points).unwrap(), &truth, 2).unwrap(),
        source: String::new(),
    }
}

/// Two epochs: the first captures its steps as graphs, the second replays them.
fn train(gpu: &Gpu) -> Result<(Vec<Epoch>, Vec<f32>)> {
    let mut random = Random(23);
    let samples = vec![sample(&mut random, 9, 7, 6), sample(&mut random, 5, 4, 3)];
    let val = vec![sample(&mut random, 6, 5, 4)];
    let options = train::Options {
        basis: Basis::Constant,
        epochs: 2,
        batch: 2,
        rate: 3e-4,
        ..train::Options::default()
    };
    let mut trainer: Trainer = Trainer::new(samples, val, &options)?.on(&Device::Cuda(gpu.clone()))?;
    while !trainer.done() {
        trainer.epoch()?;
    }
    Ok((trainer.history().to_vec(), trainer.network()?.values().to_vec()))
}

#[test]
fn calls_of_a_lift_fail() {
    alone(|gpu| every_call_fails("a lift", 23, || lift(gpu)));
}

#[test]
fn a_batch_outlives_calls_that_fail() {
    alone(|gpu| calls_of_a_batch_fail(gpu, 97));
}

#[test]
fn calls_of_a_training_fail() {
    alone(|gpu| every_call_fails("a training", 17, || train(gpu)));
}

/// With memory that waits: a fault loses and spoils none, and a lack of memory that giving it back ends is no fault.
#[test]
fn faults_leave_cached_memory_as_it_was() {
    alone(|gpu| {
        let (whole, trained, live) = (lift(gpu).unwrap(), train(gpu).unwrap(), live_allocations());
        gpu.cache_memory(true);
        assert!(lift(gpu).unwrap() == whole && train(gpu).unwrap() == trained);
        let (_, Faults { calls, .. }) = fail(u64::MAX, 0, || lift(gpu)).unwrap();
        for (at, code) in (0..calls).step_by(31).zip(CODES.into_iter().cycle()) {
            let (done, faults) = fail(at, code, || lift(gpu)).unwrap();
            let error = done.err().unwrap_or_else(|| panic!("call {at}, {faults:?}: no error")).to_string();
            assert!(error.contains(cause(code)), "{faults:?}: {error}");
            assert!(lift(gpu).unwrap() == whole, "{faults:?}: another result afterwards");
        }
        gpu.trim().unwrap();
        assert_eq!(live_allocations(), live);
        let (_, Faults { calls, .. }) = fail(u64::MAX, 0, || lift(gpu)).unwrap();
        for at in (0..calls).step_by(17) {
            drop(gpu.alloc::<u8>(1 << 20).unwrap());
            let (done, faults) = fail(at, 2, || lift(gpu)).unwrap();
            match faults.failed.as_deref() {
                Some("cuMemAllocAsync") => assert!(done.unwrap() == whole, "call {at}"),
                Some(_) => assert!(done.is_err(), "{faults:?}"),
                None => {}
            }
            gpu.trim().unwrap();
        }
        assert!(train(gpu).unwrap() == trained);
    });
}

#[test]
#[ignore = "takes minutes"]
fn all_calls_fail() {
    alone(|gpu| {
        every_call_fails("a lift", 1, || lift(gpu));
        calls_of_a_batch_fail(gpu, 1);
        every_call_fails("a training", 1, || train(gpu));
    });
}

#[test]
fn a_device_that_does_not_open_is_an_error() {
    alone(|_| {
        let open = || Gpu::new(0).and_then(|gpu| gpu.download(&gpu.upload(&[1.0f32, 2.0])?));
        let (_, Faults { calls, .. }) = fail(u64::MAX, 0, open).unwrap();
        for at in 0..calls {
            let (done, faults) = fail(at, 719, open).unwrap();
            let error = done.err().unwrap_or_else(|| panic!("call {at}, {faults:?}: no error"));
            assert!(matches!(error, Error::Device(_)), "{faults:?}: {error}");
            assert_eq!(open().unwrap(), [1.0, 2.0]);
        }
    });
}
