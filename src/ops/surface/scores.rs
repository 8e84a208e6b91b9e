//! From what boxes add to the scores of faces, and to labels.
//!
//! `score[k, p]` is the sum over the boxes of part p that show face k, in the boxes' order.

use crate::{Result, ops::expect_len, ragged::Ragged};

/// Scores that sum up to less are of nothing that was seen.
pub const LEAST: f64 = 1e-4;

/// What boxes add.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Faces and pixels under every box, `[B]`.
    pub shown: &'a Ragged<(u32, u32)>,
    /// What each entry adds, `[E]`.
    pub weights: &'a [f64],
    /// The part of every box, below P, `[B]`.
    pub parts: &'a [u32],
    /// F.
    pub faces: usize,
    /// P.
    pub labels: usize,
}

impl Input<'_> {
    fn check(&self) -> Result<()> {
        expect_len("scores", "weights [E]", self.weights.len(), self.shown.values().len())?;
        expect_len("scores", "parts [B]", self.parts.len(), self.shown.len())?;
        if let Some(part) = self.parts.iter().find(|&&part| part as usize >= self.labels) {
            let message = format!("scores: a box of part {part}, but there are {} parts", self.labels);
            return Err(crate::Error::invalid(message));
        }
        Ok(())
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Input, LEAST};
    use crate::Result;

    /// The scores, `[F, P]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together or a box's part is none.
    pub fn sum(input: &Input) -> Result<Vec<f64>> {
        input.check()?;
        let mut scores = vec![0.0; input.faces * input.labels];
        for (b, &part) in input.parts.iter().enumerate() {
            for at in input.shown.range(b) {
                let (face, _) = input.shown.values()[at];
                scores[face as usize * input.labels + part as usize] += input.weights[at];
            }
        }
        Ok(scores)
    }

    /// The label of every row of scores, `[F]`: the part of the largest score, of equal ones the first, or P, "unknown",
    /// where they sum up to less than 1e-4.
    ///
    /// QUIRK nan: a NaN is larger than any number, and no sum with one is small. Only what was asked to leave the scores
    /// of boxes undefined has any.
    pub fn labels(scores: &[f64], labels: usize) -> Vec<i32> {
        let label = |row: &[f64]| {
            if row.iter().sum::<f64>() < LEAST {
                return labels as i32;
            }
            let larger = |best: usize, p: usize| {
                let (best_score, score) = (row[best], row[p]);
                let wins = !best_score.is_nan() && (score.is_nan() || score > best_score);
                if wins { p } else { best }
            };
            (1..labels).fold(0, larger) as i32
        };
        scores.chunks_exact(labels.max(1)).map(label).collect()
    }

    /// The last face of every vertex, -1 = none, `[V]`.
    ///
    /// QUIRK last-face: a vertex is what the last of its faces is, whatever the others are.
    pub fn last_faces(faces: &[[u32; 3]], vertices: usize) -> Vec<i32> {
        let mut last = vec![-1; vertices];
        faces.iter().zip(0..).for_each(|(face, f)| face.iter().for_each(|&v| last[v as usize] = f));
        last
    }
}

/// On a CUDA device: bit for bit the reference's.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ScoresDims},
        },
        error::Result,
        ops::{expect_len, surface::tally::cuda::Tally},
    };

    /// Adds what boxes add to the scores, `[F, P]`. `weights`: `[E]`; `parts`: below P, `[B]`; `labels`: P.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if the
    /// driver refuses.
    pub fn sum(
        gpu: &Gpu,
        tally: &Tally,
        weights: &Buffer<f64>,
        parts: &Buffer<u32>,
        labels: usize,
        scores: &mut Buffer<f64>,
    ) -> Result<()> {
        let (boxes, faces) = (parts.len(), scores.len() / labels.max(1));
        expect_len("scores", "weights [E]", weights.len(), tally.pixels.len())?;
        expect_len("scores", "scores [F, P]", scores.len(), faces * labels)?;
        expect_len("scores", "counts [B, F]", tally.counts.len(), boxes * faces)?;
        let d = ScoresDims { boxes: boxes as u32, faces: faces as u32, labels: labels as u32 };
        kernels::scores_sum(gpu, blocks(faces, 256), &tally.counts, &tally.places, parts, weights, scores, d)
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, cpu::*};
    use crate::ragged::Ragged;

    #[test]
    fn boxes_of_one_part_add_up() {
        let shown = Ragged::from_iter([vec![(0, 1), (2, 1)], vec![(2, 1)], vec![(2, 5)]]);
        let (weights, parts) = ([1.0, 2.0, 4.0, 0.5], [1, 1, 0]);
        let input = Input { shown: &shown, weights: &weights, parts: &parts, faces: 3, labels: 2 };
        assert_eq!(sum(&input).unwrap(), [0.0, 1.0, 0.0, 0.0, 0.5, 6.0]);
        assert!(sum(&Input { labels: 1, ..input }).is_err());
        assert!(sum(&Input { weights: &weights[1..], ..input }).is_err());
    }

    #[test]
    fn labels_have_the_first_of_the_largest() {
        let nan = f64::NAN;
        let scores = [0.0, 9e-5, 2.0, 2.0, 1.0, 1e-4, 0.0, nan, nan, nan, nan, 5.0];
        assert_eq!(labels(&scores, 2), [2, 0, 0, 1, 0, 0]);
        assert_eq!(last_faces(&[[0, 1, 1], [1, 3, 0]], 4), [1, 1, -1, 1]);
    }
}
