//! What the host asks of the driver for a cloud, on the emulated driver: `testing/cuda-emulator/calls.txt` holds it.

use crate::{gpu, same};
use partstad::{
    Device, Observer, Parts, Pipeline, Predictions,
    observer::Stage,
    pipeline::Options,
    stages::{cloud::Cloud, views},
};
use procedural::{generate, predictions};
use std::{fmt::Write, fs, sync::Mutex};

/// Launches, allocations, values set, copies within the device, to it and from it, and waits.
const CALLS: [(&str, &[&std::ffi::CStr]); 7] = [
    ("launches", &[c"cuLaunchKernel", c"cuLaunchCooperativeKernel"]),
    ("allocations", &[c"cuMemAllocAsync"]),
    ("sets", &[c"cuMemsetD8Async", c"cuMemsetD32Async"]),
    ("within", &[c"cuMemcpyDtoDAsync"]),
    ("to", &[c"cuMemcpyHtoDAsync"]),
    ("from", &[c"cuMemcpyDtoHAsync"]),
    ("waits", &[c"cuStreamSynchronize", c"cuEventSynchronize"]),
];

type Counts = [u64; CALLS.len()];

fn counts() -> Option<Counts> {
    let mut counts = Counts::default();
    for (count, (_, names)) in counts.iter_mut().zip(CALLS) {
        for name in names {
            *count += cuda_emulator::called(name)?;
        }
    }
    Some(counts)
}

/// Counts at the beginning of every stage.
#[derive(Default)]
struct Begun(Mutex<Vec<(&'static str, Counts)>>);

impl Observer for Begun {
    fn begins(&self, stage: Stage) {
        self.0.lock().unwrap().push((stage.name(), counts().unwrap()));
    }
}

/// A procedural chair of 8,000 points in ten views, with boxes and masks: what its second run takes, when the
/// memory and the views' tables are there. A change shows here: with `BLESS=1` it is written down.
#[test]
fn calls_of_a_cloud() {
    let gpu = gpu();
    gpu.cache_memory(true);
    if counts().is_none() {
        println!("SKIPPED: a real driver does not count");
        return;
    }
    let shape = generate("Chair", 5, 8_000).unwrap();
    let cloud = Cloud::new(&shape.cloud).unwrap();
    let parts = Parts::new(shape.parts).unwrap();
    let mut options = Options::default();
    options.views.side = 200;
    let views = views::Views::render(&Device::Cpu, &cloud, &options.views).unwrap();
    let (boxes, masks) =
        predictions::predict(&views, &shape.semantic, &shape.instance, parts.len(), 1, &Default::default());
    let lift = |pipeline: &Pipeline, observer: &dyn Observer| {
        let (boxes, masks) = (boxes.clone(), masks.clone());
        let predictions = Predictions { boxes, masks, superpoints: None, weights: None };
        pipeline.lift(&cloud, &parts, predictions, observer).unwrap()
    };
    let expected = lift(&Pipeline::new(Device::Cpu, options.clone()), &());
    let pipeline = Pipeline::new(Device::Cuda(gpu), options);
    lift(&pipeline, &());
    let begun = Begun::default();
    let found = lift(&pipeline, &begun);
    same(&found.labels.of_point, &expected.labels.of_point, "labels");
    same(&found.instances.of_point, &expected.instances.of_point, "instances");
    let mut begun = begun.0.into_inner().unwrap();
    begun.push(("end", counts().unwrap()));
    let mut table = String::from("stage");
    CALLS.iter().for_each(|(name, _)| write!(table, " {name}").unwrap());
    let mut row = |name: &str, of: &mut dyn FnMut(usize) -> u64| {
        write!(table, "\n{name}").unwrap();
        (0..CALLS.len()).for_each(|i| write!(table, " {}", of(i)).unwrap());
    };
    for stage in begun.windows(2) {
        row(stage[0].0, &mut |i| stage[1].1[i] - stage[0].1[i]);
    }
    row("all", &mut |i| begun.last().unwrap().1[i] - begun[0].1[i]);
    table.push('\n');
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/testing/cuda-emulator/calls.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(file).unwrap(), "{file}: look whether it is better, then BLESS=1");
}
