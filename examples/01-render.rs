//! Renders a cloud from ten directions: `cargo run --release --example 01-render [CLOUD] [DIR]`

use partstad::{
    Device, Result,
    io::points::PointCloud,
    stages::{
        cloud::Cloud,
        views::{Options, Views},
    },
};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or("assets/demo.ply".into());
    let dir = args.next().unwrap_or("out/01-render".into());

    let cloud = Cloud::fit(&PointCloud::read(path.as_ref())?, &Default::default())?;
    let views = Views::render(&Device::Cpu, &cloud, &Options::default())?;
    views.save(dir.as_ref())?;

    for (k, camera) in views.cameras.iter().enumerate() {
        let covered = views.pixel_to_point(k)?.iter().filter(|&&point| point >= 0).count();
        let (elevation, azimuth) = (camera.pose.elevation, camera.pose.azimuth);
        println!("{dir}/{k}.png: elevation {elevation}, azimuth {azimuth}, {covered} pixels covered");
    }
    Ok(())
}
