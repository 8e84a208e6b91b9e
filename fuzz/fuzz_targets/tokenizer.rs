#![no_main]
//! Tokenizers as Hugging Face's library keeps them; most of what reads them is that library's.

use libfuzzer_sys::fuzz_target;
use partstad::models::{
    manifest::{Text, TokenizerKind},
    tokenizer::Tokenizer,
};
use std::{collections::BTreeMap, path::Path};

fuzz_target!(init: partstad_fuzz::contain_panics(), |data: &[u8]| {
    let text = Text {
        tokenizer: TokenizerKind::Json,
        vocab: "tokenizer.json".into(),
        separator: " . ".into(),
        max_tokens: 16,
        offsets: BTreeMap::new(),
        known_parts: vec![],
    };
    if let Ok(tokenizer) = Tokenizer::new(data, &text, Path::new("tokenizer.json"))
        && let Ok(tokens) = tokenizer.tokenize(&["arm", "leg"])
    {
        assert!(tokens.parts.iter().all(|part| part.end <= tokens.ids.len()));
    }
});
