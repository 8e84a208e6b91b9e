#![no_main]
//! `.npz` archives.

use libfuzzer_sys::{arbitrary::Unstructured, fuzz_target};
use partstad::io::{npy, points::PointCloud};

fuzz_target!(|data: &[u8]| {
    // A checksum guards each array: damage within them comes from archives that are made here.
    let names = ["points", "colors", "x", "y", "z", "red", "green", "blue"];
    let made = partstad_fuzz::arrays(&names, &mut Unstructured::new(data)).unwrap_or_default();
    for file in [data, &made] {
        read(file);
    }
});

fn read(file: &[u8]) {
    partstad_fuzz::on_disk(file, "npz", |path| {
        for name in npy::members(path).unwrap_or_default() {
            let _ = npy::read_member::<f32>(path, &name);
        }
        if let Ok(points) = PointCloud::read(path) {
            partstad_fuzz::check(&points);
        }
        let _ = npy::read_either::<bool>(path, "mask", &|_| Ok(()));
    });
}
