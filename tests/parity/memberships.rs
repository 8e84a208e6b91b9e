//! Memberships: the arrays of the device are those of the reference, element for element.

use crate::{
    gpu,
    random::Random,
    views::{Cloud, cameras, pack, render_on_cpu, superpoints},
};
use partstad::{
    gpu::Gpu,
    ops::{
        mask,
        membership::{self, Region, Sets},
        observe, visibility,
    },
};

const SIDE: usize = 40;

/// What decides, owned.
enum Masks {
    Boxes,
    Logits(Vec<f32>),
    Bits(Vec<u8>),
}

struct Scene {
    points: usize,
    views: usize,
    superpoint_of: Vec<u32>,
    offsets: Vec<u32>,
    grouped: Vec<u32>,
    visible: Vec<bool>,
    screen: Vec<[f32; 2]>,
    view_offsets: Vec<u32>,
    view_boxes: Vec<u32>,
    rects: Vec<[f32; 4]>,
    ignored: Vec<bool>,
}

impl Scene {
    /// `boxes`: of each view at most.
    fn random(
        random: &mut Random,
        points: usize,
        superpoint_count: usize,
        views: usize,
        boxes: u32,
    ) -> Scene {
        let cameras = &cameras()[..views];
        let rendered = render_on_cpu(&Cloud::random(random, points), cameras, SIDE, 0.06);
        let maps = rendered.pixel_to_point.chunks(SIDE * SIDE);
        let visible = maps.flat_map(|view| visibility::cpu::visible_points(view, points).unwrap()).collect();
        let (superpoint_of, offsets, grouped) = superpoints(random, points, superpoint_count);
        let (mut view_offsets, mut rects) = (vec![0], vec![]);
        for _ in 0..views {
            for _ in 0..if boxes == 0 { 0 } else { boxes - random.below(boxes.div_ceil(3)) } {
                let [x, y, w, h] = std::array::from_fn(|_| random.uniform() * SIDE as f32);
                rects.push([x - 5.0, y - 5.0, x + w, y + h]);
            }
            view_offsets.push(rects.len() as u32);
        }
        // Within a view in another order than ascending.
        let mut view_boxes: Vec<u32> = (0..rects.len() as u32).collect();
        for range in view_offsets.windows(2) {
            view_boxes[range[0] as usize..range[1] as usize].reverse();
        }
        let ignored = rects.iter().map(|_| random.below(5) == 0).collect();
        let screen = rendered.screen;
        Scene {
            points,
            views,
            superpoint_of,
            offsets,
            grouped,
            visible,
            screen,
            view_offsets,
            view_boxes,
            rects,
            ignored,
        }
    }

    fn on_cpu(&self, masks: &Masks) -> Sets {
        let (views, taps) = (self.views, mask::taps(SIDE));
        let observed = observe::cpu::views(&self.visible, &self.screen, &self.offsets, &self.grouped, views);
        let kept = |range: &[u32]| -> Vec<u32> {
            let boxes = self.view_boxes[range[0] as usize..range[1] as usize].iter();
            boxes.copied().filter(|&b| !self.ignored[b as usize]).collect()
        };
        let (mut view_offsets, mut view_boxes) = (vec![0], vec![]);
        for range in self.view_offsets.windows(2) {
            view_boxes.extend(kept(range));
            view_offsets.push(view_boxes.len() as u32);
        }
        membership::cpu::membership(&membership::Input {
            superpoint_offsets: &self.offsets,
            superpoint_points: &self.grouped,
            visible: &self.visible,
            screen: &self.screen,
            observed: &observed,
            view_offsets: &view_offsets,
            view_boxes: &view_boxes,
            rects: &self.rects,
            region: match masks {
                Masks::Boxes => Region::Boxes,
                Masks::Logits(logits) => Region::Logits(logits, &taps),
                Masks::Bits(bits) => Region::Bits(bits),
            },
            side: SIDE,
        })
        .unwrap()
    }

    fn on_device(&self, gpu: &Gpu, masks: &Masks) -> Sets {
        let up = |values: &[u32]| gpu.upload(values).unwrap();
        let (superpoint_of, superpoint_points) = (up(&self.superpoint_of), up(&self.grouped));
        let partition = observe::cuda::Partition {
            superpoint_of: &superpoint_of,
            superpoint_points: &superpoint_points,
            superpoints: self.offsets.len() - 1,
        };
        let visible = up(&pack(&self.visible, self.points));
        let screen = gpu.upload(self.screen.as_flattened()).unwrap();
        let ignored: Vec<u8> = self.ignored.iter().map(|&v| v as u8).collect();
        let (taps, logits, bits);
        let sets = membership::cuda::membership(
            gpu,
            &membership::cuda::Input {
                partition,
                visible: &visible,
                screen: &screen,
                observed: &observe::cuda::views(gpu, partition, &visible, &screen, self.views).unwrap(),
                view_offsets: &up(&self.view_offsets),
                view_boxes: &up(&self.view_boxes),
                most: self.view_offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap() as usize,
                rects: &gpu.upload(self.rects.as_flattened()).unwrap(),
                ignored: &gpu.upload(&ignored).unwrap(),
                region: match masks {
                    Masks::Boxes => membership::cuda::Region::Boxes,
                    Masks::Logits(values) => {
                        taps = membership::cuda::Taps::new(gpu, SIDE).unwrap();
                        logits = gpu.upload(values).unwrap();
                        membership::cuda::Region::Logits(&logits, &taps)
                    }
                    Masks::Bits(values) => {
                        bits = gpu.upload(values).unwrap();
                        membership::cuda::Region::Bits(&bits)
                    }
                },
                side: SIDE,
            },
        )
        .unwrap();
        sets.download(gpu).unwrap()
    }
}

/// Of boxes, of noise as bits, and of logits where few boxes make them small. `boxes`: of each view at most.
pub fn compare_memberships(
    gpu: &Gpu,
    random: &mut Random,
    [points, superpoints, views]: [usize; 3],
    boxes: u32,
) {
    let scene = Scene::random(random, points, superpoints, views, boxes);
    let count = scene.rects.len();
    // Noise makes a set of its own for almost every point: more runs than there was room for at first.
    let bytes = count * mask::bytes(SIDE * SIDE);
    let mut all = vec![Masks::Boxes, Masks::Bits((0..bytes).map(|_| random.bits() as u8).collect())];
    if count < 150 {
        let size = count * mask::LOGITS * mask::LOGITS;
        all.push(Masks::Logits((0..size).map(|_| random.uniform() - 0.45).collect()));
    }
    for (kind, masks) in all.iter().enumerate() {
        let expected = scene.on_cpu(masks);
        let what = format!("{points} points, {superpoints} superpoints, {boxes} boxes a view, kind {kind}");
        if points > 1000 && superpoints < points {
            assert!(!expected.entry_set.is_empty(), "{what}: nothing to compare");
        }
        assert!(scene.on_device(gpu, masks) == expected, "{what}");
    }
}

/// Every point seen in both views, and a set of its own for almost each.
pub fn compare_more_runs_than_there_is_room_for(gpu: &Gpu) {
    let (mut random, points, views) = (Random(7), 3000, 2);
    let mut scene = Scene::random(&mut random, points, 300, views, 40);
    scene.visible.fill(true);
    let bytes = scene.rects.len() * mask::bytes(SIDE * SIDE);
    let masks = Masks::Bits((0..bytes).map(|_| random.bits() as u8).collect());
    let expected = scene.on_cpu(&masks);
    let room = points * views / 4 + 1024;
    assert!(expected.entry_set.len() > room, "{} runs fit", expected.entry_set.len());
    assert!(scene.on_device(gpu, &masks) == expected);
}

#[test]
fn which_boxes_hold_each_point() {
    let gpu = gpu();
    let mut random = Random(6);
    for (sizes, boxes) in [
        ([1, 1, 1], 1),
        ([31, 1, 2], 0),
        ([32, 32, 3], 31),
        ([33, 5, 2], 33),
        ([1023, 1, 3], 4),
        ([1025, 60, 3], 200),
        ([1025, 1025, 2], 3),
        ([4000, 20, 10], 15),
    ] {
        compare_memberships(&gpu, &mut random, sizes, boxes);
    }
}
