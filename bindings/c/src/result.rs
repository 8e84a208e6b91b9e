//! What was found: arrays that live as long as the result.

use crate::{
    arguments::{given, path, put, show},
    cloud::{Named, Warnings},
    pipeline::Setup,
    segment::partstad_box,
    status::{free, guard, partstad_status, string},
};
#[cfg(feature = "cuda")]
use rust::device::gpu::Buffer;
use rust::{
    Device, Error, Result, Segmentation,
    device::twin::Mirrored,
    io::path_text,
    output::{self, Output, report::Report},
};
use serde_json::{Value, json};
use std::{
    ffi::{CString, c_char},
    ptr,
    sync::{Arc, OnceLock},
};

/// What was found of the parts of a cloud. All that is shown of it lives as long as the handle, and may be read by any
/// number of threads. It outlives the cloud and the pipeline.
pub struct partstad_result {
    found: Segmentation,
    cloud: Arc<Named>,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code))]
    device: Device,
    parameters: Value,
    said: Vec<String>,
    warnings: Warnings,
    labels: Mirrored<Vec<i32>>,
    instances: Mirrored<Vec<i32>>,
    superpoints: Vec<i32>,
    list: Vec<partstad_instance>,
    seconds: Vec<partstad_seconds>,
    _stages: Vec<CString>,
    #[cfg(feature = "cuda")]
    on_device: [OnceLock<Arc<Buffer<i32>>>; 2],
    boxes: OnceLock<Vec<partstad_box>>,
    parts: OnceLock<Parts>,
    #[cfg(feature = "meshes")]
    faces: OnceLock<[Vec<i32>; 2]>,
    json: OnceLock<CString>,
}

/// Parts as C has them.
struct Parts {
    list: Vec<partstad_part>,
    _texts: Vec<CString>,
}

/// One piece of a part.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct partstad_instance {
    /// Its part: the place among the names, from 0.
    pub part: u32,
    /// Number of points.
    pub points: u32,
    /// From 0 to 1: how well the boxes bear it out, or by the rule `touching` the mean softmax of its part over its points.
    pub confidence: f32,
}

/// What was found of one part.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct partstad_part {
    /// Its name, trimmed and in lower case.
    pub name: *const c_char,
    /// Why no point is of it, or why those that are make no instance; NULL if there is an instance.
    pub reason: *const c_char,
    /// Points that are of it.
    pub points: usize,
    /// Its instances.
    pub instances: usize,
    /// Its boxes, over all views.
    pub boxes: usize,
    /// Superpoints that its boxes hold visible points of: where it can win.
    pub superpoints: usize,
    /// Superpoints that it won.
    pub won: usize,
    /// Points that are of it and in no instance.
    pub without_instance: usize,
}

/// How long a stage took.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct partstad_seconds {
    /// The stage, as an observer is told it.
    pub stage: *const c_char,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl partstad_result {
    /// `said`: what the caller should know besides what the result says itself.
    pub fn new(
        found: Segmentation,
        cloud: Arc<Named>,
        setup: &Setup,
        command: &str,
        said: Vec<String>,
    ) -> Result<partstad_result> {
        let rows = |of_point: &[i32]| cloud.input.cloud.to_rows(of_point, -1).into_owned();
        let labels = match &cloud.input.cloud.rows {
            None => found.labels.of_point.clone(),
            Some(_) => rows(&found.labels.of_point).into(),
        };
        let superpoints: Vec<i32> = found.superpoints.of_point.iter().map(|&s| s as i32).collect();
        let said = [said, found.warnings.clone()].concat();
        let mut parameters = output::parameters(command, &setup.pipeline);
        let weights = setup.learned.as_ref().map(|(file, _)| path_text(file));
        parameters["input"] = json!({ "cloud": cloud.path.as_ref().map(path_text), "weights": weights });
        parameters["models"] = setup.models.clone();
        let list = found.instances.list.iter();
        let instance = |i: &rust::stages::instances::Instance| partstad_instance {
            part: i.label,
            points: i.points,
            confidence: i.confidence,
        };
        let stages: Vec<CString> = found.seconds.iter().map(|(stage, _)| string(stage.name())).collect();
        let second =
            |(name, &(_, seconds)): (&CString, &(_, f64))| partstad_seconds { stage: name.as_ptr(), seconds };
        Ok(partstad_result {
            labels,
            instances: rows(&found.instances.of_point).into(),
            superpoints: rows(&superpoints),
            list: list.map(instance).collect(),
            seconds: stages.iter().zip(&found.seconds).map(second).collect(),
            _stages: stages,
            warnings: Warnings::new(&said),
            said,
            parameters,
            #[cfg(feature = "cuda")]
            on_device: Default::default(),
            device: setup.pipeline.device().clone(),
            boxes: OnceLock::new(),
            parts: OnceLock::new(),
            #[cfg(feature = "meshes")]
            faces: OnceLock::new(),
            json: OnceLock::new(),
            found,
            cloud,
        })
    }

    fn boxes(&self) -> Result<&Vec<partstad_box>> {
        once(&self.boxes, || Ok(self.found.boxes.list()?.iter().map(partstad_box::from).collect()))
    }

    fn parts(&self) -> Result<&[partstad_part]> {
        let parts = once(&self.parts, || {
            let mut parts = Parts { list: vec![], _texts: vec![] };
            for part in self.found.summary()? {
                let mut text = |text: &str| {
                    parts._texts.push(string(text));
                    parts._texts.last().map_or(ptr::null(), |text| text.as_ptr())
                };
                let (name, reason) = (text(part.name), part.reason.as_deref().map_or(ptr::null(), &mut text));
                let rust::pipeline::PartSummary {
                    points,
                    instances,
                    without_instance,
                    boxes,
                    superpoints,
                    won,
                    ..
                } = part;
                parts.list.push(partstad_part {
                    name,
                    reason,
                    points,
                    instances,
                    boxes,
                    superpoints,
                    won,
                    without_instance,
                });
            }
            Ok(parts)
        });
        parts.map(|parts| &parts.list[..])
    }

    #[cfg(feature = "meshes")]
    fn faces(&self) -> Result<&[Vec<i32>; 2]> {
        let input = &self.cloud.input;
        let Some((mesh, sampled)) = &input.mesh else { return no_mesh() };
        once(&self.faces, || {
            let faces = self.found.faces(mesh, sampled, &input.cloud)?;
            Ok([faces.labels, faces.instances])
        })
    }

    #[cfg(not(feature = "meshes"))]
    fn faces(&self) -> Result<&[Vec<i32>; 2]> {
        no_mesh()
    }

    /// Labels (0) or instances (1) in the memory of the device.
    #[cfg(feature = "cuda")]
    fn on_device(&self, which: usize) -> Result<(*const i32, usize)> {
        let Device::Cuda(gpu) = &self.device else { return no_device() };
        let values = [&self.labels, &self.instances][which];
        let there = once(&self.on_device[which], || values.device(gpu))?;
        Ok((ptr::without_provenance(gpu.address(there) as usize), there.len()))
    }

    #[cfg(not(feature = "cuda"))]
    fn on_device(&self, _: usize) -> Result<(*const i32, usize)> {
        no_device()
    }

    /// What is written of it.
    fn output(&self) -> Output<'_> {
        let Named { input, name, .. } = &*self.cloud;
        Output {
            points: &input.points,
            #[cfg(feature = "meshes")]
            surface: output::Surface::of(input),
            report: Report {
                title: name,
                cloud: &input.cloud,
                found: &self.found,
                parameters: &self.parameters,
                warnings: &self.said,
            },
        }
    }
}

fn no_device<T>() -> Result<T> {
    Err(Error::invalid("the pipeline computed on the CPU; nothing lies on a device"))
}

fn no_mesh<T>() -> Result<T> {
    Err(Error::invalid(
        "the result is not of a mesh, so there are no faces; read one with partstad_cloud_read",
    ))
}

/// What is made when it is first asked for.
fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(value) => Ok(value),
        None => make().map(|value| cell.get_or_init(|| value)),
    }
}

/// The part of every row of the cloud's input: its place among the names, -1 = none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_labels(
    result: Option<&partstad_result>,
    labels: *mut *const i32,
    rows: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.labels, labels, rows) })
}

/// The instance of every row: its place in the list of instances, -1 = none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_instances(
    result: Option<&partstad_result>,
    instances: *mut *const i32,
    rows: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.instances, instances, rows) })
}

/// The superpoint of every row, -1 = none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_superpoints(
    result: Option<&partstad_result>,
    superpoints: *mut *const i32,
    rows: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.superpoints, superpoints, rows) })
}

/// `partstad_result_labels` in the memory of the pipeline's CUDA device. They lie there already, unless rows were left out:
/// then they are copied there. What reads them must be on the device's stream, or come after it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_labels_on_device(
    result: Option<&partstad_result>,
    labels: *mut *const i32,
    rows: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { put_both(given(result, "result")?.on_device(0)?, labels, rows) })
}

/// `partstad_result_instances` in the memory of the pipeline's CUDA device; they are copied there when first asked for.
/// What reads them must be on the device's stream, or come after it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_instances_on_device(
    result: Option<&partstad_result>,
    instances: *mut *const i32,
    rows: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { put_both(given(result, "result")?.on_device(1)?, instances, rows) })
}

unsafe fn put_both((at, len): (*const i32, usize), data: *mut *const i32, rows: *mut usize) -> Result<()> {
    // SAFETY: the caller's.
    unsafe {
        put(data, at, "the place for the list")?;
        put(rows, len, "the place for the count")
    }
}

/// The list of instances, by part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_instance_list(
    result: Option<&partstad_result>,
    list: *mut *const partstad_instance,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.list, list, count) })
}

/// What was found of every part, in the order of the names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_parts(
    result: Option<&partstad_result>,
    parts: *mut *const partstad_part,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(given(result, "result")?.parts()?, parts, count) })
}

/// The boxes of all views.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_boxes(
    result: Option<&partstad_result>,
    boxes: *mut *const partstad_box,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(given(result, "result")?.boxes()?, boxes, count) })
}

/// How much every superpoint looks like every part: `superpoints` rows of `columns` values, the softmax of the votes;
/// column 0 is "no part", then the parts in the order of the names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_scores(
    result: Option<&partstad_result>,
    scores: *mut *const f32,
    superpoints: *mut usize,
    columns: *mut usize,
) -> partstad_status {
    guard(|| {
        let found = &given(result, "result")?.found.scores;
        // SAFETY: the caller's, as the header says.
        unsafe {
            put(scores, found.probabilities.host()?.as_ptr(), "scores")?;
            put(superpoints, found.len(), "superpoints")?;
            put(columns, found.labels + 1, "columns")
        }
    })
}

/// The part of every face of the mesh that the cloud was read from, -1 = none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_face_labels(
    result: Option<&partstad_result>,
    labels: *mut *const i32,
    faces: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.faces()?[0], labels, faces) })
}

/// The instance of every face of the mesh, -1 = none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_face_instances(
    result: Option<&partstad_result>,
    instances: *mut *const i32,
    faces: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.faces()?[1], instances, faces) })
}

/// What the caller should know and that is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_warnings(
    result: Option<&partstad_result>,
    warnings: *mut *const *const c_char,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(given(result, "result")?.warnings.pointers(), warnings, count) })
}

/// How long every stage took, in the order they ran.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_seconds(
    result: Option<&partstad_result>,
    stages: *mut *const partstad_seconds,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(&given(result, "result")?.seconds, stages, count) })
}

/// All but the arrays as JSON: what run.json of `partstad segment` says (docs/files.md).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_json(
    result: Option<&partstad_result>,
    json: *mut *const c_char,
) -> partstad_status {
    guard(|| {
        let result = given(result, "result")?;
        let text = once(&result.json, || Ok(string(&format!("{:#}\n", result.output().run()?))))?;
        // SAFETY: the caller's, as the header says.
        unsafe { put(json, text.as_ptr(), "json") }
    })
}

/// Writes what `partstad segment` writes, the report included (docs/files.md), into a folder, which is made if need be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_result_write(
    result: Option<&partstad_result>,
    folder: *const c_char,
) -> partstad_status {
    guard(|| {
        let result = given(result, "result")?;
        // SAFETY: the caller's, as the header says.
        result.output().write(&given(unsafe { path(folder, "folder")? }, "folder")?)
    })
}

/// Frees a result and all that was shown of it; no other thread may use it any more. NULL is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_result_free(result: Option<Box<partstad_result>>) {
    free(result);
}
