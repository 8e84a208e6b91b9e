//! `partstad.Segmentation`, and views as Python has them.

use crate::{
    arrays::array,
    error::{OrRaise, exception, invalid},
    mesh::Mesh,
    options, predictions,
    work::{self, Kept},
};
use numpy::ndarray::{Ix2, Ix3, Ix4};
use partstad::{
    input::Input,
    io::png,
    output::{Output, Surface, palette, report::Report},
    segmentation,
    stages::views::Views,
};
use pyo3::{prelude::*, sync::PyOnceLock, types::PyDict};
use serde_json::Value;
use std::{borrow::Cow, path::PathBuf, sync::Arc};

/// A report of more characters is not put into a notebook.
const NOTEBOOK: usize = 16 << 20;

/// A segmentation with all that its report says.
struct Found {
    input: Input,
    found: segmentation::Segmentation,
    title: String,
    parameters: Value,
    warnings: Vec<String>,
}

impl Found {
    fn report(&self) -> Report<'_> {
        let Found { input, found, title, parameters, warnings } = self;
        Report { title, cloud: &input.cloud, found, parameters, warnings }
    }

    fn output(&self) -> Output<'_> {
        Output { points: &self.input.points, surface: Surface::of(&self.input), report: self.report() }
    }

    /// What holds of points for the rows of the input.
    fn rows(&self, of_point: &[i32]) -> Vec<i32> {
        self.input.cloud.to_rows(of_point, -1).into_owned()
    }
}

/// What was found of a cloud. Arrays have an entry for each of the N rows of the input; -1 means none.
///
/// They are NumPy arrays of its own, made when they are first asked for. It cannot be pickled: send its arrays.
#[pyclass(frozen, module = "partstad")]
pub struct Segmentation {
    all: Kept<Arc<Found>>,
    labels: PyOnceLock<Py<PyAny>>,
    instances: PyOnceLock<Py<PyAny>>,
    superpoints: PyOnceLock<Py<PyAny>>,
    scores: PyOnceLock<Py<PyAny>>,
    views: PyOnceLock<Py<PyAny>>,
    boxes: PyOnceLock<Py<PyAny>>,
    masks: PyOnceLock<Py<PyAny>>,
}

type Array<'py> = PyResult<Bound<'py, PyAny>>;

/// The array that is there, or is made now.
fn once<'py>(py: Python<'py>, cell: &PyOnceLock<Py<PyAny>>, make: impl FnOnce() -> Array<'py>) -> Array<'py> {
    cell.get_or_try_init(py, || make().map(Bound::unbind)).map(|array| array.bind(py).clone())
}

impl Segmentation {
    /// `more`: what the reader must know first.
    pub fn new(
        input: Input,
        found: segmentation::Segmentation,
        title: String,
        parameters: Value,
        more: impl IntoIterator<Item = String>,
    ) -> Segmentation {
        let warnings = more.into_iter().chain(found.warnings.iter().cloned()).collect();
        Segmentation {
            all: Kept::new(Arc::new(Found { input, found, title, parameters, warnings })),
            labels: PyOnceLock::new(),
            instances: PyOnceLock::new(),
            superpoints: PyOnceLock::new(),
            scores: PyOnceLock::new(),
            views: PyOnceLock::new(),
            boxes: PyOnceLock::new(),
            masks: PyOnceLock::new(),
        }
    }

    fn run<T: Send + 'static>(
        &self,
        py: Python,
        work: impl FnOnce(&Found) -> partstad::Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let all = Arc::clone(&self.all);
        work::run(py, None, move |_| work(&all))
    }
}

#[pymethods]
impl Segmentation {
    /// The L part names, a list of strings.
    #[getter]
    fn parts(&self) -> Vec<String> {
        self.all.found.parts.to_vec()
    }

    /// The part of every point: int32 `[N]`, an index of `parts`, -1 = none.
    #[getter]
    fn labels<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.labels, || {
            let labels = self.all.rows(&self.all.found.labels.of_point);
            array(py, labels.len(), labels)
        })
    }

    /// The instance of every point: int32 `[N]`, an index of `summary()["instances"]`, -1 = none.
    #[getter]
    fn instances<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.instances, || {
            let instances = self.all.rows(&self.all.found.instances.of_point);
            array(py, instances.len(), instances)
        })
    }

    /// The superpoint of every point: int32 `[N]`, a row of `scores`, -1 = none.
    #[getter]
    fn superpoints<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.superpoints, || {
            let of_point: Vec<i32> = self.all.found.superpoints.of_point.iter().map(|&s| s as i32).collect();
            let labels = self.all.rows(&of_point);
            array(py, labels.len(), labels)
        })
    }

    /// Softmax over the parts of every superpoint: float32 `[S, L + 1]`, column 0 = no part.
    #[getter]
    fn scores<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.scores, || {
            let scores = &self.all.found.scores;
            let values = py.detach(|| scores.probabilities.host().cloned()).or_raise(py)?;
            array(py, Ix2(scores.len(), scores.labels + 1), values)
        })
    }

    /// The rendered views, a `Views`.
    #[getter]
    fn views<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.views, || {
            let (views, cloud) = (&self.all.found.views, &self.all.input.cloud);
            let of_rows = py.detach(|| match cloud.rows {
                None => Ok(Cow::Borrowed(views)),
                Some(_) => views.clone().of_rows(cloud).map(Cow::Owned),
            });
            self::views(py, &*of_rows.or_raise(py)?)
        })
    }

    /// The boxes in the views, a `Boxes`.
    #[getter]
    fn boxes<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.boxes, || predictions::boxes(py, &self.all.found.boxes))
    }

    /// Which pixels each box claims: bool `[B, side, side]`.
    #[getter]
    fn masks<'py>(&self, py: Python<'py>) -> Array<'py> {
        once(py, &self.masks, || {
            let (b, side) = (self.all.found.boxes.len(), self.all.found.views.side);
            let masks = self.run(py, move |all| {
                let mut masks = Vec::with_capacity(b * side * side);
                for b in 0..b {
                    let full = all.found.masks.full(&all.found.boxes, b, side)?;
                    masks.extend(full.into_iter().map(|pixel| pixel != 0));
                }
                Ok(masks)
            })?;
            array(py, Ix3(b, side, side), masks)
        })
    }

    /// What the caller should know and that is no error, a list of strings.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.all.warnings.clone()
    }

    /// Wall-clock seconds of every stage, by name.
    #[getter]
    fn seconds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let seconds = PyDict::new(py);
        for &(stage, of_stage) in &self.all.found.seconds {
            seconds.set_item(stage.name(), of_stage)?;
        }
        Ok(seconds)
    }

    /// summary()
    /// --
    ///
    /// What `run.json` says, a dictionary: of every part its points, instances, boxes and the reason if it has no points;
    /// of every instance its part, points and confidence; options, seconds, warnings.
    fn summary<'py>(&self, py: Python<'py>) -> Array<'py> {
        options::object(py, &self.run(py, |all| all.output().run())?)
    }

    /// faces(mesh=None)
    /// --
    ///
    /// The part and the instance of every face of a mesh: two arrays int32 `[F]`, -1 = none.
    ///
    /// `mesh`: the one whose `sample()` gave the points; None if the mesh itself was segmented.
    #[pyo3(signature = (mesh=None))]
    fn faces<'py>(
        &self,
        py: Python<'py>,
        mesh: Option<&Bound<'py, Mesh>>,
    ) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let given =
            mesh.map(|mesh| Ok::<_, PyErr>((mesh.get().mesh(), mesh.get().sampled(py)?))).transpose()?;
        if let Some((_, sampled)) = &given
            && sampled.points.positions != self.all.input.points.positions
        {
            return Err(invalid(
                py,
                "the points were not drawn on this mesh; segment what mesh.sample() gave last",
            ));
        }
        if given.is_none() && self.all.input.mesh.is_none() {
            return Err(invalid(
                py,
                "points were segmented, and no mesh; give the mesh that they were drawn on",
            ));
        }
        let faces = self.run(py, move |all| match (&given, &all.input.mesh) {
            (Some((mesh, sampled)), _) => all.found.faces(mesh, sampled, &all.input.cloud),
            (None, Some((mesh, sampled))) => all.found.faces(mesh, sampled, &all.input.cloud),
            (None, None) => unreachable!("checked above"),
        })?;
        let f = faces.labels.len();
        Ok((array(py, f, faces.labels)?, array(py, f, faces.instances)?))
    }

    /// report(path)
    /// --
    ///
    /// Writes the report: one HTML file that needs no network.
    fn report(&self, py: Python, path: PathBuf) -> PyResult<()> {
        self.run(py, move |all| all.report().write(&path))
    }

    /// write(folder)
    /// --
    ///
    /// Writes all files of `partstad segment` into a folder, which is made if need be: labels, instances, superpoints and
    /// scores as `.npy`, boxes, parts and the run as `.json`, the coloured cloud, the report; of a mesh that was segmented
    /// also its faces.
    fn write(&self, py: Python, folder: PathBuf) -> PyResult<()> {
        self.run(py, move |all| all.output().write(&folder))
    }

    /// The report for notebooks; of a very large one a picture and a table.
    fn _repr_html_(&self, py: Python) -> PyResult<String> {
        self.run(py, |all| {
            let page = all.report().html()?;
            if page.len() <= NOTEBOOK {
                let page = page.replace('&', "&amp;").replace('"', "&quot;");
                return Ok(format!(
                    "<iframe sandbox=\"allow-scripts\" srcdoc=\"{page}\" style=\"width: 100%; height: 720px; border: 0\"></iframe>"
                ));
            }
            picture(&all.found)
        })
    }

    fn __len__(&self) -> usize {
        self.all.input.cloud.input_len()
    }

    fn __repr__(&self) -> String {
        let found = &self.all.found;
        format!(
            "Segmentation({} points, {} boxes in {} views, {} instances of {})",
            self.__len__(),
            found.boxes.len(),
            found.views.len(),
            found.instances.list.len(),
            found.parts
        )
    }
}

/// The first view, and how many points each part has.
fn picture(found: &segmentation::Segmentation) -> partstad::Result<String> {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut rows = String::new();
    for (part, color) in found.summary()?.iter().zip((0..).map(palette::color)) {
        let [r, g, b] = color;
        rows += &format!(
            "<tr><td style=\"background: rgb({r},{g},{b})\">&emsp;</td><td>{}</td><td>{} points</td><td>{} instances</td></tr>",
            escaped(part.name),
            part.points,
            part.instances
        );
    }
    let side = found.views.side;
    let image = png::encode_rgb(found.views.image(0)?, side, side);
    let image: String = base64(&image);
    Ok(format!(
        "<img width=\"400\" alt=\"the first view\" src=\"data:image/png;base64,{image}\"><table>{rows}</table>\
         <p>The report is too large for a notebook; report(path) writes it.</p>"
    ))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = bytes.chunks(3).flat_map(|three| {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | three.get(i).copied().unwrap_or(0) as u32);
        let letter = move |i: usize| LETTERS[(bits >> (18 - 6 * i)) as usize & 63] as char;
        (0..4).map(move |i| if i > three.len() { '=' } else { letter(i) })
    });
    letters.collect()
}

/// `partstad.Views` of these.
pub fn views<'py>(py: Python<'py>, views: &Views) -> Array<'py> {
    let there = py.detach(|| {
        let (images, pixels, screen) =
            (views.images.host()?, views.pixel_to_point.host()?, views.screen.host()?);
        Ok((images.clone(), pixels.clone(), screen.as_flattened().to_vec()))
    });
    let (images, pixels, screen) = there.map_err(|error| exception(py, error))?;
    let (k, side) = (views.len(), views.side);
    let n = screen.len() / (2 * k.max(1));
    py.import("partstad._types")?.getattr("Views")?.call1((
        array(py, Ix4(k, side, side, 3), images)?,
        array(py, Ix3(k, side, side), pixels)?,
        array(py, Ix3(k, n, 2), screen)?,
        options::object(py, &views.cameras)?,
    ))
}
