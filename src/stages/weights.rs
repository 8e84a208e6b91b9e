//! Weights: how much each box's vote counts, and what the null label counts.

use super::{boxes::Boxes, memberships::Memberships};
#[cfg(feature = "cuda")]
use crate::device::gpu::{Buffer, Gpu};
use crate::{
    device::{Device, twin::Twin},
    error::{Error, Result, in_range},
    io::npy,
    ops::lift::{agreement, confidence, membership::Sets},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A weight per box, and the null box's.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// W(b), `[B]`; a box with a weight of 0 or less does not vote.
    pub boxes: Twin<Vec<f32>>,
    /// W_null; 5e-4 if it is less.
    pub null: f32,
}

/// Where the weights come from. Files may leave out `from`, which is `agreement` then, and any number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from", try_from = "Given")]
pub enum Options {
    /// The same for every box but those that other views speak against, which weigh nothing ([`agreement`]). The default is 10 and
    /// 3.5: with fewer wrong boxes, 35 % of a superpoint's visible points are enough.
    Agreement {
        /// W(b) of a box that is believed.
        weight: f32,
        /// W_null.
        null: f32,
    },
    /// The same for every box: the paper's lifting without adaptation. The default is 10 and 5; with 10 and 10, from where
    /// the paper's training starts, a part has to fill a superpoint to win over null.
    Constant {
        /// W(b).
        weight: f32,
        /// W_null. Half of W(b) asks for more than half of a superpoint's visible points, as PartSLIP does.
        null: f32,
    },
    /// The detector's confidence times a scale (the paper's ablation).
    Confidence {
        /// What a score of 1 weighs.
        scale: f32,
        /// W_null.
        null: f32,
    },
}

/// What every box weighs in the paper's lifting without adaptation, and in PartSLIP.
pub const CONSTANT: Options = Options::Constant { weight: INITIAL, null: NULL };

/// What the views agree on.
pub const AGREEMENT: Options = Options::Agreement { weight: INITIAL, null: AGREED };

impl Default for Options {
    fn default() -> Options {
        AGREEMENT
    }
}

/// What a file says of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    from: Option<Kind>,
    weight: Option<f32>,
    scale: Option<f32>,
    null: Option<f32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Agreement,
    Constant,
    Confidence,
}

impl TryFrom<Given> for Options {
    type Error = &'static str;

    fn try_from(Given { from, weight, scale, null }: Given) -> Result<Options, &'static str> {
        match (from.unwrap_or(Kind::Agreement), weight, scale) {
            (Kind::Agreement, weight, None) => {
                Ok(Options::Agreement { weight: weight.unwrap_or(INITIAL), null: null.unwrap_or(AGREED) })
            }
            (Kind::Constant, weight, None) => {
                Ok(Options::Constant { weight: weight.unwrap_or(INITIAL), null: null.unwrap_or(NULL) })
            }
            (Kind::Confidence, None, scale) => {
                Ok(Options::Confidence { scale: scale.unwrap_or(INITIAL), null: null.unwrap_or(NULL) })
            }
            (Kind::Agreement | Kind::Constant, _, Some(_)) => {
                Err("`scale` is of weights from `confidence`; others have `weight`")
            }
            (Kind::Confidence, Some(_), _) => {
                Err("`weight` is not of weights from `confidence`, which have `scale`")
            }
        }
    }
}

/// The weight that the network of section 4.2 starts from; in the paper that of null too.
pub const INITIAL: f32 = 10.0;
/// The null weight where none is learned and all boxes vote.
const NULL: f32 = INITIAL / 2.0;
/// The null weight where only boxes vote that are believed.
pub(super) const AGREED: f32 = 0.35 * INITIAL;

/// The largest weight: the votes of a superpoint, which are sums of weights, stay finite.
const MOST: f32 = 1e30;

impl Options {
    /// W_null.
    pub fn null(&self) -> f32 {
        match *self {
            Options::Agreement { null, .. }
            | Options::Constant { null, .. }
            | Options::Confidence { null, .. } => null,
        }
    }

    /// W_null beside weights that are given without one: as beside constant weights. That of agreement suits what it
    /// leaves.
    pub fn null_of_given(&self) -> f32 {
        match self {
            Options::Agreement { .. } => NULL,
            Options::Constant { null, .. } | Options::Confidence { null, .. } => *null,
        }
    }

    /// The weights, computed on the host. `held`: what the boxes hold, of which not every rule asks. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if boxes and sets do not fit together, [`Error::Device`] if the boxes lie on a device that failed;
    /// those of `held`.
    pub(crate) fn on_host<'a>(
        &self,
        boxes: &Boxes,
        labels: usize,
        held: impl FnOnce() -> Result<Held<'a>>,
    ) -> Result<Vec<f32>> {
        match *self {
            Options::Agreement { weight, .. } => {
                let mut weights = vec![weight; boxes.len()];
                held()?.silence(boxes, labels, &mut weights)?;
                Ok(weights)
            }
            Options::Constant { weight, .. } => Ok(vec![weight; boxes.len()]),
            Options::Confidence { scale, .. } => {
                Ok(confidence::cpu::weights(boxes.list()?.iter().map(|b| b.score), scale))
            }
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let (most, null) = match *self {
            Options::Agreement { weight, null } | Options::Constant { weight, null } => {
                (("weights.weight", weight), null)
            }
            Options::Confidence { scale, null } => (("weights.scale", scale), null),
        };
        let (name, value) = most;
        in_range((-MOST..=MOST).contains(&value), name, value, "from -1e30 to 1e30")?;
        in_range((0.0..=MOST).contains(&null), "weights.null", null, "from 0 to 1e30")
    }
}

/// What boxes hold.
pub(crate) struct Held<'a> {
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// What each view shows of each superpoint, `[S, K]`.
    pub observed: &'a [u32],
    /// K.
    pub views: usize,
}

impl<'a> Held<'a> {
    /// # Errors
    /// As [`Memberships::observed`].
    fn by(memberships: &'a Memberships) -> Result<Held<'a>> {
        let Memberships { views, .. } = *memberships;
        Ok(Held { sets: memberships.sets()?, observed: &memberships.observed()?.counts, views })
    }

    /// Takes the vote of the boxes that other views speak against: their `weights` `[B]` become 0.
    fn silence(self, boxes: &Boxes, labels: usize, weights: &mut [f32]) -> Result<()> {
        self.agreement(boxes, labels, |input| agreement::cpu::silence(input, weights))
    }

    fn agreement<T>(
        self,
        boxes: &Boxes,
        labels: usize,
        then: impl FnOnce(&agreement::Input) -> Result<T>,
    ) -> Result<T> {
        let Held { sets, observed, views } = self;
        let box_score: Vec<f32> = boxes.list()?.iter().map(|b| b.score).collect();
        let (box_view, box_label) = (boxes.views()?, boxes.labels()?);
        then(&agreement::Input {
            sets,
            observed,
            views,
            box_view: &box_view,
            box_label: &box_label,
            box_score: &box_score,
            labels,
        })
    }
}

/// Takes the vote of the boxes that other views speak against: their `weights` `[B]` become 0 ([`agreement`]).
pub(super) fn silence(
    boxes: &Boxes,
    memberships: &Memberships,
    labels: usize,
    weights: &mut [f32],
) -> Result<()> {
    Held::by(memberships)?.silence(boxes, labels, weights)
}

/// As [`silence`], on a device.
#[cfg(feature = "cuda")]
pub(super) fn silence_on_gpu(
    gpu: &Gpu,
    boxes: &Boxes,
    memberships: &Memberships,
    labels: usize,
    weights: &mut Buffer<f32>,
) -> Result<()> {
    if memberships.is_here() {
        // A file's may be anything.
        Held::by(memberships)?.agreement(boxes, labels, |input| input.check())?;
    }
    let (found, boxes) = (memberships.device(gpu)?, boxes.device(gpu)?);
    let input = agreement::cuda::Input {
        sets: &found.sets,
        observed: &found.observed,
        views: memberships.views,
        box_view: &boxes.views,
        box_label: &boxes.labels,
        box_score: &boxes.scores,
        labels,
    };
    agreement::cuda::silence(gpu, &input, weights)
}

impl Weights {
    /// Weighs the boxes, where they will vote. `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a weight is not finite or the memberships are of other boxes, [`Error::Device`] if a device
    /// fails.
    pub fn new(
        device: &Device,
        boxes: &Boxes,
        memberships: &Memberships,
        labels: usize,
        options: &Options,
    ) -> Result<Weights> {
        options.check()?;
        memberships.check(boxes, labels)?;
        let null = options.null();
        let weights = match device {
            Device::Cpu => options.on_host(boxes, labels, || Held::by(memberships))?.into(),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                let weights = match *options {
                    Options::Agreement { weight, .. } => {
                        let mut weights = gpu.filled(weight, boxes.len())?;
                        silence_on_gpu(gpu, boxes, memberships, labels, &mut weights)?;
                        weights
                    }
                    Options::Constant { weight, .. } => gpu.filled(weight, boxes.len())?,
                    Options::Confidence { scale, .. } => {
                        confidence::cuda::weights(gpu, &boxes.device(gpu)?.scores, scale)?
                    }
                };
                Twin::on_device(gpu, weights)
            }
        };
        Ok(Weights { boxes: weights, null })
    }

    /// Checks that there is one weight per box, of no more than 1e30; where they lie on a device, it fetches them.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first that is not; [`Error::Device`] if a device failed.
    pub fn check(&self, boxes: usize) -> Result<()> {
        self.problem(boxes)?.map_or(Ok(()), |what| Err(Error::invalid(what)))
    }

    fn problem(&self, boxes: usize) -> Result<Option<String>> {
        let bad = |w: &f32| !(-MOST..=MOST).contains(w);
        if self.boxes.len() != boxes {
            return Ok(Some(format!("weights: {} for {boxes} boxes", self.boxes.len())));
        }
        if bad(&self.null) {
            return Ok(Some(format!(
                "weights: the null weight is {:?}; weights must be from -{MOST:e} to {MOST:e}",
                self.null
            )));
        }
        let weights = self.boxes.host()?;
        let problem = |b: usize| {
            format!(
                "weights: that of box {b} is {:?}; weights must be from -{MOST:e} to {MOST:e}",
                weights[b]
            )
        };
        Ok(weights.iter().position(bad).map(problem))
    }

    /// Reads a `.npy` file: `[B]`, or `[1 + B]` with the null weight first, in the order of the boxes.
    ///
    /// `null`: what null weighs if the file does not say.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the length does not fit or a weight is not finite.
    pub fn read(path: &Path, boxes: usize, null: f32) -> Result<Weights> {
        let array = npy::read::<f32>(path)?;
        Weights::of_values(array.data, boxes, null).map_err(|e| Error::format(path, e.to_string()))
    }

    /// From `[B]` weights in the order of the boxes, or `[1 + B]` with the null weight first.
    ///
    /// `null`: what null weighs if the values do not say.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length does not fit, or as [`Weights::check`].
    pub fn of_values(mut values: Vec<f32>, boxes: usize, null: f32) -> Result<Weights> {
        let found = values.len();
        let null = match found.checked_sub(boxes) {
            Some(0) => null,
            Some(1) => values.remove(0),
            _ => {
                return Err(Error::invalid(format!(
                    "{found} weights for {boxes} boxes; give one per box, or the null weight and then those"
                )));
            }
        };
        let weights = Weights { boxes: values.into(), null };
        weights.check(boxes)?;
        Ok(weights)
    }

    /// Writes a `.npy` file `[1 + B]`, the null weight first.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written; [`Error::Device`] if a device failed.
    pub fn write(&self, path: &Path) -> Result<()> {
        let all = [&[self.null][..], self.boxes.host()?].concat();
        npy::write(path, &[all.len()], &all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let read = |json: &str| serde_json::from_str::<Options>(json);
        let agreement = |weight, null| Options::Agreement { weight, null };
        let constant = |weight, null| Options::Constant { weight, null };
        let confidence = |scale, null| Options::Confidence { scale, null };
        for (json, options) in [
            ("{}", Options::default()),
            (r#"{"null": 3}"#, agreement(10.0, 3.0)),
            (r#"{"from": "agreement", "weight": 8}"#, agreement(8.0, 3.5)),
            (r#"{"from": "constant"}"#, CONSTANT),
            (r#"{"from": "constant", "null": 3}"#, constant(10.0, 3.0)),
            (r#"{"from": "confidence"}"#, confidence(10.0, 5.0)),
            (r#"{"from": "confidence", "scale": 2, "null": 1}"#, confidence(2.0, 1.0)),
        ] {
            assert_eq!(read(json).unwrap(), options, "{json}");
            let written = serde_json::to_string(&options).unwrap();
            assert_eq!(read(&written).unwrap(), options, "{written}");
        }
        assert_eq!(
            serde_json::to_string(&Options::default()).unwrap(),
            r#"{"from":"agreement","weight":10.0,"null":3.5}"#
        );
        for (json, words) in [
            (r#"{"nul": 3}"#, "unknown field `nul`"),
            (r#"{"from": "votes"}"#, "unknown variant `votes`"),
            (r#"{"scale": 3}"#, "`scale` is of weights from `confidence`"),
            (r#"{"from": "confidence", "weight": 3}"#, "`weight` is not of weights from `confidence`"),
        ] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains(words), "{json}: {error}");
        }
    }
}
