//! ATSS (GLIP): locations of a feature pyramid, each with one square anchor and a centerness.

use super::family::{Family, Search, need};
#[cfg(feature = "cuda")]
use crate::{
    device::gpu::{Buffer, Gpu},
    ops::detect::detection::cuda::{Counts, Workspace},
};
use crate::{
    error::Result,
    models::onnx::contract::{
        Dim::{Fixed, Free},
        Port,
    },
    ops::detect::{
        atss::{self, Level, Rules},
        detection::Detection,
    },
};
use serde::{Deserialize, Serialize};

/// The fields of the kind `atss`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Atss {
    /// Pixels between the locations of each level, fine to coarse.
    pub strides: Vec<usize>,
    /// Side of the square anchor of each level, in pixels.
    pub anchor_sizes: Vec<usize>,
    /// Divisors of the regression's dx, dy, dw, dh.
    pub box_weights: [f32; 4],
    /// How outputs become a score.
    pub score: Score,
    /// A part's mean probability must exceed this before the centerness counts.
    #[serde(default)]
    pub pre_nms: f32,
    /// Candidates kept per level.
    pub top_n: usize,
}

/// Scoring rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// sqrt(mean of the tokens' sigmoids x sigmoid of the centerness).
    SqrtMeanSigmoidXCenterness,
}

/// The channels of GLIP's unused classification head.
const MOST_PARTS: usize = 80;

impl Atss {
    /// The levels of an input of some height and width, fine to coarse.
    fn levels(&self, [height, width]: [usize; 2]) -> Vec<Level> {
        let level = |(&stride, &anchor): (&usize, &usize)| Level {
            stride,
            anchor,
            rows: height.div_ceil(stride),
            columns: width.div_ceil(stride),
        };
        self.strides.iter().zip(&self.anchor_sizes).map(level).collect()
    }

    fn rules(&self, search: &Search) -> Rules {
        let (Atss { box_weights, pre_nms, top_n, .. }, Search { nms, max_det, .. }) = (self, search);
        Rules { box_weights: *box_weights, pre_nms: *pre_nms, top_n: *top_n, nms: *nms, max_det: *max_det }
    }
}

impl Family for Atss {
    fn check(&self) -> Result<(), String> {
        let Atss { strides, anchor_sizes, box_weights, pre_nms, top_n, .. } = self;
        let paired = !strides.is_empty() && strides.len() == anchor_sizes.len();
        need(paired, "strides and anchor_sizes must have one number per level")?;
        let positive = strides.iter().chain(anchor_sizes).all(|n| (1..=4096).contains(n));
        need(positive, "strides and anchor_sizes must be in 1..=4096 pixels")?;
        need(box_weights.iter().all(|&w| w > 0.0 && w.is_finite()), "box_weights must be above 0")?;
        need((0.0..1.0).contains(pre_nms), "pre_nms must be in [0, 1)")?;
        need(*top_n > 0, "top_n must be above 0")
    }

    fn most_parts(&self) -> Option<usize> {
        Some(MOST_PARTS)
    }

    fn rows(&self, input: [usize; 2]) -> usize {
        atss::locations(&self.levels(input))
    }

    fn outputs(&self, input: [usize; 2]) -> Vec<Port> {
        let (n, a, l) = (Free("N"), Fixed(self.rows(input)), Free("L"));
        vec![
            Port::f32("token_logits", &[n, a, l]),
            Port::f32("box_regression", &[n, a, Fixed(4)]),
            Port::f32("centerness", &[n, a]),
        ]
    }

    fn detect(&self, outputs: &[&[f32]], search: &Search) -> Result<Vec<Detection>> {
        let head =
            atss::Head { token_logits: outputs[0], box_regression: outputs[1], centerness: outputs[2] };
        let (levels, rules) = (self.levels(search.input), self.rules(search));
        atss::cpu::detect(&head, search.parts, &levels, search.size, &rules, search.thresholds.weak)
    }

    #[cfg(feature = "cuda")]
    fn workspace(&self, gpu: &Gpu, images: usize, search: &Search) -> Result<Workspace> {
        let (levels, rules) = (self.levels(search.input), self.rules(search));
        atss::cuda::workspace(gpu, images, &levels, search.parts, &rules)
    }

    #[cfg(feature = "cuda")]
    fn detect_on(
        &self,
        gpu: &Gpu,
        outputs: &[Buffer<f32>],
        images: usize,
        search: &Search,
        workspace: &mut Workspace,
    ) -> Result<Counts> {
        let head = atss::cuda::Head {
            levels: &self.levels(search.input),
            token_logits: &outputs[0],
            box_regression: &outputs[1],
            centerness: &outputs[2],
        };
        let rules = self.rules(search);
        atss::cuda::detect(gpu, &head, images, search.size, &rules, search.thresholds, workspace)
    }
}
