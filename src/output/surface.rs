//! The files of a mesh that was segmented.

use super::{
    palette,
    parts::{self, Things},
    report::{self, Report},
};
use crate::{
    error::{Error, Result},
    input::Input,
    io::{
        meshes::{
            Mesh,
            glb::{Group, Scene},
            ply,
        },
        npy,
    },
    mesh::{Faces, Sampled},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path};

/// A mesh, and the points on it that were segmented.
#[derive(Clone, Copy)]
pub struct Surface<'a> {
    /// The mesh as the input file holds it.
    pub mesh: &'a Mesh,
    /// What was drawn on it.
    pub sampled: &'a Sampled,
}

impl Surface<'_> {
    /// That of an input, if it has one.
    pub fn of(input: &Input) -> Option<Surface<'_>> {
        input.mesh.as_ref().map(|(mesh, sampled)| Surface { mesh, sampled })
    }

    /// Writes `faces.npy`, `face-instances.npy`, `segmentation-mesh.ply` and `segmentation.glb`; what `parts.json` says, and
    /// what the report shows.
    pub(super) fn write(&self, report: &Report, rows: &Things, dir: &Path) -> Result<[Value; 2]> {
        let mesh = self.mesh;
        let faces = report.found.faces(mesh, self.sampled, report.cloud)?;
        let Faces { labels, instances } = &faces;
        npy::write(&dir.join("faces.npy"), &[labels.len()], labels)?;
        npy::write(&dir.join("face-instances.npy"), &[instances.len()], instances)?;
        let colors: Vec<[u8; 3]> = labels.iter().map(|&label| palette::color(label)).collect();
        let columns = [("label", &labels[..]), ("instance", &instances[..])];
        ply::write(&dir.join("segmentation-mesh.ply"), mesh, &colors, &columns)?;
        let up = report.cloud.options.up;
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| up.turn(axis));
        let scene = Scene { name: report.title, mesh, groups: groups(report, &faces), axes };
        let path = dir.join("segmentation.glb");
        scene.write(&path).map_err(|e| match e {
            Error::Invalid(message) => Error::format(&path, message),
            other => other,
        })?;
        let near = self.near(report);
        let places = |face: usize| match &near {
            Some(near) if !near[face] => vec![],
            _ => mesh.faces.row(face).iter().map(|&v| mesh.positions[v as usize]).collect(),
        };
        let said = parts::parts(report, rows, Some(&Things { labels, instances, places: &places }));
        let corners: Vec<[[f32; 3]; 3]> =
            (0..mesh.triangles.len()).map(|t| mesh.corners(t).map(|p| report.cloud.place(p))).collect();
        let of_triangles =
            |of: &[i32]| -> Vec<i32> { mesh.face_of.iter().map(|&face| of[face as usize]).collect() };
        let shown = report::faces(&corners, &of_triangles(labels), &of_triangles(instances));
        Ok([said, shown])
    }

    /// Whether a face lies where the cloud does, `[F]`: some point of it is one of the cloud, or it has none and its
    /// corners lie in the cloud's sphere. None if every row is a point of the cloud.
    fn near(&self, report: &Report) -> Option<Vec<bool>> {
        let Surface { mesh, sampled, .. } = self;
        report.cloud.rows.as_ref()?;
        let mut near: Vec<Option<bool>> = vec![None; mesh.len()];
        for (row, &triangle) in sampled.triangles.iter().enumerate() {
            let near = &mut near[mesh.face_of[triangle as usize] as usize];
            *near = Some(near.unwrap_or(false) || report.cloud.is_point(row));
        }
        let inside = |face: usize| {
            let mut corners =
                mesh.faces.row(face).iter().map(|&v| report.cloud.place(mesh.positions[v as usize]));
            corners.all(|p| p.iter().map(|x| x * x).sum::<f32>() <= 1.01)
        };
        let known = near.into_iter().enumerate();
        Some(known.map(|(face, near)| near.unwrap_or_else(|| inside(face))).collect())
    }
}

/// A node for each instance, for what else is of a part, and for what is of none.
fn groups(report: &Report, faces: &Faces) -> Vec<Group> {
    let found = report.found;
    let names = parts::names(found);
    let mut by_kind: BTreeMap<(i32, i32), Vec<u32>> = BTreeMap::new();
    for (face, (&label, &instance)) in faces.labels.iter().zip(&faces.instances).enumerate() {
        // Parts in their order, none at the end; of a part what is of no instance at the end.
        let last = |index: i32| if index < 0 { i32::MAX } else { index };
        by_kind.entry((last(label), last(instance))).or_default().push(face as u32);
    }
    let group = |((label, instance), faces): ((i32, i32), Vec<u32>)| {
        let part = usize::try_from(label).ok().and_then(|j| Some((j, found.parts.get(j)?)));
        let of_instance = usize::try_from(instance).ok().and_then(|i| Some((i, names.get(i)?)));
        let (name, extras) = match (part, of_instance) {
            (Some((j, part)), Some((i, name))) => (
                name.clone(),
                json!({ "part": part, "label": j, "instance": i, "color": palette::color(i as i32) }),
            ),
            (Some((j, part)), None) => (
                format!("{part}, no instance"),
                json!({ "part": part, "label": j, "instance": -1, "color": palette::color(j as i32) }),
            ),
            (None, _) => ("no part".into(), json!({ "label": -1, "instance": -1, "color": palette::NONE })),
        };
        Group { name, faces, extras }
    };
    by_kind.into_iter().map(group).collect()
}
