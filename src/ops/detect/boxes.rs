//! Boxes on their way from the detector to the segmenter and the memberships.

/// CPU reference.
pub mod cpu {
    use crate::{
        error::{Error, Result},
        ops::expect_len,
    };

    /// The boxes by view, within a view by label, within a label in their own order, `[B]`. `views`, `labels`: `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths do not fit together.
    pub fn by_view(views: &[u32], labels: &[u32]) -> Result<Vec<u32>> {
        expect_len("boxes", "labels [B]", labels.len(), views.len())?;
        let mut boxes: Vec<u32> = (0..views.len() as u32).collect();
        boxes.sort_by_key(|&b| (views[b as usize], labels[b as usize]));
        Ok(boxes)
    }

    /// Corners scaled by `scale` (x, y), and the row of each box's image, `[B]`.
    ///
    /// `rects`: `[B]` left, top, right, bottom; `views`: `[B]`; `rows`: that of every view, `[K]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths do not fit together or a view has no row.
    pub fn prompts(
        rects: &[[f32; 4]],
        views: &[u32],
        rows: &[i64],
        scale: [f32; 2],
    ) -> Result<(Vec<[f32; 4]>, Vec<i64>)> {
        expect_len("boxes", "views [B]", views.len(), rects.len())?;
        let [x, y] = scale;
        let corners = rects.iter().map(|[x1, y1, x2, y2]| [x1 * x, y1 * y, x2 * x, y2 * y]).collect();
        let row = |&view: &u32| {
            let row = rows.get(view as usize).copied();
            row.ok_or_else(|| Error::invalid(format!("boxes: view {view} of {} views", rows.len())))
        };
        Ok((corners, views.iter().map(row).collect::<Result<_>>()?))
    }
}

/// On a CUDA device: bit for bit the same.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, View, blocks,
            kernels::{self, BoxesDims},
        },
        error::Result,
        ops::{expect_fours, expect_len},
    };

    /// As [`cpu::by_view`](super::cpu::by_view).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn by_view(gpu: &Gpu, views: &Buffer<u32>, labels: &Buffer<u32>) -> Result<Buffer<u32>> {
        let boxes = views.len();
        expect_len("boxes", "labels [B]", labels.len(), boxes)?;
        let mut order = gpu.alloc(boxes)?;
        let d = BoxesDims { boxes: boxes as u32, scale_x: 1.0, scale_y: 1.0 };
        kernels::boxes_by_view(gpu, blocks(boxes, 256), views, labels, &mut order, d)?;
        Ok(order)
    }

    /// As [`cpu::prompts`](super::cpu::prompts); corners `[B, 4]`, rows `[B]`.
    ///
    /// # Errors
    /// As [`by_view`].
    pub fn prompts(
        gpu: &Gpu,
        rects: &View<f32>,
        views: &View<u32>,
        rows: &Buffer<i64>,
        scale: [f32; 2],
    ) -> Result<(Buffer<f32>, Buffer<i64>)> {
        let boxes = views.len();
        expect_len("boxes", "rects [B, 4]", rects.len(), 4 * boxes)?;
        expect_fours(gpu, "boxes", "rects [B, 4]", rects)?;
        let (mut corners, mut row_of) = (gpu.alloc(4 * boxes)?, gpu.alloc(boxes)?);
        let d = BoxesDims { boxes: boxes as u32, scale_x: scale[0], scale_y: scale[1] };
        kernels::boxes_prompts(gpu, blocks(boxes, 256), rects, views, rows, &mut corners, &mut row_of, d)?;
        Ok((corners, row_of))
    }
}
