//! `partstad render`: the views of a cloud.

use super::{
    Global, progress,
    run::{Drawing, Reading, check_is_one, views_options},
};
use clap::Args;
use partstad::{
    Device, Error, Result,
    input::Input,
    io::{path_text, ply, staged},
    segmentation::counted,
    stages::views::{Options, Views},
};
use serde_json::json;
use std::{fs, path::PathBuf};

/// Render a cloud from ten directions
///
/// Writes 0.png to 9.png, pixel_to_point.npy (i32 [10, 800, 800], the point each pixel shows, -1 = background),
/// screen.npy (f32 [10, N, 2], where every point falls, in pixels) and cameras.json; of a mesh also drawn-points.ply, the
/// points that were drawn on it.
#[derive(Args)]
#[command(after_help = "Example: partstad render chair.ply -o views")]
pub struct Render {
    /// Coloured point cloud or mesh: .ply, .pcd, .las, .laz, .e57, .npy, .npz, text (.xyz, .txt, .csv, .asc, .pts, .xyzrgb),
    /// .glb, .gltf, .obj, .stl
    cloud: PathBuf,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Cameras and image size instead of the usual ten: JSON like
    /// {"poses": [{"elevation": 10, "azimuth": 0, "distance": 2.2}], "side": 800, "radius": 0.005}
    #[arg(long, value_name = "FILE")]
    views: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    drawing: Drawing,
}

impl Render {
    pub fn run(&self, global: &Global) -> Result<()> {
        check_is_one(&self.cloud)?;
        let options =
            self.views.as_ref().map_or_else(|| Ok(Options::default()), |path| views_options(path))?;
        let inputs: Vec<&PathBuf> = [&self.cloud].into_iter().chain(&self.views).collect();
        let drawn = self.out.join("drawn-points.ply");
        let outputs = Views::files(&self.out, options.poses.len()).chain([drawn.clone()]);
        staged::check_apart(outputs, &inputs)?;
        let read = self.drawing.of(self.reading.alone(options.clone()));
        let Input { points, cloud, mesh } = Input::read(&self.cloud, &Device::Cpu, &read)?;
        let bar = progress::work("render", &format!("{} views", options.poses.len()));
        let views = Views::render(&Device::Cpu, &cloud, &options)?.of_rows(&cloud)?;
        bar.set_message("writing");
        views.save(&self.out)?;
        match mesh {
            Some(_) => ply::write(&drawn, &points, &[])?,
            // Of an earlier mesh.
            None if drawn.is_file() => fs::remove_file(&drawn).map_err(Error::io(&drawn))?,
            None => (),
        }
        bar.finish_and_clear();
        for warning in &cloud.warnings {
            super::warn(warning);
        }
        let (k, side) = (views.len(), views.side);
        global.report(
            json!({
                "out": path_text(&self.out), "points": cloud.len(), "rows": cloud.input_len(), "views": k, "side": side,
                "warnings": cloud.warnings, "options": { "cloud": read.cloud, "mesh": read.mesh, "views": options },
            }),
            &format!(
                "{} of {} in {}",
                counted(k, "view", "views"),
                counted(cloud.len(), "point", "points"),
                self.out.display()
            ),
        )
    }
}
