//! `partstad superpoints`: the over-segmentation alone.

use super::Global;
use clap::Args;
use partstad::{
    Device, Result,
    io::{ply, points::PointCloud},
    output::palette,
    stages::{
        cloud::Cloud,
        superpoints::{Features, Method, Options, Superpoints},
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
    /// Coloured point cloud: .ply, or .npy / .npz with columns x y z r g b
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
    #[arg(long, value_name = "X")]
    lambda: Option<f32>,
}

impl SuperpointsCommand {
    pub fn run(&self, global: &Global) -> Result<()> {
        let mut points = PointCloud::read(&self.cloud)?;
        let cloud = Cloud::new(&points)?;
        let usual = Options::default();
        let options = Options {
            method: self.method.unwrap_or(usual.method),
            features: self.features.unwrap_or(usual.features),
            lambda: self.lambda.unwrap_or(usual.lambda),
            ..usual
        };
        let start = Instant::now();
        let superpoints = Superpoints::partition(&Device::Cpu, &cloud, &options)?;
        let seconds = start.elapsed().as_secs_f64();
        superpoints.save(&self.out)?;
        if let Some(path) = &self.ply {
            points.colors = superpoints
                .of_point
                .iter()
                .map(|&s| palette::scattered(s).map(|c| c as f32 / 255.0))
                .collect();
            let column: Vec<i32> = superpoints.of_point.iter().map(|&s| s as i32).collect();
            ply::write(path, &points, &[("superpoint", &column)])?;
        }
        let (s, n) = (superpoints.len(), cloud.len());
        global.report(
            json!({ "out": self.out, "ply": self.ply, "points": n, "superpoints": s, "seconds": seconds }),
            &format!("{s} superpoints of {n} points in {} ({seconds:.1} s)", self.out.display()),
        )
    }
}
