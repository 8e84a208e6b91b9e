//! Help, exit codes, and what is said of wrong arguments and wrong files.

use super::{BOXES, CLOUD, PARTS, done, fails, json};
use partstad::io::npy;
use std::{fs, path::Path};

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
    let mut seen = file("seen.json", br#"{"views": {"side": 100}}"#);
    let twice =
        ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--options", &seen, "--views", &one];
    assert!(fails(&twice, 1).contains("both say how to render"));
    seen = file("a.safetensors", b"");
    let of_one = [
        "lift",
        CLOUD,
        "--boxes",
        BOXES,
        "--parts",
        PARTS,
        "-o",
        &out,
        "--weights",
        &seen,
        "--category",
        "a",
    ];
    assert!(fails(&of_one, 1).contains("a.safetensors is a file; leave out --category"));
    let options = |json: &[u8]| {
        let path = file("options.json", json);
        let lift = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--options", &path];
        let error = fails(&lift, 1);
        assert!(error.contains(&path), "{error}");
        error
    };
    assert!(options(br#"{"views": {"side": 0}}"#).contains(": views.side is 0; it must be from 1 to 8192"));
    assert!(
        options(br#"{"weights": {"null": -1}}"#).contains(": weights.null is -1; it must be from 0 to 1e30")
    );
    assert!(options(b"[]").contains("not pipeline options: give an object"));
    assert!(options(br#"{"instances": {"max_gap": "wide"}}"#).contains("instances.max_gap: invalid type"));
    assert!(options(br#"{"instances": {}} {}"#).contains("trailing characters"));
    let device = ["lift", CLOUD, "--boxes", BOXES, "--parts", PARTS, "-o", &out, "--device", "tpu"];
    assert!(fails(&device, 1).contains("tpu"));
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
    assert!(message.contains("\"gpu\" is not one of auto, cpu, cuda, cuda:N"), "{message}");
    let train = ["train", "nowhere", "--category", "Chair", "-o", "nowhere", "--device", "cuda:99"];
    let message = fails(&train, 1);
    assert!(
        message.contains("CUDA") && message.contains("--device") && message.contains("use the device cpu"),
        "{message}"
    );
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
    for category in ["a/b", "", "../x"] {
        let init = ["dataset", "init", &mugs, "--category", category, "--parts", "body,handle"];
        assert!(fails(&init, 1).contains("cannot be: files are called like it"), "{category:?}");
    }
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
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt, process::Command};
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
