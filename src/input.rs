//! What a file holds, ready to be segmented: a cloud, or a mesh and the points drawn on it.

use crate::{
    device::Device,
    error::{Error, Result},
    io::points::PointCloud,
    options::Options,
    stages::cloud::Cloud,
};
#[cfg(feature = "meshes")]
use crate::{io::meshes::Mesh, mesh::Sampled};
use std::path::Path;

/// A file's points as a cloud.
#[derive(Debug, Clone)]
pub struct Input {
    /// What the file holds, or what was drawn on its mesh.
    pub points: PointCloud,
    /// The same as the stages take it.
    pub cloud: Cloud,
    /// The mesh, and what was drawn on it.
    #[cfg(feature = "meshes")]
    pub mesh: Option<(Mesh, Sampled)>,
}

impl Input {
    /// Reads a cloud, or a mesh and draws points on it, that will find memory.
    ///
    /// # Errors
    /// Those of [`PointCloud::read`], of [`Mesh::read`] and [`Mesh::sample`], of [`Cloud::fit`], and of
    /// [`Options::check_memory`]; each names the file.
    pub fn read(path: &Path, device: &Device, options: &Options) -> Result<Input> {
        #[cfg(feature = "meshes")]
        if options.mesh.points != Some(0) && Mesh::is_in(path)? {
            return Input::of_mesh(path, Mesh::read(path)?, device, options);
        }
        let points = PointCloud::read(path)?;
        options.check_memory(device, points.len(), 0).map_err(|e| named(path, e))?;
        Input::new(path, points, options)
    }

    /// Draws points on a mesh that is at hand; `path` names it.
    ///
    /// # Errors
    /// As [`Input::read`].
    #[cfg(feature = "meshes")]
    pub fn of_mesh(path: &Path, mesh: Mesh, device: &Device, options: &Options) -> Result<Input> {
        let check = |points| options.check_memory(device, points, 0).map_err(|e| named(path, e));
        check(options.mesh.points.unwrap_or_default())?;
        let broken = |e: Error| Error::format(path, e.to_string());
        let sampled = mesh.sample(&options.mesh).map_err(broken)?;
        tracing::info!(mesh = %path.display(), faces = mesh.len(), points = sampled.points.len(), "sampled");
        check(sampled.points.len())?;
        let mut input = Input::new(path, sampled.points.clone(), options)?;
        if let Some(needed) = sampled.too_few_for(options.views.radius * input.cloud.radius) {
            input.cloud.warnings.push(format!(
                "The surface is so large that {} points leave holes in its views; {needed} would not (option \
                 mesh.points).",
                sampled.points.len()
            ));
        }
        Ok(Input { mesh: Some((mesh, sampled)), ..input })
    }

    /// A cloud that is at hand; `path` names it.
    ///
    /// # Errors
    /// Those of [`Cloud::fit`].
    pub fn new(path: &Path, points: PointCloud, options: &Options) -> Result<Input> {
        let fitted = Cloud::fit(&points, &options.cloud);
        let cloud = fitted.map_err(|e| Error::format(path, e.to_string()))?;
        tracing::info!(cloud = %path.display(), points = cloud.len(), "read");
        Ok(Input {
            points,
            cloud,
            #[cfg(feature = "meshes")]
            mesh: None,
        })
    }

    /// Whether a file may hold a cloud or a mesh, by its extension.
    pub fn is_readable(path: &Path) -> bool {
        #[cfg(feature = "meshes")]
        if Mesh::is_readable(path) {
            return true;
        }
        PointCloud::is_readable(path)
    }
}

/// Names the file that a lack of memory is of.
pub fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Memory(message) => Error::Memory(format!("{}: {message}", path.display())),
        other => other,
    }
}
