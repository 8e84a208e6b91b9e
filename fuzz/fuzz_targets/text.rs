#![no_main]
//! Clouds as text.

use libfuzzer_sys::fuzz_target;
use partstad::io::text;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    for name in ["fuzz.csv", "fuzz.pts"] {
        if let Ok(points) = text::parse(data, Path::new(name)) {
            partstad_fuzz::check(&points);
        }
    }
});
