//! What the benches of lifting work on.

use partstad::stages::{
    boxes::{Box2d, Boxes},
    cloud::Cloud,
    masks::{LOGIT_SIDE, Masks},
    superpoints::Superpoints,
};
use std::collections::BTreeMap;

pub const BOXES: usize = 150;
pub const PARTS: [&str; 5] = ["arm", "back", "leg", "seat", "wheel"];

pub struct Scene {
    pub cloud: Cloud,
    pub superpoints: Superpoints,
    pub boxes: Boxes,
    pub logits: Masks,
}

/// Points all over a ball, in cubes of about 60 points; boxes across it, each with a disc as its mask.
pub fn scene(points: usize) -> Scene {
    let position = |i: usize| {
        let (y, turn) = (1.9 * (i as f32 + 0.5) / points as f32 - 0.95, i as f32 * 2.399_963);
        let r = (1.0 - y * y).sqrt();
        [r * turn.cos(), y, r * turn.sin()]
    };
    let positions: Vec<_> = (0..points).map(position).collect();
    let cells = (points as f32 / 200.0).sqrt();
    let mut numbers = BTreeMap::new();
    let cubes = positions.iter().map(|p: &[f32; 3]| {
        let next = numbers.len() as i32;
        *numbers.entry(p.map(|x| (x * cells / 2.0).floor() as i32)).or_insert(next)
    });
    let superpoints = Superpoints::from_labels(&cubes.collect::<Vec<_>>()).unwrap();
    let cloud = Cloud {
        colors: vec![[0.5; 3]; points].into(),
        positions: positions.into(),
        center: [0.0; 3],
        radius: 1.0,
        ..Cloud::default()
    };
    let found = |i: usize| Box2d {
        view: (i * 10 / BOXES) as u32,
        label: (i % PARTS.len()) as u32,
        bbox: [
            (i * 37 % 500) as f32,
            (i * 61 % 500) as f32,
            90.0 + (i % 200) as f32,
            90.0 + (i * 7 % 200) as f32,
        ],
        score: 0.5,
    };
    let boxes: Boxes = (0..BOXES).map(found).collect::<Vec<_>>().into();
    let mut logits = vec![];
    for b in boxes.list().unwrap() {
        let [x, y, width, height] = b.bbox.map(|v| v * LOGIT_SIDE as f32 / 800.0);
        let disc = |i: usize| {
            let dx = ((i % LOGIT_SIDE) as f32 - x) / width - 0.5;
            let dy = ((i / LOGIT_SIDE) as f32 - y) / height - 0.5;
            0.25 - dx * dx - dy * dy
        };
        logits.extend((0..LOGIT_SIDE * LOGIT_SIDE).map(disc));
    }
    Scene { cloud, superpoints, boxes, logits: Masks::Logits(logits.into()) }
}
