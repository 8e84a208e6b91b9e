//! Arrays of any library as NumPy arrays, and those as the library's slices.

use crate::error::invalid;
use numpy::{
    Element, IntoPyArray, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
    ndarray::{Array, IntoDimension},
};
use partstad::{Device, io::points::ColorUnit};
use pyo3::{
    exceptions::{PyException, PyMemoryError, PyValueError},
    intern,
    prelude::*,
    types::{PyDict, PyString},
};

/// Kinds of devices in DLPack whose memory the host reads.
const ON_HOST: [i32; 3] = [1, 3, 11];

/// What a NumPy dtype is: the `kind` of its letter.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Bool,
    Integer,
    Float,
}

/// Numbers in the memory of the host.
pub struct Numbers<'py> {
    /// What messages call them.
    what: &'static str,
    array: Bound<'py, PyUntypedArray>,
    pub kind: Kind,
}

impl<'py> Numbers<'py> {
    /// An array of NumPy, what has `__dlpack__`, `__array__` or `__cuda_array_interface__`, or nested lists of numbers.
    ///
    /// `device`: what fetches the last, if their own library does not.
    pub fn of(value: &Bound<'py, PyAny>, what: &'static str, device: &Device) -> PyResult<Numbers<'py>> {
        let py = value.py();
        if value.is_instance_of::<PyString>() || value.hasattr("__fspath__")? {
            return Err(invalid(py, format!("{what}: a path or a text; give an array")));
        }
        if py.import(intern!(py, "numpy.ma"))?.call_method1("is_masked", (value,))?.is_truthy()? {
            return Err(invalid(
                py,
                format!("{what}: some values are masked; give NaN for them, numpy.ma.filled(x, numpy.nan)"),
            ));
        }
        let array = match value.cast::<PyUntypedArray>() {
            Ok(array) => array.clone(),
            Err(_) => on_host(value, device).map_err(|e| unreadable(py, what, e))?,
        };
        let kind = match array.dtype().kind() {
            b'b' => Some(Kind::Bool),
            b'i' | b'u' => Some(Kind::Integer),
            b'f' => Some(Kind::Float),
            _ => None,
        };
        let numbers = Numbers { what, array, kind: kind.unwrap_or(Kind::Bool) };
        if kind.is_none() { Err(numbers.no_numbers()) } else { Ok(numbers) }
    }

    fn no_numbers(&self) -> PyErr {
        let (what, dtype) = (self.what, self.array.dtype());
        invalid(self.array.py(), format!("{what} have dtype {dtype}; give numbers"))
    }

    pub fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    /// Checks the shape; `wanted` as messages write it, such as `[N, 3]`.
    pub fn check(&self, fits: impl Fn(&[usize]) -> bool, wanted: &str) -> PyResult<()> {
        match fits(self.shape()) {
            true => Ok(()),
            false => {
                let (what, shape) = (self.what, self.shape());
                Err(invalid(self.array.py(), format!("{what} have shape {shape:?}; they must be {wanted}")))
            }
        }
    }

    /// The same in another type, row by row.
    pub fn values<T: Element + Copy>(&self) -> PyResult<Vec<T>> {
        self.read(|values: &[T]| values.to_vec())
    }

    /// Rows of D numbers each.
    pub fn rows<T: Element + Copy, const D: usize>(&self, wanted: &str) -> PyResult<Vec<[T; D]>> {
        self.check(|shape| matches!(shape, [_, width] if *width == D), wanted)?;
        if self.kind == Kind::Bool {
            return Err(self.no_numbers());
        }
        self.read(|values: &[T]| values.as_chunks().0.to_vec())
    }

    fn read<T: Element + Copy, R>(&self, read: impl FnOnce(&[T]) -> R) -> PyResult<R> {
        let py = self.array.py();
        let options = PyDict::new(py);
        options.set_item("dtype", T::get_dtype(py))?;
        options.set_item("requirements", ("C", "A", "E"))?;
        let array =
            py.import(intern!(py, "numpy"))?.call_method("require", (&self.array,), Some(&options))?;
        let array = array.cast_into::<PyArrayDyn<T>>()?.try_readonly()?;
        Ok(read(array.as_slice()?))
    }

    /// Indices, `[N]`, which must be integers.
    pub fn indices(&self, wanted: &str) -> PyResult<Vec<i64>> {
        self.check(|shape| shape.len() == 1, wanted)?;
        if self.kind != Kind::Integer && !self.array.is_empty() {
            let (what, dtype) = (self.what, self.array.dtype());
            return Err(invalid(
                self.array.py(),
                format!("{what} have dtype {dtype}; they must be integers"),
            ));
        }
        self.values()
    }

    /// What they count in, if they are colours.
    pub fn color_unit(&self) -> ColorUnit {
        match (self.kind, self.array.dtype().itemsize()) {
            (Kind::Integer, 1) => ColorUnit::Byte,
            (Kind::Integer, 2) => ColorUnit::Short,
            _ => ColorUnit::Guess,
        }
    }
}

/// What another library holds as an array of NumPy, without a copy where it lies on the host.
fn on_host<'py>(value: &Bound<'py, PyAny>, device: &Device) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = value.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    // PyTorch hands over no tensor that it differentiates.
    let value = match value.hasattr("requires_grad")? && value.hasattr("detach")? {
        true => value.call_method0("detach")?,
        false => value.clone(),
    };
    let array = if is_on_device(&value)? {
        numpy.call_method1("asarray", (fetched(&value, device)?,))?
    } else if value.hasattr("__dlpack__")? {
        // What DLPack cannot tell, such as a read-only array, may still come by `__array__`.
        let by_dlpack = numpy.call_method1("from_dlpack", (&value,));
        match (by_dlpack, value.hasattr("__array__")?) {
            (Err(_), true) => numpy.call_method1("asarray", (&value,))?,
            (by_dlpack, _) => by_dlpack?,
        }
    } else {
        numpy.call_method1("asarray", (&value,))?
    };
    Ok(array.cast_into()?)
}

fn is_on_device(value: &Bound<PyAny>) -> PyResult<bool> {
    if value.hasattr("__dlpack_device__")? {
        let (kind, _): (i32, i64) = value.call_method0("__dlpack_device__")?.extract()?;
        return Ok(!ON_HOST.contains(&kind));
    }
    value.hasattr("__cuda_array_interface__")
}

/// What lies on a device, brought to the host by its own library (PyTorch's `cpu`, CuPy's `get`, Numba's `copy_to_host`, Warp's
/// `numpy`), by our device, or by whoever's `__dlpack__` does that.
fn fetched<'py>(value: &Bound<'py, PyAny>, device: &Device) -> PyResult<Bound<'py, PyAny>> {
    for method in ["cpu", "get", "copy_to_host", "numpy"] {
        if value.hasattr(method)? {
            return value.call_method0(method);
        }
    }
    #[cfg(feature = "cuda")]
    if let Device::Cuda(gpu) = device
        && value.hasattr("__cuda_array_interface__")?
    {
        return interface::fetched(value, gpu);
    }
    if !value.hasattr("__dlpack__")? {
        let message =
            format!("it lies on a device, and the pipeline computes on {device}; copy it to the host");
        return Err(PyValueError::new_err(message));
    }
    let options = PyDict::new(value.py());
    options.set_item("device", "cpu")?;
    value.py().import("numpy")?.call_method("from_dlpack", (value,), Some(&options))
}

#[cfg(feature = "cuda")]
mod interface {
    use crate::error::OrRaise;
    use partstad::{Error, device::gpu::Gpu};
    use pyo3::{
        exceptions::PyValueError,
        prelude::*,
        types::{PyBytes, PyDict, PyTuple},
    };

    /// A contiguous array of `__cuda_array_interface__`, once everything that the device was told to do is done.
    pub fn fetched<'py>(value: &Bound<'py, PyAny>, gpu: &Gpu) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let said = value.getattr("__cuda_array_interface__")?.cast_into::<PyDict>()?;
        let get = |name: &str| {
            said.get_item(name)?.ok_or_else(|| PyValueError::new_err(format!("it has no {name}")))
        };
        let (at, _read_only): (u64, bool) = get("data")?.extract()?;
        let shape = get("shape")?.cast_into::<PyTuple>()?;
        let numpy = py.import("numpy")?;
        let dtype = numpy.call_method1("dtype", (get("typestr")?,))?;
        let strides = said.get_item("strides")?.filter(|strides| !strides.is_none());
        let laid_out = numpy.call_method1("empty", (&shape, &dtype))?;
        if strides.is_some_and(|strides| !strides.eq(laid_out.getattr("strides").ok()).unwrap_or(false)) {
            return Err(PyValueError::new_err("it is not contiguous; make it so on the device"));
        }
        let bytes: usize = laid_out.getattr("nbytes")?.extract()?;
        if bytes == 0 {
            return Ok(laid_out);
        }
        let values = py.detach(|| {
            let done = gpu.stream().context().synchronize();
            done.map_err(|e| Error::Device(format!("waiting for what fills the array: {e}")))?;
            // SAFETY: its owner, whom the caller holds, says that so many bytes lie there.
            gpu.download(&*unsafe { gpu.borrow_raw::<u8>(at, bytes) })
        });
        let values = PyBytes::new(py, &values.or_raise(py)?);
        numpy.call_method1("frombuffer", (values, dtype))?.call_method1("reshape", (shape,))
    }
}

fn unreadable(py: Python, what: &str, why: PyErr) -> PyErr {
    // Ctrl-C and a lack of memory stay what they are.
    if !why.is_instance_of::<PyException>(py) || why.is_instance_of::<PyMemoryError>(py) {
        return why;
    }
    let error = invalid(py, format!("{what} cannot be read as an array: {}", why.value(py)));
    error.set_cause(py, Some(why));
    error
}

/// An array of NumPy that owns the values.
pub fn array<T: Element, D: IntoDimension>(
    py: Python<'_>,
    shape: D,
    values: Vec<T>,
) -> PyResult<Bound<'_, PyAny>> {
    let array = Array::from_shape_vec(shape, values);
    Ok(array.map_err(|e| invalid(py, e.to_string()))?.into_pyarray(py).into_any())
}
