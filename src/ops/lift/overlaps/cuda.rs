//! On a CUDA device: the reference's sums. The grouping itself is the host's; it takes B x B numbers.

use super::Overlaps;
use crate::{
    device::{
        download::Download,
        gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, OverlapsDims},
        },
    },
    error::Result,
    ops::{
        expect_len,
        lift::{membership::cuda::Sets, observe::cuda::Observed},
    },
};

/// The boxes, and which points of the superpoints they hold.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What each view shows of each superpoint.
    pub observed: &'a Observed,
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// `[B]`.
    pub box_label: &'a Buffer<u32>,
    /// `[B]`.
    pub box_view: &'a Buffer<u32>,
    /// K.
    pub views: usize,
}

/// How many points of each superpoint each box holds. The overlaps take 8 B^2 bytes more, here and on the host.
#[derive(Debug)]
pub struct Held<'a> {
    input: Input<'a>,
    /// `[S, B]`.
    pub(in crate::ops) counts: Buffer<u32>,
    dims: OverlapsDims,
}

/// What follows from them.
#[derive(Debug)]
pub struct Sums {
    /// As [`Overlaps::of_superpoints`].
    pub overlaps: Overlaps,
    /// The part and the view of every box, `[B]`.
    pub owners: [Vec<u32>; 2],
    /// [`Overlaps::shown`] on the device, `[B, K]`.
    pub shown: Buffer<u64>,
}

impl<'a> Held<'a> {
    /// Counts the points of each superpoint in each box.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Memory`](crate::Error::Memory),
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn count(gpu: &Gpu, input: Input<'a>) -> Result<Held<'a>> {
        let Input { observed, sets, box_label, box_view, views } = input;
        let (s, b) = (sets.superpoints(), box_label.len());
        expect_len("overlaps", "box_view [B]", box_view.len(), b)?;
        expect_len("overlaps", "observed [S, K]", observed.counts.len(), s * views)?;
        let dims = OverlapsDims { superpoints: s as u32, boxes: b as u32, views: views as u32 };
        let mut counts = gpu.alloc(s * b)?;
        let Sets { boxes, entry_offsets, entry_set, entry_count } = sets;
        let each = [s as u32, 1, 1];
        kernels::overlaps_held(
            gpu,
            each,
            entry_offsets,
            entry_set,
            entry_count,
            &boxes.offsets,
            &boxes.values,
            &mut counts,
            dims,
        )?;
        Ok(Held { input, counts, dims })
    }

    /// Their sums, and what else the host shall have; it waits for them.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory); [`Error::Device`](crate::Error::Device) if anything before it failed.
    pub fn sums<D: Download>(&self, gpu: &Gpu, also: D) -> Result<(Sums, D::Host)> {
        let Held { input, counts, dims } = self;
        let Input { observed, sets, box_label, box_view, views } = *input;
        let b = box_label.len();
        let (mut shared, mut shown_there) = (gpu.zeros::<u64>(b * b)?, gpu.zeros::<u64>(b * views)?);
        let Sets { boxes, entry_offsets, entry_set, entry_count } = sets;
        let each = [dims.superpoints, 1, 1];
        kernels::overlaps_sum(
            gpu,
            each,
            counts,
            entry_offsets,
            entry_set,
            entry_count,
            &boxes.offsets,
            &boxes.values,
            box_label,
            box_view,
            &observed.counts,
            &mut shared,
            &mut shown_there,
            *dims,
        )?;
        let ([shared, shown], owners, also) =
            gpu.download_all(([&shared, &shown_there], [box_label, box_view], also))?;
        let row = |a: usize| {
            let later = (a + 1..b).map(|other| (other as u32, shared[a * b + other]));
            later.filter(|&(_, shared)| shared > 0).collect::<Vec<_>>()
        };
        let overlaps = Overlaps { shared: (0..b).map(row).collect(), shown };
        Ok((Sums { overlaps, owners, shown: shown_there }, also))
    }

    /// The group of its part that holds most of each superpoint's visible points, the first of equals, -1 = none, `[S]`.
    ///
    /// `label`: the part of every superpoint, negative = none, `[S]`; `group`: of every box, as [`Overlaps::groups`] says,
    /// `[B]`.
    ///
    /// # Errors
    /// As [`Held::count`].
    pub fn holders(&self, gpu: &Gpu, label: &Buffer<i32>, group: &[i32]) -> Result<Buffer<i32>> {
        let Held { input, counts, dims } = self;
        let s = dims.superpoints as usize;
        expect_len("overlaps", "label [S]", label.len(), s)?;
        expect_len("overlaps", "group [B]", group.len(), dims.boxes as usize)?;
        let mut holder = gpu.alloc(s)?;
        let group = gpu.upload(group)?;
        kernels::overlaps_holders(
            gpu,
            blocks(s * 32, 256),
            counts,
            label,
            input.box_label,
            &group,
            &mut holder,
            *dims,
        )?;
        Ok(holder)
    }
}
