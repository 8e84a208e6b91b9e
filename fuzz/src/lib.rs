//! What the targets share.

use std::path::Path;

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
