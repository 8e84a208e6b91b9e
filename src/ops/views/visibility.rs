//! Visibility: V_k(p) = 1 if point p owns at least one pixel of view k (paper section 3, eq. 1).

/// CPU reference.
pub mod cpu {
    use crate::error::{Error, Result};

    /// Which points one view shows, `[N]`.
    ///
    /// `pixel_to_point`: `[pixels]`, -1 = background; `points`: N.
    /// The authors drop the smallest value of the map, taking it for the background: on an image without any
    /// background that loses a point. We keep it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a pixel names a point that does not exist.
    pub fn visible_points(pixel_to_point: &[i32], points: usize) -> Result<Vec<bool>> {
        let mut visible = vec![false; points];
        for (pixel, &point) in pixel_to_point.iter().enumerate() {
            match visible.get_mut(point as usize) {
                Some(visible) => *visible = true,
                None if point == -1 => {}
                None => {
                    return Err(Error::invalid(format!(
                        "visibility: pixel_to_point[{pixel}] is {point}, but the cloud has {points} points (-1 = \
                         background)"
                    )));
                }
            }
        }
        Ok(visible)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, VisibilityDims},
        },
        error::Result,
        ops::expect_len,
    };

    /// Which points each view shows: bit p % 32 of word `[k, p / 32]`, `[K, ceil(N / 32)]`.
    ///
    /// `pixel_to_point`: `[K, pixels]`, -1 = background; what names no point is skipped, as nobody waits to hear of it;
    /// `views`: K; `points`: N.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn visible_points(
        gpu: &Gpu,
        pixel_to_point: &Buffer<i32>,
        views: usize,
        points: usize,
    ) -> Result<Buffer<u32>> {
        let (pixels, words) = (pixel_to_point.len() / views.max(1), points.div_ceil(32));
        expect_len("visibility", "pixel_to_point [K, pixels]", pixel_to_point.len(), views * pixels)?;
        let mut visible = gpu.zeros(views * words)?;
        let d = VisibilityDims { points: points as u32, pixels: pixels as u32, words: words as u32 };
        let grid = [blocks(pixels, 256)[0], views as u32, 1];
        kernels::visibility_mark(gpu, grid, pixel_to_point, &mut visible, d)?;
        Ok(visible)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::visible_points;

    #[test]
    fn a_full_image_keeps_its_lowest_point() {
        assert_eq!(visible_points(&[2, 1, 1, 2], 4).unwrap(), [false, true, true, false]);
    }

    #[test]
    fn background_is_no_point() {
        assert_eq!(visible_points(&[-1, 0, -1], 2).unwrap(), [true, false]);
        assert_eq!(visible_points(&[], 1).unwrap(), [false]);
    }

    #[test]
    fn a_point_that_does_not_exist_is_named() {
        for bad in [2, -2, i32::MIN, i32::MAX] {
            let message = visible_points(&[0, bad], 2).unwrap_err().to_string();
            assert!(message.contains("pixel_to_point[1]") && message.contains(&bad.to_string()), "{message}");
        }
    }
}
