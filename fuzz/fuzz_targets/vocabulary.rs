#![no_main]
//! Vocabularies of WordPiece.

use libfuzzer_sys::fuzz_target;
use partstad::{
    Template,
    models::{manifest::TokenizerKind, tokenizer::Tokenizer},
};
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::new(data, TokenizerKind::Wordpiece, " . ", 16, Path::new("vocab.txt"))
        && let Ok(tokens) = tokenizer.tokenize(&["arm", "caf\u{e9} \u{4e2d}"], &Template::default())
    {
        assert!(tokens.ids.len() <= 16 && tokens.parts.iter().all(|part| part.end <= tokens.ids.len()));
    }
});
