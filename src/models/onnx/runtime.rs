//! Finds ONNX Runtime, fetches it when there is none, and loads it once for the whole process.
//!
//! The places, in order: the file that `ORT_DYLIB_PATH` names; the project's cache folder; the system's library path;
//! then PyPI.

use super::{fetch, library};
use crate::error::{Error, Result};
use ort::{environment::Environment, logging::LogLevel};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

pub use super::fetch::{OLDEST, VERSION, cache_dir, fetch};

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
    let location = if let Some(path) = fetch::variable("ORT_DYLIB_PATH") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(Error::Model(format!(
                "ORT_DYLIB_PATH is {}, which is not a file; point it at ONNX Runtime's shared library ({}) or unset it",
                path.display(),
                fetch::system_name()
            )));
        }
        Location::Environment(std::path::absolute(&path).map_err(Error::io(&path))?)
    } else if let Some(path) = fetch::cached()? {
        Location::Cache(path)
    } else {
        Location::System(fetch::system_name().into())
    };
    if let Location::Environment(path) = &location {
        library::check_complete(path)?;
    }
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
    find()?.ok_or_else(|| {
        Error::Model(format!("ONNX Runtime was fetched but not found again; {}", fetch::remedies()))
    })
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
        // The loader's own words are the cause's.
        Dlopen { error, .. } => {
            let cause = std::error::Error::source(error).map_or(String::new(), |cause| format!(": {cause}"));
            format!("cannot be loaded: {error}{cause}")
        }
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
