//! CPU reference.

use super::{Input, Merge, Pieces, Result, Rules, groups};
use crate::ops::{
    basic::sum,
    lift::{extents::cpu::gap, membership, observe, overlaps::Overlaps},
};
use rayon::prelude::*;

/// Merges the superpoints of each part.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit.
pub fn instances(input: &Input, rules: &Rules) -> Result<Pieces> {
    let columns = input.check()?;
    let s = input.label.len();
    let overlaps = match rules.merge {
        Merge::Touching => None,
        Merge::Masks => Some(Overlaps::of_superpoints(input.observed, input.sets, &input.owners())),
    };
    let root = match &overlaps {
        None => touching(input, rules),
        Some(overlaps) => groups::roots(input, overlaps, rules.max_gap),
    };
    let mut pieces = vec![vec![]; s];
    for member in (0..s).filter(|&s| input.label[s] >= 0) {
        pieces[root[member] as usize].push(member);
    }
    let (mut points, mut confidence) = (vec![0; s], vec![0.0; s]);
    for (piece, (points, confidence)) in pieces
        .iter()
        .zip(points.iter_mut().zip(&mut confidence))
        .filter(|(piece, _)| keeps(input, piece, rules))
    {
        *points = piece.iter().map(|&s| input.size(s)).sum();
        *confidence = match &overlaps {
            _ if *points == 0 => 0.0,
            None => softmax(input, piece, columns) / *points as f64,
            Some(overlaps) => support(input, overlaps, piece),
        } as f32;
    }
    Ok(Pieces { root, points, confidence })
}

/// The softmax of its part, summed over the points of a piece.
fn softmax(input: &Input, piece: &[usize], columns: usize) -> f64 {
    let column = 1 + input.label[piece[0]] as usize;
    let mut sum = sum::Block::<f64>::new();
    piece
        .iter()
        .for_each(|&s| sum.add(s, input.size(s) as f64 * input.probabilities[s * columns + column] as f64));
    sum.total()
}

/// How well the boxes of its part bear a piece out.
fn support(input: &Input, overlaps: &Overlaps, piece: &[usize]) -> f64 {
    let (owners, views) = (input.owners(), input.views);
    let (mut shown, mut held) = (vec![0; views], vec![0; input.box_label.len()]);
    for &s in piece {
        (0..views).for_each(|k| shown[k] += input.observed.counts[s * views + k] as u64);
        for (set, count) in input.sets.counts(s) {
            set.iter().for_each(|&b| held[b as usize] += count as u64);
        }
    }
    let mut best = vec![0.0; views];
    for (b, &held) in held.iter().enumerate().filter(|&(_, &held)| held > 0) {
        let k = input.box_view[b] as usize;
        if shown[k] > 0 && input.box_label[b] as i32 == input.label[piece[0]] {
            let either = overlaps.points(&owners, b) + shown[k] - held;
            best[k] = f64::max(best[k], input.box_score[b] as f64 * held as f64 / either as f64);
        }
    }
    let most = shown.iter().max().copied().unwrap_or(0);
    let counted = || (0..views).filter(|&k| shown[k] > 0 && 3 * shown[k] >= most);
    match counted().count() {
        0 => 0.0,
        count => counted().fold(0.0, |sum, k| sum + best[k]) / count as f64,
    }
}

/// The first superpoint of what touches and lies in the same boxes.
fn touching(input: &Input, rules: &Rules) -> Vec<i32> {
    let s = input.label.len() as i32;
    let mut root: Vec<i32> = (0..s).map(|s| if input.label[s as usize] < 0 { -1 } else { s }).collect();
    for (a, near) in near(input, &shares(input), rules).iter().enumerate() {
        for &b in near {
            let (a, b) = (first(&mut root, a), first(&mut root, b));
            root[a.max(b)] = a.min(b) as i32;
        }
    }
    for s in 0..root.len() {
        if root[s] >= 0 {
            root[s] = first(&mut root, s) as i32;
        }
    }
    root
}

/// The share of each superpoint's visible points in each box, NaN where the box's view shows none, `[S, B]`.
pub fn shares(input: &Input) -> Vec<f64> {
    let boxes = input.box_label.len();
    let mut shares = vec![0.0; input.label.len() * boxes];
    for (s, row) in shares.chunks_exact_mut(boxes.max(1)).enumerate() {
        for (set, count) in input.sets.counts(s) {
            set.iter().for_each(|&b| row[b as usize] += count as f64);
        }
        for (share, &view) in row.iter_mut().zip(input.box_view) {
            // 0 / 0 is the NaN that says invisible.
            *share /= input.observed.counts[s * input.views + view as usize] as f64;
        }
    }
    shares
}

/// For every superpoint the later ones that belong to it.
fn near(input: &Input, shares: &[f64], rules: &Rules) -> Vec<Vec<usize>> {
    let (s, boxes) = (input.label.len(), input.box_label.len());
    let row = |s: usize| &shares[s * boxes..][..boxes];
    let belongs = |a: usize, b: usize| {
        let (big, small) = (input.size(a).max(input.size(b)) as f64, input.size(a).min(input.size(b)) as f64);
        input.label[a] == input.label[b]
            && gap(&input.extents[a], &input.extents[b]) < rules.max_gap
            && big / small < rules.max_size_ratio
            && distance(row(a), row(b), input.box_label, input.label[a] as u32) < rules.max_distance
    };
    let later = |a: usize| match input.label[a] < 0 {
        true => vec![],
        false => (a + 1..s).filter(|&b| belongs(a, b)).collect(),
    };
    (0..s).into_par_iter().map(later).collect()
}

/// How much the shares of two superpoints in the boxes of a part differ.
pub fn distance(a: &[f64], b: &[f64], box_label: &[u32], part: u32) -> f64 {
    let [mut of_a, mut of_b, mut differences] = [(); 3].map(|_| sum::Warp::<f64>::new());
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        if box_label[i] == part && !a.is_nan() && !b.is_nan() {
            of_a.add(i, a);
            of_b.add(i, b);
            differences.add(i, (a - b).abs());
        }
    }
    let larger = of_a.total().max(of_b.total());
    if larger < 1e-3 { 1.0 } else { differences.total() / larger }
}

/// Whether a box of its part confirms a piece.
fn keeps(input: &Input, piece: &[usize], rules: &Rules) -> bool {
    let Some(&first) = piece.first() else { return false };
    let extent = |k: usize| {
        let of_superpoint = piece.iter().map(|&s| input.observed.extents[s * input.views + k]);
        of_superpoint.fold(observe::NOWHERE, observe::union)
    };
    let extents: Vec<_> = (0..input.views).map(extent).collect();
    (0..input.box_label.len()).any(|b| {
        input.box_label[b] as i32 == input.label[first]
            && membership::iou(extents[input.box_view[b] as usize], input.rects[b]) > rules.min_box_iou
    })
}

/// The first of the set that `s` is in, halving the path to it.
fn first(root: &mut [i32], mut s: usize) -> usize {
    while root[s] as usize != s {
        root[s] = root[root[s] as usize];
        s = root[s] as usize;
    }
    s
}
