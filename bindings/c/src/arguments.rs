//! What C hands over, checked: texts, paths, arrays, handles, and places for results.

use crate::status::{guard, partstad_status};
use rust::{Error, Parts, Result};
use std::{
    ffi::{CStr, c_char, c_void},
    path::PathBuf,
    slice,
};

/// Values of an array: unsigned integers of 8 bits.
pub const PARTSTAD_U8: u32 = 1;
/// Signed integers of 32 bits.
pub const PARTSTAD_I32: u32 = 2;
/// Floating-point numbers of 32 bits.
pub const PARTSTAD_F32: u32 = 3;
/// Floating-point numbers of 64 bits.
pub const PARTSTAD_F64: u32 = 4;

/// An array of the caller's, row after row, only read during the call. All zero is no array.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct partstad_array {
    /// The first value.
    pub data: *const c_void,
    /// Number of rows; how many values a row has is said where the array is taken.
    pub rows: usize,
    /// What the values are, such as `PARTSTAD_F32`.
    pub kind: u32,
}

/// The values of an array, by what they are.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// No array.
    None,
    /// `PARTSTAD_U8`.
    U8(&'a [u8]),
    /// `PARTSTAD_I32`.
    I32(&'a [i32]),
    /// `PARTSTAD_F32`.
    F32(&'a [f32]),
    /// `PARTSTAD_F64`.
    F64(&'a [f64]),
}

impl partstad_array {
    /// The values on the host. `columns`: of a row; `what`: names the array.
    ///
    /// # Safety
    /// The memory must hold so many values, and live as long as they are used.
    pub unsafe fn values<'a>(&self, columns: usize, what: &str) -> Result<Values<'a>> {
        let partstad_array { data, rows, kind } = *self;
        if data.is_null() && rows == 0 {
            return Ok(Values::None);
        }
        let len = length(rows, columns, 1, what)?;
        // SAFETY: the caller's.
        unsafe {
            match kind {
                PARTSTAD_U8 => Ok(Values::U8(list(data.cast(), len, what)?)),
                PARTSTAD_I32 => Ok(Values::I32(list(data.cast(), len, what)?)),
                PARTSTAD_F32 => Ok(Values::F32(list(data.cast(), len, what)?)),
                PARTSTAD_F64 => Ok(Values::F64(list(data.cast(), len, what)?)),
                _ => {
                    Err(Error::invalid(format!("{what}: kind {kind} is none of PARTSTAD_U8 to PARTSTAD_F64")))
                }
            }
        }
    }
}

#[cfg(feature = "cuda")]
impl partstad_array {
    /// Where values of `PARTSTAD_F32` begin in a device's memory, and how many there are.
    pub fn address(&self, columns: usize, what: &str) -> Result<(u64, usize)> {
        let partstad_array { data, rows, kind } = *self;
        if kind != PARTSTAD_F32 {
            return unfit(what, "PARTSTAD_F32");
        }
        check(data.cast::<f32>(), what)?;
        Ok((data.addr() as u64, length(rows, columns, size_of::<f32>(), what)?))
    }
}

/// So many rows of so many values of so many bytes each, if memory can hold them.
fn length(rows: usize, columns: usize, bytes: usize, what: &str) -> Result<usize> {
    let len = rows.checked_mul(columns);
    let fits = len.and_then(|len| len.checked_mul(bytes)).is_some_and(|bytes| bytes <= isize::MAX as usize);
    match len {
        Some(len) if fits => Ok(len),
        _ => Err(Error::invalid(format!("{what}: {rows} rows of {columns} are more than memory can hold"))),
    }
}

/// For an array of another kind than it must be.
pub fn unfit<T>(what: &str, kinds: &str) -> Result<T> {
    Err(Error::invalid(format!("{what}: the array must be of kind {kinds}")))
}

/// So many values. `what`: names them.
///
/// # Safety
/// As of [`partstad_array::values`].
pub unsafe fn list<'a, T>(data: *const T, len: usize, what: &str) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    length(len, 1, size_of::<T>(), what)?;
    check(data, what)?;
    // SAFETY: the caller's; the pointer is aligned and not null.
    Ok(unsafe { slice::from_raw_parts(data, len) })
}

fn check<T>(data: *const T, what: &str) -> Result<()> {
    if data.is_null() {
        return Err(Error::invalid(format!("{what} is NULL")));
    }
    if !data.is_aligned() {
        return Err(Error::invalid(format!(
            "{what} is at {data:p}, which is no multiple of {}; align it as its type asks",
            align_of::<T>()
        )));
    }
    Ok(())
}

/// A text; none for NULL.
///
/// # Safety
/// A text ends with a zero byte, and lives as long as it is used.
pub unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|e| Error::invalid(format!("{what} {text:?} is not UTF-8: {e}")))
}

/// A path; none for NULL.
///
/// # Safety
/// As of [`text`].
pub unsafe fn path(path: *const c_char, what: &str) -> Result<Option<PathBuf>> {
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        _ = what;
        // SAFETY: the caller's.
        Ok((!path.is_null()).then(|| OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()).into()))
    }
    #[cfg(not(unix))]
    // SAFETY: the caller's.
    unsafe { text(path, what) }.map(|path| path.map(PathBuf::from))
}

/// What must not be NULL.
pub fn given<T>(argument: Option<T>, what: &str) -> Result<T> {
    argument.ok_or_else(|| Error::invalid(format!("{what} is NULL")))
}

/// The names of parts.
///
/// # Safety
/// There are so many texts, each as of [`text`].
pub unsafe fn parts(names: *const *const c_char, count: usize) -> Result<Parts> {
    // SAFETY: the caller's.
    let names = unsafe { list(names, count, "parts")? }.iter().enumerate().map(|(j, &name)| {
        let what = format!("part {j}");
        // SAFETY: the caller's.
        given(unsafe { text(name, &what)? }, &what)
    });
    Parts::new(names.collect::<Result<Vec<_>>>()?)
}

/// Puts a result where the caller wants it.
///
/// # Safety
/// The place must hold a `T`, whatever lies there.
pub unsafe fn put<T>(place: *mut T, value: T, what: &str) -> Result<()> {
    check(place, what)?;
    // SAFETY: the place is there, aligned and not null.
    unsafe { place.write(value) };
    Ok(())
}

/// Makes a handle; NULL if that fails.
///
/// # Safety
/// As of [`put`].
pub unsafe fn make<T>(place: *mut *mut T, what: &str, work: impl FnOnce() -> Result<T>) -> partstad_status {
    guard(|| {
        // SAFETY: the caller's.
        unsafe {
            put(place, std::ptr::null_mut(), what)?;
            put(place, Box::into_raw(Box::new(work()?)), what)
        }
    })
}

/// Shows a list that a handle holds.
///
/// # Safety
/// As of [`put`], both.
pub unsafe fn show<T>(list: &[T], data: *mut *const T, count: *mut usize) -> Result<()> {
    // SAFETY: the caller's.
    unsafe {
        put(data, list.as_ptr(), "the place for the list")?;
        put(count, list.len(), "the place for the count")
    }
}
