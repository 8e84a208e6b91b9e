#![no_main]
//! Names of external data in ONNX files.

use libfuzzer_sys::fuzz_target;
use partstad::models::external;
use std::io::Cursor;

fuzz_target!(|data: &[u8]| {
    let _ = external::names(Cursor::new(data), data.len() as u64);
});
