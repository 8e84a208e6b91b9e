//! The models in 2D: a grounding detector and a segmenter, run by ONNX Runtime.
//!
//! A folder of models holds a [`manifest`], a vocabulary and ONNX files; [`Models::load`] reads it,
//! [`Models::embedded`] takes the small stand-ins that ship inside this crate.

mod batch;
#[cfg(feature = "cuda")]
mod binding;
mod image;
#[cfg(feature = "cuda")]
mod probe;

pub mod check;
pub mod contract;
pub mod detector;
pub mod engine;
pub mod manifest;
pub mod onnx;
pub mod runtime;
pub mod segmenter;
pub mod tensor;
pub mod tokenizer;

#[cfg(feature = "cuda")]
pub use self::image::ImagesOnDevice;
pub use self::{
    detector::Detector, engine::Provider, image::Images, manifest::Manifest, segmenter::Segmenter,
};

use self::{
    contract::{Comparison, Contract},
    engine::Engine,
    onnx::{Model, Source},
};
use crate::{
    device::Device,
    error::{Error, Result},
    io::hash,
};
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// How to make the sessions, and how much memory they may take. All but the threads is for models on a CUDA device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Threads within an operator on the CPU; 0 = one per core.
    pub threads: usize,
    /// What computes them.
    pub provider: Provider,
    /// Refuse models of which ONNX Runtime would compute any node on the CPU. Dynamic models usually compute their shapes
    /// there.
    pub whole_on_device: bool,
    /// Replay the image encoder's work as one CUDA graph for each number of images, captured when the number first comes;
    /// nobody else in this process may use the device meanwhile. Its inputs and outputs get memory of their own. Asks for
    /// an encoder without copies to or from the host in between.
    pub cuda_graphs: bool,
    /// The most bytes that ONNX Runtime takes for a model, weights included; none = no limit.
    pub memory_limit: Option<u64>,
    /// The bytes that a run of a model may take, which decides how many images or boxes it takes where the stages leave
    /// that open; none = nine tenths of what is free when it first runs.
    pub batch_memory: Option<u64>,
}

/// The models of one folder, ready to run. Make them once: sessions are costly.
#[derive(Debug)]
pub struct Models {
    /// What the folder says about itself.
    pub manifest: Manifest,
    /// Finds parts in images.
    pub detector: Detector,
    /// Makes masks of boxes, if the folder holds one.
    pub segmenter: Option<Segmenter>,
}

impl Models {
    /// Loads the folder's models for a device; fetches ONNX Runtime if this machine has none ([`runtime::load`]).
    ///
    /// On a CUDA device they compute on its stream, one run at a time. For two pipelines that overlap on one device, load
    /// models twice, each for a [`Gpu::fork`](crate::device::gpu::Gpu::fork) of its own: a session has one stream.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for the manifest and vocabulary; [`Error::Model`] for a file whose SHA-256 is
    /// not the manifest's, a model that breaks its contract, or without ONNX Runtime; where the options do not allow the
    /// CPU, also for a device on which ONNX Runtime does not compute.
    pub fn load(device: &Device, folder: &Path, options: &Options) -> Result<Models> {
        Models::open(device, Place::Disk(folder.to_path_buf()), options)
    }

    /// Loads the small models that ship with this crate; they stand in for GLIP and SAM.
    ///
    /// # Errors
    /// Those of [`Models::load`]; [`Error::Model`] if the crate was built without the feature `small-models`.
    pub fn embedded(device: &Device, options: &Options) -> Result<Models> {
        Models::open(device, Place::Memory(embedded_files()?), options)
    }

    /// The manifest of the models that ship with this crate, without loading any.
    ///
    /// # Errors
    /// [`Error::Model`] if the crate was built without the feature `small-models`.
    pub fn embedded_manifest() -> Result<Manifest> {
        Folder::open(Place::Memory(embedded_files()?)).map(|(_, manifest)| manifest)
    }

    fn open(device: &Device, place: Place, options: &Options) -> Result<Models> {
        let (folder, manifest) = Folder::open(place)?;
        folder.check_files()?;
        let engine = Engine::new(runtime::load()?, device, options)?.in_precision(manifest.precision);
        if !engine.has_deform_conv() && folder.mentions(&manifest.detector.model, "DeformConv")? {
            let text = format!(
                "{}: this ONNX Runtime computes its DeformConv on the CPU, with copies there and back; take onnxruntime-gpu \
                 1.31.1 or newer",
                folder.path(&manifest.detector.model).display()
            );
            match options.provider {
                Provider::DeviceOrCpu => tracing::warn!("{text}"),
                _ => return Err(Error::Model(text + ", or allow it with the provider device-or-cpu")),
            }
        }
        let detector = Detector::new(&engine, device, &folder, &manifest.detector)?;
        let segmenter = manifest
            .segmenter
            .as_ref()
            .map(|rules| Segmenter::new(&engine, device, &folder, rules))
            .transpose()?;
        Ok(Models { manifest, detector, segmenter })
    }
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
        "sam_decoder.onnx"
    ))
}

#[cfg(not(feature = "small-models"))]
fn embedded_files() -> Result<&'static [Embedded]> {
    Err(Error::Model(
        "this build holds no models; name a folder of models, or build with the feature small-models".into(),
    ))
}

/// Where models are kept.
enum Place {
    Disk(PathBuf),
    Memory(&'static [Embedded]),
}

/// Models' files and what the manifest says their content is.
struct Folder {
    place: Place,
    files: BTreeMap<String, String>,
}

impl Folder {
    fn open(place: Place) -> Result<(Folder, Manifest)> {
        let mut folder = Folder { place, files: BTreeMap::new() };
        let manifest = Manifest::parse(&folder.read("manifest.json")?, &folder.path("manifest.json"))?;
        folder.files = manifest.files.clone();
        Ok((folder, manifest))
    }

    fn path(&self, name: &str) -> PathBuf {
        match &self.place {
            Place::Disk(folder) => folder.join(name),
            Place::Memory(_) => Path::new("embedded").join(name),
        }
    }

    fn read(&self, name: &str) -> Result<Cow<'static, [u8]>> {
        let path = self.path(name);
        match &self.place {
            Place::Disk(_) => fs::read(&path).map(Cow::Owned).map_err(Error::io(path)),
            Place::Memory(files) => files
                .iter()
                .find(|(file, _)| *file == name)
                .map(|&(_, bytes)| Cow::Borrowed(bytes))
                .ok_or_else(|| Error::format(path, "not among the embedded files")),
        }
    }

    fn check_files(&self) -> Result<()> {
        self.files.keys().try_for_each(|name| self.check_file(name))
    }

    fn check_file(&self, name: &str) -> Result<()> {
        let expected = &self.files[name];
        let found = match &self.place {
            Place::Disk(_) => hash::sha256_of_file(&self.path(name))?,
            Place::Memory(_) => hash::sha256(&self.read(name)?),
        };
        if found.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        Err(Error::Model(format!(
            "{}: SHA-256 is {found}, but the manifest says {expected}; the file is damaged or another one: copy it \
             again, or correct the manifest if you changed it",
            self.path(name).display()
        )))
    }

    /// Whether a file's bytes hold a word.
    fn mentions(&self, name: &str, word: &str) -> Result<bool> {
        let bytes = self.read(name)?;
        Ok(bytes.windows(word.len()).any(|window| window == word.as_bytes()))
    }

    fn model(&self, engine: &Engine, name: &str, contract: Contract) -> Result<Model> {
        self.with_source(name, |title, source| Model::new(engine, title, source, contract))
    }

    fn inspect(&self, engine: &Engine, name: &str, contract: &Contract) -> Result<Vec<Comparison>> {
        self.with_source(name, |title, source| Model::inspect(engine, title, source, contract))
    }

    fn with_source<T>(&self, name: &str, open: impl FnOnce(&str, Source) -> Result<T>) -> Result<T> {
        let path = self.path(name);
        let title = path.display().to_string();
        match &self.place {
            Place::Disk(_) => open(&title, Source::File(&path)),
            Place::Memory(_) => open(&title, Source::Bytes(&self.read(name)?)),
        }
    }
}
