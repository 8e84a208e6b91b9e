//! Fetches ONNX Runtime from PyPI, once, into the project's cache folder.
//!
//! pip does the download, so that the user's mirrors, proxies and certificates hold. It runs isolated and in a folder of
//! its own: no module that lies in the current folder can take its place. The wheel and the library in it are pinned by
//! SHA-256, and the library is held against it before every use.

use super::library;
use crate::error::{Error, Result};
use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// The release that [`fetch`] gets.
pub const VERSION: &str = "1.32.0";

/// The oldest release that works: the one of ort's feature `api-22`.
pub const OLDEST: &str = "1.22";

/// The folders that a download goes through.
const WORK: &str = ".fetch-";

/// The project's cache folder: `PARTSTAD_CACHE_DIR`, else the `partstad` folder in `XDG_CACHE_HOME` or `~/.cache`
/// (`%LOCALAPPDATA%` on Windows); none without a home folder.
///
/// # Errors
/// [`Error::Invalid`] if it is relative, and so would be wherever the program happens to run.
pub fn cache_dir() -> Result<Option<PathBuf>> {
    let home = || Some(env::home_dir()?.join(".cache").into_os_string());
    let (name, value, own) = match variable("PARTSTAD_CACHE_DIR") {
        Some(dir) => ("PARTSTAD_CACHE_DIR", Some(dir), true),
        None if cfg!(windows) => ("LOCALAPPDATA", variable("LOCALAPPDATA"), false),
        None => match variable("XDG_CACHE_HOME") {
            Some(dir) => ("XDG_CACHE_HOME", Some(dir), false),
            None => ("HOME", home(), false),
        },
    };
    let Some(dir) = value.map(PathBuf::from) else { return Ok(None) };
    if !dir.is_absolute() {
        return Err(Error::invalid(format!(
            "{name} gives the cache folder {}, which depends on the current folder; give it as an absolute path",
            dir.display()
        )));
    }
    Ok(Some(if own { dir } else { dir.join("partstad") }))
}

pub(super) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

pub(super) fn system_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// A wheel of [`VERSION`] on PyPI, and the shared library in its folder `onnxruntime/capi`.
struct Wheel {
    /// pip's name of the platform.
    platform: &'static str,
    sha256: &'static str,
    library: &'static str,
    library_sha256: &'static str,
}

/// Any Python version's wheel holds the same library; this one is fixed so that its checksum can be.
const WHEEL_PYTHON: &str = "312";

fn wheel() -> Option<Wheel> {
    let wheel =
        |platform, library, sha256, library_sha256| Some(Wheel { platform, sha256, library, library_sha256 });
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") if cfg!(target_env = "gnu") => wheel(
            "manylinux_2_28_x86_64",
            "libonnxruntime.so.1.32.0",
            "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
            "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
        ),
        ("linux", "aarch64") if cfg!(target_env = "gnu") => wheel(
            "manylinux_2_28_aarch64",
            "libonnxruntime.so.1.32.0",
            "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
            "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
        ),
        ("macos", "aarch64") => wheel(
            "macosx_14_0_arm64",
            "libonnxruntime.1.32.0.dylib",
            "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
            "fa585fabbea65b823b9a8f7e27d46aee3989d1be7e36b528203d3a1fd613aae7",
        ),
        ("windows", "x86_64") => wheel(
            "win_amd64",
            "onnxruntime.dll",
            "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
            "443c0065fcdba17618ddef05050308f4b471893c5c7da0337d6957c9073ad8a7",
        ),
        ("windows", "aarch64") => wheel(
            "win_arm64",
            "onnxruntime.dll",
            "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
            "a5c1951a7d495fa0c22a0865fe36981fe67f9d5dc7ba3893c20fa7266dd1e994",
        ),
        _ => None,
    }
}

impl Wheel {
    fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(format!("onnxruntime-{VERSION}-{}", self.platform))
    }

    /// The library if the cache holds it.
    ///
    /// # Errors
    /// [`Error::Format`] if others could have written it, or it is not the pinned one.
    fn cached(&self, cache: &Path) -> Result<Option<PathBuf>> {
        let folder = self.folder(cache);
        let library = folder.join(self.library);
        if !library.is_file() {
            return Ok(None);
        }
        [cache, &folder, &library].into_iter().try_for_each(library::check_private)?;
        match library::check_content(&library, self.library_sha256) {
            Err(Error::Format { path, message }) => {
                let again = format!("{message}; delete {} to have it fetched again", folder.display());
                Err(Error::Format { path, message: again })
            }
            done => done.map(|()| Some(library)),
        }
    }
}

/// The library in the cache folder, if there is one.
///
/// # Errors
/// [`Error::Format`] if others could have written it, or it is not the pinned one; those of [`cache_dir`].
pub(super) fn cached() -> Result<Option<PathBuf>> {
    match (wheel(), cache_dir()?) {
        (Some(wheel), Some(cache)) => wheel.cached(&cache),
        _ => Ok(None),
    }
}

/// Gets ONNX Runtime [`VERSION`] from PyPI into the cache folder (about 28 MB to download, 35 MB on disk) and returns
/// the library's path. Does nothing if it is there already. Of several processes one fetches, and the others wait for
/// it. What a fetch that was killed left behind is removed.
///
/// # Errors
/// [`Error::Model`] without Python, pip or network, on a platform without a wheel, if the wheel's SHA-256 is not the
/// pinned one, or if the cache cannot be written; the message lists the remedies.
pub fn fetch() -> Result<PathBuf> {
    let failed =
        |why: String| Error::Model(format!("ONNX Runtime {VERSION} was not fetched: {why}\n{}", remedies()));
    let wheel = wheel().ok_or_else(|| {
        failed(format!("PyPI has no wheel for {} on {}", env::consts::OS, env::consts::ARCH))
    })?;
    let cache =
        cache_dir()?.ok_or_else(|| failed("there is no home folder; set PARTSTAD_CACHE_DIR".into()))?;
    let unwritable = |e: Error| {
        failed(format!("{e}. This is the cache folder: set PARTSTAD_CACHE_DIR to one that you can write to"))
    };
    library::make_private(&cache).map_err(unwritable)?;
    let turn = Turn::wait(&cache).map_err(unwritable)?;
    if let Some(library) = wheel.cached(&cache)? {
        return Ok(library);
    }
    if turn.alone {
        remove_leftovers(&cache);
    }
    let folder = wheel.folder(&cache);
    let work = tempfile::Builder::new().prefix(WORK).tempdir_in(&cache);
    let work = work.map_err(|e| unwritable(Error::io(&cache)(e)))?;
    tracing::info!("fetching ONNX Runtime {VERSION} from PyPI into {}", cache.display());
    let file = download(&wheel, work.path()).map_err(failed)?;
    library::check_content(&file, wheel.sha256).map_err(|e| failed(e.to_string()))?;
    let unpacked = work.path().join("unpacked");
    library::make_private(&unpacked).map_err(unwritable)?;
    unpack(&file, wheel.library, &unpacked.join(wheel.library)).map_err(unwritable)?;
    // A rename is atomic: other processes see the whole folder or none. What stands in its way holds no library.
    if turn.alone {
        let _ = fs::remove_dir_all(&folder);
    }
    let moved = fs::rename(&unpacked, &folder);
    match (moved, wheel.cached(&cache)?) {
        (_, Some(library)) => Ok(library),
        (Err(e), None) => Err(unwritable(Error::io(&folder)(e))),
        (Ok(()), None) => Err(failed(format!("{} vanished", folder.display()))),
    }
}

/// The right to fetch, until it is dropped or the process ends.
struct Turn {
    /// Whether the system could promise that nobody else has it.
    alone: bool,
    _lock: File,
}

impl Turn {
    fn wait(cache: &Path) -> Result<Turn> {
        let path = cache.join("lock");
        let lock = File::options().create(true).write(true).truncate(false).open(&path);
        let lock = lock.map_err(Error::io(&path))?;
        let alone = match lock.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                tracing::info!("waiting for another process that fetches ONNX Runtime");
                lock.lock().is_ok()
            }
            // Some network's file systems know no locks.
            Err(TryLockError::Error(_)) => false,
        };
        Ok(Turn { alone, _lock: lock })
    }
}

/// Removes what fetches left behind that were killed; nobody else fetches now.
fn remove_leftovers(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORK) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The programs of this name in the absolute folders of `PATH`, in its order.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    let files = folders.map(|folder| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX)));
    files.filter(|file| file.is_file()).collect()
}

/// Has pip download the wheel into `folder`, which is empty; the error says why not.
fn download(wheel: &Wheel, folder: &Path) -> Result<PathBuf, String> {
    let mut why = String::from("there is no python3 on the PATH");
    for python in ["python3", "python"].iter().filter_map(|name| programs(name).into_iter().next()) {
        let output = Command::new(&python)
            // Neither the current folder nor variables say where Python's modules are.
            .args([
                "-I",
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--no-input",
                "--quiet",
            ])
            .args(["--disable-pip-version-check", "--platform", wheel.platform, "--implementation", "cp"])
            .args(["--python-version", WHEEL_PYTHON, "--abi", &format!("cp{WHEEL_PYTHON}"), "--dest"])
            .arg(folder)
            .arg(format!("onnxruntime=={VERSION}"))
            .current_dir(folder)
            .output()
            .map_err(|e| format!("{} does not start: {e}", python.display()))?;
        if output.status.success() {
            let files = fs::read_dir(folder).map_err(|e| e.to_string())?;
            let wheel =
                files.filter_map(|f| Some(f.ok()?.path())).find(|f| f.extension() == Some("whl".as_ref()));
            return wheel.ok_or_else(|| "pip reported success but left no wheel".into());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        why = format!(
            "`{} -I -m pip download` failed:\n  {}",
            python.display(),
            lines[lines.len().saturating_sub(6)..].join("\n  ")
        );
        if !said.contains("No module named pip") {
            break;
        }
    }
    Err(why)
}

fn unpack(wheel: &Path, library: &str, to: &Path) -> Result<()> {
    let broken = |e: zip::result::ZipError| Error::format(wheel, format!("not a readable wheel: {e}"));
    let mut archive = zip::ZipArchive::new(File::open(wheel).map_err(Error::io(wheel))?).map_err(broken)?;
    let mut member = archive.by_name(&format!("onnxruntime/capi/{library}")).map_err(broken)?;
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(to).map_err(Error::io(to))?;
    io::copy(&mut member, &mut file).and_then(|_| file.sync_all()).map_err(Error::io(to))
}

pub(super) fn remedies() -> String {
    let by_hand = wheel().map_or(String::new(), |wheel| {
        format!(
            "\n  - on a machine with network: pip download onnxruntime=={VERSION} --no-deps --only-binary=:all: \
             --platform {} --python-version {WHEEL_PYTHON} --abi cp{WHEEL_PYTHON}; unzip the wheel (a zip file) here and \
             set ORT_DYLIB_PATH to its onnxruntime/capi/{}",
            wheel.platform, wheel.library
        )
    });
    format!(
        "Any one of these helps:\n  - install Python 3 with pip and run again with network\n  - install ONNX Runtime \
         {OLDEST} or newer as a system package, so that the loader finds {}\n  - set ORT_DYLIB_PATH to the path of ONNX \
         Runtime's shared library{by_hand}",
        system_name()
    )
}
