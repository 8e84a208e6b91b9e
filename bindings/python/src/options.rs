//! Keyword arguments as the library's options, and these as dictionaries.

use crate::error::invalid;
use partstad::{
    models,
    options::{Options, alike},
};
use pyo3::{prelude::*, types::PyDict};
use serde::Serialize;
use serde_json::{Value, json};

/// The value of something that JSON could hold.
pub fn value(given: &Bound<PyAny>, what: &str) -> PyResult<Value> {
    let py = given.py();
    let text = py.import("partstad._json")?.call_method1("dumps", (given,));
    let text: String = text.map_err(|e| invalid(py, format!("{what}: {}", e.value(py))))?.extract()?;
    serde_json::from_str(&text).map_err(|e| invalid(py, format!("{what}: {e}")))
}

/// What JSON would hold, for Python.
pub fn object<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| invalid(py, e.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// What computes the models.
pub fn of_models(given: &Bound<PyAny>) -> PyResult<models::Options> {
    let wrong = |e: String| invalid(given.py(), format!("model_options: {e}"));
    let given = value(given, "model_options")?;
    alike(&given, &json!(models::Options::default()), "").map_err(wrong)?;
    serde_json::from_value(given).map_err(|e| wrong(e.to_string()))
}

/// The options of all stages; each message names the stage.
pub fn options(given: Option<&Bound<PyDict>>) -> PyResult<Options> {
    let Some(given) = given else { return Ok(Options::default()) };
    let (usual, mut all) = (json!(Options::default()), serde_json::Map::new());
    for (name, options) in given {
        let name: String = name.extract()?;
        let what = format!("option {name}");
        let one = json!({ &name: value(&options, &what)? });
        alike(&one, &usual, "").map_err(|e| invalid(given.py(), format!("option {e}")))?;
        serde_json::from_value::<Options>(one.clone())
            .map_err(|e| invalid(given.py(), format!("{what}: {e}")))?;
        all.extend(one.as_object().cloned().unwrap_or_default());
    }
    serde_json::from_value(all.into()).map_err(|e| invalid(given.py(), e.to_string()))
}
