//! Point clouds from files that are not what their names say.

use partstad::io::{npy, points::PointCloud};
use std::{fs, io::Write};

fn message(name: &str, content: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    PointCloud::read(&path).unwrap_err().to_string()
}

#[test]
fn messages_name_the_file_and_the_remedy() {
    for (name, content, words) in [
        ("a.obj", &b"v 0 0 0"[..], "is a mesh, not a cloud"),
        ("a.step", b"", "clouds are read from .ply, .pcd"),
        ("noextension", b"", "clouds are read from"),
        ("a.ply", b"", "not a PLY file"),
        ("a.npy", b"\x93NUMPY", "not a NumPy array"),
        ("a.npz", b"PK\x03\x04", "not a readable .npz archive"),
    ] {
        let message = message(name, content);
        assert!(message.contains(name) && message.contains(words), "{message}");
    }
    let missing = PointCloud::read("nowhere/a.ply".as_ref()).unwrap_err().to_string();
    assert!(missing.starts_with("nowhere/a.ply: "), "{missing}");
}

#[test]
fn arrays_are_clouds_of_six_columns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    npy::write(&path, &[2, 6], &[0.0, 0.0, 0.0, 0.0, 51.0, 255.0, 1.0, 2.0, 3.0, 0.0, 0.0, 1.0]).unwrap();
    let cloud = PointCloud::read(&path).unwrap();
    assert_eq!(cloud.positions, [[0.0; 3], [1.0, 2.0, 3.0]]);
    assert_eq!(cloud.colors[0], [0.0, 0.2, 1.0]);
    npy::write(&path, &[1, 3], &[0.0, 0.0, 0.0]).unwrap();
    assert!(PointCloud::read(&path).unwrap().uncolored.unwrap().contains("shape [1, 3] has no colours"));
    npy::write(&path, &[1, 7], &[0.0; 7]).unwrap();
    let message = PointCloud::read(&path).unwrap_err().to_string();
    assert!(message.contains("shape [1, 7] is not [N, 6]"), "{message}");
}

#[test]
fn archives_hold_named_arrays() {
    let dir = tempfile::tempdir().unwrap();
    let npy_path = dir.path().join("a.npy");
    npy::write(&npy_path, &[1, 6], &[0u8, 1, 2, 0, 51, 255]).unwrap();
    let path = dir.path().join("a.npz");
    let archive = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for name in names {
            zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&fs::read(&npy_path).unwrap()).unwrap();
        }
        zip.finish().unwrap();
    };
    for names in [&["cloud"][..], &["other", "points"]] {
        archive(names);
        assert_eq!(PointCloud::read(&path).unwrap().colors, [[0.0, 0.2, 1.0]]);
    }
    archive(&["colors", "points"]);
    assert_eq!(
        PointCloud::read(&path).unwrap().colors,
        [[0.0, 1.0 / 255.0, 2.0 / 255.0]],
        "the array of its own"
    );
    archive(&["a", "b"]);
    let message = PointCloud::read(&path).unwrap_err().to_string();
    assert!(message.contains(r#"holds ["a", "b"], but no `points`"#), "{message}");
    let message = npy::read_member::<f32>(&path, "mask").unwrap_err().to_string();
    assert!(message.contains(r#"no `mask`"#), "{message}");
}
