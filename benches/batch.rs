//! A batch beside one cloud after the other, with models of fixed cost: they take their time on a device of their own, one
//! cloud at a time, and everything else is real. The batch should take little more than the models do.

use partstad::{
    Device, Observer, Parts, Pipeline, Predictions, Result, Segmentation,
    batch::{Batch, Segmenter, Shape, Write, flow},
    io::{points::PointCloud, walk},
    pipeline::Options,
    stages::{cloud::Cloud, views::Views},
};
use procedural::{
    clouds,
    predictions::{self, predict},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

const CLOUDS: usize = 24;
const POINTS: usize = 20_000;
/// What the models take for a cloud.
const COST: Duration = Duration::from_millis(400);

/// A pipeline that is given what the models find once they have taken their time.
struct FixedCost<'a> {
    pipeline: Pipeline,
    found: &'a BTreeMap<String, Predictions>,
    device: &'a Mutex<()>,
}

impl Segmenter for FixedCost<'_> {
    fn segment(&self, shape: &Shape, cloud: &Cloud, observer: &dyn Observer) -> Result<Segmentation> {
        {
            let _busy = self.device.lock();
            thread::sleep(COST);
        }
        self.pipeline.lift(
            cloud,
            shape.parts()?.expect("every shape has names"),
            self.found[&shape.id].clone(),
            observer,
        )
    }

    fn options<'a>(&'a self, _: &'a Shape) -> &'a Options {
        self.pipeline.options()
    }

    fn device(&self) -> &Device {
        self.pipeline.device()
    }

    fn made_from(&self) -> Value {
        Value::Null
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let (shapes, found) = scenes(dir.path());
    let options = Options::default();
    let busy = Mutex::new(());
    let pipeline = Pipeline::new(Device::Cpu, options);
    let worker = || FixedCost { pipeline: pipeline.clone(), found: &found, device: &busy };
    let workers = [worker(), worker()];
    let run = |name: &str, count: usize, ahead: bool| {
        let workers: Vec<&dyn Segmenter> = workers[..count].iter().map(|w| w as &dyn Segmenter).collect();
        let out = dir.path().join(name);
        let begun = Instant::now();
        if ahead {
            let batch =
                Batch::begin(&workers, &out, "journal.jsonl", Write::Labels, Value::Null, &()).unwrap();
            let flow = flow::Options { readers: 2, writers: 2, ..flow::Options::default() };
            assert_eq!(batch.run(&shapes, &flow).unwrap().done, CLOUDS);
        } else {
            // One cloud after the other.
            let batch =
                Batch::begin(&workers, &out, "journal.jsonl", Write::Labels, Value::Null, &()).unwrap();
            for shape in shapes.chunks(1) {
                assert_eq!(batch.run(shape, &flow::Options::default()).unwrap().done, 1);
            }
        }
        begun.elapsed().as_secs_f64()
    };
    let models = COST.as_secs_f64() * CLOUDS as f64;
    println!("{CLOUDS} clouds of {POINTS} points; the models alone take {models:.2} s");
    let alone = run("alone", 1, false);
    println!("one after the other        {alone:6.2} s, {:.2} times the models", alone / models);
    for workers in [1, 2] {
        let seconds = run(&format!("batch-{workers}"), workers, true);
        println!(
            "batch, {workers} at the same time  {seconds:6.2} s, {:.2} times the models",
            seconds / models
        );
        let read = |out: &str, file: &Path| fs::read(dir.path().join(out).join(file)).unwrap();
        for file in walk::files(&dir.path().join("alone")).unwrap() {
            if file.extension().is_some_and(|extension| extension == "npz") {
                assert!(
                    read("alone", &file) == read(&format!("batch-{workers}"), &file),
                    "{}",
                    file.display()
                );
            }
        }
    }
    println!("the same bytes all three times");
}

/// Clouds on disk, and what models find in them.
fn scenes(dir: &Path) -> (Vec<Shape>, BTreeMap<String, Predictions>) {
    let (mut shapes, mut found) = (vec![], BTreeMap::new());
    for i in 0..CLOUDS {
        let shape = procedural::generate("Chair", 1_000_300 + i as u64, POINTS).unwrap();
        let path = dir.join(format!("{i}.ply"));
        clouds::write_ply(&path, &shape).unwrap();
        let cloud = Cloud::new(&PointCloud::read(&path).unwrap()).unwrap();
        let views = Views::render(&Device::Cpu, &cloud, &Default::default()).unwrap();
        let parts = Parts::new(shape.parts).unwrap();
        let how = predictions::Options::perfect();
        let (boxes, masks) = predict(&views, &shape.semantic, &shape.instance, parts.len(), 0, &how);
        let id = i.to_string();
        found.insert(id.clone(), Predictions { masks, ..Predictions::new(boxes) });
        shapes.push(Shape { id, cloud: path, parts: Ok(Some(parts)), weights: None, options: None });
    }
    (shapes, found)
}
