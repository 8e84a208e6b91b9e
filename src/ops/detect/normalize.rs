//! From the bytes of an image to a model's input: channels ordered, scaled, centred, zeros right and below.
//!
//! `out[c, y, x] = (scale * image[y, x, channel c] / 255 - mean[c]) / std[c]`; 0 outside the image.

use serde::{Deserialize, Serialize};

/// Order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The numbers of the normalisation; mean and deviation are in the model's channel order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// Order of the model's channels; images are RGB.
    pub order: Order,
    /// What white is before mean and deviation.
    pub scale: f32,
    /// Subtracted.
    pub mean: [f32; 3],
    /// Divided by.
    pub std: [f32; 3],
}

/// CPU reference.
pub mod cpu {
    use super::{Normalization, Order};
    use crate::{
        error::{Error, Result},
        ops::expect_len,
    };

    /// Normalises one image into `out`.
    ///
    /// `image`: `[size.0, size.1, 3]` RGB; `out`: `[3, padded.0, padded.1]`, `padded` no smaller than `size`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the sizes do not fit together.
    pub fn normalize(
        image: &[u8],
        size: [usize; 2],
        rule: &Normalization,
        padded: [usize; 2],
        out: &mut [f32],
    ) -> Result<()> {
        let [height, width] = size;
        expect_len("normalize", "image [height, width, 3]", image.len(), height * width * 3)?;
        expect_len("normalize", "out [3, height, width]", out.len(), 3 * padded[0] * padded[1])?;
        if size.contains(&0) || height > padded[0] || width > padded[1] {
            return Err(Error::invalid(format!("normalize: {size:?} does not fit into {padded:?}")));
        }
        out.fill(0.0);
        let (pixels, _) = image.as_chunks::<3>();
        for (c, plane) in out.chunks_exact_mut(padded[0] * padded[1]).enumerate() {
            let source = if rule.order == Order::Bgr { 2 - c } else { c };
            // 256 values exist: the division is paid once for each.
            let table: [f32; 256] =
                std::array::from_fn(|v| (v as f32 * (rule.scale / 255.0) - rule.mean[c]) / rule.std[c]);
            for (row, out) in pixels.chunks_exact(width).zip(plane.chunks_exact_mut(padded[1])) {
                for (pixel, out) in row.iter().zip(out) {
                    *out = table[pixel[source] as usize];
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::normalize, *};

    #[test]
    fn channels_scale_and_padding() {
        let rule =
            Normalization { order: Order::Bgr, scale: 255.0, mean: [1.0, 2.0, 3.0], std: [2.0, 4.0, 8.0] };
        let mut out = [9.0; 18];
        normalize(&[10, 20, 30, 40, 50, 60], [1, 2], &rule, [2, 3], &mut out).unwrap();
        let blue = [14.5, 29.5, 0.0, 0.0, 0.0, 0.0];
        let green = [4.5, 12.0, 0.0, 0.0, 0.0, 0.0];
        let red = [0.875, 4.625, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(out, [blue, green, red].concat()[..]);
    }

    #[test]
    fn unit_scale() {
        let rule = Normalization { order: Order::Rgb, scale: 1.0, mean: [0.5; 3], std: [0.5; 3] };
        let mut out = [0.0; 3];
        normalize(&[0, 255, 51], [1, 1], &rule, [1, 1], &mut out).unwrap();
        assert_eq!(out[..2], [-1.0, 1.0]);
        assert!((out[2] - -0.6).abs() < 1e-6);
    }
}
