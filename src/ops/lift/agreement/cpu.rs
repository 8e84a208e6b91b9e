//! CPU reference.

use super::{Heard, Input, LEAST, ROUNDS, UNIT};
use crate::{
    error::Result,
    ops::{expect_len, lift::membership::Entry},
};
use rayon::prelude::*;

/// Takes the vote of the boxes that are not believed: their `weights` `[B]` become 0.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the slices' lengths do not fit together.
pub fn silence(input: &Input, weights: &mut [f32]) -> Result<()> {
    input.check()?;
    expect_len("agreement", "weights [B]", weights.len(), input.box_label.len())?;
    let Input { observed, views, box_view, box_label, box_score, labels, .. } = *input;
    let mut shown = vec![0u64; views];
    for seen in observed.chunks_exact(views.max(1)) {
        shown.iter_mut().zip(seen).for_each(|(shown, &seen)| *shown += u64::from(seen));
    }
    let looking = shown.iter().filter(|&&shown| shown > 0).count().max(1);
    let mut belief = vec![UNIT; box_label.len()];
    for _ in 0..ROUNDS {
        let heard = tell(input, &belief);
        let mut best = vec![0; views * labels];
        for ((&view, &label), &belief) in box_view.iter().zip(box_label).zip(&belief) {
            let best = &mut best[view as usize * labels + label as usize];
            *best = belief.max(*best);
        }
        let spread = |label: u32| {
            let sum: u64 = best.iter().skip(label as usize).step_by(labels).map(|&q| u64::from(q)).sum();
            sum as f64 / (looking as f64 * f64::from(UNIT))
        };
        let of = |b: usize| {
            let (view, label) = (box_view[b] as usize, box_label[b]);
            heard[b].belief(box_score[b], shown[view], spread(label))
        };
        belief = (0..belief.len()).map(of).collect();
    }
    weights
        .iter_mut()
        .zip(belief)
        .filter(|(_, belief)| *belief <= LEAST)
        .for_each(|(weight, _)| *weight = 0.0);
    Ok(())
}

/// What the superpoints tell their boxes.
fn tell(input: &Input, belief: &[u32]) -> Vec<Heard> {
    let Input { sets, observed, views, box_view, box_label, labels, .. } = *input;
    let view_of = |set: u32| box_view[sets.boxes.row(set as usize)[0] as usize] as usize;
    let nothing = || vec![Heard::default(); belief.len()];
    let each = |mut heard: Vec<Heard>, s: usize| {
        let (entries, seen) = (sets.entries.row(s), &observed[s * views..][..views]);
        let all_seen: u64 = seen.iter().map(|&n| u64::from(n)).sum();
        let claim = |entries: &[Entry], claims: &mut [u64]| {
            for entry in entries {
                let same = |a: &u32, b: &u32| box_label[*a as usize] == box_label[*b as usize];
                for of_label in sets.boxes.row(entry.set as usize).chunk_by(same) {
                    let largest = of_label.iter().map(|&b| belief[b as usize]).max().unwrap_or(0);
                    claims[box_label[of_label[0] as usize] as usize] +=
                        u64::from(entry.count) * u64::from(largest);
                }
            }
        };
        let mut all = vec![0u64; labels];
        claim(entries, &mut all);
        for of_view in entries.chunk_by(|a, b| view_of(a.set) == view_of(b.set)) {
            let others = all_seen - u64::from(seen[view_of(of_view[0].set)]);
            let mut told = vec![0u64; labels];
            if others > 0 {
                claim(of_view, &mut told);
                told.iter_mut().zip(&all).for_each(|(told, all)| *told = (all - *told) / others);
            }
            let any: u64 = told.iter().sum();
            for entry in of_view {
                let count = u64::from(entry.count);
                for &b in sets.boxes.row(entry.set as usize) {
                    let same = told[box_label[b as usize] as usize];
                    heard[b as usize] += Heard {
                        points: count,
                        known: if others > 0 { count } else { 0 },
                        same: count * same,
                        other: count * (any - same),
                    };
                }
            }
        }
        heard
    };
    let add = |mut a: Vec<Heard>, b: Vec<Heard>| {
        a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        a
    };
    (0..sets.entries.len()).into_par_iter().fold(nothing, each).reduce(nothing, add)
}
