//! Point splatting: which point each pixel of a view shows.
//!
//! A point with view depth z >= 0 covers every pixel whose centre is closer than `radius` in NDC; the nearest point wins
//! a pixel, the lowest index at equal depth. Pixel centre i of n has NDC 1 - (2 i + 1)/n: x to the left, y up
//! (PyTorch3D's point rasterizer, paper section 5.1; square images).

/// A point as one view sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Splat {
    /// Position in the image plane, [-1, 1] over the image, x to the left, y up.
    pub ndc: [f32; 2],
    /// Depth along the view direction.
    pub depth: f32,
}

/// What no point covers.
pub const BACKGROUND: i32 = -1;

/// CPU reference.
pub mod cpu {
    use super::{BACKGROUND, Splat};

    /// Rasterizes one view.
    ///
    /// `splats`: `[N]`, N at most `i32::MAX`; `side`: pixels along each side; `radius`: in NDC.
    /// Returns the winning point of every pixel, `[side, side]`, row 0 on top, [`BACKGROUND`] where there is none.
    pub fn nearest_points(splats: &[Splat], side: usize, radius: f32) -> Vec<i32> {
        // Depth bits above, index below: the smallest key is the nearest point, then the lowest index.
        let mut nearest = vec![u64::MAX; side * side];
        let half = side as f32 / 2.0;
        // One pixel of slack on each side: the exact test below decides.
        let reach = radius * half + 1.0;
        for (index, splat) in splats.iter().enumerate() {
            let [x, y] = splat.ndc;
            if !(splat.depth >= 0.0 && x.is_finite() && y.is_finite()) {
                continue;
            }
            // -0.0 would sort behind every positive depth.
            let key = ((splat.depth + 0.0).to_bits() as u64) << 32 | index as u64;
            let (columns, rows) = (span(half - half * x, reach, side), span(half - half * y, reach, side));
            for row in rows {
                let dy = pixel_center(row, side) - y;
                for column in columns.clone() {
                    let dx = pixel_center(column, side) - x;
                    if dx * dx + dy * dy < radius * radius {
                        let slot = &mut nearest[row * side + column];
                        *slot = key.min(*slot);
                    }
                }
            }
        }
        nearest.into_iter().map(|key| if key == u64::MAX { BACKGROUND } else { key as u32 as i32 }).collect()
    }

    /// Colours one view: `[side, side, 3]` u8, white background.
    ///
    /// `colors`: `[N]` in [0, 1]. A colour c becomes trunc(255 * 0.99999 * c), so white is 254.
    /// QUIRK compositor: a covered colour is weighted by alpha / max(alpha, 1e-4), alpha = 1 - d^2/r^2, which darkens
    /// about one value in ten thousand at the very edge of a disc.
    pub fn shade(
        nearest: &[i32],
        splats: &[Splat],
        colors: &[[f32; 3]],
        side: usize,
        radius: f32,
    ) -> Vec<u8> {
        let mut image = vec![quantize(1.0); side * side * 3];
        for (pixel, (&point, rgb)) in nearest.iter().zip(image.as_chunks_mut::<3>().0).enumerate() {
            if point == BACKGROUND {
                continue;
            }
            let [x, y] = splats[point as usize].ndc;
            let (dx, dy) = (pixel_center(pixel % side, side) - x, pixel_center(pixel / side, side) - y);
            let alpha = 1.0 - (dx * dx + dy * dy) / (radius * radius);
            *rgb = colors[point as usize].map(|c| quantize(alpha * c / alpha.max(1e-4)));
        }
        image
    }

    fn quantize(c: f32) -> u8 {
        (c * 0.99999 * 255.0) as u8
    }

    fn pixel_center(i: usize, n: usize) -> f32 {
        1.0 - (2 * i + 1) as f32 / n as f32
    }

    /// The pixels whose centre (i + 0.5) may lie within `reach` of `center`.
    fn span(center: f32, reach: f32, side: usize) -> std::ops::Range<usize> {
        let low = (center - reach - 0.5).ceil().max(0.0) as usize;
        let high = (center + reach - 0.5).floor() + 1.0;
        low..(high.max(0.0) as usize).min(side)
    }
}
