#![no_main]
//! Meshes as OBJ files, without the files that they name.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| partstad_fuzz::on_disk(data, "obj", partstad_fuzz::check_mesh));
