//! Boxes to the faces of surfaces: rasterization, faces under boxes, rings, weights, sums. All bit for bit.

use crate::{gpu, same};
use inputs::{AWKWARD, Random};
use partstad::{
    Device,
    device::{gpu::Gpu, twin::Twinned},
    ops::surface::{
        rings, scores,
        tally::{self, Input},
        triangles::{self, Camera, Sides},
        weights::{self, Factors},
    },
    ragged::Ragged,
    satr::{Detection, Options, Surface},
    stages::views::{self, POSES},
};

/// Faces between random places, many small and some that fill the view; some share a depth, some have no place.
fn faces(random: &mut Random, count: usize) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
    let mut vertices: Vec<[f32; 3]> = vec![];
    for i in 0..count + 3 {
        let size = if i % 7 == 0 { 1.5 } else { 0.1 };
        let near = vertices.get(i.wrapping_sub(1)).copied().unwrap_or([0.0; 3]);
        vertices.push([0, 1, 2].map(|axis| {
            let value = (near[axis] * 0.9 + size * (random.uniform() - 0.5)).clamp(-0.9, 0.9);
            if axis == 2 && i % 3 == 0 { (value * 4.0).round() / 4.0 } else { value }
        }));
    }
    vertices.extend([[f32::NAN; 3], [f32::MAX; 3], [0.0, 0.0, 2.2]]);
    let n = vertices.len() as u32;
    let face = |i: u32| match i % 11 {
        5 => [i, i, i + 1],
        9 => [i, n - 1 - i % 3, i + 1],
        10 => [i.saturating_sub(1), i, i + 1],
        _ => [i, i + 1, i + 2],
    };
    (vertices, (0..count as u32).map(face).collect())
}

fn camera(random: &mut Random) -> Camera {
    let [x, y] = [0, 1].map(|_| random.uniform() - 0.5);
    [[1.0, 0.0, x], [0.0, 1.0, y], [-x, -y, 1.0], [0.0, 0.0, -2.2]]
}

#[test]
fn faces_that_pixels_show() {
    let (gpu, mut random) = (gpu(), Random(1));
    for (count, side) in [(0, 8), (1, 1), (7, 33), (8, 16), (9, 40), (300, 64)] {
        compare_maps(&gpu, &mut random, count, side);
    }
}

pub fn compare_maps(gpu: &Gpu, random: &mut Random, count: usize, side: usize) {
    let (vertices, faces) = faces(random, count);
    let cameras: Vec<Camera> = (0..3).map(|_| camera(random)).collect();
    let there = gpu.upload(vertices.as_flattened()).unwrap();
    let corners = gpu.upload(faces.as_flattened()).unwrap();
    for sides in [Sides::Front, Sides::Both] {
        let found = triangles::cuda::nearest_faces(gpu, &there, &corners, &cameras, side, sides).unwrap();
        let draw = |camera| triangles::cpu::nearest_faces(&vertices, &faces, camera, side, sides);
        let expected = cameras.iter().map(draw).collect::<Vec<_>>().concat();
        same(&gpu.download(&found).unwrap(), &expected, &format!("{count} faces, side {side}, {sides:?}"));
        let mut different = expected;
        different.sort_unstable();
        different.dedup();
        assert!(count < 100 || different.len() > 30, "{} faces: little to compare", different.len());
    }
}

/// What boxes show, how much of the rings, what it adds, and the sums.
pub fn compare_scores(gpu: &Gpu, random: &mut Random, [faces, side, boxes, labels]: [usize; 4]) {
    let what = format!("{faces} faces, side {side}, {boxes} boxes");
    let views = 2;
    // Runs of pixels of one face.
    let mut maps = vec![];
    while maps.len() < views * side * side {
        let face = random.below(faces as u32 + 2) as i32 - 2;
        let run = 1 + random.below(9) as usize;
        maps.extend(std::iter::repeat_n(face.max(-1).min(faces as i32 - 1), run));
    }
    maps.truncate(views * side * side);
    let view: Vec<u32> = (0..boxes).map(|_| random.below(views as u32)).collect();
    let rects: Vec<tally::Rect> = (0..boxes)
        .map(|_| {
            std::array::from_fn(|i| random.below(side as u32 / 2 + 1) + (i as u32 / 2) * (side as u32 / 2))
        })
        .collect();
    let input = Input { maps: &maps, side, views: &view, rects: &rects, faces };
    let shown = tally::cpu::tally(&input).unwrap();
    let there = gpu.upload(&maps).unwrap();
    let tally = tally::cuda::tally(gpu, &there, side, &view, &rects, faces).unwrap();
    let (of_face, pixels): (Vec<u32>, Vec<u32>) = shown.values().iter().copied().unzip();
    same(&gpu.download(&tally.offsets).unwrap(), shown.offsets(), &what);
    same(&gpu.download(&tally.faces).unwrap(), &of_face, &what);
    same(&gpu.download(&tally.pixels).unwrap(), &pixels, &what);

    let near =
        |random: &mut Random| (0..random.below(40)).map(|_| random.below(faces as u32)).collect::<Vec<_>>();
    let rings = Ragged::from_iter((0..faces).map(|_| near(random)));
    let seen = rings::cpu::counts(&rings, &shown);
    let around: Vec<u32> = of_face.iter().map(|&face| rings.row(face as usize).len() as u32).collect();
    let found = rings::cuda::counts(gpu, &rings.upload(gpu).unwrap(), &tally).unwrap();
    same(&gpu.download(&found[0]).unwrap(), &seen, &what);
    same(&gpu.download(&found[1]).unwrap(), &around, &what);

    // Of every third box all are as far.
    let mut distances = vec![0.0; of_face.len()];
    for b in 0..boxes {
        let spread = if b % 3 == 0 { 0.0 } else { 0.5 };
        shown.range(b).for_each(|e| distances[e] = 0.3 + spread * f64::from(random.uniform()).powi(4));
    }
    let confidences: Vec<f32> = (0..boxes).map(|_| random.uniform()).collect();
    let parts: Vec<u32> = (0..boxes).map(|_| random.below(labels as u32)).collect();
    let input = weights::Input {
        offsets: shown.offsets(),
        pixels: &pixels,
        distances: &distances,
        seen: &seen,
        around: &around,
        scores: &confidences,
    };
    let (there, confidences_there) = (gpu.upload(&distances).unwrap(), gpu.upload(&confidences).unwrap());
    for [gaussian, visibility, undefined] in [[true, true, false], [true, false, true], [false, true, true]] {
        let factors = Factors { gaussian, visibility, undefined };
        let expected = weights::cpu::weights(&input, factors).unwrap();
        let weights =
            weights::cuda::weights(gpu, &tally, &there, &found, &confidences_there, factors).unwrap();
        // Which of all NaN it is depends on the machine.
        let bits = |values: &[f64]| {
            values.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect::<Vec<_>>()
        };
        same(&bits(&gpu.download(&weights).unwrap()), &bits(&expected), &format!("{what}, {factors:?}"));
        let sums = scores::Input { shown: &shown, weights: &expected, parts: &parts, faces, labels };
        let expected = scores::cpu::sum(&sums).unwrap();
        let mut sums = gpu.zeros(faces * labels).unwrap();
        let parts = gpu.upload(&parts).unwrap();
        scores::cuda::sum(gpu, &tally, &weights, &parts, labels, &mut sums).unwrap();
        same(&bits(&gpu.download(&sums).unwrap()), &bits(&expected), &what);
    }
}

#[test]
fn what_boxes_add_to_faces() {
    let (gpu, mut random) = (gpu(), Random(2));
    for faces in AWKWARD.into_iter().skip(1) {
        compare_scores(&gpu, &mut random, [faces, 40, 7, 3]);
    }
    compare_scores(&gpu, &mut random, [20, 16, 1, 1]);
    compare_scores(&gpu, &mut random, [20, 16, 0, 2]);
}

/// The whole way, on a mesh and on points.
#[test]
fn surfaces_have_the_same_scores_on_a_device() {
    let gpu = gpu();
    let side = 48;
    let sheet = (0..90u32).filter(|i| i % 10 < 9 && i / 10 < 8);
    let triangles = sheet.flat_map(|i| [[i, i + 10, i + 1], [i + 1, i + 10, i + 11]]).collect();
    let bent = |i: u32| {
        let (x, z) = (f64::from(i % 10) / 9.0, f64::from(i / 10) / 8.0);
        [x, 0.4 * (3.0 * x).sin(), z]
    };
    let places: Vec<[f64; 3]> = (0..90).map(bent).collect();
    let cameras: Vec<views::Camera> = POSES[4..7].iter().copied().map(views::Camera::new).collect();
    let device = Device::Cuda(gpu);
    for surface in [Surface::mesh(&places, triangles).unwrap(), Surface::points(inputs::spiral(90)).unwrap()]
    {
        let maps = surface.render(&Device::Cpu, &cameras, side, Sides::Both).unwrap();
        let there = surface.render(&device, &cameras, side, Sides::Both).unwrap();
        same(&there, &maps, "maps");
        // Points have no faces to be drawn.
        let maps = match maps.iter().any(|&face| face >= 0) {
            true => maps,
            false => (0..maps.len()).map(|pixel| (pixel / 7 % 91) as i32 - 1).collect(),
        };
        let boxes: Vec<Detection> = (0..9)
            .map(|b| Detection {
                view: b % 3,
                part: b % 2,
                corners: [2.5 * b as f32, 4.0, 20.0 + 3.0 * b as f32, 44.0],
                score: 0.1 * b as f32,
            })
            .collect();
        for options in [Options::default(), Options { smoothing: false, ..Options::default() }] {
            let expected = surface.score(&Device::Cpu, &maps, side, &boxes, 2, &options).unwrap();
            let found = surface.score(&device, &maps, side, &boxes, 2, &options).unwrap();
            same(&found.of_face, &expected.of_face, "scores");
            assert!(found.of_face.iter().filter(|&&score| score > 0.0).count() > 50);
        }
        let wrong = [Detection { part: 2, ..boxes[0] }];
        assert!(surface.score(&device, &maps, side, &wrong, 2, &Options::default()).is_err());
        let outside = vec![surface.faces().len() as i32; maps.len()];
        assert!(surface.score(&device, &outside, side, &boxes, 2, &Options::default()).is_err());
    }
}
