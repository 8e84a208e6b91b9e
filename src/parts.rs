//! Parts: the names of what is looked for, and how models are asked for them.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, str::FromStr};

/// The names of the L parts, in order: trimmed, in lower case, at least one, none empty, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Parts(Vec<String>);

impl Parts {
    /// Trims the names and puts them in lower case.
    ///
    /// # Errors
    /// [`Error::Invalid`] without names, or naming the one that is empty or given twice.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Parts> {
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().trim().to_lowercase()).collect();
        if names.is_empty() {
            return Err(Error::invalid("no part names; give at least one, for example \"leg,seat\""));
        }
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() {
                return Err(Error::invalid(format!("part name {i} is empty")));
            }
            if name.chars().any(char::is_control) {
                return Err(Error::invalid(format!("part name {name:?} has a control character")));
            }
            if names[..i].contains(name) {
                return Err(Error::invalid(format!(
                    "part {name:?} is named twice; names are taken in lower case"
                )));
            }
        }
        Ok(Parts(names))
    }

    /// From names in one text, parted by commas, semicolons, or dots as in a caption: "arm . back . leg". The dot of "usb 3.0"
    /// stands between digits and parts nothing.
    ///
    /// # Errors
    /// As [`Parts::new`].
    pub fn listed(text: &str) -> Result<Parts> {
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let parts = |(at, c): (usize, char)| match c {
            '.' => {
                !(at > 0 && is_digit(text.as_bytes().get(at - 1)) && is_digit(text.as_bytes().get(at + 1)))
            }
            _ => c == ';',
        };
        let ends: Vec<usize> = text.char_indices().filter(|&at| parts(at)).map(|(at, _)| at).collect();
        let begins = [0].into_iter().chain(ends.iter().map(|end| end + 1));
        let captions =
            begins.zip(ends.iter().copied().chain([text.len()])).map(|(begin, end)| &text[begin..end]);
        // A caption may end in its mark; commas have names on both sides.
        let several = !ends.is_empty();
        Parts::new(
            captions.filter(|some| !(several && some.trim().is_empty())).flat_map(|some| some.split(',')),
        )
    }
}

impl Deref for Parts {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Parts {
    type Error = Error;

    fn try_from(names: Vec<String>) -> Result<Parts> {
        Parts::new(names)
    }
}

impl From<Parts> for Vec<String> {
    fn from(parts: Parts) -> Vec<String> {
        parts.0
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// What to ask models for instead of a part's bare name: `{part} of a chair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(String);

const PART: &str = "{part}";
const CATEGORY: &str = "{category}";

impl Template {
    /// `text`: with `{part}` once, and `{category}` where the category of a labelled cloud comes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other texts.
    pub fn new(text: &str) -> Result<Template> {
        let rest = text.replace(CATEGORY, "").replacen(PART, "", 1);
        if text.contains(PART) && !rest.contains(['{', '}']) && !text.chars().any(char::is_control) {
            return Ok(Template(text.into()));
        }
        Err(Error::invalid(format!(
            "template {text:?}: it must hold {PART} once, and may hold {CATEGORY}, as in \"{PART} of a {CATEGORY}\""
        )))
    }

    /// The same for parts of a category.
    pub fn of(&self, category: &str) -> Template {
        Template(self.0.replace(CATEGORY, &category.to_lowercase()))
    }

    /// What comes before a part's name, and after it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it asks for a category, which is known of labelled clouds alone.
    pub fn around(&self) -> Result<(&str, &str)> {
        if self.0.contains(CATEGORY) {
            return Err(Error::invalid(format!(
                "option boxes.template is {:?}, but the category is known of labelled clouds alone; write it out",
                self.0
            )));
        }
        Ok(self.0.split_once(PART).expect("checked when it was made"))
    }

    /// What to ask for these parts.
    ///
    /// # Errors
    /// As [`Template::around`].
    pub fn fill(&self, parts: &[impl AsRef<str>]) -> Result<Vec<String>> {
        let (before, after) = self.around()?;
        Ok(parts.iter().map(|part| format!("{before}{}{after}", part.as_ref())).collect())
    }
}

impl Default for Template {
    /// The bare name.
    fn default() -> Template {
        Template(PART.into())
    }
}

impl TryFrom<String> for Template {
    type Error = Error;

    fn try_from(text: String) -> Result<Template> {
        Template::new(&text)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> String {
        template.0
    }
}

impl FromStr for Template {
    type Err = Error;

    fn from_str(text: &str) -> Result<Template> {
        Template::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_captions_name_parts() {
        for (text, names) in [
            ("arm, back,LEG", vec!["arm", "back", "leg"]),
            ("arm . back . leg .", vec!["arm", "back", "leg"]),
            ("arm. back; leg", vec!["arm", "back", "leg"]),
            ("usb 3.0 port", vec!["usb 3.0 port"]),
            ("usb 3.0 port. lid", vec!["usb 3.0 port", "lid"]),
            ("arm.back;leg;", vec!["arm", "back", "leg"]),
            ("köpfe.füße", vec!["köpfe", "füße"]),
        ] {
            assert_eq!(*Parts::listed(text).unwrap(), names, "{text}");
        }
        for empty in ["arm,,leg", "arm,", "", ".", ";"] {
            assert!(Parts::listed(empty).is_err(), "{empty}");
        }
    }

    #[test]
    fn names_are_trimmed_and_told_apart() {
        assert_eq!(Parts::new([" Leg", "seat "]).unwrap()[..], ["leg", "seat"]);
        let refused = |names: &[&str], why: &str| {
            let error = Parts::new(names).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&[], "no part names");
        refused(&["leg", " "], "part name 1 is empty");
        refused(&["l\neg"], "control character");
        refused(&["leg", "seat", "LEG"], "\"leg\" is named twice");
        assert!(serde_json::from_str::<Parts>(r#"["a", "A"]"#).is_err());
    }

    #[test]
    fn templates_hold_a_part_once() {
        let template = Template::new("the {part} of a {category}").unwrap();
        assert!(
            template.fill(&["leg"]).unwrap_err().to_string().contains("the category is known of labelled")
        );
        assert_eq!(template.of("Chair").fill(&["leg", "seat"]).unwrap()[1], "the seat of a chair");
        assert_eq!(Template::default().around().unwrap(), ("", ""));
        assert_eq!(serde_json::to_string(&template).unwrap(), "\"the {part} of a {category}\"");
        for text in ["leg", "{part} {part}", "{part} of {thing}", "{part", "{part}\n", "{Part}", ""] {
            assert!(Template::new(text).unwrap_err().to_string().contains("must hold {part} once"), "{text}");
        }
    }
}
