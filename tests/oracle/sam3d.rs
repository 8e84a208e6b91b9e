//! SAM3D against its authors' code, and SAM's automatic masks against theirs: the same masks, groups, numbers and orders.

use crate::lifting::close;
use inputs::{fixture, golden};
use partstad::{
    io::npy,
    ops::{
        detect::{
            automatic::{self, Crop},
            candidates::{self, Mask},
        },
        merge::{
            frame::{self, Frame},
            groups::cpu::{compact, without_small},
            nearest, paint,
            transfer::{self, cpu::transfer},
            union,
        },
    },
    sam3d::{
        Places,
        depth::{Pinhole, unproject},
        masks::{self, Candidate, Record},
        merging::{Rules, merge},
        of_superpoints,
    },
};
use std::path::{Path, PathBuf};

fn member<T: npy::Element>(path: &Path, name: &str) -> Vec<T> {
    npy::read_member(path, name).unwrap_or_else(|e| panic!("{name}: {e}")).data
}

fn one<T: npy::Element>(path: &Path, name: &str) -> T {
    let all = member(path, name);
    assert_eq!(all.len(), 1, "{name}");
    all[0]
}

#[test]
fn groups_are_transferred_and_tidied() {
    let path = fixture("sam3d/transfer.npz");
    let [source, target, matched] = ["source", "target", "match"].map(|name| member::<i32>(&path, name));
    let [of_source, of_target] = ["source_offsets", "target_offsets"].map(|name| member::<i64>(&path, name));
    let [result, dense, large] =
        ["result", "compact", "small_removed"].map(|name| member::<i32>(&path, name));
    let least: Vec<i64> = member(&path, "small_threshold");
    let range = |offsets: &[i64], k: usize| offsets[k] as usize..offsets[k + 1] as usize;
    assert_eq!(least.len(), 400);
    for (k, &least) in least.iter().enumerate() {
        let (s, t) = (range(&of_source, k), range(&of_target, k));
        let source = &source[s];
        let above = (source.iter().max().unwrap() + 1) as u32;
        let input =
            transfer::Input { source, target: &target[t.clone()], matched: &matched[t.clone()], above };
        let found = transfer(&input).unwrap();
        assert_eq!(found, result[t.clone()], "case {k}");
        assert_eq!(compact(&found).0, dense[t.clone()], "case {k}");
        assert_eq!(without_small(&found, least as u32), large[t], "case {k}");
    }
}

/// Ten frames on their way to one, against what the authors' code had at each step.
struct Case<'a> {
    path: &'a Path,
    places: Places,
    radius: Option<f64>,
}

impl Case<'_> {
    fn member(&self, name: &str) -> Vec<i32> {
        member(self.path, name)
    }

    fn check(&self, frames: Vec<Frame>, cloud: &[[f32; 3]]) {
        let rules = Rules {
            matched: self.radius,
            small: one::<i64>(self.path, "th_pair") as u32,
            farthest: one(self.path, "max_distance"),
        };
        let mut merged = self.walk(frames.clone(), rules.small);
        merged.groups = compact(&without_small(&merged.groups, one::<i64>(self.path, "th_final") as u32)).0;
        let near = nearest::cpu::within(&self.of(&merged), cloud, rules.farthest.next_up());
        let found: Vec<i32> =
            near.iter().map(|&i| if i < 0 { -1 } else { merged.groups[i as usize] }).collect();
        assert_eq!(compact(&found).0, self.member("final"));
        // The whole way at once; it has one threshold.
        let whole = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| merge(&self.places, frames.clone(), cloud, &rules).unwrap())
        };
        if one::<i64>(self.path, "th_final") as u32 == rules.small {
            assert_eq!(whole(1), self.member("final"));
        }
        assert_eq!(whole(1), whole(3));
    }

    fn of(&self, frame: &Frame) -> Vec<[f32; 3]> {
        frame.points.iter().map(|&p| self.places.positions[p as usize]).collect()
    }

    /// Every step from the one before.
    fn walk(&self, mut frames: Vec<Frame>, small: u32) -> Frame {
        for level in 1.. {
            if frames.len() == 1 {
                break;
            }
            let mut merged = vec![];
            for (k, pair) in frames.chunks(2).enumerate() {
                let [a, b] = pair else {
                    merged.push(pair[0].clone());
                    continue;
                };
                let expected = |name: &str| self.member(&format!("L{level}_{k}_{name}"));
                let same = |name: &str, found: &[i32]| {
                    assert_eq!(found, expected(name), "level {level}, pair {k}: {name}");
                };
                let [before, after] = [a, b].map(|frame| without_small(&frame.groups, small));
                same("in0", &before);
                same("in1", &after);
                let [to_a, to_b] = [self.matches(a, b), self.matches(b, a)];
                same("match10", &to_a);
                same("match01", &to_b);
                let above = |groups: &[i32]| (groups.iter().max().unwrap() + 1) as u32;
                let step = |source: &[i32], target: &[i32], matched: &[i32]| {
                    transfer(&transfer::Input { source, target, matched, above: above(source) }).unwrap()
                };
                let after = step(&before, &after, &to_a);
                same("pass1", &after);
                let before = step(&after, &before, &to_b);
                same("pass2", &before);
                let (groups, _) = compact(&[before, after].concat());
                same("natural", &groups);
                let points = [a.points.clone(), b.points.clone()].concat();
                let keys: Vec<u64> = match &self.places.cells {
                    Some(cells) => {
                        union::cpu::hashes(&points.iter().map(|&p| cells[p as usize]).collect::<Vec<_>>())
                    }
                    None => points.iter().map(|&p| u64::from(p)).collect(),
                };
                let rows = union::cpu::firsts(&keys);
                same("select", &rows.iter().map(|&row| row as i32).collect::<Vec<_>>());
                let (points, groups): (Vec<u32>, Vec<i32>) =
                    rows.iter().map(|&row| (points[row as usize], groups[row as usize])).unzip();
                same("out", &groups);
                merged.push(Frame { points, groups });
            }
            frames = merged;
        }
        frames.remove(0)
    }

    fn matches(&self, source: &Frame, target: &Frame) -> Vec<i32> {
        match self.radius {
            Some(radius) => nearest::cpu::within(&self.of(source), &self.of(target), radius),
            None => {
                let place = |point| source.points.binary_search(point).map_or(-1, |row| row as i32);
                target.points.iter().map(place).collect()
            }
        }
    }
}

/// Images with depth, thinned to voxels, as published.
#[test]
fn voxels() {
    let (path, input) = (fixture("sam3d/radius_a.npz"), fixture("sam3d/radius_input.npz"));
    let depth: Vec<u16> = member(&input, "depth");
    let regions: Vec<i32> = member(&input, "group_image");
    let poses: Vec<f64> = member(&input, "poses");
    let (focal, center): (f64, f64) = (one(&input, "fx"), one(&input, "cx"));
    let side = 160;
    let mut positions = vec![];
    let mut frames = vec![];
    for k in 0..10 {
        let depth = &depth[k * side * side..][..side * side];
        let pose: [f64; 16] = poses[16 * k..][..16].try_into().unwrap();
        let pose = std::array::from_fn(|i| std::array::from_fn(|j| pose[4 * i + j]));
        let points = unproject(depth, side, &Pinhole { focal: [focal; 2], center: [center; 2], pose });
        let shown = depth.iter().zip(&regions[k * side * side..]).filter(|(depth, _)| **depth != 0);
        let (groups, _) = compact(&shown.map(|(_, &group)| group).collect::<Vec<_>>());
        assert_eq!(groups, member::<i32>(&path, &format!("frame{k}_raw_group")));
        let first = positions.len() as u32;
        positions.extend_from_slice(&points);
        frames.push(Frame { points: (first..positions.len() as u32).collect(), groups });
    }
    let voxel: f64 = one(&path, "voxel");
    let places = Places::new(positions, Some(voxel));
    let case = Case { path: &path, places, radius: Some(1.5 * voxel) };
    let cells = case.places.cells.as_ref().unwrap();
    let thinned = |(k, frame): (usize, &Frame)| {
        let cells: Vec<[i32; 3]> = frame.points.iter().map(|&p| cells[p as usize]).collect();
        let rows = union::cpu::firsts(&union::cpu::hashes(&cells));
        let signed: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
        assert_eq!(signed, case.member(&format!("frame{k}_select")));
        let (points, groups): (Vec<u32>, Vec<i32>) =
            rows.iter().map(|&row| (frame.points[row as usize], frame.groups[row as usize])).unzip();
        assert_eq!(groups, case.member(&format!("frame{k}_group")));
        Frame { points, groups }
    };
    let frames = frames.iter().enumerate().map(thinned).collect();
    case.check(frames, member::<f32>(&input, "cloud").as_chunks().0);
}

/// Views that know their points: matched with themselves, or with what is near.
#[test]
#[ignore = "needs PARTSTAD_GOLDEN"]
fn exact_and_near() {
    let (exact, near) = (golden("sam3d/exact.npz"), golden("sam3d/near.npz"));
    let cloud: Vec<f32> = member(&exact, "cloud");
    let cloud: &[[f32; 3]] = cloud.as_chunks().0;
    let [maps, regions] = ["point_map", "group_image"].map(|name| member::<i32>(&exact, name));
    let frames: Vec<Frame> = (0..10)
        .map(|k| {
            let pixels = 128 * 128 * k..128 * 128 * (k + 1);
            let found = frame::cpu::frame(&maps[pixels.clone()], &regions[pixels], cloud.len()).unwrap();
            let points: Vec<u32> = member(&exact, &format!("frame{k}_point"));
            assert_eq!(found.points, points);
            let groups = compact(&found.groups).0;
            assert_eq!(groups, member::<i32>(&exact, &format!("frame{k}_group")));
            Frame { points, groups }
        })
        .collect();
    let places = Places::new(cloud.iter().map(|p| p.map(f64::from)).collect(), None);
    Case { path: &exact, places: places.clone(), radius: None }.check(frames.clone(), cloud);
    Case { path: &near, places, radius: Some(one(&near, "radius")) }.check(frames, cloud);

    let superpoints: Vec<u32> = member(&exact, "superpoint");
    let small = one::<i64>(&exact, "ensemble_min") as u32;
    let (groups, _) = of_superpoints(&member::<i32>(&exact, "final"), &superpoints, small).unwrap();
    assert_eq!(groups, member::<i32>(&exact, "ensemble"));
}

fn logits(path: &Path, name: &str) -> Vec<f32> {
    member::<f32>(path, name).into_iter().map(|logit| logit / 8.0).collect()
}

/// What the rules say at their limits.
#[test]
fn cut_boxes_and_stabilities() {
    let path = fixture("sam3d/amg_unit.npz");
    let numbers = |name: &str| member::<i32>(&path, name).into_iter().map(|x| x as u32).collect::<Vec<_>>();
    let size = numbers("image").try_into().unwrap();
    for (boxes, crop, near) in [("boxes", "crop", "near"), ("boxes_inner", "inner", "near_inner")] {
        let crop: Crop = numbers(crop).try_into().unwrap();
        let cut = numbers(boxes)
            .as_chunks()
            .0
            .iter()
            .map(|&b| automatic::is_cut(b, crop, size))
            .collect::<Vec<_>>();
        assert_eq!(cut, member::<bool>(&path, near));
    }
    let (logits, options) = (logits(&path, "logits"), masks::Options::default());
    let measure = |logits: &[f32]| candidates::cpu::measure([10, 8], 1.0, |x, y| logits[10 * y + x]);
    let found: Vec<Mask> = logits.chunks_exact(80).map(measure).collect();
    let stability: Vec<f32> = member(&path, "stability");
    let bits = |x: f32| if x.is_nan() { None } else { Some(x.to_bits()) };
    assert_eq!(
        found.iter().map(|mask| bits(mask.stability())).collect::<Vec<_>>(),
        stability.iter().map(|&x| bits(x)).collect::<Vec<_>>()
    );
    let keep: Vec<bool> = found.iter().map(|mask| mask.stability() >= options.min_stability).collect();
    assert_eq!(keep, member::<bool>(&path, "keep"));
    assert_eq!(found.iter().flat_map(|mask| mask.corners).collect::<Vec<_>>(), numbers("box"));
}

#[test]
fn automatic_masks() {
    check_automatic(fixture("sam3d/amg_plain.npz"), 0);
}

#[test]
#[ignore = "needs PARTSTAD_GOLDEN"]
fn automatic_masks_of_crops() {
    check_automatic(golden("sam3d/amg_crops.npz"), 1);
}

fn check_automatic(path: PathBuf, crop_layers: u32) {
    let size: Vec<i64> = member(&path, "size");
    let size = [size[1] as u32, size[0] as u32];
    let number = |name: &str| one::<f64>(&path, name);
    let count = |name: &str| one::<i64>(&path, name);
    let mut options = masks::Options {
        points_per_side: count("points_per_side") as usize,
        min_iou: number("pred_iou_thresh") as f32,
        min_stability: number("stability_thresh") as f32,
        offset: number("stability_offset") as f32,
        nms: number("box_nms_thresh") as f32,
        crop_layers,
        crop_overlap: number("crop_overlap_ratio"),
        crop_divisor: count("crop_downscale") as usize,
        crop_nms: number("crop_nms_thresh") as f32,
        min_area: 0,
    };
    let crops: Vec<i32> = member(&path, "crop_boxes");
    let found = |options: &masks::Options| {
        let mut k = 0;
        masks::automatic(size, options, |crop, points| {
            assert_eq!(crop.map(|x| x as i32), crops[4 * k..4 * k + 4]);
            let expected: Vec<f64> = member(&path, &format!("crop{k}_points"));
            close("points", points.as_flattened(), &expected, 1e-9);
            let logits = logits(&path, &format!("crop{k}_logits"));
            let iou: Vec<f32> = member(&path, &format!("crop{k}_iou"));
            let (width, height) = ((crop[2] - crop[0]) as usize, (crop[3] - crop[1]) as usize);
            let sure = (0..iou.len()).filter(|&c| options.is_sure(iou[c]));
            let candidate = |c: usize| {
                let logits = &logits[c * width * height..][..width * height];
                let logit = |x: usize, y: usize| logits[y * width + x];
                let mask = candidates::cpu::measure([width, height], options.offset, logit);
                Candidate { prompt: c / masks::PER_PROMPT, iou: iou[c], mask }
            };
            let all: Vec<Candidate> = sure.map(candidate).collect();
            let stability: Vec<f32> = member(&path, &format!("crop{k}_stability"));
            assert_eq!(all.len(), stability.len());
            assert!(
                all.iter()
                    .zip(stability)
                    .all(|(found, s)| found.mask.stability().to_bits() == s.to_bits() || s.is_nan())
            );
            k += 1;
            Ok(all)
        })
        .unwrap()
    };
    // Theirs have the first pixel in the highest bit.
    let packed = |records: &[Record]| {
        let pixels = (size[0] * size[1]) as usize;
        let byte = |mask: &Mask, first: usize| {
            (first..first + 8).fold(0u8, |byte, p| byte << 1 | u8::from(p < pixels && mask.holds(p)))
        };
        let bytes = |record: &Record| {
            (0..pixels).step_by(8).map(|first| byte(&record.mask, first)).collect::<Vec<_>>()
        };
        records.iter().flat_map(bytes).collect::<Vec<u8>>()
    };
    let records = found(&options);
    assert_eq!(packed(&records), member::<u8>(&path, "masks"));
    assert_eq!(records.iter().map(|r| r.iou).collect::<Vec<_>>(), member::<f32>(&path, "iou"));
    assert_eq!(records.iter().map(|r| r.stability).collect::<Vec<_>>(), member::<f32>(&path, "stability"));
    assert_eq!(records.iter().map(|r| r.mask.area as i32).collect::<Vec<_>>(), member::<i32>(&path, "area"));
    let corners: Vec<i32> = records.iter().flat_map(|r| r.mask.corners).map(|x| x as i32).collect();
    assert_eq!(corners, member::<i32>(&path, "box"));
    let points: Vec<f64> = records.iter().flat_map(|r| r.point).collect();
    close("points", &points, &member::<f64>(&path, "point"), 1e-9);
    let of_crop: Vec<f64> = records.iter().flat_map(|r| r.crop).map(f64::from).collect();
    assert_eq!(of_crop, member::<f64>(&path, "crop"));
    let bits: Vec<u32> = records.iter().flat_map(|r| r.mask.bits.clone()).collect();
    let painted = paint::cpu::paint(&bits, (size[0] * size[1]) as usize).unwrap();
    assert_eq!(painted, member::<i32>(&path, "group_image"));

    options.min_area = count("min_area") as u32;
    let cleaned = found(&options);
    assert_eq!(packed(&cleaned), member::<u8>(&path, "cleaned_masks"));
    let changed: Vec<f64> = cleaned.iter().map(|r| f64::from(u8::from(r.cleaned))).collect();
    assert_eq!(changed, member::<f64>(&path, "cleaned_changed"));
}
