//! OBJ and PLY files, what meshes name elsewhere, and what is wrong with them.

use super::{GREEN, RED, picture, read, sample, write};
use partstad::io::meshes::{
    Mesh,
    glb::{Group, Scene},
};
use serde_json::{Value, json};
use std::{fs, path::Path};

#[test]
fn textures_lie_as_their_coordinates_say() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "tex/My Wood.png", picture());
    write(dir.path(), "a.mtl", "newmtl m\nKd 0 0 0\nmap_Kd -s 1 1 1 tex\\My Wood.png\n");
    let quad =
        "v 0 0 0\nv 4 0 0\nv 4 2 0\nv 0 2 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl m\nf 1/1 2/2 3/3 4/4\n";
    let check = |mesh: &Mesh, what: &str| {
        let points = sample(mesh, 500).points;
        for (place, color) in points.positions.iter().zip(&points.colors) {
            // Between the middles of the outermost pixels of either half.
            if (0.5..1.5).contains(&(place[0] - 2.0).abs()) {
                assert_eq!(*color, if place[0] < 2.0 { RED } else { GREEN }, "{what}: {place:?}");
            }
        }
    };
    let obj = read(&write(dir.path(), "a.obj", format!("mtllib a.mtl\n{quad}")));
    check(&obj, "obj");
    for (name, vertex, face, uv) in [
        ("vertices", "property float s\nproperty float t\n", "", [" 0 0", " 1 0", " 1 1", " 0 1"]),
        ("corners", "", "property list uchar float texcoord\n", ["", "", "", ""]),
    ] {
        let corners = if face.is_empty() { "" } else { " 8 0 0 1 0 1 1 0 1" };
        let text = format!(
            "ply\nformat ascii 1.0\ncomment TextureFile tex/My Wood.png\nelement vertex 4\nproperty float x\nproperty float y\n\
             property float z\n{vertex}element face 1\nproperty list uchar int vertex_indices\n{face}end_header\n\
             0 0 0{}\n4 0 0{}\n4 2 0{}\n0 2 0{}\n4 0 1 2 3{corners}\n",
            uv[0], uv[1], uv[2], uv[3]
        );
        check(&read(&write(dir.path(), "a.ply", text)), name);
    }
    // Written, with the picture inside, and read again.
    let group = Group { name: "all".into(), faces: vec![0], extras: Value::Null };
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let scene = Scene { name: "a", mesh: &obj, groups: vec![group], axes };
    let encoded = scene.encode().unwrap();
    let glb = read(&write(dir.path(), "a.glb", &encoded));
    check(&glb, "glb");
    let spoilt = |key: &[u8; 8], by: &[u8; 8]| {
        let mut file = encoded.clone();
        let at = file.windows(8).position(|window| window == key).unwrap();
        file[at..at + 8].copy_from_slice(by);
        read(&write(dir.path(), "a.glb", file))
    };
    check(&spoilt(b"mimeType", b"mimeTypo"), "glb without a type");
    assert_eq!(glb.pictures[0].bytes, picture());
    fs::remove_file(dir.path().join("tex/My Wood.png")).unwrap();
    let mesh = read(&dir.path().join("a.obj"));
    assert!(mesh.warnings[0].contains("A texture is missing (tex\\My Wood.png: "), "{:?}", mesh.warnings);
}

#[test]
fn what_a_mesh_names_elsewhere_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "secret.mtl", "newmtl m\nKd 1 0 0\n");
    write(dir.path(), "secret.bin", [0; 36]);
    for name in ["../secret.mtl".to_string(), dir.path().join("secret.mtl").display().to_string()] {
        let text = format!("mtllib {name}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl m\nf 1 2 3\n");
        let mesh = read(&write(dir.path(), "in/a.obj", text));
        assert!(
            mesh.materials.is_empty() && mesh.warnings[0].contains("leads out of"),
            "{:?}",
            mesh.warnings
        );
    }
    for uri in ["../secret.bin", "%2e%2e/secret.bin", "http://example.org/a.bin"] {
        let path = write(
            dir.path(),
            "in/a.gltf",
            json!({
                "asset": { "version": "2.0" }, "buffers": [{ "byteLength": 36, "uri": uri }],
            })
            .to_string(),
        );
        let error = Mesh::read(&path).unwrap_err().to_string();
        assert!(error.contains("a.gltf: ") && error.contains("leads out of"), "{error}");
    }
}

#[test]
fn damaged_meshes_are_errors_or_warnings_that_count() {
    let dir = tempfile::tempdir().unwrap();
    let says = |name: &str, text: &str, words: &str| {
        let message = Mesh::read(&write(dir.path(), name, text)).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(words), "{message}");
    };
    let three = "v 0 0 0\nv 1 0 0\nv 0 1 0\n";
    says("a.obj", &format!("{three}f 1 2 9\n"), "line 4: the face names vertex 9 of 3");
    says("a.obj", &format!("{three}f 1 2 -4\n"), "line 4: the face names vertex -4 of 3");
    says("a.obj", &format!("{three}f 1 2 0\n"), "line 4: the face names vertex 0 of 3");
    says("a.obj", &format!("{three}f 1 2 x\n"), "line 4: the face's corner \"x\"");
    says("a.obj", "v 0 0\n", "line 1: \"v 0 0\" has no three numbers");
    says("a.obj", "v 0 0,5 0\n", "line 1: \"0,5\" is no number");
    says("a.obj", three, "holds no faces");
    says("a.obj", "", "holds no faces");
    says("a.obj", &format!("{three}f 1 1 2\n"), "none of its 1 faces has an area");
    says("a.fbx", "", "meshes are read from .glb, .gltf, .obj, .ply, .stl files");
    let header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 1\n";
    let ply = |list: &str, face: &str| format!("{header}{list}end_header\n0 0 0\n1 0 0\n0 1 0\n{face}\n");
    let list = "property list uchar int vertex_indices\n";
    says("a.ply", &ply(list, "3 0 1 3"), "face 0 names vertex 3, counted from 0, of 3");
    says("a.ply", &ply(list, "3 0 1 -1"), "face 0 has corners");
    says("a.ply", &ply("property list uchar int other\n", "3 0 1 2"), "no list vertex_indices");
    says("a.gltf", "{", "not a readable glTF file");
    // Faces of too few corners have a row too.
    let few = read(&write(dir.path(), "a.obj", format!("{three}f 1 2\nf 1 2 3\nf\n")));
    assert_eq!((few.len(), few.triangles.len()), (3, 1));
    assert!(few.warnings[0].contains("2 of 3 faces have no area"), "{:?}", few.warnings);
    let labels = sample(&few, 100).faces(&few, &[2; 100], &[0; 100]).unwrap().labels;
    assert_eq!(labels, [2, 2, -1], "the nearest point's; none without a corner");
    let odd = format!("{three}v nan 0 0\nv 5 5 5\nf 1 2 3\nf 1 2 4\nf 5 5 5\n");
    let mesh = read(&write(dir.path(), "a.obj", odd));
    assert_eq!((mesh.len(), mesh.triangles.len()), (3, 1));
    assert!(
        mesh.warnings[0].contains("1 of 3 faces have a corner that is not finite"),
        "{:?}",
        mesh.warnings
    );
    assert!(mesh.warnings[1].contains("1 of 3 faces have no area"), "{:?}", mesh.warnings);
    let sampled = sample(&mesh, 100);
    assert_eq!(sampled.faces(&mesh, &[2; 100], &[0; 100]).unwrap().labels, [2, -1, 2]);
    assert!(
        sampled.faces(&mesh, &[2; 99], &[0; 100]).unwrap_err().to_string().contains("100 points, but 99")
    );
}

#[test]
fn obj_files_of_many_programs_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let read = |text: &[u8]| read(&write(dir.path(), "a.obj", text));
    let colored =
        read(b"\xef\xbb\xbf# caf\xe9\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0 # c\nv 0 1 0 0 0 1 1\nf -3 -2 \\\n -1\n");
    assert_eq!((colored.colors[1], colored.faces.row(0)), ([0.0, 1.0, 0.0, 1.0], &[0, 1, 2][..]));
    let bytes =
        read(b"v 0 0 0 255 0 0\nv 1 0 0 0 255 0\nv 0 1 0 0 0 51\nf 1// 2// 3//\nl 1 2\np 1\ng a b\ns off\n");
    assert_eq!(bytes.colors[2], [0.0, 0.0, 0.2, 1.0]);
    let normals = read(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvn 0 0 2\nf 1//1 2//1 3//1\nf 1/7/9 3/7/9 2/7/9\n");
    assert_eq!((normals.positions.len(), normals.normals[0]), (6, [0.0, 0.0, 1.0]));
    let strips = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n\
                  element tristrips 1\nproperty list int int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n5 0 1 2 3 -1\n";
    let strips = Mesh::read(&write(dir.path(), "a.ply", strips)).unwrap();
    assert_eq!((strips.faces.row(0), strips.faces.row(1)), (&[0, 1, 2][..], &[2, 1, 3][..]));
}

#[test]
fn a_ply_file_with_faces_is_a_mesh() {
    let path = Path::new("tests/fixtures/cases/87-mesh-of-8-vertices/in.ply");
    assert!(Mesh::is_in(path).unwrap());
    assert!(!Mesh::is_in(Path::new("tests/fixtures/cases/00-ref/in.ply")).unwrap());
    let mesh = read(path);
    assert_eq!((mesh.len(), mesh.positions.len(), mesh.colors.len()), (2, 8, 8));
    let sampled = sample(&mesh, 2000);
    assert_eq!(sampled.points.len(), 2000);
}
