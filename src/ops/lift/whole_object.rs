//! Boxes that hold the whole object, which the baseline ignores (PartSLIP's 98 %).

/// CPU reference.
pub mod cpu {
    use crate::{
        error::{Error, Result},
        ops::expect_len,
    };
    use rayon::prelude::*;

    /// Which boxes hold at least `share` of the projections of all points strictly inside, hidden points too, `[B]`.
    ///
    /// `screen`: `[K, N]`; `points`: N; `rects`: left, top, right, bottom, `[B]`; `view_of`: below K, `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths do not fit together.
    pub fn whole(
        screen: &[[f32; 2]],
        points: usize,
        rects: &[[f32; 4]],
        view_of: &[u32],
        share: f32,
    ) -> Result<Vec<bool>> {
        expect_len("whole_object", "view_of [B]", view_of.len(), rects.len())?;
        let views = view_of.iter().max().map_or(0, |&view| view as usize + 1);
        if screen.len() < views * points {
            let found = screen.len();
            return Err(Error::invalid(format!(
                "whole_object: screen [K, N] has {found} elements, too few for {views} views of {points} points"
            )));
        }
        let one = |(&[left, top, right, bottom], &view): (&[f32; 4], &u32)| {
            let screen = &screen[view as usize * points..][..points];
            let inside =
                screen.iter().filter(|p| p[0] > left && p[0] < right && p[1] > top && p[1] < bottom).count();
            inside as f64 >= share as f64 * points as f64
        };
        Ok(rects.par_iter().zip(view_of).map(one).collect())
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::{
            gpu::{
                Buffer, Gpu, blocks,
                kernels::{self, WholeObjectDims},
            },
            twin::RaggedOnDevice,
        },
        error::Result,
        ops::expect_len,
    };

    /// Which boxes hold at least `share` of the projections of all points strictly inside, hidden points too, 0 or 1,
    /// `[B]`.
    ///
    /// `screen`: `[K, N, 2]`; `of_view`: the boxes of each view, `[K]`, B in all; `rects`: `[B, 4]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn whole(
        gpu: &Gpu,
        screen: &Buffer<f32>,
        of_view: &RaggedOnDevice<u32>,
        rects: &Buffer<f32>,
        share: f32,
    ) -> Result<Buffer<u8>> {
        let (views, boxes) = (of_view.len(), rects.len() / 4);
        let points = screen.len() / 2 / views.max(1);
        expect_len("whole_object", "screen [K, N, 2]", screen.len(), views * points * 2)?;
        expect_len("whole_object", "boxes of the views [B]", of_view.values.len(), boxes)?;
        let d = WholeObjectDims { share: share as f64, points: points as u32, boxes: boxes as u32 };
        let mut inside = gpu.zeros(boxes)?;
        let grid = [blocks(points, 2048)[0], views as u32, 1];
        let RaggedOnDevice { offsets, values } = of_view;
        kernels::whole_object_count(gpu, grid, screen, offsets, values, rects, &mut inside, d)?;
        let mut ignored = gpu.alloc(boxes)?;
        kernels::whole_object_decide(gpu, blocks(boxes, 256), &inside, &mut ignored, d)?;
        Ok(ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::whole;

    #[test]
    fn hidden_points_count_and_the_border_does_not() {
        let screen = [[1.0, 1.0], [2.0, 2.0], [9.0, 9.0], [9.0, 9.0]];
        let rects = [[0.0, 0.0, 3.0, 3.0], [1.0, 0.0, 3.0, 3.0], [0.0, 0.0, 10.0, 10.0]];
        assert_eq!(whole(&screen, 2, &rects, &[0, 0, 1], 0.98).unwrap(), [true, false, true]);
        assert_eq!(whole(&screen, 2, &rects, &[1, 0, 1], 0.5).unwrap(), [false, true, true]);
    }
}
