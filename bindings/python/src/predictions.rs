//! Boxes, masks and whatever else a caller knows, for `Pipeline.lift`; and boxes as Python has them.

use crate::{
    arrays::{Kind, Numbers, array},
    error::{OrRaise, exception, invalid},
};
use numpy::ndarray::Ix2;
use partstad::{
    Device, Error, Parts, Pipeline, Predictions, Result,
    pipeline::Options,
    stages::{
        boxes::{Box2d, Boxes, MASKS_UNREAD},
        cloud::Cloud,
        masks::Masks,
        superpoints::Superpoints,
        weights::Weights,
    },
};
use pyo3::{prelude::*, types::PyString};
use std::path::PathBuf;

/// What the caller gave, copied while the interpreter held still.
pub struct Given {
    boxes: FileOr<Boxes>,
    masks: Option<GivenMasks>,
    superpoints: Option<Vec<i64>>,
    weights: Option<Vec<f32>>,
}

enum FileOr<T> {
    File(PathBuf),
    Here(T),
}

/// Masks by their numbers, and the shape that these have.
struct GivenMasks {
    shape: Vec<usize>,
    values: Values,
}

enum Values {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Given {
    pub fn of(
        py: Python,
        [boxes, masks, superpoints, weights]: [Option<&Bound<PyAny>>; 4],
        pipeline: &Pipeline,
        parts: &Parts,
    ) -> PyResult<Given> {
        let (device, options) = (pipeline.device(), pipeline.options());
        let Some(boxes) = boxes else {
            return Err(invalid(
                py,
                "no boxes; give partstad.Boxes, a list as in pred.json, or the path of such a file",
            ));
        };
        let superpoints =
            superpoints.map(|s| Numbers::of(s, "superpoints", device)?.indices("[N], one of every point"));
        let weights = weights.map(|weights| {
            let weights = Numbers::of(weights, "weights", device)?;
            weights.check(|shape| shape.len() == 1, "[B], or [1 + B] with the null weight first")?;
            weights.values()
        });
        Ok(Given {
            boxes: given_boxes(boxes, device, options.views.poses.len(), parts)?,
            masks: masks.map(|masks| given_masks(masks, device)).transpose()?,
            superpoints: superpoints.transpose()?,
            weights: weights.transpose()?,
        })
    }

    /// The predictions for a cloud, and what is doubtful about them.
    pub fn predictions(
        self,
        cloud: &Cloud,
        options: &Options,
        parts: &Parts,
    ) -> Result<(Predictions, Vec<String>)> {
        let (views, side) = (options.views.poses.len(), options.views.side);
        let boxes = match self.boxes {
            FileOr::Here(boxes) => boxes,
            FileOr::File(path) => Boxes::read_named(&path, views, parts)?,
        };
        boxes.check(views, parts.len())?;
        let unsure = boxes.check_pixels(side)?;
        let unread = (boxes.masks_unread && self.masks.is_none()).then(|| MASKS_UNREAD.to_string());
        let b = boxes.len();
        let masks = self.masks.map_or(Ok(Masks::Boxes), |masks| masks.of(b, side))?;
        let superpoints = self.superpoints.map(|labels| partition(&labels, cloud)).transpose()?;
        let null = options.weights.null_of_given();
        let weights = self.weights.map(|values| Weights::of_values(values, b, null)).transpose()?;
        Ok((Predictions { boxes, masks, superpoints, weights }, unsure.into_iter().chain(unread).collect()))
    }
}

impl GivenMasks {
    fn of(self, boxes: usize, side: usize) -> Result<Masks> {
        let shape = &self.shape;
        if *shape != [boxes, side, side] && *shape != [boxes, 1, side, side] {
            return Err(Error::invalid(format!(
                "masks have shape {shape:?}; they must be [{boxes}, {side}, {side}]"
            )));
        }
        match self.values {
            Values::Bytes(values) => Masks::new(&values, side),
            Values::Floats(values) => Masks::new(&values, side),
        }
    }
}

fn given_masks(given: &Bound<PyAny>, device: &Device) -> PyResult<GivenMasks> {
    let masks = Numbers::of(given, "masks", device)?;
    let values = match masks.kind {
        Kind::Bool => Values::Bytes(masks.values()?),
        _ => Values::Floats(masks.values()?),
    };
    Ok(GivenMasks { shape: masks.shape().to_vec(), values })
}

fn given_boxes(
    given: &Bound<PyAny>,
    device: &Device,
    views: usize,
    parts: &Parts,
) -> PyResult<FileOr<Boxes>> {
    let (py, labels) = (given.py(), parts.len());
    if given.is_instance_of::<PyString>() || given.hasattr("__fspath__")? {
        return Ok(FileOr::File(given.extract()?));
    }
    if !given.hasattr("part")? {
        // What pred.json holds.
        let text = crate::options::value(given, "boxes")?.to_string();
        let boxes = Boxes::parse_named(&text, views, parts);
        return boxes.map(FileOr::Here).map_err(|what| invalid(py, format!("boxes: {what}")));
    }
    let field = |name: &str| given.getattr(name);
    let view = Numbers::of(&field("view")?, "boxes.view", device)?.indices("[B]")?;
    let part = Numbers::of(&field("part")?, "boxes.part", device)?.indices("[B]")?;
    let rects = Numbers::of(&field("box")?, "boxes.box", device)?;
    let rects: Vec<[f32; 4]> = match rects.shape() {
        [0] => vec![],
        _ => rects.rows("[B, 4], x y width height in pixels")?,
    };
    let score = match field("score")? {
        none if none.is_none() => vec![1.0; rects.len()],
        score => {
            let score = Numbers::of(&score, "boxes.score", device)?;
            score.check(|shape| shape.len() == 1, "[B]")?;
            score.values::<f32>()?
        }
    };
    let lengths = [view.len(), part.len(), rects.len(), score.len()];
    if lengths.iter().any(|&length| length != rects.len()) {
        let [view, part, rects, score] = lengths;
        return Err(invalid(
            py,
            format!(
                "boxes: {view} of view, {part} of part, {rects} of box and {score} of score; give as many of each"
            ),
        ));
    }
    let index = |b: usize, what: &str, value: i64, count: usize| {
        u32::try_from(value).ok().filter(|&value| (value as usize) < count).ok_or_else(|| {
            let last = count.saturating_sub(1);
            invalid(py, format!("boxes: {what} of box {b} is {value}, not in 0..={last}; both count from 0"))
        })
    };
    let of = |b: usize| {
        let (view, label) = (index(b, "the view", view[b], views)?, index(b, "the part", part[b], labels)?);
        Ok(Box2d { view, label, bbox: rects[b], score: score[b] })
    };
    let list = (0..rects.len()).map(of).collect::<PyResult<Vec<_>>>()?;
    let features = field("features")?;
    if features.is_none() {
        return Ok(FileOr::Here(list.into()));
    }
    let features = Numbers::of(&features, "boxes.features", device)?;
    features.check(|shape| matches!(shape, [b, _] if *b == list.len()), "[B, F]")?;
    let channels = features.shape()[1];
    Ok(FileOr::Here(Boxes::with_features(list, features.values()?, channels)))
}

fn partition(labels: &[i64], cloud: &Cloud) -> Result<Superpoints> {
    if labels.len() != cloud.input_len() {
        let (found, rows) = (labels.len(), cloud.input_len());
        return Err(Error::invalid(format!("superpoints have shape [{found}]; the cloud has {rows} points")));
    }
    let narrow = |&label: &i64| {
        let wrong = |_| Error::invalid(format!("superpoint {label} is not in -1..={}", i32::MAX));
        i32::try_from(label).map_err(wrong)
    };
    let labels = labels.iter().map(narrow).collect::<Result<Vec<i32>>>()?;
    Superpoints::from_labels(&cloud.to_points(&labels))
}

/// `partstad.Boxes` of these.
pub fn boxes<'py>(py: Python<'py>, boxes: &Boxes) -> PyResult<Bound<'py, PyAny>> {
    let list = py.detach(|| boxes.list()).or_raise(py)?;
    let b = list.len();
    let features = match boxes.feature_dim {
        0 => None,
        channels => {
            let features = py.detach(|| boxes.features.host().cloned());
            Some(array(py, Ix2(b, channels), features.map_err(|error| exception(py, error))?)?)
        }
    };
    py.import("partstad._types")?.getattr("Boxes")?.call1((
        array(py, b, list.iter().map(|found| found.view as i32).collect())?,
        array(py, b, list.iter().map(|found| found.label as i32).collect())?,
        array(py, Ix2(b, 4), list.iter().flat_map(|found| found.bbox).collect())?,
        array(py, b, list.iter().map(|found| found.score).collect())?,
        features,
    ))
}
