//! Results: old or new, never a mixture, never in the place of what is read.

use super::{BOXES, CLOUD, PARTS, SUPERPOINTS, content, done, error, fails, partstad};
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

fn lift(parts: &str, out: &Path) -> Command {
    let mut command = partstad(&[&"lift", &CLOUD, &"--boxes", &BOXES, &"--parts", &parts]);
    command.args(["--superpoints", SUPERPOINTS, "--threads", "1"]).arg("-o").arg(out);
    command
}

fn run(parts: &str, out: &Path) {
    let output = lift(parts, out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", error(&output));
}

const OTHER: &str = "one,two,three,four,five";
const STAGE: &str = ".partstad-new";

/// Kills runs at moments all over the time that they write, and looks at what is there each time.
#[test]
fn a_run_that_is_killed_leaves_the_old_result_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    run(PARTS, &old);
    run(OTHER, &new);
    let wholes = [content(&old), content(&new)];
    assert_ne!(wholes[0], wholes[1]);
    run(PARTS, &out);
    let (mut killed, mut while_writing) = (0, 0);
    for round in 0..40u64 {
        let parts = [PARTS, OTHER][round as usize % 2];
        if round % 2 == 0 {
            // What a killed run left would hide when this one writes. Odd rounds complete what is left.
            let _ = fs::remove_dir_all(out.join(STAGE));
        }
        let mut child: Child = lift(parts, &out).stderr(Stdio::null()).spawn().unwrap();
        let first = out.join(STAGE).join("labels.npy");
        let begun = Instant::now();
        while !first.exists() && child.try_wait().unwrap().is_none() && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(round * round * 150));
        killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        while_writing += u32::from(out.join(STAGE).exists());
        let mut found = content(&out);
        found.retain(|(name, _)| name != STAGE);
        let whole = wholes.contains(&found);
        // The moment of the move itself is told by the missing run.json.
        assert!(whole || !found.iter().any(|(name, _)| name == "run.json"), "round {round}: a mixture");
    }
    println!("{killed} of 40 runs killed, {while_writing} of them while they wrote");
    assert!(while_writing > 3, "{while_writing} of {killed} were killed while they wrote");
    run(PARTS, &out);
    assert_eq!(content(&out), wholes[0]);
}

#[test]
fn a_full_disk_leaves_the_old_result() {
    let dir = tempfile::tempdir().unwrap();
    let (out, sp) = (dir.path().join("out"), dir.path().join("sp.npy"));
    run(PARTS, &out);
    done(&[&"superpoints", &CLOUD, &"-o", &sp]);
    let (old, old_sp) = (content(&out), fs::read(&sp).unwrap());
    // No file may grow beyond the limit, in blocks of 512 bytes: what a full disk does, at a place of choice.
    let full = |blocks: u32, command: Command| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        shell.arg(command.get_program()).args(command.get_args());
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", error(&output));
        assert!(error(&output).contains("File too large"), "{}", error(&output));
    };
    for blocks in [0, 1, 40, 100, 300] {
        full(blocks, lift(OTHER, &out));
        assert_eq!(content(&out), old, "{blocks} blocks");
        full(blocks.min(40), partstad(&[&"superpoints", &CLOUD, &"--lambda", &"1", &"-o", &sp]));
        assert_eq!(fs::read(&sp).unwrap(), old_sp);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside them");
    }
    let fresh = dir.path().join("fresh");
    full(40, lift(PARTS, &fresh));
    assert!(!fresh.exists(), "a folder that was made for nothing");
}

/// A disk that is full indeed, where this machine lets one be made.
#[test]
fn a_small_disk_leaves_the_old_result() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&dyn AsRef<OsStr>]| {
        Command::new("mount").args(args.iter().map(|a| a.as_ref())).arg(dir.path()).output().unwrap()
    };
    let output = mount(&[&"-t", &"tmpfs", &"-o", &"size=3m", &"tmpfs"]);
    if !output.status.success() {
        println!("SKIPPED: no disk can be mounted here: {}", error(&output));
        return;
    }
    let out = dir.path().join("out");
    let tried = std::panic::catch_unwind(|| {
        run(PARTS, &out);
        let old = content(&out);
        // Two results do not fit.
        let used: u64 = fs::read_dir(&out).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        fs::write(dir.path().join("ballast"), vec![1; (3 << 20) - used as usize - (300 << 10)]).unwrap();
        let output = lift(OTHER, &out).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", error(&output));
        assert!(error(&output).contains("No space left"), "{}", error(&output));
        assert_eq!(content(&out), old);
    });
    // Lazily: a child that another test's thread starts may hold a file on it for a moment.
    assert!(Command::new("umount").arg("-l").arg(dir.path()).status().unwrap().success());
    tried.unwrap();
}

#[test]
fn the_second_of_two_writers_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let claimed = partstad::io::staged::Folder::begin(&out).unwrap();
    let output = lift(PARTS, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("another process is writing here"), "{}", error(&output));
    drop(claimed);
    run(PARTS, &out);
}

#[test]
fn what_is_read_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    run(PARTS, &out);
    let at = |name: &str| out.join(name);
    let before = content(&out);
    let (cloud, sp, boxes) = (at("segmentation.ply"), at("superpoints.npy"), at("boxes.json"));
    let options = dir.path().join("1.png");
    fs::write(&options, r#"{"side": 100}"#).unwrap();
    let linked = dir.path().join("linked.ply");
    symlink(&cloud, &linked).unwrap();
    let npy = dir.path().join("a.npy");
    let rows = [[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]].concat();
    partstad::io::npy::write(&npy, &[2, 6], &rows).unwrap();
    let weights = dir.path().join("w.safetensors");
    fs::write(&weights, "weights").unwrap();
    #[cfg(feature = "ort")]
    for args in [
        &[&"segment" as &dyn AsRef<OsStr>, &cloud, &"--parts", &PARTS, &"-o", &out][..],
        &[&"segment", &linked, &"--parts", &PARTS, &"-o", &out],
        &[&"segment", &CLOUD, &"--parts", &PARTS, &"--options", &at("run.json"), &"-o", &out],
    ] {
        assert!(fails(args).contains("would be overwritten"), "{}", fails(args));
    }
    for args in [
        &[&"lift" as &dyn AsRef<OsStr>, &cloud, &"--boxes", &BOXES, &"--parts", &PARTS, &"-o", &out][..],
        &[&"lift", &CLOUD, &"--boxes", &boxes, &"--parts", &PARTS, &"-o", &out],
        &[&"lift", &CLOUD, &"--boxes", &BOXES, &"--superpoints", &sp, &"--parts", &PARTS, &"-o", &out],
        &[&"superpoints", &npy, &"-o", &npy],
        &[&"superpoints", &cloud, &"-o", &dir.path().join("new.npy"), &"--ply", &cloud],
        &[
            &"superpoints",
            &cloud,
            &"-o",
            &dir.path().join("../").join(dir.path().file_name().unwrap()).join("linked.ply"),
        ],
        &[&"render", &CLOUD, &"--views", &options, &"-o", &dir.path()],
        &[&"weights", &"import", &weights, &"--parts", &PARTS, &"-o", &weights],
        &[&"weights", &"export", &weights, &"-o", &weights],
    ] {
        assert!(fails(args).contains("would be overwritten"), "{}", fails(args));
    }
    assert_eq!(content(&out), before);
    let same =
        fails(&[&"superpoints", &CLOUD, &"-o", &dir.path().join("x"), &"--ply", &dir.path().join("x")]);
    assert!(same.contains("name the same file"), "{same}");
    for name in ["..", "../up", "a/b", "", "/"] {
        let error = fails(&[&"train", &dir.path(), &"--category", &name, &"-o", &out]);
        assert!(error.contains("would name a file elsewhere"), "{name:?}: {error}");
    }
}

#[test]
fn links_and_pipes_in_the_folder_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (out, precious) = (dir.path().join("out"), dir.path().join("precious"));
    fs::create_dir(&out).unwrap();
    fs::write(&precious, "mine").unwrap();
    symlink(&precious, out.join("labels.npy")).unwrap();
    symlink(&precious, out.join("run.json")).unwrap();
    assert!(Command::new("mkfifo").arg(out.join("report.html")).status().unwrap().success());
    run(PARTS, &out);
    assert_eq!(fs::read(&precious).unwrap(), b"mine");
    for name in ["labels.npy", "run.json", "report.html"] {
        assert!(fs::symlink_metadata(out.join(name)).unwrap().is_file(), "{name}");
    }
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(fails(&[&"superpoints", &CLOUD, &"-o", &fifo]).contains("is a link, a folder or a device"));
}

#[test]
fn fewer_views_leave_no_older_ones() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("views");
    let pose = r#"{"elevation": 10, "azimuth": 0}"#;
    for poses in [vec![pose; 3], vec![pose; 1]] {
        let views = dir.path().join("views.json");
        fs::write(&views, format!(r#"{{"poses": [{}], "side": 50}}"#, poses.join(", "))).unwrap();
        done(&[&"render", &CLOUD, &"--views", &views, &"-o", &out]);
        assert_eq!(fs::read_dir(&out).unwrap().count(), poses.len() + 3);
    }
}
