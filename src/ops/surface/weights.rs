//! What a face that a box shows adds to the score of the box's part:
//!
//! ```text
//! pixels * score * G * Q
//! G = exp(-(d - mu)^2 / (2 sigma^2)) / (sigma sqrt(2 pi))    d: distance from the box's centre vertex to the face's
//!                                                           first vertex; mu, sigma: of the box's faces
//! Q = faces of its ring that the box shows / (faces of its ring + 1e-5)
//! ```
//! QUIRK density: G is a normal density. Its peak is at the mean distance, not at the centre, and boxes that extend less
//! weigh more. QUIRK first-vertex: the distance to a face is that to the vertex that its file names first.

/// Added to the number of faces of a ring.
pub const EPSILON: f64 = 1e-5;
/// A box whose distances spread less than this adds nothing, or NaN as the authors have it.
pub const LEAST_SPREAD: f64 = 1e-9;

/// Which factors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// G.
    pub gaussian: bool,
    /// Q.
    pub visibility: bool,
    /// Whether the faces of a box whose distances are all equal get NaN, as in the authors' code, instead of nothing.
    pub undefined: bool,
}

/// The faces of boxes, an entry each, `[E]`.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Where every box's entries begin, and the last one's end, `[B + 1]`.
    pub offsets: &'a [u32],
    /// Pixels that show the face.
    pub pixels: &'a [u32],
    /// From the box's centre vertex to the face's first.
    pub distances: &'a [f64],
    /// Faces of the face's ring that the box shows.
    pub seen: &'a [u32],
    /// Faces of the face's ring.
    pub around: &'a [u32],
    /// The detector's confidence in the box, `[B]`.
    pub scores: &'a [f32],
}

impl Input<'_> {
    fn check(&self) -> crate::Result<()> {
        use crate::ops::expect_len;
        let e = self.pixels.len();
        expect_len("weights", "offsets [B + 1]", self.offsets.len(), self.scores.len() + 1)?;
        expect_len("weights", "distances [E]", self.distances.len(), e)?;
        expect_len("weights", "seen [E]", self.seen.len(), e)?;
        expect_len("weights", "around [E]", self.around.len(), e)?;
        expect_len("weights", "the last offset", self.offsets.last().map_or(0, |&end| end as usize), e)
    }
}

/// CPU reference.
pub mod cpu {
    use super::{EPSILON, Factors, Input, LEAST_SPREAD};
    use crate::{
        Result,
        ops::basic::{exp::exp, sum},
    };
    use rayon::prelude::*;

    const SQRT_TAU: f64 = 2.506_628_274_631_000_2;

    /// What every entry adds, `[E]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn weights(input: &Input, factors: Factors) -> Result<Vec<f64>> {
        input.check()?;
        let &Input { offsets, pixels, distances, seen, around, scores } = input;
        let of_box = |b: usize| {
            let entries = offsets[b] as usize..offsets[b + 1] as usize;
            let (count, score) = (entries.len() as f64, f64::from(scores[b]));
            let mean = sum::block(entries.clone().map(|e| distances[e])) / count;
            let squares = entries.clone().map(|e| (distances[e] - mean) * (distances[e] - mean));
            let spread = (sum::block(squares) / count).sqrt();
            entries.map(move |e| {
                let mut factor = 1.0;
                if factors.gaussian {
                    let z = (distances[e] - mean) / spread;
                    factor = match spread < LEAST_SPREAD {
                        true if factors.undefined => f64::NAN,
                        true => 0.0,
                        false => exp(-0.5 * z * z) / (spread * SQRT_TAU),
                    };
                }
                if factors.visibility {
                    factor *= f64::from(seen[e]) / (f64::from(around[e]) + EPSILON);
                }
                f64::from(pixels[e]) * score * factor
            })
        };
        Ok((0..scores.len()).into_par_iter().flat_map_iter(of_box).collect())
    }
}

/// On a CUDA device: bit for bit the reference's.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{EPSILON, Factors, LEAST_SPREAD};
    use crate::{
        device::gpu::{
            Buffer, Gpu,
            kernels::{self, WeightsDims},
        },
        error::Result,
        ops::{expect_len, surface::tally::cuda::Tally},
    };

    /// What every entry adds, `[E]`. `distances`: `[E]`; `around`: the faces of each entry's ring that its box shows, and how
    /// many it has, `[E]` each; `scores`: `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if the
    /// driver refuses.
    pub fn weights(
        gpu: &Gpu,
        tally: &Tally,
        distances: &Buffer<f64>,
        [seen, around]: &[Buffer<u32>; 2],
        scores: &Buffer<f32>,
        factors: Factors,
    ) -> Result<Buffer<f64>> {
        let e = tally.pixels.len();
        expect_len("weights", "distances [E]", distances.len(), e)?;
        expect_len("weights", "seen [E]", seen.len(), e)?;
        expect_len("weights", "around [E]", around.len(), e)?;
        expect_len("weights", "offsets [B + 1]", tally.offsets.len(), scores.len() + 1)?;
        let mut out = gpu.alloc(e)?;
        let d = WeightsDims {
            epsilon: EPSILON,
            least_spread: LEAST_SPREAD,
            boxes: scores.len() as u32,
            gaussian: factors.gaussian as u32,
            visibility: factors.visibility as u32,
            undefined: factors.undefined as u32,
        };
        let grid = [scores.len() as u32, 1, 1];
        kernels::weights_entries(
            gpu,
            grid,
            &tally.offsets,
            &tally.pixels,
            distances,
            seen,
            around,
            scores,
            &mut out,
            d,
        )?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Factors, Input, cpu::*};

    const ALL: Factors = Factors { gaussian: true, visibility: true, undefined: false };

    #[test]
    fn weights_follow_their_formula() {
        let input = Input {
            offsets: &[0, 0, 3, 4],
            pixels: &[2, 1, 4, 7],
            distances: &[0.0, 1.0, 2.0, 5.0],
            seen: &[2, 3, 0, 1],
            around: &[4, 3, 0, 2],
            scores: &[0.9, 0.5, 0.75],
        };
        let found = weights(&input, ALL).unwrap();
        let spread = (2.0f64 / 3.0).sqrt();
        let density = |z: f64| (-z * z / 2.0).exp() / spread / (std::f64::consts::TAU).sqrt();
        approx::assert_relative_eq!(
            found[0],
            2.0 * 0.5 * density(1.0 / spread) * 2.0 / 4.00001,
            max_relative = 1e-14
        );
        approx::assert_relative_eq!(found[1], 0.5 * density(0.0) * 3.0 / 3.00001, max_relative = 1e-14);
        assert_eq!(found[2..], [0.0, 0.0], "no ring; one face, whose distance has no spread");
        let plain = Factors { gaussian: false, visibility: false, undefined: true };
        assert_eq!(weights(&input, plain).unwrap(), [1.0, 0.5, 2.0, 5.25]);
        let theirs = weights(&input, Factors { undefined: true, ..ALL }).unwrap();
        assert!(theirs[3].is_nan() && theirs[..3] == found[..3]);
        assert!(weights(&Input { seen: &[1], ..input }, ALL).is_err());
        assert!(weights(&Input { offsets: &[0, 4], ..input }, ALL).is_err());
    }
}
