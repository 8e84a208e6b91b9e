#![no_main]
//! States of interrupted trainings: a right one in which some bytes and lengths are others.

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use partstad::{
    ops::{learn::positional::PLACE, lift::membership::Sets},
    stages::{
        boxes::{Box2d, Boxes},
        superpoints::Superpoints,
    },
    study::{
        sample::Sample,
        targets::Targets,
        train::{Options, Trainer},
    },
};
use std::sync::OnceLock;

fn trainer() -> Trainer {
    let superpoints = Superpoints::from_labels(&[0, 0, 1, 1]).expect("two of two points");
    let box2d = Box2d { view: 0, label: 0, bbox: [1.0, 2.0, 3.0, 4.0], score: 0.5 };
    let sample = Sample {
        parts: vec!["leg".into()],
        boxes: Boxes::with_features(vec![box2d], vec![0.5], 1),
        places: vec![[0.1; PLACE]],
        sets: Sets {
            boxes: [vec![0]].into_iter().collect(),
            entries: [vec![], vec![]].into_iter().collect(),
        },
        observed: vec![2, 2],
        views: 1,
        targets: Targets::count(&superpoints, &[0, 0, -1, 0], 1).expect("labels of four points"),
        source: String::new(),
    };
    let options = Options { epochs: 4, average: 2, ..Options::default() };
    Trainer::new(vec![sample], vec![], &options).expect("a sample to learn from")
}

fn state() -> &'static [u8] {
    static STATE: OnceLock<Vec<u8>> = OnceLock::new();
    STATE.get_or_init(|| {
        let mut trainer = trainer();
        (0..3).for_each(|_| _ = trainer.epoch().expect("a step on the CPU"));
        partstad_fuzz::on_disk(&[], "safetensors", |path| {
            trainer.save(path).expect("the temporary directory is writable");
            std::fs::read(path).expect("it was written")
        })
    })
}

fn changed(from: &mut Unstructured) -> Result<Vec<u8>> {
    let mut file = state().to_vec();
    // The header is what most is decided by.
    let header = 8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    for _ in 0..from.int_in_range(0..=4)? {
        let most = if from.ratio(3, 4)? { header } else { file.len() };
        let at = from.int_in_range(0..=most - 1)?;
        file[at] = from.arbitrary()?;
    }
    file.truncate(from.int_in_range(file.len().saturating_sub(64)..=file.len())?);
    Ok(file)
}

fuzz_target!(|data: &[u8]| {
    let made = changed(&mut Unstructured::new(data)).unwrap_or_default();
    for file in [data, &made] {
        partstad_fuzz::on_disk(file, "safetensors", |path| {
            if let Ok(mut trainer) = trainer().resume(path) {
                assert!(trainer.history().len() <= 4);
                if !trainer.done() {
                    let _ = trainer.epoch();
                }
                let _ = trainer.best();
            }
        });
    }
});
