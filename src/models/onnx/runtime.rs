//! Finds ONNX Runtime, fetches it when there is none, and loads it once for the whole process.
//!
//! The places, in order: the file that `ORT_DYLIB_PATH` names; the project's cache folder; the system's library path;
//! then PyPI, from whose pinned wheel the library goes into the cache. pip does the download, so the user's mirrors,
//! proxies and certificates hold.

use crate::{
    error::{Error, Result},
    io::hash,
};
use ort::{environment::Environment, logging::LogLevel};
use std::{
    env,
    ffi::OsString,
    fmt, fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// The release that [`fetch`] gets.
pub const VERSION: &str = "1.32.0";

/// The oldest release that works: the one of ort's feature `api-22`.
pub const OLDEST: &str = "1.22";

/// Where ONNX Runtime's shared library lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The file that the environment variable `ORT_DYLIB_PATH` names.
    Environment(PathBuf),
    /// A file in the project's cache folder.
    Cache(PathBuf),
    /// A name that the system's loader finds.
    System(PathBuf),
}

impl Location {
    /// The file, or the name given to the system's loader.
    pub fn path(&self) -> &Path {
        let (Location::Environment(path) | Location::Cache(path) | Location::System(path)) = self;
        path
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self {
            Location::Environment(_) => "ORT_DYLIB_PATH",
            Location::Cache(_) => "cache",
            Location::System(_) => "system",
        };
        write!(f, "{} ({origin})", self.path().display())
    }
}

/// ONNX Runtime, loaded; it stays so until the process ends.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    location: Location,
}

impl Runtime {
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where the library came from.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The library's own words on its version and build.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// ONNX Runtime if it is on this machine: loaded, but never fetched. A broken or too old library that
/// `ORT_DYLIB_PATH` or the cache holds is an error; one of the system's that does not load counts as none.
///
/// # Errors
/// [`Error::Model`] if the library that was found cannot be used; the message says why and what to do.
pub fn find() -> Result<Option<&'static Runtime>> {
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = RUNTIME.get() {
        return Ok(Some(runtime));
    }
    let location = if let Some(path) = variable("ORT_DYLIB_PATH") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(Error::Model(format!(
                "ORT_DYLIB_PATH is {}, which is not a file; point it at ONNX Runtime's shared library ({}) or unset it",
                path.display(),
                system_name()
            )));
        }
        Location::Environment(std::path::absolute(&path).map_err(Error::io(&path))?)
    } else if let Some(path) = cached().filter(|path| path.is_file()) {
        Location::Cache(path)
    } else {
        Location::System(system_name().into())
    };
    let loaded = match ort::init_from(location.path()) {
        Ok(loaded) => loaded,
        Err(why) if matches!(location, Location::System(_)) => {
            tracing::debug!("the system's ONNX Runtime: {why}");
            return Ok(None);
        }
        Err(why) => return Err(unusable(&location, &why)),
    };
    let environment = loaded
        .with_name("partstad")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, _, _, place, message| {
            tracing::debug!("ONNX Runtime: {message} ({place})");
            if matches!(level, LogLevel::Error | LogLevel::Fatal) {
                *complaints() = Some(message.to_string());
            }
        }))
        .build()
        .map_err(|e| Error::Model(format!("ONNX Runtime at {location} does not start: {e}")))?;
    Ok(Some(RUNTIME.get_or_init(|| Runtime { environment, location })))
}

/// ONNX Runtime, fetched first if this machine has none.
///
/// # Errors
/// Those of [`find`] and [`fetch`].
pub fn load() -> Result<&'static Runtime> {
    if let Some(runtime) = find()? {
        return Ok(runtime);
    }
    fetch()?;
    find()?
        .ok_or_else(|| Error::Model(format!("ONNX Runtime was fetched but not found again; {}", remedies())))
}

/// The last error that ONNX Runtime logged: what the loader says of a provider's library is nowhere else.
static COMPLAINT: Mutex<Option<String>> = Mutex::new(None);

fn complaints() -> MutexGuard<'static, Option<String>> {
    COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error that ONNX Runtime logged since [`forget_complaint`].
pub(super) fn complaint() -> Option<String> {
    complaints().clone()
}

pub(super) fn forget_complaint() {
    *complaints() = None;
}

fn unusable(location: &Location, why: &ort::LoadDynamicError) -> Error {
    use ort::LoadDynamicError::*;
    let why = match why {
        Dlopen { error, .. } => format!("cannot be loaded: {error}"),
        MissingApi { .. } => "is a library, but not ONNX Runtime".into(),
        BadVersion { version_str, .. } => format!("is version {version_str}; {OLDEST} or newer is needed"),
        other => other.to_string(),
    };
    let remedy = match location {
        Location::Cache(path) => format!("delete {} to have it fetched again", path.display()),
        _ => format!("unset ORT_DYLIB_PATH to have {VERSION} fetched, or point it at another library"),
    };
    Error::Model(format!("ONNX Runtime at {location} {why}; {remedy}"))
}

/// The project's cache folder: `PARTSTAD_CACHE_DIR`, else the `partstad` folder in `XDG_CACHE_HOME` or `~/.cache`
/// (`%LOCALAPPDATA%` on Windows).
pub fn cache_dir() -> Option<PathBuf> {
    if let Some(dir) = variable("PARTSTAD_CACHE_DIR") {
        return Some(dir.into());
    }
    let base = if cfg!(windows) {
        PathBuf::from(variable("LOCALAPPDATA")?)
    } else if let Some(dir) = variable("XDG_CACHE_HOME") {
        dir.into()
    } else {
        env::home_dir()?.join(".cache")
    };
    Some(base.join("partstad"))
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn system_name() -> String {
    format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// A wheel of [`VERSION`] on PyPI.
struct Wheel {
    /// pip's name of the platform.
    platform: &'static str,
    sha256: &'static str,
    /// The shared library's name in the folder `onnxruntime/capi`.
    library: &'static str,
}

/// Any Python version's wheel holds the same library; this one is fixed so that its checksum can be.
const WHEEL_PYTHON: &str = "312";

fn wheel() -> Option<Wheel> {
    let wheel = |platform, library, sha256| Some(Wheel { platform, sha256, library });
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") if cfg!(target_env = "gnu") => wheel(
            "manylinux_2_28_x86_64",
            "libonnxruntime.so.1.32.0",
            "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        ),
        ("linux", "aarch64") if cfg!(target_env = "gnu") => wheel(
            "manylinux_2_28_aarch64",
            "libonnxruntime.so.1.32.0",
            "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        ),
        ("macos", "aarch64") => wheel(
            "macosx_14_0_arm64",
            "libonnxruntime.1.32.0.dylib",
            "d52510bbbcc880c13b826f7d75cdf33ac5cf0bb864d960000fc29ce73f0cb83e",
        ),
        ("windows", "x86_64") => wheel(
            "win_amd64",
            "onnxruntime.dll",
            "efe7456952c243a05a53d5b8732953625144642c2f3989094277f6217f0c0c40",
        ),
        ("windows", "aarch64") => wheel(
            "win_arm64",
            "onnxruntime.dll",
            "64d394c69d561af3efd4d4f49dcac8f11d0ce135a20701c16d53b74056cd4cf8",
        ),
        _ => None,
    }
}

fn cached() -> Option<PathBuf> {
    let wheel = wheel()?;
    Some(cache_dir()?.join(format!("onnxruntime-{VERSION}-{}", wheel.platform)).join(wheel.library))
}

/// Gets ONNX Runtime [`VERSION`] from PyPI into the cache folder (about 28 MB to download, 35 MB on disk) and returns
/// the library's path. Does nothing if it is there already; several processes may call it at once.
///
/// # Errors
/// [`Error::Model`] without Python, pip or network, on a platform without a wheel, or if the wheel's SHA-256 is not
/// the pinned one; the message lists the remedies. [`Error::Io`] if the cache cannot be written.
pub fn fetch() -> Result<PathBuf> {
    let failed =
        |why: String| Error::Model(format!("ONNX Runtime {VERSION} was not fetched: {why}\n{}", remedies()));
    let wheel = wheel().ok_or_else(|| {
        failed(format!("PyPI has no wheel for {} on {}", env::consts::OS, env::consts::ARCH))
    })?;
    let library = cached().ok_or_else(|| failed("there is no home folder; set PARTSTAD_CACHE_DIR".into()))?;
    if library.is_file() {
        return Ok(library);
    }
    let (Some(folder), Some(cache)) = (library.parent(), cache_dir()) else {
        return Err(failed("there is no cache folder; set PARTSTAD_CACHE_DIR".into()));
    };
    fs::create_dir_all(&cache).map_err(Error::io(&cache))?;
    let work = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&cache).map_err(Error::io(&cache))?;

    tracing::info!("fetching ONNX Runtime {VERSION} from PyPI into {}", cache.display());
    let file = download(&wheel, work.path()).map_err(&failed)?;
    let found = hash::sha256_of_file(&file)?;
    if found != wheel.sha256 {
        let why = format!("{} has SHA-256 {found}, expected {}", file.display(), wheel.sha256);
        return Err(failed(why));
    }
    let unpacked = work.path().join("unpacked");
    fs::create_dir(&unpacked).map_err(Error::io(&unpacked))?;
    unpack(&file, wheel.library, &unpacked.join(wheel.library))?;
    // A rename is atomic: other processes see the whole folder or none.
    if let Err(e) = fs::rename(&unpacked, folder)
        && !library.is_file()
    {
        return Err(Error::Io { path: folder.to_path_buf(), source: e });
    }
    Ok(library)
}

/// Has pip download the wheel into `folder`; the error says why not.
fn download(wheel: &Wheel, folder: &Path) -> Result<PathBuf, String> {
    let mut why = String::from("there is no python3 on the PATH");
    for python in ["python3", "python"] {
        let output = Command::new(python)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"])
            .args(["--disable-pip-version-check", "--platform", wheel.platform, "--implementation", "cp"])
            .args(["--python-version", WHEEL_PYTHON, "--abi", &format!("cp{WHEEL_PYTHON}"), "--dest"])
            .arg(folder)
            .arg(format!("onnxruntime=={VERSION}"))
            .output();
        let output = match output {
            Ok(output) => output,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(format!("{python} does not start: {e}")),
        };
        if output.status.success() {
            let files = fs::read_dir(folder).map_err(|e| e.to_string())?;
            let wheel =
                files.filter_map(|f| Some(f.ok()?.path())).find(|f| f.extension() == Some("whl".as_ref()));
            return wheel.ok_or_else(|| "pip reported success but left no wheel".into());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        why = format!(
            "`{python} -m pip download` failed:\n  {}",
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
    let mut archive =
        zip::ZipArchive::new(fs::File::open(wheel).map_err(Error::io(wheel))?).map_err(broken)?;
    let mut member = archive.by_name(&format!("onnxruntime/capi/{library}")).map_err(broken)?;
    let mut file = fs::File::create(to).map_err(Error::io(to))?;
    io::copy(&mut member, &mut file).and_then(|_| file.sync_all()).map_err(Error::io(to))
}

fn remedies() -> String {
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
