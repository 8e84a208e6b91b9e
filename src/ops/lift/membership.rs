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

    /// Whether these are memberships of so many superpoints in so many boxes: every index points at something.
    pub fn fit(&self, superpoints: usize, boxes: usize) -> bool {
        self.entries.len() == superpoints
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
}

impl Region<'_> {
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

/// CPU reference.
pub mod cpu {
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
}

/// On a CUDA device.
///
/// The host learns two things on the way, and waits for each: how many runs there are (visible points of one superpoint
/// and set among 32 neighbours), which the sorts need; and how many sets, boxes in sets and entries, which the result
/// needs.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{MIN_IOU, mask};
    use crate::{
        device::{
            gpu::{
                Buffer, Gpu, blocks,
                kernels::{self, MembershipDims, MembershipRunsDims},
            },
            twin::{RaggedOnDevice, Twinned},
        },
        error::Result,
        ops::{
            basic::{
                scan,
                sort::cuda::{Pairs, Workspace, pairs},
            },
            expect_len,
            lift::observe::cuda::{Observed, Partition},
        },
    };

    const BLOCK: u32 = 256;
    const WARP: usize = 32;

    /// The taps of the view's side ([`mask::taps`]), on the device.
    #[derive(Debug)]
    pub struct Taps {
        first: Buffer<u32>,
        weights: Buffer<f32>,
    }

    impl Taps {
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if the driver refuses.
        pub fn new(gpu: &Gpu, side: usize) -> Result<Taps> {
            let taps = mask::taps(side);
            let first: Vec<u32> = taps.iter().map(|tap| tap.first).collect();
            let weights: Vec<f32> = taps.iter().flat_map(|tap| tap.weights).collect();
            Ok(Taps { first: gpu.upload(&first)?, weights: gpu.upload(&weights)? })
        }
    }

    /// What decides whether a box holds a point, as [`Region`](super::Region).
    #[derive(Debug, Clone, Copy)]
    pub enum Region<'a> {
        /// The point lies strictly inside the box.
        Boxes,
        /// SAM's logits, `[B, 256, 256]`, with the taps of the view's side.
        Logits(&'a Buffer<f32>, &'a Taps),
        /// Full masks, one bit a pixel, least significant first, `[B, ceil(side * side / 8)]`.
        Bits(&'a Buffer<u8>),
    }

    /// What the memberships are made from.
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// The superpoints.
        pub partition: Partition<'a>,
        /// Which points each view shows, one bit a point, `[K, ceil(N / 32)]`.
        pub visible: &'a Buffer<u32>,
        /// Where each point falls in pixels, `[K, N, 2]`.
        pub screen: &'a Buffer<f32>,
        /// What the views show of the superpoints.
        pub observed: &'a Observed,
        /// The boxes of each view, in the order they shall have within a set, `[K]`.
        pub of_view: &'a RaggedOnDevice<u32>,
        /// The most boxes that a view has.
        pub most: usize,
        /// Left, top, right, bottom of every box in pixels, `[B, 4]`.
        pub rects: &'a Buffer<f32>,
        /// Boxes to leave out, 0 or 1, `[B]`.
        pub ignored: &'a Buffer<u8>,
        /// What decides whether a box holds a point.
        pub region: Region<'a>,
        /// Pixels along each side of the views.
        pub side: usize,
    }

    /// The compressed memberships, as [`Sets`](super::Sets).
    #[derive(Debug)]
    pub struct Sets {
        /// The boxes of each distinct set, `[D]`.
        pub boxes: RaggedOnDevice<u32>,
        /// Where each superpoint's entries begin, `[S + 1]`.
        pub entry_offsets: Buffer<u32>,
        /// `[E]`.
        pub entry_set: Buffer<u32>,
        /// `[E]`.
        pub entry_count: Buffer<u32>,
    }

    impl Sets {
        /// Copies them from the host.
        ///
        /// # Errors
        /// [`Error::Memory`](crate::Error::Memory) if there is not enough memory.
        pub fn upload(gpu: &Gpu, sets: &super::Sets) -> Result<Sets> {
            let super::Sets { boxes, entries } = sets;
            Ok(Sets {
                boxes: boxes.upload(gpu)?,
                entry_offsets: gpu.upload(entries.offsets())?,
                entry_set: gpu.upload(entries.map(|entry| entry.set).values())?,
                entry_count: gpu.upload(entries.map(|entry| entry.count).values())?,
            })
        }

        /// Copies them to the host.
        ///
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if the device failed.
        pub fn download(&self, gpu: &Gpu) -> Result<super::Sets> {
            let Sets { boxes, entry_offsets, entry_set, entry_count } = self;
            super::Sets::from_lists([
                gpu.download(&boxes.offsets)?,
                gpu.download(&boxes.values)?,
                gpu.download(entry_offsets)?,
                gpu.download(entry_set)?,
                gpu.download(entry_count)?,
            ])
        }

        /// Number of superpoints, S.
        pub fn superpoints(&self) -> usize {
            self.entry_offsets.len().saturating_sub(1)
        }
    }

    impl Input<'_> {
        fn check(&self) -> Result<MembershipDims> {
            let points = self.partition.superpoint_of.len();
            let (views, boxes) = (self.of_view.len(), self.rects.len() / 4);
            let superpoints = self.partition.superpoints;
            let expect = |what, found, wanted| expect_len("membership", what, found, wanted);
            expect("superpoint_points [N]", self.partition.superpoint_points.len(), points)?;
            expect("visible [K, ceil(N / 32)]", self.visible.len(), views * points.div_ceil(32))?;
            expect("screen [K, N, 2]", self.screen.len(), views * points * 2)?;
            expect("observed [S, K]", self.observed.counts.len(), superpoints * views)?;
            expect("rects [B, 4]", self.rects.len(), boxes * 4)?;
            expect("ignored [B]", self.ignored.len(), boxes)?;
            match self.region {
                Region::Boxes => {}
                Region::Logits(logits, taps) => {
                    expect("taps [side]", taps.first.len(), self.side)?;
                    expect("logits [B, 256, 256]", logits.len(), boxes * mask::LOGITS * mask::LOGITS)?;
                }
                Region::Bits(bits) => {
                    let one = mask::bytes(self.side * self.side);
                    expect("masks [B, ceil(side * side / 8)]", bits.len(), boxes * one)?;
                }
            }
            Ok(MembershipDims {
                min_iou: MIN_IOU,
                points: points as u32,
                superpoints: superpoints as u32,
                views: views as u32,
                words: self.most.div_ceil(WARP) as u32,
                side: self.side as u32,
                capacity: 0,
            })
        }
    }

    /// Equal sets of neighbouring points of a superpoint in a view, counted.
    struct Runs {
        words: Buffer<u32>,
        view: Buffer<u32>,
        superpoint: Buffer<u32>,
        count: Buffer<u32>,
        len: usize,
    }

    /// Finds and counts the box sets of every superpoint's visible points: the very arrays of
    /// [`cpu::membership`](super::cpu::membership).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn membership(gpu: &Gpu, input: &Input) -> Result<Sets> {
        let d = input.check()?;
        let Observed { counts, extents, .. } = input.observed;
        let words = d.superpoints as usize * d.views as usize * d.words as usize;
        let mut gates = gpu.alloc(words)?;
        kernels::membership_gates(
            gpu,
            blocks(words * WARP, BLOCK),
            counts,
            extents,
            &input.of_view.offsets,
            &input.of_view.values,
            input.rects,
            input.ignored,
            &mut gates,
            d,
        )?;
        // A guess that mostly holds; what did not fit is counted, and then there is room for it.
        let capacity = d.points as usize * d.views as usize / 4 + 1024;
        let mut runs = find(gpu, input, &gates, MembershipDims { capacity: capacity as u32, ..d })?;
        if runs.len > capacity {
            runs = find(gpu, input, &gates, MembershipDims { capacity: runs.len as u32, ..d })?;
        }
        compress(gpu, input, &runs, d)
    }

    fn find(gpu: &Gpu, input: &Input, gates: &Buffer<u32>, d: MembershipDims) -> Result<Runs> {
        let capacity = d.capacity as usize;
        let mut words = gpu.alloc(capacity * d.words as usize)?;
        let [mut view, mut superpoint, mut count] =
            [gpu.alloc(capacity)?, gpu.alloc(capacity)?, gpu.alloc(capacity)?];
        let mut total = gpu.zeros(1)?;
        let Input { visible, screen, rects, .. } = *input;
        let RaggedOnDevice { offsets, values } = input.of_view;
        let Partition { superpoint_of, superpoint_points, .. } = input.partition;
        // Without boxes there is nothing to hold a point.
        let grid = if d.words == 0 { [0; 3] } else { [blocks(d.points as usize, BLOCK)[0], d.views, 1] };
        macro_rules! launch {
            ($kernel:ident, $($region:expr),+) => {
                kernels::$kernel(
                    gpu, grid, superpoint_points, superpoint_of, visible, screen, gates, offsets, values,
                    $($region),+, &mut words, &mut view, &mut superpoint, &mut count, &mut total, d,
                )
            };
        }
        match input.region {
            Region::Boxes => launch!(membership_boxes, rects),
            Region::Logits(logits, taps) => launch!(membership_logits, logits, &taps.first, &taps.weights),
            Region::Bits(masks) => launch!(membership_bits, masks),
        }?;
        Ok(Runs { words, view, superpoint, count, len: gpu.download(&total)?[0] as usize })
    }

    fn compress(gpu: &Gpu, input: &Input, runs: &Runs, dims: MembershipDims) -> Result<Sets> {
        let (n, words, capacity) = (runs.len, dims.words as usize, runs.view.len());
        let d = MembershipRunsDims {
            runs: n as u32,
            superpoints: dims.superpoints,
            words: dims.words,
            capacity: capacity as u32,
        };
        let grid = blocks(n, BLOCK);
        let superpoints = d.superpoints as usize;
        let bits = |most: usize| usize::BITS - most.saturating_sub(1).leading_zeros();
        let (mut by_set, mut by_superpoint) = (Pairs::new(gpu, n)?, Pairs::new(gpu, n)?);
        let mut sorting = Workspace::new(gpu, n)?;

        // By set, the lowest word first, then by view.
        kernels::membership_count_up(gpu, grid, &mut by_set.values, d)?;
        for w in 0..words {
            let word = runs.words.slice(w * capacity..(w + 1) * capacity);
            kernels::membership_keys(gpu, grid, &word, &by_set.values, &mut by_set.keys, d)?;
            let boxes = (input.most - w * WARP).min(WARP) as u32;
            pairs(gpu, &mut by_set, n, boxes, &mut sorting)?;
        }
        kernels::membership_keys(gpu, grid, &runs.view, &by_set.values, &mut by_set.keys, d)?;
        pairs(gpu, &mut by_set, n, bits(dims.views as usize), &mut sorting)?;
        let order = &by_set.values;
        // Within a superpoint that order stays.
        kernels::membership_keys(gpu, grid, &runs.superpoint, order, &mut by_superpoint.keys, d)?;
        kernels::membership_count_up(gpu, grid, &mut by_superpoint.values, d)?;
        pairs(gpu, &mut by_superpoint, n, bits(superpoints), &mut sorting)?;
        let Pairs { keys: superpoint, values: places } = &by_superpoint;

        let mut scanning = scan::cuda::Workspace::new(gpu, n)?;
        let mut sums = |gpu, heads: &Buffer<u32>, sums: &mut Buffer<u32>| {
            scan::cuda::exclusive(gpu, heads, n, sums, &mut scanning)
        };
        let [mut is_set, mut set_size, mut is_entry] = [gpu.alloc(n)?, gpu.alloc(n)?, gpu.alloc(n)?];
        let [mut set_rank, mut set_begin, mut entry_rank] =
            [gpu.alloc(n + 1)?, gpu.alloc(n + 1)?, gpu.alloc(n + 1)?];
        kernels::membership_set_heads(
            gpu,
            grid,
            &runs.words,
            &runs.view,
            order,
            &mut is_set,
            &mut set_size,
            d,
        )?;
        sums(gpu, &is_set, &mut set_rank)?;
        sums(gpu, &set_size, &mut set_begin)?;
        kernels::membership_entry_heads(gpu, grid, superpoint, places, &is_set, &set_rank, &mut is_entry, d)?;
        sums(gpu, &is_entry, &mut entry_rank)?;

        let mut totals = gpu.alloc(3)?;
        kernels::membership_totals(gpu, [1; 3], &set_rank, &set_begin, &entry_rank, &mut totals, d)?;
        let totals: Vec<usize> = gpu.download(&totals)?.into_iter().map(|total| total as usize).collect();
        let mut sets = Sets {
            boxes: RaggedOnDevice { offsets: gpu.zeros(totals[0] + 1)?, values: gpu.alloc(totals[1])? },
            entry_offsets: gpu.alloc(superpoints + 1)?,
            entry_set: gpu.alloc(totals[2])?,
            entry_count: gpu.zeros(totals[2])?,
        };
        kernels::membership_sets(
            gpu,
            grid,
            &runs.words,
            &runs.view,
            order,
            &is_set,
            &set_rank,
            &set_begin,
            &input.of_view.offsets,
            &input.of_view.values,
            &mut sets.boxes.offsets,
            &mut sets.boxes.values,
            d,
        )?;
        kernels::membership_entries(
            gpu,
            grid,
            places,
            &is_entry,
            &entry_rank,
            order,
            &is_set,
            &set_rank,
            &runs.count,
            &mut sets.entry_set,
            &mut sets.entry_count,
            d,
        )?;
        let grid = blocks(superpoints + 1, BLOCK);
        kernels::membership_entry_offsets(gpu, grid, superpoint, &entry_rank, &mut sets.entry_offsets, d)?;
        Ok(sets)
    }
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
            lists[list].pop();
            let error = Sets::from_lists(lists).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
