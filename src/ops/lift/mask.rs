//! Masks at a pixel: low-resolution logits sampled at the resolution of the view.
//!
//! SAM upsamples its logits to a 1024 x 1024 grid and that to the image, both bilinear; a pixel is in the mask if the
//! result is above 0. Neighbours of the middle grid are a quarter of a logit apart, so together the two steps read at
//! most 3 consecutive logits along each axis: `logit(y, x) = sum_ij w_i(y) w_j(x) R[i][j]`. Logits of another side are
//! upsampled to the image at once, which reads 2.

/// Side of SAM's logits.
pub const LOGITS: usize = 256;
/// Side of the grid that SAM works on.
const GRID: usize = 1024;

/// What one output row or column reads along its axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The first logit read, at most their side - 3.
    pub first: u32,
    /// The weights of it and the next two; they sum to 1.
    pub weights: [f32; 3],
}

/// The taps of every row (and column) of a square image, `[side]`.
pub fn taps(side: usize) -> Vec<Tap> {
    (0..side)
        .map(|o| {
            let mut dense = [(0, 0.0); 4];
            let grid = bilinear(o, GRID, side);
            for (i, (at, outer)) in grid.into_iter().enumerate() {
                for (j, (at, inner)) in bilinear(at, LOGITS, GRID).into_iter().enumerate() {
                    dense[2 * i + j] = (at, outer * inner);
                }
            }
            let first = dense[0].0.min(LOGITS - 3);
            let mut weights = [0.0; 3];
            for (at, weight) in dense {
                weights[at - first] += weight;
            }
            Tap { first: first as u32, weights: weights.map(|w| w as f32) }
        })
        .collect()
}

/// The taps of every row or column of an image of `to`, `[to]`, where `low` logits, at least 3, cover a model's input of
/// `input` pixels and the image its first `size`.
pub fn taps_of(low: usize, [size, input]: [usize; 2], to: usize) -> Vec<Tap> {
    let step = low as f64 * size as f64 / input as f64 / to as f64;
    let tap = |o: usize| {
        let [(at, share), (next, rest)] = between((o as f64 + 0.5) * step - 0.5, low);
        let first = at.min(low - 3);
        let mut weights = [0.0; 3];
        weights[at - first] += share as f32;
        weights[next - first] += rest as f32;
        Tap { first: first as u32, weights }
    };
    (0..to).map(tap).collect()
}

/// The two inputs that output `o` of `to` reads, with their weights (pixel centres at .5, as PyTorch without
/// align_corners). In f64: f32 places the last pixels of a row a ten-thousandth off.
fn bilinear(o: usize, from: usize, to: usize) -> [(usize, f64); 2] {
    between(from as f64 / to as f64 * (o as f64 + 0.5) - 0.5, from)
}

/// The two of `from` inputs around a place, with their weights.
fn between(at: f64, from: usize) -> [(usize, f64); 2] {
    let at = at.max(0.0);
    let low = (at as usize).min(from - 1);
    let share = at - low as f64;
    [(low, 1.0 - share), ((low + 1).min(from - 1), share)]
}

/// Bytes of one full mask of `pixels` pixels.
pub const fn bytes(pixels: usize) -> usize {
    pixels.div_ceil(8)
}

/// CPU reference.
pub mod cpu {
    use super::{LOGITS, Tap};
    use crate::{error::Result, ops::expect_len};

    /// The upsampled logit of one pixel. `logits`: `[256, 256]`; `row`, `column`: the pixel's taps.
    pub fn logit(logits: &[f32], row: &Tap, column: &Tap) -> f32 {
        sample(logits, LOGITS, row, column)
    }

    pub(super) fn sample(logits: &[f32], low: usize, row: &Tap, column: &Tap) -> f32 {
        let mut sum = 0.0;
        for (i, wy) in row.weights.iter().enumerate() {
            let at = (row.first as usize + i) * low + column.first as usize;
            let [a, b, c] = column.weights;
            sum += wy * (a * logits[at] + b * logits[at + 1] + c * logits[at + 2]);
        }
        sum
    }

    /// The full mask of one box: one bit a pixel, row-major, least significant bit first, `[ceil(side * side / 8)]`.
    ///
    /// `logits`: `[256, 256]`; `taps`: those of the side, `[side]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if there are not so many logits.
    pub fn expand(logits: &[f32], taps: &[Tap]) -> Result<Vec<u8>> {
        expand_of(logits, LOGITS, taps, taps)
    }

    /// The same of other logits, `[low, low]`, over an image of as many `rows` and `columns` as there are taps.
    ///
    /// # Errors
    /// As [`expand`].
    pub fn expand_of(logits: &[f32], low: usize, rows: &[Tap], columns: &[Tap]) -> Result<Vec<u8>> {
        expect_len("mask", "logits [S, S]", logits.len(), low * low)?;
        let mut bits = vec![0; super::bytes(rows.len() * columns.len())];
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                let pixel = y * columns.len() + x;
                bits[pixel / 8] |= ((sample(logits, low, row, column) > 0.0) as u8) << (pixel % 8);
            }
        }
        Ok(bits)
    }

    /// Whether a full mask holds a pixel.
    pub fn bit(bits: &[u8], pixel: usize) -> bool {
        bits[pixel / 8] >> (pixel % 8) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};
    use inputs::Random;

    /// What the taps shorten: two bilinear steps, 16 reads, in f64.
    fn two_steps(logits: &[f32], side: usize, y: usize, x: usize) -> f64 {
        let mut sum = 0.0;
        for (gy, a) in bilinear(y, GRID, side) {
            for (gx, b) in bilinear(x, GRID, side) {
                for (ly, c) in bilinear(gy, LOGITS, GRID) {
                    for (lx, d) in bilinear(gx, LOGITS, GRID) {
                        sum += a * b * c * d * logits[ly * LOGITS + lx] as f64;
                    }
                }
            }
        }
        sum
    }

    fn noise(n: usize) -> Vec<f32> {
        let mut random = Random(1);
        (0..n).map(|_| random.uniform() * 20.0 - 10.0).collect()
    }

    #[test]
    fn three_taps_equal_two_bilinear_steps() {
        let logits = noise(LOGITS * LOGITS);
        for side in [1, 7, 256, 800, 1024, 1333] {
            let taps = taps(side);
            let mut worst = 0.0f64;
            for y in (0..side).step_by(1 + side / 97) {
                for x in (0..side).step_by(1 + side / 89) {
                    let exact = two_steps(&logits, side, y, x);
                    let ours = logit(&logits, &taps[y], &taps[x]);
                    worst = worst.max((ours as f64 - exact).abs());
                    assert!(
                        (ours > 0.0) == (exact > 0.0) || exact.abs() < 1e-5,
                        "side {side}, pixel {y},{x}"
                    );
                }
            }
            assert!(worst < 1e-5, "side {side}: {worst}");
        }
    }

    #[test]
    fn a_full_mask_is_the_samples_of_its_pixels() {
        let logits = noise(LOGITS * LOGITS);
        let taps = taps(75);
        let mask = expand(&logits, &taps).unwrap();
        assert_eq!(mask.len(), 704);
        for pixel in 0..75 * 75 {
            assert_eq!(bit(&mask, pixel), logit(&logits, &taps[pixel / 75], &taps[pixel % 75]) > 0.0);
        }
    }

    #[test]
    fn logit_zero_is_outside() {
        assert!(expand(&vec![0.0; LOGITS * LOGITS], &taps(16)).unwrap().iter().all(|&byte| byte == 0));
    }

    #[test]
    fn other_logits_are_sampled_in_one_step_over_the_image_alone() {
        let low = 5;
        let (logits, mut worst) = (noise(low * low), 0.0f64);
        // An image of 6 x 8 in the first 75 of 100 rows.
        let (rows, columns) = (taps_of(low, [75, 100], 6), taps_of(low, [100, 100], 8));
        let mask = expand_of(&logits, low, &rows, &columns).unwrap();
        for (y, row) in rows.iter().enumerate() {
            for (x, column) in columns.iter().enumerate() {
                // Where the pixel's middle lies among the logits' middles.
                let at =
                    [(y as f64 + 0.5) * 75.0 / 6.0 / 20.0 - 0.5, (x as f64 + 0.5) * 100.0 / 8.0 / 20.0 - 0.5];
                let [v, u] = at.map(|at| at.clamp(0.0, 4.0));
                let read = |v: usize, u: usize| logits[v.min(4) * low + u.min(4)] as f64;
                let (i, j) = (v as usize, u as usize);
                let (a, b) = (v - i as f64, u - j as f64);
                let expected = (1.0 - a) * ((1.0 - b) * read(i, j) + b * read(i, j + 1))
                    + a * ((1.0 - b) * read(i + 1, j) + b * read(i + 1, j + 1));
                let found = sample(&logits, low, row, column);
                worst = worst.max((found as f64 - expected).abs());
                assert_eq!(bit(&mask, y * 8 + x), found > 0.0);
            }
        }
        assert!(worst < 1e-5, "{worst}");
        assert!(taps_of(3, [64, 64], 200).iter().all(|tap| tap.first == 0));
    }
}
