//! Views and superpoints alone.

use crate::{
    arguments::{given, make, path, put},
    cloud::partstad_cloud,
    pipeline::{Setup, partstad_pipeline},
    status::{free, guard, partstad_status},
};
use rust::{
    Error, Result,
    stages::{cloud::Cloud, superpoints::Superpoints, views::Views},
};
use std::{ffi::c_char, ptr};

/// The images of a cloud, and which row each pixel shows. All that is shown of it lives as long as the handle, and may be
/// read by any number of threads.
pub struct partstad_views(Views);

/// Renders a cloud as the pipeline's options say: by default from ten directions, 800 pixels a side.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_render(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    views: *mut *mut partstad_views,
) -> partstad_status {
    let work = || {
        let (setup, cloud) = arguments(pipeline, cloud)?;
        let rendered = Views::render(setup.pipeline.device(), cloud, &setup.pipeline.options().views)?;
        Ok(partstad_views(rendered.of_rows(cloud)?))
    };
    // SAFETY: the caller's, as the header says.
    unsafe { make(views, "views", work) }
}

/// A pipeline and a cloud that fits it and will find memory.
fn arguments<'a>(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&'a partstad_cloud>,
) -> Result<(Setup, &'a Cloud)> {
    let (setup, cloud) = (given(pipeline, "pipeline")?.setup(), &given(cloud, "cloud")?.0.input.cloud);
    setup.pipeline.check(cloud, 0)?;
    Ok((setup, cloud))
}

/// The images: `views` times `side` times `side` pixels of red, green, blue, row-major from the top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_views_images(
    views: Option<&partstad_views>,
    images: *mut *const u8,
    count: *mut usize,
    side: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { pixels(views, |views| views.images.host(), images, count, side) })
}

/// The row of the cloud's input that each pixel shows, -1 = background: `views` times `side` times `side` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_views_rows(
    views: Option<&partstad_views>,
    rows: *mut *const i32,
    count: *mut usize,
    side: *mut usize,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| unsafe { pixels(views, |views| views.pixel_to_point.host(), rows, count, side) })
}

unsafe fn pixels<'a, T: 'a>(
    views: Option<&'a partstad_views>,
    of: impl FnOnce(&'a Views) -> Result<&'a Vec<T>>,
    data: *mut *const T,
    count: *mut usize,
    side: *mut usize,
) -> Result<()> {
    let views = &given(views, "views")?.0;
    // SAFETY: the caller's.
    unsafe {
        put(data, of(views)?.as_ptr(), "the place for the pixels")?;
        put(count, views.len(), "count")?;
        put(side, views.side, "side")
    }
}

/// Writes what `partstad render` writes (docs/files.md) into a folder, which is made if need be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_views_write(
    views: Option<&partstad_views>,
    folder: *const c_char,
) -> partstad_status {
    // SAFETY: the caller's, as the header says.
    guard(|| given(views, "views")?.0.save(&given(unsafe { path(folder, "folder")? }, "folder")?))
}

/// Frees views and all that was shown of them; no other thread may use them any more. NULL is nothing to free.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_views_free(views: Option<Box<partstad_views>>) {
    free(views);
}

/// Over-segments a cloud as the pipeline's options say. `of_row`: the caller's array for the superpoint of every row of
/// the cloud's input, -1 where no point stands for a row; `rows`: its length, which must be `partstad_cloud_rows`.
/// `count`: how many superpoints there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn partstad_superpoints(
    pipeline: Option<&partstad_pipeline>,
    cloud: Option<&partstad_cloud>,
    of_row: *mut i32,
    rows: usize,
    count: *mut usize,
) -> partstad_status {
    guard(|| {
        let (setup, cloud) = arguments(pipeline, cloud)?;
        if rows != cloud.input_len() {
            return Err(Error::invalid(format!(
                "of_row has room for {rows} rows; the cloud has {}",
                cloud.input_len()
            )));
        }
        // SAFETY: the caller's, as the header says; the first value tells whether the place can be used.
        unsafe {
            put(of_row, -1, "of_row")?;
            put(count, 0, "count")?;
        }
        let found =
            Superpoints::partition(setup.pipeline.device(), cloud, &setup.pipeline.options().superpoints)?;
        let of_point: Vec<i32> = found.of_point.iter().map(|&s| s as i32).collect();
        let of_input = cloud.to_rows(&of_point, -1);
        // SAFETY: the caller's array has so many values, and is none of ours.
        unsafe { ptr::copy_nonoverlapping(of_input.as_ptr(), of_row, rows) };
        // SAFETY: the caller's, as the header says.
        unsafe { put(count, found.len(), "count") }
    })
}
