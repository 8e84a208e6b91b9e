//! The concept segmenter's post-processing: the same boxes, masks and features in the same order.

use crate::{gpu, same};
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::{
        detect::{
            concepts::{Rules, cpu, cuda},
            detection::{Detection, Thresholds},
            queries::Form,
        },
        lift::mask,
    },
};

const INPUT: [usize; 2] = [100, 120];

#[derive(Clone, Copy)]
struct Case {
    views: usize,
    names: usize,
    queries: usize,
    /// Side of the logits.
    low: usize,
    /// Height and width of the views, and of the views within the input.
    given: [usize; 2],
    size: [usize; 2],
    /// 0 = stand-ins.
    channels: usize,
    present: bool,
    /// Of logits and presence, which are rounded to steps: coarse ones make ties.
    mean: f32,
    step: f32,
    rules: Rules,
    thresholds: Thresholds,
    /// Pairs of a run.
    at_once: usize,
}

const USUAL: Case = Case {
    views: 2,
    names: 3,
    queries: 40,
    low: 9,
    given: [31, 45],
    size: [100, 120],
    channels: 5,
    present: true,
    mean: 0.5,
    step: 1e-4,
    rules: Rules { probabilities: false, form: Form::Center, nms: 0.7, max_det: 100 },
    thresholds: Thresholds { found: 0.5, weak: 0.2 },
    at_once: 4,
};

struct Outputs {
    logits: Vec<f32>,
    presence: Vec<f32>,
    boxes: Vec<f32>,
    masks: Vec<f32>,
    features: Vec<f32>,
}

impl Outputs {
    fn new(case: &Case, random: &mut Random) -> Outputs {
        let &Case { views, names, queries, low, channels, mean, step, rules, .. } = case;
        let (pairs, all) = (views * names, views * names * queries);
        let mut value = |from: f32, to: f32| ((from + (to - from) * random.uniform()) / step).round() * step;
        let mut odds = |n: usize, spread: f32| -> Vec<f32> {
            let one = |_| match rules.probabilities {
                true => value(0.0, 1.0),
                false => value(mean - spread, mean + spread),
            };
            (0..n).map(one).collect()
        };
        let (logits, presence) = (odds(all, 3.0), odds(pairs, 2.0));
        let largest = if rules.form == Form::CornerPixels { 130.0 } else { 1.1 };
        let boxes = (0..4 * all).map(|_| largest * random.uniform() - 0.05).collect();
        // A few shapes, so that many masks nearly or wholly agree; one of them is empty.
        let shapes: Vec<f32> = (0..4 * low * low).map(|_| random.uniform() * 4.0 - 2.0).collect();
        let mut masks = vec![];
        for q in 0..all {
            let shape = &shapes[q % 4 * low * low..][..low * low];
            let noise = if q % 3 == 0 { 0.0 } else { 1.5 };
            let logit = |&x: &f32| if q % 4 == 3 { -1.0 } else { x + noise * (random.uniform() - 0.5) };
            masks.extend(shape.iter().map(logit).collect::<Vec<_>>());
        }
        let features = (0..all * channels).map(|i| i as f32).collect();
        Outputs { logits, presence, boxes, masks, features }
    }
}

/// What the reference finds: columns of the boxes found, their features and masks, and columns of the weak ones.
#[derive(Default)]
struct Columns {
    per_view: Vec<u32>,
    views: Vec<u32>,
    parts: Vec<u32>,
    scores: Vec<f32>,
    bboxes: Vec<f32>,
    rects: Vec<f32>,
    features: Vec<f32>,
    masks: Vec<u8>,
}

impl Columns {
    fn push(&mut self, view: usize, b: &Detection) {
        let [x1, y1, x2, y2] = b.corners;
        self.per_view[view] += 1;
        self.views.push((view + 3) as u32);
        self.parts.push(b.part as u32);
        self.scores.push(b.score);
        self.bboxes.extend([x1, y1, x2 - x1, y2 - y1]);
        self.rects.extend([x1, y1, x1 + (x2 - x1), y1 + (y2 - y1)]);
    }
}

fn expected(case: &Case, outputs: &Outputs) -> [Columns; 2] {
    let &Case { views, names, queries, low, given, size, channels, present, rules, thresholds, .. } = case;
    let scale = [1, 0].map(|axis| given[axis] as f32 / size[axis] as f32);
    let [rows, columns] = taps(case);
    let mut columns_of = [0; 2].map(|_| Columns { per_view: vec![0; views], ..Columns::default() });
    let bytes = mask::bytes(given[0] * given[1]);
    for view in 0..views {
        let (mut found, mut masks, mut features) = (vec![], vec![], vec![]);
        for name in 0..names {
            let pair = view * names + name;
            let of = |values: &[f32], each: usize| values[pair * queries * each..][..queries * each].to_vec();
            let presence = present.then(|| outputs.presence[pair]);
            let (logits, boxes) = (of(&outputs.logits, 1), of(&outputs.boxes, 4));
            for b in cpu::detect(&logits, presence, &boxes, INPUT, size, &rules, thresholds.weak).unwrap() {
                let logits = &of(&outputs.masks, low * low)[b.location * low * low..][..low * low];
                let mask = mask::cpu::expand_of(logits, low, &rows, &columns).unwrap();
                let corners = std::array::from_fn(|i| b.corners[i] * scale[i % 2]);
                features.push(match channels {
                    0 => {
                        let presence = cpu::probability_of(presence, &rules);
                        let area = cpu::area(&mask);
                        cpu::stand_in(b.score, presence, corners, area, given[0] * given[1]).to_vec()
                    }
                    _ => of(&outputs.features, channels)[b.location * channels..][..channels].to_vec(),
                });
                found.push(Detection { part: name, corners, ..b });
                masks.extend(mask);
            }
        }
        let scores: Vec<f32> = found.iter().map(|b| b.score).collect();
        for r in cpu::suppress(&scores, &masks, &rules).unwrap() {
            let weak = found[r].score <= thresholds.found;
            columns_of[weak as usize].push(view, &found[r]);
            if !weak {
                columns_of[0].features.extend(&features[r]);
                columns_of[0].masks.extend(&masks[r * bytes..][..bytes]);
            }
        }
    }
    columns_of
}

fn taps(case: &Case) -> [Vec<mask::Tap>; 2] {
    [0, 1].map(|axis| mask::taps_of(case.low, [case.size[axis], INPUT[axis]], case.given[axis]))
}

/// Compares what is found with the reference's; returns how many rows there were and how many remained.
fn compare(gpu: &Gpu, case: &Case, random: &mut Random) -> usize {
    let outputs = Outputs::new(case, random);
    let &Case {
        views, names, queries, low, given, size, channels, present, rules, thresholds, at_once, ..
    } = case;
    let scale = [1, 0].map(|axis| given[axis] as f32 / size[axis] as f32);
    let frame = cuda::Frame::new(gpu, INPUT, size, scale, &taps(case)).unwrap();
    let mut workspace = cuda::workspace(gpu, at_once, queries).unwrap();
    let mut runs = vec![];
    for first in (0..views * names).step_by(at_once) {
        let pairs = at_once.min(views * names - first);
        let some = |values: &[f32], each: usize| gpu.upload(&values[first * each..][..pairs * each]).unwrap();
        let (logits, presence) = (some(&outputs.logits, queries), some(&outputs.presence, 1));
        let (boxes, masks) = (some(&outputs.boxes, 4 * queries), some(&outputs.masks, queries * low * low));
        let features = some(&outputs.features, queries * channels);
        let answer = cuda::Answer {
            queries,
            logits: &logits,
            presence: present.then_some(&presence),
            boxes: &boxes,
            low,
            masks: &masks,
            features: (channels > 0).then_some(&features),
        };
        let weak = thresholds.weak;
        let rows =
            cuda::candidates(gpu, &answer, &frame, pairs, first, &rules, weak, &mut workspace).unwrap();
        runs.push(rows);
    }
    let rows = cuda::Rows::concat(gpu, runs).unwrap();
    let remaining = rows.remaining(gpu, &frame, names, 3, &rules, thresholds.found).unwrap();
    let [found, weak] = expected(case, &outputs);
    let cuda::Remaining { counts, found: found_there, masks, weak: weak_there } = &remaining;
    same(&counts.found, &found.per_view, "found");
    same(&counts.weak, &weak.per_view, "weak");
    for (there, here) in [(found_there, &found), (weak_there, &weak)] {
        same(&gpu.download(&there.views).unwrap(), &here.views, "views");
        same(&gpu.download(&there.parts).unwrap(), &here.parts, "names");
        same(&gpu.download(&there.scores).unwrap(), &here.scores, "scores");
        same(&gpu.download(&there.bboxes).unwrap(), &here.bboxes, "boxes");
        same(&gpu.download(&there.rects).unwrap(), &here.rects, "corners");
        same(&gpu.download(&there.features).unwrap(), &here.features, "features");
    }
    same(&gpu.download(masks).unwrap(), &found.masks, "masks");
    found.views.len() + weak.views.len()
}

#[test]
fn boxes_with_masks() {
    let gpu = gpu();
    let mut random = Random(21);
    let strict = Thresholds { found: 0.9, weak: 0.9 };
    let likely = Rules { probabilities: true, ..USUAL.rules };
    for (case, least) in [
        (USUAL, 10),
        (Case { step: 0.5, at_once: 1, ..USUAL }, 10),
        (Case { channels: 0, at_once: 6, ..USUAL }, 10),
        (Case { channels: 0, present: false, ..USUAL }, 10),
        (Case { rules: Rules { form: Form::Corners, ..likely }, step: 0.125, ..USUAL }, 5),
        (Case { rules: Rules { form: Form::CornerPixels, ..USUAL.rules }, ..USUAL }, 10),
        (Case { rules: Rules { nms: 0.0, ..USUAL.rules }, ..USUAL }, 2),
        (Case { rules: Rules { nms: 1.0, ..USUAL.rules }, ..USUAL }, 90),
        (Case { rules: Rules { nms: 1.0, max_det: 7, ..USUAL.rules }, step: 1.0, ..USUAL }, 14),
        (Case { size: [75, 61], given: [64, 64], low: 3, ..USUAL }, 5),
        (Case { views: 5, mean: -2.0, ..USUAL }, 1),
        (Case { thresholds: strict, mean: -9.0, ..USUAL }, 0),
        (Case { views: 0, ..USUAL }, 0),
        (Case { queries: 1, names: 1, given: [5, 5], ..USUAL }, 0),
    ] {
        let remained = compare(&gpu, &case, &mut random);
        assert!(remained >= least, "{remained} boxes: little to compare");
    }
}

/// Rows of a view that fill words of the matrix just so, and masks that end within a byte or a word.
#[test]
fn rows_and_pixels_at_the_borders_of_words() {
    let gpu = gpu();
    let mut random = Random(22);
    let all = Thresholds { found: 0.3, weak: 0.0 };
    for (queries, given) in [
        (1, [1, 1]),
        (31, [8, 4]),
        (32, [3, 11]),
        (33, [75, 75]),
        (64, [16, 16]),
        (65, [5, 5]),
        (100, [64, 5]),
    ] {
        for (names, nms) in [(1, 0.6), (3, 1.0)] {
            let rules = Rules { nms, max_det: 1000, ..USUAL.rules };
            let case = Case { names, queries, given, rules, thresholds: all, ..USUAL };
            let remained = compare(&gpu, &case, &mut random);
            assert!(nms < 1.0 || remained == 2 * names * queries, "{remained}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let gpu = gpu();
    let frame = cuda::Frame::new(&gpu, INPUT, INPUT, [1.0; 2], &taps(&USUAL)).unwrap();
    let mut workspace = cuda::workspace(&gpu, 2, 4).unwrap();
    let (logits, boxes, masks) = (gpu.zeros(8).unwrap(), gpu.zeros(32).unwrap(), gpu.zeros(72).unwrap());
    let answer = cuda::Answer {
        queries: 4,
        logits: &logits,
        presence: None,
        boxes: &boxes,
        low: 3,
        masks: &masks,
        features: None,
    };
    let mut refused = |answer: &cuda::Answer, pairs| {
        let rows = cuda::candidates(&gpu, answer, &frame, pairs, 0, &USUAL.rules, 0.5, &mut workspace);
        rows.unwrap_err().to_string()
    };
    assert!(refused(&answer, 3).contains("3 images"));
    assert!(refused(&answer, 1).contains("logits [B, Q] has 8 elements, not 4"));
    assert!(refused(&cuda::Answer { low: 2, ..answer }, 2).contains("masks [B, Q, S, S]"));
    assert!(refused(&cuda::Answer { presence: Some(&boxes), ..answer }, 2).contains("presence [B]"));
    assert!(refused(&cuda::Answer { queries: 5, ..answer }, 2).contains("5 locations"));
}
