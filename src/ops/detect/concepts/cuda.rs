//! On a CUDA device, all pairs of a run, and then all rows of their views at once: bit for bit what the reference finds.

use super::{Rules, STAND_IN};
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, ConceptsDims, ConceptsKeepDims, ConceptsMasksDims, ConceptsRowsDims, QueriesDims},
    },
    error::{Error, Result},
    ops::{
        detect::detection::cuda::{Boxes, Counts, Which, Workspace, gather},
        expect_fours, expect_len,
        lift::{
            mask::{self, Tap},
            membership::cuda::Taps,
        },
    },
};

/// A decoder's outputs for B pairs.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Queries of a pair, Q.
    pub queries: usize,
    /// `[B, Q]`
    pub logits: &'a Buffer<f32>,
    /// `[B]`, if the decoder tells it.
    pub presence: Option<&'a Buffer<f32>>,
    /// `[B, Q, 4]`
    pub boxes: &'a Buffer<f32>,
    /// Side of the mask logits, S.
    pub low: usize,
    /// `[B, Q, S, S]`
    pub masks: &'a Buffer<f32>,
    /// `[B, Q, C]`, if the decoder gives any.
    pub features: Option<&'a Buffer<f32>>,
}

/// How views lie in the decoder's input.
#[derive(Debug)]
pub struct Frame {
    /// Height and width of the decoder's input.
    pub input: [usize; 2],
    /// Height and width of the view within it.
    pub size: [usize; 2],
    /// From pixels of the input to those of the view, x and y.
    pub scale: [f32; 2],
    rows: Taps,
    columns: Taps,
}

impl Frame {
    /// `taps`: what the view's rows and columns read of the mask logits.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn new(
        gpu: &Gpu,
        input: [usize; 2],
        size: [usize; 2],
        scale: [f32; 2],
        taps: &[Vec<Tap>; 2],
    ) -> Result<Frame> {
        Ok(Frame { input, size, scale, rows: Taps::of(gpu, &taps[0])?, columns: Taps::of(gpu, &taps[1])? })
    }

    /// Pixels of a view.
    fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }
}

/// What counts of some pairs, pair after pair, strongest first in each.
#[derive(Debug)]
pub struct Rows {
    /// Their boxes; the view is the pair.
    boxes: Boxes,
    /// `[M, ceil(H W / 32)]`
    masks: Buffer<u32>,
    /// Pixels of the masks, `[M]`.
    areas: Buffer<u32>,
    /// How likely the name is in the view, `[B]`.
    presence: Buffer<f32>,
    /// Channels of the boxes' features; 0 = four numbers stand in for them.
    channels: usize,
    /// How many rows each pair has, `[B]`; the host's.
    per_pair: Vec<u32>,
}

/// What remains of some views.
#[derive(Debug)]
pub struct Remaining {
    /// How many boxes of each view there are.
    pub counts: Counts,
    /// Those found.
    pub found: Boxes,
    /// Their masks, one bit a pixel, `[B, ceil(H W / 8)]`.
    pub masks: Buffer<u8>,
    /// The weak ones, without features.
    pub weak: Boxes,
}

/// What a run of up to `most` pairs needs.
///
/// # Errors
/// As [`Workspace::new`].
pub fn workspace(gpu: &Gpu, most: usize, queries: usize) -> Result<Workspace> {
    Workspace::new(gpu, most, &[queries], std::slice::from_ref(&(0..1)), queries)
}

/// What counts of `pairs` pairs, of which `first` is the first. The host waits for how many each has.
///
/// # Errors
/// [`Error::Invalid`] if shapes do not fit together, [`Error::Memory`] if there is not enough memory, [`Error::Device`] if the
/// driver refuses.
#[allow(clippy::too_many_arguments)]
pub fn candidates(
    gpu: &Gpu,
    answer: &Answer,
    frame: &Frame,
    pairs: usize,
    first: usize,
    rules: &Rules,
    threshold: f32,
    workspace: &mut Workspace,
) -> Result<Rows> {
    let Answer { queries, logits, presence, boxes, low, masks, features } = *answer;
    let all = pairs * queries;
    workspace.check(pairs, queries, queries)?;
    expect_len("concepts", "logits [B, Q]", logits.len(), all)?;
    expect_len("concepts", "boxes [B, Q, 4]", boxes.len(), 4 * all)?;
    expect_fours(gpu, "concepts", "boxes [B, Q, 4]", boxes)?;
    expect_len("concepts", "masks [B, Q, S, S]", masks.len(), all * low * low)?;
    expect_len("concepts", "presence [B]", presence.map_or(pairs, |buffer| buffer.len()), pairs)?;
    let (pixels, words) = (frame.pixels(), frame.pixels().div_ceil(32));
    let (mut likely, none) = (gpu.alloc(pairs)?, gpu.alloc(0)?);
    let d = ConceptsDims {
        pairs: pairs as u32,
        queries: queries as u32,
        present: presence.is_some() as u32,
        likely: rules.probabilities as u32,
        threshold,
    };
    let presence = presence.unwrap_or(&none);
    kernels::concepts_scores(gpu, blocks(all, 256), logits, presence, &mut workspace.scores, &mut likely, d)?;
    workspace.rank(gpu, pairs)?;
    let d = QueriesDims {
        images: pairs as u32,
        queries: queries as u32,
        tokens: 1,
        parts: 1,
        slots: workspace.slots() as u32,
        largest: 0,
        form: rules.form as u32,
        threshold,
        width: frame.input[1] as f32,
        height: frame.input[0] as f32,
        last_x: frame.size[1] as f32 - 1.0,
        last_y: frame.size[0] as f32 - 1.0,
    };
    let grid = workspace.grid(pairs);
    let Workspace { keys, part_begin, corners, .. } = workspace;
    kernels::queries_decode(gpu, grid, keys, part_begin, boxes, corners, d)?;
    let counts = workspace.choose(gpu, pairs, 1.0, rules.max_det, threshold)?;
    let rows: usize = counts.found.iter().map(|&count| count as usize).sum();
    if rows > 65_535 || pixels >= 1 << 31 {
        return Err(Error::invalid(format!(
            "concepts: {rows} masks of {pixels} pixels; on a CUDA device at most 65535 of fewer than 2^31 fit a run; ask for \
             fewer names at once"
        )));
    }
    let features = features.unwrap_or(&none);
    let channels = features.len() / all.max(1);
    let mut made = Rows {
        boxes: gather(gpu, workspace, &counts, Which::Found, features, frame.scale, first)?,
        masks: gpu.alloc(rows * words)?,
        areas: gpu.zeros(rows)?,
        presence: likely,
        channels,
        per_pair: counts.found.clone(),
    };
    let d = ConceptsMasksDims {
        pairs: pairs as u32,
        queries: queries as u32,
        slots: workspace.slots() as u32,
        low: low as u32,
        height: frame.rows.len() as u32,
        width: frame.columns.len() as u32,
        words: words as u32,
    };
    kernels::concepts_masks(
        gpu,
        [words.div_ceil(8) as u32, rows as u32, 1],
        &workspace.keys,
        &workspace.chosen,
        &workspace.found,
        masks,
        &frame.rows.first,
        &frame.rows.weights,
        &frame.columns.first,
        &frame.columns.weights,
        &mut made.masks,
        &mut made.areas,
        d,
    )?;
    Ok(made)
}

impl Rows {
    /// Those of all runs, one after the other.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory, [`Error::Device`] if the driver refuses.
    pub fn concat(gpu: &Gpu, mut runs: Vec<Rows>) -> Result<Rows> {
        if runs.len() == 1 {
            return Ok(runs.remove(0));
        }
        Ok(Rows {
            masks: gpu.concat(runs.iter().map(|rows| &rows.masks))?,
            areas: gpu.concat(runs.iter().map(|rows| &rows.areas))?,
            presence: gpu.concat(runs.iter().map(|rows| &rows.presence))?,
            channels: runs.first().map_or(0, |rows| rows.channels),
            per_pair: runs.iter().flat_map(|rows| &rows.per_pair).copied().collect(),
            boxes: Boxes::concat(gpu, runs.into_iter().map(|rows| rows.boxes).collect())?,
        })
    }

    /// What remains of views of so many names, of which `view` is the first. The host waits for how many boxes each has.
    ///
    /// # Errors
    /// As [`candidates`].
    pub fn remaining(
        &self,
        gpu: &Gpu,
        frame: &Frame,
        names: usize,
        view: usize,
        rules: &Rules,
        threshold: f32,
    ) -> Result<Remaining> {
        let views = self.per_pair.len() / names.max(1);
        expect_len("concepts", "pairs", self.per_pair.len(), views * names)?;
        let mut begin = vec![0];
        for of_view in self.per_pair.chunks(names.max(1)) {
            begin.push(begin[begin.len() - 1] + of_view.iter().sum::<u32>());
        }
        let most = begin.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let (rows, words) = (self.areas.len(), frame.pixels().div_ceil(32));
        let d = ConceptsRowsDims {
            rows: rows as u32,
            names: names as u32,
            words: words as u32,
            matrix: most.div_ceil(32),
            max_det: rules.max_det as u32,
            nms: rules.nms,
            threshold,
        };
        let Rows { boxes: Boxes { views: pairs, scores, .. }, masks, areas, .. } = self;
        let begin = gpu.upload(&begin)?;
        let (mut order, mut beaten, mut kept) = (gpu.alloc(rows)?, gpu.alloc(rows)?, gpu.alloc(rows)?);
        let mut beats = gpu.alloc(rows * d.matrix as usize)?;
        let mut counts = gpu.alloc(2 * views)?;
        kernels::concepts_order(gpu, blocks(rows, 256), pairs, scores, &begin, &mut order, d)?;
        kernels::concepts_overlap(
            gpu,
            [rows as u32, 1, 1],
            &order,
            pairs,
            &begin,
            masks,
            areas,
            &mut beats,
            d,
        )?;
        kernels::concepts_suppress(
            gpu,
            [views as u32, 1, 1],
            &order,
            scores,
            &begin,
            &beats,
            &mut beaten,
            &mut kept,
            &mut counts,
            d,
        )?;
        let remain = Counts::of(&gpu.download(&counts)?);
        let of = |counts: &[u32]| counts.iter().sum::<u32>() as usize;
        let stand_in = self.channels == 0;
        let channels = if stand_in { STAND_IN } else { self.channels };
        let mut found = Boxes::new(gpu, of(&remain.found), channels)?;
        let mut weak = Boxes::new(gpu, of(&remain.weak), 0)?;
        let mut bits = gpu.alloc(found.views.len() * mask::bytes(frame.pixels()))?;
        let mut none = gpu.alloc(0)?;
        for (to, bits, is_weak) in [(&mut found, &mut bits, false), (&mut weak, &mut none, true)] {
            let d = ConceptsKeepDims {
                views: views as u32,
                names: names as u32,
                channels: if is_weak { 0 } else { self.channels as u32 },
                words: words as u32,
                bytes: if is_weak { 0 } else { mask::bytes(frame.pixels()) as u32 },
                view: view as u32,
                pixels: frame.pixels() as u32,
                weak: is_weak as u32,
                stand_in: (!is_weak && stand_in) as u32,
            };
            kernels::concepts_keep(
                gpu,
                [to.views.len() as u32, 1, 1],
                &begin,
                &kept,
                &counts,
                pairs,
                scores,
                &self.boxes.bboxes,
                &self.boxes.rects,
                &self.boxes.features,
                masks,
                areas,
                &self.presence,
                &mut to.views,
                &mut to.parts,
                &mut to.scores,
                &mut to.bboxes,
                &mut to.rects,
                &mut to.features,
                bits,
                d,
            )?;
        }
        Ok(Remaining { counts: remain, found, masks: bits, weak })
    }
}
