//! Boxes in files: `pred.json`, datasets of COCO, features.

use super::{Box2d, Boxes, check_features};
use crate::{
    error::{Error, Result},
    io::{budget, npy, staged},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::HashMap, path::Path};

/// No detector's features are longer.
const CHANNELS: usize = 1 << 16;

/// A box as `pred.json` holds it.
#[derive(Serialize, Deserialize)]
struct Record {
    image_id: i64,
    category_id: i64,
    bbox: Vec<f64>,
    #[serde(default = "certain")]
    score: f64,
    /// A mask by polygons or run lengths.
    #[serde(default, skip_serializing)]
    segmentation: Option<Box<RawValue>>,
}

impl Record {
    fn has_mask(&self) -> bool {
        let text = self.segmentation.as_ref().map_or("", |mask| mask.get());
        text.starts_with('{')
            || text.strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
    }
}

/// Annotations by hand have no score.
fn certain() -> f64 {
    1.0
}

/// A dataset of COCO.
#[derive(Deserialize)]
struct Coco {
    #[serde(default)]
    images: Vec<Image>,
    annotations: Vec<Record>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    #[serde(default)]
    file_name: String,
    #[serde(default)]
    width: Option<f64>,
    #[serde(default)]
    height: Option<f64>,
}

impl Image {
    /// The view that it is called like (`3.png`), whatever its id; one without a name is called like its id.
    fn view(&self) -> Result<i64, String> {
        let Image { id, file_name, .. } = self;
        let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        match stem.parse() {
            Ok(view) => Ok(view),
            Err(_) if stem.is_empty() => Ok(*id),
            Err(_) => Err(format!(
                "image {id} is called {file_name:?}; call images like the view that they are, 0.png, 1.png, ..., or leave out \
                 `images` and give views as image_id"
            )),
        }
    }

    fn size(&self) -> Option<[f64; 2]> {
        Some([self.width?, self.height?])
    }
}

/// Entries by their ids, of which each may come once. `what`: they are called.
fn once<'a, T>(entries: &'a [T], id: impl Fn(&T) -> i64, what: &str) -> Result<HashMap<i64, &'a T>, String> {
    let mut by_id = HashMap::new();
    for entry in entries {
        if by_id.insert(id(entry), entry).is_some() {
            return Err(format!("{what} {} comes twice; give each an id of its own", id(entry)));
        }
    }
    Ok(by_id)
}

impl Coco {
    /// The boxes, and the size of their images if it is said. An image is the view that it is called like, and a category
    /// that is named like a part is that part.
    fn into_records(self, parts: &[String]) -> Result<(Vec<Record>, Option<[f64; 2]>), String> {
        let (mut records, mut sized) = (self.annotations, None::<&Image>);
        let images = once(&self.images, |image| image.id, "image")?;
        let mut shown = HashMap::new();
        if !images.is_empty() {
            for record in &mut records {
                let id = record.image_id;
                let image =
                    images.get(&id).ok_or_else(|| format!("image_id {id} is not among its `images`"))?;
                let other = sized.filter(|other| image.size().is_some() && image.size() != other.size());
                if let Some(other) = other {
                    return Err(format!("image {id} has another size than image {}", other.id));
                }
                sized = sized.or(image.size().map(|_| *image));
                record.image_id = image.view()?;
                let other = *shown.entry(record.image_id).or_insert(id);
                if other != id {
                    return Err(format!(
                        "images {other} and {id} are called like one view, {}; give the boxes of one cloud",
                        record.image_id
                    ));
                }
            }
        }
        let size = sized.and_then(Image::size);
        if parts.is_empty() || self.categories.is_empty() {
            return Ok((records, size));
        }
        once(&self.categories, |category| category.id, "category")?;
        let part = |category: &Category| {
            let name = category.name.trim().to_lowercase();
            (category.id, parts.iter().position(|part| *part == name).ok_or(category.name.clone()))
        };
        let parts_of: HashMap<i64, Result<usize, String>> = self.categories.iter().map(part).collect();
        for record in &mut records {
            match parts_of.get(&record.category_id) {
                Some(Ok(part)) => record.category_id = *part as i64 + 1,
                Some(Err(name)) => {
                    return Err(format!(
                        "category {} is called {name:?}, which is none of the parts {}; name the parts as the file does, or \
                         leave out its `categories` to count the parts from 1",
                        record.category_id,
                        parts.join(", ")
                    ));
                }
                None => {
                    return Err(format!("category_id {} is not among its `categories`", record.category_id));
                }
            }
        }
        Ok((records, size))
    }
}

impl Boxes {
    /// Reads `pred.json`: a list of `{image_id, category_id (1-based), bbox [x, y, width, height], score}`, or a dictionary
    /// of COCO with such a list as `annotations`: there `images` are the views that they are named like (`3.png`). The
    /// boxes keep the file's order, to which masks, features and weights refer.
    ///
    /// `views`, `labels`: K and L, that image_id and category_id are checked against.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] naming the entry that is outside, not finite or of negative size, or the
    /// image that is named otherwise.
    pub fn read(path: &Path, views: usize, labels: usize) -> Result<Boxes> {
        Boxes::of_file(path, views, labels, &[])
    }

    /// The same for parts with names, `[L]`: the `categories` of a COCO dictionary are told by these.
    ///
    /// # Errors
    /// As [`Boxes::read`]; also if a box's category is called otherwise.
    pub fn read_named(path: &Path, views: usize, parts: &[String]) -> Result<Boxes> {
        Boxes::of_file(path, views, parts.len(), parts)
    }

    fn of_file(path: &Path, views: usize, labels: usize, parts: &[String]) -> Result<Boxes> {
        let text = String::from_utf8(budget::read_all(path)?)
            .map_err(|e| Error::format(path, format!("not JSON: {e}")))?;
        Boxes::of_text(&text, views, labels, parts).map_err(|what| Error::format(path, what))
    }

    /// The content of `pred.json`; the error says what is wrong, without the file's name.
    ///
    /// # Errors
    /// As [`Boxes::read`].
    pub fn parse(text: &str, views: usize, labels: usize) -> Result<Boxes, String> {
        Boxes::of_text(text, views, labels, &[])
    }

    /// The same for parts with names, as [`Boxes::read_named`].
    ///
    /// # Errors
    /// As [`Boxes::read_named`].
    pub fn parse_named(text: &str, views: usize, parts: &[String]) -> Result<Boxes, String> {
        Boxes::of_text(text, views, parts.len(), parts)
    }

    fn of_text(text: &str, views: usize, labels: usize, parts: &[String]) -> Result<Boxes, String> {
        let text = text.trim_start_matches('\u{feff}');
        let unfit = |e| {
            format!(
                "{e}; expected a list of {{\"image_id\", \"category_id\", \"bbox\": [x, y, width, height], \"score\"}}"
            )
        };
        let (records, image_size) = match text.trim_start().starts_with('{') {
            true => serde_json::from_str::<Coco>(text).map_err(unfit)?.into_records(parts)?,
            false => (serde_json::from_str::<Vec<Record>>(text).map_err(unfit)?, None),
        };
        let mut list = Vec::with_capacity(records.len());
        for (i, r) in records.iter().enumerate() {
            let index = |what: &str, value: i64, first: i64, count: usize| match value.checked_sub(first) {
                Some(v) if (0..count as i64).contains(&v) => Ok(v as u32),
                _ => Err(format!(
                    "entry {i}: {what} is {value}, not in {first}..={}: views count from 0, parts from 1",
                    count as i64 + first - 1
                )),
            };
            let bbox: [f64; 4] = r.bbox[..].try_into().map_err(|_| {
                format!("entry {i}: bbox has {} numbers, not 4; expected [x, y, width, height]", r.bbox.len())
            })?;
            let found = Box2d {
                view: index("image_id", r.image_id, 0, views)?,
                label: index("category_id", r.category_id, 1, labels)?,
                bbox: bbox.map(|v| v as f32),
                score: r.score as f32,
            };
            found.check(views, labels).map_err(|what| format!("entry {i}: {what}"))?;
            list.push(found);
        }
        Ok(Boxes { image_size, masks_unread: records.iter().any(Record::has_mask), ..list.into() })
    }

    /// Writes `pred.json`, without the features.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; as [`Boxes::list`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let record = |b: &Box2d| Record {
            image_id: b.view.into(),
            category_id: b.label as i64 + 1,
            bbox: b.bbox.map(f64::from).to_vec(),
            score: b.score.into(),
            segmentation: None,
        };
        let records: Vec<Record> = self.list()?.iter().map(record).collect();
        let text = serde_json::to_string(&records).expect("boxes are finite numbers");
        staged::write_all(path, (text + "\n").as_bytes())
    }

    /// Adds the features, `[B, F]` in the order of the boxes, from a `.npy` file or an `.npz` archive (`feature`).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the shape does not fit or a value is not finite.
    pub fn read_features(&mut self, path: &Path) -> Result<()> {
        let fits = |shape: &[usize]| match shape {
            &[rows, _] if rows != self.len() => {
                Err(format!("{rows} rows of features for {} boxes", self.len()))
            }
            [_, columns] if *columns > CHANNELS => {
                Err(format!("{columns} features a box; the limit is {CHANNELS}"))
            }
            [_, _] => Ok(()),
            _ => Err(format!("shape {shape:?}; features must be [B, F]")),
        };
        let array = npy::read_either::<f32>(path, "feature", &fits)?;
        let columns = array.shape[1];
        check_features(&array.data, columns).map_err(|what| Error::format(path, what))?;
        (self.features, self.feature_dim) = (array.data.into(), columns);
        Ok(())
    }
}
