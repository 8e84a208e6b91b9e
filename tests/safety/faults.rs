//! Every call of the driver fails once: an error with its cause, nothing lost, and what comes next is right to the bit. On the
//! emulated driver alone.

use cuda_emulator::{Faults, Gpu as Driver, fail, live_allocations};
use inputs::Random;
use partstad::{
    Device, Error, Parts, Pipeline, Predictions, Result, Segmentation,
    device::gpu::Gpu,
    io::points::PointCloud,
    ops::{
        learn::positional::PLACE,
        lift::membership::{Entry, Sets},
    },
    pipeline::Options,
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
        masks::Masks,
        superpoints::Superpoints,
        views::Pose,
    },
    study::{
        sample::Sample,
        targets::Targets,
        train::{self, Epoch, Trainer},
    },
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

/// Allocations are counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// CUDA's codes for too little memory and a failed launch, and one that no version of the enum has.
const CODES: [i32; 3] = [2, 719, 12_345];

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
        let cause = match code {
            2 => error.contains("out of memory"),
            719 => error.contains("unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)"),
            _ => error.contains("code 12345"),
        };
        assert!(cause, "{place}: {error}");
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
    Some(work(&Gpu::new(0).unwrap()))
}

/// Four walls, two views, four boxes.
fn lift(gpu: &Gpu) -> Result<(Vec<i32>, Vec<i32>, Vec<f32>)> {
    let mut random = Random(5);
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
    let mut options = Options::default();
    let pose = |azimuth| Pose { elevation: 10.0, azimuth, distance: 2.2 };
    (options.views.poses, options.views.side, options.views.radius) = (vec![pose(0.0), pose(90.0)], 32, 0.1);
    options.superpoints.small = 5;
    let cloud = Cloud::fit(&PointCloud { positions, colors, ..PointCloud::default() }, &options.cloud)?;
    let box2d = |view, label, x: f32| Box2d { view, label, bbox: [x, 4.0, 12.0, 22.0], score: 0.7 };
    let boxes: Boxes = vec![box2d(0, 0, 3.0), box2d(0, 1, 15.0), box2d(1, 1, 3.0), box2d(1, 0, 15.0)].into();
    let pixels: Vec<bool> = (0..4 * 32 * 32).map(|i| i / 7 % 3 > 0).collect();
    let predictions = Predictions { masks: Masks::pack(&pixels, 32), ..Predictions::new(boxes) };
    let pipeline = Pipeline::new(Device::Cuda(gpu.clone()), options);
    let found: Segmentation = pipeline.lift(&cloud, &Parts::new(["leg", "seat"])?, predictions, &())?;
    let scores = found.scores.probabilities.host()?.to_vec();
    Ok((found.labels.of_point.to_vec(), found.instances.of_point.clone(), scores))
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
        visible,
        targets: Targets::count(&Superpoints::from_labels(&points).unwrap(), &truth, 2).unwrap(),
        source: String::new(),
    }
}

/// Two epochs: the first captures its steps as graphs, the second replays them.
fn train(gpu: &Gpu) -> Result<(Vec<Epoch>, Vec<f32>)> {
    let mut random = Random(23);
    let samples = vec![sample(&mut random, 9, 7, 6), sample(&mut random, 5, 4, 3)];
    let val = vec![sample(&mut random, 6, 5, 4)];
    let options = train::Options { epochs: 2, batch: 2, rate: 3e-4, ..train::Options::default() };
    let mut trainer: Trainer = Trainer::new(samples, val, &options)?.on(&Device::Cuda(gpu.clone()))?;
    while !trainer.done() {
        trainer.epoch()?;
    }
    Ok((trainer.history().to_vec(), trainer.network()?.values().to_vec()))
}

#[test]
fn calls_of_a_lift_fail() {
    alone(|gpu| every_call_fails("a lift", 47, || lift(gpu)));
}

#[test]
fn calls_of_a_training_fail() {
    alone(|gpu| every_call_fails("a training", 17, || train(gpu)));
}

#[test]
#[ignore = "takes minutes"]
fn all_calls_fail() {
    alone(|gpu| {
        every_call_fails("a lift", 1, || lift(gpu));
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
