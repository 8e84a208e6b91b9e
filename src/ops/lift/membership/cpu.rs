//! CPU reference.

use super::{Entry, Input, MIN_IOU, Ragged, Sets, iou};
use crate::error::Result;
use rayon::prelude::*;
use std::cmp::Ordering;

/// Finds and counts the box sets of every superpoint's visible points.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the slices' lengths do not fit together.
pub fn membership(input: &Input) -> Result<Sets> {
    input.check()?;
    let of_superpoint: Vec<Vec<Found>> =
        (0..input.superpoints.len()).into_par_iter().map(|s| find(input, s)).collect();

    let mut distinct: Vec<(u32, &[u64])> =
        of_superpoint.iter().flatten().map(|found| (found.view, &found.bits[..])).collect();
    let order = |a: &(u32, &[u64]), b: &(u32, &[u64])| a.0.cmp(&b.0).then_with(|| numerically(a.1, b.1));
    distinct.par_sort_unstable_by(order);
    distinct.dedup();
    let mut boxes = Ragged::default();
    for (view, bits) in &distinct {
        let of_view = input.of_view.row(*view as usize).iter().enumerate();
        boxes.push(of_view.filter(|(i, _)| bits[i / 64] >> (i % 64) & 1 != 0).map(|(_, &b)| b));
    }
    let entry = |Found { view, bits, count }: &Found| {
        let set = distinct.binary_search_by(|set| order(set, &(*view, bits))).expect("collected above");
        Entry { set: set as u32, count: *count }
    };
    let entries = of_superpoint.iter().map(|found| found.iter().map(entry)).collect();
    Ok(Sets { boxes, entries })
}

/// The first word is the lowest.
fn numerically(a: &[u64], b: &[u64]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// A set of boxes, as bits over the boxes of its view, and how many points lie in it.
struct Found {
    view: u32,
    bits: Vec<u64>,
    count: u32,
}

/// The sets of one superpoint, views ascending, bits ascending within a view.
fn find(input: &Input, s: usize) -> Vec<Found> {
    let (n, views) = (input.points(), input.of_view.len());
    let mut found = vec![];
    let (mut at, mut bits) = (vec![], vec![]);
    for view in 0..views {
        let boxes = input.of_view.row(view);
        if input.observed.counts[s * views + view] < 2 || boxes.is_empty() {
            continue;
        }
        let extent = input.observed.extents[s * views + view];
        at.clear();
        let seen = input.superpoints.row(s).iter().filter(|&&p| input.visible[view * n + p as usize]);
        at.extend(seen.map(|&p| input.screen[view * n + p as usize]));
        let words = boxes.len().div_ceil(64);
        bits.clear();
        bits.resize(at.len() * words, 0u64);
        for (i, &b) in boxes.iter().enumerate() {
            if iou(extent, input.rects[b as usize]) > MIN_IOU {
                for (&at, row) in at.iter().zip(bits.chunks_exact_mut(words)) {
                    let inside = input.region.holds(b as usize, input.rects[b as usize], at, input.side);
                    row[i / 64] |= (inside as u64) << (i % 64);
                }
            }
        }
        let mut rows: Vec<&[u64]> =
            bits.chunks_exact(words).filter(|row| row.iter().any(|&w| w != 0)).collect();
        rows.sort_unstable_by(|a, b| numerically(a, b));
        for run in rows.chunk_by(|a, b| a == b) {
            found.push(Found { view: view as u32, bits: run[0].to_vec(), count: run.len() as u32 });
        }
    }
    found
}
