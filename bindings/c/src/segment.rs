//! The two ways from a cloud to its parts.

use crate::{
    arguments::{Values, given, list, make, parts, partstad_array, unfit},
    cloud::{Named, partstad_cloud},
    observer::{or_none, partstad_observer},
    pipeline::{Setup, partstad_pipeline},
    result::partstad_result,
    status::partstad_status,
};
use rust::{
    Error, Observer, Parts, Predictions, Result,
    stages::{
        boxes::{Box2d, Boxes},
        masks::{LOGIT_SIDE, Masks},
        superpoints::Superpoints,
        weights::Weights,
    },
};
use std::{ffi::c_char, sync::Arc};

/// Finds the named parts of a cloud. The pipeline needs models; cloud and pipeline must have the same options cloud.
/// `parts`: `part_count` names such as "leg"; together they are the prompt. `observer`: NULL = nobody watches.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_segment(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    parts: *const *const c_char,
    part_count: usize,
    observer: Option<&partstad_observer>,
    result: *mut *mut partstad_result,
) -> partstad_status {
    let work = || {
        // SAFETY: the caller's, as the header says.
        let (setup, cloud, parts) = unsafe { arguments(pipeline, cloud, parts, part_count)? };
        segment(setup, cloud, Some(parts), or_none(observer))
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(result, "result", work) }
}

/// Finds the parts of a cloud without names: "part 1" is the largest, and each is one instance. The pipeline's models must
/// have a segmenter that answers points, as those inside the library do. The other arguments are those of
/// `partstad_segment`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_segment_unnamed(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    observer: Option<&partstad_observer>,
    result: *mut *mut partstad_result,
) -> partstad_status {
    let work = || {
        let setup = given(pipeline, "pipeline")?.setup();
        segment(setup, given(cloud, "cloud")?.0.clone(), None, or_none(observer))
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(result, "result", work) }
}

#[cfg(feature = "ort")]
fn segment(
    setup: Setup,
    cloud: Arc<Named>,
    parts: Option<Parts>,
    observer: &dyn Observer,
) -> Result<partstad_result> {
    let Some(models) = setup.pipeline.models() else {
        return Err(Error::Model("the pipeline has no models; call partstad_pipeline_load_models".into()));
    };
    let warning = models.manifest.stand_in.then(|| rust::models::STAND_IN.to_string());
    let points = &cloud.input.cloud;
    let said = warning.into_iter().collect();
    match &parts {
        Some(parts) => {
            let found = setup.pipeline.segment(points, parts, observer)?;
            partstad_result::new(found, cloud, &setup, "partstad_segment", said)
        }
        None => {
            let setup = Setup { pipeline: setup.pipeline.unnamed(), learned: None, ..setup };
            let found = setup.pipeline.segment_unnamed(points, observer)?;
            partstad_result::new(found, cloud, &setup, "partstad_segment_unnamed", said)
        }
    }
}

#[cfg(not(feature = "ort"))]
fn segment(_: Setup, _: Arc<Named>, _: Option<Parts>, _: &dyn Observer) -> Result<partstad_result> {
    Err(Error::Model("this library was built without models; build it with the feature ort".into()))
}

/// A box of one view.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct partstad_box {
    /// The view, from 0.
    pub view: u32,
    /// The part: its place among the names, from 0.
    pub part: u32,
    /// Left edge, in pixels of the view's image.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Size to the right.
    pub width: f32,
    /// Size downwards.
    pub height: f32,
    /// The detector's confidence, from 0 to 1.
    pub score: f32,
}

/// What a detector of the caller's found, and whatever else is known, for `partstad_lift`. All zero but the boxes is
/// enough: then the boxes themselves vote.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct partstad_predictions {
    /// `box_count` boxes, of the images that `partstad_render` makes of the cloud.
    pub boxes: *const partstad_box,
    /// Number of boxes, B.
    pub box_count: usize,
    /// A mask of every box: `PARTSTAD_U8`, a row of side * side pixels, row-major from the top, 0 = outside; or
    /// `PARTSTAD_F32`, a row of 256 * 256 logits as SAM gives them, above 0 = inside.
    pub masks: partstad_array,
    /// A feature of every box, `PARTSTAD_F32`, a row of `channels` values; learned weights read them.
    pub features: partstad_array,
    /// Values of a feature; 0 without features.
    pub channels: usize,
    /// The superpoint of every row of the cloud's input, `PARTSTAD_I32`, -1 where no point stands for a row.
    pub superpoints: partstad_array,
    /// What the vote of every box counts, `PARTSTAD_F32`: B values, or 1 + B with that of "no part" first.
    pub weights: partstad_array,
}

/// Lifts boxes and masks of the caller's detector to the named parts of a cloud. The other arguments are those of
/// `partstad_segment`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_lift(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    parts: *const *const c_char,
    part_count: usize,
    predictions: Option<&partstad_predictions>,
    observer: Option<&partstad_observer>,
    result: *mut *mut partstad_result,
) -> partstad_status {
    let work = || {
        // SAFETY: the caller's, as the header says.
        let (setup, cloud, parts) = unsafe { arguments(pipeline, cloud, parts, part_count)? };
        // SAFETY: the caller's, as the header says.
        let (predictions, unsure) =
            unsafe { given(predictions, "predictions")?.read(&setup, &cloud, &parts)? };
        let found = setup.pipeline.lift(&cloud.input.cloud, &parts, predictions, or_none(observer))?;
        partstad_result::new(found, cloud, &setup, "partstad_lift", unsure.into_iter().collect())
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(result, "result", work) }
}

unsafe fn arguments(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    names: *const *const c_char,
    count: usize,
) -> Result<(Setup, Arc<Named>, Parts)> {
    let setup = given(pipeline, "pipeline")?.setup();
    let cloud = given(cloud, "cloud")?.0.clone();
    // SAFETY: the caller's.
    let parts = unsafe { parts(names, count)? };
    if let Some((file, learned)) = &setup.learned {
        learned.check(&parts).map_err(|e| Error::format(file, e.to_string()))?;
    }
    Ok((setup, cloud, parts))
}

impl partstad_predictions {
    /// The predictions, and what the caller should know of them.
    unsafe fn read(
        &self,
        setup: &Setup,
        cloud: &Named,
        parts: &Parts,
    ) -> Result<(Predictions, Option<String>)> {
        let options = setup.pipeline.options();
        // SAFETY: the caller's.
        let boxes = unsafe { list(self.boxes, self.box_count, "boxes")? };
        // SAFETY: the caller's.
        let features = match unsafe { self.features.values(self.channels, "features")? } {
            Values::None => &[],
            Values::F32(_) if self.features.rows != boxes.len() => {
                return self.features.miscounted("features", boxes.len());
            }
            Values::F32(features) => features,
            _ => return unfit("features", "PARTSTAD_F32"),
        };
        let channels = if features.is_empty() { 0 } else { self.channels };
        let list = boxes.iter().map(Box2d::from).collect();
        let boxes = Boxes::with_features(list, features.to_vec(), channels);
        boxes.check(options.views.poses.len(), parts.len())?;
        let unsure = boxes.check_pixels(options.views.side)?;
        // SAFETY: the caller's.
        let (masks, superpoints, weights) = unsafe {
            (
                self.masks(boxes.len(), options.views.side)?,
                self.superpoints(cloud)?,
                self.weights(boxes.len(), options.weights.null_of_given())?,
            )
        };
        Ok((Predictions { boxes, masks, superpoints, weights }, unsure))
    }

    unsafe fn masks(&self, boxes: usize, side: usize) -> Result<Masks> {
        let columns = match self.masks.kind {
            crate::arguments::PARTSTAD_F32 => LOGIT_SIDE * LOGIT_SIDE,
            _ => side.saturating_mul(side),
        };
        // SAFETY: the caller's.
        let values = unsafe { self.masks.values(columns, "masks")? };
        if !matches!(values, Values::None) && self.masks.rows != boxes {
            return self.masks.miscounted("masks", boxes);
        }
        match values {
            Values::None => Ok(Masks::Boxes),
            Values::U8(pixels) => {
                Ok(Masks::pack(&pixels.iter().map(|&pixel| pixel != 0).collect::<Vec<_>>(), side))
            }
            Values::F32(logits) => match logits.iter().position(|logit| !logit.is_finite()) {
                Some(i) => Err(Error::invalid(format!(
                    "masks: logit {} of box {} is {}; logits must be finite",
                    i % columns,
                    i / columns,
                    logits[i]
                ))),
                None => Ok(Masks::Logits(logits.to_vec().into())),
            },
            _ => unfit("masks", "PARTSTAD_U8 or PARTSTAD_F32"),
        }
    }

    unsafe fn superpoints(&self, cloud: &Named) -> Result<Option<Superpoints>> {
        let cloud = &cloud.input.cloud;
        // SAFETY: the caller's.
        match unsafe { self.superpoints.values(1, "superpoints")? } {
            Values::None => Ok(None),
            Values::I32(labels) if labels.len() != cloud.input_len() => {
                self.superpoints.miscounted("superpoints", cloud.input_len())
            }
            Values::I32(labels) => Superpoints::from_labels(&cloud.to_points(labels)).map(Some),
            _ => unfit("superpoints", "PARTSTAD_I32"),
        }
    }

    unsafe fn weights(&self, boxes: usize, null: f32) -> Result<Option<Weights>> {
        // SAFETY: the caller's.
        let weights = match unsafe { self.weights.values(1, "weights")? } {
            Values::None => return Ok(None),
            Values::F32(weights) if weights.len() == boxes => {
                Weights { boxes: weights.to_vec().into(), null }
            }
            Values::F32([null, weights @ ..]) if weights.len() == boxes => {
                Weights { boxes: weights.to_vec().into(), null: *null }
            }
            Values::F32(_) => return self.weights.miscounted("weights", boxes),
            _ => return unfit("weights", "PARTSTAD_F32"),
        };
        weights.check(boxes)?;
        Ok(Some(weights))
    }
}

impl partstad_array {
    fn miscounted<T>(&self, what: &str, wanted: usize) -> Result<T> {
        Err(Error::invalid(format!("{what}: {} rows; there must be {wanted}", self.rows)))
    }
}

impl From<&partstad_box> for Box2d {
    fn from(b: &partstad_box) -> Box2d {
        Box2d { view: b.view, label: b.part, bbox: [b.x, b.y, b.width, b.height], score: b.score }
    }
}

impl From<&Box2d> for partstad_box {
    fn from(b: &Box2d) -> partstad_box {
        let [x, y, width, height] = b.bbox;
        partstad_box { view: b.view, part: b.label, x, y, width, height, score: b.score }
    }
}
