//! Finding ONNX Runtime: each case in a process of its own, because a process loads it once.

use partstad::models::runtime;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs `child` in a new process and returns what it said: `load`, `find` or `fetch` as `PARTSTAD_CHILD` tells.
fn child(action: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "runtime::child_process", "--ignored", "--nocapture"]);
    command.env("PARTSTAD_CHILD", action).env_remove("ORT_DYLIB_PATH");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "the other tests of this file run it"]
fn child_process() {
    let said = match std::env::var("PARTSTAD_CHILD").as_deref() {
        Ok("load") => runtime::load().map(|r| format!("{} {}", r.location(), r.build_info())),
        Ok("find") => runtime::find().map(|r| format!("found: {}", r.is_some())),
        Ok("fetch") => runtime::fetch().map(|path| path.display().to_string()),
        other => panic!("PARTSTAD_CHILD is {other:?}"),
    };
    println!("{}", said.unwrap_or_else(|e| e.to_string()));
}

#[test]
fn loads_and_says_from_where() {
    let said = child("load", &[]);
    assert!(said.contains("onnxruntime") && said.contains("ORT Build Info"), "{said}");
    assert!(child("find", &[]).contains("found: true"));
}

#[test]
fn a_path_that_is_no_library() {
    let said = child("load", &[("ORT_DYLIB_PATH", Path::new("/no/such/library.so"))]);
    assert!(said.contains("ORT_DYLIB_PATH is /no/such/library.so, which is not a file"), "{said}");
    let said = child("load", &[("ORT_DYLIB_PATH", Path::new("Cargo.toml"))]);
    assert!(
        said.contains("Cargo.toml (ORT_DYLIB_PATH) cannot be loaded") && said.contains("unset"),
        "{said}"
    );
}

/// A library made of a line of Rust.
fn library(folder: &Path, source: &str) -> PathBuf {
    let (from, to) = (folder.join("fake.rs"), folder.join("libfake.so"));
    fs::write(&from, source).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc)
        .args(["--crate-type", "cdylib", "--edition", "2024", "-o"])
        .args([&to, &from])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    to
}

#[test]
fn another_library_and_an_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let other = library(folder.path(), "#[unsafe(no_mangle)] pub extern \"C\" fn nothing() {}");
    let said = child("find", &[("ORT_DYLIB_PATH", &other)]);
    assert!(said.contains("is a library, but not ONNX Runtime"), "{said}");

    let old = r#"
        use std::ffi::c_char;
        type Get = extern "C" fn(u32) -> *const u8;
        #[repr(C)] pub struct Base(Get, extern "C" fn() -> *const c_char);
        extern "C" fn api(_: u32) -> *const u8 { std::ptr::null() }
        extern "C" fn version() -> *const c_char { c"1.17.3".as_ptr() }
        static BASE: Base = Base(api, version);
        #[unsafe(no_mangle)] pub extern "C" fn OrtGetApiBase() -> &'static Base { &BASE }
    "#;
    let said = child("load", &[("ORT_DYLIB_PATH", &library(folder.path(), old))]);
    assert!(said.contains("is version 1.17.3; 1.22 or newer is needed"), "{said}");
}

#[test]
fn without_python_the_remedies_are_listed() {
    let cache = tempfile::tempdir().unwrap();
    let said = child("fetch", &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", Path::new(""))]);
    for expected in
        ["there is no python3", "install Python 3", "system package", "ORT_DYLIB_PATH", "pip download"]
    {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing may be left in the cache");
}

#[test]
fn without_an_index_pip_is_quoted() {
    let cache = tempfile::tempdir().unwrap();
    let empty = cache.path();
    let variables =
        [("PARTSTAD_CACHE_DIR", empty), ("PIP_NO_INDEX", Path::new("1")), ("PIP_FIND_LINKS", empty)];
    let said = child("fetch", &variables);
    assert!(said.contains("-m pip download` failed") && said.contains("onnxruntime==1.32.0"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_wheel_with_another_checksum_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The folder is the argument before the last.
    let python = bin.path().join("python3");
    let script = "#!/bin/sh\nwhile [ $# -gt 2 ]; do shift; done\necho wheel > \"$1/fake.whl\"\n";
    fs::write(&python, script).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let said = child("fetch", &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", bin.path())]);
    assert!(said.contains("fake.whl has SHA-256") && said.contains("expected"), "{said}");
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing may be left in the cache");
}

#[test]
#[ignore = "downloads ONNX Runtime several times"]
fn processes_may_fetch_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let fetch = || child("load", &[("PARTSTAD_CACHE_DIR", cache.path())]);
    std::thread::scope(|scope| {
        let all = [scope.spawn(fetch), scope.spawn(fetch), scope.spawn(fetch)];
        for said in all.map(|thread| thread.join().unwrap()) {
            assert!(said.contains("(cache) ORT Build Info"), "{said}");
        }
    });
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "one folder, nothing else");
}
