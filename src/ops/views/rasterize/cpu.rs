//! CPU reference.

use super::{BACKGROUND, FOCAL, Matrix, Splat};
use crate::{error::Result, ops::expect_len};

/// A point as the rasterizer sees it.
pub fn splat(p: [f32; 3], world_to_view: &Matrix) -> Splat {
    let [x, y, depth, _] = transform(p, world_to_view);
    Splat { ndc: [FOCAL * x / depth, FOCAL * y / depth], depth }
}

/// A point's position in pixels of a `side` x `side` image: x to the right, y down, pixel centres at .5.
///
/// `full_projection`: world to NDC, before the division by w.
pub fn screen(p: [f32; 3], full_projection: &Matrix, side: usize) -> [f32; 2] {
    let [x, y, _, w] = transform(p, full_projection);
    let half = side as f32 / 2.0;
    [half - half * (x / w), half - half * (y / w)]
}

fn transform(p: [f32; 3], m: &Matrix) -> [f32; 4] {
    std::array::from_fn(|j| p[0] * m[0][j] + p[1] * m[1][j] + p[2] * m[2][j] + m[3][j])
}

/// Rasterizes one view.
///
/// `splats`: `[N]`, N at most `i32::MAX`; `side`: pixels along each side; `radius`: in NDC.
/// Returns the winning point of every pixel, `[side, side]`, row 0 on top, [`BACKGROUND`] where there is none.
pub fn nearest_points(splats: &[Splat], side: usize, radius: f64) -> Vec<i32> {
    let radius = radius as f32;
    // Depth bits above, index below: the smallest key is the nearest point, then the lowest index.
    let mut nearest = vec![u64::MAX; side * side];
    let centers: Vec<f32> = (0..side).map(|i| pixel_center(i, side)).collect();
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
            let dy = centers[row] - y;
            let slots = &mut nearest[row * side..][columns.clone()];
            for (slot, center) in slots.iter_mut().zip(&centers[columns.clone()]) {
                let dx = center - x;
                if dx * dx + dy * dy < radius * radius {
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
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
pub fn shade(
    nearest: &[i32],
    splats: &[Splat],
    colors: &[[f32; 3]],
    side: usize,
    radius: f64,
) -> Result<Vec<u8>> {
    expect_len("rasterize", "nearest [side, side]", nearest.len(), side * side)?;
    expect_len("rasterize", "colors [N]", colors.len(), splats.len())?;
    // Squared in f64 as Python does; nearest_points squares in f32 as PyTorch3D's rasterizer does.
    let radius_squared = (radius * radius) as f32;
    let mut image = vec![quantize(1.0); side * side * 3];
    for (pixel, (&point, rgb)) in nearest.iter().zip(image.as_chunks_mut::<3>().0).enumerate() {
        if point == BACKGROUND {
            continue;
        }
        let [x, y] = splats[point as usize].ndc;
        let (dx, dy) = (pixel_center(pixel % side, side) - x, pixel_center(pixel / side, side) - y);
        let alpha = 1.0 - (dx * dx + dy * dy) / radius_squared;
        *rgb = colors[point as usize].map(|c| quantize(alpha * c / alpha.max(1e-4)));
    }
    Ok(image)
}

fn quantize(c: f32) -> u8 {
    (c * 0.99999 * 255.0) as u8
}

fn pixel_center(i: usize, n: usize) -> f32 {
    -1.0 + (2 * (n - 1 - i) + 1) as f32 / n as f32
}

/// The pixels whose centre (i + 0.5) may lie within `reach` of `center`.
fn span(center: f32, reach: f32, side: usize) -> std::ops::Range<usize> {
    let low = (center - reach - 0.5).ceil().max(0.0) as usize;
    let high = (((center + reach - 0.5).floor() + 1.0).max(0.0) as usize).min(side);
    low.min(high)..high
}
