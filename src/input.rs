//! What a file holds, ready to be segmented: a cloud, or a mesh and the points drawn on it.

use crate::{
    device::Device,
    error::{Error, Result},
    io::points::PointCloud,
    options::Options,
    stages::cloud::Cloud,
};
#[cfg(feature = "cuda")]
use crate::{
    device::{
        download::Rows,
        gpu::{Buffer, Gpu},
        twin::Mirrored,
    },
    stages::cloud::Colors,
};
#[cfg(feature = "meshes")]
use crate::{
    io::{extension, meshes::Mesh},
    mesh::Sampled,
};
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
        #[cfg(feature = "meshes")]
        if extension(path) != "ply" && Mesh::is_in(path)? {
            return Err(Error::format(
                path,
                "is a mesh, of which points must be drawn: give option mesh.points more than 0 (0 takes the vertices of a .ply)",
            ));
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
        let input = Input::fit(points, options).map_err(|e| Error::format(path, e.to_string()))?;
        tracing::info!(cloud = %path.display(), points = input.cloud.len(), "read");
        Ok(input)
    }

    /// A cloud that is at hand and has no name.
    ///
    /// # Errors
    /// Those of [`Cloud::fit`].
    pub fn fit(points: PointCloud, options: &Options) -> Result<Input> {
        let cloud = Cloud::fit(&points, &options.cloud)?;
        Ok(Input {
            points,
            cloud,
            #[cfg(feature = "meshes")]
            mesh: None,
        })
    }

    /// A cloud in the memory of a device: `positions` and `colors` in [0, 1], `[N, 3]` each; greys need no colours. Both are
    /// fetched, because the frame is found on the host, as that of a file; the placed positions go back. Colours stay where
    /// they are, unless rows are left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths do not fit, and those of [`Cloud::fit`]; [`Error::Device`] if the device failed.
    #[cfg(feature = "cuda")]
    pub fn on_device(
        gpu: &Gpu,
        positions: &Buffer<f32>,
        colors: Option<&Buffer<f32>>,
        options: &Options,
    ) -> Result<Input> {
        let (n, rest) = (positions.len() / 3, positions.len() % 3);
        let painted = colors.map_or(0, |colors| colors.len());
        if rest > 0 || painted > 0 && painted != positions.len() {
            return Err(Error::invalid(format!(
                "{} values of positions and {painted} of colours; both must be [N, 3]",
                positions.len()
            )));
        }
        options.check_memory(&Device::Cuda(gpu.clone()), n, 0)?;
        let (here, shades) = gpu.download_all((Rows::<_, [f32; 3]>::of(positions), colors.map(Rows::of)))?;
        let points = PointCloud {
            positions: here.iter().map(|p| p.map(f64::from)).collect(),
            colors: shades.unwrap_or_default(),
            ..PointCloud::default()
        };
        let mut input = Input::fit(points, options)?;
        let cloud = &mut input.cloud;
        if let (Some(colors), None, Colors::File) = (colors, &cloud.rows, cloud.options.colors) {
            let mut there = gpu.alloc(colors.len())?;
            gpu.copy(colors, &mut there)?;
            cloud.colors = Mirrored::on_both(cloud.colors.to_vec(), gpu, there);
        }
        Ok(input)
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

/// Names the file whose cloud an error is of. Errors of reading and writing already name theirs.
pub fn named(path: &Path, error: Error) -> Error {
    let name = |message: String| format!("{}: {message}", path.display());
    match error {
        Error::Memory(message) => Error::Memory(name(message)),
        Error::Model(message) => Error::Model(name(message)),
        Error::Device(message) => Error::Device(name(message)),
        other => other,
    }
}
