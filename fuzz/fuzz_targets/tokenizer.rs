#![no_main]
//! Tokenizers as Hugging Face's library keeps them; most of what reads them is that library's.

use libfuzzer_sys::fuzz_target;
use partstad::{
    Template,
    models::{manifest::TokenizerKind, tokenizer::Tokenizer},
};
use std::path::Path;

fuzz_target!(init: partstad_fuzz::contain_panics(), |data: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::new(data, TokenizerKind::Json, " . ", 16, Path::new("tokenizer.json"))
        && let Ok(tokens) = tokenizer.tokenize(&["arm", "leg"], &Template::default())
    {
        assert!(tokens.parts.iter().all(|part| part.end <= tokens.ids.len()));
    }
});
