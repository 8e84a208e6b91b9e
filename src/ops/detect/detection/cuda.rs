//! On a CUDA device, all images of a batch at once.

use crate::{
    device::gpu::{
        Buffer, Gpu,
        kernels::{self, DetectionDims, DetectionGatherDims},
    },
    error::{Error, Result},
};
use cudarc::driver::DevicePtr;
use std::ops::Range;

const BLOCK: usize = 256;
/// Parts and locations share a sort key with the score.
const MOST_PARTS: usize = 255;
const MOST_LOCATIONS: usize = 1 << 24;

/// Boxes, and the features at their locations.
#[derive(Debug)]
pub struct Boxes {
    /// `[B]`
    pub views: Buffer<u32>,
    /// `[B]`
    pub parts: Buffer<u32>,
    /// `[B]`
    pub scores: Buffer<f32>,
    /// x, y of the upper left corner, width, height in pixels of the view, `[B, 4]`.
    pub bboxes: Buffer<f32>,
    /// Left, top, right, bottom, `[B, 4]`.
    pub rects: Buffer<f32>,
    /// `[B, C]`
    pub features: Buffer<f32>,
}

impl Boxes {
    /// Room for `most` boxes with `channels` features each.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn new(gpu: &Gpu, most: usize, channels: usize) -> Result<Boxes> {
        Ok(Boxes {
            views: gpu.alloc(most)?,
            parts: gpu.alloc(most)?,
            scores: gpu.alloc(most)?,
            bboxes: gpu.alloc(4 * most)?,
            rects: gpu.alloc(4 * most)?,
            features: gpu.alloc(channels * most)?,
        })
    }

    /// Those of all batches, one after the other.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough, [`Error::Device`] if the driver refuses.
    pub fn concat(gpu: &Gpu, mut batches: Vec<Boxes>) -> Result<Boxes> {
        if batches.len() == 1 {
            return Ok(batches.remove(0));
        }
        Ok(Boxes {
            views: gpu.concat(batches.iter().map(|boxes| &boxes.views))?,
            parts: gpu.concat(batches.iter().map(|boxes| &boxes.parts))?,
            scores: gpu.concat(batches.iter().map(|boxes| &boxes.scores))?,
            bboxes: gpu.concat(batches.iter().map(|boxes| &boxes.bboxes))?,
            rects: gpu.concat(batches.iter().map(|boxes| &boxes.rects))?,
            features: gpu.concat(batches.iter().map(|boxes| &boxes.features))?,
        })
    }
}

/// What a batch of up to `most` images needs, and the tables of the head's levels and of a prompt's parts.
#[derive(Debug)]
pub struct Workspace {
    most: usize,
    locations: usize,
    top_n: usize,
    pub(in crate::ops) part_count: usize,
    level_count: usize,
    levels: Buffer<u32>,
    /// First and end of each part's tokens, `[P, 2]`.
    pub(in crate::ops) parts: Buffer<u32>,
    /// Of every location and part, 0 where there is no candidate, `[N, A, P]`.
    pub(in crate::ops) scores: Buffer<f32>,
    candidates: Buffer<u32>,
    counts: Buffer<u32>,
    /// The candidates by part, descending score, location, `[N, M]`.
    pub(in crate::ops) keys: Buffer<u64>,
    /// Their boxes, `[N, M, 4]`.
    pub(in crate::ops) corners: Buffer<f32>,
    /// Where those of each part begin, `[N, P + 1]`.
    pub(in crate::ops) part_begin: Buffer<u32>,
    kept: Buffer<u32>,
    pub(in crate::ops) chosen: Buffer<u32>,
    /// How many boxes each image has, and how many weak ones, `[N, 2]`.
    pub(in crate::ops) found: Buffer<u32>,
}

/// What a search leaves of a batch's images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many boxes each image has above the threshold, `[N]`.
    pub found: Vec<u32>,
    /// How many each has between the floor and the threshold, `[N]`.
    pub weak: Vec<u32>,
}

impl Counts {
    /// `counts`: found and weak, `[N, 2]`.
    pub(in crate::ops) fn of(counts: &[u32]) -> Counts {
        let (pairs, _) = counts.as_chunks::<2>();
        let (found, weak) = pairs.iter().map(|&[found, weak]| (found, weak)).unzip();
        Counts { found, weak }
    }

    /// Nothing in any of `images` images.
    pub fn none(images: usize) -> Counts {
        Counts { found: vec![0; images], weak: vec![0; images] }
    }
}

/// Which boxes to gather.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those above the threshold, with their features.
    Found,
    /// Those below it, without.
    Weak,
}

impl Workspace {
    /// The most images that it is enough for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// `levels`: `[V]` the locations of each level; `parts`: `[P]` the tokens of each part; `top_n`: candidates kept per
    /// level.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are more parts or locations than a sort key holds, [`Error::Memory`] if there is not
    /// enough memory.
    pub fn new(
        gpu: &Gpu,
        most: usize,
        levels: &[usize],
        parts: &[Range<usize>],
        top_n: usize,
    ) -> Result<Workspace> {
        let (a, p, v) = (levels.iter().sum::<usize>(), parts.len(), levels.len());
        if p > MOST_PARTS || a > MOST_LOCATIONS || most * a * p >= 1 << 32 {
            return Err(Error::invalid(format!(
                "detection: {most} images of {a} locations and {p} parts; on a CUDA device the limits are \
                 {MOST_LOCATIONS} locations, {MOST_PARTS} parts and 2^32 of all together; detect fewer parts or \
                 images at once"
            )));
        }
        let mut first = 0;
        let mut level_table = vec![];
        for &length in levels {
            level_table.extend([first, length as u32]);
            first += length as u32;
        }
        let part_table: Vec<u32> = parts.iter().flat_map(|t| [t.start as u32, t.end as u32]).collect();
        let slots = most * v * top_n;
        Ok(Workspace {
            most,
            locations: a,
            top_n,
            part_count: p,
            level_count: v,
            levels: gpu.upload(&level_table)?,
            parts: gpu.upload(&part_table)?,
            scores: gpu.alloc(most * a * p)?,
            candidates: gpu.alloc(slots)?,
            counts: gpu.alloc(most * v)?,
            keys: gpu.alloc(slots)?,
            corners: gpu.alloc(4 * slots)?,
            part_begin: gpu.alloc(most * (p + 1))?,
            kept: gpu.alloc(slots)?,
            chosen: gpu.alloc(slots)?,
            found: gpu.alloc(2 * most)?,
        })
    }

    /// Refuses what it was not made for.
    pub(in crate::ops) fn check(&self, images: usize, locations: usize, top_n: usize) -> Result<()> {
        if images <= self.most && (locations, top_n) == (self.locations, self.top_n) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "detection: {images} images of {locations} locations, {top_n} kept per level, in a workspace for at most {} \
             of {} and {}",
            self.most, self.locations, self.top_n
        )))
    }

    /// Slots for the candidates of an image, M.
    pub(in crate::ops) fn slots(&self) -> usize {
        self.level_count * self.top_n
    }

    /// Blocks of one thread per slot.
    pub(in crate::ops) fn grid(&self, images: usize) -> [u32; 3] {
        [self.slots().div_ceil(BLOCK) as u32, images as u32, 1]
    }

    fn dims(&self) -> DetectionDims {
        DetectionDims {
            locations: self.locations as u32,
            parts: self.part_count as u32,
            levels: self.level_count as u32,
            top_n: self.top_n as u32,
            max_det: 0,
            nms: 0.0,
            threshold: 0.0,
        }
    }

    /// From scores to the best of each level, by part.
    pub(in crate::ops) fn rank(&mut self, gpu: &Gpu, images: usize) -> Result<()> {
        let d = self.dims();
        let threads = self.slots() + self.part_count + 1;
        let Workspace { levels, scores, candidates, counts, keys, part_begin, found, .. } = self;
        let grid = [d.levels, images as u32, 1];
        kernels::detection_select(gpu, grid, scores, levels, candidates, counts, found, d)?;
        let grid = [threads.div_ceil(BLOCK) as u32, images as u32, 1];
        kernels::detection_rank(gpu, grid, candidates, counts, scores, keys, part_begin, d)
    }

    /// From candidates with boxes to those that remain; returns how many each image has above and below `threshold`.
    pub(in crate::ops) fn choose(
        &mut self,
        gpu: &Gpu,
        images: usize,
        nms: f32,
        max_det: usize,
        threshold: f32,
    ) -> Result<Counts> {
        let d = DetectionDims { nms, max_det: max_det as u32, threshold, ..self.dims() };
        let grid = self.grid(images);
        let Workspace { keys, corners, part_begin, kept, chosen, found, .. } = self;
        kernels::detection_suppress(gpu, [d.parts, images as u32, 1], keys, corners, part_begin, kept, d)?;
        kernels::detection_order(gpu, grid, keys, part_begin, chosen, found, d)?;
        Ok(Counts::of(&gpu.download(&found.slice(..2 * images))?))
    }
}

/// The boxes that a head's `detect` left in the workspace.
///
/// `counts`: what it returned; `which`: those that are found, or the weak ones; `features`: `[N, A, C]`; `view`: that of
/// the first image; `scale`: from pixels of the head's input to those of the view, x and y.
///
/// # Errors
/// [`Error::Memory`] if there is not enough memory, [`Error::Device`] if the driver refuses.
pub fn gather(
    gpu: &Gpu,
    workspace: &Workspace,
    counts: &Counts,
    which: Which,
    features: &impl DevicePtr<f32>,
    scale: [f32; 2],
    view: usize,
) -> Result<Boxes> {
    let Workspace { locations, level_count, top_n, .. } = *workspace;
    let (counts, channels) = match which {
        Which::Found => (&counts.found, features.len() / (counts.found.len() * locations).max(1)),
        Which::Weak => (&counts.weak, 0),
    };
    let total: usize = counts.iter().map(|&count| count as usize).sum();
    let mut boxes = Boxes::new(gpu, total, channels)?;
    let [scale_x, scale_y] = scale;
    let d = DetectionGatherDims {
        images: counts.len() as u32,
        locations: locations as u32,
        slots: (level_count * top_n) as u32,
        channels: channels as u32,
        view: view as u32,
        weak: (which == Which::Weak) as u32,
        scale_x,
        scale_y,
    };
    let Workspace { keys, corners, chosen, found, .. } = workspace;
    let Boxes { views, parts, scores, bboxes, rects, features: rows } = &mut boxes;
    let grid = [total as u32, 1, 1];
    kernels::detection_gather(
        gpu, grid, keys, corners, chosen, found, features, views, parts, scores, bboxes, rects, rows, d,
    )?;
    Ok(boxes)
}
