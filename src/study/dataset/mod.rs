//! Part-labelled clouds on disk: a folder with a `dataset.json` that lists them, or one in the layout of
//! PartNet-Ensembled: `<root>/PartNetE_meta.json` and `<root>/<split>/<Category>/<id>/{pc.ply, label.npy}`. Without
//! either file the part names are those of [`BENCHMARK`].

mod benchmark;
mod index;
mod scan;
mod truth;

pub use self::{
    benchmark::BENCHMARK,
    index::{Entry, INDEX, Index},
    scan::{Problem, Rules, is_label},
    truth::{Labels, Truth},
};

use crate::{
    error::{Error, Result},
    io::{check_name, ply, points::PointCloud},
    parts::Parts,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const META: &str = "PartNetE_meta.json";

/// A folder of part-labelled clouds.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    /// The part names of every category; labels are indices into them.
    pub parts: BTreeMap<String, Parts>,
    /// What its file lists, if it has one.
    listed: Option<Vec<Object>>,
}

/// Where one object lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its split, such as `test`.
    pub split: String,
    /// Its category.
    pub category: String,
    /// Its name within the category.
    pub id: String,
    /// The file of its points.
    pub cloud: PathBuf,
    /// Where its labels lie.
    pub labels: Labels,
}

impl Dataset {
    /// Opens a folder: reads its `dataset.json` or `PartNetE_meta.json`, if it has one.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or file cannot be read, [`Error::Format`] if the file is not what it should be.
    pub fn open(root: &Path) -> Result<Dataset> {
        let root = root.to_path_buf();
        if root.join(INDEX).exists() {
            let index = Index::read(&root)?;
            return Ok(Dataset { listed: Some(index.objects(&root)), parts: index.categories, root });
        }
        let path = root.join(META);
        let parts = if path.exists() {
            let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
            serde_json::from_str(&text).map_err(|e| {
                Error::format(&path, format!("{e}; expected {{\"Category\": [\"part\", ...]}}"))
            })?
        } else {
            fs::read_dir(&root).map_err(Error::io(&root))?;
            let named = |&(category, parts): &(&str, &[&str])| Ok((category.to_string(), Parts::new(parts)?));
            BENCHMARK.iter().map(named).collect::<Result<_>>()?
        };
        Ok(Dataset { root, parts, listed: None })
    }

    /// The splits that it has, by name.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read.
    pub fn splits(&self) -> Result<BTreeSet<String>> {
        Ok(match &self.listed {
            Some(objects) => objects.iter().map(|object| object.split.clone()).collect(),
            None => {
                let holds_categories = |path: &Path| Ok::<_, Error>(!folders(path)?.is_empty());
                let mut splits = BTreeSet::new();
                for (name, path) in folders(&self.root)? {
                    if holds_categories(&path)? {
                        splits.insert(name);
                    }
                }
                splits
            }
        })
    }

    /// The objects of a split, such as `test`, by category and id; none if there is no such split.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read, [`Error::Format`] if it holds a category without part names.
    pub fn objects(&self, split: &str) -> Result<Vec<Object>> {
        if let Some(objects) = &self.listed {
            return Ok(objects.iter().filter(|object| object.split == split).cloned().collect());
        }
        let folder = self.root.join(split);
        if !folder.is_dir() {
            return Ok(vec![]);
        }
        let mut objects = vec![];
        for (category, folder) in folders(&folder)? {
            if !self.parts.contains_key(&category) {
                let message = format!(
                    "neither {META} beside the splits nor, without one, the benchmark has such a category; for labels of \
                     your own, a {INDEX} says what there is"
                );
                return Err(Error::format(folder, message));
            }
            let found = folders(&folder)?.into_iter();
            objects.extend(found.map(|(id, folder)| Object {
                split: split.to_string(),
                category: category.clone(),
                id,
                cloud: folder.join("pc.ply"),
                labels: Labels::plain(folder.join("label.npy")),
            }));
        }
        objects.sort();
        Ok(objects)
    }

    /// The objects of some splits and categories; of all categories if none is named.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a category that it does not have, or if there is no such object; those of
    /// [`Dataset::objects`].
    pub fn select(&self, splits: &[String], categories: &[String]) -> Result<Vec<Object>> {
        if let Some(unknown) = categories.iter().find(|&category| !self.parts.contains_key(category)) {
            if self.splits()?.is_empty() {
                return Err(self.nothing(&[]));
            }
            let names: Vec<&str> = self.parts.keys().map(String::as_str).collect();
            return Err(Error::invalid(format!(
                "no category {unknown:?}; the data has: {}",
                names.join(", ")
            )));
        }
        let mut objects = vec![];
        let mut seen = BTreeSet::new();
        for split in splits.iter().filter(|&split| seen.insert(split)) {
            check_name("the split", split)?;
            objects.extend(self.objects(split)?);
        }
        objects.retain(|object| categories.is_empty() || categories.contains(&object.category));
        if objects.is_empty() {
            return Err(self.nothing(splits));
        }
        Ok(objects)
    }

    /// Why there is no object in these splits, or in any if none is named.
    pub fn nothing(&self, splits: &[String]) -> Error {
        let what = match splits {
            [] => "no labelled cloud".to_string(),
            _ => format!("no labelled cloud of these categories in {}", splits.join(", ")),
        };
        let remedy = match (self.misplaced(), self.splits()) {
            (Some(above), _) => format!("give the folder above: {}", above.display()),
            (None, Ok(found)) if !found.is_empty() && !splits.is_empty() => {
                format!("its splits: {}", found.into_iter().collect::<Vec<_>>().join(", "))
            }
            _ => format!("a {INDEX} lists clouds and labels of your own; `partstad dataset init` writes one"),
        };
        Error::invalid(format!("{}: {what}; {remedy}", self.root.display()))
    }

    /// Where to look instead, if the folder is one inside a data set of PartNet-Ensembled's layout.
    fn misplaced(&self) -> Option<PathBuf> {
        let holds = |folder: &Path| folder.join("pc.ply").is_file();
        let inside =
            |folder: &Path| folders(folder).unwrap_or_default().into_iter().map(|(_, path)| path).next();
        let (mut folder, mut depth) = (self.root.clone(), 0);
        while !holds(&folder) && depth < 3 {
            folder = inside(&folder)?;
            depth += 1;
        }
        let above = 3 - depth;
        let root = std::path::absolute(&self.root).ok()?;
        (above > 0 && holds(&folder)).then(|| root.ancestors().nth(above).map(Path::to_path_buf)).flatten()
    }
}

/// The folders inside a folder, with their names, in their order.
fn folders(parent: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = vec![];
    for entry in fs::read_dir(parent).map_err(Error::io(parent))? {
        let path = entry.map_err(Error::io(parent))?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name()) {
            found.push((name.to_string_lossy().into_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

impl Object {
    /// Its place within a folder that is laid out like the data: `<split>/<Category>/<id>`.
    pub fn place(&self) -> PathBuf {
        [&self.split, &self.category, &self.id].iter().collect()
    }

    /// Reads its points and labels.
    ///
    /// `labels`: L, the number of its category's parts.
    ///
    /// # Errors
    /// Those of [`PointCloud::read`] and [`Truth::read`].
    pub fn read(&self, labels: usize) -> Result<(PointCloud, Truth)> {
        let mut points = PointCloud::read(&self.cloud)?;
        // Its vertices are labelled; there is nothing to draw.
        points.warnings.retain(|warning| !warning.starts_with(ply::OF_A_MESH));
        let truth = Truth::read(&self.labels, points.len(), labels)?;
        Ok((points, truth))
    }
}

#[cfg(test)]
mod tests;
