#![no_main]
//! `manifest.json` of a folder of models.

use libfuzzer_sys::fuzz_target;
use partstad::models::Manifest;
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let _ = Manifest::parse(data, Path::new("manifest.json"));
});
