//! The options of every stage, as files hold them and as every way through the stages takes them.

use crate::{
    device::Device,
    error::{Error, Result},
    memory, mesh, sam3d,
    stages::{
        boxes, cloud, evidence, instances, labels,
        masks::{self, LOGIT_SIDE},
        memberships, superpoints, views, weights,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The options of every stage, in the order of the stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How a mesh becomes points, where the input is one.
    pub mesh: mesh::Options,
    /// How a file's points become a cloud ([`Cloud::fit`](cloud::Cloud::fit)).
    pub cloud: cloud::Options,
    /// How to over-segment.
    pub superpoints: superpoints::Options,
    /// How to render.
    pub views: views::Options,
    /// How to detect.
    pub boxes: boxes::Options,
    /// How to segment boxes.
    pub masks: masks::Options,
    /// How to cut superpoints where the masks say so.
    pub evidence: evidence::Options,
    /// How to find the boxes' points.
    pub memberships: memberships::Options,
    /// How to weigh the boxes.
    pub weights: weights::Options,
    /// How to label.
    pub labels: labels::Options,
    /// How to merge instances.
    pub instances: instances::Options,
    /// How masks without labels become groups of points, where they are compared ([`crate::sam3d`]).
    pub sam3d: sam3d::Options,
    /// The bytes of memory that a cloud may take on the host; none = what is free when it begins, of a batch's clouds when
    /// the batch begins.
    pub memory: Option<u64>,
}

/// Bytes that a process takes before it has seen a point.
const BASE: f64 = 16e6;
/// Bytes a point while superpoints are made.
const PARTITION: f64 = 800.0;
/// Bytes a point, a point and view, and a pixel of a view while they are rendered and voted on.
const POINT: f64 = 115.0;
const SCREEN: f64 = 16.0;
const PIXEL: f64 = 18.0;

impl Options {
    /// Checks that every option is in its range, also those that a run does not need. A [`Pipeline`](crate::Pipeline) does so
    /// before each cloud.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first that is not, as files write it: `views.side`.
    pub fn check(&self) -> Result<()> {
        self.superpoints.check()?;
        self.views.check()?;
        self.boxes.check()?;
        self.evidence.check()?;
        self.memberships.check()?;
        self.weights.check()?;
        self.instances.check()?;
        self.sam3d.check()
    }

    /// As they are, but those on which no result of named parts depends as by default: how much memory may be taken, how
    /// much the models get at once, and what comparisons and parts without names use.
    pub fn of_result(&self) -> Options {
        let mut options = Options { sam3d: sam3d::Options::default(), memory: None, ..self.clone() };
        options.boxes.batch = 0;
        options.masks = masks::Options::default();
        options
    }

    /// Bytes that a cloud of `points` takes on the host at most, and its boxes with their masks, if `device` computes; ONNX
    /// Runtime's own memory apart. The factors were measured.
    pub fn memory_of(&self, device: &Device, points: usize, boxes: usize) -> u64 {
        if *device != Device::Cpu {
            return (BASE + POINT * points as f64) as u64;
        }
        let (n, k) = (points as f64, self.views.poses.len() as f64);
        let pixels = (self.views.side as f64).powi(2);
        let masks = boxes as f64 * (pixels / 8.0).max((LOGIT_SIDE * LOGIT_SIDE * size_of::<f32>()) as f64);
        (BASE + (PARTITION * n).max((POINT + SCREEN * k) * n + PIXEL * k * pixels + masks)) as u64
    }

    /// Checks that a cloud of `points` will find enough memory, so that the process need not die of it.
    ///
    /// # Errors
    /// [`Error::Memory`] saying what it needs and what there is.
    pub fn check_memory(&self, device: &Device, points: usize, boxes: usize) -> Result<()> {
        let (needed, free) = (self.memory_of(device, points, boxes), memory::free());
        let (most, why) = match (self.memory, free) {
            (Some(most), _) => (
                most,
                "is what the option memory allows (in a batch without it: what was free when it began)",
            ),
            (None, Some(free)) => (free, "is free (of the machine, its control group, or by ulimit)"),
            (None, None) => return Ok(()),
        };
        if needed <= most {
            return Ok(());
        }
        let views::Options { poses, side, .. } = &self.views;
        let with = if boxes > 0 { format!(", and {boxes} boxes") } else { String::new() };
        Err(Error::Memory(format!(
            "{points} points in {} views of {side} x {side} pixels{with} take about {} MiB of memory; {} MiB {why}: take fewer \
             points, fewer or smaller views (options views.poses, views.side), or allow more",
            poses.len(),
            needed >> 20,
            most >> 20
        )))
    }
}

/// Refuses lists where `usual` has objects: serde would take one for the object's entries in order. `name`: of what is given,
/// for messages; empty for the whole.
///
/// # Errors
/// What is wrong, after the entry's name.
pub fn alike(given: &Value, usual: &Value, name: &str) -> Result<(), String> {
    match (given, usual) {
        (Value::Array(_), Value::Object(_)) => {
            let place = if name.is_empty() { String::new() } else { format!("{name}: ") };
            Err(format!("{place}a list, expected an object, {{...}}"))
        }
        (Value::Array(given), Value::Array(usual)) => usual.first().map_or(Ok(()), |usual| {
            given.iter().enumerate().try_for_each(|(i, given)| alike(given, usual, &format!("{name}[{i}]")))
        }),
        (Value::Object(given), Value::Object(usual)) => given.iter().try_for_each(|(key, given)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            usual.get(key).map_or(Ok(()), |usual| alike(given, usual, &name))
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        Options::default().check().unwrap();
        for (json, words) in [
            (r#"{"superpoints": {"lambda": -1}}"#, "superpoints.lambda is -1; it must be a number from 0"),
            (r#"{"views": {"poses": []}}"#, "views.poses is empty"),
            (r#"{"views": {"poses": [{"elevation": 90, "azimuth": 0}]}}"#, "pose 0 has elevation 90"),
            (r#"{"views": {"side": 0}}"#, "views.side is 0; it must be from 1 to 8192 pixels"),
            (r#"{"boxes": {"threshold": 1.5}}"#, "boxes.threshold is 1.5; it must be from 0 to 1"),
            (r#"{"evidence": {"neighbors": 256}}"#, "evidence.neighbors is 256; it must be from 1 to 255"),
            (r#"{"memberships": {"whole_object_share": -1}}"#, "memberships.whole_object_share is -1"),
            (r#"{"instances": {"max_gap": -1}}"#, "instances.max_gap is -1; it must be a number from 0"),
            (r#"{"instances": {"min_box_iou": 7}}"#, "instances.min_box_iou is 7; it must be from 0 to 1"),
            (
                r#"{"sam3d": {"masks": {"crop_layers": 6}}}"#,
                "sam3d.masks.crop_layers is 6; it must be at most 5",
            ),
        ] {
            let options: Options = serde_json::from_str(json).unwrap();
            let error = options.check().unwrap_err().to_string();
            assert!(error.starts_with("option ") && error.contains(words), "{json}: {error}");
        }
        let short: Options = serde_json::from_str(r#"{"weights": {"null": 3}}"#).unwrap();
        assert_eq!(short.weights, weights::Options::Agreement { weight: weights::INITIAL, null: 3.0 });
        let weights = weights::Options::Constant { weight: f32::NAN, null: 5.0 };
        let error = Options { weights, ..Options::default() }.check().unwrap_err().to_string();
        assert_eq!(error, "option weights.weight is NaN; it must be from -1e30 to 1e30");
    }

    #[test]
    fn memory_grows_with_points_views_and_boxes() {
        let usual = Options::default();
        let few = Options { views: views::Options { side: 100, ..usual.views.clone() }, ..usual.clone() };
        assert!(usual.memory_of(&Device::Cpu, 8000, 0) > 5 * few.memory_of(&Device::Cpu, 8000, 0) / 2);
        assert!(
            usual.memory_of(&Device::Cpu, 8000, 1000) > usual.memory_of(&Device::Cpu, 8000, 0) + (200 << 20)
        );
        assert!(usual.memory_of(&Device::Cpu, 1_000_000, 0) > 5 * usual.memory_of(&Device::Cpu, 8000, 0));
        assert_eq!(usual.memory_of(&Device::Cpu, usize::MAX, usize::MAX), u64::MAX);
        let tight = Options { memory: Some(100 << 20), ..few };
        tight.check_memory(&Device::Cpu, 8000, 0).unwrap();
        let refused = tight.check_memory(&Device::Cpu, 1_000_000, 0).unwrap_err().to_string();
        assert!(
            refused.contains("1000000 points in 10 views of 100 x 100")
                && refused.contains("100 MiB is what the option memory allows"),
            "{refused}"
        );
    }
}
