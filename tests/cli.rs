//! The command as its users meet it: help, exit codes, files and messages.
#![cfg(feature = "cli")]

use partstad::{
    io::{npy, points::PointCloud},
    stages::checkpoint::Checkpoint,
    stages::network::Network,
};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const CLOUD: &str = "tests/fixtures/syn8k_d/pc.ply";
const BOXES: &str = "tests/fixtures/syn8k_d/pred.json";
const SUPERPOINTS: &str = "tests/fixtures/syn8k_d/superpoint_label.npy";
const PARTS: &str = "arm,back,leg,seat,wheel";
const POINTS: usize = 8000;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_partstad")).args(args).output().unwrap()
}

/// Standard output of a run that must succeed.
fn done(args: &[&str]) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that must end with `code`.
fn fails(args: &[&str], code: i32) -> String {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn json(args: &[&str]) -> serde_json::Value {
    let output = done(args);
    assert_eq!(output.lines().count(), 1, "one line of JSON: {output}");
    serde_json::from_str(&output).unwrap()
}

/// NumPy's header, which says the type and shape.
fn header(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    String::from_utf8_lossy(&bytes[10..128]).trim_end().to_string()
}

#[test]
fn every_command_explains_itself() {
    let commands =
        ["demo", "segment", "lift", "render", "superpoints", "prepare", "train", "evaluate", "info"];
    let overview = done(&["--help"]);
    for command in commands.iter().filter(|_| cfg!(feature = "ort")) {
        assert!(overview.contains(command), "{overview}");
        let help = done(&[command, "--help"]);
        assert!(help.contains("Example") && help.contains("Usage: partstad"), "{help}");
    }
    assert!(overview.contains("Exit codes: 0"));
    assert!(done(&["--version"]).starts_with("partstad "));
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &[][..],
        &["paint"],
        &["render", CLOUD],
        &["lift", CLOUD, "--boxes", BOXES, "-o", "nowhere"],
        &["lift", CLOUD, "--boxes", BOXES, "--parts", "leg,Leg", "-o", "nowhere"],
        &["dataset", "init", "nowhere", "--parts", "leg,,seat"],
        &["render", CLOUD, "-o", "nowhere", "--threads", "0"],
        &["render", CLOUD, "-o", "nowhere", "--color"],
        &["prepare", "nowhere", "-o", "nowhere"],
        &["train", "nowhere", "-o", "nowhere"],
        &["evaluate", "nowhere", "--method", "best", "-o", "nowhere"],
    ] {
        fails(args, 2);
    }
    assert!(!Path::new("nowhere").exists());
    let unnamed = fails(&["lift", CLOUD, "--boxes", BOXES, "--parts", "", "-o", "nowhere"], 2);
    assert!(unnamed.contains("error: --parts: part name 0 is empty"), "{unnamed}");
}

#[test]
fn failures_exit_with_1_and_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let out = dir.path().join("out").display().to_string();
    let whole = fs::read(CLOUD).unwrap();
    let clouds = [
        ("missing.ply".to_string(), "No such file"),
        (file("cut.ply", &whole[..whole.len() - 5]), "truncated"),
        (file("empty.ply", b""), "not a PLY file"),
        (file("cloud.obj", b"v 0 0 0"), "holds no faces"),
        (file("cloud.fbx", b""), "meshes from .glb, .gltf, .obj, .ply and .stl files; convert"),
        (file("cloud.xyz", b"0 0 0"), "--grey"),
        (file("one.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\nend_header\nnan 0 0 1 2 3\n"), "none of the 1 points is finite"),
    ];
    for (path, words) in &clouds {
        for args in [&["render", path, "-o", &out][..], &["superpoints", path, "-o", &out]] {
            let error = fails(args, 1);
            assert!(
                error.starts_with("error: ") && error.contains(path.as_str()) && error.contains(words),
                "{error}"
            );
        }
    }
    let folder = dir.path().display().to_string();
    for args in [
        &["render", &folder, "-o", &out][..],
        &["superpoints", &folder, "-o", &out],
        &["lift", &folder, "--boxes", BOXES, "--parts", PARTS, "-o", &out],
    ] {
        let error = fails(args, 1);
        assert!(error.contains("is a folder: name one cloud; `partstad batch` takes folders"), "{error}");
    }
    let (taken, one) =
        (file("taken", b""), file("one.json", br#"{"poses": [{"elevation": 0, "azimuth": 0}]}"#));
    let error = fails(&["render", CLOUD, "--views", &one, "-o", &taken], 1);
    assert!(error.contains("taken: is a file; name a folder to write to"), "{error}");
    let lift = |boxes: &str| fails(&["lift", CLOUD, "--boxes", boxes, "--parts", PARTS, "-o", &out], 1);
    assert!(lift(&file("text.json", b"boxes")).contains("text.json"));
    let outside = br#"[{"image_id": 10, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]"#;
    assert!(lift(&file("outside.json", outside)).contains("image_id is 10"));
    let views = file("views.json", br#"{"pose": []}"#);
    assert!(fails(&["render", CLOUD, "-o", &out, "--views", &views], 1).contains("unknown field `pose`"));
    let options = |json: &[u8]| {
        let path = file("options.json", json);
        let lift = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--options", &path];
        let error = fails(&lift, 1);
        assert!(error.contains(&path), "{error}");
        error
    };
    assert!(
        options(br#"{"views": {"side": 0}}"#).contains("option views.side is 0; it must be from 1 to 8192")
    );
    assert!(options(b"[]").contains("not pipeline options: give an object"));
    let device = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--device", "tpu"];
    assert!(fails(&device, 1).contains("tpu"));
}

#[cfg(feature = "small-models")]
#[test]
fn what_computes_the_models_is_checked() {
    let with = |option: &'static str, value: &'static str| {
        fails(&["segment", CLOUD, "--parts", PARTS, "-o", "nowhere", option, value], 1)
    };
    assert!(with("--provider", "tensorrt").contains("provider tensorrt: the device is the CPU"));
    assert!(with("--model-options", "Cargo.toml").contains("Cargo.toml: not model options"));
    let unknown = ["segment", CLOUD, "--parts", PARTS, "-o", "nowhere", "--provider", "gpu"];
    assert!(fails(&unknown, 2).contains("device-or-cpu"));
    let below = ["segment", CLOUD, "--parts", PARTS, "-o", "nowhere", "--score", "-1"];
    assert!(fails(&below, 2).contains("give a number from 0.1 to 0.95"));
}

#[test]
fn a_device_that_is_not_there_is_refused_with_a_remedy() {
    let lift =
        |device| ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", "nowhere", "--device", device];
    let message = fails(&lift("cuda:99"), 1);
    assert!(
        message.contains("CUDA") && message.contains("--device") && message.contains("use the device cpu"),
        "{message}"
    );
    let message = fails(&lift("gpu"), 1);
    assert!(message.contains("\"gpu\" is not one of auto, cpu, cuda:N"), "{message}");
    let train = ["train", "nowhere", "--category", "Chair", "-o", "nowhere", "--device", "cuda:99"];
    let message = fails(&train, 1);
    assert!(
        message.contains("CUDA") && message.contains("--device") && message.contains("use the device cpu"),
        "{message}"
    );
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
    assert!(error.contains("clouds are read from") && error.contains("meshes from .glb"), "{error}");
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
fn learned_weights_are_used_and_exchanged() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let parts = PARTS.split(',').map(String::from).collect();
    let network = Network::initial(403, 0.02, 1);
    let learned = Checkpoint { parts, epoch: 3, val_miou: 0.5, network };
    learned.write(Path::new(&place("Chair.safetensors"))).unwrap();

    let (folder, out) = (place(""), place("out"));
    let lift = [
        ["lift", CLOUD, "--boxes", BOXES, "--superpoints", SUPERPOINTS, "--parts", PARTS].as_slice(),
        &["--features", "tests/fixtures/syn8k_d/box_feature.npy", "-o", &out, "--json", "--weights", &folder],
    ]
    .concat();
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
fn files_that_do_not_belong_to_the_cloud_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, nowhere) = (dir.path().join("a.npy"), dir.path().join("nowhere"));
    let (file, nowhere) = (path.to_str().unwrap(), nowhere.to_str().unwrap());
    npy::write(&path, &[3], &[0, 1, 2]).unwrap();
    for option in ["--superpoints", "--box-weights", "--features", "--masks"] {
        let args = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", nowhere, option, file];
        let error = fails(&args, 1);
        assert!(error.contains("a.npy"), "{option}: {error}");
    }
    let boxes = dir.path().join("none.json");
    fs::write(&boxes, "[]").unwrap();
    let out = dir.path().join("out");
    let told = json(&[
        "lift",
        CLOUD,
        "--boxes",
        boxes.to_str().unwrap(),
        "--parts",
        "leg",
        "-o",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert!(told["warnings"][0].as_str().unwrap().contains("no box"), "{told}");
    assert!(npy::read::<i32>(&out.join("labels.npy")).unwrap().data.iter().all(|&label| label == -1));
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

#[test]
fn an_axis_may_be_named_in_upper_case() {
    let dir = tempfile::tempdir().unwrap();
    let (views, out) = (dir.path().join("views.json"), dir.path().join("out"));
    fs::write(&views, r#"{"poses": [{"elevation": 0, "azimuth": 0}], "side": 50}"#).unwrap();
    let (views, out) = (views.to_str().unwrap(), out.to_str().unwrap());
    for (given, taken) in [("Z", "z"), ("-X", "-x")] {
        let told = json(&["render", CLOUD, "--views", views, "--up", given, "-o", out, "--json"]);
        assert_eq!(told["options"]["cloud"]["up"], taken);
    }
}

#[test]
fn a_data_set_is_looked_at_before_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let mugs = dir.path().display().to_string();
    let header = "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n\
                  property int label\nend_header\n";
    fs::write(dir.path().join("a.ply"), format!("{header}0 0 0 1\n1 1 1 2\n")).unwrap();
    let init = ["dataset", "init", &mugs, "--category", "mug", "--parts", "body,handle"];
    let error = fails(&init, 1);
    assert!(error.contains("the label of point 1 is 2") && error.contains("--first-label 1"), "{error}");
    // What is done wrong in spite of that shows as a part without points.
    done(&[&init[..], &["--no-label", "2"]].concat());
    let index = dir.path().join("dataset.json");
    let listed = fs::read_to_string(&index).unwrap();
    fs::write(&index, listed.replace("\"train\"", "\"probe\"")).unwrap();
    let warnings = |json: serde_json::Value| -> Vec<String> {
        serde_json::from_value(json["warnings"].clone()).unwrap()
    };
    let told = warnings(json(&["dataset", "check", &mugs, "--json"]));
    let says = |words: &[&str]| told.iter().any(|line| words.iter().all(|&word| line.contains(word)));
    assert!(says(&["mug: no point of any cloud is labelled \"body\"", "--first-label 1"]), "{told:?}");
    assert!(says(&["The split \"probe\" is none of train, val and test"]), "{told:?}");
    assert!(says(&["1 cloud without colours", "--grey"]), "{told:?}");
    done(&[&init[..], &["--first-label", "1", "--force"]].concat());
    let told = warnings(json(&["dataset", "check", &mugs, "--json"]));
    assert!(told.iter().all(|line| !line.contains("labelled") && !line.contains("split")), "{told:?}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_a_path() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&odd).unwrap();
    let cloud = odd.join("pc.ply");
    fs::copy(CLOUD, &cloud).unwrap();
    let out = odd.join("out");
    for args in [&["render"][..], &["superpoints"], &["lift", "--boxes", BOXES, "--parts", PARTS]] {
        let output = Command::new(env!("CARGO_BIN_EXE_partstad"))
            .args(args)
            .arg(&cloud)
            .arg("-o")
            .arg(out.join(args[0]))
            .arg("--json")
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["out"].as_str().unwrap().contains("caf\u{fffd}"), "{told}");
    }
}

#[cfg(feature = "small-models")]
#[test]
fn info_tells_what_is_there() {
    let told = json(&["info", "--json"]);
    assert_eq!(told["models"]["stand_in"], true);
    assert_eq!(told["models"]["files"]["sam_decoder.onnx"].as_str().map(str::len), Some(64));
    let text = done(&["info"]);
    for word in ["partstad", "ONNX Runtime", "GPU", "sha256"] {
        assert!(text.contains(word), "{text}");
    }
}

#[cfg(feature = "small-models")]
#[test]
fn one_bad_cloud_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("bad.ply"), "ply\n").unwrap();
    fs::write(path("views.json"), r#"{"poses": [{"elevation": 10, "azimuth": 0}]}"#).unwrap();
    let (bad, views, out) = (path("bad.ply"), path("views.json"), path("out"));
    let common = ["--parts", "leg,seat", "--views", &views, "-o", &out, "--json"];

    let output = run(&[&["segment", &bad, CLOUD][..], &common].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("bad.ply") && error.contains("1 of 2 clouds failed"), "{error}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told[0]["error"].is_string() && told[1]["points"] == POINTS, "{told}");
    assert!(told[1]["warnings"][0].as_str().unwrap().contains("stand-in"), "{told}");
    assert!(dir.path().join("out/pc/report.html").exists());

    let twice = fails(&[&["segment", CLOUD, CLOUD][..], &common].concat(), 1);
    assert!(twice.contains("is given twice"), "{twice}");
    let weights = fails(&[&["segment", CLOUD, "--weights", "w.npy"][..], &common].concat(), 1);
    assert!(weights.contains("w.npy"), "{weights}");
}

#[test]
#[cfg(feature = "ort")]
fn models_check_says_what_is_wrong() {
    const MODELS: &str = "tests/fixtures/models";
    let text = done(&["models", "check", MODELS]);
    assert!(text.contains("needs f32 [N, 86, 8]") && text.ends_with("Nothing is wrong.\n"), "{text}");
    let report = json(&["models", "check", MODELS, "--json"]);
    assert_eq!(report["problems"], serde_json::json!([]));
    assert!(report["trial"]["detect"].is_f64() && report["models"][1]["ports"][0]["name"] == "image");

    let dir = tempfile::tempdir().unwrap();
    for file in fs::read_dir(MODELS).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
    }
    fs::write(dir.path().join("sam_encoder.onnx"), "onnx").unwrap();
    let folder = dir.path().display().to_string();
    let output = run(&["models", "check", &folder]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("sam_encoder.onnx: SHA-256 is ") && text.contains("cannot use this model"),
        "{text}"
    );
    assert!(String::from_utf8(output.stderr).unwrap().contains("2 problems"));
}

#[test]
#[cfg(feature = "ort")]
fn models_export_forwards_to_the_tools() {
    let dir = tempfile::tempdir().unwrap();
    let tools = dir.path().display().to_string();
    let error = fails(&["models", "export", "--tools", &tools, "sam"], 1);
    assert!(error.contains("export.py: there are no exporters"), "{error}");
    fs::write(
        dir.path().join("export.py"),
        "import sys; print(sys.argv[1:]); sys.exit('--fail' in sys.argv)",
    )
    .unwrap();
    let arguments = ["models", "export", "--tools", &tools, "sam", "a.pth", "--model", "vit_b", "-o", "out"];
    assert_eq!(done(&arguments).trim(), "['sam', 'a.pth', '--model', 'vit_b', '-o', 'out']");
    let error = fails(&["models", "export", "--tools", &tools, "sam", "--fail"], 1);
    assert!(error.contains("the exporter ended with exit status: 1"), "{error}");
    let error = fails(&["models", "export", "--tools", &tools, "--python", "no/python", "sam"], 1);
    assert!(error.contains("no/python: there is no such Python"), "{error}");
}
