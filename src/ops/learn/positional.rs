//! Positional code: where a box lies and from where it is seen, as the weight network reads it (paper section 4.2).
//!
//! ```text
//! u    = (view direction (3), x1 / side, y1 / side, x2 / side, y2 / side)
//! code = u, sin(2^0 u), cos(2^0 u), ..., sin(2^9 u), cos(2^9 u)
//! ```
//! The authors' published checkpoints were trained with two slips in u, so both are kept.

/// Numbers that place a box.
pub const PLACE: usize = 7;
/// Frequencies.
const OCTAVES: usize = 10;
/// Numbers in a code.
pub const CODE: usize = PLACE * (1 + 2 * OCTAVES);

/// The direction of a view, from its angles in degrees.
/// QUIRK half direction: every component below 1e-9 becomes 0, the negative ones too.
pub fn direction(elevation: f64, azimuth: f64) -> [f64; 3] {
    let ((sin_e, cos_e), (sin_a, cos_a)) = (elevation.to_radians().sin_cos(), azimuth.to_radians().sin_cos());
    [sin_e * sin_a, cos_e, sin_e * cos_a].map(|v| if v < 1e-9 { 0.0 } else { v })
}

/// Places a box: `bbox` is x, y, width, height in pixels of a square image of `side`.
/// QUIRK swapped sides: the lower right corner is taken to be (x + height, y + width).
pub fn place(direction: [f64; 3], bbox: [f64; 4], side: usize) -> [f64; PLACE] {
    let ([x, y, width, height], side) = (bbox, side as f64);
    let [a, b, c] = direction;
    [a, b, c, x / side, y / side, (x + height) / side, (y + width) / side]
}

/// CPU reference.
pub mod cpu {
    use super::{CODE, OCTAVES, PLACE};
    use crate::{error::Result, ops::expect_len};
    use num_traits::Float;

    /// The codes, `[B, CODE]`, computed in f64. `places`: `[B]`.
    pub fn encode<T: Float>(places: &[[f64; PLACE]]) -> Vec<T> {
        let mut codes = Vec::with_capacity(places.len() * CODE);
        let mut push = |v: f64| codes.push(T::from(v).expect("f64 is a float"));
        for u in places {
            u.iter().for_each(|&v| push(v));
            for octave in 0..OCTAVES {
                let scale = (1u32 << octave) as f64;
                u.iter().for_each(|&v| push((scale * v).sin()));
                u.iter().for_each(|&v| push((scale * v).cos()));
            }
        }
        codes
    }

    /// What the weight network reads: every box's feature and its code, `[B, F + CODE]`. `features`: `[B, F]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn inputs<T: Float>(features: &[f32], places: &[[f64; PLACE]]) -> Result<Vec<T>> {
        let (codes, dim) = (encode::<T>(places), features.len() / places.len().max(1));
        expect_len("positional", "features [B, F]", features.len(), places.len() * dim)?;
        let feature = |f: &f32| T::from(*f).expect("f32 is a float");
        let rows = codes.chunks_exact(CODE).enumerate();
        Ok(rows
            .flat_map(|(b, code)| features[b * dim..][..dim].iter().map(feature).chain(code.iter().copied()))
            .collect())
    }
}

/// On a CUDA device. Sines and cosines are computed in f64 there too, and differ from the host's by 1e-15 before they are
/// rounded to f32: at most by the last bit after that, or by 1e-15 where they vanish.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{CODE, PLACE};
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, PositionalDims, PositionalPlacesDims},
        },
        error::Result,
        ops::{expect_fours, expect_len},
    };

    /// What the weight network reads: every box's feature and its code. `features`: `[B, F]`, `places`: `[B, 7]`, `x`:
    /// `[B, F + CODE]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn inputs(
        gpu: &Gpu,
        features: &Buffer<f32>,
        places: &Buffer<f64>,
        x: &mut Buffer<f32>,
    ) -> Result<()> {
        let boxes = places.len() / PLACE;
        let dim = features.len() / boxes.max(1);
        expect_len("positional", "places [B, 7]", places.len(), boxes * PLACE)?;
        expect_len("positional", "features [B, F]", features.len(), boxes * dim)?;
        expect_len("positional", "x [B, F + 147]", x.len(), boxes * (dim + CODE))?;
        let d = PositionalDims { boxes: boxes as u32, features: dim as u32 };
        kernels::positional_inputs(gpu, blocks(x.len(), 256), features, places, x, d)
    }

    /// As [`place`](super::place), of every box. `bboxes`: `[B, 4]`, `views`: `[B]`, `directions`: of the views, `[K, 3]`.
    /// Returns `[B, 7]`.
    ///
    /// # Errors
    /// As [`inputs`].
    pub fn places(
        gpu: &Gpu,
        bboxes: &Buffer<f32>,
        views: &Buffer<u32>,
        directions: &Buffer<f64>,
        side: usize,
    ) -> Result<Buffer<f64>> {
        let boxes = views.len();
        expect_len("positional", "bboxes [B, 4]", bboxes.len(), 4 * boxes)?;
        expect_fours(gpu, "positional", "bboxes [B, 4]", bboxes)?;
        let mut places = gpu.alloc(PLACE * boxes)?;
        let d = PositionalPlacesDims { boxes: boxes as u32, side: side as u32 };
        kernels::positional_places(gpu, blocks(boxes, 256), bboxes, views, directions, &mut places, d)?;
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_placed_as_the_authors_do() {
        let place = place(direction(0.0, 90.0), [80.0, 160.0, 400.0, 240.0], 800);
        assert_eq!(place, [0.0, 1.0, 0.0, 0.1, 0.2, 0.4, 0.7], "x + height, y + width");
        let down = direction(-30.0, 90.0);
        assert_eq!((down[0], down[2]), (0.0, 0.0), "what points the other way is lost");
    }

    #[test]
    fn octaves_follow_the_numbers() {
        let code = cpu::encode::<f64>(&[[0.0; PLACE], [0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 1.0]]);
        assert_eq!(code.len(), 2 * CODE);
        assert_eq!(code[..3 * PLACE], [[0.0; PLACE], [0.0; PLACE], [1.0; PLACE]].concat());
        let code = &code[CODE..];
        assert_eq!((code[3], code[6]), (0.3, 1.0));
        approx::assert_relative_eq!(code[PLACE + 3], 0.3f64.sin());
        approx::assert_relative_eq!(code[CODE - 1], 512f64.cos());
        approx::assert_relative_eq!(code[CODE - PLACE - 4], (512.0f64 * 0.3).sin());
    }
}
