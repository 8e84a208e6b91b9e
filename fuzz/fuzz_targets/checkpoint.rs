#![no_main]
//! Checkpoints of PyTorch: the archive, and its pickle alone.

use libfuzzer_sys::fuzz_target;
use partstad::study::torch;
use std::io::{Cursor, Write};
use zip::{ZipWriter, write::SimpleFileOptions};

fuzz_target!(|data: &[u8]| {
    let _ = torch::parse(data);
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    for (name, content) in [("a/data.pkl", data), ("a/data/0", &[0; 64])] {
        zip.start_file(name, SimpleFileOptions::default()).expect("memory takes all");
        zip.write_all(content).expect("memory takes all");
    }
    let _ = torch::parse(&zip.finish().expect("memory takes all").into_inner());
});
