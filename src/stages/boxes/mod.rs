//! Boxes: what the detector found in the views, each with a part label, a score and a feature.

#[cfg(feature = "cuda")]
mod device;
mod file;
#[cfg(feature = "cuda")]
pub use device::OnDevice;

use crate::{
    device::twin::Twin,
    error::{Error, Result, in_range},
    ops::detect::boxes,
    parts::Template,
    ragged::Ragged,
};
use serde::{Deserialize, Serialize};

/// How to detect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Boxes need a higher score than this.
    pub threshold: f32,
    /// Boxes of a lower score than the threshold but a higher one than this are kept apart: they do not vote, but tell why
    /// a part was not found. One above the threshold counts as the threshold.
    pub weak_threshold: f32,
    /// Views that go through the detector in one run; the boxes do not depend on it. 0 = on a device as many as its
    /// memory holds, up to ten; on a CPU one, which is as fast as ten and takes a quarter of the memory.
    pub batch: usize,
    /// What to ask for a part.
    pub template: Template,
}

impl Default for Options {
    fn default() -> Options {
        Options { threshold: 0.5, weak_threshold: 0.1, batch: 0, template: Template::default() }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        for (name, value) in
            [("boxes.threshold", self.threshold), ("boxes.weak_threshold", self.weak_threshold)]
        {
            in_range((0.0..=1.0).contains(&value), name, value, "from 0 to 1")?;
        }
        Ok(())
    }
}

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

    /// Whether it has no area, and so holds nothing.
    pub fn is_empty(&self) -> bool {
        let [_, _, width, height] = self.bbox;
        width <= 0.0 || height <= 0.0
    }
}

/// The boxes of all views, with a feature row each. A detector gives them by view; nothing depends on their order. Those
/// that were found on a device stay there until somebody asks for them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Boxes {
    list: Twin<Vec<Box2d>>,
    /// Detector features, `[B, feature_dim]`; empty if the detector gave none.
    pub features: Twin<Vec<f32>>,
    /// Channels per feature row (256 for GLIP), 0 without features.
    pub feature_dim: usize,
    /// What a detector says besides; none for boxes from elsewhere.
    pub detected: Option<Detected>,
    /// Width and height of the images that they belong to, where their file says it.
    pub image_size: Option<[f64; 2]>,
    /// Whether their file has masks too (`segmentation`), which are not read.
    pub masks_unread: bool,
}

/// What to say of boxes whose file has masks, if no others are given.
pub const MASKS_UNREAD: &str = "The masks in the boxes' file (segmentation) are not read, so the boxes themselves vote: give masks as \
                                an array.";

/// How a detector looked for the boxes, and what it did not believe.
#[derive(Debug, Clone, PartialEq)]
pub struct Detected {
    /// As in [`Options`].
    pub threshold: f32,
    /// As in [`Options`], at most the threshold.
    pub weak_threshold: f32,
    /// Boxes between both thresholds, in the order of the others. They have no vote.
    pub weak: Twin<Vec<Box2d>>,
    /// Parts whose names the detector can hardly find, and why, as in "is not in the vocabulary".
    pub doubts: Vec<(u32, String)>,
}

impl Boxes {
    /// Boxes with the detector's features, `[B, feature_dim]`.
    pub fn with_features(list: Vec<Box2d>, features: Vec<f32>, feature_dim: usize) -> Boxes {
        Boxes { features: features.into(), feature_dim, ..list.into() }
    }

    /// Number of boxes, B.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The boxes, `[B]`, fetched once if they lie on a device.
    ///
    /// # Errors
    /// [`Error::Device`] if they lie on a device that failed; never without one.
    pub fn list(&self) -> Result<&[Box2d]> {
        Ok(self.list.host()?)
    }

    /// The boxes that a detector saw and did not believe, fetched once if they lie on a device.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn weak(&self) -> Result<&[Box2d]> {
        self.detected.as_ref().map_or(Ok(&[]), |detected| Ok(detected.weak.host()?))
    }

    /// The boxes, if the host has them.
    pub(crate) fn here(&self) -> Option<&[Box2d]> {
        self.list.here().map(Vec::as_slice)
    }

    /// The boxes, to be changed; a device's copy is forgotten.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn list_mut(&mut self) -> Result<&mut Vec<Box2d>> {
        self.list.host_mut()
    }

    /// The label of every box, `[B]`.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn labels(&self) -> Result<Vec<u32>> {
        Ok(self.list()?.iter().map(|b| b.label).collect())
    }

    /// The view of every box, `[B]`.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn views(&self) -> Result<Vec<u32>> {
        Ok(self.list()?.iter().map(|b| b.view).collect())
    }

    /// The detector's confidence in every box, `[B]`.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn scores(&self) -> Result<Vec<f32>> {
        Ok(self.list()?.iter().map(|b| b.score).collect())
    }

    /// Left, top, right, bottom of every box, `[B]`.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn rects(&self) -> Result<Vec<[f32; 4]>> {
        Ok(self.list()?.iter().map(Box2d::rect).collect())
    }

    /// The boxes of each view that pass `keep`, by label, within a label in their own order, `[K]`.
    ///
    /// # Errors
    /// As [`Boxes::list`].
    pub fn by_view(&self, views: usize, keep: impl Fn(usize) -> bool) -> Result<Ragged<u32>> {
        let list = self.list()?;
        let mut boxes = boxes::cpu::by_view(&self.views()?, &self.labels()?)?;
        boxes.retain(|&b| keep(b as usize));
        let begin = |k: usize| boxes.partition_point(|&b| (list[b as usize].view as usize) < k) as u32;
        Ragged::new((0..=views).map(begin).collect(), boxes)
    }

    /// Checks every box against the number of views and part labels; those that a device found and nobody fetched fit.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first box that is outside, not finite or of negative size, or if the features do
    /// not fit the boxes.
    pub fn check(&self, views: usize, labels: usize) -> Result<()> {
        for (i, b) in self.here().into_iter().flatten().enumerate() {
            b.check(views, labels).map_err(|what| Error::invalid(format!("box {i}: {what}")))?;
        }
        let (found, dim, boxes) = (self.features.len(), self.feature_dim, self.len());
        if found != dim * boxes {
            return Err(Error::invalid(format!(
                "{found} feature values for {boxes} boxes of {dim} channels"
            )));
        }
        if self.features.is_here() {
            check_features(self.features.host()?, dim).map_err(Error::invalid)?;
        }
        Ok(())
    }

    /// Checks that the boxes can be x, y, width, height in pixels of images of `side` x `side`; what is doubtful.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are normalised, corners, or of images of another size.
    pub fn check_pixels(&self, side: usize) -> Result<Option<String>> {
        let list = self.list()?;
        let s = side as f32;
        if let Some([width, height]) = self.image_size.filter(|&size| size != [side as f64; 2]) {
            return Err(Error::invalid(format!(
                "its images are {width} x {height} pixels, the views {side} x {side}; give boxes in pixels of the views"
            )));
        }
        let all = |is: &dyn Fn([f32; 4]) -> bool| !list.is_empty() && list.iter().all(|b| is(b.bbox));
        if all(&|bbox| bbox.iter().all(|&v| v <= 1.0)) {
            return Err(Error::invalid(format!(
                "no box reaches beyond 1 pixel, so they are normalised; multiply them by the {side} pixels of the views"
            )));
        }
        if all(&|[_, _, width, height]| width * height == 0.0) {
            return Err(Error::invalid("no box has an area; give [x, y, width, height] in pixels"));
        }
        let corners = all(&|[x1, y1, x2, y2]| x2 > x1 && y2 > y1 && x2 <= s + 1.0 && y2 <= s + 1.0);
        let end = |b: &Box2d| b.rect()[2].max(b.rect()[3]);
        if let Some(i) = list.iter().position(|b| end(b) > 1.05 * s) {
            let (bbox, end) = (list[i].bbox, end(&list[i]));
            return Err(Error::invalid(match corners {
                true => format!(
                    "entry {i}: bbox {bbox:?} ends at {end} pixels, outside the views of {side}, but all boxes would lie \
                     inside as corners [x1, y1, x2, y2]; give [x, y, width, height]"
                ),
                false => format!(
                    "entry {i}: bbox {bbox:?} ends at {end} pixels, outside the views of {side}; scale boxes of larger \
                     images down, or render views of that size (option views.side)"
                ),
            }));
        }
        Ok(if corners && list.len() >= 8 {
            Some(
                "All boxes could be corners [x1, y1, x2, y2], but are taken as [x, y, width, height].".into(),
            )
        } else if all(&|[x, y, width, height]| (x + width).max(y + height) < 0.55 * s) {
            Some(format!(
                "All boxes lie in the upper left quarter of the views of {side} pixels; are they of smaller images?"
            ))
        } else {
            None
        })
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

impl From<Vec<Box2d>> for Boxes {
    /// Boxes without features.
    fn from(list: Vec<Box2d>) -> Boxes {
        Boxes { list: list.into(), ..Boxes::default() }
    }
}

/// Refuses features that are not finite.
fn check_features(features: &[f32], dim: usize) -> Result<(), String> {
    match features.iter().position(|v| !v.is_finite()) {
        Some(i) => {
            Err(format!("feature {} of box {} is {}; features must be finite", i % dim, i / dim, features[i]))
        }
        None => Ok(()),
    }
}

#[cfg(feature = "ort")]
pub(super) use detect::Asked;

#[cfg(feature = "ort")]
mod detect {
    use super::{Box2d, Boxes, Detected, Options};
    use crate::{
        device::twin::Twin,
        error::Result,
        models::{Detector, Images},
        ops::detect::detection::{Detection, Thresholds},
        stages::views::Views,
    };
    #[cfg(feature = "cuda")]
    use {
        super::OnDevice,
        crate::{
            device::{Device, gpu::Gpu},
            models::device as on_device,
            ops::detect::detection::cuda as detection,
        },
    };

    impl Boxes {
        /// Finds the parts in the views (GLIP; paper section 4.1): views ascending, scores descending within each. On the
        /// device that the detector was loaded for, where the boxes stay.
        ///
        /// # Errors
        /// [`Error::Invalid`](crate::Error::Invalid) for part names that make no caption,
        /// [`Error::Model`](crate::Error::Model) if the detector fails, [`Error::Memory`](crate::Error::Memory) if memory
        /// does not suffice for one view.
        pub fn detect(
            views: &Views,
            parts: &[impl AsRef<str>],
            detector: &Detector,
            options: &Options,
        ) -> Result<Boxes> {
            let prompt = detector.prompt(parts, &options.template)?;
            let asked = Asked { options, doubts: &prompt.doubts, feature_dim: detector.feature_dim() };
            #[cfg(feature = "cuda")]
            if let Device::Cuda(gpu) = detector.device() {
                let pixels = &*views.images.device(gpu)?;
                let images = on_device::Images { pixels, size: [views.side; 2] };
                let found = detector.detect_on(gpu, images, &prompt, asked.thresholds(), options.batch)?;
                return Ok(asked.found_on(gpu, found));
            }
            let images = Images { pixels: views.images.host()?, height: views.side, width: views.side };
            let found = detector.detect(images, &prompt, asked.thresholds(), options.batch)?;
            let features = found.iter().flat_map(|found| &found.features).copied().collect();
            let lists = found.iter().map(|found| (&found.boxes[..], &found.weak[..]));
            Ok(asked.found(lists, features))
        }
    }

    /// What a model was asked for.
    pub(in crate::stages) struct Asked<'a> {
        pub options: &'a Options,
        /// As in [`Detected`].
        pub doubts: &'a [(u32, String)],
        /// Channels of a box's feature.
        pub feature_dim: usize,
    }

    impl Asked<'_> {
        /// The scores that count; a weak threshold above the other counts as the other.
        pub fn thresholds(&self) -> Thresholds {
            let Options { threshold, weak_threshold, .. } = *self.options;
            Thresholds { found: threshold, weak: weak_threshold.min(threshold) }
        }

        fn detected(&self, weak: Twin<Vec<Box2d>>) -> Option<Detected> {
            let Thresholds { found: threshold, weak: weak_threshold } = self.thresholds();
            Some(Detected { threshold, weak_threshold, weak, doubts: self.doubts.to_vec() })
        }

        /// The boxes that were found in each view, and the weak ones. `features`: of those found.
        pub fn found<'b>(
            &self,
            views: impl Iterator<Item = (&'b [Detection], &'b [Detection])>,
            features: Vec<f32>,
        ) -> Boxes {
            let (mut list, mut weak) = (vec![], vec![]);
            for (view, (found, doubtful)) in (0..).zip(views) {
                let of_view = |b: &Detection| {
                    let [x1, y1, x2, y2] = b.corners;
                    Box2d { view, label: b.part as u32, bbox: [x1, y1, x2 - x1, y2 - y1], score: b.score }
                };
                list.extend(found.iter().map(of_view));
                weak.extend(doubtful.iter().map(of_view));
            }
            let detected = self.detected(weak.into());
            Boxes { detected, ..Boxes::with_features(list, features, self.feature_dim) }
        }

        /// The same of boxes that stay on a device.
        #[cfg(feature = "cuda")]
        pub fn found_on(&self, gpu: &Gpu, found: on_device::Found) -> Boxes {
            let there = |boxes, per_view| {
                let detection::Boxes { views, parts: labels, scores, bboxes, rects, features } = boxes;
                let list = OnDevice { views, labels, scores, bboxes, rects, per_view };
                (Twin::on_device(gpu, list), Twin::on_device(gpu, features))
            };
            let (list, features) = there(found.boxes, found.per_view);
            let (weak, _) = there(found.weak, found.weak_per_view);
            Boxes {
                list,
                features,
                feature_dim: self.feature_dim,
                detected: self.detected(weak),
                image_size: None,
                masks_unread: false,
            }
        }
    }
}
