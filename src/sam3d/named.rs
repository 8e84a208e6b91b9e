//! Groups as parts, so that what nobody has named goes the way of named parts.

use super::Regions;
use crate::{
    error::{Error, Result},
    ops::lift::mask,
    parts::Parts,
    stages::{boxes::Box2d, masks::Masks, views::Views},
};

/// Groups as parts, and the regions that show them.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Number of parts.
    pub parts: usize,
    /// A box around each region that shows a point of a part.
    pub boxes: Vec<Box2d>,
    /// Their masks, as [`Masks::Bits`] has them.
    bits: Vec<u8>,
}

impl Named {
    /// "part 1", "part 2", ...; "part 1" also where there is none.
    ///
    /// # Errors
    /// Those of [`Parts::new`], none of which such names have.
    pub fn names(&self) -> Result<Parts> {
        Parts::new((1..=self.parts.max(1)).map(|number| format!("part {number}")))
    }

    /// The regions.
    pub fn masks(&self) -> Masks {
        Masks::Bits(self.bits.clone().into())
    }

    /// These parts alone, in this order.
    pub fn some(&self, parts: &[usize]) -> Named {
        let mut some = Named { parts: parts.len(), ..Named::default() };
        let bytes = self.bits.len() / self.boxes.len().max(1);
        for (b, found) in self.boxes.iter().enumerate() {
            if let Some(label) = parts.iter().position(|&part| part == found.label as usize) {
                some.boxes.push(Box2d { label: label as u32, ..*found });
                some.bits.extend_from_slice(&self.bits[b * bytes..][..bytes]);
            }
        }
        some
    }
}

/// Their numbers by falling size, of equals the lower first: `[N]`, and the sizes in this order.
pub fn ranked(groups: &[i32]) -> (Vec<i32>, Vec<u32>) {
    let sizes = crate::ops::merge::groups::cpu::sizes(groups);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
    let mut rank = vec![0; sizes.len()];
    (0..).zip(&order).for_each(|(i, &group)| rank[group] = i);
    let ranks = groups.iter().map(|&g| if g >= 0 { rank[g as usize] } else { -1 }).collect();
    (ranks, order.iter().map(|&group| sizes[group]).collect())
}

/// The groups by falling size as parts, and every region as one of the group that most of its pixels show, of equals the
/// larger group.
///
/// `groups`: of every point, as [`super::segment`] finds them with these views and regions, `[N]`.
///
/// # Errors
/// [`Error::Invalid`] if regions or groups are not of these views, [`Error::Device`] if the views lie on a device that
/// failed.
pub fn named(views: &Views, regions: &Regions, groups: &[i32]) -> Result<Named> {
    regions.check(views)?;
    let (groups, sizes) = ranked(groups);
    let (side, pixels) = (views.side, views.side * views.side);
    let maps = views.pixel_to_point.host()?;
    let (mut boxes, mut bits) = (vec![], vec![]);
    for view in 0..views.len() {
        let (of_pixel, map) = (regions.of_view(view), &maps[view * pixels..][..pixels]);
        let mut of_region = vec![vec![]; of_pixel.iter().max().map_or(0, |&most| (most + 1) as usize)];
        for (pixel, &region) in of_pixel.iter().enumerate().filter(|(_, region)| **region >= 0) {
            of_region[region as usize].push(pixel);
        }
        for region in of_region {
            let mut shown = vec![0u32; sizes.len()];
            for &pixel in region.iter().filter(|&&pixel| map[pixel] >= 0) {
                let Some(&group) = groups.get(map[pixel] as usize) else {
                    return Err(Error::invalid(format!(
                        "sam3d: groups of {} points; view {view} shows point {}",
                        groups.len(),
                        map[pixel]
                    )));
                };
                if let Ok(group) = usize::try_from(group) {
                    shown[group] += 1;
                }
            }
            let most = shown.iter().copied().max().filter(|&most| most > 0);
            let Some(label) = shown.iter().position(|&count| Some(count) == most) else { continue };
            let [mut low, mut high] = [[side; 2], [0; 2]];
            let start = bits.len();
            bits.resize(start + mask::bytes(pixels), 0u8);
            for pixel in region {
                let at = [pixel % side, pixel / side];
                (low, high) = ([0, 1].map(|i| low[i].min(at[i])), [0, 1].map(|i| high[i].max(at[i] + 1)));
                bits[start + pixel / 8] |= 1 << (pixel % 8);
            }
            let [x, y, width, height] =
                [low[0], low[1], high[0] - low[0], high[1] - low[1]].map(|v| v as f32);
            boxes.push(Box2d {
                view: view as u32,
                label: label as u32,
                bbox: [x, y, width, height],
                score: 1.0,
            });
        }
    }
    Ok(Named { parts: sizes.len(), boxes, bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::views::{Camera, POSES};

    #[test]
    fn larger_groups_come_first() {
        assert_eq!(ranked(&[0, 1, 1, -1, 2, 2]), (vec![2, 0, 0, -1, 1, 1], vec![2, 2, 1]));
        assert_eq!(ranked(&[-1]), (vec![-1], vec![]));
    }

    /// Points 0 and 1 are one group, 2 the other, 3 none; each pixel of the first row and of the second shows one of them.
    #[test]
    fn a_region_is_of_the_group_that_it_shows_most_of() {
        let views = Views {
            cameras: POSES[..1].iter().copied().map(Camera::new).collect(),
            side: 4,
            pixel_to_point: vec![2, 2, 0, 1, 0, 1, 2, -1, -1, -1, -1, -1, 3, 3, 3, 3].into(),
            screen: vec![].into(),
            images: vec![].into(),
        };
        let regions = Regions::new(vec![0, 0, 0, 3, 3, 3, 3, 3, -1, -1, -1, -1, 2, 2, 2, 2], 4).unwrap();
        let found = named(&views, &regions, &[1, 1, 0, -1]).unwrap();
        assert_eq!(found.names().unwrap()[..], ["part 1", "part 2"]);
        let boxes = |found: &Named| found.boxes.iter().map(|b| (b.view, b.label, b.bbox)).collect::<Vec<_>>();
        let [first, second] = [[0.0, 0.0, 3.0, 1.0], [0.0, 0.0, 4.0, 2.0]];
        assert_eq!(boxes(&found), [(0, 1, first), (0, 0, second)]);
        assert_eq!(found.masks(), Masks::Bits(vec![0b0000_0111, 0, 0b1111_1000, 0].into()));

        let some = found.some(&[1]);
        assert_eq!((some.parts, boxes(&some)), (1, vec![(0, 0, first)]));
        assert_eq!(some.masks(), Masks::Bits(vec![0b0000_0111, 0].into()));
        let error = named(&views, &regions, &[0; 3]).unwrap_err().to_string();
        assert!(error.contains("groups of 3 points; view 0 shows point 3"), "{error}");
        let none = named(&views, &regions, &[-1; 4]).unwrap();
        assert_eq!((&none.names().unwrap()[..], none.boxes.len()), (&["part 1".to_string()][..], 0));
    }
}
