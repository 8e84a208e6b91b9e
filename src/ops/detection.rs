//! From a dense grounding head's outputs to boxes: GLIP's ATSS post-processing.
//!
//! Location a of level l (stride s, square anchor of side z) at row r, column c has its anchor's centre at
//! ((s - 1)/2 + c s, (s - 1)/2 + r s). With logits `x[a, t]` and part j covering the tokens T_j:
//!
//! - `p[a, j]` = mean over t in T_j of `sigmoid(x[a, t])`; a candidate needs p > pre_nms;
//! - `v = p sigmoid(centerness[a])`; score = sqrt(v); each level keeps its top_n candidates by v;
//! - box = centre + z d_xy/w_xy -+ (z exp(d_wh/w_wh) - 1)/2, d_wh/w_wh at most ln(1000/16), clipped to the image;
//! - non-maximum suppression within each part; at most max_det boxes remain (more at a tie);
//! - score > threshold, descending; ties stay in the order of location, then part.

use crate::ops::nms;

/// One level of the feature pyramid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Pixels between locations.
    pub stride: usize,
    /// Side of the square anchor, in pixels.
    pub anchor: usize,
    /// Locations down.
    pub rows: usize,
    /// Locations across.
    pub columns: usize,
}

/// The numbers of the post-processing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Divisors of the regression's dx, dy, dw, dh.
    pub box_weights: [f32; 4],
    /// A part's mean probability must exceed this before the centerness counts.
    pub pre_nms: f32,
    /// Candidates kept per level.
    pub top_n: usize,
    /// IoU above which the weaker of two boxes of one part goes.
    pub nms: f32,
    /// Boxes kept per image.
    pub max_det: usize,
}

/// A head's outputs for one image.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[A, L]`, A locations (levels one after the other, each row by row), L tokens.
    pub token_logits: &'a [f32],
    /// `[A, 4]`: dx, dy, dw, dh.
    pub box_regression: &'a [f32],
    /// `[A]`.
    pub centerness: &'a [f32],
}

/// One box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The location it grew from, below A.
    pub location: usize,
    /// The part it shows, below P.
    pub part: usize,
    /// In [0, 1].
    pub score: f32,
    /// x1, y1, x2, y2 in pixels of the head's input, within the image.
    pub corners: [f32; 4],
}

/// Number of locations of all levels, A.
pub fn locations(levels: &[Level]) -> usize {
    levels.iter().map(|level| level.rows * level.columns).sum()
}

/// Level, row and column of a location.
pub fn locate(levels: &[Level], location: usize) -> Option<(usize, usize, usize)> {
    let mut rest = location;
    for (l, level) in levels.iter().enumerate() {
        let len = level.rows * level.columns;
        if rest < len {
            return Some((l, rest / level.columns, rest % level.columns));
        }
        rest -= len;
    }
    None
}

/// CPU reference.
pub mod cpu {
    use super::{Detection, Head, Level, Rules, locations, nms};
    use std::ops::Range;

    /// The boxes of one image.
    ///
    /// `parts`: `[P]` the tokens of each part, none for a part that has no token; `size`: height and width of the
    /// image within the head's input. The threshold comes first of all here: what it rejects could neither suppress nor
    /// displace what it accepts, so the boxes are those of the order above.
    pub fn detect(
        head: &Head,
        parts: &[Range<usize>],
        levels: &[Level],
        size: [usize; 2],
        rules: &Rules,
        threshold: f32,
    ) -> Vec<Detection> {
        let values = part_values(head, parts, rules.pre_nms);
        let mut found: Vec<Detection> = candidates(&values, parts.len(), levels, rules.top_n, threshold)
            .into_iter()
            .map(|index| {
                let (location, part) = (index / parts.len(), index % parts.len());
                let (regression, _) = head.box_regression.as_chunks::<4>();
                let corners = decode(regression[location], anchor(levels, location), rules.box_weights, size);
                Detection { location, part, score: values[index].sqrt(), corners }
            })
            .collect();
        found = suppress(&found, rules.nms);
        if let Some(last) = found.get(rules.max_det - 1).map(|d| d.score) {
            found.retain(|d| d.score >= last);
        }
        found
    }

    /// What is left of some boxes by non-maximum suppression within each part, strongest first.
    pub fn suppress(found: &[Detection], iou: f32) -> Vec<Detection> {
        let corners: Vec<_> = found.iter().map(|d| d.corners).collect();
        let scores: Vec<_> = found.iter().map(|d| d.score).collect();
        let labels: Vec<_> = found.iter().map(|d| d.part).collect();
        let kept = nms::cpu::nms(&corners, &scores, &labels, iou);
        let mut found: Vec<Detection> = kept.into_iter().map(|i| found[i]).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }

    /// v of every location and part, `[A, P]`; 0 where there is no candidate.
    pub fn part_values(head: &Head, parts: &[Range<usize>], pre_nms: f32) -> Vec<f32> {
        let tokens = head.token_logits.len() / head.centerness.len().max(1);
        assert_eq!(
            head.token_logits.len(),
            tokens * head.centerness.len(),
            "detection: token_logits must be [A, L]"
        );
        assert!(
            parts.iter().all(|t| t.end <= tokens),
            "detection: a part's tokens must lie below L = {tokens}"
        );
        let mut values = Vec::with_capacity(head.centerness.len() * parts.len());
        for (logits, &centerness) in head.token_logits.chunks_exact(tokens.max(1)).zip(head.centerness) {
            let centerness = sigmoid(centerness);
            values.extend(parts.iter().map(|part| {
                let sum: f32 = logits[part.clone()].iter().map(|&x| sigmoid(x)).sum();
                let probability = sum / part.len() as f32;
                if probability > pre_nms { probability * centerness } else { 0.0 }
            }));
        }
        values
    }

    /// The indices into `values` (`[A, P]`) of each level's `top_n` largest with a score above `threshold`, ascending.
    pub fn candidates(
        values: &[f32],
        parts: usize,
        levels: &[Level],
        top_n: usize,
        threshold: f32,
    ) -> Vec<usize> {
        assert_eq!(values.len(), locations(levels) * parts, "detection: values must be [A, P]");
        let (mut all, mut begin) = (vec![], 0);
        for level in levels {
            let end = begin + level.rows * level.columns * parts;
            let passes = |&i: &usize| values[i] > 0.0 && values[i].sqrt() > threshold;
            let mut chosen: Vec<usize> = (begin..end).filter(passes).collect();
            if chosen.len() > top_n {
                chosen
                    .select_nth_unstable_by(top_n, |&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
                chosen.truncate(top_n);
                chosen.sort_unstable();
            }
            all.extend(chosen);
            begin = end;
        }
        all
    }

    /// Centre x, y and side of a location's anchor.
    pub fn anchor(levels: &[Level], location: usize) -> [f32; 3] {
        let (level, row, column) = super::locate(levels, location).expect("the location lies below A");
        let Level { stride, anchor, .. } = levels[level];
        let center = |i: usize| (stride as f32 - 1.0) / 2.0 + (i * stride) as f32;
        [center(column), center(row), anchor as f32]
    }

    /// The box of one location, clipped to an image of `size` (height, width).
    pub fn decode(
        delta: [f32; 4],
        [cx, cy, side]: [f32; 3],
        weights: [f32; 4],
        size: [usize; 2],
    ) -> [f32; 4] {
        const LARGEST: f32 = 4.1351666; // ln(1000 / 16)
        let center = |center: f32, i: usize| delta[i] / weights[i] * side + center;
        let reach = |i: usize| 0.5 * (exp((delta[i] / weights[i]).min(LARGEST)) * side - 1.0);
        let (x, y, rx, ry) = (center(cx, 0), center(cy, 1), reach(2), reach(3));
        let clip = |v: f32, pixels: usize| v.clamp(0.0, pixels as f32 - 1.0);
        let [height, width] = size;
        [clip(x - rx, width), clip(y - ry, height), clip(x + rx, width), clip(y + ry, height)]
    }

    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }

    /// e^x to about an ulp, between e^-87 and e^88: the same bits on every machine and device, as the C library's are not
    /// (Cephes' `expf`).
    pub fn exp(x: f32) -> f32 {
        let x = x.clamp(-87.0, 88.0);
        // The sum leaves the integer nearest to x / ln 2 in its lowest bits.
        let shifted = x * std::f32::consts::LOG2_E + 12582912.0;
        let exponent = shifted.to_bits().wrapping_sub(0x4b40_0000).wrapping_add(127);
        let n = shifted - 12582912.0;
        let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
        let mut y = 1.987_569_1e-4;
        for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
            y = y * r + coefficient;
        }
        (y * (r * r) + r + 1.0) * f32::from_bits(exponent << 23)
    }
}

/// On a CUDA device, all images of a batch at once: bit for bit what the reference finds.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Level, Rules, locations};
    use crate::{
        error::{Error, Result},
        gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, DetectionDims, DetectionGatherDims},
        },
    };
    use cudarc::driver::DevicePtr;
    use std::ops::Range;

    const BLOCK: u32 = 256;
    /// Parts and locations share a sort key with the score.
    const MOST_PARTS: usize = 255;
    const MOST_LOCATIONS: usize = 1 << 24;

    /// A head's outputs for N images.
    #[derive(Debug)]
    pub struct Head<'a, B> {
        /// `[N, A, L]`
        pub token_logits: &'a B,
        /// `[N, A, 4]`
        pub box_regression: &'a B,
        /// `[N, A]`
        pub centerness: &'a B,
    }

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

    /// What a batch of up to `most` images needs, and the tables of the pyramid and of a prompt's parts.
    #[derive(Debug)]
    pub struct Workspace {
        most: usize,
        locations: usize,
        top_n: usize,
        part_count: usize,
        level_count: usize,
        levels: Buffer<u32>,
        parts: Buffer<u32>,
        values: Buffer<f32>,
        candidates: Buffer<u32>,
        counts: Buffer<u32>,
        keys: Buffer<u64>,
        corners: Buffer<f32>,
        part_begin: Buffer<u32>,
        kept: Buffer<u32>,
        chosen: Buffer<u32>,
        found: Buffer<u32>,
    }

    impl Workspace {
        /// The most images that it is enough for.
        pub fn most(&self) -> usize {
            self.most
        }

        /// `parts`: `[P]` the tokens of each part; `top_n`: that of the rules.
        ///
        /// # Errors
        /// [`Error::Invalid`] if there are more parts or locations than a sort key holds, [`Error::Device`] if there is
        /// not enough memory.
        pub fn new(
            gpu: &Gpu,
            most: usize,
            levels: &[Level],
            parts: &[Range<usize>],
            top_n: usize,
        ) -> Result<Workspace> {
            let (a, p, v) = (locations(levels), parts.len(), levels.len());
            if p > MOST_PARTS || a > MOST_LOCATIONS || most * a * p >= 1 << 32 {
                return Err(Error::invalid(format!(
                    "detection: {most} images of {a} locations and {p} parts; on a CUDA device the limits are \
                     {MOST_LOCATIONS} locations, {MOST_PARTS} parts and 2^32 of all together; detect fewer parts or \
                     images at once"
                )));
            }
            let mut first = 0;
            let mut level_table = vec![];
            for level in levels {
                let Level { stride, anchor, rows, columns } = *level;
                level_table.extend([stride, anchor, rows, columns, first].map(|x| x as u32));
                first += rows * columns;
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
                values: gpu.alloc(most * a * p)?,
                candidates: gpu.alloc(slots)?,
                counts: gpu.alloc(most * v)?,
                keys: gpu.alloc(slots)?,
                corners: gpu.alloc(4 * slots)?,
                part_begin: gpu.alloc(most * (p + 1))?,
                kept: gpu.alloc(slots)?,
                chosen: gpu.alloc(slots)?,
                found: gpu.alloc(most)?,
            })
        }
    }

    /// Finds the boxes of `images` images and leaves them in the workspace; returns how many each image has, the one
    /// thing that the host waits for.
    ///
    /// `size`, `rules`, `threshold`: as for the reference, with the workspace's `top_n`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if shapes do not fit together, [`Error::Device`] if the driver refuses.
    pub fn detect<B: DevicePtr<f32>>(
        gpu: &Gpu,
        head: &Head<B>,
        images: usize,
        size: [usize; 2],
        rules: &Rules,
        threshold: f32,
        workspace: &mut Workspace,
    ) -> Result<Vec<u32>> {
        let Workspace { most, locations, part_count, level_count, top_n, .. } = *workspace;
        let rows = images * locations;
        let tokens = head.token_logits.len() / rows.max(1);
        if images > most
            || head.token_logits.len() != tokens * rows
            || head.box_regression.len() != 4 * rows
            || head.centerness.len() != rows
            || rules.top_n != top_n
        {
            return Err(Error::invalid(format!(
                "detection: of {images} images (at most {most}) and {locations} locations, token_logits must be [N, A, \
                 L], box_regression [N, A, 4], centerness [N, A] and top_n {top_n}, not {}, {}, {} values and {}",
                head.token_logits.len(),
                head.box_regression.len(),
                head.centerness.len(),
                rules.top_n
            )));
        }
        if images == 0 || part_count == 0 {
            return Ok(vec![0; images]);
        }
        let [weight_x, weight_y, weight_w, weight_h] = rules.box_weights;
        let d = DetectionDims {
            images: images as u32,
            locations: locations as u32,
            tokens: tokens as u32,
            parts: part_count as u32,
            levels: level_count as u32,
            top_n: top_n as u32,
            max_det: rules.max_det as u32,
            pre_nms: rules.pre_nms,
            threshold,
            nms: rules.nms,
            weight_x,
            weight_y,
            weight_w,
            weight_h,
            last_x: size[1] as f32 - 1.0,
            last_y: size[0] as f32 - 1.0,
        };
        let Workspace {
            levels,
            parts,
            values,
            candidates,
            counts,
            keys,
            corners,
            part_begin,
            kept,
            chosen,
            found,
            ..
        } = workspace;
        let per_image = |threads: usize| [threads.div_ceil(BLOCK as usize) as u32, d.images, 1];
        let slots = level_count * top_n;
        let Head { token_logits, box_regression, centerness } = *head;
        kernels::detection_values(
            gpu,
            blocks(rows * part_count, BLOCK),
            token_logits,
            centerness,
            parts,
            values,
            d,
        )?;
        kernels::detection_select(
            gpu,
            [d.levels, d.images, 1],
            values,
            levels,
            candidates,
            counts,
            found,
            d,
        )?;
        kernels::detection_decode(
            gpu,
            per_image(slots + part_count + 1),
            candidates,
            counts,
            values,
            box_regression,
            levels,
            keys,
            corners,
            part_begin,
            d,
        )?;
        kernels::detection_suppress(gpu, [d.parts, d.images, 1], keys, corners, part_begin, kept, d)?;
        kernels::detection_order(gpu, per_image(slots), keys, part_begin, chosen, found, d)?;
        gpu.download(&found.slice(..images))
    }

    /// Writes the boxes that [`detect`] left in the workspace to the rows of `boxes` from `row` on.
    ///
    /// `counts`: what [`detect`] returned; `features`: `[N, A, C]`; `view`: that of the first image; `scale`: from pixels
    /// of the head's input to those of the view, x and y.
    ///
    /// # Errors
    /// [`Error::Invalid`] if shapes do not fit together, [`Error::Device`] if the driver refuses.
    #[allow(clippy::too_many_arguments)]
    pub fn gather(
        gpu: &Gpu,
        workspace: &Workspace,
        counts: &[u32],
        features: &impl DevicePtr<f32>,
        scale: [f32; 2],
        view: usize,
        row: usize,
        boxes: &mut Boxes,
    ) -> Result<()> {
        let Workspace { locations, level_count, top_n, .. } = *workspace;
        let total: usize = counts.iter().map(|&count| count as usize).sum();
        let channels = features.len() / (counts.len() * locations).max(1);
        let Boxes { views, parts, scores, bboxes, rects, features: rows } = boxes;
        if views.len() < row + total || rows.len() < (row + total) * channels {
            return Err(Error::invalid(format!(
                "detection: {total} boxes of {channels} features from row {row} on do not fit buffers for {} boxes and {} \
                 features",
                views.len(),
                rows.len()
            )));
        }
        let [scale_x, scale_y] = scale;
        let d = DetectionGatherDims {
            images: counts.len() as u32,
            locations: locations as u32,
            slots: (level_count * top_n) as u32,
            channels: channels as u32,
            view: view as u32,
            row: row as u32,
            scale_x,
            scale_y,
        };
        let Workspace { keys, corners, chosen, found, .. } = workspace;
        let grid = [total as u32, 1, 1];
        kernels::detection_gather(
            gpu, grid, keys, corners, chosen, found, features, views, parts, scores, bboxes, rects, rows, d,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};

    const LEVELS: [Level; 2] = [
        Level { stride: 8, anchor: 64, rows: 2, columns: 2 },
        Level { stride: 16, anchor: 128, rows: 1, columns: 1 },
    ];

    #[test]
    fn exponentials_to_an_ulp() {
        for i in -86_999..=87_999 {
            let x = i as f32 * 1e-3;
            let expected = (x as f64).exp();
            assert!(
                (exp(x) as f64 - expected).abs() <= 1.5e-7 * expected,
                "e^{x} = {expected}, not {}",
                exp(x)
            );
        }
        assert_eq!([exp(0.0), exp(-1e9), exp(f32::INFINITY)], [1.0, exp(-87.0), exp(88.0)]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn anchors_of_glip() {
        let corners = |a| {
            let [x, y, side] = anchor(&LEVELS, a);
            [x - (side - 1.0) / 2.0, y - (side - 1.0) / 2.0, x + (side - 1.0) / 2.0, y + (side - 1.0) / 2.0]
        };
        assert_eq!(corners(0), [-28.0, -28.0, 35.0, 35.0]);
        assert_eq!(corners(3), [-20.0, -20.0, 43.0, 43.0]);
        assert_eq!(corners(4), [-56.0, -56.0, 71.0, 71.0]);
        assert_eq!(locate(&LEVELS, 3), Some((0, 1, 1)));
        assert_eq!(locate(&LEVELS, 5), None);
    }

    #[test]
    fn decoding_clamps_growth_and_clips() {
        let weights = [10.0, 10.0, 5.0, 5.0];
        assert_eq!(decode([0.0; 4], [50.0, 40.0, 11.0], weights, [100, 100]), [45.0, 35.0, 55.0, 45.0]);
        assert_eq!(
            decode([10.0, 0.0, 0.0, 0.0], [50.0, 40.0, 11.0], weights, [100, 60]),
            [56.0, 35.0, 59.0, 45.0]
        );
        let [x1, _, x2, _] = decode([0.0, 0.0, 1e30, 0.0], [500.0, 500.0, 10.0], weights, [1000, 1000]);
        assert!((x2 - x1 - (10.0 * 1000.0 / 16.0 - 1.0)).abs() < 1e-2, "{x1} {x2}");
    }

    #[test]
    fn the_mean_of_sigmoids_not_the_sigmoid_of_the_mean() {
        let head = Head { token_logits: &[-3.0, 9.0, 4.0], box_regression: &[0.0; 4], centerness: &[0.0] };
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let values = part_values(&head, &[0..2, 2..3, 0..0, 0..1], 0.05);
        assert!((values[0] - (sigmoid(-3.0) + sigmoid(9.0)) / 4.0).abs() < 1e-6);
        assert!((values[1] - sigmoid(4.0) / 2.0).abs() < 1e-6);
        assert_eq!(values[2..], [0.0, 0.0], "no token, and a probability below pre_nms");
    }

    #[test]
    fn each_level_keeps_its_best() {
        let values = [0.1, 0.4, 0.4, 0.2, 0.3];
        assert_eq!(candidates(&values, 1, &LEVELS, 2, 0.0), [1, 2, 4]);
        assert_eq!(candidates(&values, 1, &LEVELS, 1, 0.0), [1, 4], "ties go to the lower index");
        assert_eq!(candidates(&values, 1, &LEVELS, 9, 0.6), [1, 2]);
    }

    #[test]
    fn a_tie_at_the_cap_is_kept_whole() {
        let rules = Rules { box_weights: [10.0; 4], pre_nms: 0.05, top_n: 9, nms: 0.01, max_det: 2 };
        let level = [Level { stride: 50, anchor: 10, rows: 1, columns: 4 }];
        let head =
            Head { token_logits: &[1.0, 3.0, 1.0, -1.0], box_regression: &[0.0; 16], centerness: &[9.0; 4] };
        let found = |max_det| {
            let rules = Rules { max_det, ..rules };
            let boxes = detect(&head, std::slice::from_ref(&(0..1)), &level, [50, 200], &rules, 0.0);
            boxes.iter().map(|b| b.location).collect::<Vec<_>>()
        };
        assert_eq!(found(4), [1, 0, 2, 3]);
        assert_eq!(found(2), [1, 0, 2]);
        assert_eq!(found(1), [1]);
    }
}
