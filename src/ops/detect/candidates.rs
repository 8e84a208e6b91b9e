//! Masks of logits: their pixels, their boxes, and how much they depend on the threshold.

use crate::ops::merge::paint::words;

/// A mask: the pixels whose logit is above 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// One bit a pixel, row-major, the least significant first, `[words]`.
    pub bits: Vec<u32>,
    /// Pixels.
    pub area: u32,
    /// The least and largest column and row that hold a pixel: left, top, right, bottom; all 0 of no pixel.
    pub corners: [u32; 4],
    /// Pixels whose logit is above the offset, and above minus the offset.
    pub beyond: [u32; 2],
}

impl Mask {
    /// The share of the pixels above minus the offset that are above the offset too; NaN of none.
    pub fn stability(&self) -> f32 {
        self.beyond[0] as f32 / self.beyond[1] as f32
    }

    /// Whether it holds a pixel.
    pub fn holds(&self, pixel: usize) -> bool {
        self.bits[pixel / 32] >> (pixel % 32) & 1 != 0
    }

    /// The mask of pixels, `[width * height]`.
    pub fn of(width: usize, inside: &[bool]) -> Mask {
        cpu::measure([width, inside.len() / width.max(1)], 0.0, |x, y| {
            if inside[y * width + x] { 1.0 } else { -1.0 }
        })
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Mask, words};

    /// The mask of an image of this width and height. `logit`: of column and row.
    pub fn measure([width, height]: [usize; 2], offset: f32, logit: impl Fn(usize, usize) -> f32) -> Mask {
        let mut mask =
            Mask { bits: vec![0; words(width * height)], area: 0, corners: [0; 4], beyond: [0; 2] };
        let mut corners = [u32::MAX, u32::MAX, 0, 0];
        for y in 0..height {
            for x in 0..width {
                let logit = logit(x, y);
                mask.beyond[0] += u32::from(logit > offset);
                mask.beyond[1] += u32::from(logit > -offset);
                if logit > 0.0 {
                    let (pixel, [left, top, right, bottom], at) =
                        (y * width + x, corners, [x as u32, y as u32]);
                    mask.bits[pixel / 32] |= 1 << (pixel % 32);
                    mask.area += 1;
                    corners = [left.min(at[0]), top.min(at[1]), right.max(at[0]), bottom.max(at[1])];
                }
            }
        }
        if mask.area > 0 {
            mask.corners = corners;
        }
        mask
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Mask, words};
    use crate::{
        device::gpu::{
            Buffer, Gpu,
            kernels::{self, CandidatesDims},
        },
        error::{Error, Result},
        ops::lift::{mask::LOGITS, membership::cuda::Taps},
    };

    /// Blocks that share a mask, at most: each warp adds seven atomics.
    const BLOCKS: usize = 16;
    const BLOCK: usize = 256;

    /// The masks of logits sampled at the pixels of an image of `side` x `side`; bit for bit the reference's. Waits.
    ///
    /// `logits`: `[C, 256, 256]`; `taps`: of the side.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit, [`Error::Device`] if the driver refuses.
    pub fn measure(gpu: &Gpu, logits: &Buffer<f32>, taps: &Taps, offset: f32) -> Result<Vec<Mask>> {
        let (side, count) = (taps.first.len(), logits.len() / (LOGITS * LOGITS));
        if logits.len() != count * LOGITS * LOGITS || side > 1 << 15 || count > 65_535 {
            return Err(Error::invalid(format!(
                "candidates: {} logits are no masks of 256 x 256, at most 65535, at side {side}",
                logits.len()
            )));
        }
        let words = words(side * side);
        if count * words == 0 {
            let none = Mask { bits: vec![], area: 0, corners: [0; 4], beyond: [0; 2] };
            return Ok(vec![none; count]);
        }
        let (mut bits, mut counts, mut sides) =
            (gpu.alloc(count * words)?, gpu.zeros(3 * count)?, gpu.zeros(4 * count)?);
        let grid = [(side * side).div_ceil(BLOCK).min(BLOCKS) as u32, count as u32, 1];
        let d = CandidatesDims { offset, side: side as u32, words: words as u32 };
        kernels::candidates_measure(
            gpu,
            grid,
            logits,
            &taps.first,
            &taps.weights,
            &mut bits,
            &mut counts,
            &mut sides,
            d,
        )?;
        let [bits, counts, sides] = gpu.download_all([&bits, &counts, &sides])?;
        let mask = |(c, bits): (usize, &[u32])| {
            let [area, above, likely] = [0, 1, 2].map(|i| counts[3 * c + i]);
            let [left, top, right, bottom] = [0, 1, 2, 3].map(|i| sides[4 * c + i]);
            Mask {
                bits: bits.to_vec(),
                area,
                corners: if area > 0 { [!left, !top, right, bottom] } else { [0; 4] },
                beyond: [above, likely],
            }
        };
        Ok(bits.chunks_exact(words).enumerate().map(mask).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Mask, cpu::measure};

    #[test]
    fn masks_are_above_zero_and_boxes_include_their_corners() {
        let logits = [-2.0, -0.5, 0.0, 0.5, 1.0, 1.5, -1.0, 2.0, 0.1f32];
        let mask = measure([3, 3], 1.0, |x, y| logits[3 * y + x]);
        assert_eq!((mask.area, mask.corners, mask.beyond), (5, [0, 1, 2, 2], [2, 7]));
        assert_eq!(mask.bits, [0b1_1011_1000]);
        assert!(mask.holds(3) && !mask.holds(2));
        let none = measure([3, 3], 1.0, |_, _| -5.0);
        assert!(none.corners == [0; 4] && none.area == 0 && none.stability().is_nan());
        assert_eq!(Mask::of(2, &[false, true, true, false]).corners, [0, 0, 1, 1]);
    }
}
