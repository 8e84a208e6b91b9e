//! Memberships: which boxes hold each visible point, compressed to (superpoint, view, box set) -> count.
//!
//! All points of one superpoint that are visible in view k and lie in the same set of boxes contribute the same maximum
//! to the vote (paper eq. 5), so the counts of the distinct sets say everything, whatever N is.
//!
//! QUIRK gate: a superpoint with fewer than 2 visible points in a view, or whose visible points' 2D bounding box has
//! IoU <= 1e-6 with a box, is held by no mask of that box; so a superpoint whose visible points are collinear with an
//! image axis (zero area) never votes, though it counts in n_s.
//!
//! A set is a binary number whose bit i is box i of its view; the sets ascend by view, then by that number.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;

use crate::{
    error::{Error, Result},
    ops::{
        expect_len,
        lift::{
            mask::{self, Tap},
            observe::Observed,
        },
    },
    ragged::Ragged,
};

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
    /// The points of each superpoint, `[S]`, N in all.
    pub superpoints: &'a Ragged<u32>,
    /// Which points each view shows, `[K, N]`.
    pub visible: &'a [bool],
    /// Where each point falls in pixels, `[K, N]`.
    pub screen: &'a [[f32; 2]],
    /// What [`observe`](crate::ops::lift::observe) made of these.
    pub observed: &'a Observed,
    /// The boxes of each view, in the order they shall have within a set, `[K]`.
    pub of_view: &'a Ragged<u32>,
    /// Left, top, right, bottom of every box in pixels, `[B]`.
    pub rects: &'a [[f32; 4]],
    /// What decides whether a box holds a point.
    pub region: Region<'a>,
    /// Pixels along each side of the views.
    pub side: usize,
}

/// Points of a superpoint that lie in the same boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Their distinct set of boxes, below D.
    pub set: u32,
    /// How many visible points lie in exactly these, at least 1.
    pub count: u32,
}

/// The compressed memberships.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets {
    /// The boxes of each distinct set, in the order of its view's; every set has at least one, all of one view, `[D]`.
    pub boxes: Ragged<u32>,
    /// The entries of each superpoint, sets ascending (and so are the views), `[S]`.
    pub entries: Ragged<Entry>,
}

/// What [`Sets::lists`] are called in files.
pub const LISTS: [&str; 5] = ["set_offsets", "set_boxes", "entry_offsets", "entry_set", "entry_count"];

impl Sets {
    /// From the lists of a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a list does not fit those beside it.
    pub fn from_lists([set_offsets, set_boxes, entry_offsets, set, count]: [Vec<u32>; 5]) -> Result<Sets> {
        expect_len("memberships", LISTS[4], count.len(), set.len())?;
        let entries = set.into_iter().zip(count).map(|(set, count)| Entry { set, count }).collect();
        let of = |what: &'static str| move |e| Error::invalid(format!("memberships: {what}: {e}"));
        Ok(Sets {
            boxes: Ragged::new(set_offsets, set_boxes).map_err(of(LISTS[0]))?,
            entries: Ragged::new(entry_offsets, entries).map_err(of(LISTS[2]))?,
        })
    }

    /// As files hold them, named by [`LISTS`].
    pub fn lists(&self) -> [Vec<u32>; 5] {
        let Sets { boxes, entries } = self;
        let (set, count) = entries.values().iter().map(|entry| (entry.set, entry.count)).unzip();
        [boxes.offsets().to_vec(), boxes.values().to_vec(), entries.offsets().to_vec(), set, count]
    }

    /// Whether a box holds a visible point of superpoint `s`; the others get no label.
    pub fn valid(&self, s: usize) -> bool {
        !self.entries.row(s).is_empty()
    }

    /// The sets of boxes that hold points of superpoint `s`, and how many each.
    pub fn counts(&self, s: usize) -> impl Iterator<Item = (&[u32], u32)> {
        self.entries.row(s).iter().map(|entry| (self.boxes.row(entry.set as usize), entry.count))
    }

    /// The same with only the boxes that `keep` names; sets that are left without a box are gone.
    #[cfg(feature = "study")]
    pub(crate) fn retain(&self, keep: impl Fn(u32) -> bool) -> Sets {
        let (mut boxes, mut kept) = (Ragged::default(), vec![]);
        for set in self.boxes.rows() {
            let left: Vec<u32> = set.iter().copied().filter(|&b| keep(b)).collect();
            kept.push((!left.is_empty()).then_some(boxes.len() as u32));
            if !left.is_empty() {
                boxes.push(left);
            }
        }
        let entry = |entry: &Entry| Some(Entry { set: kept[entry.set as usize]?, count: entry.count });
        let row = |row: &[Entry]| row.iter().filter_map(entry).collect::<Vec<_>>();
        Sets { boxes, entries: self.entries.rows().map(row).collect() }
    }

    /// Whether these are memberships of so many superpoints in so many boxes: every index points at something.
    pub fn fit(&self, superpoints: usize, boxes: usize) -> bool {
        self.entries.len() == superpoints
            && self.boxes.rows().all(|set| !set.is_empty())
            && self.entries.values().iter().all(|entry| (entry.set as usize) < self.boxes.len())
            && self.boxes.values().iter().all(|&b| (b as usize) < boxes)
    }
}

impl Input<'_> {
    fn points(&self) -> usize {
        self.superpoints.values().len()
    }

    fn check(&self) -> Result<()> {
        let (k, n, b) = (self.of_view.len(), self.points(), self.rects.len());
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
        expect("observed [S, K]", self.observed.counts.len(), self.superpoints.len() * k)?;
        self.region.check("membership", b, self.side)
    }
}

impl Region<'_> {
    /// Whether there is a mask of each of `boxes` boxes. `op`: for the message.
    pub(super) fn check(&self, op: &str, boxes: usize, side: usize) -> Result<()> {
        let expect = |what, found, wanted| expect_len(op, what, found, wanted);
        match self {
            Region::Boxes => Ok(()),
            Region::Logits(logits, taps) => {
                expect("taps [side]", taps.len(), side)?;
                expect("logits [B, 256, 256]", logits.len(), boxes * mask::LOGITS * mask::LOGITS)
            }
            Region::Bits(bits) => {
                expect("masks [B, ceil(side * side / 8)]", bits.len(), boxes * mask::bytes(side * side))
            }
        }
    }

    /// Whether box `b`, of rectangle `rect`, holds a point that falls at `at` in its view of `side` x `side` pixels.
    pub(super) fn holds(&self, b: usize, rect: [f32; 4], at: [f32; 2], side: usize) -> bool {
        if let Region::Boxes = self {
            let [left, top, right, bottom] = rect;
            return at[0] > left && at[0] < right && at[1] > top && at[1] < bottom;
        }
        // Truncation, as the authors index their masks; what falls outside the image is in no mask.
        let [x, y] = at.map(|v| if v > -1.0 { v as usize } else { usize::MAX });
        if x >= side || y >= side {
            return false;
        }
        match self {
            Region::Boxes => unreachable!("answered above"),
            Region::Logits(logits, taps) => {
                let size = mask::LOGITS * mask::LOGITS;
                mask::cpu::logit(&logits[b * size..][..size], &taps[y], &taps[x]) > 0.0
            }
            Region::Bits(bits) => {
                let size = mask::bytes(side * side);
                mask::cpu::bit(&bits[b * size..][..size], y * side + x)
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use super::Sets;

    #[test]
    fn lists_that_do_not_fit_together_are_refused() {
        let lists = || [vec![0, 1, 3], vec![0, 0, 1], vec![0, 1, 2, 2], vec![0, 1], vec![3, 1]];
        let sets = Sets::from_lists(lists()).unwrap();
        assert_eq!(sets.lists(), lists());
        assert!(sets.fit(3, 2) && !sets.fit(2, 2) && !sets.fit(3, 1));
        for (list, name) in super::LISTS.iter().enumerate().filter(|(list, _)| [0, 2, 4].contains(list)) {
            let mut lists = lists();
            lists[list].remove(0);
            let error = Sets::from_lists(lists).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
