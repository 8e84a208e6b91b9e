//! From a dense grounding head's outputs to boxes: GLIP's ATSS post-processing.
//!
//! Location a of level l (stride s, square anchor of side z) at row r, column c has its anchor's centre at
//! ((s - 1)/2 + c s, (s - 1)/2 + r s). With logits `x[a, t]` and part j covering the tokens T_j:
//!
//! - `p[a, j]` = mean over t in T_j of `sigmoid(x[a, t])`; a candidate needs p > pre_nms;
//! - score = `sqrt(p sigmoid(centerness[a]))`; each level keeps its top_n candidates;
//! - box = centre + z d_xy/w_xy -+ (z exp(d_wh/w_wh) - 1)/2, d_wh/w_wh at most ln(1000/16), clipped to the image;
//! - non-maximum suppression within each part; at most max_det boxes remain (more at a tie);
//! - score > threshold, descending; ties stay in the order of location, then part.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

/// One level of the feature pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Pixels between locations.
    pub stride: usize,
    /// Side of the square anchor, in pixels.
    pub anchor: usize,
    /// Locations down.
    pub rows: usize,
    /// Locations across.
    pub columns: usize,
}

/// The numbers of the post-processing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Divisors of the regression's dx, dy, dw, dh.
    pub box_weights: [f32; 4],
    /// A part's mean probability must exceed this before the centerness counts.
    pub pre_nms: f32,
    /// Candidates kept per level.
    pub top_n: usize,
    /// IoU above which the weaker of two boxes of one part goes.
    pub nms: f32,
    /// Boxes kept per image.
    pub max_det: usize,
}

/// A head's outputs for one image.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[A, L]`, A locations (levels one after the other, each row by row), L tokens.
    pub token_logits: &'a [f32],
    /// `[A, 4]`: dx, dy, dw, dh.
    pub box_regression: &'a [f32],
    /// `[A]`.
    pub centerness: &'a [f32],
}

/// Number of locations of all levels, A.
pub fn locations(levels: &[Level]) -> usize {
    levels.iter().map(|level| level.rows * level.columns).sum()
}

/// Level, row and column of a location.
pub fn locate(levels: &[Level], location: usize) -> Option<(usize, usize, usize)> {
    let mut rest = location;
    for (l, level) in levels.iter().enumerate() {
        let len = level.rows * level.columns;
        if rest < len {
            return Some((l, rest / level.columns, rest % level.columns));
        }
        rest -= len;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};

    const LEVELS: [Level; 2] = [
        Level { stride: 8, anchor: 64, rows: 2, columns: 2 },
        Level { stride: 16, anchor: 128, rows: 1, columns: 1 },
    ];

    #[test]
    fn anchors_of_glip() {
        let corners = |a| {
            let [x, y, side] = anchor(&LEVELS, a);
            [x - (side - 1.0) / 2.0, y - (side - 1.0) / 2.0, x + (side - 1.0) / 2.0, y + (side - 1.0) / 2.0]
        };
        assert_eq!(corners(0), [-28.0, -28.0, 35.0, 35.0]);
        assert_eq!(corners(3), [-20.0, -20.0, 43.0, 43.0]);
        assert_eq!(corners(4), [-56.0, -56.0, 71.0, 71.0]);
        assert_eq!(locate(&LEVELS, 3), Some((0, 1, 1)));
        assert_eq!(locate(&LEVELS, 5), None);
    }

    #[test]
    fn decoding_clamps_growth_and_clips() {
        let weights = [10.0, 10.0, 5.0, 5.0];
        assert_eq!(decode([0.0; 4], [50.0, 40.0, 11.0], weights, [100, 100]), [45.0, 35.0, 55.0, 45.0]);
        assert_eq!(
            decode([10.0, 0.0, 0.0, 0.0], [50.0, 40.0, 11.0], weights, [100, 60]),
            [56.0, 35.0, 59.0, 45.0]
        );
        let [x1, _, x2, _] = decode([0.0, 0.0, 1e30, 0.0], [500.0, 500.0, 10.0], weights, [1000, 1000]);
        assert!((x2 - x1 - (10.0 * 1000.0 / 16.0 - 1.0)).abs() < 1e-2, "{x1} {x2}");
    }

    #[test]
    fn the_mean_of_sigmoids_not_the_sigmoid_of_the_mean() {
        let head = Head { token_logits: &[-3.0, 9.0, 4.0], box_regression: &[0.0; 4], centerness: &[0.0] };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let values = scores(&head, &[0..2, 2..3, 0..0, 0..1], 0.05).unwrap();
        assert!((values[0].powi(2) - (sigmoid(-3.0) + sigmoid(9.0)) / 4.0).abs() < 1e-6);
        assert!((values[1].powi(2) - sigmoid(4.0) / 2.0).abs() < 1e-6);
        assert_eq!(values[2..], [0.0, 0.0], "no token, and a probability below pre_nms");
    }

    #[test]
    fn each_level_keeps_its_best() {
        let scores = [0.1, 0.4, 0.4, 0.2, 0.3];
        assert_eq!(candidates(&scores, 1, &LEVELS, 2, 0.0).unwrap(), [1, 2, 4]);
        assert_eq!(candidates(&scores, 1, &LEVELS, 1, 0.0).unwrap(), [1, 4], "ties go to the lower index");
        assert_eq!(candidates(&scores, 1, &LEVELS, 9, 0.35).unwrap(), [1, 2]);
    }

    #[test]
    fn a_tie_at_the_cap_is_kept_whole() {
        let rules = Rules { box_weights: [10.0; 4], pre_nms: 0.05, top_n: 9, nms: 0.01, max_det: 2 };
        let level = [Level { stride: 50, anchor: 10, rows: 1, columns: 4 }];
        let head =
            Head { token_logits: &[1.0, 3.0, 1.0, -1.0], box_regression: &[0.0; 16], centerness: &[9.0; 4] };
        let found = |max_det| {
            let rules = Rules { max_det, ..rules };
            let boxes = detect(&head, std::slice::from_ref(&(0..1)), &level, [50, 200], &rules, 0.0).unwrap();
            boxes.iter().map(|b| b.location).collect::<Vec<_>>()
        };
        assert_eq!(found(4), [1, 0, 2, 3]);
        assert_eq!(found(2), [1, 0, 2]);
        assert_eq!(found(1), [1]);
    }
}
