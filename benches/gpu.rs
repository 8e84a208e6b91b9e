//! The kernels of lifting on a CUDA device, at 30k to 3M points, 10 views of 800 x 800, 150 boxes.
//!
//! For each kernel its time by events, the bytes of its arrays and what share of a copy's bandwidth they make; for each
//! stage its time against the CPU reference, whose answer it must give. Prints Markdown for `benches/record/`. An emulated
//! driver has no times: there the answers are compared and the bytes counted. `cargo bench --bench gpu -- 80000` runs
//! another number of points.

mod scene;

use cuda_emulator::Gpu as Driver;
use partstad::{
    Device, Result,
    device::gpu::{Gpu, Launch},
    stages::{
        instances::{self, Instances},
        labels::{self, Labels},
        memberships::{self, Memberships},
        scores::Scores,
        superpoints::{self, Superpoints},
        views::{self, Views},
        weights::{self, Weights},
    },
};
use scene::{PARTS, Scene, scene};
use std::{collections::BTreeMap, ffi::CString, time::Instant};

const POINTS: [usize; 5] = [30_000, 80_000, 300_000, 1_000_000, 3_000_000];
/// Of which the medians are printed, unless `PARTSTAD_BENCH_RUNS` says another number.
const RUNS: usize = 11;
/// Of half a gigabyte, a tenth of a millisecond each: together longer than the host takes to ask for a stage's kernels.
const CLEARS: usize = 8;
const STAGES: [&str; 6] = ["superpoints", "views", "memberships", "scores", "labels", "instances"];

/// What the stages make of a scene on a device, and how long each took, in milliseconds.
#[derive(PartialEq)]
struct Answer {
    superpoints: Superpoints,
    views: Views,
    memberships: Memberships,
    scores: Scores,
    labels: Labels,
    instances: Instances,
}

/// `before` comes before each stage, and does not count.
fn run(
    device: &Device,
    scene: &Scene,
    milliseconds: &mut [f64; 6],
    mut before: impl FnMut(),
) -> Result<Answer> {
    let Scene { cloud, superpoints, boxes, logits, .. } = scene;
    let mut stage = 0;
    before();
    let mut begin = Instant::now();
    let mut lap = || {
        if let Device::Cuda(gpu) = device {
            gpu.synchronize().unwrap();
        }
        milliseconds[stage] = begin.elapsed().as_secs_f64() * 1e3;
        before();
        (stage, begin) = (stage + 1, Instant::now());
    };
    let own = Superpoints::partition(device, cloud, &superpoints::Options::default())?;
    lap();
    let views = Views::render(device, cloud, &views::Options::default())?;
    lap();
    let options = memberships::Options::default();
    let memberships = Memberships::find(device, superpoints, &views, boxes, logits, &options)?;
    lap();
    let weights = Weights::new(device, boxes, &memberships, PARTS.len(), &weights::CONSTANT)?;
    let scores = Scores::vote(device, &memberships, boxes, &weights, PARTS.len())?;
    lap();
    let labels = Labels::assign(device, superpoints, &scores, &PARTS, &labels::Options::default())?;
    lap();
    // All of it on the device; by masks the host groups.
    let options = instances::Options::authors();
    let instances =
        Instances::merge(device, cloud, superpoints, boxes, &memberships, &scores, &labels, &options)?;
    lap();
    Ok(Answer { superpoints: own, views, memberships, scores, labels, instances })
}

fn runs() -> usize {
    std::env::var("PARTSTAD_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Bytes a second that a copy within the device reads and writes.
fn copy_bandwidth(gpu: &Gpu) -> f64 {
    let from = gpu.zeros::<u32>(1 << 28).unwrap();
    let mut to = gpu.alloc::<u32>(1 << 28).unwrap();
    let mut copy = || {
        let event = || gpu.stream().record_event(Some(cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT));
        let begin = event().unwrap();
        gpu.stream().memcpy_dtod(&from, &mut to).unwrap();
        begin.elapsed_ms(&event().unwrap()).unwrap() as f64 / 1e3
    };
    2.0 * (4 << 28) as f64 / median((0..runs()).map(|_| copy()))
}

/// Launches, bytes and milliseconds of every kernel in one run.
fn by_kernel(launches: &[Launch]) -> BTreeMap<&'static str, (usize, usize, f64)> {
    let mut sums: BTreeMap<_, (usize, usize, f64)> = BTreeMap::new();
    for launch in launches {
        let sum = sums.entry(launch.kernel).or_default();
        *sum = (sum.0 + 1, sum.1 + launch.bytes, sum.2 + launch.milliseconds as f64);
    }
    sums
}

fn main() {
    let real = cuda_emulator::install() == Driver::Real;
    let mut points: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if points.is_empty() {
        points = if real { POINTS.to_vec() } else { vec![3_000] };
    }
    let gpu = Gpu::new(0).unwrap();
    let about = gpu.describe().unwrap();
    println!("{}, driver for CUDA {}; {:?}", about.name, about.driver, about.telemetry);
    let bandwidth = real.then(|| copy_bandwidth(&gpu));
    if let Some(bandwidth) = bandwidth {
        println!("Copy within the device: {:.0} GB/s.", bandwidth / 1e9);
    }
    points.into_iter().for_each(|points| measure(&gpu, &scene(points), bandwidth));
}

fn measure(gpu: &Gpu, scene: &Scene, bandwidth: Option<f64>) {
    let device = Device::Cuda(gpu.clone());
    let points = scene.cloud.len();
    let (mut cpu, mut wall) = ([0.0; 6], [0.0; 6]);
    let expected = run(&Device::Cpu, scene, &mut cpu, || ()).unwrap();
    let (answer, launches) = gpu.profile(|| run(&device, scene, &mut wall, || ())).unwrap();
    assert!(answer == expected, "{points} points: the answers differ");
    println!("\n## {points} points, {} superpoints\n", scene.superpoints.len());
    let Some(bandwidth) = bandwidth else {
        println!(
            "The answers are the CPU's. Emulated: no times.\n\n| kernel | launches | MB of its arrays | M exchanges |\n\
             |---|---|---|---|"
        );
        for (kernel, (count, bytes, _)) in by_kernel(&launches) {
            let exchanges = cuda_emulator::exchanges(&CString::new(kernel).unwrap()).unwrap_or(0);
            println!("| {kernel} | {count} | {:.2} | {:.2} |", bytes as f64 / 1e6, exchanges as f64 / 1e6);
        }
        return;
    };
    // Larger than any L2 cache: each stage begins with a cold one.
    let mut flush = gpu.alloc::<u32>(1 << 27).unwrap();
    let mut walls = [(); 6].map(|()| vec![]);
    let mut kernels: BTreeMap<_, (usize, usize, Vec<f64>)> = BTreeMap::new();
    for _ in 0..runs() {
        // The device has something to do while the host asks for a stage's kernels, so that none are timed with their launches
        // but those that follow a wait of the host's.
        let busy = || (0..CLEARS).for_each(|_| gpu.clear(&mut flush).unwrap());
        let (_, launches) = gpu.profile(|| run(&device, scene, &mut wall, busy)).unwrap();
        for (kernel, (count, bytes, milliseconds)) in by_kernel(&launches) {
            let all = kernels.entry(kernel).or_default();
            (all.0, all.1) = (count, bytes);
            all.2.push(milliseconds);
        }
        // Once more without events, for the stages.
        let flushed = || {
            gpu.clear(&mut flush).unwrap();
            gpu.synchronize().unwrap();
        };
        run(&device, scene, &mut wall, flushed).unwrap();
        walls.iter_mut().zip(wall).for_each(|(all, wall)| all.push(wall));
    }
    println!("| stage | CPU, ms | GPU, ms | ratio |\n|---|---|---|---|");
    for ((stage, cpu), wall) in STAGES.iter().zip(cpu).zip(walls) {
        let wall = median(wall);
        println!("| {stage} | {cpu:.2} | {wall:.3} | {:.0} |", cpu / wall);
    }
    println!("\n| kernel | launches | ms | MB of its arrays | GB/s | of a copy |\n|---|---|---|---|---|---|");
    for (kernel, (count, bytes, milliseconds)) in kernels {
        let milliseconds = median(milliseconds);
        let rate = bytes as f64 / milliseconds * 1e3;
        println!(
            "| {kernel} | {count} | {milliseconds:.4} | {:.2} | {:.0} | {:.0} % |",
            bytes as f64 / 1e6,
            rate / 1e9,
            100.0 * rate / bandwidth
        );
    }
}
