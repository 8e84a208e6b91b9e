//! The weight network and what trains it.

use crate::gpu;
use inputs::Random;
use partstad::{
    Device,
    device::gpu::{Buffer, Gpu},
    io::points::PointCloud,
    ops::{
        basic::matmul::{self, Matrix},
        learn::{
            adamw, mlp,
            positional::{self, CODE, PLACE},
        },
    },
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
        masks::Masks,
        memberships::{self, Memberships},
        network::{Basis, Network},
        superpoints::Superpoints,
        views::{self, Views},
    },
};

/// 2^-24: how far a rounded f32 may be off, relatively.
const ROUNDING: f64 = 1.0 / (1 << 24) as f64;

#[track_caller]
fn same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    // 0 and -0 are the same.
    if let Some(i) = found.iter().zip(expected).position(|(f, e)| f != e) {
        panic!("{what}: value {i} is {:e}, not {:e}", found[i], expected[i]);
    }
}

/// Within what the order of a sum of `k` products may change: `k 2^-24 sum |a b|` for each side.
#[track_caller]
fn near(
    found: &[f32],
    a: Matrix<f32>,
    b: Matrix<f32>,
    sizes: (Matrix<f32>, Matrix<f32>),
    k: usize,
    what: &str,
) {
    let (expected, sizes) =
        (matmul::cpu::multiply(a, b).unwrap(), matmul::cpu::multiply(sizes.0, sizes.1).unwrap());
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, ((&f, &e), &size)) in found.iter().zip(&expected).zip(&sizes).enumerate() {
        let most = 2.1 * k as f64 * ROUNDING * size as f64;
        assert!((f - e).abs() as f64 <= most, "{what}: value {i} is {f:e}, not {e:e} (to {most:.1e})");
    }
}

/// `[m, k] x [k, n]` with either factor transposed, and the same bits twice.
pub fn compare_products(gpu: &Gpu, random: &mut Random, [m, n, k]: [usize; 3]) {
    let what = format!("{m} x {k} x {n}");
    let (a, b) = (random.floats(m * k), random.floats(n * k));
    let sizes = |values: &[f32]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let (size_a, size_b) = (sizes(&a), sizes(&b));
    let (a_there, b_there) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());

    let slices = matmul::cuda::slices(k);
    let mut c = gpu.alloc(slices * m * n).unwrap();
    let mut found = vec![];
    for _ in 0..2 {
        matmul::cuda::by_transpose(gpu, [m, n, k], &a_there, &b_there, &mut c).unwrap();
        found.push(gpu.download(&c).unwrap());
    }
    assert_eq!(found[0], found[1], "{what}: the same bits twice");
    let sums: Vec<f32> = (0..m * n).map(|i| (0..slices).map(|s| found[0][s * m * n + i]).sum()).collect();
    let by = |a, b| (Matrix::new(a, m, k).unwrap(), Matrix::new(b, n, k).unwrap().t());
    let (a_here, b_here) = by(&a, &b);
    near(&sums, a_here, b_here, by(&size_a, &size_b), k, &format!("{what}, by transpose"));

    let mut c = gpu.alloc(m * n).unwrap();
    matmul::cuda::of_transpose(gpu, [m, n, k], &a_there, &b_there, &mut c).unwrap();
    let of = |a, b| (Matrix::new(a, k, m).unwrap().t(), Matrix::new(b, k, n).unwrap());
    let (a_here, b_here) = of(&a, &b);
    let found = gpu.download(&c).unwrap();
    near(&found, a_here, b_here, of(&size_a, &size_b), k, &format!("{what}, of transpose"));
}

#[test]
fn products_of_matrices() {
    let (gpu, mut random) = (gpu(), Random(7));
    for sizes in [[0, 5, 3], [1, 1, 0], [1, 1, 1], [31, 33, 32], [33, 7, 97], [64, 65, 192], [150, 70, 403]] {
        compare_products(&gpu, &mut random, sizes);
    }
}

/// Forward and backward on the device: what is left of it here.
struct Pass {
    normal: Vec<f32>,
    deviation: Vec<f32>,
    weights: Vec<f32>,
    grad: Vec<f32>,
}

fn pass(gpu: &Gpu, values: &[f32], x: &[f32], channels: usize, grad_weights: &[f32]) -> Pass {
    let boxes = grad_weights.len();
    let up = |values: &[f32]| -> Buffer<f32> { gpu.upload(values).unwrap() };
    let (values_there, x, grad_weights) = (up(values), up(x), up(grad_weights));
    let values_there = values_there.as_view();
    let mut workspace = mlp::cuda::Workspace::new(gpu, boxes, channels).unwrap();
    let (mut weights, mut grad) = (gpu.alloc(boxes).unwrap(), gpu.alloc(values.len()).unwrap());
    mlp::cuda::forward(gpu, &values_there, &x, &mut workspace, &mut weights).unwrap();
    let (normal, deviation) =
        (gpu.download(&workspace.normal).unwrap(), gpu.download(&workspace.deviation).unwrap());
    let grad_there = &mut grad.as_view_mut();
    mlp::cuda::backward(gpu, &values_there, &x, &mut workspace, &weights, &grad_weights, grad_there).unwrap();
    Pass { normal, deviation, weights: gpu.download(&weights).unwrap(), grad: gpu.download(&grad).unwrap() }
}

/// On whole numbers, whose products are exact: all but the gradient of W_in is the reference's bit for bit.
#[test]
fn the_weight_network_forward_and_backward() {
    let (gpu, mut random) = (gpu(), Random(11));
    let small = [0, 1, 31, 32, 33].map(|boxes| [(boxes, 1), (boxes, 7), (boxes, 64)]);
    for (boxes, channels) in small.into_iter().flatten().chain([(33, 403), (150, 64)]) {
        let what = format!("{boxes} boxes of {channels} channels");
        let mut values = random.whole(mlp::parameters(channels));
        // Some weights end up 0.
        let last = values.len() - 1;
        values[last] = -9.0;
        let (mut x, grad_weights) = (random.whole(boxes * channels), random.floats(boxes));
        // A channel that is the same in all boxes.
        let rows = x.chunks_exact_mut(channels);
        if channels == 7 {
            rows.for_each(|row| row.fill(1.0));
        }
        let found = pass(&gpu, &values, &x, channels, &grad_weights);
        let seen = mlp::cpu::forward(&values, &x, channels).unwrap();
        same(&found.normal, &seen.normal, &format!("{what}: normal"));
        same(&found.deviation, &seen.deviation, &format!("{what}: deviation"));
        same(&found.weights, &seen.weights, &format!("{what}: weights"));
        let grad = mlp::cpu::backward(&values, &x, channels, &seen, &grad_weights).unwrap();
        let (products, rest) = (&found.grad[..channels * channels], &found.grad[channels * channels..]);
        same(rest, &grad[channels * channels..], &format!("{what}: gradients of the biases and of w_out"));
        // Sums over the boxes in another order, of terms of which none is much larger than the largest sum.
        let largest = grad[..channels * channels].iter().fold(0.0f32, |most, g| most.max(g.abs()));
        for (i, (f, g)) in products.iter().zip(&grad).enumerate() {
            let most = 16.0 * boxes as f64 * ROUNDING * largest as f64;
            assert!((f - g).abs() as f64 <= most, "{what}: gradient {i} of W_in is {f:e}, not {g:e}");
        }
        let again = pass(&gpu, &values, &x, channels, &grad_weights);
        assert_eq!(again.grad, found.grad, "{what}: the same bits twice");
    }
}

#[test]
fn a_few_steps_of_adamw() {
    let (gpu, mut random) = (gpu(), Random(13));
    let (options, rates) = (adamw::Options::default(), [1e-3, 0.05]);
    for (parameters, tail, batch) in [(1, 0, 1), (31, 31, 2), (257, 256, 3), (1025, 700, 2)] {
        let mut values = random.floats(parameters);
        let mut moments = [vec![0.0; parameters], vec![0.0; parameters]];
        let mut there = gpu.upload(&values).unwrap();
        let [mut first, mut second] = [0; 2].map(|_| gpu.zeros::<f32>(parameters).unwrap());
        let mut schedule = adamw::cuda::Schedule::new(&gpu, 4).unwrap();
        let factors = |t: u64| rates.map(|rate| options.factors(rate, t));
        schedule.set(&gpu, &[1, 2, 3, 4].map(factors)).unwrap();
        for t in 1..=4 {
            let grads = random.floats(batch * parameters);
            let mean = |i: usize| {
                let sum = (1..batch).fold(grads[i], |sum, n| sum + grads[n * parameters + i]);
                sum * (1.0 / batch as f64) as f32
            };
            let grad: Vec<f32> = (0..parameters).map(mean).collect();
            let [m, v] = &mut moments;
            for (range, rate) in [(0..tail, rates[0]), (tail..parameters, rates[1])] {
                let both = [&mut m[range.clone()], &mut v[range.clone()]];
                adamw::cpu::step(
                    &mut values[range.clone()],
                    both,
                    &grad[range],
                    &options,
                    options.factors(rate, t),
                )
                .unwrap();
            }
            let grads = gpu.upload(&grads).unwrap();
            schedule.next(&gpu).unwrap();
            let both = [&mut first, &mut second];
            adamw::cuda::step(&gpu, &mut there, both, &grads, &schedule, &options, tail).unwrap();
        }
        let what = format!("{parameters} parameters");
        same(&gpu.download(&there).unwrap(), &values, &what);
        same(&gpu.download(&first).unwrap(), &moments[0], &what);
        same(&gpu.download(&second).unwrap(), &moments[1], &what);
    }
    let mut schedule = adamw::cuda::Schedule::new(&gpu, 1).unwrap();
    let two = [1, 2].map(|t| rates.map(|rate| options.factors(rate, t)));
    assert!(schedule.set(&gpu, &two).unwrap_err().to_string().contains("12 values"));
}

#[test]
fn positional_codes() {
    let (gpu, mut random) = (gpu(), Random(17));
    for (boxes, dim) in [(0, 3), (1, 0), (33, 7), (150, 256)] {
        let features = random.floats(boxes * dim);
        let mut places: Vec<[f64; PLACE]> =
            (0..boxes).map(|_| [0; PLACE].map(|_| 1.5 * random.uniform() as f64 - 0.25)).collect();
        if let Some(place) = places.last_mut() {
            *place = [0.0, 1.0, -1.0, 0.5, std::f64::consts::PI / 512.0, 0.0, 40.0];
        }
        let there = (gpu.upload(&features).unwrap(), gpu.upload(places.as_flattened()).unwrap());
        let mut x = gpu.alloc(boxes * (dim + CODE)).unwrap();
        positional::cuda::inputs(&gpu, &there.0, &there.1, &mut x).unwrap();
        let found = gpu.download(&x).unwrap();
        let expected = positional::cpu::inputs::<f32>(&features, &places).unwrap();
        assert_eq!(found.len(), expected.len());
        let mut exact = 0;
        for (i, (&f, &e)) in found.iter().zip(&expected).enumerate() {
            let most = e.abs() as f64 * 2.0 * ROUNDING + 1e-13;
            assert!((f - e).abs() as f64 <= most, "{boxes} boxes: value {i} is {f:e}, not {e:e}");
            exact += (f == e) as usize;
        }
        assert!(exact * 1000 >= found.len() * 999, "{exact} of {} are exact", found.len());
    }
}

/// Weights from a network, as the pipeline asks for them.
#[test]
fn boxes_are_weighed_on_the_device() {
    let (gpu, mut random) = (gpu(), Random(19));
    let cloud = PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap();
    let cloud = Cloud::new(&cloud).unwrap();
    let options = views::Options { side: 40, ..Default::default() };
    let views = Views::render(&Device::Cpu, &cloud, &options).unwrap();
    let superpoints = Superpoints::partition(&Device::Cpu, &cloud, &Default::default()).unwrap();
    for (basis, count) in [Basis::Constant, Basis::Agreement]
        .into_iter()
        .flat_map(|basis| [0, 1, 40].map(|count| (basis, count)))
    {
        let network = Network::<f32>::initial(basis, 5 + CODE, 0.05, 3);
        let box2d = |i: usize| Box2d {
            view: (i % views.len()) as u32,
            label: 0,
            bbox: [i as f32, 3.0, 5.0 + i as f32, 7.5],
            score: 0.5 * (i % 2) as f32,
        };
        let list = (0..count).map(box2d).collect();
        let boxes = Boxes::with_features(list, random.floats(5 * count), 5);
        let options = memberships::Options::default();
        let weigh = |device: &Device| {
            let held =
                Memberships::find(device, &superpoints, &views, &boxes, &Masks::Boxes, &options).unwrap();
            network.weigh(device, &boxes, &held, &views, 1).unwrap()
        };
        let (here, there) = (weigh(&Device::Cpu), weigh(&Device::Cuda(gpu.clone())));
        assert_eq!((there.null, there.boxes.len(), there.boxes.is_here()), (here.null, count, false));
        there.check(count).unwrap();
        for (f, e) in there.boxes.host().unwrap().iter().zip(here.boxes.host().unwrap()) {
            assert!((f - e).abs() <= 1e-4, "a weight of {f} on the device, not {e}");
        }
        let (silent, heard): (Vec<f32>, Vec<f32>) =
            here.boxes.host().unwrap().iter().partition(|&&weight| weight == 0.0);
        let spread = heard.iter().map(|w| (w - 10.0).abs()).fold(0.0, f32::max);
        assert!(count < 40 || spread > 0.01, "the network has no say");
        assert_eq!(
            !silent.is_empty(),
            basis == Basis::Agreement && count > 0,
            "{basis:?}: {} silent",
            silent.len()
        );
    }
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let gpu = gpu();
    let three = gpu.zeros::<f32>(3).unwrap();
    let wrong = matmul::cuda::of_transpose(&gpu, [1, 1, 2], &three, &three, &mut gpu.zeros(1).unwrap());
    assert!(wrong.unwrap_err().to_string().contains("a [K, M] has 3 elements, not 2"));
    let mut workspace = mlp::cuda::Workspace::new(&gpu, 3, 1).unwrap();
    let mut weights = gpu.zeros(3).unwrap();
    let wrong = mlp::cuda::forward(&gpu, &three.as_view(), &three, &mut workspace, &mut weights);
    assert!(wrong.unwrap_err().to_string().contains("values has 3 elements, not 4"));
}
