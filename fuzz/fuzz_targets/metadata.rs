#![no_main]
//! The part names of a dataset's categories.

use libfuzzer_sys::fuzz_target;
use partstad::study::dataset::Dataset;

fuzz_target!(|data: &[u8]| {
    partstad_fuzz::in_folder(&[("PartNetE_meta.json", data)], |folder| {
        if let Ok(data) = Dataset::open(folder) {
            assert!(data.parts.values().all(|parts| parts.iter().all(|name| !name.is_empty())));
        }
    });
});
