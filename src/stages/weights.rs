//! Weights: how much each box's vote counts, and what the null label counts.

use super::boxes::Boxes;
use crate::{
    device::{Device, twin::Twin},
    error::{Error, Result},
    io::npy,
    ops::lift::confidence,
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

/// Where the weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Options {
    /// The same for every box: the lifting without adaptation. The default is 10 and 5; with 10 and 10, from where
    /// training starts, a part has to fill a superpoint to win over null.
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

impl Default for Options {
    fn default() -> Options {
        Options::Constant { weight: INITIAL, null: INITIAL / 2.0 }
    }
}

/// The weight that the network of section 4.2 starts from, for boxes and null alike.
pub const INITIAL: f32 = 10.0;

impl Options {
    /// W_null.
    pub fn null(&self) -> f32 {
        match *self {
            Options::Constant { null, .. } | Options::Confidence { null, .. } => null,
        }
    }
}

impl Weights {
    /// Weighs the boxes, where they will vote.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a weight is not finite, [`Error::Device`] if a device fails.
    pub fn new(device: &Device, boxes: &Boxes, options: &Options) -> Result<Weights> {
        let (Options::Constant { weight: most, null } | Options::Confidence { scale: most, null }) = *options;
        Weights { boxes: vec![most].into(), null }.check(1)?;
        let weights = match device {
            Device::Cpu => Twin::from(match options {
                Options::Constant { .. } => vec![most; boxes.len()],
                Options::Confidence { .. } => {
                    confidence::cpu::weights(boxes.list()?.iter().map(|b| b.score), most)
                }
            }),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                let weights = match options {
                    Options::Constant { .. } => gpu.filled(most, boxes.len())?,
                    Options::Confidence { .. } => {
                        confidence::cuda::weights(gpu, &boxes.device(gpu)?.scores, most)?
                    }
                };
                Twin::on_device(gpu, weights)
            }
        };
        Ok(Weights { boxes: weights, null })
    }

    /// Checks that there is one finite weight per box; where they lie on a device, it fetches them.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the first that is not; [`Error::Device`] if a device failed.
    pub fn check(&self, boxes: usize) -> Result<()> {
        self.problem(boxes)?.map_or(Ok(()), |what| Err(Error::invalid(what)))
    }

    fn problem(&self, boxes: usize) -> Result<Option<String>> {
        let bad = |w: &f32| !w.is_finite();
        if self.boxes.len() != boxes {
            return Ok(Some(format!("weights: {} for {boxes} boxes", self.boxes.len())));
        }
        if bad(&self.null) {
            return Ok(Some(format!("weights: the null weight is {}; weights must be finite", self.null)));
        }
        let weights = self.boxes.host()?;
        let problem =
            |b: usize| format!("weights: that of box {b} is {}; weights must be finite", weights[b]);
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
    /// [`Error::Invalid`] if the length does not fit or a weight is not finite.
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
