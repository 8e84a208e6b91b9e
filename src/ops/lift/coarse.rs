//! Superpoints that are coarser than the masks: a knob in the middle of a door.
//!
//! A group of masks ([`overlaps`](super::overlaps)) frees points from superpoints of another label if half of its masks or more,
//! in two views or more, lie mostly in such. A point is freed if more than half of the views that show it, and two or more,
//! hold it by a mask of the group. Of several groups it follows the one that most views hold it by. A mask of several
//! objects frees nothing.

use super::{
    evidence::{Evidence, Input},
    overlaps::{Overlaps, Owners},
};
use crate::ragged::Ragged;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Freed points that make a superpoint, at least.
const LEAST: usize = 3;
/// Views that must agree.
const VIEWS: usize = 2;

/// CPU reference.
pub mod cpu {
    use super::*;

    /// The piece of every point, `[N]`: each lies within one superpoint. `evidence`: the counts of the same input.
    pub fn free(input: &Input, evidence: &Evidence, superpoint_of: &[u32]) -> Vec<u32> {
        let Input { visible, of_view, box_label, labels, .. } = *input;
        let (n, views) = (superpoint_of.len(), of_view.len());
        let mut view = vec![0; box_label.len()];
        (0..views).for_each(|k| of_view.row(k).iter().for_each(|&b| view[b as usize] = k as u32));
        let held: Vec<Vec<u32>> = (0..n).into_par_iter().map(|p| holders(input, p)).collect();
        let held: Ragged<u32> = held.into_iter().collect();
        let owners = Owners { label: box_label, view: &view, views };
        let group = Overlaps::of_points(&held, visible, &owners).groups(&owners);

        let label_of = winners(evidence, superpoint_of, labels);
        let foreign = |p: usize, b: u32| label_of[superpoint_of[p] as usize] != Some(box_label[b as usize]);
        // Of every mask its points, and those in superpoints of another label.
        let mut points = vec![[0u32; 2]; box_label.len()];
        for p in 0..n {
            for &b in held.row(p) {
                points[b as usize][0] += 1;
                points[b as usize][1] += foreign(p, b) as u32;
            }
        }
        // Of every group its masks, those that lie mostly in such superpoints, and their views.
        let mut frees: BTreeMap<i32, (usize, usize, Vec<u32>)> = BTreeMap::new();
        for (b, [all, foreign]) in points.into_iter().enumerate().filter(|(b, _)| group[*b] >= 0) {
            let (masks, coarse, seen) = frees.entry(group[b]).or_default();
            *masks += 1;
            if 2 * foreign > all {
                *coarse += 1;
                seen.push(view[b]);
            }
        }
        frees.retain(|_, (masks, coarse, seen)| {
            seen.sort_unstable();
            seen.dedup();
            2 * *coarse >= *masks && seen.len() >= VIEWS
        });
        let claim = |p: usize| {
            let mut votes: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
            for &b in held.row(p).iter().filter(|&&b| foreign(p, b) && frees.contains_key(&group[b as usize]))
            {
                let seen = votes.entry(group[b as usize]).or_default();
                if !seen.contains(&view[b as usize]) {
                    seen.push(view[b as usize]);
                }
            }
            let won = |(group, seen): (i32, Vec<u32>)| (seen.len(), std::cmp::Reverse(group));
            let best = votes.into_iter().map(won).max()?;
            (best.0 >= VIEWS && 2 * best.0 > evidence.seen[p] as usize).then_some(best.1.0)
        };
        let claims: Vec<Option<i32>> = (0..n).into_par_iter().map(claim).collect();
        let mut freed: BTreeMap<(i32, u32), Vec<usize>> = BTreeMap::new();
        for (p, claim) in claims.into_iter().enumerate() {
            if let Some(group) = claim {
                freed.entry((group, superpoint_of[p])).or_default().push(p);
            }
        }
        let mut pieces = superpoint_of.to_vec();
        let first = superpoint_of.iter().max().map_or(0, |&last| last + 1);
        for (piece, points) in (first..).zip(freed.into_values().filter(|points| points.len() >= LEAST)) {
            points.into_iter().for_each(|p| pieces[p] = piece);
        }
        pieces
    }

    /// The boxes that hold a point where their view shows it, ascending.
    fn holders(input: &Input, p: usize) -> Vec<u32> {
        let Input { visible, screen, of_view, rects, region, side, .. } = *input;
        let n = visible.len() / of_view.len().max(1);
        let shown = (0..of_view.len()).filter(|&k| visible[k * n + p]);
        let holding = shown.flat_map(|k| {
            let holds = move |b: &u32| region.holds(*b as usize, rects[*b as usize], screen[k * n + p], side);
            of_view.row(k).iter().copied().filter(holds)
        });
        let mut boxes: Vec<u32> = holding.collect();
        boxes.sort_unstable();
        boxes
    }

    /// The label that most of what the views show of each superpoint has.
    fn winners(evidence: &Evidence, superpoint_of: &[u32], labels: usize) -> Vec<Option<u32>> {
        let superpoints = superpoint_of.iter().max().map_or(0, |&last| last as usize + 1);
        let (mut seen, mut held) = (vec![0u64; superpoints], vec![0u64; superpoints * labels]);
        for (p, &s) in superpoint_of.iter().enumerate() {
            seen[s as usize] += evidence.seen[p] as u64;
            for (l, &count) in evidence.held[p * labels..][..labels].iter().enumerate() {
                held[s as usize * labels + l] += count as u64;
            }
        }
        let winner = |(s, held): (usize, &[u64])| {
            let most = (0..labels).max_by_key(|&l| (held[l], std::cmp::Reverse(l)))?;
            (2 * held[most] > seen[s]).then_some(most as u32)
        };
        held.chunks_exact(labels.max(1)).enumerate().map(winner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::lift::{evidence, membership::Region};

    /// A row of twelve points, each a pixel of three views; a door's mask holds all of them, a knob's the points 4 to 7.
    fn freed(knobs: &[f32], label: u32) -> Vec<u32> {
        const N: usize = 12;
        let door = [-1.0, -1.0, N as f32, 1.0];
        let mut rects = vec![door; 3];
        let mut of_view = vec![vec![0], vec![1], vec![2]];
        for (view, &left) in knobs.iter().enumerate() {
            of_view[view].push(rects.len() as u32);
            rects.push([left, -1.0, left + 4.0, 1.0]);
        }
        let mut box_label = vec![0; 3];
        box_label.resize(rects.len(), label);
        let screen: Vec<[f32; 2]> = (0..3 * N).map(|at| [(at % N) as f32, 0.0]).collect();
        let input = Input {
            visible: &[true; 3 * N],
            screen: &screen,
            of_view: &of_view.into_iter().collect(),
            rects: &rects,
            box_label: &box_label,
            region: Region::Boxes,
            side: 100,
            labels: 2,
        };
        let evidence = evidence::cpu::evidence(&input).unwrap();
        cpu::free(&input, &evidence, &[0; N])
    }

    #[test]
    fn a_knob_is_freed_from_its_door() {
        let pieces = freed(&[3.5, 3.5, 3.5], 1);
        assert_eq!(pieces, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
        assert_eq!(freed(&[3.5, 3.5], 1), pieces, "two views of three are more than a half");
    }

    #[test]
    fn what_one_view_says_or_what_has_the_label_frees_nothing() {
        assert_eq!(freed(&[3.5], 1), [0; 12]);
        assert_eq!(freed(&[3.5, 3.5, 3.5], 0), [0; 12], "the door's own");
        assert_eq!(freed(&[-0.5, 3.5, 7.5], 1), [0; 12], "three places");
        assert_eq!(freed(&[], 1), [0; 12]);
    }
}
