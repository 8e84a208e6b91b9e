//! Targets: what the labels of the superpoints should be, for training and for the ceiling of a partition.

use crate::{
    error::{Error, Result},
    stages::{labels::NONE, superpoints::Superpoints},
};

/// How many points of each superpoint have each label in the ground truth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Points per superpoint and label, column 0 = none, `[S, L + 1]`.
    pub counts: Vec<u32>,
    /// The most frequent label of every superpoint, or [`NONE`], `[S]`.
    /// QUIRK smallest tie: of equally frequent labels the smallest wins, [`NONE`] being smaller than all.
    pub labels: Vec<i32>,
    /// Points per superpoint, `[S]`.
    pub sizes: Vec<u32>,
}

impl Targets {
    /// Counts the labels. `truth`: label of every point, below L, or [`NONE`], `[N]`; `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the truth does not fit the superpoints or holds another value.
    pub fn count(superpoints: &Superpoints, truth: &[i32], labels: usize) -> Result<Targets> {
        check_labels("targets: the truth", truth, superpoints.of_point.len(), labels)?;
        let columns = labels + 1;
        let mut counts = vec![0; superpoints.len() * columns];
        for (&s, &label) in superpoints.of_point.iter().zip(truth) {
            counts[s as usize * columns + (label + 1) as usize] += 1;
        }
        Ok(Targets::from_counts(counts, columns))
    }

    /// What follows from the counts, `[S, columns]`.
    pub(super) fn from_counts(counts: Vec<u32>, columns: usize) -> Targets {
        let most = |row: &[u32]| (0..columns).rev().max_by_key(|&j| row[j]).map_or(NONE, |j| j as i32 - 1);
        let labels = counts.chunks_exact(columns).map(most).collect();
        let sizes =
            counts.chunks_exact(columns).map(|row| row.iter().fold(0, |sum: u32, &c| sum.saturating_add(c)));
        Targets { labels, sizes: sizes.collect(), counts }
    }

    /// The column of every superpoint's label, `[S]`.
    pub fn columns(&self) -> Vec<u32> {
        self.labels.iter().map(|&label| (label + 1) as u32).collect()
    }

    /// The share of each label in each superpoint, `[S, L + 1]`.
    pub fn shares(&self) -> Vec<f64> {
        let columns = self.counts.len() / self.sizes.len().max(1);
        let row = |s: usize| {
            self.counts[s * columns..][..columns].iter().map(move |&c| c as f64 / self.sizes[s] as f64)
        };
        (0..self.sizes.len()).flat_map(row).collect()
    }
}

/// Checks point labels: N of them, each below L or [`NONE`].
pub(super) fn check_labels(what: &str, values: &[i32], points: usize, labels: usize) -> Result<()> {
    if values.len() != points {
        return Err(Error::invalid(format!("{what} has {} labels for {points} points", values.len())));
    }
    match values.iter().position(|&v| v < NONE || v >= labels as i32) {
        Some(i) => Err(Error::invalid(format!(
            "{what} gives point {i} label {}; labels are -1 (none) or below {labels}",
            values[i]
        ))),
        None => Ok(()),
    }
}
