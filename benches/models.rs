//! What surrounds the networks: resize, normalisation and post-processing.

use criterion::{Criterion, criterion_group, criterion_main};
use inputs::Random;
use partstad::ops::detect::{
    atss::{self, Head, Level, Rules},
    detection::Detection,
    nms,
    normalize::{self, Normalization, Order},
    resize,
};
use std::hint::black_box;

/// Numbers in [0, 1), the same in every run.
fn numbers(count: usize) -> Vec<f32> {
    let mut random = Random(1);
    (0..count).map(|_| random.uniform()).collect()
}

fn image(c: &mut Criterion) {
    let pixels: Vec<u8> = numbers(800 * 800 * 3).into_iter().map(|x| (x * 255.0) as u8).collect();
    let resized = resize::cpu::bilinear::<3>(&pixels, [800, 800], [1024, 1024]).unwrap();
    let mean = |bytes: &[u8]| bytes.iter().map(|&b| b as f64).sum::<f64>() / bytes.len() as f64;
    assert!((mean(&resized) - mean(&pixels)).abs() < 0.1, "a resize keeps the mean");
    c.bench_function("resize 800 to 1024, one view", |b| {
        b.iter(|| resize::cpu::bilinear::<3>(black_box(&pixels), [800, 800], [1024, 1024]).unwrap())
    });
    c.bench_function("resize 800 to 256, one view", |b| {
        b.iter(|| resize::cpu::bilinear::<3>(black_box(&pixels), [800, 800], [256, 256]).unwrap())
    });

    let rule =
        Normalization { order: Order::Bgr, scale: 255.0, mean: [103.53, 116.28, 123.675], std: [57.0; 3] };
    let mut out = vec![0.0; 3 * 800 * 800];
    normalize::cpu::normalize(&pixels, [800, 800], &rule, [800, 800], &mut out).unwrap();
    assert!((out[0] - (pixels[2] as f32 - 103.53) / 57.0).abs() < 1e-6, "blue comes first");
    c.bench_function("normalise 800 x 800, one view", |b| {
        b.iter(|| {
            normalize::cpu::normalize(black_box(&pixels), [800, 800], &rule, [800, 800], &mut out).unwrap()
        })
    });
}

fn post_processing(c: &mut Criterion) {
    const TOKENS: usize = 12;
    let side = [100, 50, 25, 13, 7];
    let level = |l: usize| Level { stride: 8 << l, anchor: 64 << l, rows: side[l], columns: side[l] };
    let levels: Vec<Level> = (0..5).map(level).collect();
    let a = atss::locations(&levels);
    assert_eq!(a, 13343);
    // One location in a thousand is sure of itself, as in a real view.
    let sure = numbers(a);
    let logits: Vec<f32> = numbers(a * TOKENS)
        .iter()
        .enumerate()
        .map(|(i, x)| if sure[i / TOKENS] > 0.999 { 6.0 * x } else { -6.0 * x })
        .collect();
    let regression: Vec<f32> = numbers(a * 4).iter().map(|x| x - 0.5).collect();
    let centerness: Vec<f32> = numbers(a).iter().map(|x| 4.0 * x).collect();
    let head = Head { token_logits: &logits, box_regression: &regression, centerness: &centerness };
    let parts = [1..2, 3..4, 5..6, 7..9, 10..11];
    let rules =
        Rules { box_weights: [10.0, 10.0, 5.0, 5.0], pre_nms: 0.05, top_n: 1000, nms: 0.6, max_det: 100 };
    let detect =
        |threshold| atss::cpu::detect(&head, &parts, &levels, [800, 800], &rules, threshold).unwrap();
    let (last, first) = (detect(0.0), detect(0.5));
    let passing: Vec<Detection> = last.iter().copied().filter(|d| d.score > 0.5).collect();
    assert!(!first.is_empty() && first == passing, "the threshold may come first");
    c.bench_function("post-processing, one view, threshold first", |b| b.iter(|| detect(black_box(0.5))));
    c.bench_function("post-processing, one view, threshold last", |b| b.iter(|| detect(black_box(0.0))));

    let random = numbers(5 * 5000);
    let corners: Vec<[f32; 4]> = random
        .chunks_exact(5)
        .map(|r| [700.0 * r[0], 700.0 * r[1], 700.0 * r[0] + 90.0 * r[2], 700.0 * r[1] + 90.0 * r[3]])
        .collect();
    let scores: Vec<f32> = random.chunks_exact(5).map(|r| r[4]).collect();
    let labels: Vec<usize> = (0..5000).map(|i| i % 5).collect();
    let kept = nms::cpu::nms(&corners, &scores, &labels, 0.6).unwrap();
    assert!(kept.len() > 1000 && kept.len() < 5000, "{} survive", kept.len());
    c.bench_function("non-maximum suppression, 5000 boxes of 5 parts", |b| {
        b.iter(|| nms::cpu::nms(black_box(&corners), &scores, &labels, 0.6).unwrap())
    });
}

criterion_group!(benches, image, post_processing);
criterion_main!(benches);
