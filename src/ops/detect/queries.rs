//! From a query detector's outputs to boxes: GroundingDINO's post-processing, by parts instead of by tokens.
//!
//! With logits `x[q, t]`, boxes (cx, cy, w, h)`[q]` in parts of the image, and part j covering the tokens T_j: the score of (q, j) is
//! the mean or the largest over t in T_j of `sigmoid(x[q, t])`. Scores above the threshold count, descending; ties stay in the
//! order of query, then part; non-maximum suppression within each part; the strongest max_det remain (more at a tie).

/// How the scores of a part's tokens become the part's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phrase {
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

/// What a query's box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Centre, width and height, in parts of the detector's input.
    Center,
    /// Left, top, right, bottom, in parts of the detector's input.
    Corners,
    /// Left, top, right, bottom, in pixels of the detector's input.
    CornerPixels,
}

/// The numbers of the post-processing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// From tokens to parts.
    pub phrase: Phrase,
    /// IoU above which the weaker of two boxes of one part goes; 1 keeps all.
    pub nms: f32,
    /// Boxes kept per image.
    pub max_det: usize,
}

/// CPU reference.
pub mod cpu {
    use super::{Form, Phrase, Rules};
    use crate::{
        error::Result,
        ops::{
            detect::detection::{
                Detection,
                cpu::{clip, expect_tokens, sigmoid, suppress},
            },
            expect_len,
        },
    };
    use std::ops::Range;

    /// The boxes of one image; their location is the query.
    ///
    /// `token_logits`: `[Q, L]`; `boxes`: `[Q, 4]`, in parts of the detector's input; `parts`: `[P]` the tokens of each part;
    /// `input`, `size`: height and width of the detector's input, and of the image within it.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn detect(
        token_logits: &[f32],
        boxes: &[f32],
        parts: &[Range<usize>],
        input: [usize; 2],
        size: [usize; 2],
        rules: &Rules,
        threshold: f32,
    ) -> Result<Vec<Detection>> {
        let (boxes, _) = boxes.as_chunks::<4>();
        let tokens = token_logits.len() / boxes.len().max(1);
        expect_len("queries", "token_logits [Q, L]", token_logits.len(), tokens * boxes.len())?;
        expect_tokens("queries", parts, tokens)?;
        let mut found = vec![];
        for (location, (logits, &center)) in token_logits.chunks_exact(tokens.max(1)).zip(boxes).enumerate() {
            for (part, span) in parts.iter().enumerate() {
                let score = score(&logits[span.clone()], rules.phrase);
                if score > threshold {
                    let corners = corners(center, Form::Center, input, size);
                    found.push(Detection { location, part, score, corners });
                }
            }
        }
        Ok(suppress(&found, rules.nms, rules.max_det))
    }

    /// The score of one part; NaN, which exceeds no threshold, for a part without tokens.
    fn score(logits: &[f32], phrase: Phrase) -> f32 {
        let sigmoids = logits.iter().map(|&x| sigmoid(x));
        match phrase {
            Phrase::Mean => sigmoids.sum::<f32>() / logits.len() as f32,
            Phrase::Max => sigmoids.fold(f32::NAN, f32::max),
        }
    }

    /// A box's corners in pixels of the detector's input, clipped to the image within it.
    pub(in crate::ops) fn corners(
        of: [f32; 4],
        form: Form,
        [height, width]: [usize; 2],
        size: [usize; 2],
    ) -> [f32; 4] {
        let [a, b, c, d] = of;
        let (ends, scale) = match form {
            Form::Center => {
                ([a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0], [width as f32, height as f32])
            }
            Form::Corners => (of, [width as f32, height as f32]),
            Form::CornerPixels => (of, [1.0, 1.0]),
        };
        std::array::from_fn(|i| clip(ends[i] * scale[i % 2], size[1 - i % 2]))
    }
}

/// On a CUDA device, all images of a batch at once: bit for bit what the reference finds.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Form, Phrase, Rules};
    use crate::{
        device::gpu::{
            Gpu, blocks,
            kernels::{self, QueriesDims},
        },
        error::{Error, Result},
        ops::{
            detect::detection::{
                Thresholds,
                cuda::{Counts, Workspace},
            },
            expect_fours,
        },
    };
    use cudarc::driver::DevicePtr;
    use std::ops::Range;

    /// A detector's outputs for N images.
    #[derive(Debug)]
    pub struct Head<'a, B> {
        /// Queries of an image, Q.
        pub queries: usize,
        /// `[N, Q, L]`
        pub token_logits: &'a B,
        /// `[N, Q, 4]`, in parts of the detector's input.
        pub boxes: &'a B,
        /// Height and width of the detector's input.
        pub input: [usize; 2],
    }

    /// What a batch of up to `most` images needs. `parts`: `[P]` the tokens of each part.
    ///
    /// # Errors
    /// As [`Workspace::new`].
    pub fn workspace(gpu: &Gpu, most: usize, queries: usize, parts: &[Range<usize>]) -> Result<Workspace> {
        Workspace::new(gpu, most, &[queries], parts, queries * parts.len())
    }

    /// Finds the boxes of `images` images and leaves them in the workspace; returns how many each image has, the one
    /// thing that the host waits for.
    ///
    /// `size`, `rules`: as for the reference, whose threshold is `thresholds.weak`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if shapes do not fit together, [`Error::Device`] if the driver refuses.
    pub fn detect<B: DevicePtr<f32>>(
        gpu: &Gpu,
        head: &Head<B>,
        images: usize,
        size: [usize; 2],
        rules: &Rules,
        thresholds: Thresholds,
        workspace: &mut Workspace,
    ) -> Result<Counts> {
        let Head { queries, token_logits, boxes, input } = *head;
        let (rows, parts) = (images * queries, workspace.part_count);
        let tokens = token_logits.len() / rows.max(1);
        workspace.check(images, queries, queries * parts)?;
        if token_logits.len() != tokens * rows || boxes.len() != 4 * rows {
            return Err(Error::invalid(format!(
                "queries: of {images} images and {queries} queries, token_logits must be [N, Q, L] and boxes [N, Q, 4], not \
                 {} and {} values",
                token_logits.len(),
                boxes.len()
            )));
        }
        expect_fours(gpu, "queries", "boxes [N, Q, 4]", boxes)?;
        if images == 0 || parts == 0 {
            return Ok(Counts::none(images));
        }
        let d = QueriesDims {
            images: images as u32,
            queries: queries as u32,
            tokens: tokens as u32,
            parts: parts as u32,
            slots: workspace.slots() as u32,
            largest: (rules.phrase == Phrase::Max) as u32,
            form: Form::Center as u32,
            threshold: thresholds.weak,
            width: input[1] as f32,
            height: input[0] as f32,
            last_x: size[1] as f32 - 1.0,
            last_y: size[0] as f32 - 1.0,
        };
        let Workspace { parts: tokens, scores, .. } = workspace;
        kernels::queries_scores(gpu, blocks(rows * parts, 256), token_logits, tokens, scores, d)?;
        workspace.rank(gpu, images)?;
        let grid = workspace.grid(images);
        let Workspace { keys, part_begin, corners, .. } = workspace;
        kernels::queries_decode(gpu, grid, keys, part_begin, boxes, corners, d)?;
        workspace.choose(gpu, images, rules.nms, rules.max_det, thresholds.found)
    }
}

#[cfg(test)]
mod tests {
    use super::{Phrase, Rules, cpu::detect};

    const BOXES: [f32; 12] = [0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 0.5, 0.25, 0.0, 1.0, 0.5, 0.5];

    fn rules(phrase: Phrase, nms: f32, max_det: usize) -> Rules {
        Rules { phrase, nms, max_det }
    }

    #[test]
    fn tokens_become_parts_and_centres_become_corners() {
        // sigmoid(0) = 0.5, sigmoid(ln 3) = 0.75, sigmoid(-inf) = 0.
        let ln3 = 3f32.ln();
        let logits = [9.0, 0.0, ln3, -50.0, 9.0, -50.0, -50.0, ln3, 9.0, -50.0, -50.0, -50.0];
        let parts = [1..3, 3..4, 0..0];
        let found =
            detect(&logits, &BOXES, &parts, [80, 80], [80, 60], &rules(Phrase::Mean, 1.0, 9), 0.5).unwrap();
        let seen: Vec<_> = found.iter().map(|d| (d.location, d.part)).collect();
        assert_eq!(seen, [(1, 1), (0, 0)]);
        assert!((found[0].score - 0.75).abs() < 1e-6 && (found[1].score - 0.625).abs() < 1e-6);
        assert_eq!(found[1].corners, [20.0, 30.0, 59.0, 50.0], "clipped to the image's 60 columns");

        let found =
            detect(&logits, &BOXES, &parts, [80, 80], [80, 80], &rules(Phrase::Max, 1.0, 9), 0.5).unwrap();
        assert_eq!(found[0].location, 0, "ties stay in the order of the queries");
        assert!((found[0].score - 0.75).abs() < 1e-6);
    }

    #[test]
    fn suppression_and_the_most_boxes() {
        let logits = [1.0, 2.0, 3.0];
        let find = |nms, max_det| {
            detect(
                &logits,
                &BOXES,
                std::slice::from_ref(&(0..1)),
                [80, 80],
                [80, 80],
                &rules(Phrase::Max, nms, max_det),
                0.0,
            )
            .unwrap()
        };
        let locations = |found: Vec<crate::ops::detect::detection::Detection>| {
            found.iter().map(|d| d.location).collect::<Vec<_>>()
        };
        assert_eq!(locations(find(1.0, 9)), [2, 1, 0]);
        assert_eq!(locations(find(0.6, 9)), [2, 1]);
        assert_eq!(locations(find(1.0, 1)), [2]);
        assert_eq!(find(1.0, 1)[0].corners, [0.0, 60.0, 20.0, 79.0]);
    }
}
