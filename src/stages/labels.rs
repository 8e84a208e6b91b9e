//! Labels: one part, or none, for every superpoint and point.

use super::{scores::Scores, superpoints::Superpoints};
use crate::{
    buffer::Buf,
    error::{Error, Result},
};
use serde::{Deserialize, Serialize};

/// The label of what is no part.
pub const NONE: i32 = -1;

/// Names of parts that are small and win over the larger parts that they sit on.
pub const SMALL_PARTS: [&str; 10] =
    ["handle", "button", "wheel", "knob", "switch", "bulb", "shaft", "touchpad", "camera", "screw"];

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

/// How to label.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The rule.
    pub rule: Rule,
}

/// The semantic segmentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// Part of every superpoint, below L, or [`NONE`], `[S]`.
    pub of_superpoint: Vec<i32>,
    /// Part of every point, or [`NONE`], `[N]`.
    pub of_point: Vec<i32>,
}

impl Labels {
    /// Labels every superpoint. `parts`: the names of the L parts.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the names or the superpoints do not fit the scores.
    pub fn assign(
        superpoints: &Superpoints,
        scores: &Scores,
        parts: &[impl AsRef<str>],
        options: &Options,
    ) -> Result<Labels> {
        if superpoints.len() != scores.len() {
            let (found, wanted) = (superpoints.len(), scores.len());
            return Err(Error::invalid(format!("labels: {found} superpoints for the scores of {wanted}")));
        }
        let of_superpoint = of_superpoints(scores, parts, options)?;
        let of_point = superpoints.of_point.iter().map(|&s| of_superpoint[s as usize]).collect();
        Ok(Labels { of_superpoint, of_point })
    }
}

/// The label of every superpoint, below L, or [`NONE`], `[S]`. `parts`: the names of the L parts.
///
/// # Errors
/// [`Error::Invalid`] if the names do not fit the scores.
pub fn of_superpoints(scores: &Scores, parts: &[impl AsRef<str>], options: &Options) -> Result<Vec<i32>> {
    if parts.len() != scores.labels {
        let (found, wanted) = (parts.len(), scores.labels);
        return Err(Error::invalid(format!("labels: {found} part names for scores of {wanted} parts")));
    }
    let small: Vec<bool> = parts.iter().map(|name| SMALL_PARTS.contains(&name.as_ref())).collect();
    let rows = |values| Ok::<_, Error>(Buf::host(values)?.chunks_exact(scores.labels + 1));
    let rows = rows(&scores.votes)?.zip(rows(&scores.probabilities)?);
    let label = |(&valid, (votes, probabilities)): (&u8, (&[f32], &[f32]))| match (valid, options.rule) {
        (0, _) => NONE,
        // The authors subtract 1e-4 from the threshold.
        (_, Rule::Threshold) => small_first(&probabilities[1..], &small, |p| p >= 0.5 - 1e-4),
        (_, Rule::Votes) => small_first(&votes[1..], &small, |v| v > votes[0]),
        (_, Rule::ArgMax) => last_largest(probabilities) as i32 - 1,
    };
    Ok(scores.valid.host()?.iter().zip(rows).map(label).collect())
}

/// The last small part that passes, else the first largest part if it passes.
fn small_first(scores: &[f32], small: &[bool], passes: impl Fn(f32) -> bool) -> i32 {
    if let Some(part) = (0..scores.len()).rev().find(|&j| small[j] && passes(scores[j])) {
        return part as i32;
    }
    let largest = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    largest.filter(|&j| passes(scores[j])).map_or(NONE, |j| j as i32)
}

/// QUIRK last tie: without the threshold the authors take the last of equal columns.
fn last_largest(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(votes: &[f32], probabilities: &[f32], parts: &[&str], rule: Rule) -> i32 {
        let scores = Scores {
            labels: parts.len(),
            votes: votes.to_vec().into(),
            probabilities: probabilities.to_vec().into(),
            valid: vec![1].into(),
        };
        let superpoints = Superpoints::from_labels(&[0, 0]).unwrap();
        let labels = Labels::assign(&superpoints, &scores, parts, &Options { rule }).unwrap();
        assert_eq!(labels.of_point, [labels.of_superpoint[0]; 2]);
        labels.of_superpoint[0]
    }

    #[test]
    fn the_threshold_gives_way_by_a_little() {
        let with = |p| label(&[0.0; 3], &[1.0 - p, p, 0.0], &["leg", "seat"], Rule::Threshold);
        assert_eq!((with(0.49995), with(0.4998)), (0, NONE));
    }

    #[test]
    fn small_parts_come_first() {
        let parts = ["door", "handle", "knob", "drawer"];
        let votes = [5.0, 9.0, 6.0, 6.0, 8.0];
        assert_eq!(label(&votes, &[0.2; 5], &parts, Rule::Votes), 2);
        assert_eq!(label(&[7.0, 9.0, 6.0, 6.0, 9.0], &[0.2; 5], &parts, Rule::Votes), 0, "the first largest");
        assert_eq!(label(&[9.0; 5], &[0.2; 5], &parts, Rule::Votes), NONE, "more than null");
    }

    #[test]
    fn the_last_of_equal_columns_wins_without_threshold() {
        assert_eq!(label(&[0.0; 4], &[0.3, 0.35, 0.35, 0.0], &["a", "b", "c"], Rule::ArgMax), 1);
        assert_eq!(label(&[0.0; 3], &[0.5, 0.25, 0.25], &["a", "b"], Rule::ArgMax), NONE);
    }

    #[test]
    fn what_no_box_holds_has_no_label() {
        let scores = Scores {
            labels: 1,
            votes: vec![0.0, 9.0].into(),
            probabilities: vec![0.0, 1.0].into(),
            valid: vec![0].into(),
        };
        let superpoints = Superpoints::from_labels(&[0]).unwrap();
        for rule in [Rule::Threshold, Rule::ArgMax, Rule::Votes] {
            let labels = Labels::assign(&superpoints, &scores, &["seat"], &Options { rule }).unwrap();
            assert_eq!(labels.of_point, [NONE]);
        }
        assert!(Labels::assign(&superpoints, &scores, &["a", "b"], &Options::default()).is_err());
    }
}
