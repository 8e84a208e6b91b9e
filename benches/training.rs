//! A training step of two shapes: 150 boxes of 403 channels, 600 superpoints and 300 box sets each.
//!
//! Of a shape's points training knows only how many of a superpoint lie in which boxes. So the shapes of 30k, 300k and 3M
//! points are the same superpoints, boxes and sets, with 50, 500 and 5,000 points to the superpoint; a cloud that is
//! partitioned into more superpoints, or in which more boxes are found, does cost more.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use partstad::{
    ops::{
        learn::positional::PLACE,
        lift::membership::{Entry, Sets},
    },
    stages::{
        boxes::{Box2d, Boxes},
        network::Basis,
        superpoints::Superpoints,
    },
    study::{
        sample::Sample,
        targets::Targets,
        train::{Options, Trainer},
    },
};

const SUPERPOINTS: usize = 600;
const BOXES: usize = 150;
const SETS: usize = 300;
const PARTS: usize = 5;
const FEATURES: usize = 256;
const POINTS: [usize; 3] = [30_000, 300_000, 3_000_000];

/// Numbers that look random, below `end`.
fn pick(seed: usize, end: usize) -> usize {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % end
}

/// A shape of about so many points; every count is a multiple of `points / 30,000`.
fn sample(seed: usize, points: usize) -> Sample {
    let each = points / SUPERPOINTS;
    let label = |b: usize| b * PARTS / BOXES;
    let mut sets = Sets::default();
    for set in 0..SETS {
        // A few boxes of the set's part, and one of another.
        let mut boxes: Vec<u32> = (0..4)
            .map(|i| (set % PARTS * BOXES / PARTS + pick(seed + set * 7 + i, BOXES / PARTS)) as u32)
            .chain([pick(seed + set * 13, BOXES) as u32])
            .collect();
        boxes.sort();
        boxes.dedup();
        sets.boxes.push(boxes);
    }
    for s in 0..SUPERPOINTS {
        sets.entries.push((0..4).map(|i| {
            // Most of a superpoint's points lie in sets of its part.
            let set = pick(seed + s * 11 + i, SETS / PARTS) * PARTS + (s + (i == 3) as usize) % PARTS;
            Entry { set: set as u32, count: (each / 10) as u32 }
        }));
    }
    let superpoints: Vec<i32> = (0..SUPERPOINTS * each).map(|p| (p / each) as i32).collect();
    let superpoints = Superpoints::from_labels(&superpoints).unwrap();
    // A fifth of each superpoint has no label.
    let truth = |p: usize| if p.is_multiple_of(5) { -1 } else { (p / each % PARTS) as i32 };
    let truth: Vec<i32> = (0..SUPERPOINTS * each).map(truth).collect();
    let box2d = |b: usize| Box2d { view: 0, label: label(b) as u32, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 };
    let feature = |i: usize| pick(seed + i * 17, 1000) as f32 / 1000.0 - 0.5;
    Sample {
        parts: (0..PARTS).map(|part| format!("part {part}")).collect(),
        boxes: Boxes::with_features(
            (0..BOXES).map(box2d).collect(),
            (0..BOXES * FEATURES).map(feature).collect(),
            FEATURES,
        ),
        places: (0..BOXES).map(|b| std::array::from_fn::<_, PLACE, _>(|i| feature(b + i).into())).collect(),
        sets,
        observed: vec![(each / 2) as u32; SUPERPOINTS],
        views: 1,
        targets: Targets::count(&superpoints, &truth, PARTS).unwrap(),
        source: String::new(),
    }
}

fn trainer(points: usize) -> Trainer {
    let options = Options { basis: Basis::Constant, ..Options::default() };
    Trainer::new(vec![sample(1, points), sample(2, points)], vec![], &options).unwrap()
}

fn training(c: &mut Criterion) {
    let mut group = c.benchmark_group("training");
    group.sample_size(10);
    let mut first = None;
    for points in POINTS {
        // The answers: the same at every size, and the loss falls.
        let mut trainer = trainer(points);
        let losses = trainer.steps(&[&[0, 1]]).unwrap();
        let expected = first.get_or_insert_with(|| losses.clone());
        let same = losses.iter().zip(&*expected).all(|(loss, expected)| (loss - expected).abs() < 1e-5);
        assert!(same, "{points} points: losses {losses:?}, not {expected:?}");
        let later = trainer.steps(&[&[0, 1][..]; 20]).unwrap();
        assert!(later.iter().zip(&losses).all(|(later, first)| later < first), "{later:?} after {losses:?}");
        group.bench_function(BenchmarkId::new("step of 2 shapes, cpu", points), |b| {
            b.iter(|| trainer.steps(&[&[0, 1]]).unwrap());
        });
    }
    #[cfg(feature = "cuda")]
    on_a_gpu(&mut group, first.expect("there is a size"));
    group.finish();
}

/// By the events of the stream, steps one after another; nothing where no GPU is: an emulated driver's time says nothing.
#[cfg(feature = "cuda")]
fn on_a_gpu(group: &mut criterion::BenchmarkGroup<criterion::measurement::WallTime>, expected: Vec<f64>) {
    use cudarc::driver::sys::CUevent_flags;
    use partstad::{Device, device::gpu::Gpu};
    use std::time::Duration;

    let gpu = match Gpu::new(0) {
        Ok(gpu) if !gpu.name().contains("emulator") => gpu,
        Ok(_) => return println!("an emulated driver: nothing to measure"),
        Err(why) => return println!("no GPU to measure: {why}"),
    };
    for points in POINTS {
        let mut trainer = trainer(points).on(&Device::Cuda(gpu.clone())).unwrap();
        let losses = trainer.steps(&[&[0, 1]]).unwrap();
        let near = losses.iter().zip(&expected).all(|(loss, expected)| (loss - expected).abs() < 1e-4);
        assert!(near, "{points} points: losses {losses:?}, not {expected:?}");
        let id = BenchmarkId::new(format!("step of 2 shapes, {}", gpu.name()), points);
        group.bench_function(id, |b| {
            b.iter_custom(|count| {
                let batches = vec![&[0, 1][..]; count as usize];
                let event = || gpu.stream().record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
                let start = event();
                trainer.steps(&batches).unwrap();
                Duration::from_secs_f32(start.elapsed_ms(&event()).unwrap() / 1000.0)
            });
        });
    }
}

criterion_group!(benches, training);
criterion_main!(benches);
