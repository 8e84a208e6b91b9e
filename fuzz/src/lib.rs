//! What the targets share.

use partstad::{
    io::points::PointCloud,
    stages::cloud::{self, Cloud, Colors},
};
use std::path::Path;

/// What holds of every cloud that was read.
pub fn check(points: &PointCloud) {
    let n = points.len();
    assert!(n > 0 && [0, n].contains(&points.colors.len()) && [0, n].contains(&points.intensities.len()));
    assert_eq!(points.uncolored.is_some(), points.colors.is_empty());
    assert!(points.colors.iter().flatten().all(|c| c.is_nan() || (0.0..=1.0).contains(c)));
    for colors in [Colors::File, Colors::Grey] {
        if let Ok(cloud) = Cloud::fit(points, &cloud::Options { colors, ..Default::default() }) {
            assert!(cloud.input_len() == n && cloud.positions.iter().flatten().all(|x| x.abs() <= 1.0 + 1e-6));
            assert_eq!(cloud.to_rows(&vec![0; cloud.len()], -1).len(), n);
        }
    }
}

/// For parsers that want a file: gives them one in memory where the system has such a place.
pub fn on_disk<T>(data: &[u8], extension: &str, read: impl FnOnce(&Path) -> T) -> T {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let path = dir.join(format!("partstad-fuzz-{}.{extension}", std::process::id()));
    std::fs::write(&path, data).expect("the temporary directory is writable");
    let result = read(&path);
    std::fs::remove_file(&path).expect("it was there");
    result
}
