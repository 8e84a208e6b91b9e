//! The section `concepts`: a segmenter that finds what a name says, as SAM 3 does.

use super::{
    image::Image,
    ports::{Pairs, Ports},
    text::TokenizerKind,
};
use crate::models::heads::need;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A concept segmenter (SAM 3): views and names to boxes with masks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concepts {
    /// File of the vision encoder.
    pub vision_encoder: String,
    /// File of the text encoder; none: the names of `prompts` alone can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_encoder: Option<String>,
    /// File of the decoder.
    pub decoder: String,
    /// How images become the vision encoder's input.
    pub image: Image,
    /// How a name becomes tokens, where there is a text encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<ConceptText>,
    /// Files of stored prompts by name, which take the place of tokenizer and text encoder: safetensors with `prompt`, f32
    /// `[L, D]`, and if tokens are to be left out `mask`, i64 `[L]`, 1 = counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, String>,
    /// What the vision encoder hands to the decoder, by its name in both graphs: shapes of one view.
    pub features: BTreeMap<String, Vec<usize>>,
    /// Channels of a prompt, D.
    pub prompt_dim: usize,
    /// Boxes that the decoder proposes per view and name, Q.
    pub queries: usize,
    /// Side of the mask logits, which cover the model's whole input.
    pub masks: usize,
    /// How outputs become a score.
    pub score: Score,
    /// What the decoder's boxes are.
    pub boxes: Boxes,
    /// IoU of masks of a view above which the weaker goes, whatever their names; 1 keeps all.
    pub nms: f32,
    /// Boxes kept per view and name, and then per view.
    pub max_det: usize,
    /// Channels of a box's feature; 0 = the decoder gives none.
    pub feature_dim: usize,
    /// Tokens of a prompt, L, if the graphs fix them; shorter ones are padded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<usize>,
    /// How pairs of a view and a name go through the decoder.
    #[serde(default, skip_serializing_if = "Pairs::are_own")]
    pub pairs: Pairs,
    /// What the graphs call their inputs and outputs.
    #[serde(default, skip_serializing_if = "Ports::are_own")]
    pub ports: Ports,
}

/// How one name becomes tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConceptText {
    /// The tokenizer's family.
    pub tokenizer: TokenizerKind,
    /// File of its vocabulary.
    pub vocab: String,
    /// Longer names are cut, special tokens included.
    pub max_tokens: usize,
    /// The token that fills names up to `prompt_tokens`.
    #[serde(default)]
    pub pad: i64,
}

/// Scoring rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The logit's sigmoid x the sigmoid of the name's presence in the view (SAM 3).
    SigmoidXPresence,
    /// The logit's sigmoid.
    Sigmoid,
    /// Both are probabilities already.
    ProbabilityXPresence,
    /// A probability.
    Probability,
}

impl Score {
    /// Whether the decoder says how likely the name is anywhere in the view.
    pub fn has_presence(&self) -> bool {
        matches!(self, Score::SigmoidXPresence | Score::ProbabilityXPresence)
    }
}

/// Forms of boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boxes {
    /// Centre, width and height, in parts of the model's input.
    Center,
    /// Left, top, right, bottom, in parts of the model's input.
    Corners,
    /// Left, top, right, bottom, in pixels of the model's input.
    CornerPixels,
}

/// Most tokens of a prompt.
pub const MOST_TOKENS: usize = 4096;

impl Concepts {
    /// All files that are used.
    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        let Concepts { vision_encoder, text_encoder, decoder, text, prompts, .. } = self;
        let vocab = text.iter().map(|text| &text.vocab);
        [vision_encoder, decoder].into_iter().chain(text_encoder).chain(vocab).chain(prompts.values())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.image.check()?;
        match (&self.text_encoder, &self.text) {
            (Some(_), None) => {
                return Err("text is missing: how do names become the text encoder's tokens?".into());
            }
            (None, Some(_)) => return Err("text_encoder is missing; without one, leave out text".into()),
            (None, None) => need(!self.prompts.is_empty(), "text_encoder or prompts must be there")?,
            (Some(_), Some(text)) => need(
                (3..=MOST_TOKENS).contains(&text.max_tokens),
                &format!("text.max_tokens must be in 3..={MOST_TOKENS}"),
            )?,
        }
        for name in self.prompts.keys() {
            let plain = !name.is_empty() && *name == name.trim().to_lowercase();
            need(plain, &format!("prompts: the name {name:?} must be trimmed and in lower case"))?;
        }
        need(
            (1..=16).contains(&self.features.len()),
            "features must name 1 to 16 outputs of the vision encoder",
        )?;
        for (name, shape) in &self.features {
            let fits = (1..=8).contains(&shape.len()) && shape.iter().all(|n| (1..=4096).contains(n));
            let ports = &self.ports.decoder.inputs;
            let taken = match ports.is_empty() {
                true => ["image_index", "text_hidden", "text_mask"].contains(&&name[..]),
                false => ports.contains_key(name),
            };
            need(fits, &format!("features.{name} must be 1 to 8 lengths in 1..=4096"))?;
            need(!taken, &format!("features.{name} has the name of another input of the decoder"))?;
        }
        let longest = self.text.as_ref().map_or(1, |text| text.max_tokens);
        need(
            self.prompt_tokens.is_none_or(|n| (longest..=MOST_TOKENS).contains(&n)),
            &format!("prompt_tokens must be in {longest}..={MOST_TOKENS}"),
        )?;
        let width = |n: usize| (1..=65536).contains(&n);
        need(width(self.prompt_dim), "prompt_dim must be in 1..=65536")?;
        need(width(self.queries), "queries must be in 1..=65536")?;
        need((3..=4096).contains(&self.masks), "masks must be in 3..=4096")?;
        need((0.0..=1.0).contains(&self.nms), "nms must be in [0, 1]")?;
        need(width(self.max_det), "max_det must be in 1..=65536")?;
        need(self.feature_dim <= 65536, "feature_dim must be in 0..=65536")
    }
}
