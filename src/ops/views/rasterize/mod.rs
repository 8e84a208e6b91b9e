//! Point splatting: which point each pixel of a view shows.
//!
//! A point with view depth z >= 0 covers every pixel whose centre is closer than `radius` in NDC; the nearest point wins
//! a pixel, the lowest index at equal depth. Pixel centre i of n has NDC 1 - (2 i + 1)/n: x to the left, y up
//! (PyTorch3D's point rasterizer, paper section 5.1; square images).

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

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

#[cfg(test)]
mod tests {
    use super::{BACKGROUND, Splat, cpu::*};
    use inputs::Random;

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
        let mut random = Random(seed);
        let mut random = |steps: u32| random.below(steps) as f32 / steps as f32;
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
        let image = shade(&[0], &splats, &[[0.5, 1.0, 0.0]], 1, 0.5).unwrap();
        assert_eq!(image, [127, 254, 0]);
        let background = shade(&[BACKGROUND; 4], &splats, &[[0.0; 3]], 2, 0.5).unwrap();
        assert!(background.iter().all(|&c| c == 254));
    }
}
