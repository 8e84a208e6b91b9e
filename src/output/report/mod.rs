//! `report.html`: a segmentation to look at, in one file that needs no network.

use crate::{
    error::Result,
    io::{png, staged},
    ops::lift::{labels::THRESHOLD, vote::MIN_NULL},
    output::palette,
    segmentation::Segmentation,
    stages::{boxes::Box2d, cloud::Cloud, labels::SMALL_PARTS, masks::Masks},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// More points than this are thinned out for the report's 3D view.
const POINT_LIMIT: usize = 400_000;
/// Of a mesh of more triangles than this the report shows the points alone.
#[cfg(feature = "meshes")]
const FACE_LIMIT: usize = 250_000;
/// Masks are drawn on a grid of about this many cells a side.
const MASK_SIDE: usize = 400;

/// What a report shows.
#[derive(Clone, Copy)]
pub struct Report<'a> {
    /// What was segmented: the cloud's file name.
    pub title: &'a str,
    /// The points, `[N]`.
    pub cloud: &'a Cloud,
    /// What was found out about them.
    pub found: &'a Segmentation,
    /// What else is worth knowing about the run: shown as a table, nested objects as sub-tables.
    pub parameters: &'a Value,
    /// What the reader must know before believing anything; shown on top.
    pub warnings: &'a [String],
}

impl Report<'_> {
    /// Writes the page.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the file cannot be written, [`Error::Device`](crate::Error::Device) if pictures lie
    /// on a device that failed.
    pub fn write(&self, path: &Path) -> Result<()> {
        self.write_with(path, Value::Null)
    }

    /// Writes the page with the faces of a mesh, as [`faces`] makes them.
    pub(super) fn write_with(&self, path: &Path, mesh: Value) -> Result<()> {
        staged::write_all(path, self.html_with(mesh)?.as_bytes())
    }

    /// The page itself.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if pictures lie on a device that failed.
    pub fn html(&self) -> Result<String> {
        self.html_with(Value::Null)
    }

    fn html_with(&self, mesh: Value) -> Result<String> {
        let mut data = self.data()?;
        data["mesh"] = mesh;
        // `</script>` must not occur inside the script; in JSON `<` only occurs inside strings.
        let data = data.to_string().replace('<', "\\u003c");
        Ok(include_str!("page.html")
            .replace("{{style}}", include_str!("style.css"))
            .replace("{{scene}}", include_str!("scene.js"))
            .replace("{{page}}", include_str!("page.js"))
            .replacen("{{data}}", &data, 1))
    }

    fn data(&self) -> Result<Value> {
        let parts: Vec<Value> = (0..)
            .zip(self.found.summary()?)
            .map(|(j, part)| {
                let mut part = json!(part);
                part["color"] = json!(palette::color(j));
                part
            })
            .collect();
        let side = self.found.views.side;
        let views: Vec<Value> = (0..self.found.views.len())
            .into_par_iter()
            .map(|k| {
                let pose = &self.found.views.cameras[k].pose;
                let image = STANDARD.encode(png::encode_rgb(self.found.views.image(k)?, side, side));
                Ok(json!({ "elevation": pose.elevation, "azimuth": pose.azimuth, "image": image }))
            })
            .collect::<Result<_>>()?;
        let (list, weights) = (self.found.boxes.list()?, self.found.weights.boxes.host()?);
        let ignored = self.found.memberships.ignored()?;
        let shown = |b: &Box2d| json!({ "view": b.view, "part": b.label, "bbox": b.bbox, "score": b.score });
        let boxes: Vec<Value> = (0..list.len())
            .into_par_iter()
            .map(|b| {
                let mut found = shown(&list[b]);
                found["mask"] = json!(self.mask(b)?);
                found["votes"] = json!(weights[b] > 0.0 && !ignored.contains(&(b as u32)));
                Ok(found)
            })
            .collect::<Result<_>>()?;
        let weak: Vec<Value> = self.found.boxes.weak()?.iter().map(shown).collect();
        Ok(json!({
            "title": self.title,
            "none": palette::NONE,
            "parts": parts,
            "side": side,
            "maskSide": side.div_ceil(self.mask_step()),
            "views": views,
            "boxes": boxes,
            "weak": weak,
            "threshold": self.found.boxes.detected.as_ref().map(|detected| detected.threshold),
            "points": self.points(),
            "votes": self.votes()?,
            "count": self.cloud.len(),
            "superpoints": self.found.superpoints.len(),
            "instances": self.found.instances.list,
            "seconds": self.found.seconds,
            "parameters": self.parameters,
            "warnings": self.warnings,
        }))
    }

    fn mask_step(&self) -> usize {
        self.found.views.side.div_ceil(MASK_SIDE)
    }

    /// Lengths of the alternating runs of unset and set cells, row by row; none where the box is its own mask.
    fn mask(&self, b: usize) -> Result<Option<Vec<u32>>> {
        if self.found.masks == Masks::Boxes {
            return Ok(None);
        }
        let (side, step) = (self.found.views.side, self.mask_step());
        let full = self.found.masks.full(&self.found.boxes, b, side)?;
        let cells = (0..side).step_by(step).flat_map(|y| (0..side).step_by(step).map(move |x| y * side + x));
        let (mut runs, mut run, mut set) = (vec![], 0, 0);
        for cell in cells {
            if full[cell] != set {
                set = full[cell];
                runs.push(std::mem::take(&mut run));
            }
            run += 1;
        }
        runs.push(run);
        Ok(Some(runs))
    }

    /// What labels follow from, so that the page can make others.
    fn votes(&self) -> Result<Value> {
        let Segmentation { superpoints, scores, weights, labels, parts, .. } = self.found;
        let of_point: Vec<u8> = self.shown().flat_map(|i| superpoints.of_point[i].to_le_bytes()).collect();
        let rows: Vec<u8> = scores.votes.host()?.iter().flat_map(|vote| vote.to_le_bytes()).collect();
        Ok(json!({
            "rule": labels.rule,
            "threshold": THRESHOLD,
            "null": f64::from(weights.null).max(MIN_NULL),
            "small": parts.iter().map(|name| SMALL_PARTS.contains(&&name[..])).collect::<Vec<_>>(),
            "superpoints": STANDARD.encode(of_point),
            "rows": STANDARD.encode(rows),
            "valid": STANDARD.encode(scores.valid.host()?),
        }))
    }

    /// The points of the 3D view.
    fn shown(&self) -> impl Iterator<Item = usize> {
        (0..self.cloud.len()).step_by(self.cloud.len().div_ceil(POINT_LIMIT).max(1))
    }

    fn points(&self) -> Value {
        let shown: Vec<usize> = self.shown().collect();
        let positions: Vec<u8> =
            shown.iter().flat_map(|&i| self.cloud.positions[i]).flat_map(quantized).collect();
        let colors = |color: &dyn Fn(usize) -> [u8; 3]| {
            STANDARD.encode(shown.iter().flat_map(|&i| color(i)).collect::<Vec<u8>>())
        };
        let labels: Vec<u8> =
            shown.iter().flat_map(|&i| (self.found.labels.of_point[i] as i16).to_le_bytes()).collect();
        json!({
            "shown": shown.len(),
            "positions": STANDARD.encode(positions),
            "labels": STANDARD.encode(labels),
            "colors": [
                ["Parts", colors(&|i| palette::color(self.found.labels.of_point[i]))],
                ["Instances", colors(&|i| palette::color(self.found.instances.of_point[i]))],
                ["Superpoints", colors(&|i| palette::scattered(self.found.superpoints.of_point[i]))],
                ["Input", colors(&|i| self.cloud.colors[i].map(|c| (c * 255.0).round() as u8))],
            ],
        })
    }
}

/// A number in [-1, 1] as 16 bits.
fn quantized(x: f32) -> [u8; 2] {
    (((x.clamp(-1.0, 1.0) + 1.0) / 2.0 * 65535.0).round() as u16).to_le_bytes()
}

/// Triangles for the 3D view; none if they are too many. `corners`: in cloud radii; `labels`, `instances`: of each.
#[cfg(feature = "meshes")]
pub(super) fn faces(corners: &[[[f32; 3]; 3]], labels: &[i32], instances: &[i32]) -> Value {
    if corners.len() > FACE_LIMIT {
        return Value::Null;
    }
    let positions: Vec<u8> =
        corners.as_flattened().as_flattened().iter().copied().flat_map(quantized).collect();
    let colors =
        |of: &[i32]| STANDARD.encode(of.iter().flat_map(|&i| palette::color(i)).collect::<Vec<u8>>());
    let wide: Vec<u8> = labels.iter().flat_map(|&label| (label as i16).to_le_bytes()).collect();
    json!({
        "shown": corners.len(),
        "positions": STANDARD.encode(positions),
        "labels": STANDARD.encode(wide),
        "colors": [["Parts", colors(labels)], ["Instances", colors(instances)]],
    })
}
