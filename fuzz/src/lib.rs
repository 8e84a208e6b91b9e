//! What the targets share.

use libfuzzer_sys::arbitrary::{self, Unstructured};
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
use std::{
    io::{Cursor, Write},
    path::{Path, PathBuf},
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// What holds of every cloud that was read.
pub fn check(points: &PointCloud) {
    let n = points.len();
    assert!(n > 0 && [0, n].contains(&points.colors.len()) && [0, n].contains(&points.intensities.len()));
    assert_eq!(points.uncolored.is_some(), points.colors.is_empty());
    assert!(points.colors.iter().flatten().all(|c| c.is_nan() || (0.0..=1.0).contains(c)));
    for colors in [Colors::File, Colors::Grey] {
        if let Ok(cloud) = Cloud::fit(points, &cloud::Options { colors, ..Default::default() }) {
            assert!(
                cloud.input_len() == n && cloud.positions.iter().flatten().all(|x| x.abs() <= 1.0 + 1e-6)
            );
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
        let Ok(sampled) = mesh.sample(&Options { points: Some(50), hidden, ..Options::default() }) else {
            continue;
        };
        check(&sampled.points);
        let n = sampled.points.len();
        let faces = sampled.faces(&mesh, &vec![0; n], &vec![0; n]).expect("of this mesh");
        assert!(faces.labels.len() == f && faces.instances.len() == f);
    }
    let group = Group { name: "all".into(), faces: (0..f as u32).collect(), extras: serde_json::Value::Null };
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    _ = Scene { name: "fuzz", mesh: &mesh, groups: vec![group], axes }.encode();
}

/// A place for files in memory, where the system has one.
fn place() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    dir.join(format!("partstad-fuzz-{}", std::process::id()))
}

/// For readers of a folder: gives them one with these files.
pub fn in_folder<T>(files: &[(&str, &[u8])], read: impl FnOnce(&Path) -> T) -> T {
    let dir = place();
    std::fs::create_dir_all(&dir).expect("the temporary directory is writable");
    for (name, data) in files {
        std::fs::write(dir.join(name), data).expect("the temporary directory is writable");
    }
    let result = read(&dir);
    std::fs::remove_dir_all(&dir).expect("it was there");
    result
}

/// A `.npy` file with a right header: an array of up to four short axes, of any type.
pub fn array(from: &mut Unstructured) -> arbitrary::Result<Vec<u8>> {
    let (descr, size) = *from.choose(&[
        ("|u1", 1),
        ("|b1", 1),
        ("|i1", 1),
        ("<u2", 2),
        ("<i4", 4),
        (">i4", 4),
        ("<u4", 4),
        ("<i8", 8),
        ("<u8", 8),
        ("<f2", 2),
        ("<f4", 4),
        ("<f8", 8),
        (">f8", 8),
        ("|O", 8),
        ("<U3", 12),
    ])?;
    let axes = from.int_in_range(0..=4)?;
    let shape = (0..axes).map(|_| from.int_in_range(0..=6)).collect::<arbitrary::Result<Vec<usize>>>()?;
    let body = from.bytes((shape.iter().product::<usize>() * size).min(from.len()))?;
    let fortran = if from.ratio(1, 8)? { "True" } else { "False" };
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let dict = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}\n");
    Ok([b"\x93NUMPY\x01\x00", &(dict.len() as u16).to_le_bytes()[..], dict.as_bytes(), body].concat())
}

/// An `.npz` archive with these arrays, each well-formed or not there.
pub fn arrays(names: &[&str], from: &mut Unstructured) -> arbitrary::Result<Vec<u8>> {
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    for name in names {
        if from.ratio(1, 16)? {
            continue;
        }
        zip.start_file(format!("{name}.npy"), stored).expect("memory takes all");
        zip.write_all(&array(from)?).expect("memory takes all");
    }
    Ok(zip.finish().expect("memory takes all").into_inner())
}

/// For parsers of other projects: their panics are errors there, so that only one that gets out counts.
pub fn contain_panics() {
    std::panic::set_hook(Box::new(|_| ()));
}

/// For parsers that want a file: gives them one in memory where the system has such a place.
pub fn on_disk<T>(data: &[u8], extension: &str, read: impl FnOnce(&Path) -> T) -> T {
    let path = place().with_added_extension(extension);
    std::fs::write(&path, data).expect("the temporary directory is writable");
    let result = read(&path);
    std::fs::remove_file(&path).expect("it was there");
    result
}
