//! From boxes and masks to instances, at 30k, 100k and 300k points, 10 views of 800 x 800, 150 boxes.

mod scene;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use partstad::{
    Device,
    ops::{
        basic::softmax,
        learn::riou,
        lift::{mask, observe, vote},
        views::visibility,
    },
    stages::{
        instances::{self, Instances},
        labels::{self, Labels},
        masks::{LOGIT_SIDE, Masks},
        memberships::{self, Memberships},
        scores::Scores,
        views::{self, Views},
        weights::{self, Weights},
    },
    study::targets::Targets,
};
use scene::{BOXES, PARTS, Scene, scene};
use std::hint::black_box;

const POINTS: [usize; 3] = [30_000, 100_000, 300_000];
fn lifting(c: &mut Criterion) {
    for points in POINTS {
        let Scene { cloud, superpoints, boxes, logits } = scene(points);
        let views = Views::render(&Device::Cpu, &cloud, &views::Options::default()).unwrap();
        let (s, k) = (superpoints.len(), views.len());
        let bits = (0..BOXES)
            .flat_map(|b| logits.full(&boxes, b, views.side).unwrap())
            .map(|v| v != 0)
            .collect::<Vec<_>>();
        let bits = Masks::pack(&bits, views.side);
        let options = memberships::Options { whole_object_share: 2.0, ..Default::default() };
        let find =
            |masks| Memberships::find(&Device::Cpu, &superpoints, &views, &boxes, masks, &options).unwrap();

        // The answers: sampled logits and full masks agree, and the sets hold each box's points.
        let memberships = find(&logits);
        assert_eq!(memberships, find(&bits));
        let mut held = [0u64; BOXES];
        for s in 0..s {
            memberships
                .sets()
                .unwrap()
                .counts(s)
                .for_each(|(set, count)| set.iter().for_each(|&b| held[b as usize] += count as u64));
        }
        let mut group = c.benchmark_group("lifting");
        group.sample_size(10);
        let id = |name: &str| BenchmarkId::new(name, points);

        let seen = || {
            (0..k).map(|k| visibility::cpu::visible_points(views.pixel_to_point(k).unwrap(), points).unwrap())
        };
        let visible: Vec<bool> = seen().flatten().collect();
        for (b, found) in boxes.list().unwrap().iter().enumerate().step_by(10) {
            let Masks::Logits(logits) = &logits else { unreachable!() };
            let (taps, size, k) = (mask::taps(views.side), LOGIT_SIDE * LOGIT_SIDE, found.view as usize);
            let mask = &logits.host().unwrap()[b * size..][..size];
            let inside = |p: usize| {
                let [x, y] = views.screen.host().unwrap()[k * points + p].map(|v| v as usize);
                visible[k * points + p] && mask::cpu::logit(mask, &taps[y], &taps[x]) > 0.0
            };
            let all = (0..points).filter(|&p| inside(p)).count() as u64;
            assert!(held[b] <= all && held[b] as f64 >= 0.9 * all as f64, "box {b}: {} of {all}", held[b]);
        }
        let counted: u64 = memberships.observed().unwrap().counts.iter().map(|&n| n as u64).sum();
        assert_eq!(counted, visible.iter().filter(|&&v| v).count() as u64);
        println!(
            "{points} points: {s} superpoints, {counted} visible, {} entries",
            memberships.sets().unwrap().entries.values().len()
        );

        group.bench_function(id("visibility"), |b| b.iter(|| seen().map(|v| v.len()).sum::<usize>()));
        group.bench_function(id("observe"), |b| {
            b.iter(|| {
                observe::cpu::views(&visible, views.screen.host().unwrap(), &superpoints.members, k).unwrap()
            })
        });
        group.bench_function(id("memberships of boxes"), |b| b.iter(|| find(&Masks::Boxes)));
        group.bench_function(id("memberships of logits"), |b| b.iter(|| find(&logits)));
        group.bench_function(id("memberships of full masks"), |b| b.iter(|| find(&bits)));

        let weigh = || {
            let options = weights::Options::default();
            Weights::new(&Device::Cpu, &boxes, &memberships, PARTS.len(), &options).unwrap()
        };
        group.bench_function(id("weights by agreement"), |b| b.iter(weigh));
        let weights = weigh();
        let of_boxes = weights.boxes.host().unwrap();
        let scores = Scores::vote(&Device::Cpu, &memberships, &boxes, &weights, PARTS.len()).unwrap();
        let (votes, probabilities) = (scores.votes.host().unwrap(), scores.probabilities.host().unwrap());
        let valid: Vec<bool> = scores.valid.host().unwrap().iter().map(|&v| v != 0).collect();
        let (totals, box_label) = (memberships.visible_totals().unwrap(), boxes.labels().unwrap());
        let (sets, labels) = (memberships.sets().unwrap(), PARTS.len());
        let input = vote::Input { sets, visible: &totals, box_label: &box_label, labels };
        let columns = PARTS.len() + 1;
        let truth: Vec<i32> = cloud.positions.iter().map(|p| (p[1] * 2.4 + 2.5) as i32).collect();
        let targets = Targets::count(&superpoints, &truth, PARTS.len()).unwrap();
        let shares: Vec<f32> = targets.shares().iter().map(|&v| v as f32).collect();
        let truth = riou::Truth { shares: &shares, sizes: &targets.sizes, valid: &valid, columns };
        let grad = riou::cpu::backward(probabilities, &truth).unwrap();
        let grad = softmax::cpu::backward(probabilities, &grad, columns).unwrap();
        // All weights by a common factor: the slope of the loss along the weights is that of their scale.
        let (g, g_null) = vote::cpu::backward(&input, of_boxes, weights.null, &grad).unwrap();
        let slope: f64 = g.iter().map(|&g| g as f64 * 10.0).sum::<f64>() + g_null as f64 * 5.0;
        let loss = |scale: f64| {
            let shares: Vec<f64> = shares.iter().map(|&v| v.into()).collect();
            let truth = riou::Truth { shares: &shares, sizes: truth.sizes, valid: truth.valid, columns };
            let votes = vote::cpu::forward(&input, &[10.0 * scale; BOXES], 5.0 * scale).unwrap();
            riou::cpu::forward(&softmax::cpu::forward(&votes, columns).unwrap(), &truth).unwrap()
        };
        let expected = (loss(1.0 + 1e-5) - loss(1.0 - 1e-5)) / 2e-5;
        assert!((slope - expected).abs() < 1e-3 * expected.abs() + 1e-5, "{slope} against {expected}");

        group.bench_function(id("vote"), |b| {
            b.iter(|| vote::cpu::forward(&input, black_box(of_boxes), weights.null).unwrap())
        });
        group.bench_function(id("vote backward"), |b| {
            b.iter(|| vote::cpu::backward(&input, of_boxes, weights.null, black_box(&grad)).unwrap())
        });
        group.bench_function(id("softmax"), |b| {
            b.iter(|| softmax::cpu::forward(black_box(votes), columns).unwrap())
        });
        group.bench_function(id("softmax backward"), |b| {
            b.iter(|| softmax::cpu::backward(probabilities, black_box(&grad), columns).unwrap())
        });
        group.bench_function(id("riou"), |b| b.iter(|| riou::cpu::forward(probabilities, &truth).unwrap()));
        group.bench_function(id("riou backward"), |b| {
            b.iter(|| riou::cpu::backward(probabilities, &truth).unwrap())
        });

        let labels =
            Labels::assign(&Device::Cpu, &superpoints, &scores, &PARTS, &labels::Options::default()).unwrap();
        let options = instances::Options::default();
        let merge = || {
            Instances::merge(
                &Device::Cpu,
                &cloud,
                &superpoints,
                &boxes,
                &memberships,
                &scores,
                &labels,
                &options,
            )
            .unwrap()
        };
        let instances = merge();
        let sizes: u32 = instances.list.iter().map(|i| i.points).sum();
        assert_eq!(sizes as usize, instances.of_point.iter().filter(|&&i| i >= 0).count());
        let same_label =
            |(p, &i): (usize, &i32)| i < 0 || labels.of_point[p] == instances.list[i as usize].label as i32;
        assert!(instances.of_point.iter().enumerate().all(same_label));
        group.bench_function(id("instances"), |b| b.iter(merge));
        group.finish();
    }
}

criterion_group!(benches, lifting);
criterion_main!(benches);
