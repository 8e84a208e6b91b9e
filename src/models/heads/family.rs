//! What a family of detectors has to say. A: rows of its outputs per image, be they locations or queries.

#[cfg(feature = "cuda")]
use crate::{
    device::gpu::{Buffer, Gpu},
    ops::detect::detection::cuda::{Counts, Workspace},
};
use crate::{
    error::Result,
    models::onnx::contract::Port,
    ops::detect::detection::{Detection, Thresholds},
};
use std::ops::Range;

/// What to find, and in which images.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The tokens of each part, `[P]`; none for a part that cannot be found.
    pub parts: &'a [Range<usize>],
    /// Height and width of the model's input.
    pub input: [usize; 2],
    /// Height and width of the images within it.
    pub size: [usize; 2],
    /// The scores that boxes need.
    pub thresholds: Thresholds,
    /// IoU above which the weaker of two boxes of one part goes.
    pub nms: f32,
    /// Boxes kept per image.
    pub max_det: usize,
}

/// A family of detectors.
pub trait Family {
    /// Checks the fields of the manifest that are the family's own; the error begins with a field's name.
    fn check(&self) -> Result<(), String>;

    /// The most parts that a prompt may name, if there is a limit.
    fn most_parts(&self) -> Option<usize> {
        None
    }

    /// A, for a model's input of some height and width.
    fn rows(&self, input: [usize; 2]) -> usize;

    /// The outputs that it reads, `[N, A, ...]`, over L tokens.
    fn outputs(&self, input: [usize; 2]) -> Vec<Port>;

    /// The boxes of one image, found and weak, strongest first. `outputs`: its rows of each output.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if they do not fit the head.
    fn detect(&self, outputs: &[&[f32]], search: &Search) -> Result<Vec<Detection>>;

    /// What a batch of up to `images` images needs.
    ///
    /// # Errors
    /// As [`Workspace::new`].
    #[cfg(feature = "cuda")]
    fn workspace(&self, gpu: &Gpu, images: usize, search: &Search) -> Result<Workspace>;

    /// Leaves the boxes of a batch in the workspace; returns how many each image has, which the host waits for.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    #[cfg(feature = "cuda")]
    fn detect_on(
        &self,
        gpu: &Gpu,
        outputs: &[Buffer<f32>],
        images: usize,
        search: &Search,
        workspace: &mut Workspace,
    ) -> Result<Counts>;
}

/// Refuses what does not hold.
pub fn need(holds: bool, message: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message.into()) }
}
