#![no_main]
//! Meshes as glTF files.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| partstad_fuzz::on_disk(data, "glb", partstad_fuzz::check_mesh));
