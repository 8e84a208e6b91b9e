//! Meshes from file to points and back to faces.

use partstad::{
    Device, Parts, Pipeline, Predictions,
    io::{
        meshes::{
            Material, Mesh, Picture, Shading,
            glb::{Group, Scene},
        },
        png,
        points::PointCloud,
    },
    mesh::{Options, Sampled},
    ops::surface::triangles::Sides,
    output::{Output, Surface, report::Report},
    satr::{self, Detection},
    stages::{
        cloud::Cloud,
        views::{self, Camera, POSES, Views},
    },
};
use procedural::{LabelledMesh, predictions};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const RED: [f32; 3] = [1.0, 0.0, 0.0];
const GREEN: [f32; 3] = [0.0, 1.0, 0.0];

fn few(points: usize) -> Options {
    Options { points: Some(points), ..Options::default() }
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn read(path: &Path) -> Mesh {
    Mesh::read(path).unwrap_or_else(|e| panic!("{e}"))
}

fn sample(mesh: &Mesh, points: usize) -> Sampled {
    mesh.sample(&few(points)).unwrap_or_else(|e| panic!("{e}"))
}

/// A cube of quads around the origin, its corners as an OBJ file counts them.
const CUBE: &str = "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1\n";
const SIDES: [&str; 6] = ["5 6 7 8", "2 1 4 3", "6 2 3 7", "1 5 8 4", "8 7 3 4", "1 2 6 5"];

/// The same with a material a side: red in front, green else.
fn painted_cube(dir: &Path) -> PathBuf {
    write(dir, "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl green #2\nKd 0 1 0\n");
    let sides: String = SIDES[1..].iter().map(|side| format!("f {side}\n")).collect();
    write(dir, "a.obj", format!("mtllib a.mtl\n{CUBE}usemtl red\nf {}\nusemtl green #2\n{sides}", SIDES[0]))
}

/// 4 x 2 pixels: the left half red, the right half green.
fn picture() -> Vec<u8> {
    let row = [RED, RED, GREEN, GREEN].map(|c| c.map(|c| (c * 255.0) as u8));
    png::encode_rgb([row, row].as_flattened().as_flattened(), 4, 2)
}

#[test]
fn polygons_are_faces_and_materials_are_colours() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&painted_cube(dir.path()));
    assert_eq!((mesh.len(), mesh.triangles.len(), mesh.positions.len()), (6, 12, 8));
    assert_eq!(mesh.warnings, Vec::<String>::new());
    let sampled = sample(&mesh, 6000);
    let points = &sampled.points;
    assert_eq!((points.len(), sampled.triangles.len()), (6000, 6000));
    for (place, &color) in points.positions.iter().zip(&points.colors) {
        assert!((place.iter().map(|x| x.abs()).fold(0.0, f64::max) - 1.0).abs() < 1e-12, "{place:?}");
        assert_eq!(color, if place[2] > 1.0 - 1e-12 { RED } else { GREEN }, "{place:?}");
    }
    // By area: a sixth of the points a side.
    let front = points.colors.iter().filter(|&&c| c == RED).count();
    assert!((940..1060).contains(&front), "{front}");
    assert_eq!(sample(&mesh, 6000), sampled, "the same seed");
    assert_ne!(mesh.sample(&Options { seed: 1, ..few(6000) }).unwrap(), sampled);
    assert!(mesh.sample(&few(0)).unwrap_err().to_string().contains("mesh.points is 0"));
}

#[test]
fn the_same_points_come_of_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&painted_cube(dir.path()));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| sample(&mesh, 3000)), sample(&mesh, 3000));
}

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
fn front_and_back_at_one_place_are_one_surface_of_the_outer_colour() {
    // SketchUp: every side twice, of opposite turns; here the backs first, cut along the other diagonal.
    let backs: String = SIDES
        .iter()
        .map(|side| {
            let [a, b, c, d] = side.split(' ').collect::<Vec<_>>()[..] else { panic!() };
            format!("f {d} {c} {b}\nf {d} {b} {a}\n")
        })
        .collect();
    let fronts: String = SIDES.iter().map(|side| format!("f {side}\n")).collect();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl green\nKd 0 1 0\n");
    let text = format!("mtllib a.mtl\n{CUBE}usemtl red\n{backs}usemtl green\n{fronts}");
    let mesh = read(&write(dir.path(), "a.obj", text));
    assert_eq!(mesh.len(), 18);
    let sampled = sample(&mesh, 4000);
    // All of one colour, so that it is shaded.
    let green = |&[r, g, b]: &[f32; 3]| r == b && g == 4.0 * r;
    assert!(sampled.points.colors.iter().all(green), "what shows outside");
    // A face of its own for each: all get the label of their place.
    let labels: Vec<i32> = sampled.points.positions.iter().map(|p| i32::from(p[2] > 1.0 - 1e-12)).collect();
    let faces = sampled.faces(&mesh, &labels, &labels).unwrap();
    let front = |face: usize| mesh.faces.row(face).iter().all(|&v| mesh.positions[v as usize][2] == 1.0);
    for face in 0..18 {
        assert_eq!(
            (faces.labels[face], faces.instances[face]),
            (i32::from(front(face)), i32::from(front(face)))
        );
    }
    // A single sheet, free on both sides: the first one's colour all over.
    let sheet = format!("mtllib a.mtl\n{CUBE}usemtl red\nf 1 2 3 4\nusemtl green\nf 4 3 2 1\n");
    let sheet = read(&write(dir.path(), "b.obj", sheet));
    let colors = sample(&sheet, 2000).points.colors;
    let first = colors[0];
    assert!(colors.iter().all(|&c| c == first));
}

#[test]
fn what_no_one_sees_has_no_points_unless_asked_for() {
    let inner = CUBE.replace('1', "0.5");
    let faces = |from: usize| -> String {
        let shifted = |side: &str| {
            side.split(' ')
                .map(|v| (v.parse::<usize>().unwrap() + from).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        SIDES.iter().map(|side| format!("f {}\n", shifted(side))).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&write(dir.path(), "a.obj", format!("{CUBE}{inner}{}{}", faces(0), faces(8))));
    let inside = |sampled: &Sampled| {
        sampled.points.positions.iter().filter(|p| p.iter().all(|x| x.abs() < 0.9)).count()
    };
    let seen = sample(&mesh, 5000);
    assert_eq!((inside(&seen), seen.points.len()), (0, 5000));
    let all = mesh.sample(&Options { hidden: true, ..few(5000) }).unwrap();
    assert!((850..1150).contains(&inside(&all)), "{}", inside(&all));
    // What has no points is what lies nearest.
    let labels: Vec<i32> = seen.points.positions.iter().map(|p| i32::from(p[0] > 0.0)).collect();
    let faces = seen.faces(&mesh, &labels, &vec![-1; 5000]).unwrap();
    assert_eq!((faces.labels[8], faces.labels[9]), (1, 0), "the inner sides to the right and the left");
}

/// A triangle in a buffer, and whatever else a test wants.
fn triangle(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let places: [f32; 9] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let mut bytes: Vec<u8> = places.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes.extend([0, 1, 2, 0]);
    let mut file = json!({
        "asset": { "version": "2.0" }, "scene": 0, "scenes": [{ "nodes": [0] }], "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [{ "attributes": { "POSITION": 0 }, "indices": 1 }] }],
        "accessors": [
            { "bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0] },
            { "bufferView": 1, "componentType": 5121, "count": 3, "type": "SCALAR" },
        ],
        "bufferViews": [
            { "buffer": 0, "byteOffset": 0, "byteLength": 36 }, { "buffer": 0, "byteOffset": 36, "byteLength": 4 },
        ],
        "buffers": [{ "byteLength": bytes.len() }],
    });
    change(&mut file);
    let mut text = file.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut glb = b"glTF".to_vec();
    for n in [2, 28 + text.len() + bytes.len(), text.len()] {
        glb.extend((n as u32).to_le_bytes());
    }
    glb.extend(b"JSON");
    glb.extend(text);
    glb.extend((bytes.len() as u32).to_le_bytes());
    glb.extend(b"BIN\0");
    glb.extend(bytes);
    glb
}

fn gltf(change: impl FnOnce(&mut Value)) -> Result<Mesh, String> {
    let dir = tempfile::tempdir().unwrap();
    Mesh::read(&write(dir.path(), "a.glb", triangle(change))).map_err(|e| e.to_string())
}

#[test]
fn nodes_place_their_meshes() {
    let mesh = gltf(|file| {
        file["nodes"] = json!([
            { "translation": [10, 0, 0], "children": [1, 2] },
            { "mesh": 0, "scale": [2, 2, 2] },
            { "mesh": 0, "rotation": [0, 0, 1, 0], "scale": [-1, 1, 1] },
        ]);
    })
    .unwrap();
    assert_eq!(mesh.len(), 2);
    assert_eq!(mesh.positions[..3], [[10.0, 0.0, 0.0], [12.0, 0.0, 0.0], [10.0, 2.0, 0.0]]);
    assert_eq!(mesh.positions[3..], [[10.0, 0.0, 0.0], [11.0, 0.0, 0.0], [10.0, -1.0, 0.0]]);
    // A mirror turns the face around, so that its front stays in front.
    assert_eq!((mesh.faces.row(0), mesh.faces.row(1)), (&[0, 1, 2][..], &[3, 5, 4][..]));
    let strip = gltf(|file| file["meshes"][0]["primitives"][0]["mode"] = json!(5)).unwrap();
    assert_eq!(strip.faces.row(0), [0, 1, 2]);
}

#[test]
fn colours_of_gltf_multiply_as_light() {
    let paint = |factor: Value| {
        gltf(|file| {
            file["materials"] = json!([{ "pbrMetallicRoughness": { "baseColorFactor": factor } }]);
            file["meshes"][0]["primitives"][0]["material"] = json!(0);
        })
        .unwrap()
    };
    let mesh = paint(json!([0.2, 1.0, 0.0, 1.0]));
    assert_eq!((mesh.shading, mesh.materials[0].color), (Shading::Product, [0.2, 1.0, 0.0, 1.0]));
    let sampled = sample(&mesh, 10);
    // One colour: it is shaded. Light of 0.2 is shown as 0.4845.
    let (shade, color) = (sampled.points.intensities[0], sampled.points.colors[0]);
    assert!((color[0] / shade - 0.484_53).abs() < 1e-4, "{color:?} {shade}");
    assert!(sampled.points.warnings[0].contains("has one colour"), "{:?}", sampled.points.warnings);
    let bare = sample(&gltf(|_| ()).unwrap(), 10);
    assert!(bare.points.warnings[0].contains("has no colours"), "{:?}", bare.points.warnings);
    let clear = gltf(|file| {
        file["materials"] =
            json!([{ "alphaMode": "BLEND", "pbrMetallicRoughness": { "baseColorFactor": [1, 1, 1, 0] } }]);
        file["meshes"][0]["primitives"][0]["material"] = json!(0);
    });
    assert!(sample(&clear.unwrap(), 10).points.warnings[0].contains("transparent"));
}

#[test]
fn copies_that_are_not_read_are_told() {
    let mesh = gltf(|f| f["extensionsUsed"] = json!(["EXT_mesh_gpu_instancing"])).unwrap();
    assert!(
        mesh.warnings[0].contains("Copies by EXT_mesh_gpu_instancing are left out"),
        "{:?}",
        mesh.warnings
    );
}

#[test]
fn damaged_gltf_is_an_error_that_says_what() {
    let says = |change: &dyn Fn(&mut Value), words: &str| {
        let message = gltf(change).unwrap_err();
        assert!(message.contains("a.glb: ") && message.contains(words), "{message}");
    };
    says(&|f| f["accessors"][0]["count"] = json!(4), "accessor 0 ends behind its buffer view");
    says(&|f| f["accessors"][1]["count"] = json!(4_000_000_000u32), "so many vertices that they would take");
    says(
        &|f| {
            f["accessors"][0].as_object_mut().unwrap().remove("bufferView");
            f["accessors"][0]["count"] = json!(4_000_000_000u32)
        },
        "accessors[0].bufferView",
    );
    says(&|f| f["bufferViews"][0]["byteLength"] = json!(9000), "buffer view 0 ends behind its buffer");
    says(&|f| f["buffers"][0]["byteLength"] = json!(9000), "buffer 0 has 40 bytes of 9000");
    says(&|f| f["accessors"] = json!([]), "meshes[0] names accessor 0 of 0");
    says(&|f| f["nodes"][0]["mesh"] = json!(7), "nodes[0].mesh");
    says(&|f| f["nodes"] = json!([{ "mesh": 0, "children": [0] }]), "node 0 is a child of several");
    says(
        &|f| f["extensionsRequired"] = json!(["KHR_draco_mesh_compression"]),
        "KHR_draco_mesh_compression, which is not read here",
    );
    says(&|f| f["meshes"][0]["primitives"][0]["mode"] = json!(1), "holds no faces");
    let floats = |f: &mut Value| {
        f["accessors"][1]["bufferView"] = json!(0);
        f["accessors"][1]["byteOffset"] = json!(13);
    };
    says(&floats, "an index is 128, of 3 vertices");
    says(&|f| f["meshes"][0]["primitives"] = json!([]), "holds no faces");
    let nodes = |f: &mut Value| {
        let many: Vec<Value> = (0..100_000).map(|_| json!({ "mesh": 0 })).collect();
        f["scenes"][0]["nodes"] = json!((0..many.len()).collect::<Vec<_>>());
        f["nodes"] = json!(many);
    };
    assert_eq!(gltf(nodes).unwrap().len(), 100_000, "as many as the file has room for");
    let whole = triangle(|_| ());
    let dir = tempfile::tempdir().unwrap();
    for end in 0..whole.len() {
        assert!(Mesh::read(&write(dir.path(), "a.glb", &whole[..end])).is_err(), "{end}");
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

#[test]
fn there_are_as_many_points_as_make_the_views_solid() {
    let dir = tempfile::tempdir().unwrap();
    let cube = read(&painted_cube(dir.path())).sample(&Options::default()).unwrap();
    let cloud = Cloud::fit(&cube.points, &Default::default()).unwrap();
    assert!((190_000..240_000).contains(&cube.points.len()), "{}", cube.points.len());
    assert_eq!(cube.too_few_for(0.005 * cloud.radius), None, "what was chosen suffices");
    let few = sample(&read(&painted_cube(dir.path())), 20_000);
    let needed = few.too_few_for(0.005 * cloud.radius).unwrap();
    assert!((needed as f64 / cube.points.len() as f64 - 1.0).abs() < 0.1, "{needed}");
    // Of the front, red, no view from ahead shows what lies behind: green.
    let options = views::Options {
        poses: vec![views::Pose { elevation: 0.0, azimuth: 0.0, distance: 2.2 }],
        ..Default::default()
    };
    let view = Views::render(&Device::Cpu, &cloud, &options).unwrap();
    let pixels = view.image(0).unwrap().as_chunks::<3>().0.to_vec();
    let count = |is: fn(&[u8; 3]) -> bool| pixels.iter().filter(|pixel| is(pixel)).count();
    let (front, behind) = (count(|&[r, g, _]| r > 200 && g < 50), count(|&[r, g, _]| r < 50 && g > 200));
    assert!(front > 200_000 && behind * 25 < front, "{front} {behind}");
    let chair = procedural::mesh("Chair", 3).unwrap().mesh.sample(&Options::default()).unwrap();
    assert!((80_000..160_000).contains(&chair.points.len()), "{}", chair.points.len());
    let cloud = Cloud::fit(&chair.points, &Default::default()).unwrap();
    assert_eq!(chair.too_few_for(0.005 * cloud.radius), None);
}

/// The share of the area whose faces have the right label.
fn right(made: &LabelledMesh, labels: &[i32], counts: impl Fn(usize) -> bool) -> f64 {
    let (mut all, mut good) = (0.0, 0.0);
    for t in 0..made.mesh.triangles.len() {
        let [a, b, c] = made.mesh.corners(t).map(glam);
        let area = (b - a).cross(c - a).length();
        let face = made.mesh.face_of[t] as usize;
        if counts(face) {
            all += area;
            good += area * f64::from(u8::from(labels[face] == made.semantic[face]));
        }
    }
    good / all
}

fn glam(p: [f64; 3]) -> glam::DVec3 {
    p.into()
}

#[test]
fn labels_of_points_come_back_to_the_faces() {
    for (category, seed) in [("Chair", 3), ("Table", 1), ("StorageFurniture", 1), ("Kettle", 5)] {
        let made = procedural::mesh(category, seed).unwrap();
        for points in [80_000, 5_000] {
            let sampled = sample(&made.mesh, points);
            let of_points = |of_face: &[i32]| -> Vec<i32> {
                sampled.triangles.iter().map(|&t| of_face[made.mesh.face_of[t as usize] as usize]).collect()
            };
            let (labels, instances) = (of_points(&made.semantic), of_points(&made.instance));
            let faces = sampled.faces(&made.mesh, &labels, &instances).unwrap();
            let share = right(&made, &faces.labels, |_| true);
            println!("{category} {seed}, {points} points: {:.2} % of the area", 100.0 * share);
            assert!(share > 0.99, "{category} {seed}, {points} points: {share}");
        }
    }
}

#[test]
fn perfect_masks_come_back_to_the_faces_and_all_files_are_written() {
    let made = procedural::mesh("Chair", 3).unwrap();
    let mut mesh = made.mesh.clone();
    mesh.pictures.push(Picture { name: "unused.png".into(), bytes: picture() });
    mesh.materials.push(Material {
        name: "unused".into(),
        color: [0.5; 4],
        texture: None,
        alpha_cutoff: None,
    });
    let sampled = sample(&mesh, 20_000);
    let cloud = Cloud::fit(&sampled.points, &Default::default()).unwrap();
    let of_points = |of_face: &[i32]| -> Vec<i32> {
        sampled.triangles.iter().map(|&t| of_face[mesh.face_of[t as usize] as usize]).collect()
    };
    let (labels, instances) = (of_points(&made.semantic), of_points(&made.instance));
    let options = partstad::pipeline::Options {
        views: views::Options { side: 400, radius: 0.01, ..Default::default() },
        ..Default::default()
    };
    let views = Views::render(&Device::Cpu, &cloud, &options.views).unwrap();
    let (semantic, instance) = (cloud.to_points(&labels), cloud.to_points(&instances));
    let (boxes, masks) = predictions::predict(
        &views,
        &semantic,
        &instance,
        made.parts.len(),
        0,
        &predictions::Options::perfect(),
    );
    let parts = Parts::new(made.parts.iter().copied()).unwrap();
    let predictions = Predictions { boxes, masks, superpoints: None, weights: None };
    let found = Pipeline::new(Device::Cpu, options).lift(&cloud, &parts, predictions, &()).unwrap();
    let faces = found.faces(&mesh, &sampled, &cloud).unwrap();
    let mut seen = vec![false; mesh.len()];
    sampled.triangles.iter().for_each(|&t| seen[mesh.face_of[t as usize] as usize] = true);
    let share = right(&made, &faces.labels, |face| seen[face]);
    println!("perfect masks of a chair, 20000 points: {:.2} % of the area that is seen", 100.0 * share);
    assert!(share > 0.9, "{share}");

    let dir = tempfile::tempdir().unwrap();
    let warnings = [];
    let report = Report {
        title: "chair.glb",
        cloud: &cloud,
        found: &found,
        parameters: &Value::Null,
        warnings: &warnings,
    };
    let surface = Some(Surface { mesh: &mesh, sampled: &sampled });
    Output { points: &sampled.points, surface, report }.write(dir.path()).unwrap();
    let said: Value = serde_json::from_slice(&fs::read(dir.path().join("parts.json")).unwrap()).unwrap();
    let counted: u64 =
        said["parts"].as_array().unwrap().iter().map(|part| part["faces"].as_u64().unwrap()).sum();
    assert_eq!(counted + said["none"]["faces"].as_u64().unwrap(), mesh.len() as u64);
    let leg = &said["parts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|part| part["instances"][0].is_object())
        .unwrap()["instances"][0];
    assert!(leg["box"]["min"][1].as_f64() < leg["box"]["max"][1].as_f64(), "{leg}");

    let bytes = fs::read(dir.path().join("segmentation.glb")).unwrap();
    // The crate's own validation, complete.
    let file = gltf::Gltf::from_slice(&bytes).unwrap();
    let names: Vec<String> = file.nodes().map(|node| node.name().unwrap_or_default().to_string()).collect();
    assert_eq!(names[0], "chair.glb");
    assert!(names.contains(&leg["name"].as_str().unwrap().to_string()), "{names:?}");
    assert!(
        names.iter().any(|name| name == "no part") || faces.labels.iter().all(|&label| label >= 0),
        "{names:?}"
    );
    let again = read(&dir.path().join("segmentation.glb"));
    assert_eq!(again.len(), mesh.len());
    let mesh_ply = read(&dir.path().join("segmentation-mesh.ply"));
    assert_eq!((mesh_ply.len(), mesh_ply.face_colors.len()), (mesh.len(), mesh.len()));
    assert_eq!(PointCloud::read(&dir.path().join("segmentation.ply")).unwrap().len(), 20_000);
}

#[test]
fn what_is_written_keeps_materials_textures_and_places() {
    let file = triangle(|file| {
        file["extensionsUsed"] = json!(["KHR_materials_unlit", "KHR_texture_transform"]);
        file["materials"] = json!([{
            "name": "wood", "doubleSided": true, "emissiveFactor": [0.5, 0, 0], "extensions": { "KHR_materials_unlit": {} },
            "pbrMetallicRoughness": { "baseColorTexture": {
                "index": 0, "extensions": { "KHR_texture_transform": { "scale": [2, 2] } },
            } },
        }]);
        file["textures"] = json!([{ "source": 0 }]);
        file["images"] = json!([{ "uri": "wood.png", "name": "planks" }]);
        file["meshes"][0]["primitives"][0]["material"] = json!(0);
        file["nodes"][0]["translation"] = json!([4e6, 0, 0]);
    });
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "wood.png", picture());
    let mesh = read(&write(dir.path(), "a.glb", file));
    let groups = vec![
        Group { name: "leg 1".into(), faces: vec![0], extras: json!({ "label": 0 }) },
        Group { name: "empty".into(), faces: vec![], extras: Value::Null },
    ];
    // z of the file is up.
    let axes = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]];
    let bytes = Scene { name: "a", mesh: &mesh, groups, axes }.encode().unwrap();
    let whole = gltf::Gltf::from_slice(&bytes).unwrap();
    let was = &mesh.gltf.as_ref().unwrap()["materials"];
    let text: Value = serde_json::from_slice(&gltf::Glb::from_slice(&bytes).unwrap().json).unwrap();
    assert_eq!((&text["materials"], &text["images"][0]["name"]), (was, &json!("planks")));
    assert_eq!(text["extensionsUsed"], json!(["KHR_materials_unlit", "KHR_texture_transform"]));
    assert_eq!(whole.nodes().filter_map(|node| node.name()).collect::<Vec<_>>(), ["a", "leg 1"]);
    fs::remove_file(dir.path().join("wood.png")).unwrap();
    let again = read(&write(dir.path(), "b.glb", bytes));
    assert_eq!(again.pictures[0].bytes, picture());
    // Far from the origin nothing is lost.
    assert_eq!(again.positions[1], [4e6 + 1.0, 0.0, 0.0]);
    assert_eq!(again.positions[2], [4e6, 0.0, -1.0]);
}

/// Boxes around what the views show of each instance, and the labels that they give the faces.
#[test]
fn boxes_in_views_of_a_mesh_label_its_faces() {
    const SIDE: usize = 400;
    for (category, seed) in [("Chair", 3), ("Kettle", 5)] {
        let made = procedural::mesh(category, seed).unwrap();
        let surface = satr::Surface::of(&made.mesh).unwrap();
        let cameras: Vec<Camera> = POSES.into_iter().map(Camera::new).collect();
        let maps = surface.render(&Device::Cpu, &cameras, SIDE, Sides::Front).unwrap();
        let (mut boxes, mut shown) = (BTreeMap::new(), vec![false; made.mesh.len()]);
        for (pixel, &triangle) in maps.iter().enumerate().filter(|&(_, &triangle)| triangle >= 0) {
            let face = made.mesh.face_of[triangle as usize] as usize;
            shown[face] = true;
            if let Ok(part) = u32::try_from(made.semantic[face]) {
                let view = (pixel / (SIDE * SIDE)) as u32;
                let [x, y] = [pixel % SIDE, pixel / SIDE % SIDE].map(|x| x as f32);
                let [left, top, right, bottom] =
                    boxes.entry((view, made.instance[face], part)).or_insert([x, y, x, y]);
                (*left, *top) = (left.min(x), top.min(y));
                (*right, *bottom) = (right.max(x + 1.0), bottom.max(y + 1.0));
            }
        }
        let boxes: Vec<Detection> = boxes
            .into_iter()
            .map(|((view, _, part), corners)| Detection { view, part, corners, score: 0.8 })
            .collect();
        let scores =
            surface.score(&Device::Cpu, &maps, SIDE, &boxes, made.parts.len(), &Default::default()).unwrap();
        let mut labels = vec![-1; made.mesh.len()];
        for (&face, label) in made.mesh.face_of.iter().zip(scores.labels()) {
            labels[face as usize] = if label == made.parts.len() as i32 { -1 } else { label };
        }
        let share = right(&made, &labels, |face| shown[face]);
        println!("{category} {seed}: {:.1} % of the area that is seen", 100.0 * share);
        assert!(share > 0.6, "{category} {seed}: {share}");
    }
}
