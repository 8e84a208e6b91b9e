//! The files that commands write.

use super::{BOXES, CLOUD, PARTS, POINTS, SUPERPOINTS, done, fails, json};
use partstad::{
    io::{npy, points::PointCloud},
    stages::{
        checkpoint::Checkpoint,
        network::{Basis, Network},
    },
};
use std::{fs, path::Path};

/// NumPy's header, which says the type and shape.
fn header(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&bytes[10..128]).trim_end().to_string()
}

#[test]
fn render_writes_the_views() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/b");
    let views = dir.path().join("views.json");
    fs::write(&views, r#"{"poses": [{"elevation": 10, "azimuth": 0}, {"elevation": 0, "azimuth": 90, "distance": 3}], "side": 100}"#).unwrap();
    let told =
        json(&["render", CLOUD, "-o", out.to_str().unwrap(), "--views", views.to_str().unwrap(), "--json"]);
    assert_eq!((&told["points"], &told["views"]), (&POINTS.into(), &2.into()));
    assert!(
        header(&out.join("pixel_to_point.npy"))
            .contains("'<i4', 'fortran_order': False, 'shape': (2, 100, 100,)")
    );
    assert!(
        header(&out.join("screen.npy"))
            .contains(&format!("'<f4', 'fortran_order': False, 'shape': (2, {POINTS}, 2,)"))
    );
    let cameras: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("cameras.json")).unwrap()).unwrap();
    assert_eq!(cameras.as_array().unwrap().len(), 2);
    for image in ["0.png", "1.png"] {
        assert_eq!(fs::read(out.join(image)).unwrap()[1..4], *b"PNG");
    }
}

#[test]
fn superpoints_cover_the_cloud() {
    let dir = tempfile::tempdir().unwrap();
    let (npy_path, ply_path) = (dir.path().join("sp.npy"), dir.path().join("sp.ply"));
    let (out, ply) = (npy_path.to_str().unwrap(), ply_path.to_str().unwrap());
    let told = json(&["superpoints", CLOUD, "-o", out, "--ply", ply, "--json"]);
    let of_point = npy::read::<i32>(&npy_path).unwrap();
    assert_eq!(of_point.shape, [POINTS]);
    let count = told["superpoints"].as_i64().unwrap();
    assert_eq!(of_point.data.iter().max().map(|&s| i64::from(s) + 1), Some(count));
    assert_eq!(
        PointCloud::read(&ply_path).unwrap().positions,
        PointCloud::read(CLOUD.as_ref()).unwrap().positions
    );
}

#[test]
fn meshes_are_sampled_and_their_faces_labelled() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let mesh = "v -1 -1 0 1 0 0\nv 1 -1 0 0 1 0\nv 1 1 0 0 0 1\nv -1 1 0 1 1 0\nf 1 2 3 4\nf 4 3 2 1\n";
    fs::write(path("a.obj"), mesh).unwrap();
    let corner = r#"[{"image_id": 0, "category_id": 1, "bbox": [0, 0, 400, 400], "score": 0.9}]"#;
    fs::write(path("pred.json"), corner).unwrap();
    let (obj, out) = (path("a.obj"), path("out"));
    let few = ["--points", "3000", "--seed", "7", "--json"];
    let rendered = json(&[&["render", &obj, "-o", &path("views")], &few[..]].concat());
    assert_eq!(
        rendered["options"]["mesh"],
        serde_json::json!({ "points": 3000, "seed": 7, "hidden": false })
    );
    assert_eq!(PointCloud::read(path("views/drawn-points.ply").as_ref()).unwrap().positions.len(), 3000);
    json(&["render", CLOUD, "-o", &path("views"), "--json"]);
    assert!(!dir.path().join("views/drawn-points.ply").exists(), "it is of the mesh");
    let boxes = path("pred.json");
    let told =
        json(&[&["lift", &obj, "--boxes", &boxes, "--parts", "corner", "-o", &out], &few[..]].concat());
    assert_eq!((&told["points"], &told["mesh"]["faces"]), (&3000.into(), &2.into()));
    assert_eq!(told["parameters"]["options"]["mesh"]["seed"], 7);
    let at = |name: &str| dir.path().join("out").join(name);
    for name in ["faces.npy", "face-instances.npy"] {
        assert!(header(&at(name)).contains("'shape': (2,)"), "{name}: {}", header(&at(name)));
    }
    assert!(fs::read(at("segmentation.glb")).unwrap().starts_with(b"glTF"));
    assert!(fs::read_to_string(at("parts.json")).unwrap().contains("\"faces\""));
    // The vertices as they are, and nothing left of the mesh.
    fs::write(
        path("a.ply"),
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\n\
         property uchar green\nproperty uchar blue\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n\
         -1 -1 0 255 0 0\n1 -1 0 0 255 0\n1 1 0 0 0 255\n-1 1 0 9 9 9\n4 0 1 2 3\n",
    )
    .unwrap();
    let ply = path("a.ply");
    let lift = ["lift", &ply, "--boxes", &boxes, "--parts", "corner", "-o", &out, "--json"];
    assert_eq!(json(&[&lift[..], &["--points", "0"]].concat())["points"], 4);
    assert!(!at("faces.npy").exists() && !at("segmentation.glb").exists() && at("parts.json").exists());
    assert_eq!(json(&[&lift[..], &["--points", "500"]].concat())["points"], 500);
    let error = fails(&["render", &obj, "-o", &path("views"), "--points", "0"], 1);
    assert!(error.contains("a.obj: is a mesh") && error.contains("give --points more than 0"), "{error}");
}

#[test]
fn lift_writes_everything_whatever_the_thread_count() {
    let dir = tempfile::tempdir().unwrap();
    let lift = |threads: &str| {
        let out = dir.path().join(threads);
        let told = json(&[
            "lift",
            CLOUD,
            "--boxes",
            BOXES,
            "--superpoints",
            SUPERPOINTS,
            "--parts",
            PARTS,
            "-o",
            out.to_str().unwrap(),
            "--threads",
            threads,
            "--json",
        ]);
        assert_eq!(told["parts"][3]["name"], "seat");
        assert!(told["parts"][3]["points"].as_u64().unwrap() > 0, "{told}");
        out
    };
    let (one, three) = (lift("1"), lift("3"));
    let superpoints = npy::read::<i32>(SUPERPOINTS.as_ref()).unwrap().data.into_iter().max().unwrap() + 1;
    for (name, wanted) in [
        ("labels.npy", format!("'<i4', 'fortran_order': False, 'shape': ({POINTS},)")),
        ("instances.npy", format!("'<i4', 'fortran_order': False, 'shape': ({POINTS},)")),
        ("superpoints.npy", format!("'<i4', 'fortran_order': False, 'shape': ({POINTS},)")),
        ("scores.npy", format!("'<f4', 'fortran_order': False, 'shape': ({superpoints}, 6,)")),
    ] {
        assert!(header(&one.join(name)).contains(&wanted), "{name}: {}", header(&one.join(name)));
    }
    for name in ["labels.npy", "instances.npy", "scores.npy", "boxes.json", "segmentation.ply"] {
        assert!(
            fs::read(one.join(name)).unwrap() == fs::read(three.join(name)).unwrap(),
            "{name} depends on the threads"
        );
    }
    let scores = npy::read::<f32>(&one.join("scores.npy")).unwrap().data;
    assert!(
        scores.as_chunks::<6>().0.iter().all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-4),
        "softmax"
    );

    let segmentation = fs::read(one.join("segmentation.ply")).unwrap();
    let header = String::from_utf8_lossy(&segmentation[..400]).into_owned();
    assert!(header.contains("property int label\nproperty int instance\nend_header"), "{header}");
    let run: serde_json::Value = serde_json::from_slice(&fs::read(one.join("run.json")).unwrap()).unwrap();
    for key in ["parts", "parameters", "seconds", "warnings", "instances"] {
        assert!(!run[key].is_null(), "run.json has no {key}");
    }
    assert!(run["seconds"]["memberships"].as_f64().unwrap() > 0.0);

    let report = fs::read_to_string(one.join("report.html")).unwrap();
    assert!(report.contains("\"title\":\"pc.ply\"") && !report.contains("{{"), "every placeholder is filled");
    for outside in ["http:", "https:", "src=\"", "@import", "fetch("] {
        assert!(!report.contains(outside), "report.html must need no network: {outside}");
    }
}

#[test]
fn boxes_that_cannot_vote_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (boxes, out) = (dir.path().join("boxes.json"), dir.path().join("out"));
    let mut list: Vec<serde_json::Value> = serde_json::from_slice(&fs::read(BOXES).unwrap()).unwrap();
    list.iter_mut().for_each(|entry| entry["score"] = 0.into());
    list[0]["bbox"][2] = 0.into();
    fs::write(&boxes, serde_json::to_vec(&list).unwrap()).unwrap();
    let run = json(&[
        "lift",
        CLOUD,
        "--boxes",
        boxes.to_str().unwrap(),
        "--parts",
        PARTS,
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    let warnings = run["warnings"].to_string();
    assert!(warnings.contains("1 box has no area, and so no vote."), "{warnings}");
    assert!(warnings.contains("boxes that weigh nothing: no score is above 0"), "{warnings}");
}

#[test]
fn points_in_no_instance_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let run =
        json(&["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", out.to_str().unwrap(), "--json"]);
    let [labels, instances] =
        ["labels.npy", "instances.npy"].map(|name| npy::read::<i32>(&out.join(name)).unwrap().data);
    let mut all = 0;
    for (part, j) in run["parts"].as_array().unwrap().iter().zip(0..) {
        let without = labels.iter().zip(&instances).filter(|&(&label, &instance)| label == j && instance < 0);
        let without = without.count();
        assert_eq!(part["without_instance"], without, "{part}");
        all += without;
    }
    assert!(all > 0, "a case that has some");
}

/// `lift` of the cloud with its boxes and their features, into `out`.
fn lift_with_features(out: &str) -> Vec<&str> {
    [
        ["lift", CLOUD, "--boxes", BOXES, "--superpoints", SUPERPOINTS, "--parts", PARTS].as_slice(),
        &["--features", "tests/fixtures/syn8k_d/box_feature.npy", "-o", out, "--json"],
    ]
    .concat()
}

#[test]
fn learned_weights_are_used_and_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let parts = PARTS.split(',').map(String::from).collect();
    let network = Network::initial(Basis::Constant, 403, 0.02, 1);
    let learned = Checkpoint { parts, epoch: 3, val_miou: 0.5, network };
    learned.write(Path::new(&place("Chair.safetensors"))).unwrap();

    let (folder, out) = (place(""), place("out"));
    let lift = [&lift_with_features(&out)[..], &["--weights", &folder]].concat();
    let told = json(&[&lift[..], &["--category", "Chair"]].concat());
    assert_eq!(told["parameters"]["options"]["labels"]["rule"], "threshold", "{told}");
    assert!(!told["warnings"].to_string().contains("safetensors"), "{told}");
    let told = json(&[&lift[..], &["--category", "Lamp"]].concat());
    assert_eq!(told["parameters"]["options"]["labels"]["rule"], "votes", "{told}");
    assert!(told["warnings"][0].as_str().unwrap().contains("Lamp.safetensors"), "{told}");
    assert!(fails(&lift, 1).contains("--category"));

    let (exported, imported) = (place("ckpt_003.tar"), place("again.safetensors"));
    done(&["weights", "export", &place("Chair.safetensors"), "-o", &exported]);
    done(&["weights", "import", &exported, "--category", "Chair", "-o", &imported]);
    let again = Checkpoint::read(Path::new(&imported)).unwrap();
    assert_eq!(again, Checkpoint { val_miou: 0.0, ..learned });
    let error = fails(&["weights", "import", CLOUD, "--parts", PARTS, "-o", &imported], 1);
    assert!(error.contains("pc.ply") && error.contains("PyTorch"), "{error}");
}

#[test]
fn weights_that_begin_from_agreement_are_agreement_until_they_learn() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let parts = PARTS.split(',').map(String::from).collect();
    let network = Network::initial(Basis::Agreement, 403, 0.0, 1);
    let (weights, out) = (place("Chair.safetensors"), place("out"));
    Checkpoint { parts, epoch: 1, val_miou: 0.5, network }.write(Path::new(&weights)).unwrap();
    let lift = lift_with_features(&out);
    let plain = json(&lift);
    let learned = json(&[&lift[..], &["--weights", &weights]].concat());
    for what in ["parts", "voting", "null_weight"] {
        assert_eq!(learned[what], plain[what], "{what}");
    }
    assert_eq!(learned["null_weight"], 3.5);
    assert!(learned["voting"].as_u64() < learned["boxes"].as_u64(), "{learned}");
    assert_eq!(learned["parameters"]["options"]["labels"]["rule"], "votes", "{learned}");
    let options = place("options.json");
    fs::write(&options, r#"{"weights": {"from": "constant", "null": 3.5}}"#).unwrap();
    let all_vote = json(&[&lift[..], &["--options", &options]].concat());
    assert_ne!(all_vote["parts"], plain["parts"]);
    let told = json(&[&lift[..], &["--options", &options, "--weights", &weights]].concat());
    assert_eq!(told["parts"], plain["parts"]);
    assert!(told["warnings"].to_string().contains("weights and labels.rule are not used"), "{told}");
    let bare = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--weights", &weights];
    assert!(fails(&bare, 1).contains("--features"));

    let error = fails(&["weights", "export", &weights, "-o", &place("ckpt.tar")], 1);
    assert!(error.contains("--basis constant"), "{error}");
}

#[test]
fn rows_that_are_no_points_stay_rows() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let cloud = "tests/fixtures/cases/20-nan-inf-rows/in.ply";
    fs::write(
        place("views.json"),
        r#"{"poses": [{"elevation": 10, "azimuth": 0}, {"elevation": 10, "azimuth": 90}], "side": 200}"#,
    )
    .unwrap();
    let (boxes, views, out) = ("tests/fixtures/cases/70-ref/pred.json", place("views.json"), place("out"));
    let lift = [
        "lift",
        cloud,
        "--boxes",
        boxes,
        "--views",
        &views,
        "--parts",
        "back . seat .",
        "-o",
        &out,
        "--json",
    ];
    let told = json(&lift);
    assert_eq!((&told["points"], &told["rows"]), (&1960.into(), &2000.into()));
    assert_eq!((&told["parts"][0]["name"], &told["parts"][1]["name"]), (&"back".into(), &"seat".into()));
    assert!(told["warnings"].to_string().contains("40 of 2000 rows are not finite"), "{told}");
    assert_eq!(told["parameters"]["options"]["cloud"]["up"], "y");
    for name in ["labels.npy", "instances.npy", "superpoints.npy"] {
        let array = npy::read::<i32>(&dir.path().join("out").join(name)).unwrap();
        assert_eq!((&array.shape[..], array.data[3], array.data[1953]), (&[2000][..], -1, -1), "{name}");
    }
    let labels = npy::read::<i32>(&dir.path().join("out/labels.npy")).unwrap().data;
    assert!(labels.iter().any(|&label| label >= 0));
    // What was written is read again.
    let superpoints = place("out/superpoints.npy");
    let again = place("again");
    let lift = lift.map(|arg| if arg == out { &again } else { arg });
    assert_eq!(
        json(&[&lift[..], &["--superpoints", &superpoints]].concat())["superpoints"],
        told["superpoints"]
    );
    let told = json(&["render", cloud, "--views", &views, "-o", &place("views"), "--up", "-y", "--json"]);
    assert_eq!(told["options"]["cloud"]["up"], "-y");
    let shown = npy::read::<i32>(&dir.path().join("views/pixel_to_point.npy")).unwrap().data;
    assert!(shown.contains(&1999) && !shown.contains(&3), "rows of the file");
}

#[test]
fn the_box_of_an_instance_leaves_out_rows_far_off() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    let view = |azimuth| format!(r#"{{"elevation": 10, "azimuth": {azimuth}}}"#);
    let views = format!(r#"{{"poses": [{}, {}], "side": 200, "radius": 0.02}}"#, view(0), view(90));
    fs::write(place("views.json"), views).unwrap();
    let one =
        |view| format!(r#"{{"image_id": {view}, "category_id": 1, "bbox": [60, 45, 80, 60], "score": 0.9}}"#);
    fs::write(place("boxes.json"), format!("[{}, {}]", one(0), one(1))).unwrap();
    let (boxes, views, out) = (place("boxes.json"), place("views.json"), place("out"));
    let cloud = "tests/fixtures/cases/83-one-far-outlier/in.ply";
    done(&["lift", cloud, "--boxes", &boxes, "--views", &views, "--parts", "back", "-o", &out]);
    let read = |name: &str| fs::read(dir.path().join("out").join(name)).unwrap();
    let parts: serde_json::Value = serde_json::from_slice(&read("parts.json")).unwrap();
    let found = &parts["parts"][0]["instances"][0];
    let labels = npy::read::<i32>(&dir.path().join("out/labels.npy")).unwrap().data;
    assert_eq!(labels[2000], 0, "the far row has the part of the nearest point");
    for corner in ["min", "max"] {
        let place: Vec<f64> = serde_json::from_value(found["box"][corner].clone()).unwrap();
        assert!(place.iter().all(|x| x.abs() < 2.0), "{corner}: {place:?}");
    }
}
