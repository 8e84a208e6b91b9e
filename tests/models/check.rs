//! What `check` says of healthy and of broken folders.

use crate::{
    common::{FIXTURES, PARTS},
    folder::{edit, with_detector},
};
use partstad::models::{
    Options,
    check::{Report, check},
};
use serde_json::json;
use std::{fs, path::Path};

fn report(folder: &Path) -> Report {
    check(folder, &PARTS, &Options { threads: 1, ..Options::default() }).unwrap()
}

#[test]
fn a_folder_that_keeps_the_contracts() {
    let report = report(Path::new(FIXTURES));
    assert_eq!(report.problems, [""; 0]);
    let files: Vec<&str> = report.models.iter().map(|model| model.file.as_str()).collect();
    assert_eq!(
        files,
        ["text_encoder.onnx", "grounding_detector.onnx", "sam_encoder.onnx", "sam_decoder.onnx"]
    );
    let ports: Vec<_> = report.models.iter().flat_map(|model| &model.ports).collect();
    assert_eq!(ports.len(), 3 + 7 + 2 + 5);
    assert!(ports.iter().all(|port| port.contract.is_some() && port.model.is_some()));
    let trial = report.trial.unwrap();
    assert!(trial.boxes > 0 && trial.segment.is_some());
    assert_eq!(trial.weights, report.models.iter().map(|model| model.bytes).sum::<u64>());
    assert_eq!(trial.outputs, 4 * 86 * (12 + 5 + 8));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let folder = with_detector("no_features.onnx");
    fs::write(folder.path().join("sam_decoder.onnx"), "onnx").unwrap();
    edit(folder.path(), |m| m["detector"]["image"]["size"] = json!([96, 96]));
    let report = report(folder.path());
    let expected = [
        "sam_decoder.onnx: SHA-256 is ",
        "no_features.onnx: input `image` should be f32 or f16 [N, 3, 96, 96], but the model's axis 2 is 64",
        "no_features.onnx: there is no output `features`",
        "sam_decoder.onnx: ONNX Runtime cannot use this model",
    ];
    for words in expected {
        assert!(
            report.problems.iter().any(|problem| problem.contains(words)),
            "{words}: {:?}",
            report.problems
        );
    }
    assert!(report.trial.is_none());
    assert!(report.models[3].ports.is_empty());
}

#[test]
fn a_trial_finds_what_signatures_do_not_show() {
    let report = report(with_detector("nan.onnx").path());
    assert!(report.models.iter().flat_map(|model| &model.ports).all(|port| port.problem.is_none()));
    assert!(report.problems[0].contains("output `box_regression` is NaN"), "{:?}", report.problems);
    let error = check(Path::new("no/such/folder"), &PARTS, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("no/such/folder/manifest.json"), "{error}");
}
