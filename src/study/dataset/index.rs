//! `dataset.json`: which clouds a folder holds, of which categories, with which labels.

use super::{Labels, Object};
use crate::{
    error::{Error, Result},
    io::staged,
    parts::Parts,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path},
};

/// The file's name.
pub const INDEX: &str = "dataset.json";

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The part names of every category, in the order of the labels.
    pub categories: BTreeMap<String, Parts>,
    /// The label of the first part; lower ones mean none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub first_label: i64,
    /// Another label that means none, such as 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_label: Option<i64>,
    /// The clouds.
    pub objects: Vec<Entry>,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// One cloud.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it is for: `train`, `val`, `test`.
    pub split: String,
    /// One of the categories.
    pub category: String,
    /// Its name, unlike the others' of its split and category.
    pub id: String,
    /// Its file, from the folder on.
    pub cloud: String,
    /// The file of its labels, from the folder on; without one they are in the cloud's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// The file of its instances, if they are in a file of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<String>,
}

impl Index {
    /// Reads `<root>/dataset.json`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] naming the entry that cannot be used.
    pub fn read(root: &Path) -> Result<Index> {
        let path = root.join(INDEX);
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        Index::parse(&text).map_err(|what| Error::format(&path, what))
    }

    /// The content of `dataset.json`; the error says what is wrong, without the file's name.
    ///
    /// # Errors
    /// As [`Index::read`].
    pub fn parse(text: &str) -> Result<Index, String> {
        let index: Index = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|e| format!("not a data set: {e}"))?;
        let mut places = BTreeSet::new();
        for (i, entry) in index.objects.iter().enumerate() {
            let Entry { split, category, id, cloud, labels, instances } = entry;
            if !index.categories.contains_key(category) {
                return Err(format!("object {i}: no part names of category {category:?} under categories"));
            }
            for (what, name) in [("split", split), ("category", category), ("id", id)] {
                if !is_plain(name) {
                    return Err(format!(
                        "object {i}: {what} {name:?} must be a plain name, without / and \\ and control characters"
                    ));
                }
            }
            for file in [Some(cloud), labels.as_ref(), instances.as_ref()].into_iter().flatten() {
                if !Path::new(file).components().all(|step| matches!(step, Component::Normal(_)))
                    || file.is_empty()
                {
                    return Err(format!("object {i}: file {file:?} must lie inside the folder of {INDEX}"));
                }
            }
            if !places.insert((split, category, id)) {
                return Err(format!("object {i}: {split}/{category}/{id} is there twice"));
            }
        }
        Ok(index)
    }

    /// Its objects, by split, category and id.
    pub fn objects(&self, root: &Path) -> Vec<Object> {
        let mut objects: Vec<Object> = self.objects.iter().map(|entry| self.object(root, entry)).collect();
        objects.sort();
        objects
    }

    /// Where an entry's files lie.
    pub(super) fn object(&self, root: &Path, entry: &Entry) -> Object {
        let cloud = root.join(&entry.cloud);
        Object {
            split: entry.split.clone(),
            category: entry.category.clone(),
            id: entry.id.clone(),
            labels: Labels {
                file: entry.labels.as_ref().map_or_else(|| cloud.clone(), |file| root.join(file)),
                instances: entry.instances.as_ref().map(|file| root.join(file)),
                first: self.first_label,
                none: self.no_label,
            },
            cloud,
        }
    }

    /// Writes `<root>/dataset.json`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, root: &Path) -> Result<()> {
        let path = root.join(INDEX);
        let text = serde_json::to_string_pretty(self).expect("names and numbers");
        staged::write_all(&path, (text + "\n").as_bytes())
    }
}

/// Whether a name can be that of a file in any folder.
pub(super) fn is_plain(name: &str) -> bool {
    let mut steps = Path::new(name).components();
    matches!((steps.next(), steps.next()), (Some(Component::Normal(_)), None))
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}
