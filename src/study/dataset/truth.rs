//! Labels of points: one part, and one instance of it, for every row of a cloud's file.

use crate::{
    error::{Error, Result},
    io::{extension, hash, npy, pickle, ply},
};
use std::path::{Path, PathBuf};

/// The ground truth of a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Label of every point, below L, or -1, `[N]`.
    pub semantic: Vec<i32>,
    /// Instance of every point, -1 = none, `[N]`; all -1 where the data tell no instances apart.
    pub instance: Vec<i32>,
}

/// Where labels lie, and how they count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// Their file.
    pub file: PathBuf,
    /// That of the instances, if it is one of its own.
    pub instances: Option<PathBuf>,
    /// The label of the first part.
    pub first: i64,
    /// A label that means none, besides all below the first.
    pub none: Option<i64>,
}

/// What the labels of parts are called in archives, dictionaries and PLY files, and those of instances.
pub const NAMES: [&[&str]; 2] = [
    &["semantic_seg", "semantic", "label", "labels", "part", "segment"],
    &["instance_seg", "instance", "instances"],
];

impl Labels {
    /// Labels from 0 in one file, -1 = none.
    pub fn plain(file: PathBuf) -> Labels {
        Labels { file, instances: None, first: 0, none: None }
    }

    /// What tells these labels from others, for caches.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read.
    pub fn hash(&self) -> Result<String> {
        let labels = hash::sha256_of_file(&self.file)?;
        let Labels { instances, first, none, .. } = self;
        if (instances, first, none) == (&None, &0, &None) {
            return Ok(labels);
        }
        let instances = instances.as_deref().map(hash::sha256_of_file).transpose()?;
        Ok(hash::sha256(format!("{labels} {instances:?} {first} {none:?}").as_bytes()))
    }
}

impl Truth {
    /// Reads the labels of a cloud of `points` rows:
    /// - `.npy`: integers, `[N]`, or PartNet-Ensembled's pickled dictionary of `semantic_seg` and `instance_seg`;
    /// - `.npz`: an array `semantic` (or `label`), and if there is one `instance`;
    /// - `.ply`: such properties of the vertices.
    ///
    /// `labels`: L, the number of parts.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Format`] if it breaks its format, if there is not one label a
    /// point, or if a label is no part's.
    pub fn read(from: &Labels, points: usize, labels: usize) -> Result<Truth> {
        let [semantic, mut instance] = columns(&from.file)?;
        let Some(semantic) = semantic else {
            let names = NAMES[0].join(", ");
            let beside = match extension(&from.file).as_str() {
                "ply" => format!("; or put them beside it, into {}", usual_name(&from.file)),
                _ => String::new(),
            };
            return Err(Error::format(
                &from.file,
                format!("holds no labels; they may be called {names}{beside}"),
            ));
        };
        if let Some(path) = &from.instances {
            let [plain, named] = columns(path)?;
            instance = named.or(plain);
        }
        let check = |path: &Path, what: &str, values: Vec<i64>, first: i64, bound: i64| {
            if values.len() != points {
                let message = format!("{} {what}s; the cloud has {points} points", values.len());
                return Err(Error::format(path, message));
            }
            let value = |(i, &value): (usize, &i64)| match value.checked_sub(first) {
                _ if Some(value) == from.none => Ok(-1),
                Some(below) if below < 0 => Ok(-1),
                Some(label) if label < bound => Ok(label as i32),
                _ => {
                    let others = values.iter().filter(|&&other| Some(other) != from.none);
                    let from_one = first == 0 && others.clone().max() == Some(&bound);
                    let remedy = match (from_one, others.clone().all(|&other| other != 0)) {
                        (true, true) => {
                            "none is 0, so they seem to count from 1: say so (first_label, --first-label 1)"
                        }
                        (true, false) => {
                            "if 0 means none and the parts count from 1, say so (first_label, --first-label 1); if it means \
                             none itself, say that (no_label, --no-label)"
                        }
                        _ => "if it means none, say so (no_label, --no-label)",
                    };
                    let message = format!(
                        "the {what} of point {i} is {value}, but there are {bound} {what}s from {first} on; {remedy}"
                    );
                    Err(Error::format(path, message))
                }
            };
            values.iter().enumerate().map(value).collect::<Result<Vec<i32>>>()
        };
        let semantic = check(&from.file, "label", semantic, from.first, labels as i64)?;
        let instance = match instance {
            Some(instance) => {
                let path = from.instances.as_ref().unwrap_or(&from.file);
                check(path, "instance", instance, 0, i32::MAX as i64)?
            }
            None => vec![-1; points],
        };
        Ok(Truth { semantic, instance })
    }
}

/// The file beside a cloud in which its labels are looked for first.
pub(super) fn usual_name(cloud: &Path) -> String {
    format!("{}.labels.npy", cloud.file_stem().unwrap_or_default().to_string_lossy())
}

/// Labels and instances, as far as a file has them.
fn columns(path: &Path) -> Result<[Option<Vec<i64>>; 2]> {
    match extension(path).as_str() {
        "ply" => {
            let mut found = ply::integers(path, &NAMES.concat())?;
            Ok(NAMES.map(|names| names.iter().find_map(|&name| found.remove(name))))
        }
        "npz" => {
            let members = npy::members(path)?;
            let column = |names: &[&str]| {
                let name = names.iter().find(|&&name| members.iter().any(|member| member == name));
                name.map(|name| flat(npy::read_member(path, name)?, path)).transpose()
            };
            let [semantic, instance] = NAMES;
            Ok([column(semantic)?, column(instance)?])
        }
        "npy" if npy::is_pickled(path)? => {
            let mut arrays = pickle::arrays::read(path)?;
            let mut column = |names: &[&str]| {
                names.iter().find_map(|&name| arrays.remove(name)).map(|array| flat(array, path)).transpose()
            };
            let [semantic, instance] = NAMES;
            Ok([column(semantic)?, column(instance)?])
        }
        "npy" => Ok([Some(flat(npy::read(path)?, path)?), None]),
        _ => Err(Error::format(path, "labels are read from .npy, .npz and .ply files")),
    }
}

/// The values of `[N]`, or of `[N, 1]`.
fn flat(array: npy::Array<i64>, path: &Path) -> Result<Vec<i64>> {
    match array.shape[..] {
        [_] | [_, 1] => Ok(array.data),
        _ => {
            Err(Error::format(path, format!("labels of shape {:?}; one a point is needed, [N]", array.shape)))
        }
    }
}
