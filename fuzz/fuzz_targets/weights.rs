#![no_main]
//! Weights of boxes.

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use partstad::stages::weights::Weights;

fuzz_target!(|data: &[u8]| {
    let made = partstad_fuzz::array(&mut Unstructured::new(data)).unwrap_or_default();
    for file in [data, &made] {
        partstad_fuzz::on_disk(file, "npy", |path| {
            if let Ok(weights) = Weights::read(path, 3, 5.0) {
                weights.check(3).expect("what is read is checked");
            }
        });
    }
});
