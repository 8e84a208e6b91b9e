//! Vote, softmax, relaxed IoU and cross-entropy with their gradients: bit for bit.

use crate::gpu;
use inputs::Random;
use partstad::{
    device::gpu::{Buffer, Gpu},
    ops::{
        basic::softmax,
        learn::riou,
        lift::{
            membership::{self, Entry, Sets},
            vote,
        },
    },
};

/// Random box sets on random superpoints, and a random truth.
struct Problem {
    sets: Sets,
    visible: Vec<u32>,
    box_label: Vec<u32>,
    labels: usize,
    weights: Vec<f32>,
    shares: Vec<f32>,
    sizes: Vec<u32>,
    valid: Vec<bool>,
}

impl Problem {
    /// `most`: entries of a superpoint.
    fn random(
        random: &mut Random,
        superpoints: usize,
        boxes: usize,
        sets: usize,
        labels: usize,
        most: u32,
    ) -> Problem {
        let box_label: Vec<u32> = (0..boxes).map(|_| random.below(labels as u32)).collect();
        let (mut held, mut visible) = (Sets::default(), vec![]);
        for _ in 0..sets {
            let mut set: Vec<u32> = (0..boxes as u32).filter(|_| random.below(8) < 2).collect();
            set.sort_by_key(|&b| box_label[b as usize]);
            held.boxes.push(set);
        }
        for s in 0..superpoints {
            let entries = if sets == 0 { 0 } else { random.below(most + 1) };
            held.entries.push(
                (0..entries).map(|_| Entry { set: random.below(sets as u32), count: 1 + random.below(1000) }),
            );
            visible.push(held.counts(s).map(|(_, count)| count).sum::<u32>() + random.below(5));
        }
        // Equal weights tie; some are 0 or less.
        let weights =
            (0..boxes).map(|_| random.below(9) as f32 * 1.37 - 2.0 * random.below(2) as f32).collect();
        Problem {
            valid: (0..superpoints).map(|s| held.valid(s)).collect(),
            shares: (0..superpoints * (labels + 1)).map(|_| random.uniform()).collect(),
            sizes: (0..superpoints).map(|_| 1 + random.below(100)).collect(),
            sets: held,
            visible,
            box_label,
            labels,
            weights,
        }
    }

    fn input(&self) -> vote::Input<'_> {
        let Problem { sets, visible, box_label, labels, .. } = self;
        vote::Input { sets, visible, box_label, labels: *labels }
    }

    fn truth(&self) -> riou::Truth<'_, f32> {
        riou::Truth { shares: &self.shares, sizes: &self.sizes, valid: &self.valid, columns: self.labels + 1 }
    }
}

#[track_caller]
fn same(gpu: &Gpu, found: &Buffer<f32>, expected: &[f32], what: &str) {
    let found = gpu.download(found).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let differs = found.iter().zip(expected).position(|(f, e)| f.to_bits() != e.to_bits());
    if let Some(i) = differs {
        panic!("{what}: value {i} is {:e}, not {:e}", found[i], expected[i]);
    }
}

/// Everything from votes to gradients; `most`: box sets of a superpoint.
pub fn compare_votes(gpu: &Gpu, random: &mut Random, sizes: [usize; 4], most: u32) {
    compare_votes_and_nulls(gpu, random, sizes, most, &[5.0, -1.0]);
}

/// The same with a null weight that is the least that counts.
pub fn compare_null_weights(gpu: &Gpu, random: &mut Random) {
    compare_votes_and_nulls(gpu, random, [40, 7, 20, 3], 5, &[vote::MIN_NULL as f32]);
}

fn compare_votes_and_nulls(
    gpu: &Gpu,
    random: &mut Random,
    [superpoints, boxes, sets, labels]: [usize; 4],
    most: u32,
    nulls: &[f32],
) {
    let p = Problem::random(random, superpoints, boxes, sets, labels, most);
    let what = format!("{superpoints} superpoints, {boxes} boxes, {sets} sets, {labels} labels");
    let up = |values: &[u32]| gpu.upload(values).unwrap();
    let floats = |values: &[f32]| gpu.upload(values).unwrap();
    let room = |len| gpu.alloc::<f32>(len).unwrap();
    let on_device = membership::cuda::Sets::upload(gpu, &p.sets).unwrap();
    let (visible, box_label) = (up(&p.visible), up(&p.box_label));
    let input = vote::cuda::Input { sets: &on_device, visible: &visible, box_label: &box_label, labels };
    let mut workspace = vote::cuda::Workspace::new(gpu, &input).unwrap();
    let (columns, weights) = (labels + 1, floats(&p.weights));
    let by_set = vote::cuda::by_set(gpu, &input).unwrap();
    let expected = vote::cpu::by_set(&p.input());
    let (superpoint, count): (Vec<u32>, Vec<u32>) = expected.values().iter().copied().unzip();
    assert_eq!(gpu.download(&by_set.offsets).unwrap(), expected.offsets(), "{what}");
    assert_eq!(gpu.download(&by_set.superpoint).unwrap(), superpoint, "{what}");
    assert_eq!(gpu.download(&by_set.count).unwrap(), count, "{what}");

    for &null in nulls {
        let null_weight = floats(&[null]);
        let (mut scores, mut valid) = (room(superpoints * columns), gpu.alloc(superpoints).unwrap());
        vote::cuda::forward(gpu, &input, &weights, &null_weight, &mut workspace, &mut scores, &mut valid)
            .unwrap();
        let expected = vote::cpu::forward(&p.input(), &p.weights, null).unwrap();
        same(gpu, &scores, &expected, &format!("{what}: scores"));
        let valid_here: Vec<bool> = gpu.download(&valid).unwrap().iter().map(|&v| v != 0).collect();
        assert_eq!(valid_here, p.valid, "{what}");

        let mut probabilities = room(superpoints * columns);
        softmax::cuda::forward(gpu, &scores, columns, &mut probabilities).unwrap();
        let expected = softmax::cpu::forward(&expected, columns).unwrap();
        same(gpu, &probabilities, &expected, &format!("{what}: softmax"));

        let truth = p.truth();
        let (shares, sizes) = (floats(&p.shares), up(&p.sizes));
        let on_device = riou::cuda::Truth { shares: &shares, sizes: &sizes, valid: &valid, columns };
        let mut losses = riou::cuda::Workspace::new(gpu, superpoints, columns).unwrap();
        let (mut ious, mut loss) = (room(columns), room(1));
        riou::cuda::forward(gpu, &probabilities, &on_device, &mut losses, &mut ious, &mut loss).unwrap();
        same(gpu, &ious, &riou::cpu::riou(&expected, &truth).unwrap(), &format!("{what}: RIoU"));
        same(gpu, &loss, &[riou::cpu::forward(&expected, &truth).unwrap()], &format!("{what}: loss"));
        let mut grad = room(superpoints * columns);
        riou::cuda::backward(gpu, &on_device, &losses, &mut grad).unwrap();
        let expected_grad = riou::cpu::backward(&expected, &truth).unwrap();
        same(gpu, &grad, &expected_grad, &format!("{what}: gradient of RIoU"));

        let mut grad_scores = room(superpoints * columns);
        softmax::cuda::backward(gpu, &probabilities, &grad, columns, &mut grad_scores).unwrap();
        let expected_grad = softmax::cpu::backward(&expected, &expected_grad, columns).unwrap();
        same(gpu, &grad_scores, &expected_grad, &format!("{what}: gradient of softmax"));

        let (mut grad_weights, mut grad_null) = (room(boxes), room(1));
        vote::cuda::backward(
            gpu,
            &input,
            &by_set,
            &null_weight,
            &grad_scores,
            &mut workspace,
            &mut grad_weights,
            &mut grad_null,
        )
        .unwrap();
        let (expected_weights, expected_null) =
            vote::cpu::backward(&p.input(), &p.weights, null, &expected_grad).unwrap();
        same(gpu, &grad_weights, &expected_weights, &format!("{what}: gradient of the weights"));
        same(gpu, &grad_null, &[expected_null], &format!("{what}: gradient of the null weight"));

        let label: Vec<u32> = (0..superpoints).map(|_| random.below(columns as u32)).collect();
        let label_there = up(&label);
        riou::cuda::cross_entropy(gpu, &probabilities, &label_there, &on_device, &mut losses, &mut loss)
            .unwrap();
        let expected_loss = riou::cpu::cross_entropy(&expected, &label, &truth).unwrap();
        same(gpu, &loss, &[expected_loss], &format!("{what}: cross-entropy"));
        riou::cuda::cross_entropy_backward(gpu, &probabilities, &label_there, &on_device, &losses, &mut grad)
            .unwrap();
        let expected_grad = riou::cpu::cross_entropy_backward(&expected, &label, &truth).unwrap();
        same(gpu, &grad, &expected_grad, &format!("{what}: gradient of cross-entropy"));
    }
}

#[test]
fn from_votes_to_the_gradient_of_the_weights() {
    let gpu = gpu();
    let mut random = Random(5);
    for (sizes, most) in [
        ([1, 1, 1, 1], 1),
        ([1, 200, 1025, 60], 1025),
        ([31, 3, 0, 2], 0),
        ([32, 33, 31, 5], 33),
        ([33, 150, 300, 7], 70),
        ([1023, 32, 32, 1], 3),
        ([300, 64, 257, 31], 40),
        ([0, 5, 3, 2], 1),
    ] {
        compare_votes(&gpu, &mut random, sizes, most);
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let gpu = gpu();
    let (two, three) = (gpu.zeros::<f32>(2).unwrap(), gpu.zeros::<f32>(3).unwrap());
    let message =
        softmax::cuda::forward(&gpu, &three, 2, &mut gpu.zeros(3).unwrap()).unwrap_err().to_string();
    assert!(message.contains("3 elements are not rows of 2 columns"), "{message}");
    assert!(softmax::cuda::forward(&gpu, &two, 2, &mut gpu.zeros(3).unwrap()).is_err());
    let (sizes, valid) = (gpu.zeros::<u32>(1).unwrap(), gpu.zeros::<u8>(1).unwrap());
    let truth = riou::cuda::Truth { shares: &two, sizes: &sizes, valid: &valid, columns: 2 };
    let mut workspace = riou::cuda::Workspace::new(&gpu, 1, 2).unwrap();
    let (mut ious, mut loss) = (gpu.zeros(2).unwrap(), gpu.zeros(1).unwrap());
    let message =
        riou::cuda::forward(&gpu, &three, &truth, &mut workspace, &mut ious, &mut loss).unwrap_err();
    assert!(message.to_string().contains("predicted [S, L + 1]"), "{message}");
}
