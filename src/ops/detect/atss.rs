//! From a dense grounding head's outputs to boxes: GLIP's ATSS post-processing.
//!
//! Location a of level l (stride s, square anchor of side z) at row r, column c has its anchor's centre at
//! ((s - 1)/2 + c s, (s - 1)/2 + r s). With logits `x[a, t]` and part j covering the tokens T_j:
//!
//! - `p[a, j]` = mean over t in T_j of `sigmoid(x[a, t])`; a candidate needs p > pre_nms;
//! - score = `sqrt(p sigmoid(centerness[a]))`; each level keeps its top_n candidates;
//! - box = centre + z d_xy/w_xy -+ (z exp(d_wh/w_wh) - 1)/2, d_wh/w_wh at most ln(1000/16), clipped to the image;
//! - non-maximum suppression within each part; at most max_det boxes remain (more at a tie);
//! - score > threshold, descending; ties stay in the order of location, then part.

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
    use super::{Head, Level, Rules, locations};
    use crate::ops::detect::detection::{
        Detection,
        cpu::{clip, exp, sigmoid, suppress},
    };
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
        let scores = scores(head, parts, rules.pre_nms);
        let found: Vec<Detection> = candidates(&scores, parts.len(), levels, rules.top_n, threshold)
            .into_iter()
            .map(|index| {
                let (location, part) = (index / parts.len(), index % parts.len());
                let (regression, _) = head.box_regression.as_chunks::<4>();
                let corners = decode(regression[location], anchor(levels, location), rules.box_weights, size);
                Detection { location, part, score: scores[index], corners }
            })
            .collect();
        suppress(&found, rules.nms, rules.max_det)
    }

    /// The score of every location and part, `[A, P]`; 0 where there is no candidate.
    pub fn scores(head: &Head, parts: &[Range<usize>], pre_nms: f32) -> Vec<f32> {
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
        let mut scores = Vec::with_capacity(head.centerness.len() * parts.len());
        for (logits, &centerness) in head.token_logits.chunks_exact(tokens.max(1)).zip(head.centerness) {
            let centerness = sigmoid(centerness);
            scores.extend(parts.iter().map(|part| {
                let sum: f32 = logits[part.clone()].iter().map(|&x| sigmoid(x)).sum();
                let probability = sum / part.len() as f32;
                if probability > pre_nms { (probability * centerness).sqrt() } else { 0.0 }
            }));
        }
        scores
    }

    /// The indices into `scores` (`[A, P]`) of each level's `top_n` largest above `threshold`, ascending.
    pub fn candidates(
        scores: &[f32],
        parts: usize,
        levels: &[Level],
        top_n: usize,
        threshold: f32,
    ) -> Vec<usize> {
        assert_eq!(scores.len(), locations(levels) * parts, "detection: scores must be [A, P]");
        let (mut all, mut begin) = (vec![], 0);
        for level in levels {
            let end = begin + level.rows * level.columns * parts;
            let passes = |&i: &usize| scores[i] > threshold.max(0.0);
            let mut chosen: Vec<usize> = (begin..end).filter(passes).collect();
            if chosen.len() > top_n {
                chosen
                    .select_nth_unstable_by(top_n, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
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
        let [height, width] = size;
        [clip(x - rx, width), clip(y - ry, height), clip(x + rx, width), clip(y + ry, height)]
    }
}

/// On a CUDA device, all images of a batch at once: bit for bit what the reference finds.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Level, Rules, locations};
    use crate::{
        device::gpu::{
            Gpu, blocks,
            kernels::{self, AtssDims},
        },
        error::{Error, Result},
        ops::detect::detection::cuda::Workspace,
    };
    use cudarc::driver::DevicePtr;
    use std::ops::Range;

    /// A head's outputs for N images.
    #[derive(Debug)]
    pub struct Head<'a, B> {
        /// The pyramid.
        pub levels: &'a [Level],
        /// `[N, A, L]`
        pub token_logits: &'a B,
        /// `[N, A, 4]`
        pub box_regression: &'a B,
        /// `[N, A]`
        pub centerness: &'a B,
    }

    /// What a batch of up to `most` images needs. `parts`: `[P]` the tokens of each part.
    ///
    /// # Errors
    /// As [`Workspace::new`].
    pub fn workspace(
        gpu: &Gpu,
        most: usize,
        levels: &[Level],
        parts: &[Range<usize>],
        rules: &Rules,
    ) -> Result<Workspace> {
        let levels: Vec<usize> = levels.iter().map(|level| level.rows * level.columns).collect();
        Workspace::new(gpu, most, &levels, parts, rules.top_n)
    }

    /// Finds the boxes of `images` images and leaves them in the workspace; returns how many each image has, the one
    /// thing that the host waits for.
    ///
    /// `size`, `rules`, `threshold`: as for the reference.
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
        let Head { levels, token_logits, box_regression, centerness } = *head;
        let rows = images * locations(levels);
        let (tokens, parts) = (token_logits.len() / rows.max(1), workspace.part_count);
        workspace.check(images, locations(levels), rules.top_n)?;
        if token_logits.len() != tokens * rows || box_regression.len() != 4 * rows || centerness.len() != rows
        {
            return Err(Error::invalid(format!(
                "detection: of {images} images and {} locations, token_logits must be [N, A, L], box_regression [N, A, 4] \
                 and centerness [N, A], not {}, {} and {} values",
                locations(levels),
                token_logits.len(),
                box_regression.len(),
                centerness.len()
            )));
        }
        let [weight_x, weight_y, weight_w, weight_h] = rules.box_weights;
        let d = AtssDims {
            images: images as u32,
            locations: locations(levels) as u32,
            tokens: tokens as u32,
            parts: parts as u32,
            levels: levels.len() as u32,
            slots: workspace.slots() as u32,
            pre_nms: rules.pre_nms,
            threshold,
            weight_x,
            weight_y,
            weight_w,
            weight_h,
            last_x: size[1] as f32 - 1.0,
            last_y: size[0] as f32 - 1.0,
        };
        if images == 0 || parts == 0 {
            return Ok(vec![0; images]);
        }
        let mut first = 0;
        let mut table = vec![];
        for &Level { stride, anchor, rows, columns } in levels {
            table.extend([stride, anchor, columns, first].map(|x| x as u32));
            first += rows * columns;
        }
        let levels = gpu.upload(&table)?;
        let Workspace { parts: tokens, scores, .. } = workspace;
        kernels::atss_scores(gpu, blocks(rows * parts, 256), token_logits, centerness, tokens, scores, d)?;
        workspace.rank(gpu, images)?;
        let grid = workspace.grid(images);
        let Workspace { keys, part_begin, corners, .. } = workspace;
        kernels::atss_decode(gpu, grid, keys, part_begin, box_regression, &levels, corners, d)?;
        workspace.choose(gpu, images, rules.nms, rules.max_det)
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
        let values = scores(&head, &[0..2, 2..3, 0..0, 0..1], 0.05);
        assert!((values[0].powi(2) - (sigmoid(-3.0) + sigmoid(9.0)) / 4.0).abs() < 1e-6);
        assert!((values[1].powi(2) - sigmoid(4.0) / 2.0).abs() < 1e-6);
        assert_eq!(values[2..], [0.0, 0.0], "no token, and a probability below pre_nms");
    }

    #[test]
    fn each_level_keeps_its_best() {
        let scores = [0.1, 0.4, 0.4, 0.2, 0.3];
        assert_eq!(candidates(&scores, 1, &LEVELS, 2, 0.0), [1, 2, 4]);
        assert_eq!(candidates(&scores, 1, &LEVELS, 1, 0.0), [1, 4], "ties go to the lower index");
        assert_eq!(candidates(&scores, 1, &LEVELS, 9, 0.35), [1, 2]);
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
