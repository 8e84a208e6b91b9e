//! Weighing on a device.

use super::{Basis, Network};
use crate::{
    device::{gpu::Gpu, twin::Twin},
    error::Result,
    ops::learn::{mlp, positional},
    stages::{
        boxes::Boxes,
        memberships::Memberships,
        views::Views,
        weights::{self, Weights},
    },
};

impl Network {
    pub(super) fn weigh_on_gpu(
        &self,
        gpu: &Gpu,
        boxes: &Boxes,
        memberships: &Memberships,
        views: &Views,
        labels: usize,
    ) -> Result<Weights> {
        let (features, there) = (boxes.features.device(gpu)?, boxes.device(gpu)?);
        let directions = gpu.upload(super::directions(views).as_flattened())?;
        let places = positional::cuda::places(gpu, &there.bboxes, &there.views, &directions, views.side)?;
        let mut x = gpu.alloc(boxes.len() * self.channels())?;
        positional::cuda::inputs(gpu, &features, &places, &mut x)?;
        let mut workspace = mlp::cuda::Workspace::new(gpu, boxes.len(), self.channels())?;
        let (values, mut weights) = (gpu.upload(self.mlp())?, gpu.alloc(boxes.len())?);
        mlp::cuda::forward(gpu, &values.as_view(), &x, &mut workspace, &mut weights)?;
        if self.basis() == Basis::Agreement {
            weights::silence_on_gpu(gpu, boxes, memberships, labels, &mut weights)?;
        }
        Ok(Weights { boxes: Twin::on_device(gpu, weights), null: self.null() })
    }
}
