//! Cut pursuit of real clouds beside the published parallel one (PyPI's pycut-pursuit), on the same graphs, in turns:
//! `PARTSTAD_CLOUDS=clouds PYTHON=venv/bin/python cargo bench --bench cut_pursuit`.

use partstad::{
    io::npy,
    ops::partition::{
        cut_pursuit::{self, graph::Graph},
        edge_weights, knn, normals, point_features,
    },
    stages::{cloud::Cloud, superpoints},
    study::dataset::Dataset,
};
use procedural::{measure::Labelled, partitions::Change};
use std::{fs, path::Path, process::Command, time::Instant};

/// The objects of `val` that have their turn, and the points of each.
const CATEGORIES: [&str; 4] = ["Dishwasher", "Kettle", "Refrigerator", "StorageFurniture"];
const SIZES: [usize; 2] = [80_000, 300_000];
const REPETITIONS: usize = 5;

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let (clouds, python) = (variable("PARTSTAD_CLOUDS"), variable("PYTHON"));
    let dataset = Dataset::open(Path::new(&clouds)).unwrap();
    println!(
        "| cloud | points | threads | ours: s (CPU s) | energy | parts | theirs: s (CPU s) | energy | parts |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for category in CATEGORIES {
        let object = dataset.objects("val").unwrap().into_iter().find(|o| o.category == category).unwrap();
        let parts = dataset.parts[category].clone();
        let (points, truth) = object.read(parts.len()).unwrap();
        let shape = Labelled { category: category.to_owned(), parts, points, truth };
        for points in SIZES {
            let change = Change { points: Some(points), ..Change::default() };
            compare(&format!("{category} {}", object.id), &change.apply(shape.clone()).unwrap(), &python);
        }
    }
}

fn compare(name: &str, shape: &Labelled, python: &str) {
    let usual = superpoints::Options::default();
    let cloud = Cloud::new(&shape.points).unwrap();
    let knn::Neighbors { k, indices, distances } = knn::cpu::nearest(&cloud.positions, usual.neighbors);
    let normals = normals::cpu::estimate(&cloud.positions, usual.normal_radius, usual.normal_neighbors);
    let features = point_features::cpu::sign_free(&normals, &cloud.colors, usual.color_weight).unwrap();
    let weights = edge_weights::cpu::edge_weights(&features, &indices, &distances, k).unwrap();
    let graph = Graph::from_neighbors(&indices, &weights, cloud.len(), k).unwrap();
    let lambda = usual.lambda * (cloud.len() as f32 / usual.points.unwrap() as f32).sqrt();

    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, shape: &[usize], data: &[f32]| {
        npy::write(&folder.path().join(name), shape, data).unwrap();
    };
    write("features.npy", &[features.len(), 9], features.as_flattened());
    let arcs = &graph.arcs;
    let scaled: Vec<f32> = arcs.values().iter().map(|(_, weight)| 2.0 * lambda * weight).collect();
    let heads: Vec<u32> = arcs.values().iter().map(|&(head, _)| head).collect();
    write("weights.npy", &[scaled.len()], &scaled);
    npy::write(&folder.path().join("first.npy"), &[arcs.len() + 1], arcs.offsets()).unwrap();
    npy::write(&folder.path().join("heads.npy"), &[heads.len()], &heads).unwrap();

    let row = |labels: &[u32]| {
        let energy = cut_pursuit::energy(&graph, &features, labels, lambda);
        format!("{energy:.1} | {}", labels.iter().max().unwrap() + 1)
    };
    for threads in [1, 2] {
        let options = cut_pursuit::Options { lambda, ..Default::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (mut wall, mut cpu, mut labels) = (f64::INFINITY, f64::INFINITY, vec![]);
        for _ in 0..REPETITIONS {
            let (start, before) = (Instant::now(), cpu_seconds());
            labels = pool.install(|| cut_pursuit::cpu::partition(&graph, &features, &options).unwrap());
            wall = wall.min(start.elapsed().as_secs_f64());
            cpu = cpu.min(cpu_seconds() - before);
        }
        let ours = format!("{wall:.3} ({cpu:.3}) | {}", row(&labels));

        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/cut_pursuit.py")).arg(folder.path());
        let output = command.args([threads, REPETITIONS].map(|x| x.to_string())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seconds = String::from_utf8(output.stdout).unwrap();
        let seconds: Vec<f64> = seconds.split_whitespace().map(|x| x.parse().unwrap()).collect();
        let labels = npy::read::<i32>(&folder.path().join("labels.npy")).unwrap().data;
        let labels: Vec<u32> = labels.into_iter().map(|label| label as u32).collect();
        let theirs = format!("{:.3} ({:.3}) | {}", seconds[0], seconds[1], row(&labels));
        println!("| {name} | {} | {threads} | {ours} | {theirs} |", cloud.len());
    }
}

/// Of all threads of this process.
fn cpu_seconds() -> f64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let spent = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).unwrap();
    let nanoseconds =
        tasks.map(|task| spent(task.unwrap()).split(' ').next().unwrap().parse::<f64>().unwrap());
    nanoseconds.sum::<f64>() * 1e-9
}
