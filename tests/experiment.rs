//! Preparing and evaluating labelled data, as the commands' users meet it.
#![cfg(all(feature = "cli", feature = "ort"))]

use partstad::{
    Device,
    io::{npy, ply, points::PointCloud},
    sam3d::Regions,
    stages::{
        checkpoint::Checkpoint,
        cloud::{Cloud, Up},
        views::Views,
    },
    study::{
        dataset::Dataset,
        prepare::{Predictor, Preparer, noticed, write_predictions},
        sample::Sample,
    },
};
use procedural::{
    clouds::{self, Split},
    predictions,
};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

/// Five small shapes, and predictions made from their truth.
struct Example {
    root: tempfile::TempDir,
}

impl Example {
    fn new() -> Example {
        let example = Example { root: tempfile::tempdir().unwrap() };
        let split = |name, shapes, seed| Split { name, shapes, seed };
        let splits = [split("train", 1, 2_000_000), split("test", 2, 2_000_010)];
        clouds::write(&example.data(), &["Kettle"], &splits, 6000).unwrap();
        clouds::write(&example.data(), &["Bottle", "Kettle"], &splits[1..], 6000).unwrap();
        let data = Dataset::open(&example.data()).unwrap();
        for object in ["train", "test"].iter().flat_map(|split| data.objects(split).unwrap()) {
            let labels = data.parts[&object.category].len();
            let (points, truth) = object.read(labels).unwrap();
            let views =
                Views::render(&Device::Cpu, &Cloud::new(&points).unwrap(), &Default::default()).unwrap();
            let faults = predictions::Options::default();
            let (boxes, masks) =
                predictions::predict(&views, &truth.semantic, &truth.instance, labels, 1, &faults);
            write_predictions(&example.predictions().join(object.place()), &boxes, &masks, views.side)
                .unwrap();
        }
        example
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn predictions(&self) -> PathBuf {
        self.root.path().join("predictions")
    }

    /// Runs a command on the data with the predictions, to `out`: exit code, standard output, standard error.
    fn run(&self, command: &str, out: &str, more: &[&str]) -> (Option<i32>, String, String) {
        let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
        run.arg(command).arg(self.data()).arg("--predictions").arg(self.predictions()).args(more);
        let output = run.arg("-o").arg(self.root.path().join(out)).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    fn json(&self, command: &str, out: &str, more: &[&str]) -> Value {
        let (code, told, error) = self.run(command, out, &[more, &["--json"]].concat());
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str(&told).unwrap()
    }

    fn preparer(&self, folder: &Path, change: impl Fn(&mut partstad::pipeline::Options)) -> Preparer {
        let mut options = partstad::pipeline::Options::default();
        change(&mut options);
        let predictor = Predictor::Folder(self.predictions());
        Preparer::new(Device::Cpu, options, predictor, Some(folder.to_path_buf())).unwrap()
    }
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Sets a file's time back, so that it is told from a new one where times are kept in seconds.
fn aged(path: &Path) -> SystemTime {
    let earlier = SystemTime::now() - Duration::from_secs(100);
    fs::File::options().write(true).open(path).unwrap().set_modified(earlier).unwrap();
    modified(path)
}

#[test]
fn prepare_writes_samples_and_keeps_them() {
    let example = Example::new();
    let more = ["--category", "Kettle", "--splits", "train,test"];
    let told = example.json("prepare", "prepared", &more);
    assert_eq!((told["shapes"].as_array().unwrap().len(), &told["kept"]), (3, &0.into()));
    let out = example.root.path().join("prepared");
    let masks = Sample::read(&out.join("train/Kettle/2000000.safetensors")).unwrap();
    let boxes = Sample::read(&out.join("no-sam/train/Kettle/2000000.safetensors")).unwrap();
    assert_eq!(masks.parts, ["lid", "handle", "spout"]);
    assert_eq!((masks.len(), masks.boxes.len()), (boxes.len(), boxes.boxes.len()));
    assert_ne!(masks.sets, boxes.sets);
    assert!(told["bytes"].as_u64().unwrap() / 3 < 1_000_000, "a few hundred kilobytes a shape: {told}");
    assert_eq!(example.json("prepare", "prepared", &more)["kept"], 3);

    let (code, _, error) = example.run("prepare", "prepared", &["--category", "Chair"]);
    assert!(code == Some(1) && error.contains("Kettle"), "{error}");
    let (code, _, error) = example.run("prepare", "prepared", &["--all-categories"]);
    assert!(code == Some(0) && error.contains("no cloud in the split val"), "{error}");
}

#[test]
fn a_change_invalidates_only_what_depends_on_it() {
    let example = Example::new();
    let data = Dataset::open(&example.data()).unwrap();
    let object = &data.objects("train").unwrap()[0];
    let parts = &data.parts["Kettle"];
    let folder = example.root.path().join("prepared");
    let made = example.preparer(&folder, |_| ()).samples(object, parts).unwrap();
    assert!(!made.kept && made.samples.len() == 2);
    let first = Sample::read(&made.samples[0]).unwrap();
    let superpoints = folder.join("shapes").join(object.place()).join("superpoints.npy");
    let time = aged(&superpoints);

    // What only labelling depends on changes nothing here.
    let labelling = |o: &mut partstad::pipeline::Options| o.instances.max_gap = 0.5;
    assert!(example.preparer(&folder, labelling).samples(object, parts).unwrap().kept);

    // Another rule for memberships: new samples from the old superpoints.
    let memberships = |o: &mut partstad::pipeline::Options| o.memberships.whole_object_share = 0.5;
    assert!(!example.preparer(&folder, memberships).samples(object, parts).unwrap().kept);
    assert_eq!(modified(&superpoints), time);

    // Back again: from superpoints on disk the same sample comes, but for its hash.
    assert!(!example.preparer(&folder, |_| ()).samples(object, parts).unwrap().kept);
    assert_eq!((Sample::read(&made.samples[0]).unwrap(), modified(&superpoints)), (first.clone(), time));

    // Cut by the masks: more superpoints where masks vote, the same where boxes do.
    let cut = |o: &mut partstad::pipeline::Options| (o.evidence.border, o.evidence.small) = (0.01, 0);
    let boxes = Sample::read(&made.samples[1]).unwrap();
    assert!(!example.preparer(&folder, cut).samples(object, parts).unwrap().kept);
    assert!(Sample::read(&made.samples[0]).unwrap().len() > first.len());
    assert_eq!(Sample::read(&made.samples[1]).unwrap(), boxes);

    let coarser = |o: &mut partstad::pipeline::Options| o.superpoints.lambda *= 4.0;
    assert!(!example.preparer(&folder, coarser).samples(object, parts).unwrap().kept);
    assert_ne!(modified(&superpoints), time);

    // Another way up changes all.
    let turned = |o: &mut partstad::pipeline::Options| {
        coarser(o);
        o.cloud.up = Up::X;
    };
    let time = aged(&superpoints);
    assert!(!example.preparer(&folder, turned).samples(object, parts).unwrap().kept);
    assert_ne!(modified(&superpoints), time);

    // One box less.
    let path = example.predictions().join(object.place());
    let mut boxes: Vec<Value> = serde_json::from_slice(&fs::read(path.join("pred.json")).unwrap()).unwrap();
    boxes.pop();
    fs::write(path.join("pred.json"), Value::from(boxes).to_string()).unwrap();
    let error = example.preparer(&folder, coarser).samples(object, parts).unwrap_err().to_string();
    assert!(error.contains("features.npy"), "{error}");
}

#[test]
fn labelled_clouds_may_lie_on_their_backs_and_have_no_colours() {
    let example = Example::new();
    let evaluate = |out: &str, more: &[&str]| {
        let common = ["--method", "no-weights", "--category", "Kettle"];
        example.json("evaluate", out, &[&common[..], more].concat())["figures"][0]["categories"].clone()
    };
    let upright = evaluate("upright", &[]);
    let data = Dataset::open(&example.data()).unwrap();
    let objects = || ["train", "test"].into_iter().flat_map(|split| data.objects(split).unwrap());
    for object in objects() {
        let mut points = PointCloud::read(&object.cloud).unwrap();
        points.positions.iter_mut().for_each(|[_, y, z]| (*y, *z) = (-*z, *y));
        ply::write(&object.cloud, &points, &[]).unwrap();
    }
    assert_ne!(evaluate("lying", &[]), upright);
    assert_eq!(evaluate("turned", &["--up", "z"]), upright);

    for object in objects() {
        let points = PointCloud::read(&object.cloud).unwrap();
        let rows: String = points.positions.iter().map(|[x, y, z]| format!("{x} {y} {z}\n")).collect();
        let header = format!("ply\nformat ascii 1.0\nelement vertex {}\n", points.len());
        let axes = "property double x\nproperty double y\nproperty double z\nend_header\n";
        fs::write(&object.cloud, header + axes + &rows).unwrap();
    }
    let prepare = |more: &[&str]| {
        let common = ["--category", "Kettle", "--splits", "train,test"];
        example.run("prepare", "prepared", &[&common[..], more].concat())
    };
    let (code, _, error) = prepare(&["--up", "z"]);
    assert!(code == Some(1) && error.contains("take greys (--grey)"), "{error}");
    let kept = |more: &[&str]| {
        let (code, told, error) = prepare(&[more, &["--json"]].concat());
        assert_eq!(code, Some(0), "{error}");
        serde_json::from_str::<Value>(&told).unwrap()["kept"].clone()
    };
    assert_eq!(kept(&["--up", "z", "--grey"]), 0);
    assert_eq!(kept(&["--up", "z", "--grey"]), 3);
    assert_eq!(kept(&["--grey"]), 0, "another way up");
    let grey = evaluate("grey", &["--up", "z", "--grey"]);
    assert!(grey["Kettle"]["miou"].as_f64().unwrap() > 0.2, "{grey}");
}

#[test]
fn rows_of_labelled_clouds_that_are_no_points_are_left_out() {
    let example = Example::new();
    let data = Dataset::open(&example.data()).unwrap();
    let object = &data.objects("train").unwrap()[0];
    let parts = &data.parts["Kettle"];
    let mut points = PointCloud::read(&object.cloud).unwrap();
    (points.positions[5], points.positions[7]) = ([f64::NAN; 3], [900.0; 3]);
    ply::write(&object.cloud, &points, &[]).unwrap();
    let preparer = example.preparer(&example.root.path().join("prepared"), |_| ());
    let made = preparer.samples(object, parts).unwrap();
    let [not_finite, far] = &made.warnings[..] else { panic!("{:?}", made.warnings) };
    assert!(not_finite.contains("1 of 6000 rows are not finite"), "{not_finite}");
    assert!(far.contains("1 of 6000 rows lie far off"), "{far}");
    let shape = preparer.shape(object, parts).unwrap();
    let truth = &shape.truth;
    assert_eq!([shape.scene.cloud.len(), truth.semantic.len(), truth.instance.len()], [5998; 3]);
    assert_eq!(Sample::read(&made.samples[0]).unwrap().targets.sizes.iter().sum::<u32>(), 5998);
    let told = example.json("evaluate", "out", &["--splits", "train", "--method", "no-weights"]);
    assert_eq!(told["objects"][0]["warnings"][1], far.as_str());
    let notes = fs::read_to_string(example.root.path().join("out/results.md")).unwrap();
    assert!(notes.contains(&format!("- train/Kettle/2000000: {far}")), "{notes}");
}

#[test]
fn what_is_noticed_of_several_clouds_is_said_once() {
    let [white, far] = ["white", "far"].map(String::from);
    let all = [("a", vec![white.clone()]), ("b", vec![white, far]), ("c", vec![])];
    let found = noticed(all.iter().map(|(place, warnings)| (Path::new(place), &warnings[..])));
    assert_eq!(found, ["a and 1 more: white", "b: far"]);
}

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
    for method in ["partslip", "no-weights", "confidence"] {
        assert!(miou(method) > 0.5, "{method}: {told}");
        assert_eq!(of(method)["categories"]["Kettle"]["objects"], 2);
    }
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
    assert!(text("results.md").contains("| category | partslip | no-weights | confidence |"));
    let page = text("results.html");
    assert_eq!(page.matches("<figure>").count(), 4, "the best and the worst of two categories");
    assert!(page.contains("data:image/png") && !page.contains("{{"));
    assert!(page.contains("every superpoint has its most frequent true label"), "a legend");

    // Weights of one category: the other keeps the constant ones, and that is said.
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
    assert!(trained["categories"][0]["constant_miou"].as_f64().unwrap() > 0.5);
    let files: Vec<bool> = ["safetensors", "csv", "svg"]
        .iter()
        .map(|end| Path::new(&path(&format!("weights/Kettle.{end}"))).exists())
        .collect();
    assert_eq!(files, [true; 3]);
    let learned = example.json(
        "evaluate",
        "learned",
        &["--weights", &path("weights"), "--method", "partstad,no-weights"],
    );
    let figures = |run: usize, category: &str| learned["figures"][run]["categories"][category].clone();
    assert_eq!(learned["figures"][0]["constant"], serde_json::json!(["Bottle"]));
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

    // In three epochs nothing is won, so that the weights of before go.
    let mut run = Command::new(env!("CARGO_BIN_EXE_partstad"));
    run.args(["train", &path("shared"), "--all-categories", "--shared", "--epochs", "3", "--json"]);
    let output = run.args(["-o", &path("shared/weights")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = &told["categories"][0];
    assert_eq!((&told["out"], &told["folds"]["shapes"]), (&Value::Null, &2.into()));
    let there = |file: &str| Path::new(&path(&format!("shared/weights/{file}"))).exists();
    assert!(!there("Bottle.safetensors") && !there("Kettle.safetensors") && there("shared.folds.csv"));

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
    assert_eq!(methods, [&["partslip"][..], &satr, &["box-ceiling", "ceiling"]].concat());
    let boxes = ["sam3d-boxes", "sam3d-boxes-voxels", "sam3d-boxes-voxels-0.02"];
    assert_eq!(
        told["without_masks"],
        serde_json::json!([&["no-weights", "confidence"][..], &boxes].concat())
    );
    let regions = ["sam3d", "sam3d-voxels", "sam3d-voxels-0.02"];
    assert_eq!(told["without_regions"], serde_json::json!(regions));
    let notes = fs::read_to_string(example.root.path().join("out/results.md")).unwrap();
    assert!(notes.contains("have no masks: no-weights, confidence"), "{notes}");
}

/// Clouds of a new category, labels in files beside them, no split: listed, checked, prepared, trained on, measured.
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
    let run = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_partstad")).args(args).current_dir(example.root.path()).output();
        let output = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
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
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_partstad")).args(args).current_dir(root).output();
        let output = output.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
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
