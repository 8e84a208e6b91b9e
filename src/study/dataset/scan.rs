//! A `dataset.json` for a folder of clouds: finds the clouds, their labels, categories and splits.

use super::{Entry, Index, index::is_plain, truth::usual_name};
use crate::{
    error::{Error, Result},
    input::Input,
    io::{hash, points::PointCloud, walk},
    parts::Parts,
    segmentation::counted,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// How to read a folder.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The part names by category; those under "" are of every category without its own.
    pub parts: BTreeMap<String, Parts>,
    /// The category of all clouds; without one the folder that they lie in names it.
    pub category: Option<String>,
    /// So many clouds of each category are put aside for `val`, if no folder is called so.
    pub val: usize,
    /// So many for `test`.
    pub test: usize,
    /// The label of the first part; lower ones mean none.
    pub first_label: i64,
    /// Another label that means none.
    pub no_label: Option<i64>,
}

/// A cloud that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its file.
    pub cloud: PathBuf,
    /// What is missing or wrong.
    pub what: String,
}

/// Folders that name a split.
const SPLITS: [&str; 3] = ["train", "val", "test"];
/// Files that are named after what they are; their folder names the object.
const GENERIC: [&str; 4] = ["pc", "cloud", "points", "pointcloud"];

impl Index {
    /// Finds the clouds below `root` whose labels can be read:
    /// - labels: `label.npy` or `labels.npy` (or `.npz`) in a folder with one cloud, `<cloud>.labels.npy`,
    ///   `<cloud>_labels.npy` and the like beside others, or else in a PLY file itself;
    /// - split: a folder `train`, `val` or `test` on the way, else `train`;
    /// - category: the next folder on the way, else the folder's own name.
    ///
    /// What cannot be used is left out and listed.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read, [`Error::Invalid`] without any cloud, or if the rules ask for more than
    /// there is, or for a category that no file can be called like.
    pub fn scan(root: &Path, rules: &Rules) -> Result<(Index, Vec<Problem>)> {
        if let Some(category) = rules.category.as_ref().filter(|category| !is_plain(category)) {
            let why = "files are called like it; give a name without slashes";
            return Err(Error::invalid(format!("the category {category:?} cannot be: {why}")));
        }
        let files = walk::files(root)?;
        let beside: BTreeSet<&PathBuf> = files.iter().collect();
        let clouds: Vec<&PathBuf> =
            files.iter().filter(|file| PointCloud::is_readable(file) && !is_label(file)).collect();
        let is_mesh = |file: &&PathBuf| Input::is_readable(file) && !PointCloud::is_readable(file);
        let meshes: Vec<&PathBuf> = files.iter().filter(is_mesh).collect();
        if clouds.is_empty() {
            let but = meshes.first().map_or(String::new(), |first| {
                format!(
                    ", but {}, such as {}: labels here are of points, one a row, and meshes have none; give clouds, such \
                     as points drawn on them",
                    counted(meshes.len(), "mesh", "meshes"),
                    first.display()
                )
            });
            return Err(Error::invalid(format!("{}: no cloud in this folder{but}", root.display())));
        }
        let Rules { first_label, no_label, .. } = *rules;
        let mut index = Index { first_label, no_label, ..Index::default() };
        let of_mesh = |&mesh: &&PathBuf| Problem {
            cloud: mesh.clone(),
            what: "a mesh, whose faces have no rows to label; give points drawn on it".into(),
        };
        let mut problems: Vec<Problem> = meshes.iter().map(of_mesh).collect();
        let mut in_folder: BTreeMap<_, usize> = BTreeMap::new();
        clouds.iter().for_each(|cloud| *in_folder.entry(cloud.parent()).or_default() += 1);
        for &cloud in &clouds {
            match entry(root, cloud, in_folder[&cloud.parent()] == 1, &beside, rules, &index) {
                Ok((entry, parts)) => {
                    index.categories.insert(entry.category.clone(), parts);
                    index.objects.push(entry);
                }
                Err(what) => problems.push(Problem { cloud: cloud.clone(), what }),
            }
        }
        index.put_aside("test", rules.test)?;
        index.put_aside("val", rules.val)?;
        index.objects.sort();
        let twice = |a: &Entry, b: &Entry| (&a.split, &a.category, &a.id) == (&b.split, &b.category, &b.id);
        if let Some(pair) = index.objects.windows(2).find(|pair| twice(&pair[0], &pair[1])) {
            let (a, b) = (&pair[0].cloud, &pair[1].cloud);
            return Err(Error::invalid(format!("{a} and {b} have one name; rename one of them")));
        }
        Ok((index, problems))
    }

    /// Takes `count` clouds of each category from `train` to `split`, unless that has some.
    fn put_aside(&mut self, split: &str, count: usize) -> Result<()> {
        for category in self.categories.keys() {
            let of = |split: &str, entry: &Entry| &entry.category == category && entry.split == split;
            if count == 0 || self.objects.iter().any(|entry| of(split, entry)) {
                continue;
            }
            let mut places: Vec<usize> =
                (0..self.objects.len()).filter(|&i| of("train", &self.objects[i])).collect();
            if places.len() <= count {
                return Err(Error::invalid(format!(
                    "{count} clouds of {category} shall be put aside for {split}, but there are {}, and one must be left \
                     to train on",
                    places.len()
                )));
            }
            // By a hash of the name: as good as drawn, and the same every time.
            places.sort_by_key(|&i| hash::sha256(self.objects[i].id.as_bytes()));
            places[..count].iter().for_each(|&i| self.objects[i].split = split.into());
        }
        Ok(())
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file is named like one of labels.
pub fn is_label(path: &Path) -> bool {
    let stem = stem(path);
    path.extension().is_some_and(|extension| extension == "npy" || extension == "npz")
        && ["label", "labels", "semantic", "instance", "instances"].iter().any(|word| {
            stem.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '_', '-']))
        })
}

/// The file beside a cloud that is named by one of `words`.
fn companion(cloud: &Path, alone: bool, words: &[&str], files: &BTreeSet<&PathBuf>) -> Option<PathBuf> {
    let stem = stem(cloud);
    let named = words.iter().flat_map(|word| ['.', '_', '-'].map(|dash| format!("{stem}{dash}{word}")));
    let names = named.chain(words.iter().filter(|_| alone).map(|word| word.to_string()));
    let paths = names
        .flat_map(|name| ["npy", "npz"].map(|extension| cloud.with_file_name(format!("{name}.{extension}"))));
    paths.into_iter().find(|path| files.contains(path))
}

/// What a cloud's path says of it, if its labels can be read. `alone`: whether its folder has no other cloud.
fn entry(
    root: &Path,
    cloud: &Path,
    alone: bool,
    files: &BTreeSet<&PathBuf>,
    rules: &Rules,
    index: &Index,
) -> Result<(Entry, Parts), String> {
    let folder = cloud.parent().unwrap_or(Path::new(""));
    let mut steps: Vec<String> = folder.iter().map(|step| step.to_string_lossy().into_owned()).collect();
    let split = match steps.first() {
        Some(first) if SPLITS.contains(&&first[..]) => steps.remove(0),
        _ => "train".to_string(),
    };
    // Else its folder names the object.
    if steps.is_empty() || !GENERIC.contains(&&stem(cloud).to_ascii_lowercase()[..]) {
        steps.push(stem(cloud));
    }
    let category = match &rules.category {
        Some(category) => category.clone(),
        None if steps.len() > 1 => steps.remove(0),
        None => {
            let root = std::path::absolute(root).map_err(|e| e.to_string())?;
            root.file_name().unwrap_or_default().to_string_lossy().into_owned()
        }
    };
    let id = steps.join("-");
    for name in [&category, &id] {
        if !is_plain(name) {
            return Err(format!("{name:?} cannot be a name; rename the file or its folder"));
        }
    }
    let parts = rules.parts.get(&category).or_else(|| rules.parts.get("")).ok_or_else(|| {
        format!("nobody says what the parts of {category} are called, in the order of the labels")
    })?;
    let text = |path: &Path| match path.to_str() {
        Some(text) => Ok(text.replace('\\', "/")),
        None => Err("its path is not UTF-8; rename it".to_string()),
    };
    let labels = companion(cloud, alone, &["labels", "label", "semantic"], files);
    let instances = companion(cloud, alone, &["instances", "instance"], files);
    let is_ply = cloud.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ply"));
    if labels.is_none() && !is_ply {
        return Err(format!("no labels beside it; they are looked for in {}", usual_name(cloud)));
    }
    let file = |path: Option<&PathBuf>| path.map(|path| text(path)).transpose();
    let (labels, instances) = (file(labels.as_ref())?, file(instances.as_ref())?);
    let entry = Entry { split, category, id, cloud: text(cloud)?, labels, instances };
    let (_, truth) = index.object(root, &entry).read(parts.len()).map_err(|e| e.to_string())?;
    if truth.semantic.iter().all(|&label| label < 0) {
        return Err("no point has a label".into());
    }
    Ok((entry, parts.clone()))
}
