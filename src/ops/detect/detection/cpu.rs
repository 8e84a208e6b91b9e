//! CPU reference.

use super::{Detection, nms};
use crate::error::{Error, Result};
use std::ops::Range;

/// Checks that every part's tokens lie below L.
pub(crate) fn expect_tokens(op: &str, parts: &[Range<usize>], tokens: usize) -> Result<()> {
    match parts.iter().find(|part| part.end > tokens) {
        Some(part) => {
            Err(Error::invalid(format!("{op}: a part has the tokens {part:?}, but there are {tokens}")))
        }
        None => Ok(()),
    }
}

/// What is left of some boxes by non-maximum suppression within each part, strongest first, at most `max_det` and those
/// that are as strong as the last.
pub fn suppress(found: &[Detection], iou: f32, max_det: usize) -> Vec<Detection> {
    let corners: Vec<_> = found.iter().map(|d| d.corners).collect();
    let scores: Vec<_> = found.iter().map(|d| d.score).collect();
    let labels: Vec<_> = found.iter().map(|d| d.part).collect();
    let kept = nms::cpu::nms(&corners, &scores, &labels, iou).expect("one of each a box");
    let mut found: Vec<Detection> = kept.into_iter().map(|i| found[i]).collect();
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    if let Some(last) = found.get(max_det - 1).map(|d| d.score) {
        found.retain(|d| d.score >= last);
    }
    found
}

/// A coordinate within an image of so many pixels along its axis.
pub fn clip(coordinate: f32, pixels: usize) -> f32 {
    coordinate.clamp(0.0, pixels as f32 - 1.0)
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// e^x to about an ulp, between e^-87 and e^88: the same bits on every machine and device, as the C library's are not
/// (Cephes' `expf`).
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // The sum leaves the integer nearest to x / ln 2 in its lowest bits.
    let shifted = x * std::f32::consts::LOG2_E + 12582912.0;
    let exponent = shifted.to_bits().wrapping_sub(0x4b40_0000).wrapping_add(127);
    let n = shifted - 12582912.0;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut y = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        y = y * r + coefficient;
    }
    (y * (r * r) + r + 1.0) * f32::from_bits(exponent << 23)
}
