//! Paths that are no text: every command takes them.

use super::{BOXES, CLOUD, PARTS, done, error, partstad};
use partstad::{
    Device,
    stages::{
        checkpoint::Checkpoint,
        cloud::Cloud,
        network::{Basis, Network},
        views::Views,
    },
    study::{dataset::Dataset, prepare::write_predictions},
};
use procedural::{
    clouds::{self, Split},
    predictions,
};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn every_command_takes_a_path_that_is_no_text() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"caf\xe9\x1b"));
    fs::create_dir(&odd).unwrap();
    let at = |name: &str| odd.join(name);
    let (cloud, views, boxes) = (at("pc.ply"), at("views.json"), at("pred.json"));
    fs::copy(CLOUD, &cloud).unwrap();
    fs::copy(BOXES, &boxes).unwrap();
    fs::write(&views, r#"{"poses": [{"elevation": 10, "azimuth": 0}]}"#).unwrap();
    fs::write(at("options.json"), "{}").unwrap();
    let models = at("models");
    copy(Path::new("tests/fixtures/models"), &models);
    let network = Network::initial(Basis::Constant, 403, 0.02, 1);
    let parts = PARTS.split(',').map(String::from).collect();
    Checkpoint { parts, epoch: 1, val_miou: 0.5, network }.write(&at("Chair.safetensors")).unwrap();

    let json = |args: &[&dyn AsRef<OsStr>]| {
        let told = done(&[args, &[&"--json"]].concat());
        assert!(told.contains("caf\u{fffd}"), "{told}");
    };
    json(&[&"render", &cloud, &"--views", &views, &"-o", &at("views")]);
    json(&[&"superpoints", &cloud, &"-o", &at("sp.npy"), &"--ply", &at("sp.ply")]);
    json(&[&"weights", &"export", &at("Chair.safetensors"), &"-o", &at("ckpt.tar")]);
    json(&[&"weights", &"import", &at("ckpt.tar"), &"--parts", &PARTS, &"-o", &at("again.safetensors")]);
    json(&[
        &"lift",
        &cloud,
        &"--boxes",
        &boxes,
        &"--superpoints",
        &at("sp.npy"),
        &"--parts",
        &PARTS,
        &"--options",
        &at("options.json"),
        &"-o",
        &at("lifted"),
    ]);
    let segment: [&dyn AsRef<OsStr>; 8] =
        [&"segment", &cloud, &"--parts", &PARTS, &"--views", &views, &"-o", &at("segmented")];
    json(&segment);
    json(&[&segment[..], &[&"--models", &models]].concat());
    json(&[&"demo", &"--views", &views, &"-o", &at("demo")]);
    done(&[&"info", &"--models", &models]);
    done(&[&"models", &"check", &models, &"--json"]);

    // A cloud that fails does not end the others.
    fs::write(at("bad.ply"), "ply").unwrap();
    let output = partstad(&[&segment[..], &[&at("bad.ply"), &"--json"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", error(&output));
    assert!(error(&output).contains("1 of 2 clouds failed"), "{}", error(&output));
    assert!(at("segmented/pc/run.json").exists());

    let split = |name, seed| Split { name, shapes: 1, seed };
    clouds::write(&at("data"), &["Kettle"], &[split("train", 1), split("test", 2)], 3000).unwrap();
    let data = Dataset::open(&at("data")).unwrap();
    for object in ["train", "test"].iter().flat_map(|split| data.objects(split).unwrap()) {
        let labels = data.parts[&object.category].len();
        let (points, truth) = object.read(labels).unwrap();
        let views = Views::render(&Device::Cpu, &Cloud::new(&points).unwrap(), &Default::default()).unwrap();
        let faults = predictions::Options::default();
        let (boxes, masks) =
            predictions::predict(&views, &truth.semantic, &truth.instance, labels, 1, &faults);
        write_predictions(&at("predicted").join(object.place()), &boxes, &masks, views.side).unwrap();
    }
    // An object that fails is told by its name.
    fs::create_dir(at("data/test/Kettle").join(OsStr::from_bytes(b"empt\xff"))).unwrap();
    let predicted = at("predicted");
    json(&[
        &"prepare",
        &at("data"),
        &"--predictions",
        &predicted,
        &"--all-categories",
        &"--splits",
        &"train",
        &"-o",
        &at("prepared"),
    ]);
    json(&[
        &"train",
        &at("prepared"),
        &"--all-categories",
        &"--epochs",
        &"2",
        &"--folds",
        &"0",
        &"-o",
        &at("weights"),
    ]);
    let evaluate = partstad(&[
        &"evaluate",
        &at("data"),
        &"--predictions",
        &predicted,
        &"--weights",
        &at("weights"),
        &"--prepared",
        &at("prepared"),
        &"-o",
        &at("figures"),
        &"--json",
    ]);
    let output = { evaluate }.output().unwrap();
    assert!(error(&output).contains("1 of 2 objects failed"), "{}", error(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("caf\u{fffd}") && told.contains("empt\u{fffd}"), "{told}");
}

/// `null` is JSON's word in `json!`, whatever variable has this name.
#[test]
fn no_variable_is_called_null_in_json() {
    let told = {
        let dir = tempfile::tempdir().unwrap();
        let (weights, out) = (dir.path().join("w.safetensors"), dir.path().join("w.tar"));
        let network = Network::initial(Basis::Constant, 403, 0.02, 1);
        let parts = PARTS.split(',').map(String::from).collect();
        Checkpoint { parts, epoch: 1, val_miou: 0.5, network }.write(&weights).unwrap();
        done(&[&"weights", &"export", &weights, &"-o", &out, &"--json"])
    };
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(told["null_weight"].is_f64(), "{told}");
    for entry in fs::read_dir("src/cli").unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let word = |rest: &str| rest.starts_with(|c: char| !c.is_alphanumeric() && c != '_');
        let json = text.split("\": null").skip(1).any(word);
        assert!(!json, "{}: say Value::Null where it is meant", path.display());
    }
}
