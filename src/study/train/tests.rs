//! What a training must keep to.

use crate::study::train::*;
use crate::{
    io::{
        npy::Array,
        tensors::{Tensors, Writer},
    },
    ops::{
        learn::positional::PLACE,
        lift::membership::{Entry, Sets},
    },
    stages::{
        boxes::{Box2d, Boxes},
        superpoints::Superpoints,
    },
    study::targets::Targets,
};

/// Two superpoints of one part each; the boxes of the first are right, that of the second is wrong. Both views show and find
/// the same, and the scores are high, so that every box is believed without learning.
fn sample(shift: f32) -> Sample {
    let superpoints = Superpoints::from_labels(&[0, 0, 0, 1, 1]).unwrap();
    let box2d = |view, label| Box2d { view, label, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.9 };
    let list = [0, 1].into_iter().flat_map(|view| [0, 1, 1].map(|label| box2d(view, label))).collect();
    Sample {
        parts: vec!["leg".into(), "seat".into()],
        boxes: Boxes::with_features(list, [1.0, shift, 0.0, -1.0, shift, 1.0].repeat(2), 2),
        places: vec![[0.5; PLACE]; 6],
        sets: twice([vec![0], vec![0, 2]]),
        observed: vec![3, 3, 2, 2],
        views: 2,
        targets: Targets::count(&superpoints, &[0, 0, 0, 0, -1], 2).unwrap(),
        source: String::new(),
    }
}

/// What two views find that see the same: the boxes of both superpoints, numbered in the first view. There are three a view.
fn twice(boxes: [Vec<u32>; 2]) -> Sets {
    let again = boxes.clone().map(|set| set.iter().map(|b| b + 3).collect::<Vec<u32>>());
    let entries = |set, count| [Entry { set, count }, Entry { set: set + 2, count }];
    Sets {
        boxes: boxes.into_iter().chain(again).collect(),
        entries: [entries(0, 3), entries(1, 2)].into_iter().collect(),
    }
}

fn trainer(options: &Options) -> Trainer {
    let train = [0.0, 0.5, 1.0].map(sample).to_vec();
    Trainer::new(train, vec![sample(0.25)], options).unwrap()
}

#[test]
fn it_learns_by_either_loss() {
    for (riou, cross_entropy) in [(1.0, 0.0), (0.0, 1.0)] {
        let options =
            Options { basis: Basis::Constant, epochs: 60, riou, cross_entropy, ..Options::default() };
        let mut trainer = trainer(&options);
        while !trainer.done() {
            trainer.epoch().unwrap();
        }
        let [first, .., last] = trainer.history() else { panic!("sixty epochs") };
        // Taken on probabilities, the cross-entropy cannot fall by much.
        assert!(last.loss < 0.99 * first.loss, "{} to {}", first.loss, last.loss);
        let most = trainer.history().iter().map(|e| e.val_miou).fold(0.0, f64::max);
        let best = *trainer.best().unwrap().0.unwrap();
        assert_eq!(best.val_miou, most);
        assert!(trainer.history()[..best.epoch - 1].iter().all(|e| e.val_miou < most), "the first best");
    }
}

#[test]
fn boxes_that_other_views_speak_against_hold_nothing() {
    let mut sample = sample(0.0);
    sample.boxes.list_mut().unwrap().iter_mut().filter(|b| b.label == 1).for_each(|b| b.score = 0.05);
    for (second, left) in [(vec![0, 2], twice([vec![0], vec![0]])), (vec![2], twice([vec![0], vec![]]))] {
        sample.sets = twice([vec![0], second]);
        let shared = Arc::new(sample.clone());
        assert_eq!(voting(&shared, Basis::Constant).unwrap(), shared);
        let found = &voting(&shared, Basis::Agreement).unwrap().sets;
        let left = left.counts(0).chain(left.counts(1)).filter(|(boxes, _)| !boxes.is_empty());
        assert!(found.counts(0).chain(found.counts(1)).eq(left), "{found:?}");
        assert!(found.fit(2, 6));

        // What `segment` does: the weights of these boxes are 0.
        let options = Options { rate: 1e-2, epochs: 4, ..Options::default() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        let mut trainer = Trainer::<f32>::new(vec![sample.clone()], vec![], &options).unwrap();
        trainer.epoch().unwrap();
        trainer.save(&path).unwrap();
        let mut resumed =
            Trainer::new(vec![sample.clone()], vec![], &options).unwrap().resume(&path).unwrap();
        for trainer in [&mut trainer, &mut resumed] {
            let outcome = trainer.step(&[0]).unwrap().remove(0);
            let believed = plain(&sample, &weights::AGREEMENT).unwrap();
            let mut weights = outcome.weights;
            weights.iter_mut().zip(&believed).filter(|(_, b)| **b == 0.0).for_each(|(w, _)| *w = 0.0);
            let null = outcome.votes[0];
            let (label, visible) = (sample.boxes.labels().unwrap(), sample.visible());
            let votes = vote::cpu::forward(&sample.votes(&label, &visible), &weights, null).unwrap();
            assert!(weights.contains(&0.0) && outcome.votes == votes, "{:?}", outcome.votes);
        }
    }
}

#[test]
fn states_of_an_older_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let trainer = trainer(&Options::default());
    trainer.save(&path).unwrap();
    // A program that did not know the basis began from constant weights.
    let old = std::fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&old).into_owned();
    assert!(text.contains(r#"{\"training\":3,"#), "{}", &text[..400]);
    let at = text.find(r#"\"training\":3"#).unwrap() + r#"\"training\":"#.len();
    let mut changed = old.clone();
    changed[at] = b'2';
    std::fs::write(&path, changed).unwrap();
    let error = self::trainer(&Options::default()).resume(&path).err().expect("refused").to_string();
    assert!(error.contains("another version"), "{error}");
}

/// Two superpoints of the second part; in the second a box of the first wins the tie, and its feature tells.
fn misled(shift: f32) -> Sample {
    let superpoints = Superpoints::from_labels(&[0, 0, 0, 1, 1]).unwrap();
    let mut sample = sample(0.0);
    sample.boxes = Boxes::with_features(
        sample.boxes.list().unwrap().to_vec(),
        [-1.0, shift, 1.0, shift, 1.0, shift].repeat(2),
        2,
    );
    sample.sets = twice([vec![1], vec![0, 1, 2]]);
    sample.targets = Targets::count(&superpoints, &[1; 5], 2).unwrap();
    sample
}

#[test]
fn held_out_shapes_tell_whether_learning_helps() {
    let options = Options { epochs: 40, rate: 1e-2, ..Options::default() };
    let judge = |samples: &[Sample], folds| cross_validate(samples, folds, &options, &Device::Cpu, || ());
    let wrong = [0.0, 0.25, 0.5, 0.75, 1.0].map(misled);
    let found = judge(&wrong, 5).unwrap();
    assert_eq!((found.shapes, found.gains.len()), (5, 21));
    approx::assert_relative_eq!(found.unlearned, 0.6, epsilon = 1e-6);
    assert!(found.wins().unwrap().mean > 0.3, "{:?}", found.largest);
    assert_eq!(judge(&wrong, 99).unwrap(), found, "no more folds than shapes");

    // Nothing is wrong here, so nothing can be won.
    let right = wrong.map(|mut sample| {
        sample.sets = twice([vec![1], vec![1]]);
        sample
    });
    let found = judge(&right, 2).unwrap();
    assert!(found.unlearned == 1.0 && found.wins().is_none(), "{:?}", found.largest);
    assert_eq!(judge(&right[..1], 5).unwrap().largest, None, "one shape says nothing");
    assert!(judge(&right, 1).unwrap_err().to_string().contains("needs two or more"));
}

#[test]
fn an_interrupted_training_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let options = Options { epochs: 9, ..Options::default() };
    let mut whole = trainer(&options);
    let mut half = trainer(&options);
    for epoch in 0..9 {
        whole.epoch().unwrap();
        if epoch == 4 {
            half.save(&path).unwrap();
            half = trainer(&options).resume(&path).unwrap();
        }
        half.epoch().unwrap();
    }
    assert_eq!(half.engine.state().unwrap(), whole.engine.state().unwrap());
    assert_eq!(half.history(), whole.history());

    let refused = |other: Trainer, why: &str| {
        let error = other.resume(&path).err().expect("refused").to_string();
        assert!(error.contains("state.safetensors") && error.contains(why), "{error}");
    };
    refused(trainer(&Options { seed: 1, ..options.clone() }), "other options");
    refused(Trainer::new(vec![sample(0.0)], vec![], &options).unwrap(), "other samples");
    assert!(trainer(&Options { epochs: 20, ..options }).resume(&path).is_ok(), "more epochs");
}

#[test]
fn the_last_epochs_are_averaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let options = Options { epochs: 6, average: 3, ..Options::default() };
    let (mut trainer, mut last) = (self::trainer(&options), vec![]);
    for _ in 0..6 {
        trainer.epoch().unwrap();
        last.push(trainer.network().unwrap());
        // Going on from a file in between changes nothing.
        trainer.save(&path).unwrap();
        trainer = self::trainer(&options).resume(&path).unwrap();
    }
    let (epoch, found) = trainer.best().unwrap();
    assert_eq!(epoch, trainer.history().last());
    for (i, &v) in found.values().iter().enumerate() {
        let mean = last[3..].iter().map(|network| network.values()[i] as f64).sum::<f64>() / 3.0;
        assert_eq!(v, mean as f32);
    }
    assert_ne!(found, last[5]);
    let longer = self::trainer(&Options { epochs: 9, ..options }).resume(&path).err().expect("refused");
    assert!(longer.to_string().contains("other options"), "{longer}");
}

#[test]
fn a_damaged_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let options = Options { epochs: 4, average: 2, ..Options::default() };
    let mut half = trainer(&options);
    (0..3).for_each(|_| _ = half.epoch().unwrap());
    half.save(&path).unwrap();
    let whole = Tensors::read(&path).unwrap();
    let note: serde_json::Value = whole.note("a state").unwrap();
    let of = |name: &str| whole.get::<f64>(name).unwrap();
    type Change<'a> = &'a dyn Fn(&str, &mut Vec<usize>, &mut Vec<f64>);
    let changed = |change: Change, steps: u64| {
        let mut file = Writer::default();
        for name in ["values", "first_moments", "second_moments", "best_values", "history", "sum"] {
            let Array { mut shape, mut data } = of(name);
            change(name, &mut shape, &mut data);
            file.add(name, &shape, &data);
        }
        let mut note = note.clone();
        note["steps"] = steps.into();
        file.write(&path, &note).unwrap();
        trainer(&options).resume(&path).map(|_| ()).map_err(|e| e.to_string())
    };
    let steps = note["steps"].as_u64().unwrap();
    changed(&|_, _, _| (), steps).unwrap();
    let resize = |of: &'static str, shape: Vec<usize>| {
        move |name: &str, s: &mut Vec<usize>, d: &mut Vec<f64>| {
            if name == of {
                d.resize(shape.iter().product(), 0.5);
                *s = shape.clone();
            }
        }
    };
    for (name, shape) in [
        ("sum", vec![3]),
        ("sum", vec![0]),
        ("history", vec![1_000_000, 4]),
        ("history", vec![3, 3]),
        ("history", vec![12]),
        ("history", vec![1, 4]),
        ("values", vec![7]),
        ("second_moments", vec![0]),
    ] {
        let error = changed(&resize(name, shape.clone()), steps).unwrap_err();
        assert!(error.contains("state.safetensors"), "{name} {shape:?}: {error}");
    }
    for (name, value) in [
        ("sum", f64::NAN),
        ("history", f64::NAN),
        ("history", f64::INFINITY),
        ("values", f64::INFINITY),
        ("first_moments", f64::NAN),
    ] {
        let poison = |n: &str, _: &mut Vec<usize>, d: &mut Vec<f64>| {
            if n == name {
                d[1] = value;
            }
        };
        let error = changed(&poison, steps).unwrap_err();
        assert!(error.contains("not finite") || error.contains("does not fit"), "{name} {value}: {error}");
    }
    for steps in [0, u64::MAX] {
        assert!(changed(&|_, _, _| (), steps).unwrap_err().contains("steps"));
    }
}

#[test]
fn what_cannot_be_learned_from_is_refused() {
    let refused = |train: Vec<Sample>, options: Options, why: &str| {
        let error = Trainer::<f32>::new(train, vec![], &options).err().expect("refused").to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(vec![], Options::default(), "no training sample");
    refused(vec![sample(0.0)], Options { batch: 0, ..Options::default() }, "batch");
    refused(vec![sample(0.0)], Options { rate: f64::NAN, ..Options::default() }, "rate");
    refused(vec![sample(0.0)], Options { riou: 0.0, ..Options::default() }, "nothing to learn");
    assert!(trainer(&Options::default()).step(&[3]).unwrap_err().to_string().contains("batch [3]"));
}
