//! Labels: the part that the votes of every superpoint name, or none.
//!
//! A superpoint that is not valid has none. Of the others, in the order of [`Rule`]:
//!
//! - threshold: part j passes if `p[s, 1 + j] >= 0.5 - 1e-4`;
//! - votes: part j passes if `v[s, 1 + j] > v[s, 0]`;
//! - in both the last small part that passes wins, else the first of the largest parts if it passes;
//! - arg max: the last of the largest columns of p, null included (QUIRK last tie).

use crate::error::Result;
use crate::ops::expect_len;
use serde::{Deserialize, Serialize};

/// The label of what is no part.
pub const NONE: i32 = -1;

/// The least softmax that passes: the authors subtract 1e-4 from a half.
pub const THRESHOLD: f32 = 0.5 - 1e-4;

/// How a label follows from the scores of a superpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Some part's softmax must reach 0.5; small parts first (the paper's reported rule, for learned weights).
    Threshold,
    /// The largest softmax, null included; the last column wins ties.
    ArgMax,
    /// Some part must have more votes than null; small parts first. With constant weights and a null weight of half of
    /// them this is PartSLIP's rule: more than half of the visible points lie in a box of the part.
    #[default]
    Votes,
}

/// What the labels follow from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Weighted votes, column 0 = null, `[S, L + 1]`.
    pub votes: &'a [f32],
    /// Their softmax, `[S, L + 1]`.
    pub probabilities: &'a [f32],
    /// Whether the superpoint may have a label: not 0, `[S]`.
    pub valid: &'a [u8],
    /// Whether the part is small and wins over the larger ones that it sits on: not 0, `[L]`.
    pub small: &'a [u8],
}

/// CPU reference.
pub mod cpu {
    use super::{Input, NONE, Result, Rule, THRESHOLD, expect_len};

    /// The label of every superpoint, below L, or [`NONE`], `[S]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit.
    pub fn labels(input: &Input, rule: Rule) -> Result<Vec<i32>> {
        let Input { votes, probabilities, valid, small } = *input;
        let columns = small.len() + 1;
        expect_len("labels", "votes [S, L + 1]", votes.len(), valid.len() * columns)?;
        expect_len("labels", "probabilities [S, L + 1]", probabilities.len(), votes.len())?;
        let rows = votes.chunks_exact(columns).zip(probabilities.chunks_exact(columns));
        let label = |(&valid, (votes, probabilities)): (&u8, (&[f32], &[f32]))| match (valid, rule) {
            (0, _) => NONE,
            (_, Rule::Threshold) => small_first(&probabilities[1..], small, |p| p >= THRESHOLD),
            (_, Rule::Votes) => small_first(&votes[1..], small, |v| v > votes[0]),
            (_, Rule::ArgMax) => last_largest(probabilities) as i32 - 1,
        };
        Ok(valid.iter().zip(rows).map(label).collect())
    }

    fn small_first(scores: &[f32], small: &[u8], passes: impl Fn(f32) -> bool) -> i32 {
        if let Some(part) = (0..scores.len()).rev().find(|&j| small[j] != 0 && passes(scores[j])) {
            return part as i32;
        }
        let largest = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        largest.filter(|&j| passes(scores[j])).map_or(NONE, |j| j as i32)
    }

    fn last_largest(scores: &[f32]) -> usize {
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Result, Rule, THRESHOLD, expect_len};
    use crate::device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, LabelsDims, LabelsSpreadDims},
    };

    /// What the labels follow from, as [`Input`](super::Input).
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// `[S, L + 1]`.
        pub votes: &'a Buffer<f32>,
        /// `[S, L + 1]`.
        pub probabilities: &'a Buffer<f32>,
        /// `[S]`.
        pub valid: &'a Buffer<u8>,
        /// `[L]`.
        pub small: &'a Buffer<u8>,
    }

    /// The label of every superpoint, `[S]`: those of the reference.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn labels(gpu: &Gpu, input: &Input, rule: Rule) -> Result<Buffer<i32>> {
        let Input { votes, probabilities, valid, small } = *input;
        let (superpoints, labels) = (valid.len(), small.len());
        expect_len("labels", "votes [S, L + 1]", votes.len(), superpoints * (labels + 1))?;
        expect_len("labels", "probabilities [S, L + 1]", probabilities.len(), votes.len())?;
        let d = LabelsDims {
            superpoints: superpoints as u32,
            labels: labels as u32,
            rule: match rule {
                Rule::Threshold => 0,
                Rule::ArgMax => 1,
                Rule::Votes => 2,
            },
            threshold: THRESHOLD,
        };
        let mut label = gpu.alloc(superpoints)?;
        kernels::labels(gpu, blocks(superpoints, 128), votes, probabilities, valid, small, &mut label, d)?;
        Ok(label)
    }

    /// What every point has from its superpoint, `[N]`. `superpoint_of`: below S, `[N]`; `of_superpoint`: `[S]`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn spread(
        gpu: &Gpu,
        superpoint_of: &Buffer<u32>,
        of_superpoint: &Buffer<i32>,
    ) -> Result<Buffer<i32>> {
        let n = superpoint_of.len();
        let mut of_point = gpu.alloc(n)?;
        let d = LabelsSpreadDims { points: n as u32 };
        kernels::labels_spread(gpu, blocks(n, 256), superpoint_of, of_superpoint, &mut of_point, d)?;
        Ok(of_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(votes: &[f32], probabilities: &[f32], small: &[u8], rule: Rule) -> i32 {
        cpu::labels(&Input { votes, probabilities, valid: &[1], small }, rule).unwrap()[0]
    }

    #[test]
    fn the_threshold_gives_way_by_a_little() {
        let with = |p| label(&[0.0; 3], &[1.0 - p, p, 0.0], &[0, 0], Rule::Threshold);
        assert_eq!((with(0.49995), with(0.4998)), (0, NONE));
    }

    #[test]
    fn small_parts_come_first() {
        let (small, p) = ([0, 1, 1, 0], [0.2; 5]);
        assert_eq!(label(&[5.0, 9.0, 6.0, 6.0, 8.0], &p, &small, Rule::Votes), 2);
        assert_eq!(label(&[7.0, 9.0, 6.0, 6.0, 9.0], &p, &small, Rule::Votes), 0, "the first largest");
        assert_eq!(label(&[9.0; 5], &p, &small, Rule::Votes), NONE, "more than null");
    }

    #[test]
    fn the_last_of_equal_columns_wins_without_threshold() {
        assert_eq!(label(&[0.0; 4], &[0.3, 0.35, 0.35, 0.0], &[0; 3], Rule::ArgMax), 1);
        assert_eq!(label(&[0.0; 3], &[0.5, 0.25, 0.25], &[0; 2], Rule::ArgMax), NONE);
    }

    #[test]
    fn what_no_box_holds_has_no_label() {
        let input = Input { votes: &[0.0, 9.0], probabilities: &[0.0, 1.0], valid: &[0], small: &[0] };
        for rule in [Rule::Threshold, Rule::ArgMax, Rule::Votes] {
            assert_eq!(cpu::labels(&input, rule).unwrap(), [NONE]);
        }
        assert!(cpu::labels(&Input { small: &[0, 0], ..input }, Rule::Votes).is_err());
    }
}
