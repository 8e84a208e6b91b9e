//! `partstad.Pipeline`.

use crate::{
    arrays::array,
    error::OrRaise,
    options,
    predictions::Given,
    segmentation::{Segmentation, views},
    source::{self, Source, warn},
    work::{self, Kept, Watch},
};
use partstad::{
    Device, Error, Parts, Result,
    input::Input,
    io::hash,
    models::{self, Models, Provider, STAND_IN},
    output,
    pipeline::{self, Options},
    stages::{checkpoint::Checkpoint, superpoints::Superpoints, views::Views},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyTuple},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of the models inside the package.
const SMALL: &str = "small";

/// Where the models come from, and what computes them.
pub struct Chosen {
    pub folder: Option<PathBuf>,
    pub device: String,
    pub options: models::Options,
}

impl Chosen {
    pub fn of(
        models: PathBuf,
        device: &str,
        options: Option<&Bound<PyAny>>,
        threads: usize,
    ) -> PyResult<Chosen> {
        let mut options = options.map(options::of_models).transpose()?.unwrap_or_default();
        if options.threads == 0 {
            options.threads = threads;
        }
        if device == "auto" && options.provider == Provider::Device {
            options.provider = Provider::DeviceOrCpu;
        }
        let folder = Some(models).filter(|folder| folder != Path::new(SMALL));
        Ok(Chosen { folder, device: device.into(), options })
    }

    pub fn load(&self, device: &Device) -> Result<Models> {
        match &self.folder {
            Some(folder) => Models::load(device, folder, &self.options),
            None => Models::embedded(device, &self.options),
        }
    }

    fn record(&self, models: &Models) -> Value {
        let mut record = models.record();
        record["known_parts"] = json!(models.manifest.known_parts());
        record["folder"] = json!(self.folder.as_deref().map(Path::to_string_lossy));
        record["options"] = json!(self.options);
        record
    }
}

/// What calls share.
struct Inner {
    pipeline: pipeline::Pipeline,
    /// Learned weights, and their file.
    learned: Option<(PathBuf, Checkpoint)>,
    pool: Option<rayon::ThreadPool>,
    models: Value,
}

impl Inner {
    fn make(
        chosen: Option<&Chosen>,
        device: &str,
        network: Option<PathBuf>,
        options: Options,
    ) -> Result<Inner> {
        options.check()?;
        let device: Device = device.parse()?;
        let loaded = chosen.map(|chosen| chosen.load(&device)).transpose()?;
        let record = |(chosen, loaded): (&Chosen, &Models)| chosen.record(loaded);
        let models = chosen.zip(loaded.as_ref()).map(record).unwrap_or_default();
        let mut pipeline = pipeline::Pipeline::new(device, options);
        if let Some(loaded) = loaded {
            pipeline = pipeline.with_models(loaded);
        }
        let read = |path: PathBuf| Checkpoint::read(&path).map(|checkpoint| (path, checkpoint));
        let learned = network.map(read).transpose()?;
        if let Some((_, checkpoint)) = &learned {
            pipeline = pipeline.with_network(checkpoint.network.clone());
        }
        Ok(Inner { pipeline, learned, pool: None, models })
    }

    /// On the threads of this pipeline.
    fn with_threads<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    fn input(&self, source: Source) -> Result<Input> {
        source.input(self.pipeline.device(), self.pipeline.options())
    }

    fn check(&self, parts: &Parts) -> Result<()> {
        self.learned.as_ref().map_or(Ok(()), |(path, checkpoint)| {
            checkpoint.check(parts).map_err(|e| Error::format(path, e.to_string()))
        })
    }

    fn parameters(&self, command: &str, input: Value) -> Value {
        let mut parameters = output::parameters(command, &self.pipeline);
        parameters["models"] = self.models.clone();
        parameters["input"] = input;
        parameters
    }
}

/// Segments clouds; make it once. Threads may share it. Pickled, it is opened anew where it is unpickled.
///
/// - `models`: "small" for the stand-ins inside the package, a folder with `manifest.json` and ONNX files, or None for a
///   pipeline that only lifts, renders and partitions.
/// - `device`: "cpu", "cuda", "cuda:N", or "auto" for the CUDA device with the most free memory and else the CPU.
/// - `network`: learned weights of the boxes, a `.safetensors` file of `partstad train`.
/// - `model_options`: what computes the models, such as `{"provider": "device-or-cpu"}`.
/// - `threads`: of this pipeline, on the CPU; 0 takes all cores. Results do not depend on it.
/// - `options`: those of every stage by its name, as in the JSON of `--options`: `views={"side": 400}`.
///
/// Raises `InvalidError` for an unknown option or one out of range, `ModelError` without ONNX Runtime or for broken
/// models, `DeviceError` without the device.
#[pyclass(frozen, module = "partstad")]
pub struct Pipeline {
    inner: Kept<Arc<Inner>>,
    /// The arguments that it was made with.
    models: Option<PathBuf>,
    device: String,
    model_options: Option<Value>,
    threads: usize,
}

impl Pipeline {
    /// Does work on its threads.
    fn run<T: Send + 'static>(
        &self,
        py: Python,
        observer: Option<&Bound<PyAny>>,
        work: impl FnOnce(&Inner, &Watch) -> Result<T> + Send + 'static,
    ) -> PyResult<T> {
        let inner = Arc::clone(&self.inner);
        work::run(py, observer, move |watch| inner.with_threads(|| work(&inner, watch)))
    }

    fn options_of(&self) -> &Options {
        self.inner.pipeline.options()
    }

    /// The named parts, or those that there are.
    fn find(
        &self,
        py: Python,
        points: &Bound<PyAny>,
        colors: Option<&Bound<PyAny>>,
        parts: Option<Parts>,
        name: Option<String>,
        observer: Option<&Bound<PyAny>>,
    ) -> PyResult<Segmentation> {
        if self.inner.pipeline.models().is_none() {
            return Err(crate::error::exception(
                py,
                Error::Model(
                    "the pipeline has no models; make it with models=\"small\" or a folder of models".into(),
                ),
            ));
        }
        let source = Source::of(points, colors, self.inner.pipeline.device())?;
        let title = source.title(name);
        self.run(py, observer, move |inner, watch| {
            parts.iter().try_for_each(|parts| inner.check(parts))?;
            let input = inner.input(source)?;
            let network = inner.learned.as_ref().map(|(path, _)| path.to_string_lossy());
            let mut parameters = inner.parameters("segment", json!({ "cloud": title, "weights": network }));
            let found = match &parts {
                Some(parts) => inner.pipeline.segment(&input.cloud, parts, watch)?,
                None => {
                    let pipeline = inner.pipeline.unnamed();
                    parameters["input"]["weights"] = Value::Null;
                    parameters["options"] = json!(pipeline.options());
                    parameters["unnamed"] = true.into();
                    pipeline.segment_unnamed(&input.cloud, watch)?
                }
            };
            let stand_in = inner.models["stand_in"] == json!(true);
            let warnings = stand_in.then(|| STAND_IN.to_string());
            Ok(Segmentation::new(input, found, title, parameters, warnings))
        })
    }
}

#[pymethods]
impl Pipeline {
    #[new]
    #[pyo3(
        signature = (models=Some(PathBuf::from(SMALL)), device="cpu", *, network=None, model_options=None, threads=0, **options),
        text_signature = "(models='small', device='cpu', *, network=None, model_options=None, threads=0, **options)"
    )]
    fn new(
        py: Python,
        models: Option<PathBuf>,
        device: &str,
        network: Option<PathBuf>,
        model_options: Option<&Bound<PyAny>>,
        threads: usize,
        options: Option<&Bound<PyDict>>,
    ) -> PyResult<Pipeline> {
        let options = options::options(options)?;
        let chosen =
            models.clone().map(|models| Chosen::of(models, device, model_options, threads)).transpose()?;
        if let (None, Some(given)) = (&chosen, model_options) {
            options::of_models(given)?;
        }
        if chosen.is_some() {
            py.import("partstad._runtime")?.call_method0("prefer_installed")?;
        }
        let asked = device.to_string();
        let inner = work::run(py, None, move |_| {
            let pool = work::pool(threads)?;
            Ok(Inner { pool, ..Inner::make(chosen.as_ref(), &asked, network, options)? })
        })?;
        let model_options = model_options.map(|given| options::value(given, "model_options")).transpose()?;
        Ok(Pipeline {
            inner: Kept::new(Arc::new(inner)),
            models,
            device: device.into(),
            model_options,
            threads,
        })
    }

    /// segment(points, colors=None, parts=None, *, name=None, observer=None)
    /// --
    ///
    /// Segments a cloud into the named parts.
    ///
    /// - `points`: `[N, 3]` numbers, x y z in any unit, y up (else option `cloud={"up": "z"}`); or a `Mesh`, on which
    ///   points are drawn; or the path of a cloud or a mesh. NumPy arrays of any strides, what has `__dlpack__` or
    ///   `__cuda_array_interface__`, and lists are taken. Rows that are not finite get the label -1.
    /// - `colors`: `[N, 3]`, red green blue: integers of 8 bits count in 1/255, those of 16 bits in 1/65535 if one is above
    ///   255; other numbers in 1, in 1/255 if one is clearly above 1, in 1/65535 if one is above 4095. None with
    ///   `cloud={"colors": "grey"}`.
    /// - `parts`: L names, such as `["leg", "seat"]`, which are taken in lower case.
    /// - `name`: what reports call the cloud. `observer`: called with the name of every stage that begins; an exception
    ///   of it ends the call.
    ///
    /// Ctrl-C ends the call at once. The interpreter is free for other threads meanwhile.
    #[pyo3(signature = (points, colors=None, parts=None, *, name=None, observer=None))]
    fn segment(
        &self,
        py: Python,
        points: &Bound<PyAny>,
        colors: Option<&Bound<PyAny>>,
        parts: Option<&Bound<PyAny>>,
        name: Option<String>,
        observer: Option<&Bound<PyAny>>,
    ) -> PyResult<Segmentation> {
        let parts = source::parts(parts, py)?;
        self.find(py, points, colors, Some(parts), name, observer)
    }

    /// segment_unnamed(points, colors=None, *, name=None, observer=None)
    /// --
    ///
    /// Segments a cloud into parts without names: "part 1" is the largest, and each is one instance.
    ///
    /// The models must have a segmenter that answers points, as those called "small" do. Arguments as in `segment`.
    #[pyo3(signature = (points, colors=None, *, name=None, observer=None))]
    fn segment_unnamed(
        &self,
        py: Python,
        points: &Bound<PyAny>,
        colors: Option<&Bound<PyAny>>,
        name: Option<String>,
        observer: Option<&Bound<PyAny>>,
    ) -> PyResult<Segmentation> {
        self.find(py, points, colors, None, name, observer)
    }

    /// lift(points, colors=None, parts=None, boxes=None, masks=None, *, superpoints=None, weights=None, name=None, observer=None)
    /// --
    ///
    /// Lifts boxes and masks of any detector to parts of the cloud. They belong to the images of `render`.
    ///
    /// - `points`, `colors`, `parts`, `name`, `observer`: as in `segment`.
    /// - `boxes`: a `Boxes`, a list of dictionaries as in `pred.json`, or the path of such a file.
    /// - `masks`: `[B, side, side]` in the order of the boxes: bool, 0 = outside, logits or probabilities. Without masks
    ///   the boxes vote.
    /// - `superpoints`: integers from 0, `[N]`; made anew without them.
    /// - `weights`: what each box's vote counts, `[B]`, or `[1 + B]` with the null weight first.
    ///
    /// A part must win its points over all views that show them. If you looked at some views only, make the pipeline
    /// with `memberships={"views": "with-boxes"}`.
    #[pyo3(signature = (points, colors=None, parts=None, boxes=None, masks=None, *, superpoints=None, weights=None, name=None, observer=None))]
    #[allow(clippy::too_many_arguments)]
    fn lift(
        &self,
        py: Python,
        points: &Bound<PyAny>,
        colors: Option<&Bound<PyAny>>,
        parts: Option<&Bound<PyAny>>,
        boxes: Option<&Bound<PyAny>>,
        masks: Option<&Bound<PyAny>>,
        superpoints: Option<&Bound<PyAny>>,
        weights: Option<&Bound<PyAny>>,
        name: Option<String>,
        observer: Option<&Bound<PyAny>>,
    ) -> PyResult<Segmentation> {
        let parts = source::parts(parts, py)?;
        let given = Given::of(py, [boxes, masks, superpoints, weights], &self.inner.pipeline, &parts)?;
        let source = Source::of(points, colors, self.inner.pipeline.device())?;
        let title = source.title(name);
        self.run(py, observer, move |inner, watch| {
            inner.check(&parts)?;
            let input = inner.input(source)?;
            let (predictions, unsure) = given.predictions(&input.cloud, inner.pipeline.options(), &parts)?;
            let found = inner.pipeline.lift(&input.cloud, &parts, predictions, watch)?;
            let parameters = inner.parameters("lift", json!({ "cloud": title }));
            Ok(Segmentation::new(input, found, title, parameters, unsure))
        })
    }

    /// render(points, colors=None)
    /// --
    ///
    /// The views of a cloud, as the detector sees them: a `Views`. Arguments as in `segment`. What is odd about the cloud is
    /// a `UserWarning`.
    #[pyo3(signature = (points, colors=None))]
    fn render<'py>(
        &self,
        py: Python<'py>,
        points: &Bound<'py, PyAny>,
        colors: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let source = Source::of(points, colors, self.inner.pipeline.device())?;
        let (rendered, warnings) = self.run(py, None, move |inner, _| {
            let (input, pipeline) = (inner.input(source)?, &inner.pipeline);
            pipeline.check(&input.cloud, 0)?;
            let views = Views::render(pipeline.device(), &input.cloud, &pipeline.options().views)?;
            Ok((views.of_rows(&input.cloud)?, input.cloud.warnings))
        })?;
        warn(py, &warnings)?;
        views(py, &rendered)
    }

    /// superpoints(points, colors=None)
    /// --
    ///
    /// The over-segmentation of a cloud: int32 `[N]`, from 0, -1 where a row is not finite. Arguments as in `segment`. What
    /// is odd about the cloud is a `UserWarning`.
    #[pyo3(signature = (points, colors=None))]
    fn superpoints<'py>(
        &self,
        py: Python<'py>,
        points: &Bound<'py, PyAny>,
        colors: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let source = Source::of(points, colors, self.inner.pipeline.device())?;
        let (labels, warnings) = self.run(py, None, move |inner, _| {
            let (Input { cloud, .. }, pipeline) = (inner.input(source)?, &inner.pipeline);
            let found = Superpoints::partition(pipeline.device(), &cloud, &pipeline.options().superpoints)?;
            let labels: Vec<i32> = found.of_point.iter().map(|&s| s as i32).collect();
            Ok((cloud.to_rows(&labels, -1).into_owned(), cloud.warnings))
        })?;
        warn(py, &warnings)?;
        array(py, labels.len(), labels)
    }

    /// The options of all stages, a dictionary.
    #[getter]
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        options::object(py, self.options_of())
    }

    /// Waits for the device, and gives back to the driver the memory that the library keeps there for the next cloud. A CPU
    /// keeps none.
    fn trim(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner.pipeline.device().trim()).or_raise(py)
    }

    /// What computes: "cpu" or "cuda:N".
    #[getter]
    fn device(&self) -> String {
        self.inner.pipeline.device().to_string()
    }

    /// What the models are, a dictionary with `name`, `stand_in`, `known_parts`, `files` and more; None without models.
    #[getter]
    fn models<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        options::object(py, &self.inner.models)
    }

    /// What a result depends on, besides its cloud and parts: a dictionary of JSON.
    #[getter]
    fn _made_from<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let sha256 = |(path, _): &(PathBuf, Checkpoint)| hash::sha256_of_file(path);
        let network = py.detach(|| self.inner.learned.as_ref().map(sha256).transpose()).or_raise(py)?;
        let models = &self.inner.models["files"];
        options::object(
            py,
            &json!({ "options": self.options_of().of_result(), "models": models, "network": network }),
        )
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let all = options::object(py, self.options_of())?;
        // Who unpickles it may work in another folder.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let models = self.models.as_ref().map(|models| match models == Path::new(SMALL) {
            true => models.clone(),
            false => absolute(models),
        });
        let network = self.inner.learned.as_ref().map(|(path, _)| absolute(path));
        let model_options =
            self.model_options.as_ref().map(|value| options::object(py, value)).transpose()?;
        all.set_item("network", network)?;
        all.set_item("model_options", model_options)?;
        all.set_item("threads", self.threads)?;
        let models = models.map(|models| models.to_string_lossy().into_owned());
        ((models, &self.device), all).into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        let models = self.inner.models["name"].as_str().map_or("None".into(), |name| format!("{name:?}"));
        format!("Pipeline(models={models}, device={:?})", self.device())
    }
}
