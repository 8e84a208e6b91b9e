//! Instances by groups of masks: a superpoint is of the object whose masks hold most of its points.

use super::Input;
use crate::ops::lift::{
    extents::{Extent, cpu::gap},
    overlaps::Overlaps,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// What the pieces follow from once the masks are grouped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grouped<'a> {
    /// Part of every superpoint, negative = none, `[S]`.
    pub label: &'a [i32],
    /// The 3D bounding box of every superpoint, `[S]`.
    pub extents: &'a [Extent],
    /// The group of its part that holds most of every superpoint's visible points, -1 = none, `[S]`.
    pub holder: &'a [i32],
    /// The group of every box, named by its first box, -1 = none, `[B]`.
    pub group: &'a [i32],
    /// The view of every box, `[B]`.
    pub box_view: &'a [u32],
}

/// The first superpoint of every superpoint's piece, -1 without a part, `[S]`.
pub(super) fn roots(input: &Input, overlaps: &Overlaps, max_gap: f32) -> Vec<i32> {
    let Input { label, extents, box_view, .. } = *input;
    let group = overlaps.groups(&input.owners());
    let holder: Vec<i32> = (0..label.len()).map(|s| holder(input, &group, s)).collect();
    Grouped { label, extents, holder: &holder, group: &group, box_view }.roots(max_gap)
}

impl Grouped<'_> {
    /// As [`roots`].
    ///
    /// Objects of one part that touch, and that no view shows both of, are one: the two sides of a board. What no mask of its
    /// part holds is of the nearest object that it touches, or alone.
    pub fn roots(&self, max_gap: f32) -> Vec<i32> {
        let Grouped { label, extents, holder, group, box_view } = *self;
        let parted: Vec<usize> = (0..label.len()).filter(|&s| label[s] >= 0).collect();
        let mut held: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        let mut left = vec![];
        for &s in &parted {
            match holder[s] {
                -1 => left.push(s),
                group => held.entry(group).or_default().push(s),
            }
        }
        let touch = |s: usize, t: usize| gap(&extents[s], &extents[t]) < max_gap;
        let mut objects = Vec::<Object>::new();
        for (first, members) in held {
            let views = (0..group.len()).filter(|&b| group[b] == first).map(|b| box_view[b]).collect();
            let mut object = Object { label: label[members[0]], views, members };
            for other in &mut objects {
                if object.label == other.label
                    && !object.views.iter().any(|view| other.views.contains(view))
                    && object.members.iter().any(|&s| other.members.iter().any(|&t| touch(s, t)))
                {
                    object.views.append(&mut other.views);
                    object.members.append(&mut other.members);
                }
            }
            objects.retain(|object| !object.members.is_empty());
            objects.push(object);
        }
        let mut of = vec![None; label.len()];
        for (i, object) in objects.iter().enumerate() {
            object.members.iter().for_each(|&s| of[s] = Some(i));
        }
        for s in left {
            let near = parted.iter().filter(|&&t| label[t] == label[s] && touch(s, t));
            let near = near.filter_map(|&t| Some((gap(&extents[s], &extents[t]), of[t]?)));
            match near.min_by(|a, b| a.0.total_cmp(&b.0)) {
                Some((_, object)) => objects[object].members.push(s),
                None => objects.push(Object { label: label[s], views: vec![], members: vec![s] }),
            }
        }
        let mut roots = vec![-1; label.len()];
        for Object { members, .. } in objects {
            let first = members.iter().min().map_or(-1, |&s| s as i32);
            members.into_iter().for_each(|s| roots[s] = first);
        }
        roots
    }
}

struct Object {
    label: i32,
    /// Those that have a mask of it.
    views: Vec<u32>,
    members: Vec<usize>,
}

/// The group of the superpoint's part that holds most of its visible points, the first of equals, -1 = none.
fn holder(input: &Input, group: &[i32], s: usize) -> i32 {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    let of_part =
        |b: &&u32| input.box_label[**b as usize] as i32 == input.label[s] && group[**b as usize] >= 0;
    for (set, count) in input.sets.counts(s).filter(|&(_, count)| count > 0) {
        for &b in set.iter().filter(of_part) {
            *counts.entry(group[b as usize]).or_default() += count as u64;
        }
    }
    let most = counts.into_iter().max_by_key(|&(group, count)| (count, Reverse(group)));
    most.map_or(-1, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::lift::{
            membership::{Entry, Sets},
            observe::Observed,
        },
        ragged::Ragged,
    };

    /// Superpoints of ten points in a row, each as wide as `width` of the way to the next, that each view shows or not, and
    /// masks: a view and the superpoints that it holds.
    fn pieces(label: &[i32], shown: &[&[u32]], masks: &[(u32, &[usize])], width: f32) -> Vec<i32> {
        let (s, views) = (label.len(), shown.len());
        let extents: Vec<_> = (0..s).map(|s| [[s as f32, 0.0, 0.0], [s as f32 + width, 1.0, 1.0]]).collect();
        let counts = (0..s * views).map(|at| shown[at % views][at / views]).collect();
        let mut sets = Sets::default();
        masks.iter().zip(0..).for_each(|(_, b)| sets.boxes.push([b]));
        (0..s).for_each(|s| {
            let entry = |(b, (view, held)): (u32, &(u32, &[usize]))| {
                held.contains(&s).then(|| Entry { set: b, count: shown[*view as usize][s] })
            };
            sets.entries.push((0..).zip(masks).filter_map(entry));
        });
        let superpoints: Ragged<u32> = (0..s as u32).map(|s| 10 * s..10 * s + 10).collect();
        let view: Vec<u32> = masks.iter().map(|mask| mask.0).collect();
        let input = Input {
            label,
            superpoints: &superpoints,
            extents: &extents,
            observed: &Observed { counts, extents: vec![] },
            sets: &sets,
            probabilities: &vec![0.5; 2 * s],
            box_label: &vec![0; masks.len()],
            box_view: &view,
            rects: &vec![[0.0; 4]; masks.len()],
            box_score: &vec![1.0; masks.len()],
            views,
        };
        roots(&input, &Overlaps::of_superpoints(input.observed, &sets, &input.owners()), 0.02)
    }

    #[test]
    fn doors_side_by_side_are_two() {
        // They touch, and no view holds both in one mask.
        let shown: &[&[u32]] = &[&[10; 4], &[10; 4]];
        let masks: &[(u32, &[usize])] = &[(0, &[0, 1]), (0, &[2, 3]), (1, &[0, 1]), (1, &[2, 3])];
        assert_eq!(pieces(&[0; 4], shown, masks, 1.0), [0, 0, 2, 2]);
        // A superpoint without the part is in no piece.
        assert_eq!(pieces(&[0, 0, -1, 0], shown, masks, 1.0), [0, 0, -1, 3]);
    }

    #[test]
    fn two_sides_that_no_view_shows_both_of_are_one_if_they_touch() {
        let shown: &[&[u32]] = &[&[10, 10, 0, 0], &[0, 0, 10, 10]];
        let masks: &[(u32, &[usize])] = &[(0, &[0, 1]), (1, &[2, 3])];
        assert_eq!(pieces(&[0; 4], shown, masks, 1.0), [0; 4]);
        assert_eq!(pieces(&[0; 4], shown, masks, 0.5), [0, 0, 2, 2]);
    }

    #[test]
    fn what_no_mask_holds_goes_with_what_it_touches() {
        let shown: &[&[u32]] = &[&[10, 10, 10, 10, 0]];
        let masks: &[(u32, &[usize])] = &[(0, &[0]), (0, &[2, 3])];
        assert_eq!(pieces(&[0; 5], shown, masks, 1.0), [0, 0, 2, 2, 2]);
        assert_eq!(pieces(&[0; 5], shown, masks, 0.5), [0, 1, 2, 2, 4]);
    }
}
