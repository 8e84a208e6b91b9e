//! Pipelines: options, models and learned weights, set up once.

use crate::{
    arguments::{given, make, path, text},
    device::partstad_device,
    status::{free, guard, partstad_status},
};
use rust::{
    Device, Error, Pipeline, Result,
    options::{Options, alike},
    stages::checkpoint::Checkpoint,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    ffi::c_char,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

/// Options, models and learned weights. May be used by any number of threads, and for any number of clouds.
pub struct partstad_pipeline(RwLock<Setup>);

/// What a call needs of a pipeline; a clone shares the models.
#[derive(Clone)]
pub struct Setup {
    /// What computes.
    pub pipeline: Pipeline,
    /// What is worth recording of the models.
    pub models: Value,
    /// Learned weights, and where they were read.
    pub learned: Option<(PathBuf, Checkpoint)>,
}

impl partstad_pipeline {
    /// As it is now.
    pub fn setup(&self) -> Setup {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Makes a pipeline without models: it can lift, render and make superpoints. `device`: NULL = the CPU. `options`: JSON
/// with the options of every stage, as `partstad segment --options` takes it (docs/files.md); NULL = all as usual.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_pipeline_new(
    device: Option<&partstad_device>,
    options: *const c_char,
    pipeline: *mut *mut partstad_pipeline,
) -> partstad_status {
    let work = || {
        let device = device.map_or(Device::Cpu, |handle| handle.device.clone());
        // SAFETY: the caller's, as the header says.
        let options: Options = unsafe { settings(options, "options")? };
        options.check()?;
        let pipeline = Pipeline::new(device, options);
        Ok(partstad_pipeline(RwLock::new(Setup { pipeline, models: Value::Null, learned: None })))
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(pipeline, "pipeline", work) }
}

/// Gives a pipeline the models that `partstad_segment` needs; calls that run keep those they began with. `folder`: with
/// manifest.json and ONNX files (docs/models.md); NULL = the small stand-ins inside the library. `options`: JSON as
/// `--model-options` takes it; NULL = all as usual. Takes seconds. Fetches ONNX Runtime from PyPI if this machine has
/// none and `ORT_DYLIB_PATH` names none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_pipeline_load_models(
    pipeline: Option<&partstad_pipeline>,
    folder: *const c_char,
    options: *const c_char,
) -> partstad_status {
    guard(|| {
        let handle = given(pipeline, "pipeline")?;
        // SAFETY: the caller's, as the header says.
        let (folder, options) = unsafe { (path(folder, "folder")?, options) };
        // SAFETY: the caller's, as the header says.
        unsafe { load(handle, folder, options) }
    })
}

#[cfg(feature = "ort")]
unsafe fn load(handle: &partstad_pipeline, folder: Option<PathBuf>, options: *const c_char) -> Result<()> {
    use rust::{io::path_text, models};
    // SAFETY: the caller's.
    let options: models::Options = unsafe { settings(options, "options")? };
    let device = handle.setup().pipeline.device().clone();
    let models = match &folder {
        Some(folder) => models::Models::load(&device, folder, &options)?,
        None => models::Models::embedded(&device, &options)?,
    };
    let mut record = models.record();
    record["folder"] = folder.map(path_text).into();
    record["options"] = serde_json::to_value(options).unwrap_or_default();
    handle.change(|setup| {
        setup.pipeline = setup.pipeline.clone().with_models(models);
        setup.models = record;
    });
    Ok(())
}

#[cfg(not(feature = "ort"))]
unsafe fn load(_: &partstad_pipeline, _: Option<PathBuf>, _: *const c_char) -> Result<()> {
    Err(Error::Model("this library was built without models; build it with the feature ort".into()))
}

/// Gives a pipeline learned weights of the boxes, as `partstad train` writes them; calls that run keep what they began
/// with. They are for the parts that they were learned for, in that order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_pipeline_load_weights(
    pipeline: Option<&partstad_pipeline>,
    file: *const c_char,
) -> partstad_status {
    guard(|| {
        let handle = given(pipeline, "pipeline")?;
        // SAFETY: the caller's, as the header says.
        let file = given(unsafe { path(file, "file")? }, "file")?;
        let checkpoint = Checkpoint::read(&file)?;
        handle.change(|setup| {
            setup.pipeline = setup.pipeline.clone().with_network(checkpoint.network.clone());
            setup.learned = Some((file, checkpoint));
        });
        Ok(())
    })
}

/// Frees a pipeline; no other thread may use it any more. Clouds and results live on. NULL is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_pipeline_free(pipeline: Option<Box<partstad_pipeline>>) {
    free(pipeline);
}

/// Settings as JSON; the usual ones for NULL.
///
/// # Safety
/// As of [`text`].
unsafe fn settings<T: Default + Serialize + DeserializeOwned>(json: *const c_char, what: &str) -> Result<T> {
    // SAFETY: the caller's.
    match unsafe { text(json, what)? } {
        Some(json) if !json.trim_start().starts_with('{') => {
            Err(Error::invalid(format!("{what}: give a JSON object, {{...}}")))
        }
        Some(json) => {
            let wrong = |e: String| Error::invalid(format!("{what}: {e}"));
            let given = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
            alike(&given, &json!(T::default()), "").map_err(wrong)?;
            serde_json::from_str(json).map_err(|e| wrong(e.to_string()))
        }
        None => Ok(T::default()),
    }
}
