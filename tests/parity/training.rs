//! Training on a device, against the same training on the CPU.

use crate::gpu;
use inputs::Random;
use partstad::{
    Device,
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
        train::{Epoch, Options, Trainer},
    },
};

/// The random memberships are of no views, so nothing agrees.
fn options() -> Options {
    Options { basis: Basis::Constant, ..Options::default() }
}

/// Boxes that mostly hold superpoints of their own part; the features say which do not.
fn sample(random: &mut Random, parts: usize, superpoints: usize, boxes: usize, sets: usize) -> Sample {
    let labels: Vec<u32> = (0..boxes).map(|_| random.below(parts as u32)).collect();
    let wrong: Vec<bool> = (0..boxes).map(|_| random.below(4) == 0).collect();
    let mut held = Sets::default();
    for _ in 0..sets {
        let mut set: Vec<u32> = (0..boxes as u32).filter(|_| random.below(6) == 0).collect();
        set.sort_by_key(|&b| labels[b as usize]);
        held.boxes.push(set);
    }
    let (mut visible, mut points, mut truth) = (vec![], vec![], vec![]);
    for s in 0..superpoints {
        let (mut entries, mut part) = (vec![], -1);
        for _ in 0..if sets == 0 { 0 } else { random.below(4) } {
            let set = random.below(sets as u32);
            if let Some(&b) = held.boxes.row(set as usize).iter().find(|&&b| !wrong[b as usize]) {
                part = labels[b as usize] as i32;
            }
            entries.push(Entry { set, count: 1 + random.below(50) });
        }
        held.entries.push(entries);
        visible.push(held.counts(s).map(|(_, count)| count).sum::<u32>() + random.below(5));
        for _ in 0..1 + random.below(30) {
            points.push(s as i32);
            truth.push(if random.below(8) == 0 { -1 } else { part });
        }
    }
    let superpoints = Superpoints::from_labels(&points).unwrap();
    let box2d = |b: usize| Box2d { view: 0, label: labels[b], bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 };
    let features = wrong.iter().flat_map(|&w| [w as u8 as f32 - 0.5, random.uniform(), 1.0]).collect();
    Sample {
        parts: ["arm", "leg", "seat"][..parts].iter().map(ToString::to_string).collect(),
        boxes: Boxes::with_features((0..boxes).map(box2d).collect(), features, 3),
        places: (0..boxes).map(|_| [0; PLACE].map(|_| random.uniform() as f64)).collect(),
        sets: held,
        observed: visible,
        views: 1,
        targets: Targets::count(&superpoints, &truth, parts).unwrap(),
        source: String::new(),
    }
}

/// Four shapes to learn from, one of another category, the last without a box, and one to judge by.
fn trainer(options: &Options, device: &Device) -> Trainer {
    let mut random = Random(23);
    let train = [(3, 40, 33, 20), (3, 9, 1, 1), (2, 25, 40, 60), (3, 5, 0, 0)]
        .map(|(parts, s, b, d)| sample(&mut random, parts, s, b, d));
    let val = vec![sample(&mut random, 3, 30, 25, 30)];
    Trainer::new(train.to_vec(), val, options).unwrap().on(device).unwrap()
}

fn history(mut trainer: Trainer) -> (Vec<Epoch>, Trainer) {
    while !trainer.done() {
        trainer.epoch().unwrap();
    }
    (trainer.history().to_vec(), trainer)
}

#[test]
fn a_device_trains_as_the_cpu_does() {
    let device = Device::Cuda(gpu());
    for (riou, cross_entropy, batch) in [(1.0, 0.0, 3), (0.0, 1.0, 2), (0.7, 0.4, 2)] {
        let options = Options { epochs: 12, batch, riou, cross_entropy, rate: 3e-4, ..options() };
        let ((here, on_cpu), (there, on_device)) =
            (history(trainer(&options, &Device::Cpu)), history(trainer(&options, &device)));
        let what = format!("{riou} RIoU, {cross_entropy} cross-entropy");
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-4 * a.abs().max(b.abs());
        for (a, b) in here.iter().zip(&there) {
            let same = near(a.loss, b.loss) && near(a.val_loss, b.val_loss) && near(a.null, b.null);
            assert!(
                same && (a.val_miou - b.val_miou).abs() < 0.05,
                "{what}: {a:?} on the CPU, {b:?} on a device"
            );
        }
        assert!(here[11].loss < here[0].loss, "{what}: {} to {}", here[0].loss, here[11].loss);
        let (a, b) = (on_cpu.network().unwrap(), on_device.network().unwrap());
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v as f64 * v as f64).sum::<f64>();
        let apart = square(&mut a.values().iter().zip(b.values()).map(|(a, b)| a - b));
        let moved = square(
            &mut a
                .values()
                .iter()
                .zip(trainer(&options, &Device::Cpu).network().unwrap().values())
                .map(|(a, b)| a - b),
        );
        // AdamW follows the sign of gradients, however small; where one is rounding noise, so is the step.
        assert!(apart < 1e-3 * moved, "{what}: the networks are {apart:.1e} apart of {moved:.1e} learned");

        let (again, device_again) = history(trainer(&options, &device));
        assert_eq!(again, there, "{what}: the same bits twice");
        assert_eq!(device_again.network().unwrap(), b, "{what}: the same bits twice");
    }
}

#[test]
fn a_training_goes_on_where_it_stopped_on_either_device() {
    let device = Device::Cuda(gpu());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let options = Options { epochs: 5, ..options() };
    let (whole, expected) = history(trainer(&options, &device));
    let mut half = trainer(&options, &device);
    for _ in 0..2 {
        half.epoch().unwrap();
    }
    half.save(&path).unwrap();
    let resumed = trainer(&options, &Device::Cpu).resume(&path).unwrap();
    let (found, network) = history(resumed.on(&device).unwrap());
    assert_eq!(found, whole);
    assert_eq!(network.network().unwrap(), expected.network().unwrap());
    assert_eq!(network.best().unwrap(), expected.best().unwrap());

    let (on_cpu, _) = history(trainer(&options, &Device::Cpu).resume(&path).unwrap());
    assert_eq!(on_cpu[..2], whole[..2]);
    assert!((on_cpu[4].loss - whole[4].loss).abs() < 1e-4, "{:?} {:?}", on_cpu[4], whole[4]);
}

#[test]
fn any_batch_will_do() {
    let options = options();
    let (mut here, mut there) = (trainer(&options, &Device::Cpu), trainer(&options, &Device::Cuda(gpu())));
    // One of them twice, more than the batches of the options, then one alone.
    for batch in [&[2, 0, 2, 1][..], &[1], &[2, 0, 2, 1]] {
        let ((_, expected), (_, found)) = (here.gradient(batch).unwrap(), there.gradient(batch).unwrap());
        let largest = expected.iter().fold(0.0f32, |most, g| most.max(g.abs()));
        let apart = expected.iter().zip(&found).fold(0.0f32, |most, (e, f)| most.max((e - f).abs()));
        assert!(apart <= 1e-4 * largest, "{batch:?}: {apart:e} of {largest:e}");
        let (expected, found) = (here.step(batch).unwrap(), there.step(batch).unwrap());
        for (e, f) in expected.iter().zip(&found) {
            assert!(
                (e.loss - f.loss).abs() < 1e-5,
                "{batch:?}: a loss of {} on a device, not {}",
                f.loss,
                e.loss
            );
            assert_eq!((e.weights.len(), e.votes.len()), (f.weights.len(), f.votes.len()));
        }
    }
    assert!(there.step(&[4]).unwrap_err().to_string().contains("batch [4]"));
}
