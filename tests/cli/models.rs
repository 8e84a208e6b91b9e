//! Commands that need models.

#[cfg(feature = "small-models")]
use super::{CLOUD, PARTS, POINTS};
use super::{done, fails, json, run};
use std::fs;

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
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    fs::create_dir(&models).unwrap();
    for file in
        fs::read_dir("models/small").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        fs::copy(&file, models.join(file.file_name().unwrap())).unwrap();
    }
    let info = |more: &[&str]| done(&[&["info", "--models", models.to_str().unwrap()], more].concat());
    assert!(!info(&[]).contains("WRONG"));
    fs::write(models.join("vocab.txt"), "another").unwrap();
    assert!(info(&[]).contains("WRONG: ") && info(&[]).contains("vocab.txt: SHA-256 is"), "{}", info(&[]));
    assert!(info(&["--json"]).contains("the manifest says"));
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
    let of = |i: usize| told[i]["parameters"]["input"]["cloud"].clone();
    assert_eq!([of(0), of(1)], [bad.as_str(), CLOUD], "{told}");
    assert!(told[1]["warnings"][0].as_str().unwrap().contains("stand-in"), "{told}");
    assert!(dir.path().join("out/pc/report.html").exists());

    let twice = fails(&[&["segment", CLOUD, CLOUD][..], &common].concat(), 1);
    assert!(twice.contains("is given twice"), "{twice}");
    let weights = fails(&[&["segment", CLOUD, "--weights", "w.npy"][..], &common].concat(), 1);
    assert!(weights.contains("w.npy"), "{weights}");
}

#[cfg(feature = "small-models")]
#[test]
fn parts_without_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (options, out) = (path("options.json"), path("out"));
    fs::write(
        &options,
        r#"{"views": {"poses": [{"elevation": 10, "azimuth": 0}, {"elevation": 10, "azimuth": 40}], "side": 400},
            "sam3d": {"masks": {"points_per_side": 12}}}"#,
    )
    .unwrap();
    let common = ["segment", CLOUD, "--options", &options, "-o", &out];
    let told = json(&[&common[..], &["--unnamed", "--json"]].concat());
    let parts = told["parts"].as_array().unwrap();
    assert!(parts.len() > 1, "{told}");
    for (number, part) in (1..).zip(parts) {
        let found = (&part["name"], &part["instances"]);
        assert_eq!(found, (&format!("part {number}").into(), &1.into()), "{told}");
        assert!(part["points"].as_u64().unwrap() > 0 && part["boxes"].as_u64().unwrap() > 0, "{told}");
    }
    assert!(parts.is_sorted_by_key(|part| std::cmp::Reverse(part["points"].as_u64())), "{told}");
    let made = &told["parameters"];
    assert_eq!((&made["unnamed"], &made["options"]["labels"]["fill_hidden"]), (&true.into(), &true.into()));
    assert!(dir.path().join("out/report.html").exists());

    let both = fails(&[&common[..], &["--unnamed", "--parts", "leg"]].concat(), 2);
    assert!(both.contains("cannot be used with"), "{both}");
    let neither = fails(&common, 2);
    assert!(neither.contains("--parts <NAMES>"), "{neither}");
    let other = fails(&[&common[..], &["--unnamed", "--models", "tests/fixtures/models"]].concat(), 1);
    assert!(other.contains("tests/fixtures/models: has no segmenter that answers points"), "{other}");

    // Fewer points than any group has.
    let few = path("few.ply");
    let vertices: String = (0..30).map(|i| format!("{i} {} 0 9 9 9\n", i % 7)).collect();
    let properties = ["float x", "float y", "float z", "uchar red", "uchar green", "uchar blue"];
    let header: String = properties.iter().map(|property| format!("property {property}\n")).collect();
    fs::write(&few, format!("ply\nformat ascii 1.0\nelement vertex 30\n{header}end_header\n{vertices}"))
        .unwrap();
    let told = json(&["segment", &few, "--unnamed", "-o", &out, "--json"]);
    let warnings = told["warnings"].to_string();
    assert!(warnings.contains("No part was found") && !warnings.contains("prediction"), "{told}");
}

#[test]
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
