//! Point splatting: which point each pixel of a view shows.
//!
//! A point with view depth z >= 0 covers every pixel whose centre is closer than `radius` in NDC; the nearest point wins
//! a pixel, the lowest index at equal depth. Pixel centre i of n has NDC 1 - (2 i + 1)/n: x to the left, y up
//! (PyTorch3D's point rasterizer, paper section 5.1; square images).

#[cfg(feature = "cuda")]
use crate::error::{Error, Result};

/// A 4 x 4 matrix for row vectors: `q[j] = sum_i p[i] * m[i][j]`.
pub type Matrix = [[f32; 4]; 4];

/// 1 / tan(60 / 2 degrees), as PyTorch3D's f32 arithmetic gives it.
pub const FOCAL: f32 = 1.732_050_7;

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

#[cfg(feature = "cuda")]
fn check(points: usize, views: usize, side: usize) -> Result<()> {
    let most = i32::MAX as usize;
    if points > most || views > 65_535 || side.saturating_mul(side) > most / 3 {
        return Err(Error::invalid(format!(
            "rasterize: {points} points, {views} views of side {side}; at most {most} points, 65535 views and {} pixels \
             a view",
            most / 3
        )));
    }
    Ok(())
}

/// CPU reference.
pub mod cpu {
    use super::{BACKGROUND, FOCAL, Matrix, Splat};

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
        radius: f64,
    ) -> Vec<u8> {
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
        image
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
        let high = (center + reach - 0.5).floor() + 1.0;
        low..(high.max(0.0) as usize).min(side)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::check;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, RasterizeDims},
        },
        error::Result,
        ops::expect_len,
    };

    /// What to render.
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// `[N, 3]`.
        pub positions: &'a Buffer<f32>,
        /// `[N, 3]` in [0, 1].
        pub colors: &'a Buffer<f32>,
        /// World to view and world to NDC of every view, `[K, 2, 4, 4]`.
        pub cameras: &'a Buffer<f32>,
        /// Pixels along each side.
        pub side: usize,
        /// Of a disc, in NDC.
        pub radius: f64,
    }

    /// K views.
    #[derive(Debug)]
    pub struct Rendered {
        /// The winning point of every pixel, `[K, side, side]`, [`BACKGROUND`](super::BACKGROUND) where there is none.
        pub pixel_to_point: Buffer<i32>,
        /// Where every point falls in pixels, `[K, N, 2]`.
        pub screen: Buffer<f32>,
        /// `[K, side, side, 3]`.
        pub images: Buffer<u8>,
    }

    /// Renders all views at once; bit for bit what [`cpu`](super::cpu) makes of each.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn render(gpu: &Gpu, input: &Input) -> Result<Rendered> {
        let (points, views) = (input.positions.len() / 3, input.cameras.len() / 32);
        check(points, views, input.side)?;
        expect_len("rasterize", "colors [N, 3]", input.colors.len(), input.positions.len())?;
        expect_len("rasterize", "cameras [K, 2, 4, 4]", input.cameras.len(), views * 32)?;
        let pixels = input.side * input.side;
        let mut nearest = gpu.zeros(views * pixels)?;
        let mut screen = gpu.alloc(views * points * 2)?;
        let (mut pixel_to_point, mut images) = (gpu.alloc(views * pixels)?, gpu.alloc(views * pixels * 3)?);
        let d = RasterizeDims {
            points: points as u32,
            side: input.side as u32,
            radius: input.radius as f32,
            radius_squared: (input.radius * input.radius) as f32,
        };
        let grid = |items| [blocks(items, 256)[0], views as u32, 1];
        let Input { positions, cameras, colors, .. } = input;
        kernels::rasterize_splat(gpu, grid(points), *positions, *cameras, &mut nearest, &mut screen, d)?;
        kernels::rasterize_resolve(
            gpu,
            grid(pixels),
            &nearest,
            *positions,
            *cameras,
            *colors,
            &mut pixel_to_point,
            &mut images,
            d,
        )?;
        Ok(Rendered { pixel_to_point, screen, images })
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKGROUND, Splat, cpu::*};

    /// The rule itself: every pixel looks at every point.
    fn brute_force(splats: &[Splat], side: usize, radius: f32) -> Vec<i32> {
        let center = |i: usize| -1.0 + (2 * (side - 1 - i) + 1) as f32 / side as f32;
        let mut out = vec![BACKGROUND; side * side];
        for (pixel, out) in out.iter_mut().enumerate() {
            let (x, y) = (center(pixel % side), center(pixel / side));
            let mut best = f32::INFINITY;
            for (i, s) in splats.iter().enumerate() {
                let (dx, dy) = (x - s.ndc[0], y - s.ndc[1]);
                if s.depth >= 0.0 && s.depth < best && dx * dx + dy * dy < radius * radius {
                    best = s.depth;
                    *out = i as i32;
                }
            }
        }
        out
    }

    /// Points on a coarse lattice, so that depths and places coincide often.
    fn random_splats(n: usize, seed: u64) -> Vec<Splat> {
        let mut state = seed;
        let mut random = |steps: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % steps) as f32 / steps as f32
        };
        (0..n)
            .map(|_| Splat {
                ndc: [random(257) * 2.4 - 1.2, random(257) * 2.4 - 1.2],
                depth: random(7) * 4.0 - 0.5,
            })
            .collect()
    }

    #[test]
    fn equals_brute_force() {
        for (seed, (n, side, radius)) in
            [(0, 8, 0.1), (1, 1, 2.0), (31, 16, 0.05), (33, 17, 0.3), (1025, 64, 0.04), (300, 40, 1.0)]
                .into_iter()
                .enumerate()
        {
            let splats = random_splats(n, seed as u64);
            let expected = brute_force(&splats, side, radius as f32);
            assert_eq!(
                nearest_points(&splats, side, radius),
                expected,
                "n {n}, side {side}, radius {radius}"
            );
        }
    }

    #[test]
    fn lowest_index_wins_at_equal_depth() {
        let splat = Splat { ndc: [0.0, 0.0], depth: 1.0 };
        assert!(nearest_points(&[splat; 3], 4, 0.5).iter().all(|&p| p == 0 || p == BACKGROUND));
        let near = Splat { depth: -0.0, ..splat };
        assert!(nearest_points(&[splat, near], 1, 0.5) == [1]);
    }

    #[test]
    fn points_without_a_place_are_skipped() {
        let at = |x, y, depth| Splat { ndc: [x, y], depth };
        let splats = [
            at(f32::NAN, 0.0, 1.0),
            at(0.0, f32::INFINITY, 1.0),
            at(0.0, 0.0, f32::NAN),
            at(0.0, 0.0, -1.0),
            at(3e38, -3e38, 1.0),
        ];
        assert!(nearest_points(&splats, 8, 0.5).iter().all(|&p| p == BACKGROUND));
    }

    #[test]
    fn white_is_254_and_colours_are_truncated() {
        let splats = [Splat { ndc: [0.0, 0.0], depth: 1.0 }];
        let image = shade(&[0], &splats, &[[0.5, 1.0, 0.0]], 1, 0.5);
        assert_eq!(image, [127, 254, 0]);
        let background = shade(&[BACKGROUND; 4], &splats, &[[0.0; 3]], 2, 0.5);
        assert!(background.iter().all(|&c| c == 254));
    }
}
