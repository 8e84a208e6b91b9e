//! Rendering, at 30k, 100k and 300k points: the answer is checked against brute force on a sample of the pixels.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use partstad::{
    Device,
    ops::views::rasterize::{BACKGROUND, Splat, cpu},
    stages::{
        cloud::Cloud,
        views::{Camera, Options, POSES, Views},
    },
};

const SIDE: usize = 800;
const RADIUS: f64 = 0.005;

fn views(c: &mut Criterion) {
    for n in [30_000, 100_000, 300_000] {
        let cloud = Cloud::new(&procedural::generate("Chair", 7, n).unwrap().cloud).unwrap();
        let camera = Camera::new(POSES[4]);
        let splats: Vec<Splat> = cloud.positions.iter().map(|&p| camera.splat(p)).collect();
        let nearest = cpu::nearest_points(&splats, SIDE, RADIUS);
        check(&nearest, &splats);

        let mut group = c.benchmark_group("views");
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("nearest_points, one view", n), |b| {
            b.iter(|| cpu::nearest_points(&splats, SIDE, RADIUS));
        });
        group.bench_function(BenchmarkId::new("shade, one view", n), |b| {
            b.iter(|| cpu::shade(&nearest, &splats, &cloud.colors, SIDE, RADIUS));
        });
        group.sample_size(20).bench_function(BenchmarkId::new("render, ten views", n), |b| {
            b.iter(|| Views::render(&Device::Cpu, &cloud, &Options::default()).unwrap());
        });
    }
}

fn check(nearest: &[i32], splats: &[Splat]) {
    let center = |i: usize| -1.0 + (2 * (SIDE - 1 - i) + 1) as f32 / SIDE as f32;
    for pixel in (0..nearest.len()).step_by(1999) {
        let (x, y) = (center(pixel % SIDE), center(pixel / SIDE));
        let covers = |s: &Splat| {
            let (dx, dy) = (x - s.ndc[0], y - s.ndc[1]);
            dx * dx + dy * dy < RADIUS as f32 * RADIUS as f32
        };
        let expected = (0..splats.len())
            .filter(|&i| covers(&splats[i]))
            .min_by(|&a, &b| splats[a].depth.total_cmp(&splats[b].depth))
            .map_or(BACKGROUND, |i| i as i32);
        assert_eq!(nearest[pixel], expected, "pixel {pixel}");
    }
}

criterion_group!(benches, views);
criterion_main!(benches);
