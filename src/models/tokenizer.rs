//! From part names to the tokens that a text encoder reads, and back: which tokens belong to which part.
//!
//! The caption is every name followed by " . ", the trailing one included ("arm . back . "): the authors' code, not the
//! paper, which says comma separated. Tokens are BERT's uncased WordPiece between `[CLS]` and `[SEP]`, or what a tokenizer.json
//! says.

use super::manifest::TokenizerKind;
use crate::{
    error::{Error, Result},
    parts::Template,
};
use std::{
    ops::Range,
    panic::{self, AssertUnwindSafe},
    path::Path,
};
use tokenizers::{
    Tokenizer as Rules, TruncationParams, models::wordpiece::WordPiece, normalizers::bert::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer, processors::bert::BertProcessing,
};

/// The crate panics at some damaged tokenizers; that is an error like others here.
fn contained<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("damaged".into()))
}

/// The names of parts as a caption's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// The text that was tokenized.
    pub caption: String,
    /// Token numbers, specials included, `[L]`.
    pub ids: Vec<i64>,
    /// The tokens of each part, `[P]`; empty if the caption was cut before it.
    pub parts: Vec<Range<usize>>,
    /// Whether the caption was not cut.
    pub whole: bool,
    /// The parts of which the vocabulary lacks a word, ascending; the model can hardly find them.
    pub unknown: Vec<usize>,
}

/// A tokenizer with its caption rule.
#[derive(Debug)]
pub struct Tokenizer {
    rules: Rules,
    /// What stands for words that the vocabulary lacks, if it can lack any.
    unknown: Option<u32>,
    separator: String,
}

impl Tokenizer {
    /// Makes a tokenizer from the content of its vocabulary; `path` is for messages. `separator`: what follows each name in a
    /// caption; `max_tokens`: longer captions are cut.
    ///
    /// # Errors
    /// [`Error::Format`] if the vocabulary is not of the kind; if one of WordPiece names a token twice or
    /// lacks `[CLS]`, `[SEP]` or `[UNK]`.
    pub fn new(
        vocab: &[u8],
        kind: TokenizerKind,
        separator: &str,
        max_tokens: usize,
        path: &Path,
    ) -> Result<Tokenizer> {
        let failed = |e| Error::format(path, format!("not a tokenizer's vocabulary: {e}"));
        let (mut rules, unknown) = match kind {
            TokenizerKind::Wordpiece => {
                wordpiece(vocab, path).map(|(rules, unknown)| (rules, Some(unknown)))?
            }
            TokenizerKind::Json => (contained(|| Rules::from_bytes(vocab)).map_err(failed)?, None),
        };
        let truncation = TruncationParams { max_length: max_tokens, ..Default::default() };
        rules.with_truncation(Some(truncation)).map_err(failed)?;
        rules.with_padding(None);
        Ok(Tokenizer { rules, unknown, separator: separator.into() })
    }

    /// Tokenizes the caption of some parts, each asked for as the template says; the tokens of a part are its name's alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] without parts, with an empty name or the same name twice, or if the template needs a category.
    pub fn tokenize(&self, parts: &[impl AsRef<str>], template: &Template) -> Result<Tokens> {
        let (before, after) = template.around()?;
        if parts.is_empty() {
            return Err(Error::invalid("no part names; give at least one"));
        }
        let mut caption = String::new();
        let mut spans = vec![];
        for (p, name) in parts.iter().enumerate() {
            let name = name.as_ref();
            if name.trim().is_empty() {
                return Err(Error::invalid(format!("the name of part {p} is empty")));
            }
            if parts[..p].iter().any(|other| other.as_ref() == name) {
                return Err(Error::invalid(format!("part {name:?} is named twice")));
            }
            caption.push_str(before);
            let begin = caption.chars().count();
            caption.push_str(name);
            spans.push(begin..caption.chars().count());
            caption.push_str(after);
            caption.push_str(&self.separator);
        }
        let encoding = contained(|| self.rules.encode_char_offsets(caption.as_str(), true))
            .map_err(|e| Error::invalid(format!("the caption {caption:?} cannot be tokenized: {e}")))?;
        let token_at = |character: usize| encoding.char_to_token(character, 0);
        // GLIP's create_positive_map looks up to two characters further for a token at either end.
        let tokens_of = |span: &Range<usize>| {
            let first = (0..3).find_map(|i| token_at(span.start + i));
            let last = (1..4).find_map(|i| token_at(span.end.checked_sub(i)?));
            match (first, last) {
                (Some(first), Some(last)) if first <= last => first..last + 1,
                _ => 0..0,
            }
        };
        let (ids, whole) = (encoding.get_ids(), encoding.get_overflowing().is_empty());
        let parts: Vec<Range<usize>> = spans.iter().map(tokens_of).collect();
        let lacks = |part: &Range<usize>| self.unknown.is_some_and(|id| ids[part.clone()].contains(&id));
        let unknown = (0..parts.len()).filter(|&p| lacks(&parts[p])).collect();
        Ok(Tokens { caption, ids: ids.iter().map(|&id| id.into()).collect(), parts, whole, unknown })
    }
}

/// BERT's uncased WordPiece and the number of `[UNK]`.
fn wordpiece(vocab: &[u8], path: &Path) -> Result<(Rules, u32)> {
    let failed = |e| Error::format(path, format!("not a WordPiece vocabulary: {e}"));
    let numbers = WordPiece::read_bytes(vocab).map_err(failed)?;
    let lines = vocab.split(|&byte| byte == b'\n').count() - usize::from(vocab.ends_with(b"\n"));
    if numbers.len() != lines {
        let twice = lines - numbers.len();
        return Err(Error::format(
            path,
            format!("{twice} of its {lines} lines repeat a token; each may be there once"),
        ));
    }
    let special = |token: &str| {
        let number = numbers.get(token).copied();
        number.ok_or_else(|| Error::format(path, format!("the vocabulary lacks the token {token}")))
    };
    let (unknown, cls, sep) = (special("[UNK]")?, special("[CLS]")?, special("[SEP]")?);
    let model = WordPiece::builder().vocab(numbers).unk_token("[UNK]".into()).build().map_err(failed)?;
    let mut rules = Rules::new(model);
    rules.with_normalizer(Some(BertNormalizer::default())).map_err(failed)?;
    rules.with_pre_tokenizer(Some(BertPreTokenizer));
    rules.with_post_processor(Some(BertProcessing::new(("[SEP]".into(), sep), ("[CLS]".into(), cls))));
    Ok((rules, unknown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn new(vocab: &[u8], kind: TokenizerKind) -> Result<Tokenizer> {
        Tokenizer::new(vocab, kind, " . ", 256, Path::new("vocabulary"))
    }

    /// bert-base-uncased where it matters: line numbers are token numbers, other lines are placeholders.
    fn bert(max_tokens: usize) -> Tokenizer {
        let known = [
            (0, "[PAD]"),
            (100, "[UNK]"),
            (101, "[CLS]"),
            (102, "[SEP]"),
            (1012, "."),
            (2849, "arm"),
            (2067, "back"),
            (4190, "leg"),
            (2835, "seat"),
            (5217, "wheel"),
        ];
        let mut lines: Vec<String> = (0..6000).map(|i| format!("[unused{i}]")).collect();
        for (id, token) in known {
            lines[id] = token.into();
        }
        let words =
            "keyboard screen shaft touch ##pad camera door drawer table ##top handle foot ##ped ##al lid";
        lines.extend(words.split(' ').map(String::from));
        let (vocab, kind) = (lines.join("\n"), TokenizerKind::Wordpiece);
        Tokenizer::new(vocab.as_bytes(), kind, " . ", max_tokens, Path::new("vocab.txt")).unwrap()
    }

    fn spans(parts: &[&str]) -> Vec<Range<usize>> {
        bert(256).tokenize(parts, &Template::default()).unwrap().parts
    }

    #[test]
    fn a_panic_of_the_crate_is_an_error() {
        let model = r#"{"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}"#;
        let file = format!(r#"{{"version": "1.0", "added_tokens": [], "decoder": nall, "model": {model}}}"#);
        let error = new(file.as_bytes(), TokenizerKind::Json).unwrap_err().to_string();
        assert!(error.contains("vocabulary: not a tokenizer's vocabulary"), "{error}");
    }

    #[test]
    fn chair_as_glip_sees_it() {
        let tokens =
            bert(256).tokenize(&["arm", "back", "leg", "seat", "wheel"], &Template::default()).unwrap();
        assert_eq!(tokens.caption, "arm . back . leg . seat . wheel . ");
        assert_eq!(tokens.ids, [101, 2849, 1012, 2067, 1012, 4190, 1012, 2835, 1012, 5217, 1012, 102]);
        assert_eq!(tokens.parts, [1..2, 3..4, 5..6, 7..8, 9..10]);
        assert!(tokens.unknown.is_empty());
    }

    #[test]
    fn a_template_asks_for_more_than_the_name_whose_tokens_alone_are_the_part() {
        let template = Template::new("arm {part} wheel").unwrap();
        let tokens = bert(256).tokenize(&["back", "footpedal"], &template).unwrap();
        assert_eq!(tokens.caption, "arm back wheel . arm footpedal wheel . ");
        assert_eq!(tokens.parts, [2..3, 6..9]);
    }

    #[test]
    fn names_of_several_tokens() {
        assert_eq!(spans(&["keyboard", "screen", "shaft", "touchpad", "camera"])[3], 7..9);
        assert_eq!(spans(&["door", "drawer", "leg", "tabletop", "wheel", "handle"])[3], 7..9);
        assert_eq!(spans(&["footpedal", "lid", "door"]), [1..4, 5..6, 7..8]);
        assert_eq!(spans(&["back leg", "seat"]), [1..3, 4..5]);
    }

    #[test]
    fn upper_case_and_accents_fold() {
        assert_eq!(
            bert(256).tokenize(&["ARM", "léG"], &Template::default()).unwrap().ids,
            [101, 2849, 1012, 4190, 1012, 102]
        );
    }

    #[test]
    fn an_unknown_word_is_named_and_spaces_at_the_ends_are_looked_past() {
        let tokens = bert(256).tokenize(&["arm", "zygote", " leg "], &Template::default()).unwrap();
        assert_eq!(tokens.unknown, [1]);
        assert_eq!(tokens.parts, [1..2, 3..4, 5..6]);
    }

    #[test]
    fn a_caption_that_is_too_long_is_cut() {
        let tokens = bert(6).tokenize(&["arm", "back", "leg"], &Template::default()).unwrap();
        assert_eq!(tokens.ids, [101, 2849, 1012, 2067, 1012, 102]);
        assert_eq!(tokens.parts, [1..2, 3..4, 0..0]);
    }

    #[test]
    fn clips_tokenizer_between_tokens_that_end_and_start_a_phrase() {
        let special = |id, content| {
            json!({"id": id, "content": content, "special": true, "normalized": false, "single_word": false,
                "lstrip": false, "rstrip": false})
        };
        let words = "<|startoftext|>|<|endoftext|>|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
        let clip = json!({
            "version": "1.0", "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 9, "pad_type_id": 0, "pad_token": "<|endoftext|>"},
            "added_tokens": [special(8, "<|startoftext|>"), special(9, "<|endoftext|>")],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": words}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}]},
            "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", 9], "cls": ["<|startoftext|>", 8],
                "trim_offsets": false, "add_prefix_space": false},
            "decoder": null,
            "model": {"type": "BPE", "unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>",
                "vocab": {"a": 0, "r": 1, "m</w>": 2, "ar": 3, "arm</w>": 4, "l": 5, "e": 6, "g</w>": 7,
                    "<|startoftext|>": 8, "<|endoftext|>": 9},
                "merges": ["a r", "ar m</w>"]}});
        let (clip, separator) = (clip.to_string(), "<|endoftext|><|startoftext|>");
        let path = Path::new("tokenizer.json");
        let tokenizer = Tokenizer::new(clip.as_bytes(), TokenizerKind::Json, separator, 256, path).unwrap();
        let tokens = tokenizer.tokenize(&["ARM", "leg", "leg arm"], &Template::default()).unwrap();
        assert_eq!(tokens.ids, [8, 4, 9, 8, 5, 6, 7, 9, 8, 5, 6, 7, 4, 9, 8, 9]);
        assert_eq!(tokens.parts, [1..2, 4..7, 9..13]);
        assert!(tokens.unknown.is_empty());
    }

    #[test]
    fn poison() {
        let error = |parts: &[&str]| bert(256).tokenize(parts, &Template::default()).unwrap_err().to_string();
        assert!(error(&[]).contains("no part names"));
        assert!(error(&["arm", " "]).contains("part 1 is empty"));
        assert!(error(&["arm", "leg", "arm"]).contains("\"arm\" is named twice"));
        // Whatever the names hold, the spans stay inside the tokens.
        for name in ["\u{0}", "。", "\u{301}", ".", "[SEP]", "🪑", &"x".repeat(5000)] {
            let tokens = bert(256).tokenize(&[name, "leg"], &Template::default()).unwrap();
            assert!(tokens.parts.iter().all(|t| t.end <= tokens.ids.len()), "{name:?}: {tokens:?}");
        }
        let wrong = |vocab: &[u8], kind| new(vocab, kind).unwrap_err().to_string();
        assert!(wrong(b"[UNK]\n[CLS]\n", TokenizerKind::Wordpiece).contains("lacks the token [SEP]"));
        assert!(wrong(b"[UNK]\n[CLS]\n[SEP]\narm\narm\n", TokenizerKind::Wordpiece).contains("repeat"));
        assert!(wrong(&[0xff, 0xfe, b'\n'], TokenizerKind::Wordpiece).contains("vocabulary"));
        assert!(wrong(b"[UNK]\n[CLS]\n", TokenizerKind::Json).contains("not a tokenizer's vocabulary"));
    }
}
