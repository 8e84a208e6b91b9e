//! Settings in JSON files. Messages name the entry that is wrong, and what it should be, in the words of those who write such
//! files.

use partstad::{Error, Result, io::read_settings, options::alike};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::path::Path;

/// What a file says; `what`: for people.
pub fn read_json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let read = parse(&read_settings(path)?).map(|(read, _)| read);
    read.map_err(|e| Error::format(path, format!("not {what}: {e}")))
}

/// Options of a file, where everything may be left out.
pub fn read_options<T: DeserializeOwned + Serialize + Default>(path: &Path, what: &str) -> Result<T> {
    let options = parse(&read_settings(path)?)
        .and_then(|(options, given)| alike(&given, &json!(T::default()), "").map(|()| options));
    options.map_err(|e| Error::format(path, format!("not {what}: {e}")))
}

/// What an object says, and the object itself.
fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<(T, Value), String> {
    // Without the mark that some editors begin with.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("give an object, {...}".into());
    }
    // What is no JSON is told by itself; twice the same name is told by what reads the options.
    let given = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let read = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(text));
    Ok((read.map_err(in_words)?, given))
}

/// An error of options or of an entry among them, by the names that JSON has for what it may be.
pub fn in_words(error: impl ToString) -> String {
    let text = error.to_string();
    let Some((found, expected)) = text.rsplit_once("expected ") else { return text };
    let (kind, rest) = match expected.split_once(" at line ") {
        Some((kind, place)) => (kind, format!(" at line {place}")),
        None => (expected, String::new()),
    };
    let kind = match kind {
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0",
        "value" | "string or map" => "a name in quotes",
        kind if kind.starts_with("struct ") => "an object, {...}",
        kind => kind,
    };
    format!("{}expected {kind}{rest}", found.replace("floating point", "number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use partstad::pipeline::Options;

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options.json");
        for (text, said) in [
            (
                r#"{"views": {"side": "x"}}"#,
                r#"views.side: invalid type: string "x", expected a whole number from 0"#,
            ),
            (
                r#"{"views": {"side": 1.5}}"#,
                "views.side: invalid type: number `1.5`, expected a whole number from 0",
            ),
            (r#"{"boxes": {"threshold": []}}"#, "boxes.threshold: invalid type: sequence, expected a number"),
            (r#"{"views":null}"#, "views: invalid type: null, expected an object, {...}"),
            (r#"{"weights": 3}"#, "weights: invalid type: integer `3`, expected an object, {...}"),
            (r#"{"cloud": {"up": 3}}"#, "cloud.up: expected a name in quotes"),
            (r#"{"views": []}"#, "views: a list, expected an object, {...}"),
            (r#"{"views": {"poses": [[10, 0]]}}"#, "views.poses[0]: a list, expected an object, {...}"),
            (r#"{"views": {"poses": [{"elevation": 1, "azimuth": 0, "roll": 3}]}}"#, "unknown field `roll`"),
            (r#"{"views": {"side": 9, "side": 8}}"#, "duplicate field `side`"),
            (r#"[]"#, "give an object, {...}"),
            (r#"{"views": {}} 3"#, "trailing characters"),
            (r#"{"boxes": {"threshold": .5}}"#, "expected value at line 1"),
            (r#"{"mesh": {"hidden": True}}"#, "expected value at line 1"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_options::<Options>(&path, "options").unwrap_err().to_string();
            assert!(error.contains("options.json: not options: ") && error.contains(said), "{text}: {error}");
        }
        std::fs::write(&path, "\u{feff}{\"views\": {\"poses\": [{\"elevation\": 1, \"azimuth\": 0}]}}")
            .unwrap();
        assert_eq!(read_options::<Options>(&path, "options").unwrap().views.poses.len(), 1);
    }
}
