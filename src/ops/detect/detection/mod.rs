//! What the heads of detectors share ([`atss`](crate::ops::detect::atss), [`queries`](crate::ops::detect::queries)): scored boxes, and which remain.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::ops::detect::nms;

/// One box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The location or query it grew from, below A.
    pub location: usize,
    /// The part it shows, below P.
    pub part: usize,
    /// In [0, 1].
    pub score: f32,
    /// x1, y1, x2, y2 in pixels of the head's input, within the image.
    pub corners: [f32; 4],
}

/// The scores that count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Boxes of a higher score are found.
    pub found: f32,
    /// Boxes of a higher score than this, but not than `found`, are weak: they lose to those found, and only explain.
    pub weak: f32,
}

impl Thresholds {
    /// Without weak boxes.
    pub fn only(found: f32) -> Thresholds {
        Thresholds { found, weak: found }
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::exp;

    #[test]
    fn exponentials_to_an_ulp() {
        for i in -86_999..=87_999 {
            let x = i as f32 * 1e-3;
            let expected = (x as f64).exp();
            assert!(
                (exp(x) as f64 - expected).abs() <= 1.5e-7 * expected,
                "e^{x} = {expected}, not {}",
                exp(x)
            );
        }
        assert_eq!([exp(0.0), exp(-1e9), exp(f32::INFINITY)], [1.0, exp(-87.0), exp(88.0)]);
        assert!(exp(f32::NAN).is_nan());
    }
}
