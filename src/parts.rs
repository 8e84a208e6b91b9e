//! Parts: the names of what is looked for.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref};

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
                return Err(Error::invalid(format!("part {name:?} is named twice")));
            }
        }
        Ok(Parts(names))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
