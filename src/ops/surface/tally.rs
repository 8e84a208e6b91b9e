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
    fn check(&self) -> crate::Result<()> {
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
        Ok(())
    }
}

/// CPU reference.
pub mod cpu {
    use super::Input;
    use crate::{Error, Result, ragged::Ragged};
    use rayon::prelude::*;

    /// Face and number of pixels, faces ascending, of every box, `[B]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit or a pixel shows a face that there is not.
    pub fn tally(input: &Input) -> Result<Ragged<(u32, u32)>> {
        input.check()?;
        let &Input { maps, side, views, rects, faces } = input;
        if let Some(&face) = maps.iter().find(|&&face| face < -1 || face >= faces as i32) {
            return Err(Error::invalid(format!("tally: a pixel shows face {face} of {faces} (-1 = none)")));
        }
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
