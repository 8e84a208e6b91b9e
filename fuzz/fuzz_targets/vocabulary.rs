#![no_main]
//! Vocabularies of WordPiece.

use libfuzzer_sys::fuzz_target;
use partstad::models::{
    manifest::{Text, TokenizerKind},
    tokenizer::Tokenizer,
};
use std::{collections::BTreeMap, path::Path};

fuzz_target!(|data: &[u8]| {
    let text = Text {
        tokenizer: TokenizerKind::Wordpiece,
        vocab: "vocab.txt".into(),
        separator: " . ".into(),
        max_tokens: 16,
        offsets: BTreeMap::new(),
        known_parts: vec![],
    };
    if let Ok(tokenizer) = Tokenizer::new(data, &text, Path::new("vocab.txt"))
        && let Ok(tokens) = tokenizer.tokenize(&["arm", "caf\u{e9} \u{4e2d}"])
    {
        assert!(tokens.ids.len() <= 16 && tokens.parts.iter().all(|part| part.end <= tokens.ids.len()));
    }
});
