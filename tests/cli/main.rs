//! The command as its users meet it: help, exit codes, files and messages.
#![cfg(feature = "cli")]

mod files;
#[cfg(feature = "ort")]
mod models;
mod usage;

use std::process::{Command, Output};

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
