//! Agreement: how far each box is believed, by what the other views say at its points. Nothing is learned of the shapes.
//!
//! ```text
//! claim(s, k, j) = sum_e count(e) max_{b in set(e), label(b) = j} q(b)            e: entries of s in view k
//! told(s, k, j)  = sum_{k' != k} claim(s, k', j) / sum_{k' != k} n_s(k')
//! q(b)           = 1 at first, then, ROUNDS times,
//!                  sigmoid(-4 + 6 score - 2 area + 6 same - 2 other - 3 spread)
//! ```
//! Of a box b of view k and label j:
//!
//! - same: the mean of told(s, k, j) over its points, [`UNKNOWN`] where no other view shows any of them;
//! - other: the mean of the sum of told(s, k, i) over all other labels i;
//! - area: which share of the points that its view shows it holds;
//! - spread: the largest q of a box of its label in a view, 0 without one, the mean over the views that show anything.
//!
//! A box that holds no point has q = 0. The factors were fitted to whether most of a box's points are of its part, on the
//! boxes of the small models in 105 real clouds, and rounded (benches/record/2026-11-29-agreement-cpu.md).
//!
//! q and told are integers, in parts of [`UNIT`], so that sums may be taken in any order; told is rounded down.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::{
    error::{Error, Result},
    ops::{basic::exp::exp, expect_len, lift::membership::Sets},
};
use std::ops::AddAssign;

/// How often beliefs follow from beliefs.
pub const ROUNDS: usize = 3;

/// What a belief of 1 is.
pub const UNIT: u32 = 1 << 16;

/// A box votes if its belief is above this, 0.15.
pub const LEAST: u32 = UNIT * 15 / 100;

/// What other views say of points that none of them shows.
pub const UNKNOWN: f64 = 0.3;

/// Points that sums have room for.
const MOST: u64 = 1 << 36;

/// What the beliefs follow from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// How many points each view shows of each superpoint, n_s(k), `[S, K]`.
    pub observed: &'a [u32],
    /// K.
    pub views: usize,
    /// The view of every box, below K, `[B]`.
    pub box_view: &'a [u32],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// The detector's confidence in every box, `[B]`.
    pub box_score: &'a [f32],
    /// L.
    pub labels: usize,
}

impl Input<'_> {
    /// Refuses what cannot be: the sums rely on it.
    pub(crate) fn check(&self) -> Result<()> {
        let (b, s) = (self.box_label.len(), self.sets.entries.len());
        expect_len("agreement", "box_view [B]", self.box_view.len(), b)?;
        expect_len("agreement", "box_score [B]", self.box_score.len(), b)?;
        expect_len("agreement", "observed [S, K]", self.observed.len(), s * self.views)?;
        let shown: u64 = self.observed.iter().map(|&n| u64::from(n)).sum();
        if shown > MOST {
            return Err(Error::invalid(format!(
                "agreement: views show {shown} points, more than can be counted"
            )));
        }
        let inside = |list: &[u32], end: usize| list.iter().all(|&of| (of as usize) < end);
        if !inside(self.box_view, self.views) || !inside(self.box_label, self.labels) || !self.sets.fit(s, b)
        {
            return Err(Error::invalid(format!(
                "agreement: these are no memberships of {b} boxes in {} views and {} parts",
                self.views, self.labels
            )));
        }
        match (0..s).find(|&s| !self.holds(s)) {
            None => Ok(()),
            Some(s) => Err(Error::invalid(format!(
                "agreement: boxes hold points of superpoint {s} that their view does not show"
            ))),
        }
    }

    /// Whether the boxes of each set of a superpoint are of one view, in order, and hold no more points than it shows.
    fn holds(&self, s: usize) -> bool {
        let mut left = self.observed[s * self.views..][..self.views].to_vec();
        let place = |b: u32| (self.box_view[b as usize], self.box_label[b as usize], b);
        self.sets.counts(s).all(|(boxes, count)| {
            let left = &mut left[place(boxes[0]).0 as usize];
            let rest = left.checked_sub(count);
            *left = rest.unwrap_or(0);
            let in_order =
                |pair: &[u32]| place(pair[0]) < place(pair[1]) && place(pair[0]).0 == place(pair[1]).0;
            rest.is_some() && boxes.windows(2).all(in_order)
        })
    }
}

/// What is known of a box once all superpoints have told.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    /// Its points.
    points: u64,
    /// Those of superpoints that another view shows too.
    known: u64,
    /// What the other views say of these, in parts of [`UNIT`]: its part.
    same: u64,
    /// Any other part.
    other: u64,
}

impl AddAssign for Heard {
    fn add_assign(&mut self, more: Heard) {
        self.points += more.points;
        self.known += more.known;
        self.same += more.same;
        self.other += more.other;
    }
}

impl Heard {
    fn belief(self, score: f32, shown: u64, spread: f64) -> u32 {
        let Heard { points, known, same, other } = self;
        if points == 0 {
            return 0;
        }
        let mean = |sum: u64| sum as f64 / (known as f64 * f64::from(UNIT));
        let (same, other) = if known == 0 { (UNKNOWN, 0.0) } else { (mean(same), mean(other)) };
        let area = points as f64 / shown as f64;
        let z = -4.0 + 6.0 * f64::from(score) - 2.0 * area + 6.0 * same - 2.0 * other - 3.0 * spread;
        let below = exp(-z.abs());
        let q = if z < 0.0 { below } else { 1.0 } / (1.0 + below);
        (q * f64::from(UNIT) + 0.5) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ops::lift::membership::Entry, ragged::Ragged};

    /// Boxes (view, label, score) that each hold these points of the first of two superpoints. Every view shows ten of each.
    fn weights(boxes: &[(u32, u32, f32)], views: usize, points: u32) -> Vec<f32> {
        let held = if points == 0 { 0 } else { boxes.len() as u32 };
        let entries = (0..held).map(|set| Entry { set, count: points });
        let sets = Sets {
            boxes: Ragged::from_iter((0..boxes.len() as u32).map(|b| [b])),
            entries: Ragged::from_iter([entries.collect(), vec![]]),
        };
        let column = |of: fn(&(u32, u32, f32)) -> u32| boxes.iter().map(of).collect::<Vec<_>>();
        let input = Input {
            sets: &sets,
            observed: &vec![10; 2 * views],
            views,
            box_view: &column(|b| b.0),
            box_label: &column(|b| b.1),
            box_score: &boxes.iter().map(|b| b.2).collect::<Vec<_>>(),
            labels: 2,
        };
        let mut weights = vec![8.0; boxes.len()];
        cpu::silence(&input, &mut weights).unwrap();
        weights
    }

    #[test]
    fn boxes_that_confirm_each_other_vote() {
        let all: Vec<_> = (0..4).map(|view| (view, 0, 0.6)).collect();
        assert_eq!(weights(&all, 4, 10), [8.0; 4]);
    }

    #[test]
    fn a_box_alone_does_not_unless_its_score_is_high() {
        assert_eq!(weights(&[(0, 0, 0.5)], 4, 10), [0.0]);
        assert_eq!(weights(&[(0, 0, 0.9)], 4, 10), [8.0]);
    }

    #[test]
    fn a_box_against_the_others_does_not() {
        let mut boxes: Vec<_> = (0..4).map(|view| (view, 0, 0.7)).collect();
        boxes[3] = (3, 1, 0.7);
        assert_eq!(weights(&boxes, 4, 10), [8.0, 8.0, 8.0, 0.0]);
    }

    #[test]
    fn where_only_one_view_looks_the_score_decides() {
        assert_eq!(weights(&[(0, 0, 0.7)], 1, 5), [8.0]);
        assert_eq!(weights(&[(0, 0, 0.2)], 1, 5), [0.0]);
    }

    #[test]
    fn a_box_without_points_does_not_vote() {
        assert_eq!(weights(&[(0, 0, 1.0)], 1, 0), [0.0]);
    }

    #[test]
    fn lengths_are_checked() {
        let input = Input {
            sets: &Sets::default(),
            observed: &[],
            views: 1,
            box_view: &[],
            box_label: &[0],
            box_score: &[0.5],
            labels: 1,
        };
        assert!(cpu::silence(&input, &mut [1.0]).unwrap_err().to_string().contains("box_view [B]"));
    }

    #[test]
    fn memberships_that_cannot_be_are_refused() {
        let refused = |sets: &[&[u32]], counts: &[u32]| {
            let sets = Sets {
                boxes: Ragged::from_iter(sets.iter().map(|set| set.to_vec())),
                entries: Ragged::from_iter([(0..).zip(counts).map(|(set, &count)| Entry { set, count })]),
            };
            let input = Input {
                sets: &sets,
                observed: &[3, 3],
                views: 2,
                box_view: &[0, 1],
                box_label: &[0, 0],
                box_score: &[0.5, 0.5],
                labels: 1,
            };
            cpu::silence(&input, &mut [1.0; 2]).is_err()
        };
        assert!(!refused(&[&[0], &[1]], &[3, 3]));
        assert!(refused(&[&[]], &[1]), "a set without boxes");
        assert!(refused(&[&[0, 1]], &[1]), "a set of two views");
        assert!(refused(&[&[0, 0]], &[1]), "a box twice");
        assert!(refused(&[&[2]], &[1]), "a box that is not there");
        assert!(refused(&[&[0], &[0]], &[2, 2]), "more points than the view shows");
    }
}
