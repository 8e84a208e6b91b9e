//! How images become a model's input.

use crate::models::heads::need;
use crate::ops::detect::normalize::{Normalization, Order};
use serde::{Deserialize, Serialize};

/// How images become a model's input: resized, channels ordered and normalised, zeros appended right and below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Order of the channels.
    pub order: Order,
    /// What white is before mean and deviation: 255 or 1.
    pub scale: f32,
    /// Subtracted, per channel in the model's order.
    pub mean: [f32; 3],
    /// Divided by, per channel in the model's order.
    pub std: [f32; 3],
    /// Height and width of the input.
    pub size: [usize; 2],
    /// How the image is brought to size.
    pub resize: Resize,
    /// Both sides of `size` are multiples of this.
    #[serde(default = "one")]
    pub divisor: usize,
}

fn one() -> usize {
    1
}

/// Ways to resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// The shorter side becomes the smaller of `size` (GLIP); the aspect stays.
    Shorter,
    /// The longer side becomes the larger of `size` (SAM); the aspect stays, and what is left of the input is zeros.
    Longer,
    /// Both sides become `size`, whatever the aspect (SAM 3).
    Squash,
}

impl Image {
    /// The arithmetic from bytes to the model's values.
    pub fn normalization(&self) -> Normalization {
        Normalization { order: self.order, scale: self.scale, mean: self.mean, std: self.std }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        need(self.scale > 0.0 && self.scale.is_finite(), "image.scale must be above 0")?;
        need(self.mean.iter().all(|x| x.is_finite()), "image.mean must be finite")?;
        need(self.std.iter().all(|&x| x > 0.0 && x.is_finite()), "image.std must be above 0")?;
        let fits = |&n: &usize| (1..=4096).contains(&n) && self.divisor > 0 && n.is_multiple_of(self.divisor);
        need(self.size.iter().all(fits), "image.size must be two multiples of image.divisor in 1..=4096")
    }
}
