//! Prepared samples that no object of the data has any more.

use crate::{
    error::{Error, Result},
    lifting::Voters,
    study::{
        dataset::{Dataset, Object},
        prepare::{categories, folder, sample_files, splits},
    },
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Samples that no object of the data has where they lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strays {
    /// Where those lay whose object is in another split now; their names end in `.old`.
    pub moved: Vec<PathBuf>,
    /// The others.
    pub others: Vec<PathBuf>,
}

impl Strays {
    /// Looks for them in a folder of prepared shapes, among those of some categories. Samples of an object that is in another
    /// split now are renamed, for nobody may learn from what he is judged on. Others, which may be of other data, stay.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn set_aside(prepared: &Path, data: &Dataset, of: &BTreeSet<&String>) -> Result<Strays> {
        // What lies beside the splits and cannot be read as one has no samples.
        let of_split = |split: &String| data.objects(split).unwrap_or_default();
        let objects: Vec<Object> = data.splits().unwrap_or_default().iter().flat_map(of_split).collect();
        let places: BTreeSet<PathBuf> = objects.iter().map(Object::place).collect();
        let names: BTreeSet<(&str, &str)> =
            objects.iter().map(|object| (&*object.category, &*object.id)).collect();
        let mut strays = Strays::default();
        for root in Voters::ALL.map(|voters| prepared.join(folder(voters))) {
            for split in splits(&root)? {
                for category in categories(&root, &split)?.iter().filter(|category| of.contains(category)) {
                    for path in sample_files(&root, &split, category)? {
                        let place = path.strip_prefix(&root).unwrap_or(&path).with_extension("");
                        let id = place.file_name().unwrap_or_default().to_string_lossy();
                        if places.contains(&place) {
                            continue;
                        }
                        if names.contains(&(category, &id)) {
                            fs::rename(&path, path.with_added_extension("old")).map_err(Error::io(&path))?;
                            strays.moved.push(path);
                        } else {
                            strays.others.push(path);
                        }
                    }
                }
            }
        }
        Ok(strays)
    }
}
