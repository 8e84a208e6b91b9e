#![no_main]
//! `pred.json`: boxes that are accepted are usable.

use libfuzzer_sys::fuzz_target;
use partstad::stages::boxes::Boxes;

fuzz_target!(|text: &str| {
    if let Ok(boxes) = Boxes::parse(text, 10, 5) {
        boxes.check(10, 5).expect("what is parsed is checked");
    }
});
