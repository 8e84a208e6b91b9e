//! Gradients against central differences, in f64.

use inputs::Random;
use partstad::ops::{
    basic::softmax,
    learn::{mlp, riou},
    lift::{
        membership::{Entry, Sets},
        vote,
    },
};

/// Votes of random box sets on random superpoints, and a random truth.
struct Problem {
    sets: Sets,
    visible: Vec<u32>,
    box_label: Vec<u32>,
    labels: usize,
    shares: Vec<f64>,
    sizes: Vec<u32>,
    valid: Vec<bool>,
    weights: Vec<f64>,
    null: f64,
}

impl Problem {
    fn random(seed: u64, superpoints: usize, boxes: usize, labels: usize) -> Problem {
        let mut random = Random(seed);
        let box_label: Vec<u32> = (0..boxes).map(|_| random.below(labels as u32)).collect();
        let (mut sets, mut visible, mut shares) = (Sets::default(), vec![], vec![]);
        for _ in 0..3 * boxes {
            let mut set: Vec<u32> = (0..boxes as u32).filter(|_| random.uniform() < 0.3).collect();
            set.sort_by_key(|&b| box_label[b as usize]);
            sets.boxes.push(set);
        }
        for s in 0..superpoints {
            let entries = random.below(6);
            sets.entries.push(
                (0..entries)
                    .map(|_| Entry { set: random.below(3 * boxes as u32), count: 1 + random.below(20) }),
            );
            visible.push(sets.counts(s).map(|(_, count)| count).sum::<u32>() + random.below(5));
            let row: Vec<f64> = (0..=labels).map(|_| random.uniform() as f64).collect();
            let sum: f64 = row.iter().sum();
            shares.extend(row.iter().map(|v| v / sum));
        }
        Problem {
            valid: (0..superpoints).map(|s| sets.valid(s)).collect(),
            sizes: (0..superpoints).map(|_| 1 + random.below(100)).collect(),
            weights: (0..boxes).map(|_| 4.0 * random.uniform() as f64 - 0.5).collect(),
            null: 1.5,
            sets,
            visible,
            box_label,
            labels,
            shares,
        }
    }

    fn input(&self) -> vote::Input<'_> {
        let Problem { sets, visible, box_label, labels, .. } = self;
        vote::Input { sets, visible, box_label, labels: *labels }
    }

    fn truth(&self) -> riou::Truth<'_, f64> {
        riou::Truth { shares: &self.shares, sizes: &self.sizes, valid: &self.valid, columns: self.labels + 1 }
    }

    fn softmax(&self, weights: &[f64], null: f64) -> Vec<f64> {
        softmax::cpu::forward(&vote::cpu::forward(&self.input(), weights, null).unwrap(), self.labels + 1)
            .unwrap()
    }
}

/// Compares `grad` with the slope of `f` along every axis at `x`.
fn check(what: &str, x: &[f64], grad: &[f64], f: impl Fn(&[f64]) -> f64) {
    assert_eq!(x.len(), grad.len());
    assert!(grad.iter().any(|g| g.abs() > 1e-6), "{what}: nothing to compare");
    let h = 1e-5;
    for i in 0..x.len() {
        let at = |delta: f64| {
            let mut x = x.to_vec();
            x[i] += delta;
            f(&x)
        };
        let slope = (at(h) - at(-h)) / (2.0 * h);
        assert!(
            (slope - grad[i]).abs() <= 1e-8 + 1e-6 * slope.abs(),
            "{what} [{i}]: {} against {slope}",
            grad[i]
        );
    }
}

const SEEDS: std::ops::Range<u64> = 0..8;

#[test]
fn softmax() {
    let mut random = Random(1);
    let x: Vec<f64> = (0..12).map(|_| 6.0 * random.uniform() as f64).collect();
    let direction: Vec<f64> = (0..12).map(|_| random.uniform() as f64).collect();
    let value =
        |x: &[f64]| softmax::cpu::forward(x, 4).unwrap().iter().zip(&direction).map(|(p, d)| p * d).sum();
    let grad = softmax::cpu::backward(&softmax::cpu::forward(&x, 4).unwrap(), &direction, 4).unwrap();
    check("softmax", &x, &grad, value);
}

#[test]
fn relaxed_iou_and_cross_entropy() {
    for seed in SEEDS {
        let problem = Problem::random(seed, 9, 7, 3);
        let (p, truth) = (problem.softmax(&problem.weights, problem.null), problem.truth());
        check("riou", &p, &riou::cpu::backward(&p, &truth).unwrap(), |p| {
            riou::cpu::forward(p, &truth).unwrap()
        });
        let label: Vec<u32> = (0..9).map(|s| s % 4).collect();
        let grad = riou::cpu::cross_entropy_backward(&p, &label, &truth).unwrap();
        check("cross-entropy", &p, &grad, |p| riou::cpu::cross_entropy(p, &label, &truth).unwrap());
    }
}

#[test]
fn from_the_loss_to_the_weights() {
    for seed in SEEDS {
        let problem = Problem::random(seed, 30, 12, 4);
        let (columns, truth) = (problem.labels + 1, problem.truth());
        let p = problem.softmax(&problem.weights, problem.null);
        let grad = softmax::cpu::backward(&p, &riou::cpu::backward(&p, &truth).unwrap(), columns).unwrap();
        let (grad, grad_null) =
            vote::cpu::backward(&problem.input(), &problem.weights, problem.null, &grad).unwrap();
        let loss =
            |weights: &[f64], null| riou::cpu::forward(&problem.softmax(weights, null), &truth).unwrap();
        check("weights", &problem.weights, &grad, |w| loss(w, problem.null));
        check("null weight", &[problem.null], &[grad_null], |null| loss(&problem.weights, null[0]));
    }
}

#[test]
fn weight_network() {
    for seed in SEEDS {
        let mut random = Random(seed);
        let (boxes, channels) = (9, 6);
        let mut numbers = |count, scale| -> Vec<f64> {
            (0..count).map(|_| scale * (random.uniform() as f64 - 0.5)).collect()
        };
        // Wide enough that some weights are cut off at 0.
        let mut values = numbers(mlp::parameters(channels), 2.0);
        *values.last_mut().unwrap() = -9.0;
        let (x, direction) = (numbers(boxes * channels, 4.0), numbers(boxes, 1.0));
        let value = |values: &[f64]| {
            let weights = mlp::cpu::forward(values, &x, channels).unwrap().weights;
            weights.iter().zip(&direction).map(|(w, d)| w * d).sum()
        };
        let seen = mlp::cpu::forward(&values, &x, channels).unwrap();
        assert!(seen.weights.iter().any(|&w| w > 0.0));
        let grad = mlp::cpu::backward(&values, &x, channels, &seen, &direction).unwrap();
        check("weight network", &values, &grad, value);
    }
}

#[test]
fn nothing_valid_has_no_gradient() {
    let mut problem = Problem::random(3, 5, 4, 2);
    problem.valid.fill(false);
    let truth = problem.truth();
    let p = problem.softmax(&problem.weights, problem.null);
    assert_eq!(riou::cpu::forward(&p, &truth).unwrap(), 1.0);
    assert!(riou::cpu::backward(&p, &truth).unwrap().iter().all(|&g| g == 0.0));
    assert_eq!(riou::cpu::cross_entropy(&p, &[0; 5], &truth).unwrap(), 0.0);
    assert!(riou::cpu::cross_entropy_backward(&p, &[0; 5], &truth).unwrap().iter().all(|&g| g == 0.0));
}
