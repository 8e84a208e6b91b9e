//! Masks painted over each other: which one each pixel shows.

/// Words of a mask of so many pixels, one bit each.
pub const fn words(pixels: usize) -> usize {
    pixels.div_ceil(32)
}

/// CPU reference.
pub mod cpu {
    use super::words;
    use crate::{error::Result, ops::expect_len};

    /// The mask on top at every pixel, -1 = none, `[pixels]`. Of M masks, the first lies on top and has number M - 1.
    ///
    /// `masks`: one bit a pixel, row-major, the least significant first, `[M, words]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the masks are not of so many pixels.
    pub fn paint(masks: &[u32], pixels: usize) -> Result<Vec<i32>> {
        let words = words(pixels);
        let count = masks.len() / words.max(1);
        expect_len("paint", "masks [M, words]", masks.len(), count * words)?;
        let holds = |mask: usize, pixel: usize| masks[mask * words + pixel / 32] >> (pixel % 32) & 1 != 0;
        let top = |pixel| (0..count).find(|&mask| holds(mask, pixel));
        Ok((0..pixels).map(|pixel| top(pixel).map_or(-1, |mask| (count - 1 - mask) as i32)).collect())
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::words;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, PaintDims},
        },
        error::Result,
        ops::expect_len,
    };

    /// As the reference. `masks`: `[M, words]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the masks are not of so many pixels, [`Error::Device`](crate::Error::Device)
    /// if the driver refuses.
    pub fn paint(gpu: &Gpu, masks: &Buffer<u32>, pixels: usize) -> Result<Buffer<i32>> {
        let words = words(pixels);
        let count = masks.len() / words.max(1);
        expect_len("paint", "masks [M, words]", masks.len(), count * words)?;
        let mut regions = gpu.alloc(pixels)?;
        let d = PaintDims { masks: count as u32, words: words as u32, pixels: pixels as u32 };
        kernels::paint_top(gpu, blocks(pixels, 256), masks, &mut regions, d)?;
        Ok(regions)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::paint;

    #[test]
    fn the_first_mask_lies_on_top() {
        assert_eq!(paint(&[0b0110, 0b1100], 5).unwrap(), [-1, 1, 1, 0, -1]);
        assert_eq!(paint(&[], 2).unwrap(), [-1, -1]);
        let two = paint(&[0, 1, 1 << 31, 1], 33).unwrap();
        assert_eq!((two[31], two[32]), (0, 1));
        assert!(paint(&[0; 3], 33).is_err());
    }
}
