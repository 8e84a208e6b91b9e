//! From a concept segmenter's outputs to boxes with masks (SAM 3).
//!
//! A pair is a view and a name that was looked for in it. With the pair's logits `x[q]`, its presence `y` and s = sigmoid, or the
//! identity where outputs are probabilities: `score[q] = s(x[q]) s(y)`. Scores above the threshold count; per pair the strongest
//! max_det remain (more at a tie), ties in the order of the queries. A pixel is in a mask if its bilinear logit is above 0.
//!
//! Of the masks of one view, whatever their names, the weaker goes where their IoU with one that stays exceeds nms; ties in the
//! order of the names, then of the queries. The strongest max_det remain, more at a tie.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use super::queries::Form;

/// The numbers of the post-processing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Whether logits and presence are probabilities.
    pub probabilities: bool,
    /// What the boxes are.
    pub form: Form,
    /// Mask IoU above which the weaker of two boxes of a view goes; 1 keeps all.
    pub nms: f32,
    /// Boxes kept per pair, and then per view.
    pub max_det: usize,
}

/// Numbers that stand in for a box's feature: score, presence, the mask's share of the view and of the box.
pub const STAND_IN: usize = 4;
