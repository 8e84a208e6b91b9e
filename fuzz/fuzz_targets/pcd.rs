#![no_main]
//! PCD files.

use libfuzzer_sys::fuzz_target;
use partstad::io::pcd;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    if let Ok(points) = pcd::parse(data, Path::new("fuzz.pcd")) {
        partstad_fuzz::check(&points);
    }
});
