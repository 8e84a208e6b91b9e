//! Instances: the superpoints of one part, merged into its separate pieces (PartSLIP's rule).

use super::{
    boxes::Boxes, cloud::Cloud, labels::Labels, memberships::Memberships, scores::Scores,
    superpoints::Superpoints,
};
use crate::{
    error::{Error, Result},
    ops::{
        extents::{self, Extent},
        membership::{self, Sets},
        observe::{self, Observed},
    },
};
use serde::{Deserialize, Serialize};

/// What is merged, and what is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Superpoints merge only if their 3D bounding boxes are closer than this along every axis, in cloud radii.
    pub max_gap: f32,
    /// They merge only if one has less than this many times the points of the other.
    pub max_size_ratio: f64,
    /// They merge only if their shares in the part's boxes differ by less than this, relative to the larger sum.
    pub max_distance: f64,
    /// An instance is kept if, in some view, its extent has more than this IoU with a box of its part.
    pub min_box_iou: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options { max_gap: 0.02, max_size_ratio: 100.0, max_distance: 0.2, min_box_iou: 0.5 }
    }
}

/// One piece of a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Instance {
    /// Its part, below L.
    pub label: u32,
    /// Number of points.
    pub points: u32,
    /// Mean softmax of its part over its points.
    pub confidence: f32,
}

/// The instance segmentation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instances {
    /// The instances, by part, then by their first superpoint.
    pub list: Vec<Instance>,
    /// Instance of every superpoint, -1 = none, `[S]`.
    pub of_superpoint: Vec<i32>,
    /// Instance of every point, -1 = none, `[N]`.
    pub of_point: Vec<i32>,
}

impl Instances {
    /// Merges the labelled superpoints.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the arguments do not belong together.
    pub fn merge(
        cloud: &Cloud,
        superpoints: &Superpoints,
        boxes: &Boxes,
        memberships: &Memberships,
        scores: &Scores,
        labels: &Labels,
        options: &Options,
    ) -> Result<Instances> {
        let s = superpoints.len();
        if memberships.len() != s || scores.len() != s || labels.of_superpoint.len() != s {
            return Err(Error::invalid(format!(
                "instances: {s} superpoints, but {} memberships, {} scores and {} labels",
                memberships.len(),
                scores.len(),
                labels.of_superpoint.len()
            )));
        }
        if cloud.len() != superpoints.of_point.len() {
            return Err(Error::invalid(format!(
                "instances: the cloud has {} points, the superpoints {}",
                cloud.len(),
                superpoints.of_point.len()
            )));
        }
        boxes.check(memberships.views, scores.labels)?;
        let (observed, sets) = (memberships.observed()?, memberships.sets()?);
        let probabilities = scores.probabilities.host()?;
        let mut found = Instances { of_superpoint: vec![-1; s], ..Instances::default() };
        let extents = extents::cpu::extents(&cloud.positions, &superpoints.offsets, &superpoints.points);
        for label in 0..scores.labels as u32 {
            let members: Vec<usize> = (0..s).filter(|&s| labels.of_superpoint[s] == label as i32).collect();
            let part =
                Part { label, extents: &extents, superpoints, boxes, memberships, observed, sets, options };
            for piece in part.pieces(&members) {
                if part.keeps(&piece) {
                    let points = piece.iter().map(|&s| superpoints.points(s).len() as u32).sum();
                    let weighted = |&s: &usize| {
                        superpoints.points(s).len() as f64
                            * probabilities[s * (scores.labels + 1) + 1 + label as usize] as f64
                    };
                    let confidence = (piece.iter().map(weighted).sum::<f64>() / points as f64) as f32;
                    piece.iter().for_each(|&s| found.of_superpoint[s] = found.list.len() as i32);
                    found.list.push(Instance { label, points, confidence });
                }
            }
        }
        found.of_point = superpoints.of_point.iter().map(|&s| found.of_superpoint[s as usize]).collect();
        Ok(found)
    }
}

/// One part of the object, while its instances are found.
struct Part<'a> {
    label: u32,
    /// The 3D bounding box of every superpoint.
    extents: &'a [Extent],
    superpoints: &'a Superpoints,
    boxes: &'a Boxes,
    memberships: &'a Memberships,
    observed: &'a Observed,
    sets: &'a Sets,
    options: &'a Options,
}

impl Part<'_> {
    /// The members, merged, each piece ascending.
    fn pieces(&self, members: &[usize]) -> Vec<Vec<usize>> {
        let shares = self.shares(members);
        let boxes = shares.len() / members.len().max(1);
        let bounds: Vec<Extent> = members.iter().map(|&s| self.extents[s]).collect();
        let sizes: Vec<f64> = members.iter().map(|&s| self.superpoints.points(s).len() as f64).collect();

        // Along x, only what begins before another ends can be near it.
        let mut by_x: Vec<usize> = (0..members.len()).collect();
        by_x.sort_by(|&a, &b| bounds[a][0][0].total_cmp(&bounds[b][0][0]));
        let mut parent: Vec<usize> = (0..members.len()).collect();
        for (rank, &a) in by_x.iter().enumerate() {
            let reachable = by_x[rank + 1..]
                .iter()
                .take_while(|&&b| bounds[b][0][0] - bounds[a][1][0] < self.options.max_gap);
            for &b in reachable {
                let (big, small) = (sizes[a].max(sizes[b]), sizes[a].min(sizes[b]));
                if gap(bounds[a], bounds[b]) < self.options.max_gap
                    && big / small < self.options.max_size_ratio
                    && distance(&shares[a * boxes..][..boxes], &shares[b * boxes..][..boxes])
                        < self.options.max_distance
                {
                    let (a, b) = (root(&mut parent, a), root(&mut parent, b));
                    parent[a.max(b)] = a.min(b);
                }
            }
        }
        let mut pieces = vec![vec![]; members.len()];
        for (i, &s) in members.iter().enumerate() {
            pieces[root(&mut parent, i)].push(s);
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// The share of each member's visible points in each box of the part, NaN where it is invisible, `[members, boxes]`.
    fn shares(&self, members: &[usize]) -> Vec<f64> {
        let ours = |b: &u32| {
            self.boxes.list[*b as usize].label == self.label
                && self.memberships.ignored.binary_search(b).is_err()
        };
        let boxes: Vec<u32> = (0..self.boxes.len() as u32).filter(ours).collect();
        let mut shares = vec![0.0; members.len() * boxes.len()];
        if boxes.is_empty() {
            return shares;
        }
        for (row, &s) in shares.chunks_exact_mut(boxes.len()).zip(members) {
            for (set, count) in self.sets.entries(s) {
                for b in set {
                    if let Ok(i) = boxes.binary_search(b) {
                        row[i] += count as f64;
                    }
                }
            }
            for (share, &b) in row.iter_mut().zip(&boxes) {
                let visible = self.observed.counts[s * self.memberships.views + self.view(b)];
                // 0 / 0 is the NaN that says invisible.
                *share /= visible as f64;
            }
        }
        shares
    }

    fn view(&self, b: u32) -> usize {
        self.boxes.list[b as usize].view as usize
    }

    /// Whether a box of the part confirms a piece.
    fn keeps(&self, piece: &[usize]) -> bool {
        let views = self.memberships.views;
        let extent = |k: usize| {
            let of_superpoint = piece.iter().map(|&s| self.observed.extents[s * views + k]);
            of_superpoint.fold(observe::NOWHERE, observe::union)
        };
        let extents: Vec<_> = (0..views).map(extent).collect();
        self.boxes.list.iter().any(|b| {
            b.label == self.label
                && membership::iou(extents[b.view as usize], b.rect()) > self.options.min_box_iou
        })
    }
}

/// The largest gap between two bounding boxes along an axis; negative where they overlap.
fn gap(a: Extent, b: Extent) -> f32 {
    (0..3).map(|i| (a[0][i] - b[1][i]).max(b[0][i] - a[1][i])).fold(f32::NEG_INFINITY, f32::max)
}

/// How much the shares of two superpoints differ over the boxes in whose view both are visible; 1 if none holds them.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let both = || a.iter().zip(b).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let larger = both().map(|(a, _)| a).sum::<f64>().max(both().map(|(_, b)| b).sum());
    if larger < 1e-3 { 1.0 } else { both().map(|(a, b)| (a - b).abs()).sum::<f64>() / larger }
}

/// The representative of a set, halving the path to it.
fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_differ_over_the_boxes_of_views_that_see_both() {
        let invisible = f64::NAN;
        assert_eq!(distance(&[1.0, 0.5, invisible], &[1.0, 0.0, 1.0]), 0.5 / 1.5);
        assert_eq!(distance(&[invisible], &[1.0]), 1.0);
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 0.0]), 1.0);
        assert_eq!(distance(&[], &[]), 1.0);
    }

    #[test]
    fn the_gap_is_that_of_the_farthest_axis() {
        let unit = [[0.0; 3], [1.0; 3]];
        assert_eq!(gap(unit, [[1.5, 0.0, 3.0], [2.0, 1.0, 4.0]]), 2.0);
        assert_eq!(gap(unit, [[0.5; 3], [2.0; 3]]), -0.5);
        assert_eq!(gap([[0.5; 3], [2.0; 3]], unit), -0.5);
    }
}
