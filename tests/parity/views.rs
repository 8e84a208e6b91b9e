//! Views: rasterization, model inputs, visibility, what the views show of superpoints. All bit for bit.

use crate::{gpu, same};
use half::f16;
use inputs::Random;
use partstad::{
    device::{gpu::Gpu, twin::Twinned},
    ops::{
        detect::{
            model_input::{self, Plan},
            normalize::{Normalization, Order},
        },
        lift::{observe, whole_object},
        views::{rasterize, visibility},
    },
    ragged::Ragged,
    stages::views::{Camera, POSES},
};

/// A cloud with colours; some points coincide, many share a depth in the view along z.
pub struct Cloud {
    pub positions: Vec<[f32; 3]>,
    pub colors: Vec<[f32; 3]>,
}

impl Cloud {
    pub fn random(random: &mut Random, points: usize) -> Cloud {
        let mut positions: Vec<[f32; 3]> = vec![];
        for i in 0..points {
            positions.push(match random.below(8) {
                0 if i > 0 => positions[random.below(i as u32) as usize],
                _ => std::array::from_fn(|axis| {
                    let value = 1.6 * random.uniform() - 0.8;
                    if axis == 2 { (value * 4.0).round() / 4.0 } else { value }
                }),
            });
        }
        // A little beyond white, and black: both ends of the quantisation.
        let colors = (0..points).map(|_| [random.uniform() * 1.1, random.uniform(), 0.0]).collect();
        Cloud { positions, colors }
    }
}

pub fn cameras() -> Vec<Camera> {
    POSES.into_iter().map(Camera::new).collect()
}

pub struct Views {
    pub pixel_to_point: Vec<i32>,
    pub screen: Vec<[f32; 2]>,
    pub images: Vec<u8>,
}

pub fn render_on_cpu(cloud: &Cloud, cameras: &[Camera], side: usize, radius: f64) -> Views {
    let mut views = Views { pixel_to_point: vec![], screen: vec![], images: vec![] };
    for camera in cameras {
        let splats: Vec<_> = cloud.positions.iter().map(|&p| camera.splat(p)).collect();
        let nearest = rasterize::cpu::nearest_points(&splats, side, radius);
        views.images.extend(rasterize::cpu::shade(&nearest, &splats, &cloud.colors, side, radius).unwrap());
        views.pixel_to_point.extend(nearest);
        views.screen.extend(cloud.positions.iter().map(|&p| camera.screen(p, side)));
    }
    views
}

fn render(
    gpu: &Gpu,
    cloud: &Cloud,
    cameras: &[Camera],
    side: usize,
    radius: f64,
) -> rasterize::cuda::Rendered {
    let matrices: Vec<f32> = cameras.iter().flat_map(Camera::matrices).flatten().flatten().collect();
    let input = rasterize::cuda::Input {
        positions: &gpu.upload(cloud.positions.as_flattened()).unwrap(),
        colors: &gpu.upload(cloud.colors.as_flattened()).unwrap(),
        cameras: &gpu.upload(&matrices).unwrap(),
        side,
        radius,
    };
    rasterize::cuda::render(gpu, &input).unwrap()
}

/// The bits of floats, so that NaN equals itself and -0 is not 0.
/// All NaN as one: which it is differs between processors.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

#[test]
fn images_and_their_points() {
    let gpu = gpu();
    let cameras = cameras();
    let mut random = Random(1);
    for (points, views, side, radius) in [
        (0, 2, 8, 0.1),
        (1, 10, 17, 0.3),
        (31, 3, 16, 0.05),
        (32, 3, 16, 2.0),
        (33, 3, 1, 1.0),
        (1023, 2, 33, 0.08),
        (1025, 10, 40, 0.05),
    ] {
        let mut cloud = Cloud::random(&mut random, points);
        if points > 32 {
            cloud.positions[3] = [f32::NAN, 0.0, 0.0];
            cloud.positions[4] = [0.0, 0.0, 30.0];
            cloud.positions[5] = [f32::MAX, -f32::MAX, 0.5];
        }
        let expected = render_on_cpu(&cloud, &cameras[..views], side, radius);
        let rendered = render(&gpu, &cloud, &cameras[..views], side, radius);
        let what = format!("{points} points, {views} views of {side}, radius {radius}");
        assert_eq!(gpu.download(&rendered.pixel_to_point).unwrap(), expected.pixel_to_point, "{what}");
        assert_eq!(gpu.download(&rendered.images).unwrap(), expected.images, "{what}");
        let screen = gpu.download(&rendered.screen).unwrap();
        assert_eq!(bits(&screen), bits(expected.screen.as_flattened()), "{what}");
    }
}

#[test]
fn a_tie_goes_to_the_lowest_index_and_minus_zero_is_no_nearer() {
    let gpu = gpu();
    let identity = std::array::from_fn(|i| std::array::from_fn(|j| (i == j) as u8 as f32));
    let mut camera = Camera::new(POSES[0]);
    (camera.world_to_view, camera.full_projection) = (identity, identity);
    let cloud = Cloud {
        positions: vec![[0.1, 0.0, 1.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.5]],
        colors: vec![[0.5; 3]; 3],
    };
    let rendered = render(&gpu, &cloud, &[camera], 3, 1.0);
    assert_eq!(gpu.download(&rendered.pixel_to_point).unwrap()[4], 1);
    assert_eq!(render_on_cpu(&cloud, &[camera], 3, 1.0).pixel_to_point[4], 1);
}

/// A point at the middle of 5 x 5 pixels, whose disc reaches the next centre exactly: it does not cover it.
pub fn compare_disc_through_a_centre(gpu: &Gpu) {
    let identity = std::array::from_fn(|i| std::array::from_fn(|j| (i == j) as u8 as f32));
    let mut camera = Camera::new(POSES[0]);
    (camera.world_to_view, camera.full_projection) = (identity, identity);
    let cloud = Cloud { positions: vec![[0.0, 0.0, 1.0]], colors: vec![[0.5; 3]] };
    let radius = (-1.0f32 + 7.0 / 5.0) as f64;
    let expected = render_on_cpu(&cloud, &[camera], 5, radius).pixel_to_point;
    assert_eq!((expected[12], expected[11], expected[7]), (0, -1, -1));
    let rendered = render(gpu, &cloud, &[camera], 5, radius);
    assert_eq!(gpu.download(&rendered.pixel_to_point).unwrap(), expected);
}

#[test]
fn wrong_shapes_are_named() {
    let gpu = gpu();
    let (three, four) = (gpu.upload(&[0.0f32; 3]).unwrap(), gpu.upload(&[0.0f32; 4]).unwrap());
    let cameras = gpu.upload(&[0.0f32; 32]).unwrap();
    let input =
        rasterize::cuda::Input { positions: &three, colors: &four, cameras: &cameras, side: 4, radius: 0.1 };
    let message = |input| rasterize::cuda::render(&gpu, &input).unwrap_err().to_string();
    assert!(message(input).contains("colors [N, 3]"));
    let side = rasterize::cuda::Input { colors: &three, side: 1 << 20, ..input };
    assert!(message(side).contains("side 1048576"));
}

pub const BGR: Normalization = Normalization {
    order: Order::Bgr,
    scale: 255.0,
    mean: [103.53, 116.28, 123.675],
    std: [57.375, 57.12, 58.395],
};
const RGB: Normalization =
    Normalization { order: Order::Rgb, scale: 1.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

#[test]
fn model_inputs() {
    let gpu = gpu();
    let mut random = Random(2);
    for (n, from, to, padded) in [
        (1, [1, 1], [1, 1], [1, 1]),
        (2, [40, 40], [40, 40], [64, 64]),
        (3, [80, 80], [102, 102], [102, 102]),
        (1, [33, 57], [20, 300], [25, 310]),
        (1, [64, 31], [7, 5], [7, 8]),
    ] {
        for rule in [BGR, RGB] {
            compare_model_inputs(&gpu, n, Plan { from, to, padded, rule }, &mut random);
        }
    }
}

/// Of `n` images of noise, in f32 and f16.
pub fn compare_model_inputs(gpu: &Gpu, n: usize, plan: Plan, random: &mut Random) {
    let images: Vec<u8> = (0..n * plan.from[0] * plan.from[1] * 3).map(|_| random.bits() as u8).collect();
    let expected = model_input::cpu::prepare(&images, &plan).unwrap();
    let prepare = model_input::cuda::Prepare::new(gpu, plan).unwrap();
    let images = gpu.upload(&images).unwrap();
    let whole = gpu.download(&prepare.f32(gpu, &images).unwrap()).unwrap();
    same(&bits(&whole), &bits(&expected), &format!("{plan:?}"));
    let half = gpu.download(&prepare.f16(gpu, &images).unwrap()).unwrap();
    let expected: Vec<f16> = expected.iter().map(|&v| f16::from_f32(v)).collect();
    same(&half, &expected, &format!("{plan:?}"));
}

/// Superpoints of random sizes: that of every point, and the points of each.
pub fn superpoints(random: &mut Random, points: usize, count: usize) -> (Vec<u32>, Ragged<u32>) {
    let count = count.min(points);
    let mut superpoint_of: Vec<u32> =
        (0..points).map(|i| if i < count { i as u32 } else { random.below(count as u32) }).collect();
    // The first of each superpoint lies anywhere.
    for i in (1..points).rev() {
        superpoint_of.swap(i, random.below(i as u32 + 1) as usize);
    }
    let of = |s: u32| (0..points as u32).filter(|&p| superpoint_of[p as usize] == s).collect::<Vec<_>>();
    let members = (0..count as u32).map(of).collect();
    (superpoint_of, members)
}

/// One bit a point, `[K, ceil(N / 32)]`.
pub fn pack(visible: &[bool], points: usize) -> Vec<u32> {
    let word = |chunk: &[bool]| chunk.iter().enumerate().map(|(i, &v)| (v as u32) << i).sum::<u32>();
    visible.chunks(points.max(1)).flat_map(|view| view.chunks(32).map(word)).collect()
}

#[test]
fn visible_points_and_what_they_say_of_superpoints() {
    let gpu = gpu();
    let cameras = &cameras()[..3];
    let mut random = Random(3);
    for points in [1, 31, 32, 33, 1023, 1025] {
        let cloud = Cloud::random(&mut random, points);
        let mut views = render_on_cpu(&cloud, cameras, 40, 0.05);
        views
            .screen
            .iter_mut()
            .step_by(2)
            .zip([0.0, -0.0].into_iter().cycle())
            .for_each(|(at, zero)| at[0] = zero);
        let visible: Vec<bool> = views
            .pixel_to_point
            .chunks(1600)
            .flat_map(|view| visibility::cpu::visible_points(view, points).unwrap())
            .collect();
        let pixels = gpu.upload(&views.pixel_to_point).unwrap();
        let on_device = visibility::cuda::visible_points(&gpu, &pixels, 3, points).unwrap();
        assert_eq!(gpu.download(&on_device).unwrap(), pack(&visible, points), "{points} points");

        let screen = gpu.upload(views.screen.as_flattened()).unwrap();
        for count in [1, 7, points] {
            let (of, members) = superpoints(&mut random, points, count);
            let (superpoint_of, superpoint_points) =
                (gpu.upload(&of).unwrap(), gpu.upload(members.values()).unwrap());
            let partition = observe::cuda::Partition {
                superpoint_of: &superpoint_of,
                superpoint_points: &superpoint_points,
                superpoints: members.len(),
            };
            let expected = observe::cpu::views(&visible, &views.screen, &members, 3).unwrap();
            let found = observe::cuda::views(&gpu, partition, &on_device, &screen, 3).unwrap();
            let what = format!("{points} points, {count} superpoints");
            same(&gpu.download(&found.counts).unwrap(), &expected.counts, &what);
            same(&gpu.download(&found.extents).unwrap(), expected.extents.as_flattened(), &what);
            let totals: Vec<u32> = expected.counts.chunks(3).map(|views| views.iter().sum()).collect();
            assert_eq!(gpu.download(&found.totals).unwrap(), totals, "{what}");
        }
    }
}

#[test]
fn no_view_and_no_point() {
    let gpu = gpu();
    let none = gpu.upload::<i32>(&[]).unwrap();
    assert_eq!(visibility::cuda::visible_points(&gpu, &none, 0, 5).unwrap().len(), 0);
    let found = visibility::cuda::visible_points(&gpu, &gpu.upload(&[-1, 9, -7]).unwrap(), 1, 5).unwrap();
    assert_eq!(gpu.download(&found).unwrap(), [0], "what names no point marks nothing");
}

/// Which of some boxes hold a share of all points of their view; with `exactly`, the very share that lies in the first box.
pub fn compare_whole(gpu: &Gpu, points: usize, boxes: usize, exactly: bool, random: &mut Random) {
    let views = 4;
    let mut place = || [random.uniform() * 100.0, random.uniform() * 100.0];
    let mut screen: Vec<[f32; 2]> = (0..views * points).map(|_| place()).collect();
    screen[0] = [f32::NAN, 1.0];
    let rects: Vec<[f32; 4]> = (0..boxes)
        .map(|_| {
            let ([x, y], [w, h]) = (place(), place());
            [x - 40.0, y - 40.0, x + w + 10.0, y + h + 10.0]
        })
        .collect();
    let view_of: Vec<u32> = (0..boxes).map(|_| random.below(views as u32)).collect();
    let of_view = Ragged::members(&view_of, views);
    let [left, top, right, bottom] = rects[0];
    let seen = &screen[view_of[0] as usize * points..][..points];
    let inside = seen.iter().filter(|[x, y]| *x > left && *x < right && *y > top && *y < bottom).count();
    for share in if exactly { vec![inside as f32 / points as f32] } else { vec![0.3, 0.6] } {
        let expected = whole_object::cpu::whole(&screen, points, &rects, &view_of, share).unwrap();
        let found = whole_object::cuda::whole(
            gpu,
            &gpu.upload(screen.as_flattened()).unwrap(),
            &of_view.upload(gpu).unwrap(),
            &gpu.upload(rects.as_flattened()).unwrap(),
            share,
        );
        let found: Vec<bool> = gpu.download(&found.unwrap()).unwrap().into_iter().map(|v| v != 0).collect();
        assert_eq!(found, expected, "{points} points, {boxes} boxes, share {share}");
    }
}

#[test]
fn boxes_around_the_whole_object() {
    let gpu = gpu();
    let mut random = Random(4);
    for (points, boxes) in [(1, 1), (33, 3), (1025, 200), (5000, 31)] {
        compare_whole(&gpu, points, boxes, false, &mut random);
    }
}
