//! Memberships: the arrays of the device are those of the reference, element for element.

use crate::{
    gpu,
    views::{Cloud, cameras, pack, render_on_cpu, superpoints},
};
use inputs::Random;
use partstad::{
    device::{gpu::Gpu, twin::Twinned},
    ops::{
        lift::{
            mask,
            membership::{self, Region, Sets},
            observe,
        },
        views::visibility,
    },
    ragged::Ragged,
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
    members: Ragged<u32>,
    visible: Vec<bool>,
    screen: Vec<[f32; 2]>,
    of_view: Ragged<u32>,
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
        let (superpoint_of, members) = superpoints(random, points, superpoint_count);
        let (mut of_view, mut rects) = (Ragged::default(), vec![]);
        for _ in 0..views {
            let first = rects.len() as u32;
            for _ in 0..if boxes == 0 { 0 } else { boxes - random.below(boxes.div_ceil(3)) } {
                let [x, y, w, h] = std::array::from_fn(|_| random.uniform() * SIDE as f32);
                rects.push([x - 5.0, y - 5.0, x + w, y + h]);
            }
            // In another order than ascending.
            of_view.push((first..rects.len() as u32).rev());
        }
        let ignored = rects.iter().map(|_| random.below(5) == 0).collect();
        let screen = rendered.screen;
        Scene { points, views, superpoint_of, members, visible, screen, of_view, rects, ignored }
    }

    fn on_cpu(&self, masks: &Masks) -> Sets {
        let (views, taps) = (self.views, mask::taps(SIDE));
        let observed = observe::cpu::views(&self.visible, &self.screen, &self.members, views).unwrap();
        let kept = |boxes: &[u32]| -> Vec<u32> {
            boxes.iter().copied().filter(|&b| !self.ignored[b as usize]).collect()
        };
        membership::cpu::membership(&membership::Input {
            superpoints: &self.members,
            visible: &self.visible,
            screen: &self.screen,
            observed: &observed,
            of_view: &self.of_view.rows().map(kept).collect(),
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
        let (superpoint_of, superpoint_points) = (up(&self.superpoint_of), up(self.members.values()));
        let partition = observe::cuda::Partition {
            superpoint_of: &superpoint_of,
            superpoint_points: &superpoint_points,
            superpoints: self.members.len(),
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
                of_view: &self.of_view.upload(gpu).unwrap(),
                most: self.of_view.rows().map(<[u32]>::len).max().unwrap(),
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
        membership::Sets::from_lists(gpu.download_all(sets.lists()).unwrap()).unwrap()
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
            assert!(!expected.entries.values().is_empty(), "{what}: nothing to compare");
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
    assert!(expected.entries.values().len() > room, "{} runs fit", expected.entries.values().len());
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
        // Boxes and view in a key of 32 bits, or a bit too many.
        ([600, 9, 9], 27),
        ([600, 9, 9], 28),
        ([600, 9, 9], 29),
        ([600, 9, 9], 30),
    ] {
        compare_memberships(&gpu, &mut random, sizes, boxes);
    }
}
