#![no_main]
//! `.npy` files, read as every kind of number.

use libfuzzer_sys::fuzz_target;
use partstad::io::{npy, points::PointCloud};
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let (length, path) = (data.len() as u64, Path::new("fuzz.npy"));
    macro_rules! read {
        ($($t:ty),*) => {$(
            if let Ok(array) = npy::parse::<$t>(data, length, path) {
                assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
            }
        )*};
    }
    read!(bool, u8, i32, i64, f32);
    partstad_fuzz::on_disk(data, "npy", |path| {
        if let Ok(points) = PointCloud::read(path) {
            partstad_fuzz::check(&points);
        }
    });
});
