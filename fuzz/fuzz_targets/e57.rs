#![no_main]
//! E57 files.

use libfuzzer_sys::fuzz_target;
use partstad::io::scans;

fuzz_target!(init: partstad_fuzz::contain_panics(), |data: &[u8]| {
    partstad_fuzz::on_disk(data, "e57", |path| {
        if let Ok(points) = scans::read_e57(path) {
            partstad_fuzz::check(&points);
        }
    });
});
