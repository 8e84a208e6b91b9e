//! A segmenter that is asked for whatever lies at a point (SAM): three masks each.

use super::{
    image::{self, Images},
    onnx::tensor::Values,
    segmenter::Segmenter,
};
use crate::error::{Error, Result};
use std::ops::Range;

impl Segmenter {
    /// Whether it answers points, and not boxes alone.
    pub fn answers_points(&self) -> bool {
        self.points.is_some()
    }

    /// The masks at every point of one image: hands on which points, their logits `[points, 3, 256, 256]` and the predicted IoU
    /// `[points, 3]`.
    ///
    /// `points`: x, y in the image's pixels.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it answers no points, for more than one image or one that the model cannot take; [`Error::Model`] if
    /// the model fails; [`Error::Memory`] if memory does not suffice for one point; what `each` returns.
    pub fn answer(
        &self,
        image: Images,
        points: &[[f64; 2]],
        mut each: impl FnMut(Range<usize>, &[f32], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let Some(decoder) = &self.points else {
            return Err(Error::invalid(
                "these models answer boxes, not points: export SAM with its point decoder (docs/models.md)",
            ));
        };
        image.check()?;
        if image.len() != 1 {
            return Err(Error::invalid(format!("points are of one image, not of {}", image.len())));
        }
        let (scale, [height, width]) = (self.scale(image.size())?, self.rules.image.size);
        let input = image::prepare(image, &self.rules.image, self.encoder.element(0))?;
        let inputs = [(&[1, 3, height, width][..], input.values())];
        let embedding = self.encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
        let [channels, side] = self.rules.embedding;
        self.prompts.on_cpu(0..points.len(), 0, |some| {
            let scaled = |p: &[f64; 2]| [p[0] as f32 * scale[0], p[1] as f32 * scale[1]];
            let points: Vec<[f32; 2]> = points[some.clone()].iter().map(scaled).collect();
            let inputs = [
                (&[1, channels, side, side][..], Values::F32(&embedding)),
                (&[points.len(), 2][..], Values::F32(points.as_flattened())),
                (&[points.len()][..], Values::I64(&vec![0; points.len()])),
            ];
            decoder.run(&inputs, |outputs| each(some, outputs[0], outputs[1]))
        })
    }
}
