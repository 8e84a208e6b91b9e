//! `partstad.Mesh`.

use crate::{
    arrays::array,
    error::{OrRaise, invalid},
    work::{self},
};
use numpy::ndarray::Ix2;
use partstad::{
    Device,
    io::meshes,
    mesh::{Options, Sampled},
    pipeline,
};
use pyo3::prelude::*;
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// A surface of vertices and faces, with its colours and textures.
///
/// `Pipeline.segment(mesh, parts=...)` takes it as it is. `sample` draws points for other uses.
#[pyclass(frozen, module = "partstad")]
pub struct Mesh {
    mesh: Arc<meshes::Mesh>,
    sampled: Mutex<Option<Arc<Sampled>>>,
}

impl Mesh {
    pub fn mesh(&self) -> Arc<meshes::Mesh> {
        self.mesh.clone()
    }

    /// What was drawn on it last.
    pub fn sampled(&self, py: Python) -> PyResult<Arc<Sampled>> {
        let last = self.sampled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.ok_or_else(|| {
            invalid(py, "no points were drawn on this mesh; segment the mesh, or points of mesh.sample()")
        })
    }
}

#[pymethods]
impl Mesh {
    /// read(path)
    /// --
    ///
    /// Reads a mesh from a `.glb`, `.gltf`, `.obj`, `.ply` or `.stl` file. Files that it names (materials, textures,
    /// buffers) must lie in its folder or below.
    #[staticmethod]
    fn read(py: Python, path: PathBuf) -> PyResult<Mesh> {
        let mesh = work::run(py, None, move |_| meshes::Mesh::read(&path))?;
        Ok(Mesh { mesh: Arc::new(mesh), sampled: Mutex::default() })
    }

    /// sample(points=None, seed=0, hidden=False)
    /// --
    ///
    /// Draws points evenly on the surface.
    ///
    /// `points`: how many; None takes 80,000, up to four times as many where these would leave holes in the views.
    /// `seed`: the same seed gives the same points. `hidden`: points also where no one sees them from outside.
    ///
    /// Returns `(points, colors)`: float64 `[N, 3]` in the file's unit; float32 `[N, 3]` in [0, 1].
    #[pyo3(signature = (points=None, seed=0, hidden=false))]
    fn sample<'py>(
        &self,
        py: Python<'py>,
        points: Option<usize>,
        seed: u64,
        hidden: bool,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (mesh, options) = (self.mesh(), Options { points, seed, hidden });
        pipeline::Options::default()
            .check_memory(&Device::Cpu, points.unwrap_or_default(), 0)
            .or_raise(py)?;
        let sampled = work::run(py, None, move |_| mesh.sample(&options))?;
        let (n, cloud) = (sampled.points.len(), &sampled.points);
        let places = array(py, Ix2(n, 3), cloud.positions.as_flattened().to_vec())?;
        let colors = array(py, Ix2(n, 3), cloud.colors.as_flattened().to_vec())?;
        *self.sampled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(sampled));
        Ok((places, colors))
    }

    /// x, y, z of every vertex in the file's unit, float64 `[V, 3]`.
    #[getter]
    fn vertices<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, Ix2(self.mesh.positions.len(), 3), self.mesh.positions.as_flattened().to_vec())
    }

    /// The faces as triangles: int32 `[T, 3]`, indices of vertices.
    #[getter]
    fn triangles<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let corners = self.mesh.triangles.as_flattened().iter().map(|&v| v as i32).collect();
        array(py, Ix2(self.mesh.triangles.len(), 3), corners)
    }

    /// The face that each triangle is of, int32 `[T]`.
    #[getter]
    fn face_of<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, self.mesh.face_of.len(), self.mesh.face_of.iter().map(|&face| face as i32).collect())
    }

    /// What the reader noticed, a list of strings.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.mesh.warnings.clone()
    }

    /// Number of faces, F.
    fn __len__(&self) -> usize {
        self.mesh.len()
    }

    fn __repr__(&self) -> String {
        format!("Mesh({} vertices, {} faces)", self.mesh.positions.len(), self.mesh.len())
    }
}
