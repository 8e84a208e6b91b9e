//! Part-labelled clouds on disk, in the layout of PartNet-Ensembled:
//! `<root>/PartNetE_meta.json` and `<root>/<split>/<Category>/<id>/{pc.ply, label.npy}`. Without the former the part
//! names are those of [`BENCHMARK`].

use crate::{
    error::{Error, Result},
    io::{pickle, points::PointCloud},
    parts::Parts,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The benchmark's 45 categories and the names of their parts (PartNetE), by category. Labels are indices into them.
pub const BENCHMARK: [(&str, &[&str]); 45] = [
    ("Bottle", &["lid"]),
    ("Box", &["lid"]),
    ("Bucket", &["handle"]),
    ("Camera", &["button", "lens"]),
    ("Cart", &["wheel"]),
    ("Chair", &["arm", "back", "leg", "seat", "wheel"]),
    ("Clock", &["hand"]),
    ("CoffeeMachine", &["button", "container", "knob", "lid"]),
    ("Dishwasher", &["door", "handle"]),
    ("Dispenser", &["head", "lid"]),
    ("Display", &["base", "screen", "support"]),
    ("Door", &["frame", "door", "handle"]),
    ("Eyeglasses", &["body", "leg"]),
    ("Faucet", &["spout", "switch"]),
    ("FoldingChair", &["seat"]),
    ("Globe", &["sphere"]),
    ("Kettle", &["lid", "handle", "spout"]),
    ("Keyboard", &["cord", "key"]),
    ("KitchenPot", &["lid", "handle"]),
    ("Knife", &["blade"]),
    ("Lamp", &["base", "body", "bulb", "shade"]),
    ("Laptop", &["keyboard", "screen", "shaft", "touchpad", "camera"]),
    ("Lighter", &["lid", "wheel", "button"]),
    ("Microwave", &["display", "door", "handle", "button"]),
    ("Mouse", &["button", "cord", "wheel"]),
    ("Oven", &["door", "knob"]),
    ("Pen", &["cap", "button"]),
    ("Phone", &["lid", "button"]),
    ("Pliers", &["leg"]),
    ("Printer", &["button"]),
    ("Refrigerator", &["door", "handle"]),
    ("Remote", &["button"]),
    ("Safe", &["door", "switch", "button"]),
    ("Scissors", &["blade", "handle", "screw"]),
    ("Stapler", &["body", "lid"]),
    ("StorageFurniture", &["door", "drawer", "handle"]),
    ("Suitcase", &["handle", "wheel"]),
    ("Switch", &["switch"]),
    ("Table", &["door", "drawer", "leg", "tabletop", "wheel", "handle"]),
    ("Toaster", &["button", "slider"]),
    ("Toilet", &["lid", "seat", "button"]),
    ("TrashCan", &["footpedal", "lid", "door"]),
    ("USB", &["cap", "rotation"]),
    ("WashingMachine", &["door", "button"]),
    ("Window", &["window"]),
];

/// A folder of part-labelled clouds.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    /// The part names of every category; labels are indices into them.
    pub parts: BTreeMap<String, Parts>,
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
    folder: PathBuf,
}

/// The ground truth of a cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Label of every point, below L, or -1, `[N]`.
    pub semantic: Vec<i32>,
    /// Instance of every point, -1 = none, `[N]`.
    pub instance: Vec<i32>,
}

impl Dataset {
    /// Opens a folder: reads its `PartNetE_meta.json` if it has one.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or file cannot be read, [`Error::Format`] if the file does not map categories to lists
    /// of part names.
    pub fn open(root: &Path) -> Result<Dataset> {
        let path = root.join("PartNetE_meta.json");
        let parts = if path.exists() {
            let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
            serde_json::from_str(&text).map_err(|e| {
                Error::format(&path, format!("{e}; expected {{\"Category\": [\"part\", ...]}}"))
            })?
        } else {
            fs::read_dir(root).map_err(Error::io(root))?;
            let named = |&(category, parts): &(&str, &[&str])| Ok((category.to_string(), Parts::new(parts)?));
            BENCHMARK.iter().map(named).collect::<Result<_>>()?
        };
        Ok(Dataset { root: root.to_path_buf(), parts })
    }

    /// The objects of a split, such as `test`, by category and id.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be read, [`Error::Format`] if it holds a category without part names.
    pub fn objects(&self, split: &str) -> Result<Vec<Object>> {
        let mut objects = vec![];
        for (category, folder) in folders(&self.root.join(split))? {
            if !self.parts.contains_key(&category) {
                return Err(Error::format(
                    folder,
                    "neither PartNetE_meta.json beside the splits nor, without one, the benchmark has such a category",
                ));
            }
            let found = folders(&folder)?.into_iter();
            objects.extend(found.map(|(id, folder)| Object {
                split: split.to_string(),
                category: category.clone(),
                id,
                folder,
            }));
        }
        objects.sort();
        Ok(objects)
    }
}

/// The folders inside a folder, with their names.
fn folders(parent: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = vec![];
    for entry in fs::read_dir(parent).map_err(Error::io(parent))? {
        let path = entry.map_err(Error::io(parent))?.path();
        if let (true, Some(name)) = (path.is_dir(), path.file_name()) {
            found.push((name.to_string_lossy().into_owned(), path));
        }
    }
    Ok(found)
}

impl Object {
    /// Its place within a folder that is laid out like the data: `<split>/<Category>/<id>`.
    pub fn place(&self) -> PathBuf {
        [&self.split, &self.category, &self.id].iter().collect()
    }

    /// The file of its points.
    pub fn cloud_path(&self) -> PathBuf {
        self.folder.join("pc.ply")
    }

    /// The file of its labels.
    pub fn label_path(&self) -> PathBuf {
        self.folder.join("label.npy")
    }

    /// Reads its points and labels.
    ///
    /// `labels`: L, the number of its category's parts.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Format`] if it breaks its format, if there is not one label a
    /// point, or if a label is not below L.
    pub fn read(&self, labels: usize) -> Result<(PointCloud, Truth)> {
        let points = PointCloud::read(&self.cloud_path())?;
        let truth = Truth::read(&self.label_path(), points.positions.len(), labels)?;
        Ok((points, truth))
    }
}

impl Truth {
    /// Reads a `label.npy`: a pickled dictionary of the arrays `semantic_seg` and `instance_seg`.
    ///
    /// # Errors
    /// As [`Object::read`].
    pub fn read(path: &Path, points: usize, labels: usize) -> Result<Truth> {
        let arrays = pickle::arrays::read(path)?;
        let column = |name: &str, bound: i64| {
            let Some(array) = arrays.get(name) else {
                let names: Vec<&String> = arrays.keys().collect();
                return Err(Error::format(path, format!("holds {names:?}, but no `{name}`")));
            };
            if array.shape != [points] {
                let message = format!("`{name}` has shape {:?}; the cloud has {points} points", array.shape);
                return Err(Error::format(path, message));
            }
            let value = |(i, &value): (usize, &i64)| match value {
                -1 => Ok(-1),
                value if (0..bound).contains(&value) => Ok(value as i32),
                _ => {
                    let message = format!("`{name}` of point {i} is {value}; it must be -1 or below {bound}");
                    Err(Error::format(path, message))
                }
            };
            array.data.iter().enumerate().map(value).collect::<Result<Vec<i32>>>()
        };
        Ok(Truth {
            semantic: column("semantic_seg", labels as i64)?,
            instance: column("instance_seg", i32::MAX as i64)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ply;

    fn example() -> (tempfile::TempDir, Dataset) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("test/Box/17");
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.path().join("PartNetE_meta.json"), r#"{"Box": ["lid", "base", "lock"]}"#).unwrap();
        let cloud =
            PointCloud { positions: vec![[0.5; 3]; 6], colors: vec![[1.0; 3]; 6], ..PointCloud::default() };
        ply::write(&folder.join("pc.ply"), &cloud, &[]).unwrap();
        fs::copy("tests/fixtures/labels/protocol4.npy", folder.join("label.npy")).unwrap();
        let dataset = Dataset::open(root.path()).unwrap();
        (root, dataset)
    }

    #[test]
    fn objects_are_found_and_read() {
        let (_root, dataset) = example();
        let objects = dataset.objects("test").unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!((&*objects[0].category, &*objects[0].id), ("Box", "17"));
        assert_eq!(objects[0].place(), Path::new("test/Box/17"));
        let (points, truth) = objects[0].read(dataset.parts["Box"].len()).unwrap();
        assert_eq!(points.positions.len(), 6);
        assert_eq!(truth.semantic, [0, 1, 2, -1, 1, 0]);
        assert_eq!(truth.instance, [0, 1, 2, -1, 3, 0]);
    }

    #[test]
    fn without_a_file_the_part_names_are_the_benchmarks() {
        let (root, _) = example();
        fs::remove_file(root.path().join("PartNetE_meta.json")).unwrap();
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!((dataset.parts.len(), &dataset.parts["Box"]), (45, &Parts::new(["lid"]).unwrap()));
        assert!(BENCHMARK.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (root, dataset) = example();
        let object = &dataset.objects("test").unwrap()[0];
        let error = object.read(2).unwrap_err().to_string();
        assert!(error.contains("label.npy") && error.contains("point 2"), "{error}");
        let error = Truth::read(&object.folder.join("label.npy"), 7, 3).unwrap_err().to_string();
        assert!(error.contains("7 points"), "{error}");
        fs::create_dir(root.path().join("test/Chair")).unwrap();
        let error = dataset.objects("test").unwrap_err().to_string();
        assert!(error.contains("Chair"), "{error}");
        let error = dataset.objects("train").unwrap_err().to_string();
        assert!(error.contains("train"), "{error}");
        fs::write(root.path().join("PartNetE_meta.json"), "[]").unwrap();
        let error = Dataset::open(root.path()).unwrap_err().to_string();
        assert!(error.contains("PartNetE_meta.json"), "{error}");
        assert!(Dataset::open(&root.path().join("nowhere")).unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    #[ignore = "needs PARTSTAD_CLOUDS"]
    fn real_clouds_are_read() {
        let root =
            std::env::var_os("PARTSTAD_CLOUDS").expect("PARTSTAD_CLOUDS must name the folder of real clouds");
        let dataset = Dataset::open(Path::new(&root)).unwrap();
        let mut count = 0;
        for object in ["train", "val", "test"].iter().flat_map(|split| dataset.objects(split).unwrap()) {
            let (points, truth) = object.read(dataset.parts[&object.category].len()).unwrap();
            assert_eq!(points.positions.len(), truth.semantic.len());
            assert!(truth.semantic.iter().any(|&label| label >= 0), "{object:?} has no labelled point");
            for (&label, &instance) in truth.semantic.iter().zip(&truth.instance) {
                assert_eq!(label < 0, instance < 0, "{object:?}");
            }
            count += 1;
        }
        assert!(count > 0);
    }
}
