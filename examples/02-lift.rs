//! Lifts 2D predictions of any detector to a cloud: `cargo run --release --example 02-lift [CLOUD BOXES PARTS]`
//!
//! Without arguments: a synthetic chair and the boxes that come with it in the tests.

use partstad::{
    Device, Parts, Pipeline, Predictions, Result,
    io::points::PointCloud,
    pipeline::Options,
    stages::{boxes::Boxes, cloud::Cloud},
};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = "tests/fixtures/syn8k_d";
    let default =
        [format!("{folder}/pc.ply"), format!("{folder}/pred.json"), "arm,back,leg,seat,wheel".into()];
    let [path, boxes, parts] = args.try_into().unwrap_or(default);
    let parts = Parts::new(parts.split(','))?;

    let options = Options::default();
    let cloud = Cloud::fit(&PointCloud::read(path.as_ref())?, &options.cloud)?;
    let boxes = Boxes::read(boxes.as_ref(), options.views.poses.len(), parts.len())?;
    // Without masks the boxes themselves vote; `Masks::read` reads a segmenter's.
    let predictions = Predictions::new(boxes);
    let found = Pipeline::new(Device::Cpu, options).lift(&cloud, &parts, predictions, &())?;

    for (j, part) in parts.iter().enumerate() {
        let points = found.labels.of_point.iter().filter(|&&label| label == j as i32).count();
        println!("{part}: {points} points");
    }
    for instance in &found.instances.list {
        let part = &parts[instance.label as usize];
        println!("an instance of {part}: {} points, confidence {:.2}", instance.points, instance.confidence);
    }
    Ok(())
}
