//! How part names become tokens.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How part names become tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The tokenizer's family.
    pub tokenizer: TokenizerKind,
    /// File of its vocabulary.
    pub vocab: String,
    /// What follows each name in the caption.
    pub separator: String,
    /// Longer captions are cut, special tokens included.
    pub max_tokens: usize,
    /// Files of offsets that were learned for one caption each, by caption: safetensors with `text_offset`, f32 `[>= L,
    /// D]`, added to the text encoder's output.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offsets: BTreeMap<String, String>,
    /// The names of parts that the detector was trained on, if it knows few; others get a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_parts: Vec<String>,
}

/// Families of tokenizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenizerKind {
    /// BERT's, uncased; the vocabulary holds one token a line.
    Wordpiece,
    /// Any that Hugging Face's library keeps as tokenizer.json, which is the vocabulary (CLIP's).
    Json,
}
