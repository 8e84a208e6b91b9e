//! Boxes: what the detector found in the views, each with a part label, a score and a feature.

use crate::{
    error::{Error, Result},
    io::npy,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One box of one view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Box2d {
    /// The view it was found in, below K.
    pub view: u32,
    /// The part it shows, below L.
    pub label: u32,
    /// x, y of the upper left corner, width, height, in pixels of the view's image.
    pub bbox: [f32; 4],
    /// The detector's confidence in [0, 1].
    pub score: f32,
}

impl Box2d {
    /// Left, top, right, bottom in pixels.
    pub fn rect(&self) -> [f32; 4] {
        let [x, y, width, height] = self.bbox;
        [x, y, x + width, y + height]
    }
}

/// The boxes of all views, with a feature row each. A detector gives them by view; nothing depends on their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    /// The boxes, `[B]`.
    pub list: Vec<Box2d>,
    /// Detector features, `[B, feature_dim]`; empty if the detector gave none.
    pub features: Vec<f32>,
    /// Channels per feature row (256 for GLIP), 0 without features.
    pub feature_dim: usize,
}

/// A box as `pred.json` holds it.
#[derive(Serialize, Deserialize)]
struct Record {
    image_id: i64,
    category_id: i64,
    bbox: [f64; 4],
    score: f64,
}

impl Boxes {
    /// Number of boxes, B.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The label of every box, `[B]`.
    pub fn labels(&self) -> Vec<u32> {
        self.list.iter().map(|b| b.label).collect()
    }

    /// The view of every box, `[B]`.
    pub fn views(&self) -> Vec<u32> {
        self.list.iter().map(|b| b.view).collect()
    }

    /// Left, top, right, bottom of every box, `[B]`.
    pub fn rects(&self) -> Vec<[f32; 4]> {
        self.list.iter().map(Box2d::rect).collect()
    }

    /// The boxes that pass `keep`, grouped by view: where each view's begin, `[K + 1]`, and the boxes, within a view by
    /// label, within a label in their own order.
    pub fn by_view(&self, views: usize, keep: impl Fn(usize) -> bool) -> (Vec<u32>, Vec<u32>) {
        let mut boxes: Vec<u32> = (0..self.len() as u32).filter(|&b| keep(b as usize)).collect();
        boxes.sort_by_key(|&b| (self.list[b as usize].view, self.list[b as usize].label));
        let begin = |k: usize| boxes.partition_point(|&b| (self.list[b as usize].view as usize) < k) as u32;
        ((0..=views).map(begin).collect(), boxes)
    }

    /// Checks every box against the number of views and part labels.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first box that is outside, not finite or of negative size, or if the features do
    /// not fit the boxes.
    pub fn check(&self, views: usize, labels: usize) -> Result<()> {
        for (i, b) in self.list.iter().enumerate() {
            b.check(views, labels).map_err(|what| Error::invalid(format!("box {i}: {what}")))?;
        }
        check_features(&self.features, self.feature_dim, self.len()).map_err(Error::invalid)
    }

    /// Reads `pred.json`: a list of `{image_id, category_id (1-based), bbox [x, y, width, height], score}`; other keys
    /// are skipped. The boxes keep the file's order, to which masks, features and weights refer.
    ///
    /// `views`, `labels`: K and L, that image_id and category_id are checked against.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] naming the entry that is outside, not finite or of negative size.
    pub fn read(path: &Path, views: usize, labels: usize) -> Result<Boxes> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Boxes::parse(&text, views, labels).map_err(|what| Error::format(path, what))
    }

    /// The content of `pred.json`; the error says what is wrong, without the file's name.
    ///
    /// # Errors
    /// As [`Boxes::read`].
    pub fn parse(text: &str, views: usize, labels: usize) -> Result<Boxes, String> {
        let records: Vec<Record> = serde_json::from_str(text).map_err(|e| {
            format!("{e}; expected a list of {{\"image_id\", \"category_id\", \"bbox\": [x, y, width, height], \"score\"}}")
        })?;
        let mut list = Vec::with_capacity(records.len());
        for (i, r) in records.iter().enumerate() {
            let index = |what: &str, value: i64, first: i64, count: usize| match value.checked_sub(first) {
                Some(v) if (0..count as i64).contains(&v) => Ok(v as u32),
                _ => Err(format!(
                    "entry {i}: {what} is {value}, not in {first}..={}",
                    count as i64 + first - 1
                )),
            };
            let found = Box2d {
                view: index("image_id", r.image_id, 0, views)?,
                label: index("category_id", r.category_id, 1, labels)?,
                bbox: r.bbox.map(|v| v as f32),
                score: r.score as f32,
            };
            found.check(views, labels).map_err(|what| format!("entry {i}: {what}"))?;
            list.push(found);
        }
        Ok(Boxes { list, ..Boxes::default() })
    }

    /// Writes `pred.json`, without the features.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let record = |b: &Box2d| Record {
            image_id: b.view.into(),
            category_id: b.label as i64 + 1,
            bbox: b.bbox.map(f64::from),
            score: b.score.into(),
        };
        let records: Vec<Record> = self.list.iter().map(record).collect();
        let text = serde_json::to_string(&records).expect("boxes are finite numbers");
        std::fs::write(path, text + "\n").map_err(Error::io(path))
    }

    /// Adds the features, `[B, F]` in the order of the boxes, from a `.npy` file or an `.npz` archive (`feature`).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the shape does not fit or a value is not finite.
    pub fn read_features(&mut self, path: &Path) -> Result<()> {
        let array = npy::read_either::<f32>(path, "feature")?;
        let [rows, columns] = array.shape[..] else {
            return Err(Error::format(path, format!("shape {:?}; features must be [B, F]", array.shape)));
        };
        if rows != self.len() {
            return Err(Error::format(path, format!("{rows} rows of features for {} boxes", self.len())));
        }
        check_features(&array.data, columns, rows).map_err(|what| Error::format(path, what))?;
        (self.features, self.feature_dim) = (array.data, columns);
        Ok(())
    }
}

impl Box2d {
    fn check(&self, views: usize, labels: usize) -> Result<(), String> {
        let Box2d { view, label, bbox, score } = *self;
        if view as usize >= views {
            return Err(format!("view {view}, but there are {views} views, counted from 0"));
        }
        if label as usize >= labels {
            return Err(format!("label {label}, but there are {labels} parts, counted from 0"));
        }
        let [_, _, width, height] = bbox;
        if !(bbox.iter().all(|v| v.is_finite()) && width >= 0.0 && height >= 0.0) {
            return Err(format!("bbox {bbox:?}; x, y, width, height must be finite, the sizes not negative"));
        }
        if !(0.0..=1.0).contains(&score) {
            return Err(format!("score {score}; scores lie in [0, 1]"));
        }
        Ok(())
    }
}

fn check_features(features: &[f32], dim: usize, boxes: usize) -> Result<(), String> {
    if features.len() != dim * boxes {
        return Err(format!("{} feature values for {boxes} boxes of {dim} channels", features.len()));
    }
    match features.iter().position(|v| !v.is_finite()) {
        Some(i) => {
            Err(format!("feature {} of box {} is {}; features must be finite", i % dim, i / dim, features[i]))
        }
        None => Ok(()),
    }
}

#[cfg(feature = "ort")]
mod detect {
    use super::{Box2d, Boxes};
    #[cfg(feature = "cuda")]
    use crate::{device::Device, models::ImagesOnDevice};
    use crate::{
        error::Result,
        models::{Detector, Images},
        stages::views::Views,
    };
    use serde::{Deserialize, Serialize};

    /// How to detect.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    pub struct Options {
        /// Boxes need a higher score than this.
        pub threshold: f32,
        /// Views that go through the detector in one run; the boxes do not depend on it. On a CPU one at a time is as
        /// fast as ten and takes a quarter of the memory.
        pub batch: usize,
    }

    impl Default for Options {
        fn default() -> Options {
            Options { threshold: 0.5, batch: 1 }
        }
    }

    impl Boxes {
        /// Finds the parts in the views (GLIP; paper section 4.1): views ascending, scores descending within each. On the
        /// device that the detector was loaded for.
        ///
        /// # Errors
        /// [`Error::Invalid`](crate::Error::Invalid) for part names that make no caption,
        /// [`Error::Model`](crate::Error::Model) if the detector fails.
        pub fn detect(
            views: &Views,
            parts: &[impl AsRef<str>],
            detector: &Detector,
            options: &Options,
        ) -> Result<Boxes> {
            let prompt = detector.prompt(parts)?;
            #[cfg(feature = "cuda")]
            if let Device::Cuda(gpu) = detector.device() {
                let pixels = &*views.images.device(gpu)?;
                let images = ImagesOnDevice { pixels, size: [views.side; 2] };
                let found = detector.detect_on(gpu, images, &prompt, options.threshold, options.batch)?;
                let box2d = |b: usize| Box2d {
                    view: found.views[b],
                    label: found.parts[b],
                    bbox: found.rects[b],
                    score: found.scores[b],
                };
                let list = (0..found.views.len()).map(box2d).collect();
                return Ok(Boxes { list, features: found.features, feature_dim: detector.feature_dim() });
            }
            let images = Images { pixels: views.images.host()?, height: views.side, width: views.side };
            let mut boxes = Boxes { feature_dim: detector.feature_dim(), ..Boxes::default() };
            for (view, found) in
                (0..).zip(detector.detect(images, &prompt, options.threshold, options.batch)?)
            {
                boxes.list.extend(found.boxes.iter().map(|b| {
                    let [x1, y1, x2, y2] = b.corners;
                    Box2d { view, label: b.part as u32, bbox: [x1, y1, x2 - x1, y2 - y1], score: b.score }
                }));
                boxes.features.extend(found.features);
            }
            Ok(boxes)
        }
    }
}

#[cfg(feature = "ort")]
pub use detect::Options;
