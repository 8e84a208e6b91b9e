//! What asks a point-prompted segmenter for all masks of an image: prompts on a grid, crops, and which of its answers stay.

use super::candidates::Mask;

/// Left, top, right, bottom in pixels; the last two are the first column and row beyond.
pub type Crop = [u32; 4];

/// Masks whose box ends this near the border of a crop are cut by it.
const EDGE: i64 = 20;

/// `side * side` points of a crop, row by row, in its pixels.
pub fn grid(side: usize, crop: Crop) -> Vec<[f64; 2]> {
    let size = [crop[2] - crop[0], crop[3] - crop[1]].map(f64::from);
    let at = |i: usize| (2 * i + 1) as f64 / (2 * side) as f64;
    (0..side * side).map(|i| [at(i % side) * size[0], at(i / side) * size[1]]).collect()
}

/// The whole image, then layers of overlapping crops, 2 along each side in the first, 4 in the second, ..., each with its
/// layer. `overlap`: of the crops of the first layer, in parts of half the shorter side.
pub fn crops([width, height]: [u32; 2], layers: u32, overlap: f64) -> Vec<(Crop, u32)> {
    let mut crops = vec![([0, 0, width, height], 0)];
    for layer in 1..=layers {
        let n = 1u32 << layer;
        let shared = (overlap * f64::from(width.min(height)) * (2.0 / f64::from(n))) as u32;
        let length = |all: u32| (shared * (n - 1) + all).div_ceil(n);
        let [columns, rows] = [length(width), length(height)];
        for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let (left, top) = (i * (columns - shared), j * (rows - shared));
            crops.push(([left, top, (left + columns).min(width), (top + rows).min(height)], layer));
        }
    }
    crops
}

/// Whether a box of a crop, in the crop's pixels, ends near its border where the image, of this width and height, goes on.
pub fn is_cut(corners: [u32; 4], crop: Crop, [width, height]: [u32; 2]) -> bool {
    let near = |a: u32, b: u32| (i64::from(a) - i64::from(b)).abs() <= EDGE;
    let image = [0, 0, width, height];
    (0..4).any(|side| {
        let at = corners[side] + crop[side % 2];
        near(at, crop[side]) && !near(at, image[side])
    })
}

/// Greedy suppression: the boxes that stay, by falling score, of equals the earlier one first. A box goes if its IoU with one
/// that stays exceeds `limit`.
///
/// QUIRK boxes: masks of other shapes with the same box are taken for one.
///
/// QUIRK no-area: corners belong to the box, and yet its width is their difference: boxes one pixel wide have no area, and their
/// IoU of 0 / 0 suppresses nothing.
pub fn suppress(corners: &[[u32; 4]], scores: &[f32], limit: f32) -> Vec<usize> {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
    let iou = |a: usize, b: usize| {
        let [a, b] = [a, b].map(|i| corners[i].map(|x| x as f32));
        let across = |low: usize| (a[low + 2].min(b[low + 2]) - a[low].max(b[low])).max(0.0);
        let shared = across(0) * across(1);
        shared / (area(a) + area(b) - shared)
    };
    let mut order: Vec<usize> = (0..corners.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut kept: Vec<usize> = vec![];
    for b in order {
        if !kept.iter().any(|&a| iou(a, b) > limit) {
            kept.push(b);
        }
    }
    kept
}

/// Fills holes of fewer than `least` pixels, then removes islands of fewer, all but the largest if none is as large. Pixels
/// touch at corners too. None if there was nothing small. `width`: of the image.
pub fn clean(mask: &Mask, width: usize, height: usize, least: u32) -> Option<Mask> {
    let mut inside: Vec<bool> = (0..width * height).map(|pixel| mask.holds(pixel)).collect();
    let small = |size: &u32| *size < least;
    let (holes, sizes) = pieces(&inside, width, false);
    let filled = sizes.iter().any(small);
    if filled {
        inside.iter_mut().zip(&holes).for_each(|(inside, &hole)| {
            *inside |= hole.is_some_and(|hole| small(&sizes[hole]));
        });
    }
    let (islands, sizes) = pieces(&inside, width, true);
    let removed = sizes.iter().any(small);
    if removed {
        let largest = (0..sizes.len()).rev().max_by_key(|&i| sizes[i]);
        let none_stays = sizes.iter().all(small);
        let stays = |island: usize| !small(&sizes[island]) || none_stays && largest == Some(island);
        inside.iter_mut().zip(&islands).for_each(|(inside, &island)| {
            *inside = island.is_some_and(stays);
        });
    }
    (filled || removed).then(|| Mask::of(width, &inside))
}

/// The connected pieces of the pixels that are `wanted`, by their first pixel: the piece of every pixel, and their sizes.
fn pieces(inside: &[bool], width: usize, wanted: bool) -> (Vec<Option<usize>>, Vec<u32>) {
    let mut of_pixel = vec![None; inside.len()];
    let mut sizes = vec![];
    let height = inside.len() / width.max(1);
    for first in 0..inside.len() {
        if inside[first] != wanted || of_pixel[first].is_some() {
            continue;
        }
        let (piece, mut size, mut open) = (sizes.len(), 0, vec![first]);
        of_pixel[first] = Some(piece);
        while let Some(pixel) = open.pop() {
            size += 1;
            let (x, y) = (pixel % width, pixel / width);
            for row in y.saturating_sub(1)..height.min(y + 2) {
                for near in (x.saturating_sub(1)..width.min(x + 2)).map(|column| row * width + column) {
                    if inside[near] == wanted && of_pixel[near].is_none() {
                        of_pixel[near] = Some(piece);
                        open.push(near);
                    }
                }
            }
        }
        sizes.push(size);
    }
    (of_pixel, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_in_the_middle_of_their_cells_row_by_row() {
        let points = grid(32, [0, 0, 800, 800]);
        assert_eq!((points.len(), points[0], points[1]), (1024, [12.5, 12.5], [37.5, 12.5]));
        assert_eq!(points[1023], [787.5, 787.5]);
    }

    #[test]
    fn boxes_without_area_suppress_nothing() {
        let line = [3, 0, 3, 9];
        assert_eq!(
            suppress(&[line, line, [0, 0, 9, 9], [0, 0, 9, 8]], &[0.5, 0.6, 0.7, 0.7], 0.7),
            [2, 1, 0]
        );
    }

    #[test]
    fn a_lone_small_island_stays_and_counts_as_changed() {
        let mask = Mask::of(4, &(0..16).map(|i| i == 5 || i == 15).collect::<Vec<_>>());
        let cleaned = clean(&mask, 4, 4, 3).unwrap();
        assert!(cleaned.area == 1 && cleaned.holds(5), "the first of equals");
        assert!(clean(&Mask::of(4, &[true; 16]), 4, 4, 3).is_none());
        let ring: Vec<bool> = (0..16).map(|i| i != 5).collect();
        assert_eq!(clean(&Mask::of(4, &ring), 4, 4, 2).unwrap().area, 16);
    }
}
