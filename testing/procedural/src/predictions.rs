//! 2D predictions made from the ground truth: what a detector and a segmenter of chosen faults would say about the
//! views of a labelled cloud. For tests, examples and measurements of lifting alone.

use crate::rng::Rng;
use partstad::stages::{
    boxes::{Box2d, Boxes},
    masks::Masks,
    views::Views,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Channels of the made-up features.
pub const FEATURE_DIM: usize = 256;

/// The faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Standard deviation of each edge of a box, as a share of the box's size.
    pub jitter: f64,
    /// Share of the visible instances that get no box.
    pub missed: f64,
    /// Boxes of nothing, or of the wrong part, for each right one.
    pub spurious: f64,
    /// By how much masks shrink or grow at most on each side, as a share of the box's shorter side.
    pub erosion: f64,
    /// Share of the pixels along a mask's border that are wrong.
    pub ragged: f64,
    /// Instances that show fewer pixels get no box.
    pub min_pixels: usize,
    /// How much the features say about how good a box is; their noise is 1, 0 says nothing.
    pub signal: f64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            jitter: 0.05,
            missed: 0.2,
            spurious: 0.25,
            erosion: 0.04,
            ragged: 0.2,
            min_pixels: 30,
            signal: 1.0,
        }
    }
}

impl Options {
    /// Boxes and masks as good as the views allow.
    pub fn perfect() -> Options {
        Options {
            jitter: 0.0,
            missed: 0.0,
            spurious: 0.0,
            erosion: 0.0,
            ragged: 0.0,
            min_pixels: 1,
            signal: 1.0,
        }
    }
}

/// Makes boxes with scores and features, and their masks ([`Masks::Bits`]), by view.
///
/// `semantic`, `instance`: label and instance of every point, -1 = none, `[N]`; `labels`: L. The scores lie above 0.5
/// and, like the features, tell something about how good a box is.
pub fn predict(
    views: &Views,
    semantic: &[i32],
    instance: &[i32],
    labels: usize,
    seed: u64,
    options: &Options,
) -> (Boxes, Masks) {
    let mut rng = Rng::new(seed);
    let side = views.side;
    let (mut list, mut features) = (vec![], vec![]);
    let mut bits = vec![];
    for k in 0..views.len() {
        let map = views.pixel_to_point(k).expect("rendered on the CPU");
        for (label, pixels) in visible(map, semantic, instance, side, options.min_pixels) {
            let mut found = |rng: &mut Rng, label: u32, rect: [f64; 4], mask: &Bitmap, quality: f64| {
                let [x1, y1, x2, y2] = rect.map(|v| v as f32);
                let score = (0.55 + 0.4 * quality + 0.05 * rng.normal()).clamp(0.5 + 1e-4, 1.0) as f32;
                list.push(Box2d { view: k as u32, label, bbox: [x1, y1, x2 - x1, y2 - y1], score });
                features.extend(feature(rng, label, options.signal * (2.0 * quality - 1.0)));
                bits.extend(mask.pack());
            };
            let truth = extent(&pixels, side);
            if !rng.chance(options.missed) {
                let rect = jittered(&mut rng, truth, options.jitter, side as f64);
                let mask = Bitmap::new(&pixels, side).closed(3);
                let shorter = (truth[2] - truth[0]).min(truth[3] - truth[1]);
                let growth =
                    (options.erosion * shorter * rng.range(-1.0, 1.0)).round().clamp(-6.0, 6.0) as i32;
                let mask = mask.grown(growth).ragged(&mut rng, options.ragged).cropped(enlarged(rect, 0.05));
                found(&mut rng, label, rect, &mask, iou(rect, truth));
            }
            if rng.chance(options.spurious) {
                let wrong = rng.int(0, labels - 1) as u32;
                let rect = if wrong != label && rng.chance(0.5) {
                    truth
                } else {
                    let (w, h) = (rng.range(0.02, 0.3) * side as f64, rng.range(0.02, 0.3) * side as f64);
                    let (x, y) = (rng.range(0.2, 0.8) * side as f64, rng.range(0.2, 0.8) * side as f64);
                    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
                };
                let seen: Vec<usize> = (0..map.len()).filter(|&pixel| map[pixel] >= 0).collect();
                let mask = Bitmap::new(&seen, side).cropped(rect);
                found(&mut rng, wrong, rect, &mask, 0.0);
            }
        }
    }
    (Boxes::with_features(list, features, FEATURE_DIM), Masks::Bits(bits.into()))
}

/// The label and the pixels of every instance in sight. A pixel that few of its neighbours agree with shows what shines
/// through the gaps between points: it goes to what most of them show.
fn visible(
    map: &[i32],
    semantic: &[i32],
    instance: &[i32],
    side: usize,
    min_pixels: usize,
) -> Vec<(u32, Vec<usize>)> {
    let owner =
        |pixel: usize| usize::try_from(map[pixel]).ok().map(|point| (semantic[point], instance[point]));
    let around = |pixel: usize| {
        let (x, y) = (pixel % side, pixel / side);
        let columns = x.saturating_sub(3)..(x + 4).min(side);
        let rows = y.saturating_sub(3)..(y + 4).min(side);
        rows.flat_map(move |y| columns.clone().map(move |x| y * side + x)).filter_map(owner)
    };
    let mut found: BTreeMap<(i32, i32), Vec<usize>> = BTreeMap::new();
    for pixel in 0..map.len() {
        let Some(mut own) = owner(pixel) else { continue };
        let (mut all, mut same) = (0, 0);
        for other in around(pixel) {
            all += 1;
            same += (other == own) as usize;
        }
        if 3 * same < all {
            let mut votes: BTreeMap<(i32, i32), usize> = BTreeMap::new();
            around(pixel).for_each(|other| *votes.entry(other).or_default() += 1);
            own = votes.into_iter().max_by_key(|&(_, count)| count).map_or(own, |(other, _)| other);
        }
        if own.0 >= 0 {
            found.entry(own).or_default().push(pixel);
        }
    }
    found.retain(|_, pixels| pixels.len() >= min_pixels);
    found.into_iter().map(|((label, _), pixels)| (label as u32, pixels)).collect()
}

/// Left, top, right, bottom.
fn extent(pixels: &[usize], side: usize) -> [f64; 4] {
    pixels.iter().fold([f64::MAX, f64::MAX, f64::MIN, f64::MIN], |[x1, y1, x2, y2], pixel| {
        let (x, y) = ((pixel % side) as f64, (pixel / side) as f64);
        [x1.min(x), y1.min(y), x2.max(x + 1.0), y2.max(y + 1.0)]
    })
}

fn jittered(rng: &mut Rng, [x1, y1, x2, y2]: [f64; 4], jitter: f64, side: f64) -> [f64; 4] {
    let (w, h) = (jitter * (x2 - x1), jitter * (y2 - y1));
    let mut moved = |edge: f64, by: f64| (edge + by * rng.normal()).clamp(0.0, side);
    let (a, b, c, d) = (moved(x1, w), moved(y1, h), moved(x2, w), moved(y2, h));
    [a.min(c), b.min(d), a.max(c), b.max(d)]
}

/// By a share of its size on each side: a segmenter follows the object a little beyond its box.
fn enlarged([x1, y1, x2, y2]: [f64; 4], share: f64) -> [f64; 4] {
    let (w, h) = (share * (x2 - x1), share * (y2 - y1));
    [x1 - w, y1 - h, x2 + w, y2 + h]
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |r: [f64; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both).max(1e-9)
}

/// Noise around a direction for the label and one for the quality, in [-1, 1].
fn feature(rng: &mut Rng, label: u32, quality: f64) -> Vec<f32> {
    let (mut of_label, mut of_quality) = (Rng::new(label.into()), Rng::new(u64::MAX));
    let value = |_| rng.normal() + of_label.normal() + quality * of_quality.normal();
    (0..FEATURE_DIM).map(value).map(|x| x as f32).collect()
}

/// A full mask, `[side, side]`.
struct Bitmap {
    side: usize,
    set: Vec<bool>,
}

impl Bitmap {
    fn new(pixels: &[usize], side: usize) -> Bitmap {
        let mut set = vec![false; side * side];
        pixels.iter().for_each(|&pixel| set[pixel] = true);
        Bitmap { side, set }
    }

    /// With a square of 2 |r| + 1 pixels: grown for positive r, shrunk for negative r.
    fn grown(&self, r: i32) -> Bitmap {
        let (value, reach) = (r > 0, r.unsigned_abs() as usize);
        let spread = |set: &[bool], step: usize, at: fn(usize, usize) -> usize| {
            let mut out = set.to_vec();
            for pixel in (0..set.len()).filter(|&pixel| set[pixel] == value) {
                let place = at(pixel, self.side);
                for i in place.saturating_sub(reach)..=(place + reach).min(self.side - 1) {
                    out[pixel + i * step - place * step] = value;
                }
            }
            out
        };
        let rows = spread(&self.set, 1, |pixel, side| pixel % side);
        Bitmap { side: self.side, set: spread(&rows, self.side, |pixel, side| pixel / side) }
    }

    /// Without holes and gaps of up to 2 r pixels.
    fn closed(&self, r: i32) -> Bitmap {
        self.grown(r).grown(-r)
    }

    /// A share of the pixels within 2 of the border flipped.
    fn ragged(mut self, rng: &mut Rng, share: f64) -> Bitmap {
        let (inner, outer) = (self.grown(-2), self.grown(2));
        for pixel in 0..self.set.len() {
            if inner.set[pixel] != outer.set[pixel] && rng.chance(share) {
                self.set[pixel] = !self.set[pixel];
            }
        }
        self
    }

    /// Nothing outside the rectangle.
    fn cropped(mut self, [x1, y1, x2, y2]: [f64; 4]) -> Bitmap {
        for (pixel, set) in self.set.iter_mut().enumerate() {
            let (x, y) = ((pixel % self.side) as f64 + 0.5, (pixel / self.side) as f64 + 0.5);
            *set &= (x1..=x2).contains(&x) && (y1..=y2).contains(&y);
        }
        self
    }

    /// One bit a pixel, least significant first.
    fn pack(&self) -> Vec<u8> {
        self.set
            .chunks(8)
            .map(|eight| eight.iter().rev().fold(0, |byte, &bit| byte << 1 | bit as u8))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use partstad::{
        Device,
        stages::{cloud::Cloud, views},
    };

    fn chair() -> (Views, crate::Shape) {
        let shape = generate("Chair", 3, 20_000).unwrap();
        let cloud = Cloud::new(&shape.cloud).unwrap();
        let options = views::Options { poses: views::POSES[..2].to_vec(), ..Default::default() };
        (Views::render(&Device::Cpu, &cloud, &options).unwrap(), shape)
    }

    #[test]
    fn perfect_predictions_claim_exactly_the_instances() {
        let (views, shape) = chair();
        let (boxes, masks) = predict(&views, &shape.semantic, &shape.instance, 5, 1, &Options::perfect());
        boxes.check(views.len(), 5).unwrap();
        masks.check(boxes.len(), views.side).unwrap();
        let mut good = 0;
        for (b, found) in boxes.list().unwrap().iter().enumerate() {
            let (mask, map) = (
                masks.full(&boxes, b, views.side).unwrap(),
                views.pixel_to_point(found.view as usize).unwrap(),
            );
            let inside = mask.iter().zip(map).filter(|(bit, point)| **bit == 1 && **point >= 0);
            let (mut right, mut all) = (0, 0);
            for (_, &point) in inside {
                all += 1;
                right += (shape.semantic[point as usize] == found.label as i32) as usize;
            }
            good += (10 * right > 7 * all) as usize;
        }
        assert!(boxes.len() > 8 && 10 * good >= 9 * boxes.len(), "{good} of {}", boxes.len());
    }

    #[test]
    fn a_seed_gives_the_same_faults_and_another_one_others() {
        let (views, shape) = chair();
        let made = |seed| predict(&views, &shape.semantic, &shape.instance, 5, seed, &Options::default());
        assert_eq!(made(1), made(1));
        assert_ne!(made(1).0, made(2).0);
    }

    #[test]
    fn masks_grow_shrink_and_close() {
        let pixels: Vec<usize> =
            (0..100).filter(|p| (3..7).contains(&(p % 10)) && (3..7).contains(&(p / 10))).collect();
        let square = Bitmap::new(&pixels, 10);
        let count = |mask: &Bitmap| mask.set.iter().filter(|&&set| set).count();
        assert_eq!([count(&square.grown(1)), count(&square.grown(-1)), count(&square.grown(0))], [36, 4, 16]);
        let holed = Bitmap::new(&pixels.iter().copied().filter(|&p| p != 44).collect::<Vec<_>>(), 10);
        assert_eq!(count(&holed.closed(1)), 16);
    }
}
