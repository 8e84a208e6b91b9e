//! Memberships: which boxes hold each visible point, compressed to (superpoint, view, box set) -> count.
//!
//! All points of one superpoint that are visible in view k and lie in the same set of boxes contribute the same maximum
//! to the vote (paper eq. 5), so the counts of the distinct sets say everything, whatever N is.
//!
//! QUIRK gate: a superpoint with fewer than 2 visible points in a view, or whose visible points' 2D bounding box has
//! IoU <= 1e-6 with a box, is held by no mask of that box; so a superpoint whose visible points are collinear with an
//! image axis (zero area) never votes, though it counts in n_s.

use super::mask::{self, Tap};
use crate::error::{Error, Result};

/// The smallest overlap with a box at which its mask is looked at.
pub const MIN_IOU: f64 = 1e-6;

/// What decides whether a box holds a point.
#[derive(Debug, Clone, Copy)]
pub enum Region<'a> {
    /// The point lies strictly inside the box (PartSLIP).
    Boxes,
    /// SAM's logits, `[B, 256, 256]`, with the taps of the view's side, `[side]`.
    Logits(&'a [f32], &'a [Tap]),
    /// Full masks, one bit a pixel, least significant first, `[B, ceil(side * side / 8)]`.
    Bits(&'a [u8]),
}

/// What the memberships are made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Where each superpoint's points begin, `[S + 1]`.
    pub superpoint_offsets: &'a [u32],
    /// The points grouped by superpoint, `[N]`.
    pub superpoint_points: &'a [u32],
    /// Which points each view shows, `[K, N]`.
    pub visible: &'a [bool],
    /// Where each point falls in pixels, `[K, N]`.
    pub screen: &'a [[f32; 2]],
    /// What [`cpu::observe`] made of these.
    pub observed: &'a Observed,
    /// Where each view's boxes begin in `view_boxes`, `[K + 1]`.
    pub view_offsets: &'a [u32],
    /// The boxes grouped by view, in the order they shall have within a set.
    pub view_boxes: &'a [u32],
    /// Left, top, right, bottom of every box in pixels, `[B]`.
    pub rects: &'a [[f32; 4]],
    /// What decides whether a box holds a point.
    pub region: Region<'a>,
    /// Pixels along each side of the views.
    pub side: usize,
}

/// What each view shows of each superpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// How many of its points, `[S, K]`.
    pub counts: Vec<u32>,
    /// Left, top, right, bottom of these points in pixels, `[S, K]`; [`NOWHERE`] if there is none.
    pub extents: Vec<[f32; 4]>,
}

/// The extent of no points, neutral in unions.
pub const NOWHERE: [f32; 4] = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];

/// The compressed memberships.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// Where each distinct set's boxes begin in `set_boxes`, `[D + 1]`.
    pub set_offsets: Vec<u32>,
    /// The boxes of each set, in the order of `view_boxes`; every set has at least one, all of one view.
    pub set_boxes: Vec<u32>,
    /// Where each superpoint's entries begin, `[S + 1]`.
    pub entry_offsets: Vec<u32>,
    /// The set of each entry, ascending within a superpoint (and so are the views), `[E]`.
    pub entry_set: Vec<u32>,
    /// How many visible points of the superpoint lie in exactly this set of boxes, at least 1, `[E]`.
    pub entry_count: Vec<u32>,
}

impl Sets {
    /// Whether these are memberships of so many superpoints in so many boxes: every index points at something.
    pub fn fit(&self, superpoints: usize, boxes: usize) -> bool {
        let below = |values: &[u32], limit: usize| values.iter().all(|&v| (v as usize) < limit);
        let offsets = |offsets: &[u32], into: usize| {
            offsets.first() == Some(&0) && offsets.is_sorted() && offsets.last() == Some(&(into as u32))
        };
        offsets(&self.set_offsets, self.set_boxes.len())
            && offsets(&self.entry_offsets, self.entry_set.len())
            && self.entry_offsets.len() == superpoints + 1
            && self.entry_count.len() == self.entry_set.len()
            && below(&self.entry_set, self.set_offsets.len() - 1)
            && below(&self.set_boxes, boxes)
    }
}

impl Input<'_> {
    fn points(&self) -> usize {
        self.superpoint_points.len()
    }

    fn check(&self) -> Result<()> {
        let (k, n, b) = (self.view_offsets.len() - 1, self.points(), self.rects.len());
        let expect = |what: &str, found: usize, wanted: usize| {
            if found == wanted {
                return Ok(());
            }
            Err(Error::invalid(format!(
                "membership: {what} has {found} elements, not {wanted} ({k} views, {n} points, {b} boxes)"
            )))
        };
        expect("visible [K, N]", self.visible.len(), k * n)?;
        expect("screen [K, N]", self.screen.len(), k * n)?;
        expect("observed [S, K]", self.observed.counts.len(), (self.superpoint_offsets.len() - 1) * k)?;
        match self.region {
            Region::Boxes => Ok(()),
            Region::Logits(logits, taps) => {
                expect("taps [side]", taps.len(), self.side)?;
                expect("logits [B, 256, 256]", logits.len(), b * mask::LOGITS * mask::LOGITS)
            }
            Region::Bits(bits) => {
                expect("masks [B, ceil(side * side / 8)]", bits.len(), b * mask::bytes(self.side * self.side))
            }
        }
    }

    /// Whether box `b` holds a point that falls at `at`.
    fn holds(&self, b: usize, at: [f32; 2]) -> bool {
        if let Region::Boxes = self.region {
            let [left, top, right, bottom] = self.rects[b];
            return at[0] > left && at[0] < right && at[1] > top && at[1] < bottom;
        }
        // Truncation, as the authors index their masks; what falls outside the image is in no mask.
        let [x, y] = at.map(|v| if v > -1.0 { v as usize } else { usize::MAX });
        if x >= self.side || y >= self.side {
            return false;
        }
        match self.region {
            Region::Boxes => unreachable!("answered above"),
            Region::Logits(logits, taps) => {
                let size = mask::LOGITS * mask::LOGITS;
                mask::cpu::logit(&logits[b * size..][..size], &taps[y], &taps[x]) > 0.0
            }
            Region::Bits(bits) => {
                let size = mask::bytes(self.side * self.side);
                mask::cpu::bit(&bits[b * size..][..size], y * self.side + x)
            }
        }
    }
}

/// The smallest rectangle around two.
pub fn union(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

/// Intersection over union of two rectangles (left, top, right, bottom); 0 if they do not touch or both are empty.
pub fn iou(a: [f32; 4], b: [f32; 4]) -> f64 {
    let (a, b) = (a.map(f64::from), b.map(f64::from));
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if !(width > 0.0 && height > 0.0) {
        return 0.0;
    }
    let area = |r: [f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    width * height / (area(a) + area(b) - width * height)
}

/// CPU reference.
pub mod cpu {
    use super::{Input, MIN_IOU, NOWHERE, Observed, Sets, iou, union};
    use crate::error::Result;
    use rayon::prelude::*;

    /// Finds and counts the box sets of every superpoint's visible points.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the slices' lengths do not fit together.
    pub fn membership(input: &Input) -> Result<Sets> {
        input.check()?;
        let of_superpoint: Vec<Vec<Found>> = (0..input.superpoint_offsets.len() - 1)
            .into_par_iter()
            .map(|s| {
                let range = input.superpoint_offsets[s] as usize..input.superpoint_offsets[s + 1] as usize;
                find(input, s, &input.superpoint_points[range])
            })
            .collect();

        let mut distinct: Vec<(u32, &[u64])> =
            of_superpoint.iter().flatten().map(|found| (found.view, &found.bits[..])).collect();
        distinct.par_sort_unstable();
        distinct.dedup();
        let mut sets = Sets { set_offsets: vec![0], entry_offsets: vec![0], ..Sets::default() };
        for (view, bits) in &distinct {
            let boxes = &input.view_boxes[input.view_offsets[*view as usize] as usize..];
            sets.set_boxes
                .extend((0..bits.len() * 64).filter(|i| bits[i / 64] >> (i % 64) & 1 != 0).map(|i| boxes[i]));
            sets.set_offsets.push(sets.set_boxes.len() as u32);
        }
        for found in &of_superpoint {
            for Found { view, bits, count } in found {
                let set = distinct.binary_search(&(*view, &bits[..])).expect("collected above");
                sets.entry_set.push(set as u32);
                sets.entry_count.push(*count);
            }
            sets.entry_offsets.push(sets.entry_set.len() as u32);
        }
        Ok(sets)
    }

    /// A set of boxes, as bits over the boxes of its view, and how many points lie in it.
    struct Found {
        view: u32,
        bits: Vec<u64>,
        count: u32,
    }

    /// The sets of one superpoint, views ascending, bits ascending within a view.
    fn find(input: &Input, s: usize, points: &[u32]) -> Vec<Found> {
        let (n, views) = (input.points(), input.view_offsets.len() - 1);
        let mut found = vec![];
        let (mut at, mut bits) = (vec![], vec![]);
        for view in 0..views {
            let boxes =
                &input.view_boxes[input.view_offsets[view] as usize..input.view_offsets[view + 1] as usize];
            if input.observed.counts[s * views + view] < 2 || boxes.is_empty() {
                continue;
            }
            let extent = input.observed.extents[s * views + view];
            at.clear();
            let seen = points.iter().filter(|&&p| input.visible[view * n + p as usize]);
            at.extend(seen.map(|&p| input.screen[view * n + p as usize]));
            let words = boxes.len().div_ceil(64);
            bits.clear();
            bits.resize(at.len() * words, 0u64);
            for (i, &b) in boxes.iter().enumerate() {
                if iou(extent, input.rects[b as usize]) > MIN_IOU {
                    for (&at, row) in at.iter().zip(bits.chunks_exact_mut(words)) {
                        row[i / 64] |= (input.holds(b as usize, at) as u64) << (i % 64);
                    }
                }
            }
            let mut rows: Vec<&[u64]> =
                bits.chunks_exact(words).filter(|row| row.iter().any(|&w| w != 0)).collect();
            rows.sort_unstable();
            for run in rows.chunk_by(|a, b| a == b) {
                found.push(Found { view: view as u32, bits: run[0].to_vec(), count: run.len() as u32 });
            }
        }
        found
    }

    /// Counts the visible points of every superpoint in every view and finds their extent.
    ///
    /// `visible`, `screen`: `[K, N]`; `superpoint_offsets`: `[S + 1]`; `superpoint_points`: `[N]`; `views`: K.
    pub fn observe(
        visible: &[bool],
        screen: &[[f32; 2]],
        superpoint_offsets: &[u32],
        superpoint_points: &[u32],
        views: usize,
    ) -> Observed {
        let n = superpoint_points.len();
        let superpoints = superpoint_offsets.len() - 1;
        let one = |s: usize, k: usize| {
            let points =
                &superpoint_points[superpoint_offsets[s] as usize..superpoint_offsets[s + 1] as usize];
            let seen = points.iter().map(|&p| k * n + p as usize).filter(|&i| visible[i]);
            seen.fold((0, NOWHERE), |(count, extent), i| {
                let [x, y] = screen[i];
                (count + 1, union(extent, [x, y, x, y]))
            })
        };
        let all = (0..superpoints).into_par_iter().flat_map_iter(|s| (0..views).map(move |k| one(s, k)));
        let (counts, extents) = all.unzip();
        Observed { counts, extents }
    }
}
