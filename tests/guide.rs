//! The commands of docs/guide.md, one after the other, as a reader types them.
#![cfg(all(feature = "cli", feature = "small-models"))]

use std::{fs, path::Path, process::Command};

#[test]
fn every_command_of_the_guide_runs() {
    let guide = fs::read_to_string("docs/guide.md").unwrap();
    let mut inside = false;
    let mut script = String::from("set -eu\n");
    for line in guide.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            command if inside => script += &format!("echo '$ {command}' >&2\n{command}\n"),
            _ => (),
        }
    }
    assert!(script.matches("partstad ").count() > 10, "{script}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    fs::copy("assets/demo.ply", folder.path().join("assets/demo.ply")).unwrap();
    let programs = Path::new(env!("CARGO_BIN_EXE_partstad")).parent().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs.to_path_buf()].into_iter().chain(std::env::split_paths(&path)));
    let ran = Command::new("bash")
        .args(["-c", &script])
        .current_dir(&folder)
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for file in ["out/report.html", "lifted/labels.npy", "chair.safetensors", "comparison/results.html"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    for cloud in ["a", "b"] {
        assert!(folder.path().join("many").join(cloud).join("labels.npy").is_file(), "{cloud}");
    }
}
