//! Instances: the superpoints of one part, merged into its separate pieces (PartSLIP's rule).
//!
//! ```text
//! share[s, b]    = points of s in box b / points of s that b's view shows
//! distance(s, t) = sum_b |share[s, b] - share[t, b]| / max(sum_b share[s, b], sum_b share[t, b])
//! ```
//! over the boxes b of their part in whose view both are visible; 1 if the larger sum is below 1e-3. Two superpoints of
//! one part belong together if their 3D bounding boxes are closer than `max_gap` along every axis, neither has
//! `max_size_ratio` times the points of the other, and their distance is below `max_distance`. What belongs together,
//! directly or through others, is a piece. It is kept if in some view the extent of its visible points has IoU above
//! `min_box_iou` with a box of its part. Its confidence is the mean softmax of its part over its points.

use crate::{
    error::Result,
    ops::{
        expect_len,
        lift::{extents::Extent, membership::Sets, observe::Observed},
    },
    ragged::Ragged,
};

/// What is merged, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Along every axis, in the unit of the extents.
    pub max_gap: f32,
    /// Of points.
    pub max_size_ratio: f64,
    /// Of shares.
    pub max_distance: f64,
    /// Of a piece's extent with a box.
    pub min_box_iou: f64,
}

/// What the instances follow from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Part of every superpoint, below L, negative = none, `[S]`.
    pub label: &'a [i32],
    /// The points of each superpoint, `[S]`.
    pub superpoints: &'a Ragged<u32>,
    /// The 3D bounding box of every superpoint, `[S]`.
    pub extents: &'a [Extent],
    /// What each view shows of each superpoint.
    pub observed: &'a Observed,
    /// Which boxes hold the superpoints' visible points.
    pub sets: &'a Sets,
    /// Softmax of the votes, column 0 = null, `[S, L + 1]`.
    pub probabilities: &'a [f32],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// The view of every box, below K, `[B]`.
    pub box_view: &'a [u32],
    /// Left, top, right, bottom of every box in pixels, `[B]`.
    pub rects: &'a [[f32; 4]],
    /// K.
    pub views: usize,
}

/// The pieces. That of superpoint s is named after its first superpoint, `root[s]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pieces {
    /// First superpoint of the piece, below S; -1 where the superpoint has no part, `[S]`.
    pub root: Vec<i32>,
    /// Points of the piece that begins here, if it is kept; else 0, `[S]`.
    pub points: Vec<u32>,
    /// Confidence of the piece that begins here, if it is kept; else 0, `[S]`.
    pub confidence: Vec<f32>,
}

impl Input<'_> {
    fn check(&self) -> Result<usize> {
        let (s, k, b) = (self.label.len(), self.views, self.box_label.len());
        let expect = |what, found, wanted| expect_len("instances", what, found, wanted);
        expect("superpoints [S]", self.superpoints.len(), s)?;
        expect("extents [S]", self.extents.len(), s)?;
        expect("observed [S, K]", self.observed.counts.len(), s * k)?;
        expect("sets [S]", self.sets.entries.len(), s)?;
        expect("box_view [B]", self.box_view.len(), b)?;
        expect("rects [B]", self.rects.len(), b)?;
        let columns = self.probabilities.len() / s.max(1);
        expect("probabilities [S, L + 1]", self.probabilities.len(), columns * s)?;
        Ok(columns)
    }

    fn size(&self, s: usize) -> u32 {
        self.superpoints.row(s).len() as u32
    }
}

/// CPU reference.
pub mod cpu {
    use super::{Extent, Input, Pieces, Result, Rules};
    use crate::ops::{
        basic::sum,
        lift::{membership, observe},
    };
    use rayon::prelude::*;

    /// Merges the superpoints of each part.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit.
    pub fn instances(input: &Input, rules: &Rules) -> Result<Pieces> {
        let columns = input.check()?;
        let s = input.label.len();
        let near = near(input, &shares(input), rules);
        let mut root: Vec<i32> =
            (0..s as i32).map(|s| if input.label[s as usize] < 0 { -1 } else { s }).collect();
        for (a, near) in near.iter().enumerate() {
            for &b in near {
                let (a, b) = (first(&mut root, a), first(&mut root, b));
                root[a.max(b)] = a.min(b) as i32;
            }
        }
        let mut pieces = vec![vec![]; s];
        for member in (0..s).filter(|&s| input.label[s] >= 0) {
            root[member] = first(&mut root, member) as i32;
            pieces[root[member] as usize].push(member);
        }
        let (mut points, mut confidence) = (vec![0; s], vec![0.0; s]);
        for (piece, (points, confidence)) in pieces
            .iter()
            .zip(points.iter_mut().zip(&mut confidence))
            .filter(|(piece, _)| keeps(input, piece, rules))
        {
            let column = 1 + input.label[piece[0]] as usize;
            let mut sum = sum::Block::<f64>::new();
            for &s in piece {
                *points += input.size(s);
                sum.add(s, input.size(s) as f64 * input.probabilities[s * columns + column] as f64);
            }
            *confidence = (sum.total() / *points as f64) as f32;
        }
        Ok(Pieces { root, points, confidence })
    }

    /// The share of each superpoint's visible points in each box, NaN where the box's view shows none, `[S, B]`.
    pub fn shares(input: &Input) -> Vec<f64> {
        let boxes = input.box_label.len();
        let mut shares = vec![0.0; input.label.len() * boxes];
        for (s, row) in shares.chunks_exact_mut(boxes.max(1)).enumerate() {
            for (set, count) in input.sets.counts(s) {
                set.iter().for_each(|&b| row[b as usize] += count as f64);
            }
            for (share, &view) in row.iter_mut().zip(input.box_view) {
                // 0 / 0 is the NaN that says invisible.
                *share /= input.observed.counts[s * input.views + view as usize] as f64;
            }
        }
        shares
    }

    /// For every superpoint the later ones that belong to it.
    fn near(input: &Input, shares: &[f64], rules: &Rules) -> Vec<Vec<usize>> {
        let (s, boxes) = (input.label.len(), input.box_label.len());
        let row = |s: usize| &shares[s * boxes..][..boxes];
        let belongs = |a: usize, b: usize| {
            let (big, small) =
                (input.size(a).max(input.size(b)) as f64, input.size(a).min(input.size(b)) as f64);
            input.label[a] == input.label[b]
                && gap(&input.extents[a], &input.extents[b]) < rules.max_gap
                && big / small < rules.max_size_ratio
                && distance(row(a), row(b), input.box_label, input.label[a] as u32) < rules.max_distance
        };
        let later = |a: usize| match input.label[a] < 0 {
            true => vec![],
            false => (a + 1..s).filter(|&b| belongs(a, b)).collect(),
        };
        (0..s).into_par_iter().map(later).collect()
    }

    /// The largest gap between two bounding boxes along an axis; negative where they overlap.
    pub fn gap(a: &Extent, b: &Extent) -> f32 {
        (0..3).map(|i| (a[0][i] - b[1][i]).max(b[0][i] - a[1][i])).fold(f32::NEG_INFINITY, f32::max)
    }

    /// How much the shares of two superpoints in the boxes of a part differ.
    pub fn distance(a: &[f64], b: &[f64], box_label: &[u32], part: u32) -> f64 {
        let [mut of_a, mut of_b, mut differences] = [(); 3].map(|_| sum::Warp::<f64>::new());
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            if box_label[i] == part && !a.is_nan() && !b.is_nan() {
                of_a.add(i, a);
                of_b.add(i, b);
                differences.add(i, (a - b).abs());
            }
        }
        let larger = of_a.total().max(of_b.total());
        if larger < 1e-3 { 1.0 } else { differences.total() / larger }
    }

    /// Whether a box of its part confirms a piece.
    fn keeps(input: &Input, piece: &[usize], rules: &Rules) -> bool {
        let Some(&first) = piece.first() else { return false };
        let extent = |k: usize| {
            let of_superpoint = piece.iter().map(|&s| input.observed.extents[s * input.views + k]);
            of_superpoint.fold(observe::NOWHERE, observe::union)
        };
        let extents: Vec<_> = (0..input.views).map(extent).collect();
        (0..input.box_label.len()).any(|b| {
            input.box_label[b] as i32 == input.label[first]
                && membership::iou(extents[input.box_view[b] as usize], input.rects[b]) > rules.min_box_iou
        })
    }

    /// The first of the set that `s` is in, halving the path to it.
    fn first(root: &mut [i32], mut s: usize) -> usize {
        while root[s] as usize != s {
            root[s] = root[root[s] as usize];
            s = root[s] as usize;
        }
        s
    }
}

/// On a CUDA device: bit for bit the reference's pieces.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Result, Rules, expect_len};
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ComponentsDims, InstancesDims},
        },
        ops::lift::{membership::cuda::Sets, observe::cuda::Observed},
    };

    const WARP: usize = 32;

    /// What the instances follow from, as [`Input`](super::Input).
    #[derive(Debug, Clone, Copy)]
    pub struct Input<'a> {
        /// `[S]`.
        pub label: &'a Buffer<i32>,
        /// `[S + 1]`.
        pub offsets: &'a Buffer<u32>,
        /// `[S, 2, 3]`.
        pub extents: &'a Buffer<f32>,
        /// What each view shows of each superpoint.
        pub observed: &'a Observed,
        /// Which boxes hold the superpoints' visible points.
        pub sets: &'a Sets,
        /// `[S, L + 1]`.
        pub probabilities: &'a Buffer<f32>,
        /// `[B]`.
        pub box_label: &'a Buffer<u32>,
        /// `[B]`.
        pub box_view: &'a Buffer<u32>,
        /// `[B, 4]`.
        pub rects: &'a Buffer<f32>,
        /// K.
        pub views: usize,
    }

    /// The pieces, as [`Pieces`](super::Pieces).
    #[derive(Debug)]
    pub struct Pieces {
        /// `[S]`.
        pub root: Buffer<i32>,
        /// `[S]`.
        pub points: Buffer<u32>,
        /// `[S]`.
        pub confidence: Buffer<f32>,
    }

    impl Pieces {
        /// Copies them to the host.
        ///
        /// # Errors
        /// [`Error::Device`](crate::Error::Device) if anything before it failed.
        pub fn download(&self, gpu: &Gpu) -> Result<super::Pieces> {
            let Pieces { root, points, confidence } = self;
            let (root, points) = (gpu.download(root)?, gpu.download(points)?);
            Ok(super::Pieces { root, points, confidence: gpu.download(confidence)? })
        }
    }

    /// Merges the superpoints of each part. Nothing waits for the host.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn instances(gpu: &Gpu, input: &Input, rules: &Rules) -> Result<Pieces> {
        let Input {
            label,
            offsets,
            extents,
            observed,
            sets,
            probabilities,
            box_label,
            box_view,
            rects,
            views,
        } = *input;
        let (s, b) = (label.len(), box_label.len());
        let expect = |what, found, wanted| expect_len("instances", what, found, wanted);
        expect("offsets [S + 1]", offsets.len(), s + 1)?;
        expect("extents [S, 2, 3]", extents.len(), 6 * s)?;
        expect("observed [S, K]", observed.counts.len(), s * views)?;
        expect("sets [S]", sets.superpoints(), s)?;
        expect("box_view [B]", box_view.len(), b)?;
        expect("rects [B, 4]", rects.len(), 4 * b)?;
        let columns = probabilities.len() / s.max(1);
        expect("probabilities [S, L + 1]", probabilities.len(), columns * s)?;
        let words = s.div_ceil(WARP);
        let d = InstancesDims {
            max_size_ratio: rules.max_size_ratio,
            max_distance: rules.max_distance,
            min_box_iou: rules.min_box_iou,
            superpoints: s as u32,
            boxes: b as u32,
            views: views as u32,
            columns: columns as u32,
            words: words as u32,
            max_gap: rules.max_gap,
        };
        let (mut shares, mut parents, mut root) = (gpu.alloc(s * b)?, gpu.alloc(s)?, gpu.alloc(s)?);
        let (mut points, mut confidence) = (gpu.alloc(s)?, gpu.alloc(s)?);
        let Sets { boxes: of_set, entry_offsets, entry_set, entry_count } = sets;
        let Observed { counts, extents: seen, .. } = observed;
        let each = [s as u32, 1, 1];
        kernels::instances_shares(
            gpu,
            each,
            entry_offsets,
            entry_set,
            entry_count,
            &of_set.offsets,
            &of_set.values,
            box_view,
            counts,
            &mut shares,
            d,
        )?;
        let each_thread = blocks(s, 256);
        kernels::components_start(gpu, each_thread, &mut parents, ComponentsDims { vertices: s as u32 })?;
        let grid = blocks(s * words * WARP, 256);
        kernels::instances_join(gpu, grid, label, offsets, extents, &shares, box_label, &mut parents, d)?;
        kernels::instances_roots(gpu, each_thread, label, &parents, &mut root, d)?;
        kernels::instances_keep(
            gpu,
            each,
            &root,
            label,
            offsets,
            seen,
            probabilities,
            box_label,
            box_view,
            rects,
            &mut points,
            &mut confidence,
            d,
        )?;
        Ok(Pieces { root, points, confidence })
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};
    use crate::ops::lift::membership::Entry;

    #[test]
    fn shares_differ_over_the_boxes_of_views_that_see_both() {
        let invisible = f64::NAN;
        assert_eq!(distance(&[1.0, 0.5, invisible], &[1.0, 0.0, 1.0], &[0; 3], 0), 0.5 / 1.5);
        assert_eq!(
            distance(&[1.0, 0.5, 0.0], &[1.0, 0.0, 1.0], &[0, 0, 1], 0),
            0.5 / 1.5,
            "boxes of the part"
        );
        assert_eq!(distance(&[invisible], &[1.0], &[0], 0), 1.0);
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 0.0], &[0; 2], 0), 1.0);
        assert_eq!(distance(&[], &[], &[], 0), 1.0);
    }

    #[test]
    fn the_gap_is_that_of_the_farthest_axis() {
        let unit = [[0.0; 3], [1.0; 3]];
        assert_eq!(gap(&unit, &[[1.5, 0.0, 3.0], [2.0, 1.0, 4.0]]), 2.0);
        assert_eq!(gap(&unit, &[[0.5; 3], [2.0; 3]]), -0.5);
        assert_eq!(gap(&[[0.5; 3], [2.0; 3]], &unit), -0.5);
    }

    #[test]
    fn pieces_are_what_touches_and_a_box_confirms() {
        // Four superpoints of 2 points in a row; the third has no label; one box of the part around the first two.
        let extent = |x: f32| [[x, 0.0, 0.0], [x + 1.0, 1.0, 1.0]];
        let observed = Observed {
            counts: vec![2; 4],
            extents: [0.0f32, 10.0, 20.0, 30.0].map(|x| [x, 0.0, x + 10.0, 10.0]).to_vec(),
        };
        let inside = Some(Entry { set: 0, count: 2 });
        let sets = Sets {
            boxes: Ragged::from_iter([[0]]),
            entries: Ragged::from_iter([inside, inside, None, None]),
        };
        let superpoints = Ragged::from_iter([[0, 1], [2, 3], [4, 5], [6, 7]]);
        let probabilities: Vec<f32> = [0.5, 0.75, 0.0, 1.0].iter().flat_map(|&p| [1.0 - p, p]).collect();
        let mut input = Input {
            label: &[0, 0, -1, 0],
            superpoints: &superpoints,
            extents: &[0.0, 1.0, 2.0, 3.0].map(extent),
            observed: &observed,
            sets: &sets,
            probabilities: &probabilities,
            box_label: &[0],
            box_view: &[0],
            rects: &[[0.0, 0.0, 20.0, 10.0]],
            views: 1,
        };
        let rules = Rules { max_gap: 0.1, max_size_ratio: 100.0, max_distance: 0.2, min_box_iou: 0.5 };
        let pieces = instances(&input, &rules).unwrap();
        assert_eq!(pieces.root, [0, 0, -1, 3]);
        assert_eq!(pieces.points, [4, 0, 0, 0], "no box confirms the last");
        assert_eq!(pieces.confidence, [0.625, 0.0, 0.0, 0.0]);
        let apart = instances(&input, &Rules { max_gap: 0.0, ..rules }).unwrap();
        assert_eq!(apart.root, [0, 1, -1, 3]);
        assert_eq!(apart.points, [0; 4], "half a box is not more than a half");
        input.views = 2;
        assert!(instances(&input, &rules).is_err());
    }
}
