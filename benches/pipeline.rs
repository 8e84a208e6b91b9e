//! The pipeline without the two models, at 30k, 80k and 300k points: from a cloud with its boxes and masks to labels
//! and instances. The answer is checked against the truth that the boxes and masks were made from.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use partstad::{
    Device, Parts, Pipeline, Predictions,
    pipeline::Options,
    stages::{cloud::Cloud, views::Views, weights},
    study::metrics::{mean, semantic_iou},
};
use procedural::predictions::{self, predict};

fn lift(c: &mut Criterion) {
    let mut group = c.benchmark_group("pipeline");
    group.sample_size(10);
    for n in [30_000, 80_000, 300_000] {
        let shape = procedural::generate("Chair", 1_000_227, n).unwrap();
        let (parts, device) = (Parts::new(shape.parts).unwrap(), Device::Cpu);
        let l = parts.len();
        let cloud = Cloud::new(&shape.cloud).unwrap();
        let pipeline = Pipeline::new(device.clone(), Options::default());
        let views = Views::render(&device, &cloud, &pipeline.options().views).unwrap();
        let how = predictions::Options::perfect();
        let (boxes, masks) = predict(&views, &shape.semantic, &shape.instance, l, 0, &how);
        let predictions = Predictions { boxes, masks, superpoints: None, weights: None };

        let found = pipeline.lift(&cloud, &parts, predictions.clone(), &()).unwrap();
        let iou = mean(semantic_iou(&found.labels.of_point, &shape.semantic, l).unwrap()).unwrap();
        assert!(iou > 0.8, "mIoU {iou} of perfect masks at {n} points");
        println!("{n} points, {} boxes: mIoU {iou:.3}, seconds {:?}", found.boxes.len(), found.seconds);

        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(BenchmarkId::new("lift", n), |b| {
            b.iter_batched(
                || predictions.clone(),
                |predictions| pipeline.lift(&cloud, &parts, predictions, &()).unwrap(),
                criterion::BatchSize::PerIteration,
            );
        });

        // A null weight that changes, and changes back.
        let weights = weights::Options::Constant { weight: 10.0, null: 8.0 };
        let strict = Options { weights, ..Options::default() };
        let strict = pipeline.clone().with_options(strict);
        let mut again = found.clone();
        strict.relabel(&cloud, &mut again, None, &()).unwrap();
        assert!(again.labels != found.labels, "a null weight of 8 leaves less labelled");
        pipeline.relabel(&cloud, &mut again, None, &()).unwrap();
        assert!(again.labels == found.labels && again.instances == found.instances);
        println!("relabelled in seconds {:?}", again.seconds);
        group.bench_function(BenchmarkId::new("relabel", n), |b| {
            b.iter(|| pipeline.relabel(&cloud, &mut again, None, &()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, lift);
criterion_main!(benches);
