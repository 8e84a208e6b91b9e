//! Queries (GroundingDINO, OWL-ViT): each proposes one box, as centre and size in parts of the model's input.

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
        detection::Detection,
        queries::{self, Phrase, Rules},
    },
};
use serde::{Deserialize, Serialize};

/// The fields of the kind `detr`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queries {
    /// Boxes that the model proposes per image, Q.
    pub queries: usize,
    /// How outputs become a score.
    pub score: Score,
}

/// Scoring rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The mean of the tokens' sigmoids.
    MeanSigmoid,
    /// The largest of the tokens' sigmoids.
    MaxSigmoid,
}

impl Queries {
    fn rules(&self, search: &Search) -> Rules {
        let phrase = match self.score {
            Score::MeanSigmoid => Phrase::Mean,
            Score::MaxSigmoid => Phrase::Max,
        };
        Rules { phrase, nms: search.nms, max_det: search.max_det }
    }
}

impl Family for Queries {
    fn check(&self) -> Result<(), String> {
        need((1..=65536).contains(&self.queries), "queries must be in 1..=65536")
    }

    fn rows(&self, _: [usize; 2]) -> usize {
        self.queries
    }

    fn outputs(&self, _: [usize; 2]) -> Vec<Port> {
        let (n, q, l) = (Free("N"), Fixed(self.queries), Free("L"));
        vec![Port::f32("token_logits", &[n, q, l]), Port::f32("box_regression", &[n, q, Fixed(4)])]
    }

    fn detect(&self, outputs: &[&[f32]], search: &Search) -> Result<Vec<Detection>> {
        let Search { parts, input, size, thresholds, .. } = *search;
        queries::cpu::detect(outputs[0], outputs[1], parts, input, size, &self.rules(search), thresholds.weak)
    }

    #[cfg(feature = "cuda")]
    fn workspace(&self, gpu: &Gpu, images: usize, search: &Search) -> Result<Workspace> {
        queries::cuda::workspace(gpu, images, self.queries, search.parts)
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
        let head = queries::cuda::Head {
            queries: self.queries,
            token_logits: &outputs[0],
            boxes: &outputs[1],
            input: search.input,
        };
        let rules = self.rules(search);
        queries::cuda::detect(gpu, &head, images, search.size, &rules, search.thresholds, workspace)
    }
}
