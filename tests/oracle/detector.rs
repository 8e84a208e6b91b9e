//! GLIP's post-processing against the authors' ATSS post-processor on the outputs of a tiny random GLIP.

use inputs::fixture;
use partstad::{
    io::npy,
    ops::detect::{
        atss::{Head, Level, Rules, cpu, locate},
        detection::Detection,
    },
};

const RULES: Rules =
    Rules { box_weights: [10.0, 10.0, 5.0, 5.0], pre_nms: 0.05, top_n: 1000, nms: 0.6, max_det: 100 };
const SIZE: [usize; 2] = [256, 256];

struct Golden {
    token_logits: Vec<f32>,
    box_regression: Vec<f32>,
    centerness: Vec<f32>,
    levels: Vec<Level>,
}

impl Golden {
    fn read() -> Golden {
        let read = |name| npy::read_member::<f32>(&fixture("glip_postproc_golden.npz"), name).unwrap().data;
        let level = |l: usize| Level { stride: 8 << l, anchor: 64 << l, rows: 32 >> l, columns: 32 >> l };
        Golden {
            token_logits: read("token_logits"),
            box_regression: read("box_regression"),
            centerness: read("centerness"),
            levels: (0..5).map(level).collect(),
        }
    }

    fn detect(&self, image: usize, rules: &Rules, threshold: f32) -> Vec<Detection> {
        let half = |all: &[f32]| all[image * all.len() / 2..][..all.len() / 2].to_vec();
        let (logits, regression, centerness) =
            (half(&self.token_logits), half(&self.box_regression), half(&self.centerness));
        let head = Head { token_logits: &logits, box_regression: &regression, centerness: &centerness };
        cpu::detect(&head, &[1..2, 3..5, 6..8], &self.levels, SIZE, rules, threshold).unwrap()
    }
}

#[test]
fn post_processing() {
    let golden = Golden::read();
    let path = fixture("glip_postproc_golden.npz");
    let (mut box_error, mut score_error) = (0f32, 0f32);
    for image in 0..2 {
        let member = |name: &str| format!("ref{image}_{name}");
        let bbox = npy::read_member::<f32>(&path, &member("bbox")).unwrap().data;
        let scores = npy::read_member::<f32>(&path, &member("scores")).unwrap().data;
        let labels = npy::read_member::<i64>(&path, &member("labels")).unwrap().data;
        let positions = npy::read_member::<i64>(&path, &member("pos")).unwrap().data;
        let levels = npy::read_member::<f32>(&path, &member("level")).unwrap().data;
        let key = |label: i64, level: i64, row: i64, column: i64| [label, level, row, column];
        let mut expected: Vec<([i64; 4], usize)> = (0..labels.len())
            .map(|i| (key(labels[i], levels[i] as i64, positions[2 * i], positions[2 * i + 1]), i))
            .collect();
        let found = golden.detect(image, &RULES, 0.0);
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        let mut found: Vec<([i64; 4], Detection)> = found
            .into_iter()
            .map(|d| {
                let (level, row, column) = locate(&golden.levels, d.location).unwrap();
                (key(d.part as i64 + 1, level as i64, row as i64, column as i64), d)
            })
            .collect();
        expected.sort_unstable();
        found.sort_unstable_by_key(|&(key, _)| key);
        let found_keys: Vec<_> = found.iter().map(|f| f.0).collect();
        let expected_keys: Vec<_> = expected.iter().map(|e| e.0).collect();
        assert_eq!(found_keys, expected_keys, "labels, levels and positions of image {image}");
        for ((_, d), (_, i)) in found.iter().zip(&expected) {
            score_error = score_error.max((d.score - scores[*i]).abs());
            for (a, b) in d.corners.iter().zip(&bbox[4 * i..]) {
                box_error = box_error.max((a - b).abs());
            }
        }
    }
    println!("largest errors: box {box_error:e} px, score {score_error:e}");
    assert!(box_error < 1e-3 && score_error < 1e-5, "box {box_error} px, score {score_error}");
}

/// The threshold is applied first of all; the authors apply it last.
#[test]
fn threshold_first_is_threshold_last() {
    let golden = Golden::read();
    let tight = Rules { top_n: 40, max_det: 30, nms: 0.3, ..RULES };
    let mut kept = 0;
    for rules in [RULES, tight] {
        for image in 0..2 {
            let all = golden.detect(image, &rules, 0.0);
            for threshold in [0.1, 0.3, 0.45, 0.5, 0.55, 0.6] {
                let last: Vec<_> = all.iter().copied().filter(|d| d.score > threshold).collect();
                assert_eq!(golden.detect(image, &rules, threshold), last, "threshold {threshold}");
                kept += last.len();
            }
        }
    }
    assert!(kept > 100, "the cases must keep boxes, kept {kept}");
}
