//! Segments a cloud into named parts: `cargo run --release --example 03-segment [CLOUD PARTS MODELS]`
//!
//! Without arguments: the demo's chair and the small models that ship with the crate.

use partstad::{
    Device, Parts, Pipeline, Result,
    io::points::PointCloud,
    models::{self, Models},
    output::{Output, report::Report},
    pipeline::Options,
    stages::cloud::Cloud,
};
use serde_json::json;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or("assets/demo.ply".into());
    let parts = args.next().unwrap_or("arm,back,leg,seat,wheel".into());
    let parts = Parts::new(parts.split(','))?;

    // Models and pipeline are made once and serve any number of clouds.
    let how = models::Options::default();
    let models = match args.next() {
        Some(folder) => Models::load(&Device::Cpu, folder.as_ref(), &how)?,
        None => Models::embedded(&Device::Cpu, &how)?,
    };
    let pipeline = Pipeline::new(Device::Cpu, Options::default()).with_models(models);

    let points = PointCloud::read(path.as_ref())?;
    let cloud = Cloud::fit(&points, &pipeline.options().cloud)?;
    let found = pipeline.segment(&cloud, &parts, &())?;
    for (stage, seconds) in &found.seconds {
        println!("{:12} {seconds:.3} s", stage.name());
    }
    let parameters = json!({ "options": pipeline.options() });
    let report =
        Report { title: &path, cloud: &cloud, found: &found, parameters: &parameters, warnings: &[] };
    Output { points: &points, surface: None, report }.write("out/03-segment".as_ref())?;
    println!("look at out/03-segment/report.html");
    Ok(())
}
