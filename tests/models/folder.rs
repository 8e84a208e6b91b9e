//! Folders of models with something wrong in them.

use crate::common::{PARTS, complaint, copy, load, tiny, views};
use partstad::{
    Template,
    models::{Manifest, Models, check::check},
    stages::boxes::{Boxes, Options},
};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// Changes the manifest of a folder.
pub fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, manifest.to_string()).unwrap();
}

/// Has another file of the folder take the place of the detector.
pub fn with_detector(file: &str) -> tempfile::TempDir {
    let folder = copy();
    edit(folder.path(), |manifest| manifest["detector"]["model"] = json!(file));
    sum(folder.path(), file);
    folder
}

/// Enters a file's checksum into the manifest.
pub fn sum(folder: &Path, file: &str) {
    let bytes = fs::read(folder.join(file)).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    edit(folder, |manifest| manifest["files"][file] = json!(sha256));
}

#[test]
fn a_wrong_signature_is_named() {
    let cases = [
        ("no_features.onnx", "there is no output `features` (f32 [N, 86, 8]); the outputs are: token_logits"),
        ("renamed_logits.onnx", "there is no output `token_logits`"),
        (
            "image_of_96.onnx",
            "input `image` should be f32 or f16 [N, 3, 64, 64], but the model's axis 2 is 96",
        ),
        (
            "integer_image.onnx",
            "input `image` should be f32 or f16 [N, 3, 64, 64], but the model has Tensor<i64>",
        ),
        ("one_image.onnx", "axis 0 is fixed at 1; export it as dynamic"),
        ("sam_encoder.onnx", "there is no input `text_hidden`"),
        ("vocab.txt", "ONNX Runtime cannot use this model"),
    ];
    for (file, expected) in cases {
        let message = complaint(with_detector(file).path());
        assert!(message.contains(file) && message.contains(expected), "{file}: {message}");
    }
}

#[test]
fn a_model_that_gives_nan_is_refused() {
    let models = load(with_detector("nan.onnx").path()).unwrap();
    let error = Boxes::detect(&views(1, 64, 1), &PARTS, models.detector().unwrap(), &Options::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("nan.onnx: output `box_regression` is NaN in 344 elements"), "{error}");
}

#[test]
fn damaged_files() {
    let folder = copy();
    let model = folder.path().join("sam_decoder.onnx");
    let mut bytes = fs::read(&model).unwrap();
    bytes.truncate(1000);
    fs::write(&model, &bytes).unwrap();
    let message = complaint(folder.path());
    assert!(message.contains("sam_decoder.onnx: SHA-256 is ") && message.contains("damaged"), "{message}");

    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02X}")).collect();
    edit(folder.path(), |manifest| manifest["files"]["sam_decoder.onnx"] = json!(sha256));
    let message = complaint(folder.path());
    assert!(message.contains("sam_decoder.onnx: ONNX Runtime cannot use this model"), "{message}");

    fs::remove_file(&model).unwrap();
    let message = complaint(folder.path());
    assert!(message.contains("sam_decoder.onnx: ") && message.contains("os error 2"), "{message}");

    let message = complaint(Path::new("no/such/folder"));
    assert!(message.contains("manifest.json"), "{message}");
}

/// A field of a protobuf message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

#[test]
fn external_data_is_checked_like_the_rest() {
    let folder = copy();
    let model = folder.path().join("text_encoder.onnx");
    // Repeated messages are merged: one more tensor of the graph, whose numbers are in a file.
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let tensor =
        [&[8, 2, 16, 1][..], &field(8, b"more"), &entry("location", "more.data"), &[112, 1]].concat();
    let bytes = [fs::read(&model).unwrap(), field(7, &field(5, &tensor))].concat();
    fs::write(&model, bytes).unwrap();
    fs::write(folder.path().join("more.data"), [0; 8]).unwrap();
    sum(folder.path(), "text_encoder.onnx");
    let message = complaint(folder.path());
    assert!(message.contains("keeps numbers in \"more.data\", which has no SHA-256"), "{message}");
    sum(folder.path(), "more.data");
    load(folder.path()).unwrap();
    let data = folder.path().join("more.data");
    fs::write(&data, [1; 8]).unwrap();
    // Some file systems keep times in seconds.
    let later = SystemTime::now() + Duration::from_secs(2);
    fs::File::options().write(true).open(&data).unwrap().set_modified(later).unwrap();
    let message = complaint(folder.path());
    assert!(message.contains("more.data: SHA-256 is"), "{message}");
}

#[test]
fn bad_manifests() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 25] = [
        (|m| m["version"] = json!(2), "manifest version 2 is not 1"),
        (|m| m["colour"] = json!(1), "unknown field `colour`"),
        (|m| m["detector"]["topn"] = json!(1), "unknown field `topn`"),
        (|m| m["name"] = Value::Null, "expected a string"),
        (|m| _ = m.as_object_mut().unwrap().remove("stand_in"), "missing field `stand_in`"),
        (|m| m["detector"]["kind"] = json!("yolo"), "unknown variant `yolo`"),
        (
            |m| _ = m["files"].as_object_mut().unwrap().remove("vocab.txt"),
            "\"vocab.txt\" is used but has no SHA-256",
        ),
        (|m| m["files"]["../secret"] = json!("00"), "\"../secret\" must be the plain name"),
        (|m| m["detector"]["strides"] = json!([8, 16]), "detector.strides and anchor_sizes"),
        (|m| m["detector"]["strides"][0] = json!(0), "detector.strides and anchor_sizes must be in 1..=4096"),
        (|m| m["detector"]["image"]["std"][1] = json!(0), "detector.image.std must be above 0"),
        (|m| m["detector"]["image"]["size"] = json!([65, 64]), "detector.image.size"),
        (|m| m["detector"]["image"]["divisor"] = json!(0), "detector.image.size"),
        (|m| m["detector"]["max_det"] = json!(0), "detector.max_det must be above 0"),
        (|m| m["detector"]["top_n"] = json!(0), "detector.top_n must be above 0"),
        (|m| _ = m["detector"].as_object_mut().unwrap().remove("top_n"), "missing field `top_n`"),
        (|m| _ = m["detector"].as_object_mut().unwrap().remove("kind"), "missing field `kind`"),
        (
            |m| m["detector"]["kind"] = json!("detr"),
            "unknown field `anchor_sizes`, expected `queries` or `score`",
        ),
        (|m| m["detector"]["queries"] = json!(9), "unknown field `queries`, expected one of `strides`"),
        (|m| m["detector"]["score"] = json!("max_sigmoid"), "unknown variant `max_sigmoid`"),
        (|m| with_queries(m, json!(0)), "detector.queries must be in 1..=65536"),
        (
            |m| {
                with_queries(m, json!(9));
                m["detector"]["top_n"] = json!(1000);
            },
            "unknown field `top_n`, expected `queries` or `score`",
        ),
        (
            |m| {
                with_queries(m, json!(9));
                m["detector"]["score"] = json!("sqrt_mean_sigmoid_x_centerness");
            },
            "unknown variant `sqrt_mean_sigmoid_x_centerness`, expected `mean_sigmoid` or `max_sigmoid`",
        ),
        (|m| m["segmenter"]["image"]["size"] = json!([64, 32]), "segmenter.image.size must be square"),
        (
            |m| m["segmenter"]["embedding"] = json!([6, 5]),
            "output `image_embeddings` should be f32 [N, 6, 5, 5]",
        ),
    ];
    for (change, expected) in cases {
        let folder = copy();
        edit(folder.path(), change);
        let message = complaint(folder.path());
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let folder = copy();
    fs::write(folder.path().join("manifest.json"), "{").unwrap();
    assert!(complaint(folder.path()).contains("manifest.json: not a manifest of models: EOF"));
}

/// Makes the detector one of queries.
fn with_queries(manifest: &mut Value, queries: Value) {
    let detector = manifest["detector"].as_object_mut().unwrap();
    detector.retain(|field, _| {
        !["strides", "anchor_sizes", "box_weights", "pre_nms", "top_n"].contains(&field.as_str())
    });
    detector.extend(
        [("kind", json!("detr")), ("queries", queries), ("score", json!("max_sigmoid"))]
            .map(|(field, value)| (field.to_string(), value)),
    );
}

#[test]
fn a_manifest_is_written_as_it_was_read() {
    let text = fs::read(Path::new(crate::common::FIXTURES).join("manifest.json")).unwrap();
    let locations: Value = serde_json::from_slice(&text).unwrap();
    let mut queries = locations.clone();
    with_queries(&mut queries, json!(9));
    for manifest in [locations, queries] {
        let parse = |text: String| Manifest::parse(text.as_bytes(), Path::new("manifest.json")).unwrap();
        let read = parse(manifest.to_string());
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(parse(written.to_string()), read);
        let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(fields(&written["detector"]), fields(&manifest["detector"]));
        assert_eq!(fields(&written), fields(&manifest));
    }
}

#[test]
fn a_folder_without_segmenter() {
    let folder = copy();
    edit(folder.path(), |m| _ = m.as_object_mut().unwrap().remove("segmenter"));
    assert!(load(folder.path()).unwrap().segmenter().is_none());
}

/// A folder with a learned offset of `[rows, 16]` for `caption`, whose file says it belongs to `own`.
fn with_offset(rows: usize, caption: &str, own: &str) -> tempfile::TempDir {
    let folder = copy();
    let bytes: Vec<u8> = (0..rows * 16).flat_map(|i| (i as f32 * 0.7).sin().to_le_bytes()).collect();
    let tensor = TensorView::new(Dtype::F32, vec![rows, 16], &bytes).unwrap();
    let metadata = Some([("caption".to_string(), own.to_string())].into());
    let file = safetensors::serialize([("text_offset", tensor)], metadata).unwrap();
    fs::write(folder.path().join("offset.safetensors"), file).unwrap();
    edit(folder.path(), |m| m["detector"]["text"]["offsets"] = json!({ caption: "offset.safetensors" }));
    sum(folder.path(), "offset.safetensors");
    folder
}

#[test]
fn a_learned_offset_serves_its_caption_alone() {
    let prompt = |models: &Models, parts: &[&str]| {
        models.detector().unwrap().prompt(parts, &Template::default()).unwrap().hidden.clone()
    };
    let (plain, learned) = (tiny(), load(with_offset(256, "arm . leg . ", "arm . leg . ").path()).unwrap());
    let (before, after) = (prompt(&plain, &["arm", "leg"]), prompt(&learned, &["arm", "leg"]));
    assert_eq!(before.len(), 6 * 16);
    for (i, (a, b)) in before.iter().zip(after.iter()).enumerate() {
        assert_eq!(a + (i as f32 * 0.7).sin(), *b);
    }
    assert_eq!(prompt(&plain, &["leg", "arm"]), prompt(&learned, &["leg", "arm"]));
    let folder = with_offset(256, "arm . leg . ", "arm . leg . ");
    let notes = check(folder.path(), &["arm", "leg"], &partstad::models::Options::default()).unwrap().notes;
    let of_offset = r#"offset.safetensors is added to the text where exactly the names of "arm . leg . ""#;
    assert!(notes.iter().any(|note| note.starts_with(of_offset)), "{notes:?}");

    let short = load(with_offset(5, "arm . leg . ", "arm . leg . ").path()).unwrap();
    let error =
        short.detector().unwrap().prompt(&["arm", "leg"], &Template::default()).unwrap_err().to_string();
    assert!(
        error.contains("offset.safetensors: `text_offset` is [5, 16]") && error.contains("[6, 16]"),
        "{error}"
    );
    let message = complaint(with_offset(256, "arm . leg . ", "arm . seat . ").path());
    assert!(message.contains(r#"learned for the caption "arm . seat . ", but"#), "{message}");
    let unlisted = with_offset(256, "arm . leg . ", "arm . leg . ");
    edit(unlisted.path(), |m| _ = m["files"].as_object_mut().unwrap().remove("offset.safetensors"));
    let message = complaint(unlisted.path());
    assert!(message.contains(r#""offset.safetensors" is used but has no SHA-256"#), "{message}");
}

#[test]
fn more_threads_same_boxes() {
    let views = views(3, 64, 9);
    let detect = |threads| {
        let options = partstad::models::Options { threads, ..Default::default() };
        let folder = Path::new(crate::common::FIXTURES);
        let models = partstad::models::Models::load(&partstad::Device::Cpu, folder, &options).unwrap();
        Boxes::detect(
            &views,
            &PARTS,
            models.detector().unwrap(),
            &Options { threshold: 0.3, batch: 3, ..Default::default() },
        )
        .unwrap()
    };
    assert_eq!(detect(1), detect(4));
}
