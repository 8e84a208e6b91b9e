//! What must not happen, whatever the input and whenever it stops: a panic, lost results, memory without bounds. Each run is
//! a process of its own.
#![cfg(all(feature = "cli", unix))]

mod budgets;
#[cfg(feature = "cuda")]
mod faults;
mod memory;
mod output;
#[cfg(feature = "small-models")]
mod paths;
mod terminal;

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output},
};

const CLOUD: &str = "tests/fixtures/syn8k_d/pc.ply";
const BOXES: &str = "tests/fixtures/syn8k_d/pred.json";
const SUPERPOINTS: &str = "tests/fixtures/syn8k_d/superpoint_label.npy";
const PARTS: &str = "arm,back,leg,seat,wheel";

fn partstad(args: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partstad"));
    command.args(args.iter().map(|arg| arg.as_ref()));
    command
}

/// A run in so many MiB of address space. One arena: each further one reserves 64 MiB of addresses, and how many there are
/// goes by how the threads meet.
fn within(space: u64, args: &[&dyn AsRef<OsStr>]) -> Command {
    let command = partstad(args);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", space << 10)]);
    shell.arg(command.get_program()).args(command.get_args()).env("MALLOC_ARENA_MAX", "1");
    shell
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output of a run that must succeed.
fn done(args: &[&dyn AsRef<OsStr>]) -> String {
    let output = partstad(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", error(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that must end with exit code 1.
fn fails(args: &[&dyn AsRef<OsStr>]) -> String {
    let output = partstad(args).output().unwrap();
    let error = error(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// The files of a folder with their content; what a result says of its time left out.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect();
    files.sort();
    for (name, bytes) in &mut files {
        if name == "run.json" {
            let mut run: serde_json::Value = serde_json::from_slice(bytes).expect("run.json is whole");
            run["seconds"] = 0.into();
            *bytes = run.to_string().into_bytes();
        } else if name == "report.html" {
            let text = String::from_utf8(bytes.clone()).expect("the report is whole");
            assert!(text.trim_end().ends_with("</html>"), "the report is whole");
            bytes.clear();
        }
    }
    files
}
