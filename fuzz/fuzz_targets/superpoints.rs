#![no_main]
//! Superpoints as the authors save them: lists of points, pickled inside `.npy`.

use libfuzzer_sys::fuzz_target;
use partstad::io::pickle::arrays;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(labels)) = arrays::partition(data, 8, Path::new("fuzz.npy")) {
        assert_eq!(labels.len(), 8);
    }
});
