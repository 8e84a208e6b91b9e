#![no_main]
//! Label files of the dataset: pickles inside `.npy`.

use libfuzzer_sys::fuzz_target;
use partstad::study::dataset::{Labels, Truth};

fuzz_target!(|data: &[u8]| {
    partstad_fuzz::on_disk(data, "npy", |path| {
        if let Ok(truth) = Truth::read(&Labels::plain(path.to_path_buf()), 6, 3) {
            assert_eq!((truth.semantic.len(), truth.instance.len()), (6, 6));
        }
    });
});
