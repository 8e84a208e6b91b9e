//! Over-segmentation, op by op and whole, of a procedural chair. Every answer is checked once.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use partstad::{
    Device,
    ops::{
        partition::cut_pursuit::graph::Graph,
        partition::{agglomeration, cut_pursuit, edge_weights, knn, merge_small, normals},
    },
    stages::{
        cloud::Cloud,
        superpoints::{Options, Superpoints},
    },
};
use std::{hint::black_box, time::Duration};

const SIZES: [usize; 3] = [30_000, 100_000, 300_000];
const K: usize = 10;

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("superpoints");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for n in SIZES {
        let cloud = Cloud::new(&procedural::generate("Chair", 1, n).unwrap().cloud).unwrap();
        let points = &cloud.positions;
        let id = |op: &str| BenchmarkId::new(op, n);

        let nearest = knn::cpu::nearest(points, K);
        for i in [0, n / 2, n - 1] {
            let row = &nearest.indices[i * K..(i + 1) * K];
            let squared = |j: usize| (0..3).map(|a| (points[i][a] - points[j][a]).powi(2)).sum::<f32>();
            let farthest = row.iter().map(|&j| squared(j as usize)).fold(0.0, f32::max);
            assert!((0..n).all(|j| j == i || row.contains(&(j as u32)) || squared(j) >= farthest));
        }
        group.bench_function(id("knn"), |b| b.iter(|| knn::cpu::nearest(black_box(points), K)));

        let estimated = normals::cpu::estimate(points, 0.1, 30);
        assert!(estimated.iter().all(|v| (v.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5));
        group
            .bench_function(id("normals"), |b| b.iter(|| normals::cpu::estimate(black_box(points), 0.1, 30)));

        let mut oriented = estimated.clone();
        normals::cpu::orient(&mut oriented, &nearest.indices, K).unwrap();
        let opposite = |normals: &[[f32; 3]]| {
            let edges =
                nearest.indices.iter().enumerate().map(|(at, &j)| (normals[at / K], normals[j as usize]));
            edges.filter(|(a, b)| (0..3).map(|i| a[i] * b[i]).sum::<f32>() < 0.0).count()
        };
        assert!(opposite(&oriented) < opposite(&estimated));
        group.bench_function(id("orient"), |b| {
            b.iter(|| normals::cpu::orient(&mut estimated.clone(), black_box(&nearest.indices), K).unwrap())
        });

        let features: Vec<[f32; 6]> = (estimated.iter().zip(cloud.colors.iter()))
            .map(|(normal, rgb)| std::array::from_fn(|i| if i < 3 { normal[i] } else { 0.3 * rgb[i - 3] }))
            .collect();
        let weigh =
            || edge_weights::cpu::edge_weights(&features, &nearest.indices, &nearest.distances, K).unwrap();
        let weights = weigh();
        assert!(weights.iter().all(|w| (0.0..=1.0).contains(w)));
        group.bench_function(id("edge weights"), |b| b.iter(weigh));

        let graph = Graph::from_neighbors(&nearest.indices, &weights, n, K).unwrap();
        group.bench_function(id("graph"), |b| {
            b.iter(|| Graph::from_neighbors(black_box(&nearest.indices), &weights, n, K).unwrap())
        });

        let options = cut_pursuit::Options::default();
        let cut = || cut_pursuit::cpu::partition(&graph, &features, &options).unwrap();
        let labels = cut();
        let lambda = options.lambda;
        let energy = |labels: &[u32]| cut_pursuit::energy(&graph, &features, labels, lambda);
        assert!(energy(&labels) < 0.5 * energy(&vec![0; n]));
        group.bench_function(id("cut pursuit"), |b| b.iter(cut));

        let options = agglomeration::Options { lambda: options.lambda, small: 0, bound: 1.0 };
        let agglomerate = || {
            agglomeration::cpu::agglomerate(&features, black_box(&nearest.indices), &weights, K, &options)
                .unwrap()
        };
        let (ours, theirs) = (energy(&agglomerate()), energy(&labels));
        println!("{n} points: energy of agglomeration over that of cut pursuit {:.4}", ours / theirs);
        assert!(ours < 1.02 * theirs);
        group.bench_function(id("agglomeration"), |b| b.iter(agglomerate));

        let merged = merge_small::cpu::merge_small(points, &labels, 10).unwrap();
        let superpoints =
            Superpoints::from_labels(&merged.iter().map(|&l| l as i32).collect::<Vec<_>>()).unwrap();
        assert!((0..superpoints.len()).all(|s| superpoints.points(s).len() > 10));
        group.bench_function(id("merge small"), |b| {
            b.iter(|| merge_small::cpu::merge_small(black_box(points), &labels, 10).unwrap())
        });

        group.bench_function(id("whole"), |b| {
            b.iter(|| Superpoints::partition(&Device::Cpu, black_box(&cloud), &Options::default()))
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
