//! Labels: one part, or none, for every superpoint and point.

use super::{scores::Scores, superpoints::Superpoints};
use crate::{
    buffer::Mirrored,
    device::Device,
    error::{Error, Result},
    ops,
};
use serde::{Deserialize, Serialize};

pub use ops::labels::{NONE, Rule};

/// Names of parts that are small and win over the larger parts that they sit on.
pub const SMALL_PARTS: [&str; 10] =
    ["handle", "button", "wheel", "knob", "switch", "bulb", "shaft", "touchpad", "camera", "screw"];

/// How to label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The rule.
    pub rule: Rule,
}

/// The semantic segmentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Part of every superpoint, below L, or [`NONE`], `[S]`.
    pub of_superpoint: Mirrored<i32>,
    /// Part of every point, or [`NONE`], `[N]`.
    pub of_point: Vec<i32>,
}

impl Labels {
    /// Labels every superpoint. `parts`: the names of the L parts.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the names or the superpoints do not fit the scores.
    pub fn assign(
        device: &Device,
        superpoints: &Superpoints,
        scores: &Scores,
        parts: &[impl AsRef<str>],
        options: &Options,
    ) -> Result<Labels> {
        if superpoints.len() != scores.len() {
            let (found, wanted) = (superpoints.len(), scores.len());
            return Err(Error::invalid(format!("labels: {found} superpoints for the scores of {wanted}")));
        }
        match device {
            Device::Cpu => {
                let of_superpoint = of_superpoints(scores, parts, options)?;
                let of_point = superpoints.of_point.iter().map(|&s| of_superpoint[s as usize]).collect();
                Ok(Labels { of_superpoint: of_superpoint.into(), of_point })
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                let label = ops::labels::cuda::labels(
                    gpu,
                    &ops::labels::cuda::Input {
                        votes: &*scores.votes.device(gpu)?,
                        probabilities: &*scores.probabilities.device(gpu)?,
                        valid: &*scores.valid.device(gpu)?,
                        small: &gpu.upload(&small(scores, parts)?)?,
                    },
                    options.rule,
                )?;
                let of_point = ops::labels::cuda::spread(gpu, &*superpoints.of_point.device(gpu)?, &label)?;
                let of_point = gpu.download(&of_point)?;
                Ok(Labels { of_superpoint: Mirrored::on_device(gpu, label)?, of_point })
            }
        }
    }
}

/// The label of every superpoint, below L, or [`NONE`], `[S]`. `parts`: the names of the L parts.
///
/// # Errors
/// [`Error::Invalid`] if the names do not fit the scores.
pub fn of_superpoints(scores: &Scores, parts: &[impl AsRef<str>], options: &Options) -> Result<Vec<i32>> {
    let input = ops::labels::Input {
        votes: scores.votes.host()?,
        probabilities: scores.probabilities.host()?,
        valid: scores.valid.host()?,
        small: &small(scores, parts)?,
    };
    ops::labels::cpu::labels(&input, options.rule)
}

/// Which parts are small, `[L]`.
fn small(scores: &Scores, parts: &[impl AsRef<str>]) -> Result<Vec<u8>> {
    if parts.len() != scores.labels {
        let (found, wanted) = (parts.len(), scores.labels);
        return Err(Error::invalid(format!("labels: {found} part names for scores of {wanted} parts")));
    }
    Ok(parts.iter().map(|name| SMALL_PARTS.contains(&name.as_ref()) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_the_label_of_their_superpoint() {
        let scores = Scores {
            labels: 2,
            votes: vec![5.0, 9.0, 6.0, 5.0, 4.0, 3.0].into(),
            probabilities: vec![0.0; 6].into(),
            valid: vec![1, 1].into(),
        };
        let superpoints = Superpoints::from_labels(&[0, 1, 0]).unwrap();
        let assign =
            |parts: &[&str]| Labels::assign(&Device::Cpu, &superpoints, &scores, parts, &Options::default());
        let labels = assign(&["door", "handle"]).unwrap();
        assert_eq!(labels.of_superpoint, [1, NONE], "a handle wins over the door that it sits on");
        assert_eq!(labels.of_point, [1, NONE, 1]);
        assert_eq!(assign(&["door", "drawer"]).unwrap().of_superpoint, [0, NONE]);
        assert!(assign(&["door"]).is_err());
    }
}
