//! Regions of views to groups of points: masks, painting, frames, matches, transfers, and SAM3D as a whole. All bit for bit.

use crate::{gpu, same};
use inputs::{AWKWARD, Random};
use partstad::{
    Device,
    device::gpu::{Buffer, Gpu},
    ops::{
        detect::candidates,
        lift::{mask, membership::cuda::Taps},
        merge::{
            frame::{self, cuda::Frame},
            groups, nearest, paint,
            transfer::{self, Input},
            union,
        },
    },
    sam3d::{Matching, Options, Order, Regions, Top, segment},
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
        masks::Masks,
        superpoints::Superpoints,
        views::{self, POSES, Views},
    },
};

const LOGITS: usize = 256 * 256;

/// Groups below `bound`, one in four -1.
fn groups_of(random: &mut Random, count: usize, bound: u32) -> Vec<i32> {
    let group = |random: &mut Random| random.below(bound + bound / 3 + 1) as i32;
    (0..count).map(|_| group(random)).map(|g| if g < bound as i32 { g } else { -1 }).collect()
}

/// Blobs of logits; some exactly at the limits, one mask without a pixel.
fn logits(random: &mut Random, masks: usize) -> Vec<f32> {
    let mut all = vec![-9.0; masks * LOGITS];
    for (m, logits) in all.chunks_exact_mut(LOGITS).enumerate() {
        let [x, y] = [0, 1].map(|_| random.below(256) as f32);
        let reach = random.below(120) as f32;
        for (i, logit) in logits.iter_mut().enumerate() {
            let (dx, dy) = ((i % 256) as f32 - x, (i / 256) as f32 - y);
            let value = (reach - dx.abs().max(dy.abs())) * 0.25 + random.uniform() - 0.5;
            *logit = if m % 7 == 3 { -9.0 } else { (value * 4.0).round() / 4.0 };
        }
    }
    all
}

#[test]
fn masks_of_logits() {
    let (gpu, mut random) = (gpu(), Random(1));
    for (side, count) in [(1, 1), (7, 2), (33, 4), (100, 5), (256, 1), (60, 0)] {
        let logits = logits(&mut random, count);
        let there = gpu.upload(&logits).unwrap();
        let (taps, offset) = (mask::taps(side), 0.75);
        let found = candidates::cuda::measure(&gpu, &there, &Taps::new(&gpu, side).unwrap(), offset).unwrap();
        let measure = |logits: &[f32]| {
            let logit = |x: usize, y: usize| mask::cpu::logit(logits, &taps[y], &taps[x]);
            candidates::cpu::measure([side; 2], offset, logit)
        };
        assert!(found.into_iter().eq(logits.chunks_exact(LOGITS).map(measure)), "side {side}");
    }
    let short = gpu.upload(&[0.0f32; 5]).unwrap();
    assert!(candidates::cuda::measure(&gpu, &short, &Taps::new(&gpu, 4).unwrap(), 1.0).is_err());
}

#[test]
fn painted_masks() {
    let (gpu, mut random) = (gpu(), Random(2));
    for (pixels, masks) in [(1, 3), (31, 2), (33, 40), (1000, 9), (64, 0)] {
        let words = paint::words(pixels) * masks;
        let bits: Vec<u32> = (0..words).map(|_| random.bits() & random.bits() & random.bits()).collect();
        let found = paint::cuda::paint(&gpu, &gpu.upload(&bits).unwrap(), pixels).unwrap();
        let expected = paint::cpu::paint(&bits, pixels).unwrap();
        same(&gpu.download(&found).unwrap(), &expected, &format!("{masks} masks of {pixels} pixels"));
    }
    assert!(paint::cuda::paint(&gpu, &gpu.upload(&[0u32; 3]).unwrap(), 64).is_err());
}

fn compare_frame(gpu: &Gpu, map: &[i32], regions: &[i32], points: usize, bound: usize) {
    let (there, of_pixel) = (gpu.upload(map).unwrap(), gpu.upload(regions).unwrap());
    let found = frame::cuda::frame(gpu, &there, &of_pixel, points, bound).unwrap();
    let expected = frame::cpu::frame(map, regions, points).unwrap();
    same(&gpu.download(&found.points).unwrap(), &expected.points, "points");
    same(&gpu.download(&found.groups).unwrap(), &expected.groups, "groups");
}

#[test]
fn the_group_of_most_pixels() {
    let (gpu, mut random) = (gpu(), Random(3));
    for pixels in AWKWARD {
        for (points, bound) in [(1, 1), (pixels / 5 + 1, 3), (2 * pixels + 1, 40)] {
            let map: Vec<i32> = (0..pixels).map(|_| random.below(points as u32 + 1) as i32 - 1).collect();
            compare_frame(&gpu, &map, &groups_of(&mut random, pixels, bound), points, bound as usize);
        }
    }
    compare_frame(&gpu, &[-1; 9], &[-1; 9], 0, 0);
}

#[test]
fn sizes_and_numbers() {
    let (gpu, mut random) = (gpu(), Random(4));
    for n in AWKWARD {
        for bound in [1, 7, n as u32 + 300] {
            let groups = groups_of(&mut random, n, bound);
            let what = format!("{n} points, groups below {bound}");
            let mut there = gpu.upload(&groups).unwrap();
            groups::cuda::drop_small(&gpu, &mut there, bound as usize, 3).unwrap();
            let large = groups::cpu::without_small(&groups, 3);
            same(&gpu.download(&there).unwrap(), &large, &what);
            let count = groups::cuda::compact(&gpu, &mut there, bound as usize).unwrap();
            let (dense, expected) = groups::cpu::compact(&large);
            same(&gpu.download(&there).unwrap(), &dense, &what);
            assert_eq!(count, expected, "{what}");
        }
    }
}

#[test]
fn transferred_groups() {
    let (gpu, mut random) = (gpu(), Random(5));
    let upload = |values: &[i32]| gpu.upload(values).unwrap();
    for n in AWKWARD {
        // Few groups have ties and halves; many need more than a warp a row.
        for (above, bound) in [(1, 1), (3, 4), (100, 50)] {
            let [source, target] =
                [(above, n / 2 + 1), (bound, n)].map(|(b, n)| groups_of(&mut random, n, b));
            let end = source.len() as u32;
            let matched: Vec<i32> = (0..n).map(|_| random.below(end + end / 4 + 1) as i32).collect();
            let matched: Vec<i32> =
                matched.into_iter().map(|m| if m < end as i32 { m } else { -1 }).collect();
            let [s, t, m] = [&source, &target, &matched].map(|values| upload(values));
            let found = transfer::cuda::transfer(&gpu, &s, &t, &m, above as usize, bound as usize).unwrap();
            let input = Input { source: &source, target: &target, matched: &matched, above };
            let expected = transfer::cpu::transfer(&input).unwrap();
            same(
                &gpu.download(&found).unwrap(),
                &expected,
                &format!("{n} points, {above} and {bound} groups"),
            );
        }
    }
    let one = upload(&[0]);
    assert!(transfer::cuda::transfer(&gpu, &one, &one, &upload(&[]), 1, 1).is_err());
    assert!(transfer::cuda::transfer(&gpu, &one, &one, &one, 1 << 20, 1 << 20).is_err());
}

#[test]
fn nearest_points_of_another_cloud() {
    let (gpu, mut random) = (gpu(), Random(6));
    for n in AWKWARD {
        // On a grid many are as near.
        let points = |random: &mut Random, n: usize| -> Vec<[f32; 3]> {
            (0..n).map(|_| [0; 3].map(|_| random.below(9) as f32 / 8.0)).collect()
        };
        let (a, b) = (points(&mut random, n), points(&mut random, 40));
        let there = |points: &[[f32; 3]]| gpu.upload(points.as_flattened()).unwrap();
        for radius in [0.125, 0.125f64.next_up(), 0.25, 9.0] {
            let found = nearest::cuda::within(&gpu, &there(&a), &there(&b), radius).unwrap();
            let expected = nearest::cpu::within(&a, &b, radius);
            same(&gpu.download(&found).unwrap(), &expected, &format!("{n} points within {radius}"));
        }
    }
}

#[test]
fn one_point_of_each_place() {
    let (gpu, mut random) = (gpu(), Random(7));
    for n in AWKWARD {
        let cells: Vec<[i32; 3]> = (0..2 * n).map(|_| [0; 3].map(|_| random.below(5) as i32 - 3)).collect();
        let points: Vec<u32> = (0..n).map(|_| random.below(2 * n as u32)).collect();
        let there = gpu.upload(&points).unwrap();
        let groups = groups_of(&mut random, n, 9);
        let compare = |found: Buffer<u32>, keys: Vec<u64>| {
            let rows = union::cpu::firsts(&keys);
            same(&gpu.download(&found).unwrap(), &rows, &format!("{n} points"));
            let frame = Frame { points: gpu.upload(&points).unwrap(), groups: gpu.upload(&groups).unwrap() };
            let kept = union::cuda::gather(&gpu, &frame, &found).unwrap();
            let of = |row: &u32| (points[*row as usize], groups[*row as usize]);
            let (points, groups): (Vec<u32>, Vec<i32>) = rows.iter().map(of).unzip();
            same(&gpu.download(&kept.points).unwrap(), &points, "points");
            same(&gpu.download(&kept.groups).unwrap(), &groups, "groups");
        };
        let keys = points.iter().map(|&p| p.into()).collect();
        compare(union::cuda::rows(&gpu, &there, None).unwrap(), keys);
        let of_points: Vec<[i32; 3]> = points.iter().map(|&p| cells[p as usize]).collect();
        let cells = gpu.upload(cells.as_flattened()).unwrap();
        let found = union::cuda::rows(&gpu, &there, Some(&cells)).unwrap();
        compare(found, union::cpu::hashes(&of_points));
    }
}

/// The whole way, from the masks of boxes to groups.
#[test]
fn sam3d_has_the_same_groups_on_a_device() {
    let gpu = gpu();
    let device = Device::Cuda(gpu);
    let positions = inputs::spiral(900);
    let cloud = Cloud {
        colors: vec![[0.5; 3]; 900].into(),
        positions: positions.into(),
        radius: 1.0,
        ..Cloud::default()
    };
    let seen = views::Options { poses: POSES[..5].to_vec(), side: 64, radius: 0.05, points: None };
    let views = Views::render(&Device::Cpu, &cloud, &seen).unwrap();
    let mut random = Random(8);
    let list: Vec<Box2d> = (0..25u32)
        .map(|b| Box2d { view: b / 5, label: b % 2, bbox: [0.0; 4], score: (random.below(4) as f32) / 4.0 })
        .collect();
    let (logits, boxes) = (logits(&mut random, list.len()), Boxes::from(list));
    let masks = Masks::Logits(logits.into());
    let superpoints = Superpoints::default();
    let mut groups = 0;
    for (matching, top) in
        [(Matching::Near, Top::Sure), (Matching::Voxels, Top::Small), (Matching::Exact, Top::Sure)]
    {
        let options = Options {
            matching,
            top,
            radius: 0.1,
            voxel: 0.1,
            small: 4,
            whole: 0.9,
            views: Order::Azimuth,
            ..Options::default()
        };
        let regions = |device: &Device| Regions::of_boxes(device, &views, &boxes, &masks, &options).unwrap();
        let expected = regions(&Device::Cpu);
        same(&regions(&device).of_pixel, &expected.of_pixel, "regions");
        let merged =
            |device: &Device| segment(device, &cloud, &views, &expected, &superpoints, &options).unwrap();
        let found = merged(&Device::Cpu);
        same(&merged(&device), &found, &format!("{matching:?}"));
        groups += found.iter().max().unwrap() + 1;
    }
    assert!(groups > 6, "{groups} groups: little to compare");
}
