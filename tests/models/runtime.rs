//! Finding ONNX Runtime: each case in a process of its own, because a process loads it once.

use partstad::models::runtime;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Runs `child` in a new process and returns what it said: `load`, `find` or `fetch` as `PARTSTAD_CHILD` tells.
fn child(action: &str, variables: &[(&str, &Path)]) -> String {
    child_in(Path::new("."), action, variables)
}

fn child_in(folder: &Path, action: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "runtime::child_process", "--ignored", "--nocapture"]).current_dir(folder);
    command.env("PARTSTAD_CHILD", action).env_remove("ORT_DYLIB_PATH");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a cache holds but for its lock.
fn held(cache: &Path) -> Vec<String> {
    let names = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "lock").collect()
}

/// A folder with a `python3` that runs this line of sh.
#[cfg(unix)]
fn python(script: &str) -> tempfile::TempDir {
    use std::{io::Write, process::Stdio};
    let bin = tempfile::tempdir().unwrap();
    // By another process: what this one writes a child of another test may hold open for a moment, and
    // such a file does not run.
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"])
        .arg(bin.path().join("python3"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    bin
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
    // The loader's own reason.
    assert!(said.contains("invalid ELF header") || !cfg!(target_os = "linux"), "{said}");
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
    assert!(held(cache.path()).is_empty(), "nothing may be left in the cache");
}

#[test]
fn without_an_index_pip_is_quoted() {
    let cache = tempfile::tempdir().unwrap();
    let empty = cache.path();
    let variables =
        [("PARTSTAD_CACHE_DIR", empty), ("PIP_NO_INDEX", Path::new("1")), ("PIP_FIND_LINKS", empty)];
    let said = child("fetch", &variables);
    assert!(said.contains("-I -m pip download` failed") && said.contains("onnxruntime==1.32.0"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_wheel_with_another_checksum_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    // The folder is the argument before the last.
    let bin = python("while [ $# -gt 2 ]; do shift; done\necho wheel > \"$1/fake.whl\"");
    let said = child("fetch", &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", bin.path())]);
    assert!(said.contains("fake.whl: has SHA-256") && said.contains("expected"), "{said}");
    assert!(held(cache.path()).is_empty(), "nothing may be left in the cache");
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
    assert_eq!(held(cache.path()).len(), 1, "one folder, nothing else");
}

#[test]
fn nothing_of_the_current_folder_runs() {
    let (cache, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let marker = here.path().join("it ran");
    let trap = format!("open({:?}, 'w')\n", marker.to_str().unwrap());
    for name in ["pip.py", "runpy.py", "encodings.py", "sitecustomize.py"] {
        fs::write(here.path().join(name), &trap).unwrap();
    }
    let variables =
        [("PARTSTAD_CACHE_DIR", cache.path()), ("PIP_NO_INDEX", Path::new("1")), ("PYTHONPATH", here.path())];
    let said = child_in(here.path(), "fetch", &variables);
    assert!(said.contains("-I -m pip download` failed"), "{said}");
    assert!(!marker.exists(), "a module beside the data ran");
}

#[cfg(unix)]
#[test]
fn python_is_not_looked_for_in_the_current_folder() {
    let cache = tempfile::tempdir().unwrap();
    let here = python("touch \"$PWD/it ran\"");
    for path in [".", "", ":", "bin/.."] {
        let said = child_in(
            here.path(),
            "fetch",
            &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", Path::new(path))],
        );
        assert!(said.contains("there is no python3 on the PATH"), "{path:?}: {said}");
    }
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 1);
}

#[test]
fn a_relative_cache_folder_is_refused() {
    for (name, others) in [("PARTSTAD_CACHE_DIR", ""), ("XDG_CACHE_HOME", "PARTSTAD_CACHE_DIR")] {
        for action in ["find", "fetch"] {
            let variables = [(others, Path::new("")), (name, Path::new("."))];
            let said = child(action, &variables[usize::from(others.is_empty())..]);
            assert!(said.contains(&format!("{name} gives the cache folder .")), "{said}");
            assert!(said.contains("absolute path"), "{said}");
        }
    }
}

#[test]
fn a_cache_folder_that_cannot_be_written_says_what_to_set() {
    let file = std::env::current_exe().unwrap();
    let said = child("fetch", &[("PARTSTAD_CACHE_DIR", &file.join("cache"))]);
    assert!(said.contains("set PARTSTAD_CACHE_DIR") && said.contains("set ORT_DYLIB_PATH"), "{said}");
}

/// A copy of the cache that the other tests use.
#[cfg(unix)]
fn copy_of_the_cache() -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let library = runtime::fetch().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join(library.parent().unwrap().file_name().unwrap());
    fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
    let copy = folder.join(library.file_name().unwrap());
    fs::copy(&library, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    (cache, copy)
}

#[cfg(unix)]
#[test]
fn a_cached_library_is_checked_before_it_is_loaded() {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    let (cache, copy) = copy_of_the_cache();
    let find = || child("find", &[("PARTSTAD_CACHE_DIR", cache.path())]);
    assert!(find().contains("found: true"), "{}", find());
    for path in [cache.path(), copy.parent().unwrap(), &copy] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o022)).unwrap();
        let said = find();
        assert!(said.contains("others may write to it") && said.contains("chmod go-w"), "{said}");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    // One byte of code.
    let file = fs::File::options().write(true).open(&copy).unwrap();
    let length = file.metadata().unwrap().len();
    file.write_all_at(b"\xcc", length / 2).unwrap();
    let said = find();
    assert!(said.contains("has SHA-256") && said.contains("to have it fetched again"), "{said}");
    file.set_len(length / 2).unwrap();
    assert!(find().contains("has SHA-256"), "{}", find());
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_that_was_cut_off_is_an_error() {
    let (_cache, copy) = copy_of_the_cache();
    let file = fs::File::options().write(true).open(&copy).unwrap();
    let length = file.metadata().unwrap().len();
    for part in [99, 60, 30, 3] {
        file.set_len(length / 100 * part).unwrap();
        let said = child("load", &[("ORT_DYLIB_PATH", &copy)]);
        assert!(said.contains("is cut off after"), "{part} %: {said}");
    }
}

#[cfg(unix)]
#[test]
fn what_a_killed_fetch_left_is_removed() {
    let cache = tempfile::tempdir().unwrap();
    let left = cache.path().join(".fetch-killed/unpacked");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("half.so"), "half").unwrap();
    fs::write(cache.path().join("kept"), "another's").unwrap();
    let bin = python("echo no network >&2; exit 1");
    let said = child("fetch", &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", bin.path())]);
    assert!(said.contains("no network"), "{said}");
    assert_eq!(held(cache.path()), ["kept"]);
}

#[cfg(unix)]
#[test]
fn nobody_removes_the_folder_of_a_fetch_that_runs() {
    let (cache, path) = (tempfile::tempdir().unwrap(), std::env::var_os("PATH").unwrap());
    let bin = python("sleep 0.3; [ -d \"$PWD\" ] && echo still there >&2; exit 1");
    let path = std::env::join_paths([bin.path().into()].into_iter().chain(std::env::split_paths(&path)));
    let path = PathBuf::from(path.unwrap());
    let fetch = || child("fetch", &[("PARTSTAD_CACHE_DIR", cache.path()), ("PATH", &path)]);
    std::thread::scope(|scope| {
        let all = [scope.spawn(fetch), scope.spawn(fetch), scope.spawn(fetch)];
        for said in all.map(|thread| thread.join().unwrap()) {
            assert!(said.contains("still there"), "{said}");
        }
    });
    assert!(held(cache.path()).is_empty());
}
