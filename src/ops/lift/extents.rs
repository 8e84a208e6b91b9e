//! Bounding boxes of groups of points.

/// The least and the greatest coordinates of some points.
pub type Extent = [[f32; 3]; 2];

/// The lesser of two numbers, none NaN. Of zeros it is -0, as on a device; `f32::min` leaves that open.
pub fn least(a: f32, b: f32) -> f32 {
    if a.total_cmp(&b).is_lt() { a } else { b }
}

/// The greater of two numbers, none NaN; of zeros 0.
pub fn greatest(a: f32, b: f32) -> f32 {
    if a.total_cmp(&b).is_gt() { a } else { b }
}

/// CPU reference.
pub mod cpu {
    use super::{Extent, greatest, least};
    use crate::ragged::Ragged;

    /// The largest gap between two bounding boxes along an axis; negative where they overlap.
    pub fn gap(a: &Extent, b: &Extent) -> f32 {
        (0..3).map(|i| (a[0][i] - b[1][i]).max(b[0][i] - a[1][i])).fold(f32::NEG_INFINITY, f32::max)
    }

    /// The box of each of S groups.
    ///
    /// `positions`: `[N]`; `groups`: the points of each, `[S]`.
    pub fn extents(positions: &[[f32; 3]], groups: &Ragged<u32>) -> Vec<Extent> {
        let of = |members: &[u32]| {
            let positions = members.iter().map(|&i| positions[i as usize]);
            positions.fold([[f32::INFINITY; 3], [f32::NEG_INFINITY; 3]], |[low, high], p| {
                [
                    std::array::from_fn(|i| least(low[i], p[i])),
                    std::array::from_fn(|i| greatest(high[i], p[i])),
                ]
            })
        };
        groups.rows().map(of).collect()
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{Gpu, kernels},
        error::{Error, Result},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    /// The box of each of `s` groups.
    ///
    /// `positions`: `[N, 3]`; `offsets`: `[s + 1]`; `points`: `[N]`; `extents`: `[s, 2, 3]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn extents(
        gpu: &Gpu,
        positions: &impl DevicePtr<f32>,
        offsets: &impl DevicePtr<u32>,
        points: &impl DevicePtr<u32>,
        s: usize,
        extents: &mut impl DevicePtrMut<f32>,
    ) -> Result<()> {
        if offsets.len() <= s || positions.len() < 3 * points.len() || extents.len() < 6 * s {
            return Err(Error::invalid(format!(
                "extents: offsets must be [{s} + 1], extents [{s}, 6] and positions [{}, 3], not {}, {} and {} values",
                points.len(),
                offsets.len(),
                extents.len(),
                positions.len()
            )));
        }
        kernels::extents(gpu, [s as u32, 1, 1], positions, offsets, points, extents)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::extents;
    use crate::ragged::Ragged;

    #[test]
    fn of_two_groups() {
        let positions = [[0.0, 1.0, 2.0], [3.0, -1.0, 0.0], [5.0; 3]];
        let expected = [[[5.0; 3], [5.0; 3]], [[0.0, -1.0, 0.0], [3.0, 1.0, 2.0]]];
        assert_eq!(extents(&positions, &Ragged::from_iter([vec![2], vec![0, 1]])), expected);
        assert!(extents(&[], &Ragged::default()).is_empty());
    }
}
