//! `manifest.json`: what a folder of models holds and how to feed it.

mod concepts;
mod image;
pub mod ports;
mod text;

pub use self::{
    concepts::{Boxes, ConceptText, Concepts, MOST_TOKENS, Score},
    image::{Image, Resize},
    text::{Text, TokenizerKind},
};

use super::heads::{Head, need};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// The only manifest version there is.
pub const VERSION: u32 = 1;

/// A folder of models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// What people call these models.
    pub name: String,
    /// Whether these are small models that stand in for GLIP and SAM.
    pub stand_in: bool,
    /// What the models compute in; text encoders compute in f32.
    #[serde(default, skip_serializing_if = "Precision::is_full")]
    pub precision: Precision,
    /// SHA-256 in hexadecimal of every file that is used, by its name in the folder.
    pub files: BTreeMap<String, String>,
    /// The text-conditioned grounding detector; either this or `concepts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<Detector>,
    /// The box-prompted segmenter of the detector's boxes; without one the boxes vote themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segmenter: Option<Segmenter>,
    /// The concept segmenter, which finds boxes and masks at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concepts: Option<Concepts>,
}

/// What a model computes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the exponents of 32-bit ones.
    Bf16,
}

impl Precision {
    /// Whether it is that of 32-bit floats.
    pub fn is_full(&self) -> bool {
        *self == Precision::F32
    }
}

/// A text-conditioned grounding detector (GLIP): what all families have in common, and the [`Head`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// File of the text encoder.
    pub text_encoder: String,
    /// File of the detector.
    pub model: String,
    /// How images become its input.
    pub image: Image,
    /// How part names become tokens.
    pub text: Text,
    /// What its outputs are and mean: the field `kind`, and the fields of that kind. It refuses all others.
    #[serde(flatten)]
    pub head: Head,
    /// IoU above which the weaker of two boxes of one part goes.
    pub nms: f32,
    /// Boxes kept per image.
    pub max_det: usize,
    /// Channels of a box's feature.
    pub feature_dim: usize,
}

/// A box-prompted segmenter (SAM).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segmenter {
    /// File of the image encoder.
    pub encoder: String,
    /// File of the box decoder.
    pub decoder: String,
    /// File of the point decoder, if it answers points too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<String>,
    /// How images become the encoder's input, whose frame the boxes are given in: square, 1024 for SAM.
    pub image: Image,
    /// Channels and side of the embedding: 256 and 64 for SAM.
    pub embedding: [usize; 2],
}

impl Manifest {
    /// Reads and checks the text of a manifest; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Format`] naming the field that is missing, unknown or out of range.
    pub fn parse(text: &[u8], path: &Path) -> Result<Manifest> {
        let manifest: Manifest = serde_json::from_slice(text)
            .map_err(|e| Error::format(path, format!("not a manifest of models: {e}")))?;
        manifest.check().map_err(|message| Error::format(path, message))?;
        Ok(manifest)
    }

    /// The names of parts that the detector was trained on, if it knows few.
    pub fn known_parts(&self) -> &[String] {
        self.detector.as_ref().map_or(&[], |detector| &detector.text.known_parts)
    }

    /// Whether four numbers stand in for the features of boxes.
    pub fn lacks_features(&self) -> bool {
        self.concepts.as_ref().is_some_and(|concepts| concepts.feature_dim == 0)
    }

    fn check(&self) -> Result<(), String> {
        if self.version != VERSION {
            let found = self.version;
            return Err(format!(
                "manifest version {found} is not {VERSION}; use a matching release of partstad"
            ));
        }
        match (&self.detector, &self.segmenter, &self.concepts) {
            (Some(_), _, None) | (None, None, Some(_)) => {}
            (Some(_), _, Some(_)) => {
                return Err("there are a detector and concepts; a folder holds one of the two".into());
            }
            (None, Some(_), Some(_)) => {
                return Err(
                    "there are a segmenter and concepts, which make masks themselves; remove the segmenter"
                        .into(),
                );
            }
            (None, _, None) => {
                return Err("there is no detector, and there are no concepts; one is needed".into());
            }
        }
        let mut used: Vec<&String> = vec![];
        if let Some(Detector { text_encoder, model, text, .. }) = &self.detector {
            used.extend([text_encoder, model, &text.vocab]);
            used.extend(text.offsets.values());
        }
        used.extend(
            self.segmenter.iter().flat_map(|s| [&s.encoder, &s.decoder].into_iter().chain(&s.points)),
        );
        used.extend(self.concepts.iter().flat_map(Concepts::files));
        if let Some(name) = used.into_iter().find(|&name| !self.files.contains_key(name)) {
            return Err(format!("{name:?} is used but has no SHA-256 under files"));
        }
        // A name must not lead out of the manifest's folder.
        let leads_out = |name: &&String| name.contains(['/', '\\', ':']) || name.starts_with('.');
        if let Some(name) = self.files.keys().find(leads_out) {
            return Err(format!(
                "files: {name:?} must be the plain name of a file in the manifest's own folder"
            ));
        }
        let within = |section: &'static str| move |e: String| format!("{section}.{e}");
        self.detector.iter().try_for_each(|d| d.check().map_err(within("detector")))?;
        self.segmenter.iter().try_for_each(|s| s.check().map_err(within("segmenter")))?;
        self.concepts.iter().try_for_each(|c| c.check().map_err(within("concepts")))
    }
}

impl Detector {
    fn check(&self) -> Result<(), String> {
        self.image.check()?;
        self.head.family().check()?;
        need(self.max_det > 0, "max_det must be above 0")?;
        need((0.0..=1.0).contains(&self.nms), "nms must be in [0, 1]")?;
        need((1..=65536).contains(&self.feature_dim), "feature_dim must be in 1..=65536")?;
        need(self.text.max_tokens > 2, "text.max_tokens must be above 2")?;
        need(!self.text.separator.is_empty(), "text.separator must not be empty")
    }
}

impl Segmenter {
    fn check(&self) -> Result<(), String> {
        self.image.check()?;
        need(self.image.size[0] == self.image.size[1], "image.size must be square")?;
        need(self.image.resize == Resize::Longer, "image.resize must be \"longer\"")?;
        need(
            self.embedding.iter().all(|n| (1..=65536).contains(n)),
            "embedding must be [channels, side], above 0",
        )
    }
}
