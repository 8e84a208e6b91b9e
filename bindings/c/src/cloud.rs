//! Clouds: what a file or the caller's arrays hold, fitted to a pipeline's options.

use crate::{
    arguments::{Values, given, make, partstad_array, path, show, unfit},
    pipeline::partstad_pipeline,
    status::{free, guard, partstad_status, string},
};
#[cfg(feature = "cuda")]
use rust::Device;
use rust::{Error, Pipeline, Result, input::Input, io::points::PointCloud};
use std::{
    ffi::{CString, c_char},
    path::Path,
    sync::Arc,
};

/// A cloud, ready to be segmented. May be used by any number of threads.
pub struct partstad_cloud(pub(crate) Arc<Named>);

/// A cloud and what it is called.
pub struct Named {
    /// The points, and the mesh that they were drawn on.
    pub input: Input,
    /// The file's name.
    pub name: String,
    /// The whole path, if there is a file.
    pub path: Option<std::path::PathBuf>,
    warnings: Warnings,
}

/// Warnings as C has them.
pub struct Warnings {
    pointers: Vec<*const c_char>,
    /// What the pointers lead to.
    _texts: Vec<CString>,
}

// SAFETY: the pointers lead to texts of its own, which nobody changes.
unsafe impl Send for Warnings {}
// SAFETY: as above.
unsafe impl Sync for Warnings {}

impl Warnings {
    /// A copy of them.
    pub fn new(warnings: &[String]) -> Warnings {
        let texts: Vec<CString> = warnings.iter().map(|warning| string(warning)).collect();
        Warnings { pointers: texts.iter().map(|text| text.as_ptr()).collect(), _texts: texts }
    }

    /// Where each begins.
    pub fn pointers(&self) -> &[*const c_char] {
        &self.pointers
    }
}

impl From<(Input, Option<&Path>)> for partstad_cloud {
    fn from((input, path): (Input, Option<&Path>)) -> partstad_cloud {
        let name = path.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        partstad_cloud(Arc::new(Named {
            warnings: Warnings::new(&input.cloud.warnings),
            input,
            name: name.unwrap_or_else(|| "cloud".into()),
            path: path.map(Path::to_path_buf),
        }))
    }
}

/// Reads a cloud, or a mesh and draws points on it, as the pipeline's options say. Of a mesh, rows are the points that
/// were drawn. The formats are those of docs/files.md.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_cloud_read(
    pipeline: Option<&partstad_pipeline>,
    file: *const c_char,
    cloud: *mut *mut partstad_cloud,
) -> partstad_status {
    let work = || {
        let setup = given(pipeline, "pipeline")?.setup();
        // SAFETY: the caller's, as the header says.
        let file = given(unsafe { path(file, "file")? }, "file")?;
        let input = Input::read(&file, setup.pipeline.device(), setup.pipeline.options())?;
        Ok((input, Some(&*file)).into())
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(cloud, "cloud", work) }
}

/// Makes a cloud of arrays on the host, which are copied. Rows that are not finite are left out and get no label;
/// points far off and copies are treated as those of files (docs/files.md).
/// `positions`: x, y, z of every row in any unit, `PARTSTAD_F32` or `PARTSTAD_F64`.
/// `colors`: red, green, blue of every row, `PARTSTAD_U8`, or `PARTSTAD_F32` from 0 to 1. None if the option
/// cloud.colors is "grey".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_cloud_from_host(
    pipeline: Option<&partstad_pipeline>,
    positions: partstad_array,
    colors: partstad_array,
    cloud: *mut *mut partstad_cloud,
) -> partstad_status {
    let work = || {
        let setup = given(pipeline, "pipeline")?.setup();
        let options = setup.pipeline.options();
        options.check_memory(setup.pipeline.device(), positions.rows, 0)?;
        // SAFETY: the caller's, as the header says.
        let points = unsafe { points(positions, colors)? };
        Ok((Input::fit(points, options)?, None).into())
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(cloud, "cloud", work) }
}

unsafe fn points(positions: partstad_array, colors: partstad_array) -> Result<PointCloud> {
    // SAFETY: the caller's.
    let (values, paint) = unsafe { (positions.values(3, "positions")?, colors.values(3, "colors")?) };
    let positions: Vec<[f64; 3]> = match values {
        Values::None => return Err(Error::invalid("positions: there is no array")),
        Values::F32(values) => rows(values, f64::from),
        Values::F64(values) => rows(values, |x| x),
        _ => return unfit("positions", "PARTSTAD_F32 or PARTSTAD_F64"),
    };
    let colors: Vec<[f32; 3]> = match paint {
        Values::None => vec![],
        Values::U8(values) => rows(values, |c| f32::from(c) / 255.0),
        Values::F32(values) => rows(values, |c| c),
        _ => return unfit("colors", "PARTSTAD_U8 or PARTSTAD_F32"),
    };
    let uncolored = colors.is_empty().then(|| "there are no colours; hand over an array of them".into());
    Ok(PointCloud { positions, colors, uncolored, ..PointCloud::default() })
}

fn rows<T: Copy, U: Copy>(values: &[T], convert: impl Fn(T) -> U) -> Vec<[U; 3]> {
    values.as_chunks::<3>().0.iter().map(|row| row.map(&convert)).collect()
}

/// Makes a cloud of arrays in the memory of the pipeline's CUDA device. What fills them must be on the device's stream, or
/// have ended. The call waits for it: both arrays are read back once, because the frame is found on the host, and the
/// placed positions (12 bytes a row) are the only array that goes up. The arrays may be freed, in the stream's order, as
/// soon as it returns. Rows are treated as those of `partstad_cloud_from_host`.
/// `positions`: x, y, z of every row, `PARTSTAD_F32`. `colors`: red, green, blue from 0 to 1, `PARTSTAD_F32`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_cloud_from_device(
    pipeline: Option<&partstad_pipeline>,
    positions: partstad_array,
    colors: partstad_array,
    cloud: *mut *mut partstad_cloud,
) -> partstad_status {
    let work = || {
        let setup = given(pipeline, "pipeline")?.setup();
        // SAFETY: the caller's, as the header says.
        Ok((unsafe { on_device(&setup.pipeline, positions, colors)? }, None).into())
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(cloud, "cloud", work) }
}

#[cfg(feature = "cuda")]
unsafe fn on_device(pipeline: &Pipeline, positions: partstad_array, colors: partstad_array) -> Result<Input> {
    let Device::Cuda(gpu) = pipeline.device() else { return no_device() };
    let borrow = |array: partstad_array, what| -> Result<_> {
        let (at, len) = array.address(3, what)?;
        // SAFETY: the caller's; the buffer is given back before the call returns.
        Ok(unsafe { gpu.borrow_raw::<f32>(at, len) })
    };
    let colors = (!colors.data.is_null()).then(|| borrow(colors, "colors")).transpose()?;
    let positions = borrow(positions, "positions")?;
    Input::on_device(gpu, &positions, colors.as_deref(), pipeline.options())
}

#[cfg(not(feature = "cuda"))]
unsafe fn on_device(_: &Pipeline, _: partstad_array, _: partstad_array) -> Result<Input> {
    no_device()
}

fn no_device() -> Result<Input> {
    Err(Error::invalid("the pipeline computes on the CPU; hand over arrays by partstad_cloud_from_host"))
}

/// Number of rows of the input: of points as a file or the arrays hold them. Results have one value for each.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_cloud_rows(cloud: Option<&partstad_cloud>) -> usize {
    cloud.map_or(0, |cloud| cloud.0.input.cloud.input_len())
}

/// Number of points that are segmented: rows without those that were left out.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_cloud_points(cloud: Option<&partstad_cloud>) -> usize {
    cloud.map_or(0, |cloud| cloud.0.input.cloud.len())
}

/// What was noticed about the cloud; results repeat it. Lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_cloud_warnings(
    cloud: Option<&partstad_cloud>,
    warnings: *mut *const *const c_char,
    count: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { show(given(cloud, "cloud")?.0.warnings.pointers(), warnings, count) })
}

/// Frees a cloud; no other thread may use it any more. Results of it live on. NULL is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_cloud_free(cloud: Option<Box<partstad_cloud>>) {
    free(cloud);
}
