#![no_main]
//! PLY files: what is read is sound, and becomes a cloud or an error.

use libfuzzer_sys::fuzz_target;
use partstad::io::ply;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    if let Ok(points) = ply::parse(data, data.len() as u64, Path::new("fuzz.ply")) {
        partstad_fuzz::check(&points);
    }
});
