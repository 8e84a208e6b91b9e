//! The models that ship with the crate keep their contract, whatever their weights.

use crate::common::views;
use partstad::{
    Device, Template,
    models::{Models, Options},
    stages::{
        boxes::{self, Box2d, Boxes},
        masks::{self, LOGIT_SIDE, Masks},
    },
};

/// The share of `a`'s boxes that `b` has too.
fn shared(a: &Boxes, b: &Boxes) -> f32 {
    let same = |a: &Box2d, b: &Box2d| {
        let near = a.bbox.iter().zip(b.bbox).all(|(a, b)| (a - b).abs() < 0.05);
        a.view == b.view && a.label == b.label && near && (a.score - b.score).abs() < 1e-4
    };
    let (a, b) = (a.list().unwrap(), b.list().unwrap());
    a.iter().filter(|a| b.iter().any(|b| same(a, b))).count() as f32 / a.len() as f32
}

#[test]
fn from_views_to_masks() {
    let models = Models::embedded(&Device::Cpu, &Options { threads: 1, ..Options::default() }).unwrap();
    assert!(models.manifest.stand_in, "small models must say that they stand in");
    assert_eq!(models.detector().unwrap().feature_dim(), 256);
    let three = views(3, 800, 7);
    let detect = |views, parts: &[&str], batch| {
        Boxes::detect(
            views,
            parts,
            models.detector().unwrap(),
            &boxes::Options { threshold: 0.05, batch, ..Default::default() },
        )
        .unwrap()
    };
    let chair = detect(&three, &["back", "leg"], 3);
    assert!(!chair.is_empty());
    let other = detect(&three, &["wheel", "handle"], 3);
    assert!(shared(&other, &chair) < 0.9, "the prompt must matter");
    // Another batch may round differently, so that near ties fall the other way.
    let one_by_one = detect(&three, &["back", "leg"], 1);
    assert!(
        shared(&one_by_one, &chair) > 0.98 && shared(&chair, &one_by_one) > 0.98,
        "the batch must not matter"
    );

    let mut some = chair.clone();
    some.list_mut().unwrap().truncate(5);
    let predict = |views_at_once, boxes_at_once| {
        let options = masks::Options { views: views_at_once, boxes: boxes_at_once };
        match Masks::predict(&three, &some, models.segmenter().unwrap(), &options).unwrap() {
            Masks::Logits(logits) => logits,
            other => panic!("the segmenter gives logits, not {other:?}"),
        }
    };
    let (logits, one_by_one) = (predict(3, 32), predict(1, 1));
    assert_eq!(logits.len(), some.len() * LOGIT_SIDE * LOGIT_SIDE);
    let worst = logits
        .host()
        .unwrap()
        .iter()
        .zip(one_by_one.host().unwrap())
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 1e-3, "the chunks must not matter: {worst}");
}

#[test]
fn their_vocabulary_knows_the_parts_of_partnete() {
    let models = Models::embedded(&Device::Cpu, &Options { threads: 1, ..Options::default() }).unwrap();
    let names = "arm back base blade body bulb button camera cap container cord display door drawer footpedal frame handle \
                 head key knob leg lens lid rotation screen screw seat shaft slider sphere spout switch tabletop \
                 touchpad wheel";
    let parts: Vec<&str> = names.split_whitespace().collect();
    let prompt = models.detector().unwrap().prompt(&parts, &Template::default()).unwrap();
    assert!(prompt.tokens.unknown.is_empty(), "unknown parts: {:?}", prompt.tokens.unknown);
}
