//! On a CUDA device: all but centres and distances, which need the solver.

use super::{Step, Surface};
use crate::{
    device::{gpu::Gpu, twin::Twinned},
    error::Result,
    ops::surface::{
        rings, scores, tally,
        triangles::{self, Sides},
        weights,
    },
    ragged::Ragged,
};

impl Surface {
    pub(super) fn render_on_gpu(
        &self,
        gpu: &Gpu,
        cameras: &[triangles::Camera],
        side: usize,
        sides: Sides,
    ) -> Result<Vec<i32>> {
        let vertices = gpu.upload(self.vertices.as_flattened())?;
        let faces = gpu.upload(self.faces.as_flattened())?;
        gpu.download(&triangles::cuda::nearest_faces(gpu, &vertices, &faces, cameras, side, sides)?)
    }
}

impl Step<'_> {
    /// As many boxes at once as their counts may be.
    pub(super) fn on_gpu(&self, gpu: &Gpu, input: &tally::Input) -> Result<Vec<f64>> {
        input.check()?;
        let maps = gpu.upload(input.maps)?;
        let rings = match self.options.smoothing {
            true => self.surface.around(self.options.steps).upload(gpu)?,
            false => Ragged::new(vec![0; input.faces + 1], vec![])?.upload(gpu)?,
        };
        let mut sums = gpu.zeros(input.faces * self.count)?;
        let at_once = (tally::cuda::MOST / input.faces.max(1)).max(1);
        for begin in (0..input.rects.len()).step_by(at_once) {
            let boxes = begin..input.rects.len().min(begin + at_once);
            let (views, rects) = (&input.views[boxes.clone()], &input.rects[boxes.clone()]);
            let tally = tally::cuda::tally(gpu, &maps, input.side, views, rects, input.faces)?;
            let [faces, pixels, offsets] = gpu.download_all([&tally.faces, &tally.pixels, &tally.offsets])?;
            let entries = faces.into_iter().zip(pixels).collect();
            let distances = self.distances(&Ragged::new(offsets, entries)?)?;
            let around = rings::cuda::counts(gpu, &rings, &tally)?;
            let confidences = gpu.upload(&self.confidences[boxes.clone()])?;
            let distances = gpu.upload(&distances)?;
            let weights =
                weights::cuda::weights(gpu, &tally, &distances, &around, &confidences, self.factors())?;
            let parts = gpu.upload(&self.parts[boxes])?;
            scores::cuda::sum(gpu, &tally, &weights, &parts, self.count, &mut sums)?;
        }
        gpu.download(&sums)
    }
}
