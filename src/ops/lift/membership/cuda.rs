//! On a CUDA device.
//!
//! The host waits once, for how many sets, boxes in sets and entries there are, which the result needs. With these it learns
//! how many runs there were (visible points of one superpoint and set among 32 neighbours): if there was no room for all, it
//! begins again with enough.

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
            sort::cuda::{Pairs, Workspace, bits, pairs_up_to},
        },
        expect_len,
        lift::observe::cuda::{Observed, Partition},
    },
};

const BLOCK: u32 = 256;
const WARP: usize = 32;

/// The taps of an axis ([`mask::taps`]), on the device.
#[derive(Debug)]
pub struct Taps {
    pub(crate) first: Buffer<u32>,
    pub(crate) weights: Buffer<f32>,
}

impl Taps {
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn new(gpu: &Gpu, side: usize) -> Result<Taps> {
        Taps::of(gpu, &mask::taps(side))
    }

    /// # Errors
    /// As [`Taps::new`].
    pub fn of(gpu: &Gpu, taps: &[mask::Tap]) -> Result<Taps> {
        let first: Vec<u32> = taps.iter().map(|tap| tap.first).collect();
        let weights: Vec<f32> = taps.iter().flat_map(|tap| tap.weights).collect();
        Ok(Taps { first: gpu.upload(&first)?, weights: gpu.upload(&weights)? })
    }

    /// Rows or columns of the image.
    pub(in crate::ops) fn len(&self) -> usize {
        self.first.len()
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

    /// What [`Sets::from_lists`](super::Sets::from_lists) makes the same from, on the host.
    pub fn lists(&self) -> [&Buffer<u32>; 5] {
        let Sets { boxes, entry_offsets, entry_set, entry_count } = self;
        [&boxes.offsets, &boxes.values, entry_offsets, entry_set, entry_count]
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

/// Equal sets of neighbouring points of a superpoint in a view, counted; there is room for C.
struct Runs {
    /// `[W, C]`.
    words: Buffer<u32>,
    /// `[C]`.
    view: Buffer<u32>,
    /// `[C]`.
    superpoint: Buffer<u32>,
    /// `[C]`.
    count: Buffer<u32>,
    /// How many there are, `[1]`; only C are kept.
    total: Buffer<u32>,
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
    // A guess that mostly holds.
    let mut capacity = d.points as usize * d.views as usize / 4 + 1024;
    loop {
        let runs = find(gpu, input, &gates, MembershipDims { capacity: capacity as u32, ..d })?;
        match compress(gpu, input, &runs, MembershipDims { capacity: capacity as u32, ..d })? {
            Ok(sets) => return Ok(sets),
            Err(needed) => capacity = needed,
        }
    }
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
    Ok(Runs { words, view, superpoint, count, total })
}

/// What comes of runs: the sets, or how many runs there are if there was no room for all.
type Compressed = std::result::Result<Sets, usize>;

fn compress(gpu: &Gpu, input: &Input, runs: &Runs, dims: MembershipDims) -> Result<Compressed> {
    let Runs { words, view, superpoint, count, total } = runs;
    let (n, superpoints) = (dims.capacity as usize, dims.superpoints as usize);
    let d = MembershipRunsDims {
        superpoints: dims.superpoints,
        words: dims.words,
        capacity: dims.capacity,
        shift: input.most as u32,
    };
    let grid = blocks(n, BLOCK);
    let (mut by_set, mut by_superpoint) = (Pairs::new(gpu, n)?, Pairs::new(gpu, n)?);
    let mut sorting = Workspace::new(gpu, n)?;
    let mut sort =
        |gpu, pairs: &mut Pairs<u32>, bits| pairs_up_to(gpu, pairs, n, Some(total), bits, &mut sorting);

    // By set, the lowest word first, then by view; as one key where both fit.
    let of_view = bits(dims.views as usize);
    let one_key = d.shift < u32::BITS && d.shift + of_view <= u32::BITS && d.words == 1;
    for w in 0..d.words as usize {
        let word = words.slice(w * n..(w + 1) * n);
        let Pairs { keys, values } = &mut by_set;
        let above = one_key.then_some(view);
        match w {
            0 => kernels::membership_first_keys(gpu, grid, &word, None, above, total, keys, values, d)?,
            _ => kernels::membership_keys(gpu, grid, &word, &*values, total, keys, d)?,
        }
        let boxes = (input.most - w * WARP).min(WARP) as u32;
        sort(gpu, &mut by_set, if one_key { boxes + of_view } else { boxes })?;
    }
    if !one_key {
        kernels::membership_keys(gpu, grid, view, &by_set.values, total, &mut by_set.keys, d)?;
        sort(gpu, &mut by_set, of_view)?;
    }
    let order = &by_set.values;
    // Within a superpoint that order stays.
    let Pairs { keys, values } = &mut by_superpoint;
    kernels::membership_first_keys(gpu, grid, superpoint, Some(order), None, total, keys, values, d)?;
    sort(gpu, &mut by_superpoint, bits(superpoints))?;
    let Pairs { keys: superpoint, values: places } = &by_superpoint;

    let mut scanning = scan::cuda::Workspace::new(gpu, n)?;
    let mut sums = |gpu, heads: &Buffer<u32>, sums: &mut Buffer<u32>| {
        scan::cuda::exclusive(gpu, heads, n, sums, &mut scanning)
    };
    let [mut is_set, mut set_size, mut is_entry] = [gpu.alloc(n)?, gpu.alloc(n)?, gpu.alloc(n)?];
    let [mut set_rank, mut set_begin, mut entry_rank] =
        [gpu.alloc(n + 1)?, gpu.alloc(n + 1)?, gpu.alloc(n + 1)?];
    kernels::membership_set_heads(gpu, grid, words, view, order, total, &mut is_set, &mut set_size, d)?;
    sums(gpu, &is_set, &mut set_rank)?;
    sums(gpu, &set_size, &mut set_begin)?;
    kernels::membership_entry_heads(
        gpu,
        grid,
        superpoint,
        places,
        &is_set,
        &set_rank,
        total,
        &mut is_entry,
        d,
    )?;
    sums(gpu, &is_entry, &mut entry_rank)?;

    let mut sizes = gpu.alloc(4)?;
    kernels::membership_sizes(gpu, [1; 3], &set_rank, &set_begin, &entry_rank, total, &mut sizes, d)?;
    let sizes: Vec<usize> = gpu.download(&sizes)?.into_iter().map(|size| size as usize).collect();
    if sizes[3] > n {
        return Ok(Err(sizes[3]));
    }
    let mut sets = Sets {
        boxes: RaggedOnDevice { offsets: gpu.alloc(sizes[0] + 1)?, values: gpu.alloc(sizes[1])? },
        entry_offsets: gpu.alloc(superpoints + 1)?,
        entry_set: gpu.alloc(sizes[2])?,
        entry_count: gpu.zeros(sizes[2])?,
    };
    kernels::membership_sets(
        gpu,
        grid,
        words,
        view,
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
        count,
        total,
        &mut sets.entry_set,
        &mut sets.entry_count,
        d,
    )?;
    let grid = blocks(superpoints + 1, BLOCK);
    let offsets = &mut sets.entry_offsets;
    kernels::membership_entry_offsets(gpu, grid, superpoint, &entry_rank, total, offsets, d)?;
    Ok(Ok(sets))
}
