//! What a view says of the points that it shows: the group of most of a point's pixels.

/// The points that a view shows, and a group of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Numbers of the points, each once.
    pub points: Vec<u32>,
    /// Their groups, -1 = none.
    pub groups: Vec<i32>,
}

/// CPU reference.
pub mod cpu {
    use super::Frame;
    use crate::{
        error::{Error, Result},
        ops::expect_len,
    };

    /// Points ascend; of as frequent groups the larger number wins, and -1 is the smallest.
    ///
    /// `map`: the point that each pixel shows, -1 = none; `regions`: the group of each pixel, -1 = none, `[pixels]` each;
    /// `points`: N.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths differ or a number is outside.
    pub fn frame(map: &[i32], regions: &[i32], points: usize) -> Result<Frame> {
        expect_len("frame", "regions [pixels]", regions.len(), map.len())?;
        if let Some(&point) = map.iter().find(|&&point| point < -1 || point as i64 >= points as i64) {
            return Err(Error::invalid(format!(
                "frame: a pixel shows point {point} of {points} (-1 = none)"
            )));
        }
        if let Some(&group) = regions.iter().find(|&&group| group < -1) {
            return Err(Error::invalid(format!("frame: a pixel has group {group} (-1 = none)")));
        }
        let shown = map.iter().zip(regions).filter(|(point, _)| **point >= 0);
        let mut shown: Vec<(i32, i32)> = shown.map(|(&point, &group)| (point, group)).collect();
        shown.sort_unstable();
        let mut frame = Frame::default();
        for of_point in shown.chunk_by(|a, b| a.0 == b.0) {
            // Of equals `max_by_key` takes the last.
            let most = of_point.chunk_by(|a, b| a.1 == b.1).max_by_key(|run| run.len());
            let (point, group) = most.expect("a chunk is never empty")[0];
            frame.points.push(point as u32);
            frame.groups.push(group);
        }
        Ok(frame)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, FrameDims},
        },
        error::{Error, Result},
        ops::{
            basic::{
                scan,
                sort::{self, cuda::Pairs},
            },
            expect_len,
        },
    };
    use cudarc::driver::DevicePtr;

    /// [`Frame`](super::Frame) on a device.
    #[derive(Debug)]
    pub struct Frame {
        /// Numbers of the points, each once.
        pub points: Buffer<u32>,
        /// Their groups, -1 = none.
        pub groups: Buffer<i32>,
    }

    /// As the reference; waits for the number of points that are shown. A pixel that shows no point counts nowhere.
    ///
    /// `map`, `regions`: `[pixels]`; `points`: N; `groups`: more than every group.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths differ or are too large, [`Error::Device`] if the driver refuses.
    pub fn frame(
        gpu: &Gpu,
        map: &impl DevicePtr<i32>,
        regions: &impl DevicePtr<i32>,
        points: usize,
        groups: usize,
    ) -> Result<Frame> {
        let pixels = map.len();
        expect_len("frame", "regions [pixels]", regions.len(), pixels)?;
        if pixels >= 1 << 31 || points >= 1 << 31 || groups >= 1 << 31 {
            return Err(Error::invalid(format!(
                "frame: {pixels} pixels, {points} points and {groups} groups"
            )));
        }
        let d = FrameDims { pixels: pixels as u32, points: points as u32, groups: groups as u32 + 1 };
        let (grid, of_points) = (blocks(pixels, 256), blocks(points, 256));
        let mut order = Pairs::<u64>::new(gpu, pixels)?;
        let mut workspace = sort::cuda::Workspace::new(gpu, pixels)?;
        kernels::frame_keys(gpu, grid, map, regions, &mut order.keys, &mut order.values, d)?;
        let bits = u64::BITS - (u64::from(d.points) * u64::from(d.groups)).leading_zeros();
        sort::cuda::pairs(gpu, &mut order, pixels, bits, &mut workspace)?;
        let (mut winners, mut marks, mut places) =
            (gpu.zeros(points)?, gpu.alloc(points)?, gpu.alloc(points + 1)?);
        kernels::frame_winners(gpu, grid, &order.keys, &mut winners, d)?;
        kernels::frame_marks(gpu, of_points, &winners, &mut marks, d)?;
        scan::cuda::exclusive(
            gpu,
            &marks,
            points,
            &mut places,
            &mut scan::cuda::Workspace::new(gpu, points)?,
        )?;
        let shown = gpu.download(&places.slice(points..))?[0] as usize;
        let mut frame = Frame { points: gpu.alloc(shown)?, groups: gpu.alloc(shown)? };
        kernels::frame_gather(gpu, of_points, &winners, &places, &mut frame.points, &mut frame.groups, d)?;
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::frame;

    #[test]
    fn most_pixels_decide_and_then_the_larger_number() {
        let map = [4, 4, 4, 1, 1, -1, 2, 2, 2, 2];
        let regions = [0, 1, 1, -1, 3, 7, 5, -1, -1, 5];
        let found = frame(&map, &regions, 5).unwrap();
        assert_eq!((found.points, found.groups), (vec![1, 2, 4], vec![3, 5, 1]));
        assert!(frame(&map, &regions, 4).is_err() && frame(&map[1..], &regions, 5).is_err());
        assert!(frame(&[0], &[-2], 1).is_err() && frame(&[-1; 3], &[0; 3], 0).unwrap().points.is_empty());
    }
}
