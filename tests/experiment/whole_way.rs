//! Every command in turn, on labels of one's own and with models that find boxes and masks at once.

use super::Example;
use partstad::{io::npy, study::dataset::Dataset};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// Runs the program in a folder: exit code, and all that it says.
fn run_in(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_partstad")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// Clouds of a new category, labels in files beside them, no split: listed, checked, prepared, trained on, measured.
#[test]
fn labels_of_ones_own_go_the_whole_way() {
    let example = Example::new();
    let own = example.root.path().join("own");
    fs::create_dir(&own).unwrap();
    let data = Dataset::open(&example.data()).unwrap();
    for (object, split) in ["train", "test"]
        .iter()
        .flat_map(|split| data.objects(split).unwrap().into_iter().map(move |o| (o, split)))
    {
        if object.category != "Kettle" {
            continue;
        }
        let (_, truth) = object.read(3).unwrap();
        fs::copy(&object.cloud, own.join(&object.id).with_extension("ply")).unwrap();
        let from_one: Vec<i32> = truth.semantic.iter().map(|label| label + 1).collect();
        npy::write(&own.join(format!("{}.labels.npy", object.id)), &[from_one.len()], &from_one).unwrap();
        let place = format!("predictions/{split}/Kettle/{}", object.id);
        let split = if *split == "train" { "train" } else { "test" };
        let to = example.root.path().join(format!("found/{split}/pot/{}", object.id));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(example.root.path().join(place), to).unwrap();
    }
    let run = |args: &[&str]| run_in(example.root.path(), args);
    let init =
        ["dataset", "init", "own", "--category", "pot", "--parts", "lid,handle,spout", "--first-label", "1"];
    let (code, told) = run(&init);
    assert!(code == Some(0) && told.contains("3 clouds of 1 category: 3 train"), "{told}");
    let (code, told) = run(&init);
    assert!(code == Some(1) && told.contains("--force"), "{told}");
    let (code, told) = run(&["dataset", "check", "own"]);
    assert!(code == Some(0) && told.contains("pot, train: 3 clouds, no instances, so no AP"), "{told}");

    // The two that have predictions as a test are put aside by hand.
    let index = own.join("dataset.json");
    let mut listed: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    for entry in listed["objects"].as_array_mut().unwrap() {
        let id = entry["id"].as_str().unwrap().to_string();
        if example.root.path().join("found/test/pot").join(id).exists() {
            entry["split"] = "test".into();
        }
    }
    fs::write(&index, listed.to_string()).unwrap();
    for args in [
        &["prepare", "own", "--predictions", "found", "--category", "pot", "-o", "prepared"][..],
        // One category is evaluated, so that the file need not be named after it.
        &[
            "train",
            "prepared",
            "--category",
            "pot",
            "--epochs",
            "3",
            "--folds",
            "0",
            "-o",
            "learned.safetensors",
        ],
        &[
            "evaluate",
            "own",
            "--predictions",
            "found",
            "--weights",
            "learned.safetensors",
            "--method",
            "partstad,no-weights",
            "-o",
            "out",
        ],
    ] {
        let (code, told) = run(args);
        assert_eq!(code, Some(0), "{told}");
    }
    let results: Value =
        serde_json::from_slice(&fs::read(example.root.path().join("out/results.json")).unwrap()).unwrap();
    let pot = &results["figures"][1]["categories"]["pot"];
    assert!(pot["miou"].as_f64().unwrap() > 0.5 && pot["map50"].is_null(), "{pot}");
}

/// Models that find boxes and masks at once: prepared with, trained on, measured; then clouds without labels.
#[test]
fn concept_segmenters_go_the_whole_way() {
    let example = Example::new();
    let (root, tiny) = (example.root.path(), Path::new("tests/fixtures/models"));
    let mut manifest: Value = serde_json::from_slice(&fs::read(tiny.join("concepts.json")).unwrap()).unwrap();
    manifest["stand_in"] = false.into();
    fs::create_dir(root.join("models")).unwrap();
    fs::write(root.join("models/manifest.json"), manifest.to_string()).unwrap();
    for file in manifest["files"].as_object().unwrap().keys() {
        fs::copy(tiny.join(file), root.join("models").join(file)).unwrap();
    }
    fs::write(root.join("low.json"), r#"{"boxes": {"threshold": 0.25}, "views": {"side": 200}}"#).unwrap();
    let run = |args: &[&str]| run_in(root, args);
    let ask = ["--models", "models", "--options", "low.json", "--template", "leg arm {part} leg"];
    let test = fs::read_dir(root.join("data/test/Kettle")).unwrap().next().unwrap().unwrap().path();
    let cloud = test.join("pc.ply").to_string_lossy().into_owned();
    for args in [
        &["prepare", "data", "--category", "Kettle", "--splits", "train", "-o", "prepared"][..],
        &[
            "evaluate",
            "data",
            "--method",
            "partstad,no-weights",
            "--weights",
            "w.safetensors",
            "-o",
            "figures",
        ],
        &["segment", &cloud, "--parts", "lid,handle,spout", "--weights", "w.safetensors", "-o", "one"],
        &["batch", &cloud, "--parts", "lid,handle,spout", "-o", "many"],
    ] {
        let category = if args[0] == "evaluate" { &["--category", "Kettle"][..] } else { &[] };
        let (code, told) = run(&[args, &ask, category].concat());
        assert!(code == Some(0) && !told.contains("features"), "{args:?}: {told}");
        if ["prepare", "evaluate"].contains(&args[0]) {
            let doubts = told.matches("Kettle: The name \"lid\" has a word that is not in").count();
            assert_eq!(doubts, 1, "{args:?}: {told}");
        }
        if args[0] == "prepare" {
            let train = [
                "train",
                "prepared",
                "--category",
                "Kettle",
                "--epochs",
                "2",
                "--folds",
                "0",
                "-o",
                "w.safetensors",
            ];
            let (code, told) = run(&train);
            assert_eq!(code, Some(0), "{told}");
        }
    }
    let found: Value = serde_json::from_slice(&fs::read(root.join("one/run.json")).unwrap()).unwrap();
    assert_eq!(found["parameters"]["options"]["boxes"]["template"], "leg arm {part} leg");
    assert!(fs::read_to_string(root.join("one/boxes.json")).unwrap().matches("score").count() > 5);
    let (code, told) =
        run(&["segment", &cloud, "--parts", "lid", "--template", "{part} of a {category}", "-o", "two"]);
    assert!(code == Some(1) && told.contains("--template is \"{part} of a {category}\""), "{told}");
    let (code, told) = run(&["info", "--models", "models"]);
    assert!(code == Some(0) && told.contains("finds concepts in 64 x 64, 16 queries"), "{told}");
}
