//! A folder of models, on disk or inside this crate.

use super::{
    manifest::Manifest,
    onnx::{external, session::Source},
};
use crate::{
    error::{Error, Result},
    io::hash,
};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// Models' files, and what the manifest says of them.
#[derive(Debug)]
pub struct Folder {
    place: Place,
    /// What the folder says about itself.
    pub manifest: Manifest,
}

#[derive(Debug)]
enum Place {
    Disk(PathBuf),
    Memory(&'static [Embedded]),
}

/// A file's name and content.
type Embedded = (&'static str, &'static [u8]);

#[cfg(feature = "small-models")]
fn embedded_files() -> Result<&'static [Embedded]> {
    macro_rules! files {
        ($($name:literal),*) => { &[$(($name, include_bytes!(concat!("../../models/small/", $name)))),*] };
    }
    Ok(files!(
        "manifest.json",
        "vocab.txt",
        "text_encoder.onnx",
        "grounding_detector.onnx",
        "sam_encoder.onnx",
        "sam_decoder.onnx",
        "sam_points.onnx"
    ))
}

#[cfg(not(feature = "small-models"))]
fn embedded_files() -> Result<&'static [Embedded]> {
    Err(Error::Model(
        "this build holds no models; name a folder of models, or build with the feature small-models".into(),
    ))
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Place::Disk(folder) => folder.join(name),
            Place::Memory(_) => Path::new("embedded").join(name),
        }
    }

    fn source(&self, name: &str) -> Result<Source> {
        let path = self.path(name);
        match self {
            Place::Disk(_) => Ok(Source::File(path)),
            Place::Memory(files) => match files.iter().find(|(file, _)| *file == name) {
                Some(&(_, bytes)) => Ok(Source::Bytes(path.display().to_string(), bytes)),
                None => Err(Error::format(path, "not among the embedded files")),
            },
        }
    }

    fn read(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        match self.source(name)? {
            Source::File(path) => fs::read(&path).map(Cow::Owned).map_err(Error::io(path)),
            Source::Bytes(_, bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }
}

impl Folder {
    /// A folder on disk.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for the manifest.
    pub fn on_disk(folder: &Path) -> Result<Folder> {
        Folder::open(Place::Disk(folder.to_path_buf()))
    }

    /// The one inside this crate.
    ///
    /// # Errors
    /// [`Error::Model`] if the crate was built without the feature `small-models`.
    pub fn embedded() -> Result<Folder> {
        Folder::open(Place::Memory(embedded_files()?))
    }

    fn open(place: Place) -> Result<Folder> {
        const MANIFEST: &str = "manifest.json";
        let manifest = Manifest::parse(&place.read(MANIFEST)?, &place.path(MANIFEST))?;
        Ok(Folder { place, manifest })
    }

    /// What messages call a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        self.place.read(name)
    }

    /// The model in a file.
    ///
    /// # Errors
    /// [`Error::Format`] if it is none of the crate's.
    pub fn source(&self, name: &str) -> Result<Source> {
        self.place.source(name)
    }

    /// Compares every file's SHA-256 with the manifest's.
    pub fn check_files(&self) -> impl Iterator<Item = Result<()>> {
        self.manifest.files.iter().map(|(name, expected)| self.check_file(name, expected))
    }

    fn check_file(&self, name: &str, expected: &str) -> Result<()> {
        let found = match self.source(name)? {
            Source::File(path) => sha256_once(&path)?,
            Source::Bytes(_, bytes) => hash::sha256(bytes),
        };
        if found.eq_ignore_ascii_case(expected) {
            return self.check_external(name);
        }
        Err(Error::Model(format!(
            "{}: SHA-256 is {found}, but the manifest says {expected}; the file is damaged or another one: copy it \
             again, or correct the manifest if you changed it",
            self.path(name).display()
        )))
    }

    /// Checks that the manifest also has the SHA-256 of what a model keeps outside its file.
    fn check_external(&self, name: &str) -> Result<()> {
        let Source::File(path) = self.source(name)? else { return Ok(()) };
        if path.extension() != Some("onnx".as_ref()) {
            return Ok(());
        }
        let file = File::open(&path).map_err(Error::io(&path))?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        let used = external::names(BufReader::new(file), length).map_err(Error::io(&path))?;
        match used.iter().find(|used| !self.manifest.files.contains_key(used.trim_start_matches("./"))) {
            None => Ok(()),
            Some(used) => Err(Error::Model(format!(
                "{}: keeps numbers in {used:?}, which has no SHA-256 under files of the manifest; add it",
                path.display()
            ))),
        }
    }

    /// Whether a file's bytes hold a word.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn mentions(&self, name: &str, word: &str) -> Result<bool> {
        let bytes = self.read(name)?;
        Ok(bytes.windows(word.len()).any(|window| window == word.as_bytes()))
    }
}

/// The SHA-256 of a file's content, which is read again only when its length or time changed: a process may load the
/// same gigabytes for every device.
fn sha256_once(path: &Path) -> Result<String> {
    static KNOWN: Mutex<BTreeMap<(PathBuf, u64, SystemTime), String>> = Mutex::new(BTreeMap::new());
    let found = fs::metadata(path).map_err(Error::io(path))?;
    let key = (path.to_path_buf(), found.len(), found.modified().map_err(Error::io(path))?);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known().get(&key) {
        return Ok(known.clone());
    }
    let made = hash::sha256_of_file(path)?;
    known().insert(key, made.clone());
    Ok(made)
}
