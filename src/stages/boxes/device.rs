//! Boxes on a device: a buffer a column.

use super::{Box2d, Boxes};
use crate::{
    device::{
        download::Rows,
        gpu::{Buffer, Gpu},
        twin::{RaggedOnDevice, Twinned},
    },
    error::Result,
    ops::detect::boxes,
};
use std::sync::Arc;

/// The boxes in the memory of a device.
#[derive(Debug)]
pub struct OnDevice {
    /// The view of every box, `[B]`.
    pub views: Buffer<u32>,
    /// The label of every box, `[B]`.
    pub labels: Buffer<u32>,
    /// The score of every box, `[B]`.
    pub scores: Buffer<f32>,
    /// x, y, width, height of every box, `[B, 4]`.
    pub bboxes: Buffer<f32>,
    /// Left, top, right, bottom of every box, `[B, 4]`.
    pub rects: Buffer<f32>,
    /// How many boxes each view has, up to the last that has any; the host's.
    pub per_view: Vec<u32>,
}

impl Boxes {
    /// The boxes in the memory of `gpu`.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory) if there is not enough, [`Error::Device`](crate::Error::Device) if a device
    /// failed.
    pub fn device(&self, gpu: &Gpu) -> Result<Arc<OnDevice>> {
        self.list.device(gpu)
    }
}

impl Twinned for Vec<Box2d> {
    type Device = OnDevice;

    fn upload(&self, gpu: &Gpu) -> Result<OnDevice> {
        fn column<T>(list: &[Box2d], of: impl Fn(&Box2d) -> T) -> Vec<T> {
            list.iter().map(of).collect()
        }
        let mut per_view = vec![];
        for b in self {
            per_view.resize(per_view.len().max(b.view as usize + 1), 0);
            per_view[b.view as usize] += 1;
        }
        Ok(OnDevice {
            views: gpu.upload(&column(self, |b| b.view))?,
            labels: gpu.upload(&column(self, |b| b.label))?,
            scores: gpu.upload(&column(self, |b| b.score))?,
            bboxes: gpu.upload(column(self, |b| b.bbox).as_flattened())?,
            rects: gpu.upload(column(self, Box2d::rect).as_flattened())?,
            per_view,
        })
    }

    fn download(there: &OnDevice, gpu: &Gpu) -> Result<Vec<Box2d>> {
        let OnDevice { views, labels, scores, bboxes, .. } = there;
        let ([views, labels], scores, bboxes) =
            gpu.download_all(([views, labels], scores, Rows::of(bboxes)))?;
        let box2d = |(b, bbox)| Box2d { view: views[b], label: labels[b], bbox, score: scores[b] };
        Ok(bboxes.into_iter().enumerate().map(box2d).collect())
    }

    fn count_there(there: &OnDevice) -> usize {
        there.views.len()
    }
}

impl OnDevice {
    /// Grouped by view as [`Boxes::by_view`], and the most that one view has.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn by_view(&self, gpu: &Gpu, views: usize) -> Result<(RaggedOnDevice<u32>, usize)> {
        let mut offsets = vec![0];
        for k in 0..views {
            offsets.push(offsets[k] + self.per_view.get(k).copied().unwrap_or(0));
        }
        let most = self.per_view.iter().max().copied().unwrap_or(0) as usize;
        let order = boxes::cuda::by_view(gpu, &self.views, &self.labels)?;
        Ok((RaggedOnDevice { offsets: gpu.upload(&offsets)?, values: order }, most))
    }
}
