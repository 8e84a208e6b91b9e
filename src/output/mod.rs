//! The folder that a segmentation is written to.

pub mod palette;
mod parts;
pub mod report;
#[cfg(feature = "meshes")]
mod surface;

pub use self::parts::names;
#[cfg(feature = "meshes")]
pub use self::surface::Surface;

use self::{parts::Things, report::Report};
use crate::{
    error::Result,
    io::{
        npy, ply,
        points::PointCloud,
        staged::{self, Folder},
    },
    pipeline::Pipeline,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

const LAST: &str = "run.json";
/// What [`Output::write`] writes.
const FILES: [&str; 9] = [
    "labels.npy",
    "instances.npy",
    "superpoints.npy",
    "scores.npy",
    "boxes.json",
    "segmentation.ply",
    "parts.json",
    "report.html",
    LAST,
];
/// What it writes beside these of a mesh.
const OF_MESHES: [&str; 4] = ["faces.npy", "face-instances.npy", "segmentation-mesh.ply", "segmentation.glb"];

/// The files that [`Output::write`] puts into a folder.
pub fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    FILES.iter().chain(&OF_MESHES).map(move |name| dir.join(name))
}

/// What is always worth recording beside a result: versions, device, threads, options. `command`: what made it.
pub fn parameters(command: &str, pipeline: &Pipeline) -> Value {
    json!({
        "command": command,
        "partstad": env!("CARGO_PKG_VERSION"),
        "device": pipeline.device().to_string(),
        "gpu": pipeline.device().describe(),
        "threads": rayon::current_num_threads(),
        "options": pipeline.options(),
    })
}

/// Text between the tags of HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A segmentation and what is to be said about it.
pub struct Output<'a> {
    /// The points as the input file holds them.
    pub points: &'a PointCloud,
    /// Where these were drawn on a mesh: it.
    #[cfg(feature = "meshes")]
    pub surface: Option<Surface<'a>>,
    /// What was found, and how.
    pub report: Report<'a>,
}

impl Output<'_> {
    /// Writes into a folder, which is made if need be:
    /// - `labels.npy`, `instances.npy`, `superpoints.npy`: i32, of every row of the input, -1 = none;
    /// - `scores.npy`: f32 `[S, L + 1]`, softmax, column 0 = no part;
    /// - `boxes.json`: the boxes as a list of `{image_id, category_id (from 1), bbox [x, y, width, height], score}`;
    /// - `segmentation.ply`: the points in the colours of their parts, with properties `label` and `instance`;
    /// - `parts.json`: names, colours, counts of parts and instances, boxes of instances along the input's axes;
    /// - of a mesh: `faces.npy` and `face-instances.npy`, i32, of every face, -1 = none; `segmentation.glb`, a node for
    ///   every instance, materials and textures as they were; `segmentation-mesh.ply`, faces in the colours of their parts;
    /// - `run.json`: parts, instances, parameters, seconds per stage, warnings;
    /// - `report.html`: all of it to look at.
    ///
    /// They come together, `run.json` last.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be written, [`Error::Format`](crate::Error::Format) if another
    /// process writes there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        self.write_into(Folder::begin(dir)?).map(drop)
    }

    /// The same into a folder that was begun earlier, so that nobody else could; what `run.json` says.
    ///
    /// # Errors
    /// As [`Output::write`].
    pub fn write_into(&self, folder: Folder) -> Result<Value> {
        let (points, found) = (self.points, self.report.found);
        let dir = folder.path();
        let cloud = self.report.cloud;
        let labels = &*cloud.to_rows(&found.labels.of_point, -1);
        let instances = &*cloud.to_rows(&found.instances.of_point, -1);
        npy::write(&dir.join("labels.npy"), &[labels.len()], labels)?;
        npy::write(&dir.join("instances.npy"), &[instances.len()], instances)?;
        found.superpoints.save(&dir.join("superpoints.npy"), cloud)?;
        let shape = [found.scores.len(), found.scores.labels + 1];
        npy::write(&dir.join("scores.npy"), &shape, found.scores.probabilities.host()?)?;
        found.boxes.write(&dir.join("boxes.json"))?;
        let colors: Vec<[f32; 3]> =
            labels.iter().map(|&label| palette::color(label).map(|c| c as f32 / 255.0)).collect();
        let columns = [("label", labels), ("instance", instances)];
        ply::write_colored(&dir.join("segmentation.ply"), &points.positions, &colors, &columns)?;
        // Rows far off have the part of a point, but do not lie where it is.
        let places = |row: usize| if cloud.is_point(row) { vec![points.positions[row]] } else { vec![] };
        let rows = Things { labels, instances, places: &places };
        let plain = || [parts::parts(&self.report, &rows, None), Value::Null];
        #[cfg(feature = "meshes")]
        let [parts, shown] = match &self.surface {
            Some(surface) => surface.write(&self.report, &rows, dir)?,
            None => plain(),
        };
        #[cfg(not(feature = "meshes"))]
        let [parts, shown] = plain();
        staged::write_all(&dir.join("parts.json"), format!("{parts:#}\n").as_bytes())?;
        self.report.write_with(&dir.join("report.html"), shown)?;
        let run = self.run()?;
        staged::write_all(&dir.join(LAST), format!("{run:#}\n").as_bytes())?;
        // What an earlier run wrote of a mesh is not of this one.
        for name in OF_MESHES.iter().filter(|name| !dir.join(name).exists()) {
            _ = fs::remove_file(folder.place().join(name));
        }
        folder.finish(LAST)?;
        Ok(run)
    }

    /// What `run.json` says.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the boxes lie on a device that failed.
    pub fn run(&self) -> Result<Value> {
        let Report { title, cloud, found, parameters, warnings } = self.report;
        #[cfg(feature = "meshes")]
        let mesh = self.surface.map(|Surface { mesh, .. }| {
            json!({ "vertices": mesh.positions.len(), "faces": mesh.len(), "triangles": mesh.triangles.len() })
        });
        #[cfg(not(feature = "meshes"))]
        let mesh: Option<Value> = None;
        let seconds: serde_json::Map<String, Value> =
            found.seconds.iter().map(|(stage, s)| (stage.name().to_string(), json!(s))).collect();
        Ok(json!({
            "cloud": title,
            "mesh": mesh,
            "points": cloud.len(),
            "rows": cloud.input_len(),
            "superpoints": found.superpoints.len(),
            "views": found.views.len(),
            "boxes": found.boxes.len(),
            "voting": found.weights.boxes.host()?.iter().filter(|&&weight| weight > 0.0).count(),
            "null_weight": found.weights.null,
            "parts": found.summary()?,
            "instances": found.instances.list,
            "parameters": parameters,
            "seconds": seconds,
            "warnings": warnings,
        }))
    }
}
