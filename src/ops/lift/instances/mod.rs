//! Instances: the superpoints of one part, merged into its separate pieces.
//!
//! [`Merge::Masks`]: a superpoint is of the object whose masks hold most of its points; see
//! [`overlaps`](crate::ops::lift::overlaps). [`Merge::Touching`] is PartSLIP's rule:
//!
//! ```text
//! share[s, b]    = points of s in box b / points of s that b's view shows
//! distance(s, t) = sum_b |share[s, b] - share[t, b]| / max(sum_b share[s, b], sum_b share[t, b])
//! ```
//! over the boxes b of their part in whose view both are visible; 1 if the larger sum is below 1e-3. Two superpoints of
//! one part belong together if their 3D bounding boxes are closer than `max_gap` along every axis, neither has
//! `max_size_ratio` times the points of the other, and their distance is below `max_distance`. What belongs together,
//! directly or through others, is a piece.
//!
//! A piece is kept if in some view the extent of its visible points has IoU above `min_box_iou` with a box of its part. Its
//! confidence is PartSLIP's with PartSLIP's rule: the mean softmax of its part over its points. With [`Merge::Masks`] it is
//! how well the boxes of its part bear it out: over the views that show a third or more of what the best one shows of it,
//! the mean of the largest
//!
//! ```text
//! score(b) * points that piece and b hold / points that piece or b holds, of those that b's view shows
//! ```

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod groups;

use crate::{
    error::Result,
    ops::{
        expect_len,
        lift::{extents::Extent, membership::Sets, observe::Observed, overlaps::Owners},
    },
    ragged::Ragged,
};
use serde::{Deserialize, Serialize};

/// Which superpoints of a part are one piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// Those that the masks of one object hold ([`overlaps`](crate::ops::lift::overlaps)).
    #[default]
    Masks,
    /// Those that touch and lie in the same boxes (PartSLIP).
    Touching,
}

/// What is merged, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// What merges.
    pub merge: Merge,
    /// Along every axis, in the unit of the extents.
    pub max_gap: f32,
    /// Of points.
    pub max_size_ratio: f64,
    /// Of shares.
    pub max_distance: f64,
    /// Of a piece's extent with a box.
    pub min_box_iou: f64,
}

/// What the instances follow from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Part of every superpoint, below L, negative = none, `[S]`.
    pub label: &'a [i32],
    /// The points of each superpoint, `[S]`.
    pub superpoints: &'a Ragged<u32>,
    /// The 3D bounding box of every superpoint, `[S]`.
    pub extents: &'a [Extent],
    /// What each view shows of each superpoint.
    pub observed: &'a Observed,
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// Softmax of the votes, column 0 = null, `[S, L + 1]`.
    pub probabilities: &'a [f32],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// The view of every box, below K, `[B]`.
    pub box_view: &'a [u32],
    /// Left, top, right, bottom of every box in pixels, `[B]`.
    pub rects: &'a [[f32; 4]],
    /// The detector's confidence in every box, `[B]`.
    pub box_score: &'a [f32],
    /// K.
    pub views: usize,
}

/// The pieces. That of superpoint s is named after its first superpoint, `root[s]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pieces {
    /// First superpoint of the piece, below S; -1 where the superpoint has no part, `[S]`.
    pub root: Vec<i32>,
    /// Points of the piece that begins here, if it is kept; else 0, `[S]`.
    pub points: Vec<u32>,
    /// Confidence of the piece that begins here, if it is kept; else 0, `[S]`.
    pub confidence: Vec<f32>,
}

impl Input<'_> {
    fn check(&self) -> Result<usize> {
        let (s, k, b) = (self.label.len(), self.views, self.box_label.len());
        let expect = |what, found, wanted| expect_len("instances", what, found, wanted);
        expect("superpoints [S]", self.superpoints.len(), s)?;
        expect("extents [S]", self.extents.len(), s)?;
        expect("observed [S, K]", self.observed.counts.len(), s * k)?;
        expect("sets [S]", self.sets.entries.len(), s)?;
        expect("box_view [B]", self.box_view.len(), b)?;
        expect("rects [B]", self.rects.len(), b)?;
        expect("box_score [B]", self.box_score.len(), b)?;
        let columns = self.probabilities.len() / s.max(1);
        expect("probabilities [S, L + 1]", self.probabilities.len(), columns * s)?;
        Ok(columns)
    }

    fn owners(&self) -> Owners<'_> {
        Owners { label: self.box_label, view: self.box_view, views: self.views }
    }

    fn size(&self, s: usize) -> u32 {
        self.superpoints.row(s).len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};
    use crate::ops::lift::{extents::cpu::gap, membership::Entry};

    #[test]
    fn shares_differ_over_the_boxes_of_views_that_see_both() {
        let invisible = f64::NAN;
        assert_eq!(distance(&[1.0, 0.5, invisible], &[1.0, 0.0, 1.0], &[0; 3], 0), 0.5 / 1.5);
        assert_eq!(
            distance(&[1.0, 0.5, 0.0], &[1.0, 0.0, 1.0], &[0, 0, 1], 0),
            0.5 / 1.5,
            "boxes of the part"
        );
        assert_eq!(distance(&[invisible], &[1.0], &[0], 0), 1.0);
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 0.0], &[0; 2], 0), 1.0);
        assert_eq!(distance(&[], &[], &[], 0), 1.0);
    }

    #[test]
    fn the_gap_is_that_of_the_farthest_axis() {
        let unit = [[0.0; 3], [1.0; 3]];
        assert_eq!(gap(&unit, &[[1.5, 0.0, 3.0], [2.0, 1.0, 4.0]]), 2.0);
        assert_eq!(gap(&unit, &[[0.5; 3], [2.0; 3]]), -0.5);
        assert_eq!(gap(&[[0.5; 3], [2.0; 3]], &unit), -0.5);
    }

    #[test]
    fn pieces_are_what_touches_and_a_box_confirms() {
        // Four superpoints of 2 points in a row; the third has no label; one box of the part around the first two.
        let extent = |x: f32| [[x, 0.0, 0.0], [x + 1.0, 1.0, 1.0]];
        let observed = Observed {
            counts: vec![2; 4],
            extents: [0.0f32, 10.0, 20.0, 30.0].map(|x| [x, 0.0, x + 10.0, 10.0]).to_vec(),
        };
        let inside = Some(Entry { set: 0, count: 2 });
        let sets = Sets {
            boxes: Ragged::from_iter([[0]]),
            entries: Ragged::from_iter([inside, inside, None, None]),
        };
        let superpoints = Ragged::from_iter([[0, 1], [2, 3], [4, 5], [6, 7]]);
        let probabilities: Vec<f32> = [0.5, 0.75, 0.0, 1.0].iter().flat_map(|&p| [1.0 - p, p]).collect();
        let mut input = Input {
            label: &[0, 0, -1, 0],
            superpoints: &superpoints,
            extents: &[0.0, 1.0, 2.0, 3.0].map(extent),
            observed: &observed,
            sets: &sets,
            probabilities: &probabilities,
            box_label: &[0],
            box_view: &[0],
            rects: &[[0.0, 0.0, 20.0, 10.0]],
            box_score: &[0.5],
            views: 1,
        };
        let rules = Rules {
            merge: Merge::Touching,
            max_gap: 0.1,
            max_size_ratio: 100.0,
            max_distance: 0.2,
            min_box_iou: 0.5,
        };
        let pieces = instances(&input, &rules).unwrap();
        assert_eq!(pieces.root, [0, 0, -1, 3]);
        assert_eq!(pieces.points, [4, 0, 0, 0], "no box confirms the last");
        assert_eq!(pieces.confidence, [0.625, 0.0, 0.0, 0.0]);
        let apart = instances(&input, &Rules { max_gap: 0.0, ..rules }).unwrap();
        assert_eq!(apart.root, [0, 1, -1, 3]);
        assert_eq!(apart.points, [0; 4], "half a box is not more than a half");
        input.views = 2;
        assert!(instances(&input, &rules).is_err());
    }

    #[test]
    fn boxes_bear_a_piece_out() {
        // Two superpoints of four points are a piece, the third has no label. View 0 shows all, view 1 the first and the
        // third, view 2 so little of the piece that it does not count.
        let superpoints = Ragged::from_iter([0..4, 4..8, 8..12]);
        let observed =
            Observed { counts: vec![4, 4, 1, 4, 0, 0, 4, 4, 4], extents: vec![[0.0, 0.0, 9.0, 9.0]; 9] };
        let in_both =
            |[first, second]: [u32; 2]| [0, 1].map(|set| Entry { set, count: [first, second][set as usize] });
        let sets = Sets {
            boxes: Ragged::from_iter([[0], [1]]),
            entries: Ragged::from_iter([in_both([4, 4]), in_both([4, 0]), in_both([0, 4])]),
        };
        let input = Input {
            label: &[0, 0, -1],
            superpoints: &superpoints,
            extents: &[[[0.0; 3], [1.0; 3]]; 3],
            observed: &observed,
            sets: &sets,
            probabilities: &[0.0; 6],
            box_label: &[0, 0],
            box_view: &[0, 1],
            rects: &[[0.0, 0.0, 9.0, 9.0]; 2],
            box_score: &[0.5, 0.75],
            views: 3,
        };
        let rules = Rules {
            merge: Merge::Masks,
            max_gap: 0.1,
            max_size_ratio: 0.0,
            max_distance: 0.0,
            min_box_iou: 0.5,
        };
        let pieces = instances(&input, &rules).unwrap();
        assert_eq!((pieces.root, pieces.points), (vec![0, 0, -1], vec![8, 0, 0]));
        // The first box is the piece; of the second half of what it holds is.
        assert_eq!(pieces.confidence, [(0.5 + 0.75 * 0.5) / 2.0, 0.0, 0.0]);
        assert!(instances(&Input { box_score: &[0.5], ..input }, &rules).is_err());
    }
}
