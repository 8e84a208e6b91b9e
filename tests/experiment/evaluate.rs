//! Methods side by side, with learned weights and without labels.

use super::Example;
use partstad::{
    Device,
    sam3d::Regions,
    stages::{checkpoint::Checkpoint, cloud::Cloud, views::Views},
    study::dataset::Dataset,
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

#[test]
fn evaluate_fills_hidden_points_if_asked() {
    let example = Example::new();
    let miou = |fill_hidden: bool| {
        let path = example.root.path().join("options.json");
        // Discs so large and superpoints so many that no view shows some of these.
        let options = serde_json::json!({
            "views": { "radius": 0.03 },
            "superpoints": { "lambda": 0.01, "small": 0 },
            "labels": { "fill_hidden": fill_hidden },
        });
        fs::write(&path, options.to_string()).unwrap();
        let more = ["--method", "no-weights", "--options", path.to_str().unwrap()];
        let told = example.json("evaluate", "out", &more);
        told["objects"].as_array().unwrap().iter().map(|o| o["miou"][0].as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_ne!(miou(false), miou(true));
}

#[test]
fn evaluate_compares_methods_and_a_bad_shape_does_not_stop_it() {
    let example = Example::new();
    let kept = example.root.path().join("kept").display().to_string();
    let told = example.json("evaluate", "out", &["--compare", "--prepared", &kept]);
    let of = |method: &str| {
        let all = told["figures"].as_array().unwrap();
        all.iter().find(|f| f["run"]["method"] == method).unwrap_or_else(|| panic!("{method}"))
    };
    let miou = |method: &str| of(method)["categories"]["Bottle"]["miou"].as_f64().unwrap();
    assert!(miou("ceiling") > 0.8 && miou("box-ceiling") > 0.5, "{told}");
    for method in ["partslip", "no-weights", "agreement", "agreement-boxes", "confidence"] {
        assert!(miou(method) > 0.5, "{method}: {told}");
        assert_eq!(of(method)["categories"]["Kettle"]["objects"], 2);
    }
    assert_ne!(of("agreement")["categories"], of("no-weights")["categories"]);
    let satr = ["satr", "satr-sp", "satr-knn", "satr-knn-sp"];
    for (i, method) in satr.into_iter().enumerate() {
        // What is no part, but lies under a box, gets one.
        assert!(miou(method) > 0.2, "{method}: {told}");
        assert!(of(method)["categories"]["Bottle"]["map50"].is_null(), "{method} finds no instances");
        for other in &satr[..i] {
            assert_ne!(of(method)["categories"], of(other)["categories"], "{method} and {other}");
        }
    }
    assert_eq!(told["objects"].as_array().unwrap().len(), 4);
    let out = example.root.path().join("out");
    let text = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert!(text("results.csv").lines().any(|line| line.starts_with("partslip,,Kettle,spout,2,")));
    assert!(
        text("results.md")
            .contains("| category | partslip | no-weights | agreement | agreement-boxes | confidence |")
    );
    let page = text("results.html");
    assert_eq!(page.matches("<figure>").count(), 4, "the best and the worst of two categories");
    assert!(page.contains("data:image/png") && !page.contains("{{"));
    assert!(page.contains("every superpoint has its most frequent true label"), "a legend");

    // Weights of one category: the other keeps those of agreement, and that is said.
    let more = ["--category", "Kettle", "--splits", "train,test"];
    example.json("prepare", "prepared", &more);
    let path = |name: &str| example.root.path().join(name).display().to_string();
    let train = |more: &[&str]| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
        run.args(["train", &path("prepared"), "--category", "Kettle", "-o", &path("weights"), "--json"]);
        let output = run.args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let trained = train(&["--epochs", "4", "--folds", "0"]);
    assert_eq!(
        (&trained["categories"][0]["train"], &trained["categories"][0]["val"]),
        (&1.into(), &0.into())
    );
    assert!(trained["categories"][0]["unlearned_miou"].as_f64().unwrap() > 0.5);
    let files: Vec<bool> = ["safetensors", "csv", "svg"]
        .iter()
        .map(|end| Path::new(&path(&format!("weights/Kettle.{end}"))).exists())
        .collect();
    assert_eq!(files, [true; 3]);
    let learned = example.json(
        "evaluate",
        "learned",
        &["--weights", &path("weights"), "--method", "partstad,agreement"],
    );
    let figures = |run: usize, category: &str| learned["figures"][run]["categories"][category].clone();
    assert_eq!(learned["figures"][0]["unlearned"], serde_json::json!(["Bottle"]));
    let notes = fs::read_to_string(path("learned/results.md")).unwrap();
    assert!(notes.contains("without learned weights, and so with those of agreement: Bottle."), "{notes}");
    assert_eq!(figures(0, "Bottle"), figures(1, "Bottle"));
    assert_ne!(figures(0, "Kettle"), figures(1, "Kettle"));

    // One file, for its category alone.
    let file = path("weights/Kettle.safetensors");
    let of_file = ["--weights", &file, "--category", "Kettle", "--method", "partstad"];
    assert_eq!(
        example.json("evaluate", "learned", &of_file)["figures"][0]["categories"]["Kettle"],
        figures(0, "Kettle")
    );
    for (weights, why) in [(&file, "for one category"), (&path("nowhere"), "no such file")] {
        let (code, _, error) = example.run("evaluate", "learned", &["--weights", weights]);
        assert!(code == Some(1) && error.contains(why), "{error}");
    }

    // One network for both categories; each file names its own parts.
    example.json("prepare", "shared", &["--category", "Bottle,Kettle", "--splits", "train,test"]);
    fs::create_dir_all(path("shared/train/Bottle")).unwrap();
    let name = "Bottle/2000010.safetensors";
    fs::rename(path(&format!("shared/test/{name}")), path(&format!("shared/train/{name}"))).unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
    run.args(["train", &path("shared"), "--all-categories", "--shared", "--epochs", "3", "--folds", "0"]);
    assert!(run.args(["-o", &path("shared/weights")]).output().unwrap().status.success());
    let read = |category: &str| {
        Checkpoint::read(path(&format!("shared/weights/{category}.safetensors")).as_ref()).unwrap()
    };
    let (bottle, kettle) = (read("Bottle"), read("Kettle"));
    assert_eq!(bottle.network, kettle.network);
    assert_ne!(
        kettle.network,
        Checkpoint::read(path("weights/Kettle.safetensors").as_ref()).unwrap().network
    );
    assert_eq!((bottle.parts, kettle.parts.len()), (vec!["lid".to_string()], 3));

    // In three epochs nothing is won, so that the weights of before go aside.
    let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
    run.args(["train", &path("shared"), "--all-categories", "--shared", "--epochs", "3", "--json"]);
    let output = run.args(["-o", &path("shared/weights")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = &told["categories"][0];
    assert_eq!((&told["out"], &told["folds"]["shapes"]), (&Value::Null, &2.into()));
    let there = |file: &str| Path::new(&path(&format!("shared/weights/{file}"))).exists();
    assert!(!there("Bottle.safetensors") && !there("Kettle.safetensors") && there("shared.folds.csv"));
    assert!(there("Bottle.safetensors.old") && there("Kettle.safetensors.old") && !there("shared.csv"));

    let cloud = example.data().join("test/Bottle/2000010/pc.ply");
    fs::write(&cloud, "not a cloud").unwrap();
    let (code, table, error) = example.run("evaluate", "again", &["--method", "no-weights"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("2000010") && error.contains("1 of 4 objects failed"), "{error}");
    assert!(table.contains("Kettle") && table.contains("no figure: test/Bottle/2000010"), "{table}");

    let (code, _, error) = example.run("evaluate", "again", &["--method", "partstad"]);
    assert!(code == Some(1) && error.contains("--weights"), "{error}");
}

#[test]
fn without_masks_the_boxes_methods_are_compared() {
    let example = Example::new();
    for split in ["train", "test"] {
        for object in Dataset::open(&example.data()).unwrap().objects(split).unwrap() {
            fs::remove_file(example.predictions().join(object.place()).join("masks.npz")).unwrap();
        }
    }
    let told = example.json("evaluate", "out", &["--compare"]);
    let methods: Vec<&str> =
        told["figures"].as_array().unwrap().iter().map(|f| f["run"]["method"].as_str().unwrap()).collect();
    let satr = ["satr", "satr-sp", "satr-knn", "satr-knn-sp"];
    assert_eq!(methods, [&["partslip", "agreement-boxes"][..], &satr, &["box-ceiling", "ceiling"]].concat());
    let boxes = ["sam3d-boxes", "sam3d-boxes-voxels", "sam3d-boxes-voxels-0.02"];
    assert_eq!(
        told["without_masks"],
        serde_json::json!([&["no-weights", "agreement", "confidence"][..], &boxes].concat())
    );
    let regions = ["sam3d", "sam3d-voxels", "sam3d-voxels-0.02", "unnamed"];
    assert_eq!(told["without_regions"], serde_json::json!(regions));
    let notes = fs::read_to_string(example.root.path().join("out/results.md")).unwrap();
    assert!(notes.contains("have no masks: no-weights, agreement, confidence"), "{notes}");
}

/// Regions made from the truth are found again, and have no labels; the masks of boxes are something else.
#[test]
fn sam3d_finds_instances_without_labels() {
    let example = Example::new();
    let data = Dataset::open(&example.data()).unwrap();
    for object in data.objects("test").unwrap() {
        let (points, truth) = object.read(data.parts[&object.category].len()).unwrap();
        let views = Views::render(&Device::Cpu, &Cloud::new(&points).unwrap(), &Default::default()).unwrap();
        let region = |&point: &i32| usize::try_from(point).map_or(-1, |point| truth.instance[point]);
        let of_pixel = views.pixel_to_point.host().unwrap().iter().map(region).collect();
        let path = example.predictions().join(object.place()).join("regions.npz");
        Regions::new(of_pixel, views.side).unwrap().write(&path).unwrap();
    }
    let told = example.json("evaluate", "out", &["--compare"]);
    let of = |method: &str| {
        let all = told["figures"].as_array().unwrap();
        all.iter().find(|f| f["run"]["method"] == method).unwrap_or_else(|| panic!("{method}"))
    };
    let agnostic = |method: &str| of(method)["categories"]["Kettle"]["map50_agnostic"].as_f64().unwrap();
    for method in ["sam3d", "sam3d-voxels", "sam3d-voxels-0.02", "sam3d-boxes", "sam3d-boxes-voxels"] {
        let kettle = &of(method)["categories"]["Kettle"];
        assert!(kettle["miou"].is_null() && kettle["map50"].is_null(), "{method}: {kettle}");
        assert_eq!(kettle["iou"].as_array().unwrap().iter().filter(|iou| !iou.is_null()).count(), 0);
        assert!(agnostic(method) > 0.0, "{method}: {kettle}");
    }
    assert!(agnostic("sam3d") > 0.9, "{}", agnostic("sam3d"));
    assert!(agnostic("sam3d") > agnostic("sam3d-boxes"));
    assert_eq!(told["unlabelled"], serde_json::json!([]));
    assert!(told["objects"][0]["miou"].as_array().unwrap().iter().any(Value::is_null));

    // Alone it has a page too, and parts are not taken to be missing.
    let alone = example.json("evaluate", "alone", &["--method", "sam3d"]);
    assert_eq!(alone["unlabelled"], serde_json::json!([]));

    let (code, text, error) = example.run("evaluate", "paper", &["--table", "paper"]);
    assert_eq!(code, Some(0), "{error}");
    for said in
        ["Table 1: mIoU", "SATR+SP", "SAM3D", "58.0", "Missing categories: Box", "Missing rows", "PartSTAD"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let file = |name: &str| fs::read_to_string(example.root.path().join("paper").join(name)).unwrap();
    let tables = file("tables.csv");
    assert!(tables.lines().any(|line| line.starts_with("3,sam3d,,,")), "{tables}");
    assert!(tables.lines().any(|line| line.starts_with("1,partslip,Kettle,spout,")), "{tables}");
    assert!(!tables.contains("1,sam3d,"), "{tables}");
    let shown = ["the cloud", "the ground truth", "SATR", "SATR+SP", "SAM3D", "SAM3D (boxes)", "PartSLIP"];
    for what in shown {
        assert!(file("results.html").contains(&format!("alt=\"{what}\"")), "{what}");
    }
    assert!(file("results.md").contains("## Is the paper's order seen?"));
}
