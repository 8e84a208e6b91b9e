//! Clouds and predictions to samples: what is made anew, and what is left out.

use super::Example;
use partstad::{
    io::{ply, points::PointCloud},
    stages::cloud::Up,
    study::{dataset::Dataset, prepare::noticed, sample::Sample},
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

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
    fs::remove_file(out.join("train/Kettle/2000000.safetensors")).unwrap();
    assert_eq!(example.json("prepare", "prepared", &more)["kept"], 2, "one is made again");

    // One of them goes to the test, and another's sample is of no shape here.
    let go = |from: &str, to: &str| {
        for root in [example.data(), example.predictions()] {
            let at = |split: &str| root.join(split).join("Kettle/2000000");
            fs::rename(at(from), at(to)).unwrap();
        }
    };
    go("train", "test");
    for kind in ["", "no-sam"] {
        fs::copy(
            out.join(kind).join("train/Kettle/2000000.safetensors"),
            out.join(kind).join("train/Kettle/x.safetensors"),
        )
        .unwrap();
    }
    let told = example.json("prepare", "prepared", &more)["warnings"].to_string();
    assert!(told.contains("Renamed to .old, as their shapes are in another split now: "), "{told}");
    assert!(
        told.contains("Of no shape of this data, ") && told.contains("no-sam/train/Kettle/x.safetensors"),
        "{told}"
    );
    for kind in ["", "no-sam"] {
        let there = |place: &str| out.join(kind).join(place).with_added_extension("safetensors").exists();
        let places = ["train/Kettle/2000000", "test/Kettle/2000000", "train/Kettle/x"];
        assert_eq!(places.map(there), [false, true, true]);
    }

    go("test", "train");
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
