//! What the targets share.

use partstad::{
    io::{
        meshes::{
            Mesh,
            glb::{Group, Scene},
        },
        points::PointCloud,
    },
    mesh::Options,
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

/// What holds of every mesh that is read: it is sound, gives points and labels, and what is written of it is read again.
pub fn check_mesh(path: &Path) {
    let Ok(mesh) = Mesh::read(path) else { return };
    let (v, f) = (mesh.positions.len(), mesh.len());
    assert!(mesh.faces.values().iter().all(|&corner| (corner as usize) < v) && mesh.material_of.len() == f);
    assert!(mesh.triangles.len() == mesh.face_of.len() && mesh.face_of.is_sorted());
    assert!([0, v].contains(&mesh.normals.len()) && [0, v].contains(&mesh.colors.len()));
    assert!(mesh.texcoords.iter().all(|set| set.len() == v) && [0, f].contains(&mesh.face_colors.len()));
    for hidden in [false, true] {
        let Ok(sampled) = mesh.sample(&Options { points: Some(50), hidden, ..Options::default() }) else { continue };
        check(&sampled.points);
        let n = sampled.points.len();
        let faces = sampled.faces(&mesh, &vec![0; n], &vec![0; n]).expect("of this mesh");
        assert!(faces.labels.len() == f && faces.instances.len() == f);
    }
    let group = Group { name: "all".into(), faces: (0..f as u32).collect(), extras: serde_json::Value::Null };
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    _ = Scene { name: "fuzz", mesh: &mesh, groups: vec![group], axes }.encode();
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
