//! `partstad.evaluate`.

use crate::{
    options::{self, object},
    pipeline::Chosen,
    work,
};
use partstad::{
    Device, Error, Observer,
    io::staged::Folder,
    study::{
        dataset::Dataset,
        evaluate::{Evaluator, Run},
        methods::Method,
        prepare::{Predictor, Preparer},
    },
};
use pyo3::{prelude::*, types::PyDict};
use serde_json::json;
use std::path::PathBuf;

/// evaluate(data, *, categories=(), splits=("test",), methods=(), network=(), compare=False, models="small", device="cpu", model_options=None, predictions=None, prepared=None, out=None, **options)
/// --
///
/// Measures methods on labelled clouds: IoU of points and AP of instances at IoU 0.5, by category and part, averaged as
/// in the paper.
///
/// - `data`: a folder with a `dataset.json`, or of PartNet-Ensembled's layout.
/// - `categories`, `splits`: which clouds; without `categories` all.
/// - `methods`: names such as "agreement" and "partslip"; without any, "partstad" with learned weights and else
///   "agreement"; with `compare` all that can be run.
/// - `network`: folders of learned weights, or one file for its category.
/// - `models`, `device`, `model_options`, `options`: as in `Pipeline`. `predictions`: a folder of boxes and masks instead of
///   models.
/// - `prepared`: a folder that keeps what is costly. `out`: a folder for `results.csv`, `.md`, `.json` and `.html`.
///
/// Returns what `partstad evaluate --json` prints, a dictionary: what `results.json` holds, and under `about` the splits,
/// options and warnings. Objects that fail are listed under `failures`.
#[pyfunction]
#[pyo3(signature = (data, *, categories=vec![], splits=vec!["test".into()], methods=vec![], network=vec![], compare=false,
    models=PathBuf::from("small"), device="cpu", model_options=None, predictions=None, prepared=None, out=None, **options))]
#[allow(clippy::too_many_arguments)]
pub fn evaluate<'py>(
    py: Python<'py>,
    data: PathBuf,
    categories: Vec<String>,
    splits: Vec<String>,
    methods: Vec<String>,
    network: Vec<PathBuf>,
    compare: bool,
    models: PathBuf,
    device: &str,
    model_options: Option<&Bound<'py, PyAny>>,
    predictions: Option<PathBuf>,
    prepared: Option<PathBuf>,
    out: Option<PathBuf>,
    options: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = options::options(options)?;
    let chosen = Chosen::of(models, device, model_options, 0)?;
    if predictions.is_none() {
        py.import("partstad._runtime")?.call_method0("prefer_installed")?;
    }
    let evaluation = work::run(py, None, move |watch| {
        let data = Dataset::open(&data)?;
        let objects = data.select(&splits, &categories)?;
        let methods = methods.iter().map(|name| name.parse()).collect::<partstad::Result<Vec<Method>>>()?;
        let device: Device = chosen.device.parse()?;
        let predictor = match predictions {
            Some(folder) => Predictor::Folder(folder),
            None => Predictor::Models(Box::new(chosen.load(&device)?)),
        };
        let out = out.as_deref().map(Folder::begin).transpose()?;
        let preparer = Preparer::new(device, options, predictor, prepared)?;
        let note = format!("Splits: {}. 2D predictions: {}.", splits.join(", "), preparer.predictor());
        let warnings = preparer.warnings(&objects, &data.parts);
        let about = json!({
            "splits": splits, "options": preparer.options(), "predictions": preparer.predictor().description(),
            "warnings": warnings,
        });
        let mut evaluator = Evaluator::new(preparer, Run::all(&methods, &network, compare))?;
        for object in &objects {
            if watch.cancels() {
                return Err(Error::Cancelled);
            }
            evaluator.add(object, &data.parts[&object.category]);
        }
        let evaluation = evaluator.finish();
        if let Some(out) = out {
            evaluation.write_into(out, &[vec![note], warnings].concat(), None)?;
        }
        let mut told = json!(evaluation);
        told["about"] = about;
        Ok(told)
    })?;
    object(py, &evaluation)
}
