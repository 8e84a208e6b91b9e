//! Overlaps of masks, and what follows from them: which masks are of one object.
//!
//! ```text
//! overlap(a, b) = points that a and b hold / points that a or b holds, of those that both their views show
//! ```
//! Two masks of a part in different views belong together if their overlap is above a half, and so do two of one view that
//! say the same. The best pairs join first; an overlap of few points counts for less. Two masks of one view that share
//! less than half of the smaller one are two objects: what holds one of them never joins what holds the other.
//!
//! A mask in which others lie that are apart is of several objects, and joins none. Two views must show that, a fifth of
//! all if there are many, and what lies apart in it must add up to half of it. Of a mask that lies in it, it holds 70 % or
//! more of what both views show.

#[cfg(feature = "cuda")]
pub mod cuda;

use crate::{
    ops::lift::{membership::Sets, observe::Observed},
    ragged::Ragged,
};
use rayon::prelude::*;
use std::{cmp::Reverse, collections::BTreeMap};

/// How much masks of a part overlap, in parts of a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlaps {
    /// For every box the later ones of its part that hold something that it holds too, and how much, `[B]`.
    pub shared: Ragged<(u32, u64)>,
    /// What each box holds of what each view shows; in its own view all that it holds, `[B, K]`.
    pub shown: Vec<u64>,
}

/// Parts of a point that the sums count in.
const UNIT: u64 = 256;
/// Points of overlap that a pair needs at least, and points of a mask that lies in another.
const LEAST: u64 = 3;
/// Points of overlap at which a pair counts half.
const FEW: f64 = 10.0;
/// What a mask holds at least of what lies in it, in percent.
const INSIDE: u64 = 70;
/// How many views show that a mask is of several objects, at least: so many, and one of so many.
const SEVERAL: [usize; 2] = [2, 5];

/// The boxes.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    /// The part of every box, below L, `[B]`.
    pub label: &'a [u32],
    /// The view of every box, below K, `[B]`.
    pub view: &'a [u32],
    /// K.
    pub views: usize,
}

/// Of a piece of the cloud and a box: tells the boxes, itself among them, that hold points with it, and how many.
type Together<'a> = dyn Fn(usize, u32, &mut dyn FnMut(u32, u32)) + Sync + 'a;

impl Overlaps {
    /// From single points. `held`: the boxes that hold each point where their view shows it, ascending, `[N]`; `visible`:
    /// which points each view shows, `[K, N]`.
    pub fn of_points(held: &Ragged<u32>, visible: &[bool], owners: &Owners) -> Overlaps {
        let n = held.len();
        let counts: Ragged<(u32, u32)> = (0..n).map(|p| held.row(p).iter().map(|&b| (b, 1))).collect();
        let together =
            |p: usize, _, add: &mut dyn FnMut(u32, u32)| held.row(p).iter().for_each(|&b| add(b, 1));
        Overlaps::sum(&counts, &|p, k| visible[k * n + p] as u32, &together, owners)
    }

    /// From the counts of superpoints, as if the points of each were spread evenly.
    pub fn of_superpoints(observed: &Observed, sets: &Sets, owners: &Owners) -> Overlaps {
        let counts = (0..sets.entries.len()).map(|s| {
            let mut counts = BTreeMap::new();
            for (set, count) in sets.counts(s) {
                set.iter().for_each(|&b| *counts.entry(b).or_default() += count);
            }
            counts
        });
        let together = |s: usize, a: u32, add: &mut dyn FnMut(u32, u32)| {
            for (set, count) in sets.counts(s).filter(|(set, _)| set.contains(&a)) {
                set.iter().for_each(|&b| add(b, count));
            }
        };
        Overlaps::sum(&counts.collect(), &|s, k| observed.counts[s * owners.views + k], &together, owners)
    }

    /// `counts`: the boxes of every piece of the cloud, and how many of its visible points each holds; `shown`: how many
    /// points of a piece a view shows.
    fn sum(
        counts: &Ragged<(u32, u32)>,
        shown: &(dyn Fn(usize, usize) -> u32 + Sync),
        together: &Together,
        owners: &Owners,
    ) -> Overlaps {
        let Owners { label, view, views } = *owners;
        let mut pieces = vec![vec![]; label.len()];
        for piece in 0..counts.len() {
            counts.row(piece).iter().for_each(|&(b, count)| pieces[b as usize].push((piece, count)));
        }
        // Of a box's points in a piece, those that another view shows: of what the poorer of both views shows.
        let part = |count: u32, own: u32, other: u32| match other {
            0 => 0,
            _ => UNIT * count as u64 * other as u64 / own.max(other) as u64,
        };
        let row = |(a, pieces): (usize, &Vec<(usize, u32)>)| {
            let (mut shared, mut of_view) = (vec![0; label.len()], vec![0; views]);
            for &(piece, count) in pieces {
                let own = shown(piece, view[a] as usize);
                for (k, sum) in of_view.iter_mut().enumerate() {
                    let own_view = k == view[a] as usize;
                    *sum += if own_view { UNIT * count as u64 } else { part(count, own, shown(piece, k)) };
                }
                for &(b, in_b) in counts.row(piece).iter().filter(|(b, _)| view[*b as usize] != view[a]) {
                    let other = shown(piece, view[b as usize] as usize);
                    shared[b as usize] += part(count, own, other).min(part(in_b, other, own));
                }
                together(piece, a as u32, &mut |b, count| {
                    shared[b as usize] += if view[b as usize] == view[a] { UNIT * count as u64 } else { 0 };
                });
            }
            let later = shared.into_iter().enumerate().skip(a + 1);
            let of_part = later.filter(|&(b, shared)| shared > 0 && label[b] == label[a]);
            (of_part.map(|(b, shared)| (b as u32, shared)).collect::<Vec<_>>(), of_view)
        };
        let (shared, of_views): (Vec<_>, Vec<_>) = pieces.par_iter().enumerate().map(row).unzip();
        Overlaps { shared: shared.into_iter().collect(), shown: of_views.concat() }
    }

    /// What box `a` holds of what the view of `b` shows.
    fn held(&self, owners: &Owners, a: usize, b: usize) -> u64 {
        self.shown[a * owners.views + owners.view[b] as usize]
    }

    /// How many points a box holds.
    pub(super) fn points(&self, owners: &Owners, b: usize) -> u64 {
        self.held(owners, b, b) / UNIT
    }

    /// The group of every box, named by its first box; -1 = none, it holds several objects; `[B]`.
    pub fn groups(&self, owners: &Owners) -> Vec<i32> {
        let Owners { label, view, .. } = *owners;
        let boxes = label.len();
        let held = |a: usize, b: usize| self.held(owners, a, b);
        let (mut apart, mut pairs) = (vec![BitSet::new(boxes); boxes], vec![]);
        for a in 0..boxes {
            let mut shared = vec![0; boxes];
            self.shared.row(a).iter().for_each(|&(b, points)| shared[b as usize] = points);
            for b in (a + 1..boxes).filter(|&b| label[a] == label[b]) {
                let (shared, either) = (shared[b], held(a, b) + held(b, a) - shared[b]);
                if 2 * shared > either && shared >= LEAST * UNIT {
                    let points = shared as f64 / UNIT as f64;
                    pairs.push((shared as f64 / either as f64 * (points / (points + FEW)), a, b));
                } else if view[a] == view[b] && 2 * shared < held(a, a).min(held(b, b)) {
                    apart[a].insert(b);
                    apart[b].insert(a);
                }
            }
        }
        pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        let several = self.several(owners, &apart);
        let mut members: Vec<BitSet> = (0..boxes).map(|b| BitSet::of(boxes, [b])).collect();
        let mut group: Vec<i32> = (0..boxes).map(|b| if several[b] { -1 } else { b as i32 }).collect();
        for (_, a, b) in pairs {
            let (a, b) = (group[a].min(group[b]), group[a].max(group[b]));
            if a == b || a < 0 || apart[a as usize].meets(&members[b as usize]) {
                continue;
            }
            group.iter_mut().filter(|group| **group == b).for_each(|group| *group = a);
            for sets in [&mut apart, &mut members] {
                let joined = std::mem::take(&mut sets[b as usize]);
                sets[a as usize].join(&joined);
            }
        }
        group
    }

    /// Whether each mask is of several objects, `[B]`. `apart`: which masks of its view are other objects than each, `[B]`.
    fn several(&self, owners: &Owners, apart: &[BitSet]) -> Vec<bool> {
        let Owners { label, view, views } = *owners;
        let boxes = label.len();
        let mut shared = vec![vec![]; boxes];
        for a in 0..boxes {
            for &(b, points) in self.shared.row(a) {
                shared[a].push((b as usize, points));
                shared[b as usize].push((a, points));
            }
        }
        let needed = views.div_ceil(SEVERAL[1]).max(SEVERAL[0]);
        let is_of_several = |(w, mut inside): (usize, Vec<(usize, u64)>)| {
            inside.retain(|&(b, points)| {
                let shown = self.held(owners, b, w);
                shown >= LEAST * UNIT && 100 * points >= INSIDE * shown
            });
            let members = BitSet::of(boxes, inside.iter().map(|&(b, _)| b));
            inside.retain(|&(b, _)| apart[b].meets(&members));
            inside.sort_by_key(|&(b, points)| (Reverse(points), b));
            // Of each view the largest, and what is apart from all that were taken.
            let (mut taken, mut points) = (vec![vec![]; views], vec![0; views]);
            for (b, shared) in inside {
                let k = view[b] as usize;
                if taken[k].iter().all(|&other| apart[b].has(other)) {
                    taken[k].push(b);
                    points[k] += shared;
                }
            }
            let shows = |&k: &usize| taken[k].len() > 1 && 2 * points[k] >= self.shown[w * views + k];
            (0..views).filter(shows).count() >= needed
        };
        shared.into_iter().enumerate().map(is_of_several).collect()
    }
}

#[derive(Clone, Default)]
struct BitSet(Vec<u64>);

impl BitSet {
    fn new(size: usize) -> BitSet {
        BitSet(vec![0; size.div_ceil(64)])
    }

    fn of(size: usize, members: impl IntoIterator<Item = usize>) -> BitSet {
        let mut set = BitSet::new(size);
        members.into_iter().for_each(|member| set.insert(member));
        set
    }

    fn insert(&mut self, one: usize) {
        self.0[one / 64] |= 1 << (one % 64);
    }

    fn has(&self, one: usize) -> bool {
        self.0[one / 64] >> (one % 64) & 1 > 0
    }

    fn join(&mut self, other: &BitSet) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn meets(&self, other: &BitSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::lift::membership::Entry;
    use std::ops::Range;

    const POINTS: usize = 20;

    /// Three views or more of a row of points, and masks: part, view, points. Every view shows all but what `hidden` says.
    struct Row {
        views: usize,
        label: Vec<u32>,
        view: Vec<u32>,
        held: Vec<Vec<u32>>,
        visible: Vec<bool>,
    }

    impl Row {
        fn new(masks: &[(u32, u32, Range<usize>)], hidden: &[(usize, Range<usize>)]) -> Row {
            let visible =
                |k: usize, p: usize| !hidden.iter().any(|(view, points)| *view == k && points.contains(&p));
            let held = |p: usize| {
                let holds = |(_, (_, view, points)): &(usize, &(u32, u32, Range<usize>))| {
                    points.contains(&p) && visible(*view as usize, p)
                };
                masks.iter().enumerate().filter(holds).map(|(b, _)| b as u32).collect()
            };
            let views = masks.iter().map(|mask| mask.1 as usize + 1).max().unwrap_or(0).max(3);
            Row {
                views,
                label: masks.iter().map(|mask| mask.0).collect(),
                view: masks.iter().map(|mask| mask.1).collect(),
                held: (0..POINTS).map(held).collect(),
                visible: (0..views * POINTS).map(|at| visible(at / POINTS, at % POINTS)).collect(),
            }
        }

        fn owners(&self) -> Owners<'_> {
            Owners { label: &self.label, view: &self.view, views: self.views }
        }

        fn overlaps(&self) -> Overlaps {
            Overlaps::of_points(&self.held.iter().cloned().collect(), &self.visible, &self.owners())
        }

        fn groups(&self) -> Vec<i32> {
            let found = self.overlaps();
            assert_eq!(self.of_superpoints(), found, "each point a superpoint");
            found.groups(&self.owners())
        }

        fn of_superpoints(&self) -> Overlaps {
            let mut sets = Sets::default();
            for boxes in &self.held {
                let of_views = boxes.chunk_by(|&a, &b| self.view[a as usize] == self.view[b as usize]);
                let entry = |set: &[u32]| {
                    sets.boxes.push(set.iter().copied());
                    Entry { set: sets.boxes.len() as u32 - 1, count: 1 }
                };
                let entries: Vec<Entry> = of_views.map(entry).collect();
                sets.entries.push(entries);
            }
            let visible = |at: usize| self.visible[at % self.views * POINTS + at / self.views] as u32;
            let counts = (0..self.views * POINTS).map(visible).collect();
            Overlaps::of_superpoints(&Observed { counts, extents: vec![] }, &sets, &self.owners())
        }
    }

    #[test]
    fn masks_of_one_object_are_found_across_views() {
        let masks = [(0, 0, 0..10), (0, 1, 1..10), (1, 1, 1..10), (0, 2, 4..12), (0, 2, 14..20)];
        let row = Row::new(&masks, &[]);
        assert_eq!(row.overlaps().shared.row(0), [(1, 9 * UNIT), (3, 6 * UNIT)], "no other part");
        assert_eq!(row.groups(), [0, 0, 2, 0, 4]);
    }

    #[test]
    fn what_one_view_tells_apart_stays_apart() {
        // View 0 sees two objects, view 1 takes both for one: it joins the one that it fits better.
        let masks = [(0, 0, 0..8), (0, 0, 8..20), (0, 1, 0..20), (0, 2, 0..8)];
        assert_eq!(Row::new(&masks, &[]).groups(), [0, 1, 1, 0]);
        // Two masks of one view that say the same are one.
        assert_eq!(Row::new(&[(0, 0, 0..9), (0, 0, 0..10)], &[]).groups(), [0, 0]);
    }

    #[test]
    fn a_mask_of_two_objects_is_of_none() {
        let [left, right, both] = [0..8, 8..20, 0..20];
        let views = |views: [&[&Range<usize>]; 3]| {
            let of_view = |(view, masks): (u32, &[&Range<usize>])| {
                masks.iter().map(move |&mask| (0, view, mask.clone())).collect::<Vec<_>>()
            };
            Row::new(&(0..).zip(views).flat_map(of_view).collect::<Vec<_>>(), &[]).groups()
        };
        let two: &[_] = &[&left, &right];
        assert_eq!(views([two, two, &[&both]]), [0, 1, 0, 1, -1]);
        assert_eq!(views([&[&left, &right, &both], two, &[]]), [0, 1, -1, 0, 1], "of its own view too");
        assert_eq!(views([two, &[&both], &[&both]]), [0, 1, 1, 1], "one view may err");
        // What is apart in it must be half of it, and is counted once.
        let small: &[_] = &[&(0..4), &(4..8)];
        assert_eq!(views([small, small, &[&both]]), [0, 1, 0, 1, 4]);
        let with_whole: &[_] = &[&(0..4), &(4..8), &both];
        assert_eq!(views([with_whole, with_whole, &[]]), [0, 1, 2, 0, 1, 2]);
        let twice: &[_] = &[&(0..6), &(0..6), &(6..9)];
        assert_eq!(views([twice, twice, &[&both]]), [0, 0, 2, 0, 0, 2, 6]);
        // Two thirds of a mask that lie in another are too few.
        let across: &[_] = &[&(0..9), &(9..20)];
        assert_eq!(views([across, across, &[&(3..20)]]), [0, 1, 0, 1, 1]);
    }

    #[test]
    fn of_many_views_a_fifth_tells_objects_apart() {
        // Of eleven views two hold a mask's halves, or three; the last holds the mask.
        let groups = |halves: u32| {
            let mut masks: Vec<_> = (0..halves).flat_map(|k| [(0, k, 0..8), (0, k, 8..20)]).collect();
            masks.push((0, 10, 0..20));
            Row::new(&masks, &[]).groups()
        };
        assert_eq!(groups(2), [0, 1, 0, 1, 1]);
        assert_eq!(groups(3), [0, 1, 0, 1, 0, 1, -1]);
    }

    #[test]
    fn only_what_both_views_show_counts() {
        let masks = [(0, 0, 0..10), (0, 1, 5..10)];
        assert_eq!(Row::new(&masks, &[]).groups(), [0, 1], "half is not more than a half");
        assert_eq!(Row::new(&masks, &[(1, 0..5)]).groups(), [0, 0]);
        assert_eq!(Row::new(&masks, &[(1, 0..8)]).groups(), [0, 1], "two points are too few");
    }

    #[test]
    fn superpoints_count_as_if_spread_evenly() {
        // One superpoint: view 0 shows 10 points of it and holds 5, view 1 shows 4 and holds 1.
        let sets = Sets {
            boxes: Ragged::from_iter([[0], [1]]),
            entries: Ragged::from_iter([[Entry { set: 0, count: 5 }, Entry { set: 1, count: 1 }]]),
        };
        let owners = Owners { label: &[0, 0], view: &[0, 1], views: 2 };
        let found =
            Overlaps::of_superpoints(&Observed { counts: vec![10, 4], extents: vec![] }, &sets, &owners);
        assert_eq!(found.shared.row(0), [(1, UNIT)], "one of four points, against two");
        assert_eq!(found.shown, [5 * UNIT, 2 * UNIT, UNIT, UNIT], "of the four points that both show");
    }
}
