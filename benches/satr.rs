//! SATR on bumpy tori of as many vertices as the authors' figures are of: preparing the mesh, distances from one vertex, and 150
//! boxes in ten views of 1024 x 1024 from the mesh to labels.
//!
//! What the authors' code takes, on a CPU (distances by potpourri3d, from every vertex before it begins; their loops over the
//! pixels of boxes, and over the faces around faces, are Python's and come on top):
//!
//! | vertices | factor | one source | all sources |
//! |---|---|---|---|
//! | 1,106 | 0.04 s | 1.7 ms | 1.9 s |
//! | 4,442 | 0.19 s | 7.2 ms | 32 s |
//! | 17,786 | 1.0 s | 43 ms | 762 s |

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use partstad::{
    Device,
    ops::surface::{heat::Heat, paths::Graph, triangles::Sides},
    satr::{Detection, Options, Surface},
    stages::views::{Camera, POSES},
};
use std::f64::consts::TAU;

const SIDE: usize = 1024;
const BOXES: u32 = 150;

/// `[around, across]` vertices.
fn torus([around, across]: [u32; 2]) -> (Vec<[f64; 3]>, Vec<[u32; 3]>) {
    let vertex = |i: u32| {
        let (u, v) = (
            f64::from(i / across) / f64::from(around) * TAU,
            f64::from(i % across) / f64::from(across) * TAU,
        );
        let r = 0.3 + 0.02 * (5.0 * u).sin() * (3.0 * v).cos();
        let out = 0.7 + r * v.cos();
        [out * u.cos(), r * v.sin(), out * u.sin()]
    };
    let at = |u: u32, v: u32| u % around * across + v % across;
    let cells = (0..around).flat_map(|u| (0..across).map(move |v| (u, v)));
    let faces = cells.flat_map(|(u, v)| {
        [[at(u, v), at(u, v + 1), at(u + 1, v)], [at(u + 1, v), at(u, v + 1), at(u + 1, v + 1)]]
    });
    ((0..around * across).map(vertex).collect(), faces.collect())
}

fn satr(c: &mut Criterion) {
    for size in [[79, 14], [74, 60], [152, 117]] {
        let (vertices, faces) = torus(size);
        let n = vertices.len();
        let cameras: Vec<Camera> = POSES.into_iter().map(Camera::new).collect();
        let boxes: Vec<Detection> = (0..BOXES)
            .map(|b| {
                // The left half of an image is part 0, the right half part 1.
                let (part, x, y) = (b % 2, (b * 97 % 380) as f32, (b * 211 % 700) as f32);
                let left = if part == 0 { x } else { 512.0 + x };
                let corners = [left, y, left + 130.0, y + 300.0];
                Detection { view: b % 10, part, corners, score: 0.6 }
            })
            .collect();
        let whole = || {
            let surface = Surface::mesh(&vertices, faces.clone()).unwrap();
            let maps = surface.render(&Device::Cpu, &cameras, SIDE, Sides::Front).unwrap();
            let scores = surface.score(&Device::Cpu, &maps, SIDE, &boxes, 2, &Options::default()).unwrap();
            (scores.labels(), surface, maps)
        };

        // The answers: a face that one part's boxes alone show has that part, and paths along edges are a little longer.
        let (labels, surface, maps) = whole();
        let mut shown = vec![[false; 2]; faces.len()];
        for found in &boxes {
            let [left, top, right, bottom] = found.corners.map(|x| x as usize);
            for row in top..bottom.min(SIDE) {
                let row = &maps[(found.view as usize * SIDE + row) * SIDE..][..SIDE];
                row[left..right].iter().filter(|&&face| face >= 0).for_each(|&face| {
                    shown[face as usize][found.part as usize] = true;
                });
            }
        }
        let wrong = |(label, shown): (&i32, &[bool; 2])| match shown {
            [false, false] => *label != 2,
            [true, false] => *label == 1,
            [false, true] => *label == 0,
            [true, true] => false,
        };
        assert_eq!(labels.iter().zip(&shown).filter(|&(label, shown)| wrong((label, shown))).count(), 0);
        assert!(labels.iter().filter(|&&label| label < 2).count() > labels.len() / 4);
        let heat = Heat::new(surface.vertices(), surface.faces()).unwrap();
        let along_edges = Graph::new(surface.vertices(), 8).distances(0);
        let distances = heat.distances(&[0]).unwrap();
        let ratio = distances.iter().sum::<f64>() / along_edges.iter().sum::<f64>();
        assert!((0.8..1.02).contains(&ratio), "{n} vertices: {ratio} of the paths along edges");

        let mut group = c.benchmark_group("satr");
        group.sample_size(10);
        let id = |name: &str| BenchmarkId::new(name, n);
        group.bench_function(id("matrices and factors"), |b| {
            b.iter(|| Heat::new(surface.vertices(), surface.faces()).unwrap().flips)
        });
        group.bench_function(id("distances, one source"), |b| b.iter(|| heat.distances(&[7]).unwrap()));
        group.bench_function(id("ten views"), |b| {
            b.iter(|| surface.render(&Device::Cpu, &cameras, SIDE, Sides::Front).unwrap())
        });
        group.bench_function(id("150 boxes"), |b| {
            b.iter(|| surface.score(&Device::Cpu, &maps, SIDE, &boxes, 2, &Options::default()).unwrap())
        });
        group.bench_function(id("mesh to labels"), |b| b.iter(whole));
        group.finish();
    }
}

criterion_group!(benches, satr);
criterion_main!(benches);
