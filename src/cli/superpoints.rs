//! `partstad superpoints`: the over-segmentation alone.

use super::{
    Global, progress,
    run::{Drawing, Reading, check_is_one},
};
use clap::Args;
use partstad::{
    Device, Error, Result,
    input::Input,
    io::{path_text, ply, staged},
    output::palette,
    segmentation::counted,
    stages::{
        superpoints::{Features, Method, Options, Superpoints},
        views,
    },
};
use serde_json::json;
use std::{path::PathBuf, time::Instant};

/// Partition a cloud into superpoints
///
/// Neighbouring points of like normal and colour form one superpoint; the votes are counted on these.
#[derive(Args)]
#[command(after_help = "Example: partstad superpoints chair.ply -o sp.npy --ply sp.ply")]
pub struct SuperpointsCommand {
    /// Coloured point cloud or mesh: .ply, .pcd, .las, .laz, .e57, .npy, .npz, text (.xyz, .txt, .csv, .asc, .pts, .xyzrgb),
    /// .glb, .gltf, .obj, .stl
    cloud: PathBuf,
    /// Superpoint of every point: .npy, i32 [N]
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Also write the points in the colours of their superpoints
    #[arg(long, value_name = "FILE")]
    ply: Option<PathBuf>,
    /// How the points are parted: agglomeration, or cut-pursuit as the authors do it, which takes longer
    /// [default: agglomeration]
    #[arg(long, value_name = "NAME")]
    method: Option<Method>,
    /// What makes two points alike beside their colour: normals (as the authors take them), oriented, sign-free
    /// [default: sign-free]
    #[arg(long, value_name = "KIND")]
    features: Option<Features>,
    /// Weight of the borders: higher makes fewer superpoints [default: 0.12]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    lambda: Option<f32>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    drawing: Drawing,
}

impl SuperpointsCommand {
    pub fn run(&self, global: &Global) -> Result<()> {
        check_is_one(&self.cloud)?;
        let outputs: Vec<&PathBuf> = [&self.out].into_iter().chain(&self.ply).collect();
        staged::check_apart(&outputs, &[&self.cloud])?;
        let same = |a: &PathBuf| staged::place_of(a) == staged::place_of(&self.out);
        if self.ply.as_ref().is_some_and(same) {
            let message = format!("--ply and -o name the same file, {}", self.out.display());
            return Err(Error::invalid(message));
        }
        let read = self.reading.alone(views::Options { side: 1, ..views::Options::default() });
        let read = self.drawing.of(read);
        let Input { mut points, cloud, .. } = Input::read(&self.cloud, &Device::Cpu, &read)?;
        let usual = Options::default();
        let options = Options {
            method: self.method.unwrap_or(usual.method),
            features: self.features.unwrap_or(usual.features),
            lambda: self.lambda.unwrap_or(usual.lambda),
            ..usual
        };
        let start = Instant::now();
        let bar = progress::work("superpoints", "computing");
        let superpoints = Superpoints::partition(&Device::Cpu, &cloud, &options)?;
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        superpoints.save(&self.out, &cloud)?;
        for warning in &cloud.warnings {
            super::warn(warning);
        }
        if let Some(path) = &self.ply {
            let of_point: Vec<i32> = superpoints.of_point.iter().map(|&s| s as i32).collect();
            let column = &*cloud.to_rows(&of_point, -1);
            let color = |&s: &i32| u32::try_from(s).map_or(palette::NONE, palette::scattered);
            points.colors = column.iter().map(|s| color(s).map(|c| c as f32 / 255.0)).collect();
            ply::write(path, &points, &[("superpoint", column)])?;
        }
        let (s, n) = (superpoints.len(), cloud.len());
        global.report(
            json!({
                "out": path_text(&self.out), "ply": self.ply.as_ref().map(path_text), "points": n,
                "rows": cloud.input_len(), "superpoints": s, "seconds": seconds, "warnings": cloud.warnings,
                "options": { "cloud": read.cloud, "mesh": read.mesh, "superpoints": options },
            }),
            &format!(
                "{} of {} in {} ({seconds:.1} s)",
                counted(s, "superpoint", "superpoints"),
                counted(n, "point", "points"),
                self.out.display()
            ),
        )
    }
}
