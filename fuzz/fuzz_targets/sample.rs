#![no_main]
//! Training samples and learned weights.

use libfuzzer_sys::fuzz_target;
use partstad::{io::tensors::Tensors, stages::checkpoint::Checkpoint, study::sample::Sample};
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = Tensors::parse(data.to_vec(), Path::new("sample.safetensors")) {
        let _ = Sample::parse(file);
    }
    partstad_fuzz::on_disk(data, "safetensors", |path| {
        let _ = Checkpoint::read(path);
    });
});
