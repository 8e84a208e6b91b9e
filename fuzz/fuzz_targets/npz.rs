#![no_main]
//! `.npz` archives.

use libfuzzer_sys::fuzz_target;
use partstad::io::{npy, points::PointCloud};

fuzz_target!(|data: &[u8]| {
    partstad_fuzz::on_disk(data, "npz", |path| {
        for name in npy::members(path).unwrap_or_default() {
            let _ = npy::read_member::<f32>(path, &name);
        }
        if let Ok(points) = PointCloud::read(path) {
            partstad_fuzz::check(&points);
        }
        let _ = npy::read_either::<bool>(path, "mask", &|_| Ok(()));
    });
});
