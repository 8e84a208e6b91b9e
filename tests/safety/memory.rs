//! Memory and threads that are not there: an error that names the cloud, and the others go on.

use super::{CLOUD, error, partstad, within};
use partstad::io::{ply, points::PointCloud};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// A cube's surface.
fn cube(path: &Path, points: usize) -> PathBuf {
    let mut random = inputs::Random(7);
    let mut unit = || f64::from(random.bits() >> 8) / f64::from(u32::MAX >> 8);
    let place = |i: usize| {
        let (u, v, w) = (unit(), unit(), (i % 2) as f64);
        [[u, v, w], [u, w, v], [w, u, v]][i % 3]
    };
    let positions: Vec<[f64; 3]> = (0..points).map(place).collect();
    let colors = (0..points).map(|i| [(i % 2) as f32, (i % 3) as f32 / 2.0, 0.5]).collect();
    ply::write(path, &PointCloud { positions, colors, ..PointCloud::default() }, &[]).unwrap();
    path.to_path_buf()
}

#[test]
fn a_cloud_that_finds_no_memory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, out) = (cube(&dir.path().join("big.ply"), 400_000), dir.path().join("out"));
    let boxes = dir.path().join("boxes.json");
    fs::write(&boxes, "[]").unwrap();
    let runs: [&[&dyn AsRef<OsStr>]; 3] = [
        &[&"superpoints", &cloud, &"-o", &out],
        &[&"render", &cloud, &"-o", &out],
        &[&"lift", &cloud, &"--boxes", &boxes, &"--parts", &"a", &"-o", &out],
    ];
    for args in runs {
        for space in [60, 100, 150, 200, 260, 300] {
            let output = within(space, &[args, &[&"--threads", &"2"]].concat()).output().unwrap();
            let said = error(&output);
            if output.status.code() == Some(0) {
                fs::remove_file(&out).or_else(|_| fs::remove_dir_all(&out)).unwrap();
                continue;
            }
            assert_eq!(output.status.code(), Some(1), "{space} MiB: {:?} {said}", output.status);
            assert!(said.contains("big.ply") && said.contains("MiB"), "{space} MiB: {said}");
            assert!(!out.exists(), "{space} MiB");
        }
    }
}

/// The limit as an option; the small cloud of a batch is done.
#[cfg(feature = "small-models")]
#[test]
fn the_others_of_a_batch_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, out) = (cube(&dir.path().join("big.ply"), 200_000), dir.path().join("out"));
    let options = dir.path().join("options.json");
    let views = r#"{"poses": [{"elevation": 10, "azimuth": 0}], "side": 200}"#;
    fs::write(&options, format!(r#"{{"memory": 100000000, "views": {views}}}"#)).unwrap();
    let output = partstad(&[
        &"segment",
        &cloud,
        &CLOUD,
        &"--parts",
        &"leg,seat",
        &"--options",
        &options,
        &"-o",
        &out,
        &"--json",
    ])
    .output()
    .unwrap();
    let said = error(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("big.ply: 200000 points") && said.contains("95 MiB is what the option memory allows"),
        "{said}"
    );
    assert!(out.join("pc/run.json").exists() && !out.join("big").exists());
}

/// An estimate that is told to let all pass: then the process ends in the middle, and again when the cloud is tried alone.
#[cfg(feature = "small-models")]
#[test]
fn a_cloud_that_ends_an_isolated_batch_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (clouds, out, options) =
        (dir.path().join("clouds"), dir.path().join("out"), dir.path().join("options.json"));
    fs::create_dir(&clouds).unwrap();
    cube(&clouds.join("big.ply"), 900_000);
    fs::write(clouds.join("broken.ply"), "ply\nno").unwrap();
    for (name, points) in [("a", 1000), ("c", 1100), ("d", 1200)] {
        cube(&clouds.join(name).with_added_extension("ply"), points);
    }
    let views = r#"{"poses": [{"elevation": 10, "azimuth": 0}], "side": 100, "radius": 0.04}"#;
    fs::write(&options, format!(r#"{{"memory": 1000000000000, "views": {views}}}"#)).unwrap();
    let run = |space| {
        let args: &[&dyn AsRef<OsStr>] =
            &[&"batch", &clouds, &"--isolate", &"--parts", &"leg", &"--options", &options];
        let more: &[&dyn AsRef<OsStr>] = &[&"--write", &"labels", &"-o", &out, &"--json", &"--threads", &"2"];
        let output = within(space, &[args, more].concat()).output().unwrap();
        let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (output.status.code(), lines, error(&output))
    };
    let (code, lines, said) = run(560);
    assert_eq!(code, Some(1), "{said}");
    let totals = &lines.last().unwrap()["totals"];
    let [done, kept, failed] = ["done", "kept", "failed"].map(|name| totals[name].as_u64().unwrap());
    // A cloud may be in the journal and not told when the process ends: tried alone, it is there already.
    assert_eq!((done + kept, failed), (3, 2), "{said}");
    let journal = partstad::batch::journal::Journal::open(&out.join("journal.jsonl")).unwrap();
    let outcomes: Vec<&String> = journal.entries().keys().collect();
    assert_eq!(outcomes, ["a", "big", "broken", "c", "d"], "each cloud has an outcome");
    let big = lines.iter().find(|line| line["id"] == "big").unwrap();
    assert!(big["error"].as_str().unwrap().contains("it ended the process, signal: 6"), "{big}");
    assert!(said.contains("what was under way is tried alone: ") && said.contains("big"), "{said}");
    assert!(fs::read_to_string(out.join("index.html")).unwrap().contains("it ended the process"));
}

#[test]
fn threads_that_do_not_start_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("sp.npy");
    // Two stacks of 300 MiB find room. Many small ones would leave none for what a thread takes while it starts.
    let run = |threads| {
        let args: [&dyn AsRef<OsStr>; 6] = [&"superpoints", &CLOUD, &"-o", &out, &"--threads", &threads];
        within(900, &args).env("RUST_MIN_STACK", (300 << 20).to_string()).output().unwrap()
    };
    let output = run("3");
    let said = error(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("do not start") && said.contains("--threads"), "{said}");
    let output = run("1");
    assert!(output.status.success(), "{}", error(&output));
}

/// The most memory that a process held, in MiB; 0 once it has ended.
#[cfg(target_os = "linux")]
fn peak_of(process: u32) -> u64 {
    let peak = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    peak().unwrap_or(0) >> 10
}

/// What the estimate says against what a run takes.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "measures, for docs/security.md"]
fn the_estimate_against_measured_peaks() {
    let dir = tempfile::tempdir().unwrap();
    let boxes = "tests/fixtures/syn8k_d/pred.json";
    for points in [8_000, 80_000, 1_000_000] {
        let cloud = cube(&dir.path().join("cube.ply"), points);
        let (out, sp) = (dir.path().join("out"), dir.path().join("sp.npy"));
        let runs: [(&str, &[&dyn AsRef<OsStr>]); 3] = [
            ("superpoints", &[&"superpoints", &cloud, &"-o", &sp]),
            ("render", &[&"render", &cloud, &"-o", &out]),
            ("lift", &[&"lift", &cloud, &"--boxes", &boxes, &"--parts", &super::PARTS, &"-o", &out]),
        ];
        for (name, args) in runs {
            let mut command = partstad(&[args, &[&"--threads", &"2"]].concat());
            let mut child = command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let mut peak = 0;
            while child.try_wait().unwrap().is_none() {
                peak = peak.max(peak_of(child.id()));
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let mut options = partstad::pipeline::Options::default();
            if name == "superpoints" {
                options.views.side = 1;
            }
            let boxes = if name == "lift" { 151 } else { 0 };
            let told = options.memory_of(&partstad::Device::Cpu, points, boxes) >> 20;
            println!(
                "{points} points, {name}: {peak} MiB measured, {told} estimated, {:.2}",
                told as f64 / peak as f64
            );
            assert!(told as f64 > 0.9 * peak as f64, "{points} points, {name}");
        }
    }
}
