//! The detector's post-processing: the same boxes in the same order.

use crate::{gpu, same};
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::detect::{
        atss::{Head, Level, Rules, cpu, cuda, locations},
        detection::{
            Detection, Thresholds,
            cuda::{Counts, Which, Workspace, gather},
        },
        queries::{self, Phrase},
    },
};
use std::ops::Range;

const SIZE: [usize; 2] = [300, 260];

/// A pyramid with more locations than a block packs at once.
fn levels() -> Vec<Level> {
    pyramid(&[40, 20, 10, 1])
}

/// Square levels of so many rows.
pub fn pyramid(sides: &[usize]) -> Vec<Level> {
    let level = |(i, &side): (usize, &usize)| Level {
        stride: 8usize << i,
        anchor: 32usize << i,
        rows: side,
        columns: side,
    };
    sides.iter().enumerate().map(level).collect()
}

/// Of a box's feature.
const CHANNELS: usize = 3;

pub struct Outputs {
    levels: Vec<Level>,
    tokens: usize,
    logits: Vec<f32>,
    regression: Vec<f32>,
    centerness: Vec<f32>,
}

impl Outputs {
    /// Of `images` images. Logits are `mean` and around, in steps of `step`: coarse ones make ties.
    pub fn new(
        levels: Vec<Level>,
        images: usize,
        tokens: usize,
        mean: f32,
        step: f32,
        random: &mut Random,
    ) -> Outputs {
        let rows = images * locations(&levels);
        let mut values = |n: usize, mean: f32, spread: f32| -> Vec<f32> {
            let value = |_| mean + ((2.0 * random.uniform() - 1.0) * spread / step).round() * step;
            (0..n).map(value).collect()
        };
        Outputs {
            levels,
            tokens,
            logits: values(rows * tokens, mean, 4.0),
            regression: values(rows * 4, 0.5, 3.0),
            centerness: values(rows, 0.5, 1.0),
        }
    }
}

pub fn compare(
    gpu: &Gpu,
    outputs: &Outputs,
    images: usize,
    parts: &[Range<usize>],
    rules: &Rules,
    thresholds: Thresholds,
) {
    let levels = &outputs.levels[..];
    let a = locations(levels);
    let mut workspace = cuda::workspace(gpu, images, levels, parts, rules).unwrap();
    let upload = |values: &[f32]| gpu.upload(values).unwrap();
    let (logits, regression, centerness) =
        (upload(&outputs.logits), upload(&outputs.regression), upload(&outputs.centerness));
    let head =
        cuda::Head { levels, token_logits: &logits, box_regression: &regression, centerness: &centerness };
    let counts = cuda::detect(gpu, &head, images, SIZE, rules, thresholds, &mut workspace).unwrap();
    let of =
        |values: &[f32], image: usize, columns: usize| values[image * a * columns..][..a * columns].to_vec();
    let expected = |image| {
        let logits = of(&outputs.logits, image, outputs.tokens);
        let (regression, centerness) = (of(&outputs.regression, image, 4), of(&outputs.centerness, image, 1));
        let head = Head { token_logits: &logits, box_regression: &regression, centerness: &centerness };
        cpu::detect(&head, parts, levels, SIZE, rules, thresholds.weak).unwrap()
    };
    let expected: Vec<_> = (0..images).map(expected).collect();
    compare_gathered(gpu, &workspace, &counts, thresholds.found, a, CHANNELS, &expected);
}

/// Compares what lies in the workspace with what the reference found in each image, above `threshold` and below.
fn compare_gathered(
    gpu: &Gpu,
    workspace: &Workspace,
    counts: &Counts,
    threshold: f32,
    locations: usize,
    channels: usize,
    expected: &[Vec<Detection>],
) {
    let part = |which| -> Vec<Vec<Detection>> {
        let is = |d: &&Detection| (d.score > threshold) == (which == Which::Found);
        expected.iter().map(|found| found.iter().filter(is).copied().collect()).collect()
    };
    compare_rows(gpu, workspace, counts, Which::Found, locations, channels, &part(Which::Found));
    compare_rows(gpu, workspace, counts, Which::Weak, locations, 0, &part(Which::Weak));
}

fn compare_rows(
    gpu: &Gpu,
    workspace: &Workspace,
    counts: &Counts,
    which: Which,
    locations: usize,
    channels: usize,
    expected: &[Vec<Detection>],
) {
    let features: Vec<f32> = (0..expected.len() * locations * channels).map(|i| i as f32).collect();
    let (view, scale) = (5, [1.5f32, 0.7]);
    let per_image = if which == Which::Found { &counts.found } else { &counts.weak };
    let there = gpu.upload(&features).unwrap();
    let boxes = gather(gpu, workspace, counts, which, &there, scale, view).unwrap();
    let (mut views, mut labels, mut scores, mut rows) = (vec![], vec![], vec![], vec![]);
    let (mut bboxes, mut rects) = (vec![], vec![]);
    for (image, found) in expected.iter().enumerate() {
        assert_eq!(per_image[image] as usize, found.len(), "{which:?} boxes of image {image}");
        for b in found {
            let [x1, y1, x2, y2] = b.corners;
            let [x1, y1, x2, y2] = [x1 * scale[0], y1 * scale[1], x2 * scale[0], y2 * scale[1]];
            views.push((view + image) as u32);
            labels.push(b.part as u32);
            scores.push(b.score);
            bboxes.extend([x1, y1, x2 - x1, y2 - y1]);
            rects.extend([x1, y1, x1 + (x2 - x1), y1 + (y2 - y1)]);
            rows.extend_from_slice(&features[(image * locations + b.location) * channels..][..channels]);
        }
    }
    same(&gpu.download(&boxes.views).unwrap(), &views, "views");
    same(&gpu.download(&boxes.parts).unwrap(), &labels, "parts");
    same(&gpu.download(&boxes.scores).unwrap(), &scores, "scores");
    same(&gpu.download(&boxes.bboxes).unwrap(), &bboxes, "bboxes");
    same(&gpu.download(&boxes.rects).unwrap(), &rects, "rects");
    same(&gpu.download(&boxes.features).unwrap(), &rows, "features");
}

/// All above `weak`, and as found only what is somewhat better.
pub fn weak_too(weak: f32) -> Thresholds {
    Thresholds { found: weak + 0.1, weak }
}

pub const RULES: Rules =
    Rules { box_weights: [10.0, 10.0, 5.0, 5.0], pre_nms: 0.05, top_n: 100, nms: 0.5, max_det: 30 };

#[test]
fn detections() {
    let gpu = gpu();
    let mut random = Random(5);
    let parts = [1..2, 3..5, 6..6, 0..7];
    for (images, mean, step, threshold) in [
        (1, -4.0, 1e-4, 0.5),
        (3, -3.0, 1e-4, 0.4),
        (2, -2.0, 0.5, 0.0),
        (1, 0.0, 2.0, 0.3),
        (1, -30.0, 1.0, 0.5),
        (0, 0.0, 1.0, 0.5),
    ] {
        let outputs = Outputs::new(levels(), images, 7, mean, step, &mut random);
        compare(&gpu, &outputs, images, &parts, &RULES, weak_too(threshold));
    }
}

#[test]
fn detections_by_other_rules() {
    let gpu = gpu();
    let mut random = Random(6);
    let outputs = Outputs::new(levels(), 1, 3, -1.0, 0.25, &mut random);
    for rules in [
        Rules { nms: 1.0, max_det: 1000, ..RULES },
        Rules { nms: 0.0, ..RULES },
        Rules { top_n: 1, ..RULES },
        Rules { top_n: 5000, max_det: 1, ..RULES },
    ] {
        compare(&gpu, &outputs, 1, std::slice::from_ref(&(0..3)), &rules, weak_too(0.2));
    }
    compare(&gpu, &outputs, 1, &[], &RULES, weak_too(0.2));
    let many: Vec<Range<usize>> = (0..60).map(|i| i % 3..i % 3 + 1).collect();
    compare(&gpu, &outputs, 1, &many, &Rules { top_n: 400, ..RULES }, weak_too(0.6));
}

/// A query detector's outputs and rules: logits are `mean` and around, in steps of `step`; coarse ones make ties.
pub struct Queries {
    pub images: usize,
    pub queries: usize,
    pub channels: usize,
    pub mean: f32,
    pub step: f32,
    pub rules: queries::Rules,
    pub thresholds: Thresholds,
}

/// What is found of each part, against the reference's; the least number of boxes in an image.
pub fn compare_queries(gpu: &Gpu, case: &Queries, parts: &[Range<usize>], random: &mut Random) -> usize {
    const TOKENS: usize = 6;
    const INPUT: [usize; 2] = [320, 300];
    let &Queries { images, queries, channels, mean, step, rules, thresholds } = case;
    let mut value =
        |from: f32, to: f32, step: f32| ((from + (to - from) * random.uniform()) / step).round() * step;
    let logits: Vec<f32> =
        (0..images * queries * TOKENS).map(|_| value(mean - 4.0, mean + 4.0, step)).collect();
    let boxes: Vec<f32> = (0..images * queries * 4).map(|_| value(0.0, 1.0, 1e-4)).collect();
    let mut workspace = queries::cuda::workspace(gpu, images, queries, parts).unwrap();
    let (token_logits, there) = (gpu.upload(&logits).unwrap(), gpu.upload(&boxes).unwrap());
    let head = queries::cuda::Head { queries, token_logits: &token_logits, boxes: &there, input: INPUT };
    let counts = queries::cuda::detect(gpu, &head, images, SIZE, &rules, thresholds, &mut workspace).unwrap();
    let rows = logits.chunks(queries * TOKENS).zip(boxes.chunks(queries * 4));
    let expected: Vec<Vec<Detection>> = rows
        .map(|(logits, boxes)| {
            queries::cpu::detect(logits, boxes, parts, INPUT, SIZE, &rules, thresholds.weak).unwrap()
        })
        .collect();
    compare_gathered(gpu, &workspace, &counts, thresholds.found, queries, channels, &expected);
    expected.iter().map(Vec::len).min().unwrap_or(0)
}

#[test]
fn detections_of_queries() {
    let gpu = gpu();
    let mut random = Random(8);
    let parts = [1..2, 3..5, 6..6, 0..6];
    for (images, mean, step, phrase, nms, max_det, threshold) in [
        (1, -4.0, 1e-4, Phrase::Max, 1.0, 900, 0.0),
        (3, -3.0, 1e-4, Phrase::Mean, 0.5, 30, 0.3),
        (2, -1.0, 0.5, Phrase::Max, 0.7, 7, 0.6),
        (1, -30.0, 1.0, Phrase::Mean, 1.0, 9, 0.5),
        (0, 0.0, 1.0, Phrase::Max, 1.0, 9, 0.5),
    ] {
        let rules = queries::Rules { phrase, nms, max_det };
        let thresholds = weak_too(threshold);
        let case = Queries { images, queries: 900, channels: CHANNELS, mean, step, rules, thresholds };
        let found = compare_queries(&gpu, &case, &parts, &mut random);
        assert!(images == 0 || mean < -9.0 || found >= max_det.min(30), "{found} boxes: little to compare");
    }
}

#[test]
fn detection_refuses_what_does_not_fit() {
    let gpu = gpu();
    let parts = vec![0..1; 256];
    let error = cuda::workspace(&gpu, 1, &levels(), &parts, &RULES).unwrap_err();
    assert!(error.to_string().contains("256 parts"), "{error}");
    let mut workspace = cuda::workspace(&gpu, 1, &levels(), &parts[..1], &RULES).unwrap();
    let short = gpu.zeros(4).unwrap();
    let levels = levels();
    let head =
        cuda::Head { levels: &levels, token_logits: &short, box_regression: &short, centerness: &short };
    let mut refused = |images, rules: &Rules| {
        cuda::detect(&gpu, &head, images, SIZE, rules, weak_too(0.5), &mut workspace).unwrap_err().to_string()
    };
    assert!(refused(1, &RULES).contains("box_regression"));
    assert!(refused(2, &RULES).contains("2 images"));
    assert!(refused(1, &Rules { top_n: 3, ..RULES }).contains("3 kept per level"));
    let head = queries::cuda::Head { queries: 9, token_logits: &short, boxes: &short, input: SIZE };
    let rules = queries::Rules { phrase: Phrase::Max, nms: 1.0, max_det: 9 };
    let mut workspace = queries::cuda::workspace(&gpu, 1, 9, &parts[..1]).unwrap();
    let error =
        queries::cuda::detect(&gpu, &head, 1, SIZE, &rules, weak_too(0.5), &mut workspace).unwrap_err();
    assert!(error.to_string().contains("9 queries"), "{error}");
}
