//! What boxes show: the faces under each, and on how many pixels.

/// A box in whole pixels: columns from the first to before the third, rows from the second to before the fourth.
pub type Rect = [u32; 4];

/// A box's corners (left, top, right, bottom in pixels) cut toward zero, within an image of `side` x `side`.
///
/// QUIRK corners: pixels that the box covers only in part count at its left and upper side, not at the others.
pub fn cut(corners: [f32; 4], side: usize) -> Rect {
    corners.map(|x| (x as i64).clamp(0, side as i64) as u32)
}

/// Boxes over maps.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The face that each pixel of each view shows, -1 = none, `[K, side, side]`.
    pub maps: &'a [i32],
    /// Pixels along each side of a view.
    pub side: usize,
    /// The view of every box, `[B]`.
    pub views: &'a [u32],
    /// The boxes, `[B]`.
    pub rects: &'a [Rect],
    /// F.
    pub faces: usize,
}

impl Input<'_> {
    /// Refuses boxes outside of the maps, and pixels that show a face that there is not.
    pub(crate) fn check(&self) -> crate::Result<()> {
        use crate::{Error, ops::expect_len};
        let pixels = self.side * self.side;
        let k = self.maps.len() / pixels.max(1);
        expect_len("tally", "maps [K, side, side]", self.maps.len(), k * pixels)?;
        expect_len("tally", "views [B]", self.views.len(), self.rects.len())?;
        if let Some(&view) = self.views.iter().find(|&&view| view as usize >= k) {
            return Err(Error::invalid(format!("tally: a box of view {view}, but there are {k} maps")));
        }
        if let Some(rect) = self.rects.iter().find(|rect| rect.iter().any(|&x| x as usize > self.side)) {
            return Err(Error::invalid(format!(
                "tally: box {rect:?} leaves its image of {} pixels",
                self.side
            )));
        }
        let faces = self.faces;
        if let Some(&face) = self.maps.iter().find(|&&face| face < -1 || face as i64 >= faces as i64) {
            return Err(Error::invalid(format!("tally: a pixel shows face {face} of {faces} (-1 = none)")));
        }
        Ok(())
    }
}

/// CPU reference.
pub mod cpu {
    use super::Input;
    use crate::{Result, ragged::Ragged};
    use rayon::prelude::*;

    /// Face and number of pixels, faces ascending, of every box, `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit or a pixel shows a face that there is not.
    pub fn tally(input: &Input) -> Result<Ragged<(u32, u32)>> {
        input.check()?;
        let &Input { maps, side, views, rects, faces } = input;
        let rows = views.par_iter().zip(rects).map_init(
            || vec![0u32; faces],
            |counts, (&view, &[left, top, right, bottom])| {
                let map = &maps[view as usize * side * side..][..side * side];
                let mut shown = vec![];
                for row in top..bottom {
                    let row = &map[row as usize * side..][..side];
                    for &face in row.get(left as usize..right as usize).unwrap_or_default() {
                        if face >= 0 {
                            if counts[face as usize] == 0 {
                                shown.push((face as u32, 0));
                            }
                            counts[face as usize] += 1;
                        }
                    }
                }
                shown.sort_unstable();
                shown.iter_mut().for_each(|(face, n)| *n = std::mem::take(&mut counts[*face as usize]));
                shown
            },
        );
        Ok(Ragged::from_iter(rows.collect::<Vec<_>>()))
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::Rect;
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, TallyDims},
        },
        error::{Error, Result},
        ops::{basic::scan, expect_len},
    };

    const WARP: usize = 32;

    /// Elements of `[B, F]` that are counted at once, at most.
    pub const MOST: usize = 1 << 24;

    /// What boxes show, an entry each, by box, then face.
    #[derive(Debug)]
    pub struct Tally {
        /// Pixels of every face under every box, `[B, F]`.
        pub counts: Buffer<u32>,
        /// The entry of every count that is not zero, `[B F + 1]`.
        pub places: Buffer<u32>,
        /// The first entry of every box, and the last one's end, `[B + 1]`.
        pub offsets: Buffer<u32>,
        /// The box of every entry, `[E]`.
        pub boxes: Buffer<u32>,
        /// Its face.
        pub faces: Buffer<u32>,
        /// Its pixels.
        pub pixels: Buffer<u32>,
    }

    /// Counts; bit for bit the reference's. `maps`: `[K, side, side]`, a pixel that shows no face, or one that is not there,
    /// counts nowhere; `views`: below K, and `rects`: within the image, `[B]`; `faces`: F. Waits once.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit or B F is more than [`MOST`] with more than one box, [`Error::Device`] if
    /// the driver refuses.
    pub fn tally(
        gpu: &Gpu,
        maps: &Buffer<i32>,
        side: usize,
        views: &[u32],
        rects: &[Rect],
        faces: usize,
    ) -> Result<Tally> {
        let (b, k) = (rects.len(), maps.len() / (side * side).max(1));
        expect_len("tally", "maps [K, side, side]", maps.len(), k * side * side)?;
        expect_len("tally", "views [B]", views.len(), b)?;
        let inside = |rect: &Rect| rect.iter().all(|&x| x as usize <= side);
        if !rects.iter().all(inside) || views.iter().any(|&view| view as usize >= k) {
            return Err(Error::invalid(format!("tally: a box outside of the {k} views of side {side}")));
        }
        if (b > 1 && b * faces > MOST) || faces >= 1 << 31 || b > 65_535 {
            return Err(Error::invalid(format!(
                "tally: {b} boxes over {faces} faces; at most {MOST} together, or one box"
            )));
        }
        let d = TallyDims { side: side as u32, boxes: b as u32, faces: faces as u32 };
        let (views, rects) = (gpu.upload(views)?, gpu.upload(rects.as_flattened())?);
        let mut counts = gpu.zeros(b * faces)?;
        let (mut marks, mut places) = (gpu.alloc(b * faces)?, gpu.alloc(b * faces + 1)?);
        let rows = [blocks(side * WARP, 256)[0], b as u32, 1];
        kernels::tally_count(gpu, rows, maps, &views, &rects, &mut counts, d)?;
        kernels::tally_marks(gpu, blocks(b * faces, 256), &counts, &mut marks, d)?;
        let mut workspace = scan::cuda::Workspace::new(gpu, b * faces)?;
        scan::cuda::exclusive(gpu, &marks, b * faces, &mut places, &mut workspace)?;
        let entries = gpu.download(&places.slice(b * faces..))?[0] as usize;
        let mut tally = Tally {
            counts,
            places,
            offsets: gpu.zeros(b + 1)?,
            boxes: gpu.alloc(entries)?,
            faces: gpu.alloc(entries)?,
            pixels: gpu.alloc(entries)?,
        };
        if faces > 0 {
            kernels::tally_gather(
                gpu,
                blocks(b * faces + 1, 256),
                &tally.counts,
                &tally.places,
                &mut tally.boxes,
                &mut tally.faces,
                &mut tally.pixels,
                &mut tally.offsets,
                d,
            )?;
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, cpu::tally, cut};

    #[test]
    fn corners_are_cut_toward_zero_and_into_the_image() {
        assert_eq!(cut([1.9, 0.0, 3.999, 4.0], 8), [1, 0, 3, 4]);
        assert_eq!(cut([-3.5, -0.5, 99.0, 7.2], 8), [0, 0, 8, 7]);
    }

    #[test]
    fn the_upper_sides_do_not_count() {
        let maps = [0, 0, 1, 0, 2, 1, -1, 2, 2, 5, 5, 5, 5, 5, 5, 5, 5, 5];
        let rects = [[0, 0, 3, 3], [0, 0, 2, 2], [1, 1, 1, 3], [2, 0, 1, 3], [0, 0, 1, 1]];
        let views = [0, 0, 0, 0, 1];
        let input = Input { maps: &maps, side: 3, views: &views, rects: &rects, faces: 6 };
        let found = tally(&input).unwrap();
        assert_eq!(found.row(0), [(0, 3), (1, 2), (2, 3)]);
        assert_eq!(found.row(1), [(0, 3), (2, 1)]);
        assert!(found.row(2).is_empty() && found.row(3).is_empty());
        assert_eq!(found.row(4), [(5, 1)]);
        for wrong in [
            Input { faces: 5, ..input },
            Input { views: &views[1..], ..input },
            Input { side: 2, ..input },
            Input { views: &[2; 5], ..input },
            Input { rects: &[[0, 0, 4, 1]; 5], ..input },
        ] {
            assert!(tally(&wrong).is_err());
        }
    }
}
