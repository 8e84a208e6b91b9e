//! glTF: nodes, materials, and what is wrong with them.

use super::{sample, write};
use partstad::io::meshes::{Mesh, Shading};
use serde_json::{Value, json};

/// A triangle in a buffer, and whatever else a test wants.
pub fn triangle(change: impl FnOnce(&mut Value)) -> Vec<u8> {
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
