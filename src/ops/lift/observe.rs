//! What each view shows of each superpoint.

use super::extents::{greatest, least};

/// What each view shows of each superpoint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// How many of its points, `[S, K]`.
    pub counts: Vec<u32>,
    /// Left, top, right, bottom of these points in pixels, `[S, K]`; [`NOWHERE`] if there is none.
    pub extents: Vec<[f32; 4]>,
}

/// The extent of no points, neutral in unions.
pub const NOWHERE: [f32; 4] = [f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY];

/// The smallest rectangle around two.
pub fn union(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    [least(a[0], b[0]), least(a[1], b[1]), greatest(a[2], b[2]), greatest(a[3], b[3])]
}

/// CPU reference.
pub mod cpu {
    use super::{NOWHERE, Observed, union};
    use crate::{error::Result, ops::expect_len, ragged::Ragged};
    use rayon::prelude::*;

    /// Counts the visible points of every superpoint in every view and finds their extent.
    ///
    /// `visible`, `screen`: `[K, N]`; `superpoints`: the points of each, `[S]`; `views`: K.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn views(
        visible: &[bool],
        screen: &[[f32; 2]],
        superpoints: &Ragged<u32>,
        views: usize,
    ) -> Result<Observed> {
        let n = superpoints.values().len();
        expect_len("observe", "visible [K, N]", visible.len(), views * n)?;
        expect_len("observe", "screen [K, N]", screen.len(), views * n)?;
        let one = |s: usize, k: usize| {
            let seen = superpoints.row(s).iter().map(|&p| k * n + p as usize).filter(|&i| visible[i]);
            seen.fold((0, NOWHERE), |(count, extent), i| {
                let [x, y] = screen[i];
                (count + 1, union(extent, [x, y, x, y]))
            })
        };
        let all =
            (0..superpoints.len()).into_par_iter().flat_map_iter(|s| (0..views).map(move |k| one(s, k)));
        let (counts, extents) = all.unzip();
        Ok(Observed { counts, extents })
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ObserveDims},
        },
        error::Result,
        ops::expect_len,
    };

    /// A partition of N points into S superpoints.
    #[derive(Debug, Clone, Copy)]
    pub struct Partition<'a> {
        /// Superpoint of every point, below S, `[N]`.
        pub superpoint_of: &'a Buffer<u32>,
        /// The points grouped by superpoint, `[N]`.
        pub superpoint_points: &'a Buffer<u32>,
        /// S.
        pub superpoints: usize,
    }

    /// What each view shows of each superpoint.
    #[derive(Debug)]
    pub struct Observed {
        /// How many of its points, `[S, K]`.
        pub counts: Buffer<u32>,
        /// Left, top, right, bottom of these points in pixels, `[S, K, 4]`; [`NOWHERE`](super::NOWHERE) if there is
        /// none.
        pub extents: Buffer<f32>,
        /// Visible points over all views, n_s, `[S]`.
        pub totals: Buffer<u32>,
    }

    /// Counts the visible points of every superpoint in every view and finds their extent.
    ///
    /// `visible`: one bit a point, `[K, ceil(N / 32)]`; `screen`: `[K, N, 2]`; `views`: K.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
    /// the driver refuses.
    pub fn views(
        gpu: &Gpu,
        partition: Partition,
        visible: &Buffer<u32>,
        screen: &Buffer<f32>,
        views: usize,
    ) -> Result<Observed> {
        let Partition { superpoint_of, superpoint_points, superpoints } = partition;
        let (points, words) = (superpoint_of.len(), superpoint_of.len().div_ceil(32));
        expect_len("observe", "superpoint_points [N]", superpoint_points.len(), points)?;
        expect_len("observe", "visible [K, ceil(N / 32)]", visible.len(), views * words)?;
        expect_len("observe", "screen [K, N, 2]", screen.len(), views * points * 2)?;
        let cells = superpoints * views;
        let d = ObserveDims {
            points: points as u32,
            superpoints: superpoints as u32,
            views: views as u32,
            words: words as u32,
        };
        let mut observed = Observed {
            counts: gpu.alloc(cells)?,
            extents: gpu.alloc(4 * cells)?,
            totals: gpu.alloc(superpoints)?,
        };
        let Observed { counts, extents, totals } = &mut observed;
        kernels::observe_clear(gpu, blocks(cells, 256), counts, extents, totals, d)?;
        let grid = [blocks(points, 256)[0], views as u32, 1];
        kernels::observe_views(
            gpu,
            grid,
            superpoint_points,
            superpoint_of,
            visible,
            screen,
            counts,
            extents,
            totals,
            d,
        )?;
        Ok(observed)
    }
}
