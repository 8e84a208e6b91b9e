//! The models in 2D, run by ONNX Runtime: a grounding detector and a segmenter, or a concept segmenter.
//!
//! A folder of models holds a [`manifest`], a vocabulary and ONNX files; [`Models::load`] reads it,
//! [`Models::embedded`] takes the small stand-ins that ship inside this crate.

mod batch;
mod folder;
mod image;
mod onnx;

pub mod check;
pub mod concepts;
pub mod detector;
#[cfg(feature = "cuda")]
pub mod device;
pub mod heads;
pub mod manifest;
pub mod points;
pub mod segmenter;
pub mod tokenizer;

pub use self::{
    concepts::Concepts,
    detector::Detector,
    image::Images,
    manifest::Manifest,
    onnx::{
        external,
        options::{Options, Provider},
        runtime,
    },
    segmenter::Segmenter,
};

use self::{
    folder::Folder,
    onnx::{choose, session::Sessions},
};
use crate::{
    device::Device,
    error::{Error, Result},
    io::path_text,
};
use std::{collections::HashMap, hash::Hash, path::Path};

/// Prompts that a model keeps.
const PROMPTS: usize = 256;

/// Keeps what was made of a prompt. All others are forgotten when there are too many.
fn keep<K: Eq + Hash, P>(kept: &mut HashMap<K, P>, prompt: K, made: P) {
    if kept.len() >= PROMPTS {
        kept.clear();
    }
    kept.insert(prompt, made);
}

/// What to say of models that stand in for GLIP and SAM.
pub const STAND_IN: &str = "Boxes and masks come from small stand-in models, not from GLIP and SAM: expect many mistakes, \
                            and do not compare these results with the paper's.";

/// What to say of models whose decoder gives no features.
pub const NO_FEATURES: &str = "The decoder gives no features of its boxes: score, presence and the mask's shares of view and box \
                               stand in for them. Weights learned with these models fit no others.";

/// The models of one folder, ready to run. Make them once: sessions are costly.
#[derive(Debug)]
pub struct Models {
    /// What the folder says about itself.
    pub manifest: Manifest,
    /// What finds parts in images.
    pub finder: Finder,
}

/// What finds parts in images.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum Finder {
    /// A detector finds boxes, and a segmenter makes their masks, if the folder holds one.
    Boxes(Detector, Option<Segmenter>),
    /// One model finds both.
    Concepts(Concepts),
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
        Models::open(device, Folder::on_disk(folder)?, options)
    }

    /// Loads the small models that ship with this crate; they stand in for GLIP and SAM.
    ///
    /// # Errors
    /// Those of [`Models::load`]; [`Error::Model`] if the crate was built without the feature `small-models`.
    pub fn embedded(device: &Device, options: &Options) -> Result<Models> {
        Models::open(device, Folder::embedded()?, options)
    }

    /// The manifest of a folder, or of the models that ship with this crate, and what is wrong with its files by their
    /// SHA-256; no model is loaded.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for the manifest; [`Error::Model`] if the crate was built without the feature
    /// `small-models`.
    pub fn manifest_of(folder: Option<&Path>) -> Result<(Manifest, Vec<Error>)> {
        let files = folder.map_or_else(Folder::embedded, Folder::on_disk)?;
        // Those inside this crate cannot be damaged.
        let problems = folder.iter().flat_map(|_| files.check_files()).filter_map(Result::err).collect();
        Ok((files.manifest, problems))
    }

    /// What is worth recording of them: name, checksums of the files, and where ONNX Runtime came from.
    pub fn record(&self) -> serde_json::Value {
        let Manifest { name, stand_in, files, .. } = &self.manifest;
        let runtime = runtime::load().ok().map(|runtime| path_text(runtime.location().path()));
        serde_json::json!({ "name": name, "stand_in": stand_in, "files": files, "onnx_runtime": runtime })
    }

    /// The detector, if boxes are found first.
    pub fn detector(&self) -> Option<&Detector> {
        match &self.finder {
            Finder::Boxes(detector, _) => Some(detector),
            Finder::Concepts(_) => None,
        }
    }

    /// The segmenter of the detector's boxes, if the folder holds one.
    pub fn segmenter(&self) -> Option<&Segmenter> {
        match &self.finder {
            Finder::Boxes(_, segmenter) => segmenter.as_ref(),
            Finder::Concepts(_) => None,
        }
    }

    /// The concept segmenter, if the folder holds one.
    pub fn concepts(&self) -> Option<&Concepts> {
        match &self.finder {
            Finder::Boxes(..) => None,
            Finder::Concepts(concepts) => Some(concepts),
        }
    }

    fn open(device: &Device, folder: Folder, options: &Options) -> Result<Models> {
        folder.check_files().collect::<Result<()>>()?;
        let Manifest { precision, detector, segmenter, concepts, .. } = &folder.manifest;
        let sessions = choose::sessions(runtime::load()?, device, options)?.for_half(!precision.is_full());
        let finder = match (detector, concepts) {
            (Some(rules), _) => {
                check_deform_conv(&sessions, &folder, &rules.model, options.provider)?;
                let detector = Detector::new(&sessions, device, &folder, rules)?;
                let segmenter = segmenter.as_ref();
                let load = |rules| Segmenter::new(&sessions, device, &folder, rules);
                Finder::Boxes(detector, segmenter.map(load).transpose()?)
            }
            (None, Some(rules)) => Finder::Concepts(Concepts::new(&sessions, device, &folder, rules)?),
            (None, None) => unreachable!("refused when it was read"),
        };
        Ok(Models { finder, manifest: folder.manifest })
    }
}

/// Refuses, or warns of, a model whose DeformConv would compute on the CPU.
fn check_deform_conv(sessions: &Sessions, folder: &Folder, model: &str, provider: Provider) -> Result<()> {
    if sessions.has_deform_conv || !folder.mentions(model, "DeformConv")? {
        return Ok(());
    }
    let text = format!(
        "{}: this ONNX Runtime computes its DeformConv on the CPU, with copies there and back; take onnxruntime-gpu \
         1.31.1 or newer",
        folder.path(model).display()
    );
    match provider {
        Provider::DeviceOrCpu => {
            tracing::warn!("{text}");
            Ok(())
        }
        _ => Err(Error::Model(text + ", or allow it with the provider device-or-cpu")),
    }
}
