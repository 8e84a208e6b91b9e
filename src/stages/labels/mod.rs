//! Labels: one part, or none, for every superpoint and point.

#[cfg(feature = "cuda")]
mod device;

use super::{cloud::Cloud, memberships::Memberships, scores::Scores, superpoints::Superpoints};
use crate::{
    device::{Device, twin::Mirrored},
    error::{Error, Result},
    ops::{self, lift::fill, partition::knn},
};
use serde::{Deserialize, Serialize};

pub use ops::lift::labels::{NONE, Rule};

/// Names of parts that are small and win over the larger parts that they sit on.
pub const SMALL_PARTS: [&str; 10] =
    ["handle", "button", "wheel", "knob", "switch", "bulb", "shaft", "touchpad", "camera", "screw"];

/// Neighbours of each point in the graph that labels spread along.
const NEIGHBORS: usize = 10;

/// How to label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The rule.
    pub rule: Rule,
    /// Whether superpoints that no view shows take the label of what surrounds them, instead of none.
    pub fill_hidden: bool,
}

/// The semantic segmentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Part of every superpoint, below L, or [`NONE`], `[S]`.
    pub of_superpoint: Mirrored<Vec<i32>>,
    /// Part of every point, or [`NONE`], `[N]`.
    pub of_point: Mirrored<Vec<i32>>,
    /// How they follow from the scores.
    pub rule: Rule,
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
        let labels = Labels::begin(device, superpoints, scores, parts, options)?;
        labels.wait(device)?;
        Ok(labels)
    }

    /// As [`Labels::assign`], without a wait: the host has yet to receive them.
    pub(crate) fn begin(
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
                let of_point = superpoints.spread(&of_superpoint).into();
                Ok(Labels { of_superpoint: of_superpoint.into(), of_point, rule: options.rule })
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                Labels::begin_on_gpu(gpu, superpoints, scores, &small(scores, parts)?, options.rule)
            }
        }
    }

    /// Waits for what [`Labels::begin`] left on a device.
    pub(crate) fn wait(&self, device: &Device) -> Result<()> {
        match device {
            Device::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => self.fetch(gpu),
        }
    }

    /// Spreads the labels, of `labels` parts, to the superpoints that no view shows, along the graph of the ten nearest
    /// neighbours ([`fill`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] if the arguments are of different clouds, [`Error::Device`] if the device fails.
    pub fn fill(
        self,
        device: &Device,
        cloud: &Cloud,
        superpoints: &Superpoints,
        memberships: &Memberships,
        labels: usize,
    ) -> Result<Labels> {
        let filled = self.begin_fill(device, cloud, superpoints, memberships, labels)?;
        filled.wait(device)?;
        Ok(filled)
    }

    /// As [`Labels::fill`], of labels that the host may have yet to receive, and without a wait for those that come of it.
    pub(crate) fn begin_fill(
        self,
        device: &Device,
        cloud: &Cloud,
        superpoints: &Superpoints,
        memberships: &Memberships,
        labels: usize,
    ) -> Result<Labels> {
        let (n, s) = (superpoints.of_point.len(), superpoints.len());
        let fits = [self.of_superpoint.len(), memberships.len()] == [s; 2];
        if !fits || [cloud.len(), self.of_point.len()] != [n; 2] {
            return Err(Error::invalid(format!(
                "labels: {s} superpoints of {n} points, but labels of {} of {}, memberships of {} and {} points",
                self.of_superpoint.len(),
                self.of_point.len(),
                memberships.len(),
                cloud.len()
            )));
        }
        match device {
            Device::Cpu => {
                let visible = memberships.visible_totals()?;
                if visible.iter().all(|&visible| visible > 0) {
                    return Ok(self);
                }
                let around = knn::cpu::nearest(&cloud.positions, NEIGHBORS);
                let of_point = &superpoints.of_point;
                let filled =
                    fill::cpu::fill(&self.of_superpoint, &visible, of_point, &around.indices, labels)?;
                let of_point = superpoints.spread(&filled).into();
                Ok(Labels { of_superpoint: filled.into(), of_point, ..self })
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => self.begin_fill_on_gpu(gpu, cloud, superpoints, memberships, labels),
        }
    }
}

/// The label of every superpoint, below L, or [`NONE`], `[S]`. `parts`: the names of the L parts.
///
/// # Errors
/// [`Error::Invalid`] if the names do not fit the scores.
pub fn of_superpoints(scores: &Scores, parts: &[impl AsRef<str>], options: &Options) -> Result<Vec<i32>> {
    let input = ops::lift::labels::Input {
        votes: scores.votes.host()?,
        probabilities: scores.probabilities.host()?,
        valid: scores.valid.host()?,
        small: &small(scores, parts)?,
    };
    ops::lift::labels::cpu::labels(&input, options.rule)
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
    use crate::{
        io::points::PointCloud,
        stages::{
            boxes::Boxes,
            masks::Masks,
            views::{self, Views},
        },
    };

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
        assert_eq!(*labels.of_superpoint, [1, NONE], "a handle wins over the door that it sits on");
        assert_eq!(*labels.of_point, [1, NONE, 1]);
        assert_eq!(*assign(&["door", "drawer"]).unwrap().of_superpoint, [0, NONE]);
        assert!(assign(&["door"]).is_err());
    }

    #[test]
    fn hidden_superpoints_take_what_surrounds_them() {
        // A row of superpoints of three points: seen as part 1, hidden, hidden, seen as none; and one far from all others.
        let x = |i: usize| if i < 12 { i as f64 } else { 100.0 + i as f64 };
        let positions = (0..15).map(|i| [x(i), 0.0, 0.0]).collect();
        let points = PointCloud { positions, colors: vec![[0.5; 3]; 15], ..PointCloud::default() };
        let cloud = Cloud::new(&points).unwrap();
        let superpoints = Superpoints::from_labels(&(0..15).map(|i| i / 3).collect::<Vec<_>>()).unwrap();
        let hidden = [false, true, true, false, true];
        let views = Views::render(&Device::Cpu, &cloud, &views::Options::default()).unwrap();
        let shows = |&point: &i32| if point >= 0 && hidden[point as usize / 3] { -1 } else { point };
        let shown: Vec<i32> = views.pixel_to_point.host().unwrap().iter().map(shows).collect();
        let views = Views { pixel_to_point: shown.into(), ..views };
        let (boxes, masks) = (Boxes::default(), Masks::Boxes);
        let memberships =
            Memberships::find(&Device::Cpu, &superpoints, &views, &boxes, &masks, &Default::default())
                .unwrap();
        let of_superpoint = vec![1, NONE, NONE, NONE, NONE];
        let of_point = superpoints.spread(&of_superpoint).into();
        let labels = Labels { of_superpoint: of_superpoint.into(), of_point, ..Labels::default() };
        let fill = |labels: &Labels, superpoints| {
            labels.clone().fill(&Device::Cpu, &cloud, superpoints, &memberships, 2)
        };
        let filled = fill(&labels, &superpoints).unwrap();
        assert_eq!(filled.of_superpoint[..4], [1, 1, NONE, NONE]);
        assert_eq!(filled.of_point[3..6], [1; 3]);
        let fewer = Superpoints::from_labels(&[0; 15]).unwrap();
        assert!(fill(&labels, &fewer).is_err());
    }
}
