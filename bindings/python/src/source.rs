//! What is segmented: arrays of points and colours, a mesh, or a file of either.

use crate::{
    arrays::{Numbers, array},
    error::invalid,
    mesh::Mesh,
    work,
};
use numpy::ndarray::Ix2;
use partstad::{
    Device, Parts, Result,
    input::Input,
    io::{
        meshes,
        points::{ColorUnit, PointCloud},
    },
    pipeline::Options,
};
use pyo3::{exceptions::PyUserWarning, prelude::*, types::PyString};
use std::{
    ffi::CString,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the caller gave, copied while the interpreter held still.
pub enum Source {
    Arrays { positions: Vec<[f64; 3]>, colors: Vec<[f32; 3]>, unit: ColorUnit },
    Mesh(Arc<meshes::Mesh>),
    File(PathBuf),
}

impl Source {
    /// From the arguments `points` and `colors` of every function.
    pub fn of(points: &Bound<PyAny>, colors: Option<&Bound<PyAny>>, device: &Device) -> PyResult<Source> {
        let py = points.py();
        let whole = if let Ok(mesh) = points.cast::<Mesh>() {
            Some(Source::Mesh(mesh.get().mesh()))
        } else if points.is_instance_of::<PyString>() || points.hasattr("__fspath__")? {
            Some(Source::File(points.extract()?))
        } else {
            None
        };
        if let Some(whole) = whole {
            return match colors {
                None => Ok(whole),
                Some(_) => Err(invalid(py, "a mesh or a file has colours of its own; leave colors out")),
            };
        }
        let positions = Numbers::of(points, "points", device)?.rows("[N, 3], x y z of every point")?;
        let Some(colors) = colors else {
            return Ok(Source::Arrays { positions, colors: vec![], unit: ColorUnit::Guess });
        };
        let colors = Numbers::of(colors, "colors", device)?;
        let unit = colors.color_unit();
        let colors: Vec<[f32; 3]> = colors.rows("[N, 3], red green blue of every point")?;
        if colors.len() != positions.len() {
            let (n, colors) = (positions.len(), colors.len());
            return Err(invalid(
                py,
                format!("there are {n} points but {colors} colors; give one for every point"),
            ));
        }
        Ok(Source::Arrays { positions, colors, unit })
    }

    /// What results call it: its name, or a file's.
    pub fn title(&self, name: Option<String>) -> String {
        match (name, self) {
            (Some(name), _) => name,
            (None, Source::File(path)) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
            (None, Source::Mesh(_)) => "mesh".into(),
            (None, Source::Arrays { .. }) => "cloud".into(),
        }
    }

    /// The cloud that the stages take.
    pub fn input(self, device: &Device, options: &Options) -> Result<Input> {
        match self {
            Source::File(path) => Input::read(&path, device, options),
            Source::Mesh(mesh) => {
                Input::of_mesh(Path::new("mesh"), Arc::unwrap_or_clone(mesh), device, options)
            }
            Source::Arrays { positions, colors, unit } => {
                options.check_memory(device, positions.len(), 0)?;
                let colored = !colors.is_empty();
                let points = PointCloud::new(positions, colors, unit)?;
                let uncolored =
                    (!colored).then(|| "no colors are given; give red green blue of every point".into());
                let points = PointCloud { uncolored, ..points };
                Input::fit(points, options)
            }
        }
    }
}

/// The names of the parts: strings, or one with commas between them.
pub fn parts(given: Option<&Bound<PyAny>>, py: Python) -> PyResult<Parts> {
    let names: Vec<String> = match given {
        None => vec![],
        Some(text) if text.is_instance_of::<PyString>() => {
            let listed = Parts::listed(&text.extract::<String>()?);
            return listed.map_err(|error| crate::error::exception(py, error));
        }
        Some(names) => {
            let wrong = |e: PyErr| {
                invalid(py, format!("parts must be names, such as [\"leg\", \"seat\"]: {}", e.value(py)))
            };
            names
                .try_iter()
                .map_err(wrong)?
                .map(|name| name?.extract::<String>())
                .collect::<PyResult<_>>()
                .map_err(wrong)?
        }
    };
    Parts::new(names).map_err(|error| crate::error::exception(py, error))
}

/// read(path)
/// --
///
/// Reads a point cloud from a file: `.ply`, `.pcd`, `.las`, `.laz`, `.e57`, `.npy`, `.npz` or text.
///
/// Returns `(points, colors)`: float64 `[N, 3]`, x y z in the file's unit; float32 `[N, 3]`, red green blue in [0, 1],
/// or None if the file has none. What the reader noticed is a `UserWarning`. Meshes are read by `Mesh.read`.
#[pyfunction]
pub fn read<'py>(py: Python<'py>, path: PathBuf) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let cloud = work::run(py, None, move |_| PointCloud::read(&path))?;
    warn(py, &cloud.warnings)?;
    let (n, colored) = (cloud.len(), !cloud.colors.is_empty());
    let points = array(py, Ix2(n, 3), cloud.positions.into_flattened())?;
    let colors = colored.then(|| array(py, Ix2(n, 3), cloud.colors.into_flattened())).transpose()?;
    Ok((points, colors))
}

/// Each as a `UserWarning`.
pub fn warn(py: Python, warnings: &[String]) -> PyResult<()> {
    let one = |warning: &String| {
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &CString::new(warning.replace('\0', " "))?, 1)
    };
    warnings.iter().try_for_each(one)
}

/// The names as results have them: trimmed, in lower case.
#[pyfunction]
pub fn part_names(py: Python, given: &Bound<PyAny>) -> PyResult<Vec<String>> {
    Ok(parts(Some(given), py)?.to_vec())
}
