#![no_main]
//! Masks and features of boxes: arrays of a shape that is known beforehand.

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use partstad::stages::{
    boxes::{Box2d, Boxes},
    masks::Masks,
};

fuzz_target!(|data: &[u8]| {
    let made = partstad_fuzz::array(&mut Unstructured::new(data)).unwrap_or_default();
    let box2d = Box2d { view: 0, label: 0, bbox: [0.0, 0.0, 2.0, 2.0], score: 0.5 };
    for file in [data, &made] {
        partstad_fuzz::on_disk(file, "npy", |path| {
            if let Ok(masks) = Masks::read(path, 2, 3) {
                masks.check(2, 3).expect("what is read is checked");
            }
            let mut boxes: Boxes = vec![box2d; 2].into();
            if boxes.read_features(path).is_ok() {
                boxes.check(1, 1).expect("what is read is checked");
            }
        });
    }
});
