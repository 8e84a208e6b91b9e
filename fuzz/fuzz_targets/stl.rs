#![no_main]
//! Meshes as STL files.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| partstad_fuzz::on_disk(data, "stl", partstad_fuzz::check_mesh));
