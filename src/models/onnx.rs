//! Models in ONNX files: made once, checked against their contract, run many times.

#[cfg(feature = "cuda")]
use super::binding;
use super::runtime::Runtime;
#[cfg(feature = "cuda")]
use crate::gpu::{Buffer, Gpu, ViewMut};
use crate::{
    device::Device,
    error::{Error, Result},
};
use ort::{
    session::{Session, SessionInputValue, builder::GraphOptimizationLevel},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};
#[cfg(feature = "cuda")]
use {
    ort::{
        ep::{self, ExecutionProvider},
        memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType},
    },
    std::sync::OnceLock,
};

/// Element types of the contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 64-bit integer.
    I64,
}

/// Length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Any length, under this symbol; an input's must be dynamic in the file.
    Free(&'static str),
    /// Any length, under this symbol, that the file may fix.
    Any(&'static str),
    /// Exactly this.
    Fixed(usize),
}

/// An input or output that a contract asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: &'static str,
    /// Its elements.
    pub element: Element,
    /// Its axes.
    pub dims: Vec<Dim>,
}

impl Port {
    /// A port of f32.
    pub fn f32(name: &'static str, dims: &[Dim]) -> Port {
        Port { name, element: Element::F32, dims: dims.to_vec() }
    }

    /// A port of i64.
    pub fn i64(name: &'static str, dims: &[Dim]) -> Port {
        Port { name, element: Element::I64, dims: dims.to_vec() }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = if self.element == Element::F32 { "f32" } else { "i64" };
        let dims: Vec<String> = self.dims.iter().map(|d| d.to_string()).collect();
        write!(f, "{element} [{}]", dims.join(", "))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Free(symbol) | Dim::Any(symbol) => f.write_str(symbol),
            Dim::Fixed(n) => write!(f, "{n}"),
        }
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Every input there may be.
    pub inputs: Vec<Port>,
    /// The outputs that are read; a model may have more.
    pub outputs: Vec<Port>,
}

/// An input or output of a contract, of a model or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// "input" or "output".
    pub kind: &'static str,
    /// Its name in the graph.
    pub name: String,
    /// What the contract asks for, if it knows it.
    pub contract: Option<String>,
    /// What the model has, if it has it.
    pub model: Option<String>,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

/// Where a model's bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In a file, whose external data may lie beside it.
    File(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
}

/// The values of an input.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

/// The values of an input, on a device.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy)]
pub enum OnDevice<'a> {
    /// 32-bit floats.
    F32(&'a Buffer<f32>),
    /// 64-bit integers.
    I64(&'a Buffer<i64>),
}

#[cfg(feature = "cuda")]
impl OnDevice<'_> {
    fn len(&self) -> usize {
        match self {
            OnDevice::F32(values) => values.len(),
            OnDevice::I64(values) => values.len(),
        }
    }

    fn element(&self) -> Element {
        match self {
            OnDevice::F32(_) => Element::F32,
            OnDevice::I64(_) => Element::I64,
        }
    }
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Values::F32(values) => values.len(),
            Values::I64(values) => values.len(),
        }
    }

    fn element(&self) -> Element {
        match self {
            Values::F32(_) => Element::F32,
            Values::I64(_) => Element::I64,
        }
    }
}

/// A model that keeps its contract.
#[derive(Debug)]
pub struct Model {
    name: String,
    contract: Contract,
    /// ONNX Runtime wants sole access while it runs.
    session: Mutex<Session>,
    /// The device whose stream it computes on; none if it computes on the CPU. It goes after the session.
    #[cfg(feature = "cuda")]
    gpu: Option<Gpu>,
}

impl Model {
    /// Makes the session. `name` is for messages; `threads` work within an operator, 0 = one per core. On a CUDA device
    /// it computes on the device's stream, or on the CPU if this ONNX Runtime cannot, which is said as a warning.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, broken or needs operators that this ONNX Runtime lacks, or if an input
    /// or output is not what the contract asks for; the message says which and how it differs.
    pub fn new(
        runtime: &Runtime,
        device: &Device,
        name: &str,
        source: Source,
        threads: usize,
        contract: Contract,
    ) -> Result<Model> {
        let device = if provides(device) { device } else { &Device::Cpu };
        let session = open(runtime, device, name, source, threads)?;
        match compare(&session, &contract).into_iter().find_map(|port| port.problem) {
            Some(problem) => Err(Error::Model(format!("{name}: {problem}"))),
            None => Ok(Model {
                name: name.into(),
                contract,
                #[cfg(feature = "cuda")]
                gpu: match device {
                    Device::Cuda(gpu) => Some(gpu.clone()),
                    Device::Cpu => None,
                },
                session: session.into(),
            }),
        }
    }

    /// Compares a model with a contract, port by port, without keeping it.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no session to be had, as for [`Model::new`].
    pub fn inspect(
        runtime: &Runtime,
        name: &str,
        source: Source,
        contract: &Contract,
    ) -> Result<Vec<Comparison>> {
        Ok(compare(&open(runtime, &Device::Cpu, name, source, 0)?, contract))
    }

    /// Runs the model on one batch and hands its outputs, in the contract's order, to `read`.
    ///
    /// `inputs`: shape and values of every input, in the contract's order; the free axes of one symbol must agree.
    ///
    /// # Errors
    /// [`Error::Model`] if ONNX Runtime fails, if an output's shape breaks the contract or if an output holds NaN;
    /// what `read` returns.
    pub fn run<T>(
        &self,
        inputs: &[(&[usize], Values)],
        read: impl FnOnce(&[&[f32]]) -> Result<T>,
    ) -> Result<T> {
        let failed = |why: String| Error::Model(format!("{}: {why}", self.name));
        let given = inputs.iter().map(|(shape, data)| (*shape, data.element(), data.len()));
        let symbols = self.bind(given).map_err(failed)?;
        let mut values: Vec<(Cow<str>, SessionInputValue)> = vec![];
        for (port, (shape, data)) in self.contract.inputs.iter().zip(inputs) {
            let value = match *data {
                Values::F32(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
                Values::I64(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
            };
            values
                .push((port.name.into(), value.map_err(|e| failed(format!("input `{}`: {e}", port.name)))?));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(values).map_err(|e| failed(format!("ONNX Runtime failed: {e}")))?;
        let mut outputs = vec![];
        for port in &self.contract.outputs {
            let wrong = |why: String| failed(format!("output `{}` {why}", port.name));
            let value = results.get(port.name).ok_or_else(|| wrong("is missing".into()))?;
            let (shape, data) = value.try_extract_tensor::<f32>().map_err(|e| wrong(e.to_string()))?;
            let expected = port.dims.iter().map(|dim| match *dim {
                Dim::Fixed(n) => Some(n as i64),
                Dim::Free(symbol) | Dim::Any(symbol) => {
                    symbols.iter().find(|(s, _)| *s == symbol).map(|&(_, n)| n as i64)
                }
            });
            if shape.len() != port.dims.len()
                || expected.zip(shape.iter()).any(|(e, &n)| e.is_some_and(|e| e != n))
            {
                let bound: Vec<String> = symbols.iter().map(|(s, n)| format!("{s} = {n}")).collect();
                return Err(wrong(format!("has shape {shape:?}, expected {port} with {}", bound.join(", "))));
            }
            if let Some(at) = data.iter().position(|x| x.is_nan()) {
                return Err(wrong(format!("is NaN at element {at}: the weights or the input are broken")));
            }
            outputs.push(data);
        }
        read(&outputs)
    }

    /// As [`Model::run`], from and to memory of `gpu`. A model that computes there copies nothing and does not wait; one
    /// that computes on the CPU copies inputs and outputs.
    ///
    /// `outputs`: in the contract's order, each of the length that its shape asks for. They are not looked at for NaN
    /// where the model computes on the device.
    ///
    /// # Errors
    /// As [`Model::run`]; [`Error::Device`] if the driver refuses.
    #[cfg(feature = "cuda")]
    pub fn run_on(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], OnDevice)],
        outputs: &mut [ViewMut<f32>],
    ) -> Result<()> {
        let failed = |why: String| Error::Model(format!("{}: {why}", self.name));
        let given = inputs.iter().map(|(shape, data)| (*shape, data.element(), data.len()));
        let symbols = self.bind(given).map_err(failed)?;
        let mut shapes = vec![];
        for (port, output) in self.contract.outputs.iter().zip(&*outputs) {
            let length = |dim: &Dim| match *dim {
                Dim::Fixed(n) => Some(n),
                Dim::Free(symbol) | Dim::Any(symbol) => {
                    symbols.iter().find(|(s, _)| *s == symbol).map(|&(_, n)| n)
                }
            };
            let shape: Option<Vec<usize>> = port.dims.iter().map(length).collect();
            match shape.filter(|shape| shape.iter().product::<usize>() == output.len()) {
                Some(shape) => shapes.push(shape),
                None => {
                    let room = output.len();
                    return Err(failed(format!(
                        "output `{}` is {port}; there is room for {room}",
                        port.name
                    )));
                }
            }
        }
        if self.gpu.as_ref() == Some(gpu) {
            return self.run_bound(gpu, inputs, &shapes, outputs).map_err(|e| failed(e.to_string()));
        }
        // Both kinds for each input, one of them empty.
        let fetch = |(_, data): &(_, OnDevice)| match data {
            OnDevice::F32(values) => Ok((gpu.download(*values)?, vec![])),
            OnDevice::I64(values) => Ok((vec![], gpu.download(*values)?)),
        };
        let here = inputs.iter().map(fetch).collect::<Result<Vec<_>>>()?;
        let mut values = vec![];
        for ((shape, data), (f32s, i64s)) in inputs.iter().zip(&here) {
            values.push(match data {
                OnDevice::F32(_) => (*shape, Values::F32(f32s)),
                OnDevice::I64(_) => (*shape, Values::I64(i64s)),
            });
        }
        self.run(&values, |found| {
            found.iter().zip(outputs).try_for_each(|(found, output)| gpu.write(found, output))
        })
    }

    #[cfg(feature = "cuda")]
    fn run_bound(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], OnDevice)],
        shapes: &[Vec<usize>],
        outputs: &mut [ViewMut<f32>],
    ) -> ort::Result<()> {
        use cudarc::driver::{DevicePtr, DevicePtrMut};
        let memory = MemoryInfo::new(
            AllocationDevice::CUDA,
            gpu.ordinal() as i32,
            AllocatorType::Device,
            MemoryType::Default,
        )?;
        let inputs: Vec<binding::Tensor> = self
            .contract
            .inputs
            .iter()
            .zip(inputs)
            .map(|(port, (shape, data))| {
                let at = match data {
                    OnDevice::F32(values) => values.device_ptr(gpu.stream()).0,
                    OnDevice::I64(values) => values.device_ptr(gpu.stream()).0,
                };
                binding::Tensor { name: port.name, element: data.element(), shape, at: at as *mut _ }
            })
            .collect();
        let outputs: Vec<binding::Tensor> = self
            .contract
            .outputs
            .iter()
            .zip(shapes)
            .zip(outputs)
            .map(|((port, shape), output)| {
                let at = output.device_ptr_mut(gpu.stream()).0;
                binding::Tensor { name: port.name, element: port.element, shape, at: at as *mut _ }
            })
            .collect();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffers are the shapes' products long, and everything that uses them later is on the same stream.
        unsafe { binding::run(&mut session, &memory, &inputs, &outputs) }
    }

    /// The lengths of the free axes, by symbol. `inputs`: shape, elements and number of values.
    fn bind<'a>(
        &self,
        inputs: impl ExactSizeIterator<Item = (&'a [usize], Element, usize)>,
    ) -> Result<Vec<(&'static str, usize)>, String> {
        if inputs.len() != self.contract.inputs.len() {
            return Err(format!("{} inputs given, {} needed", inputs.len(), self.contract.inputs.len()));
        }
        let mut symbols: Vec<(&'static str, usize)> = vec![];
        for (port, (shape, element, len)) in self.contract.inputs.iter().zip(inputs) {
            let agrees = |(&dim, &n): (&Dim, &usize)| match dim {
                Dim::Fixed(fixed) => fixed == n,
                Dim::Free(symbol) | Dim::Any(symbol) => match symbols.iter().find(|(s, _)| *s == symbol) {
                    Some(&(_, bound)) => bound == n,
                    None => {
                        symbols.push((symbol, n));
                        true
                    }
                },
            };
            if element != port.element
                || shape.len() != port.dims.len()
                || len != shape.iter().product::<usize>()
                || !port.dims.iter().zip(shape).all(agrees)
            {
                return Err(format!(
                    "input `{}` is {len} values of shape {shape:?}, expected {port}",
                    port.name
                ));
            }
        }
        Ok(symbols)
    }
}

/// Whether the library that is loaded computes on such a device.
fn provides(device: &Device) -> bool {
    match device {
        Device::Cpu => true,
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => {
            static FOUND: OnceLock<bool> = OnceLock::new();
            *FOUND.get_or_init(|| {
                let found = ep::CUDA::is_available().unwrap_or(false);
                if !found {
                    tracing::warn!(
                        "this ONNX Runtime has no CUDA provider, so the models run on the CPU; pip install onnxruntime-gpu \
                         and set ORT_DYLIB_PATH to its library"
                    );
                }
                found
            })
        }
    }
}

fn open(runtime: &Runtime, device: &Device, name: &str, source: Source, threads: usize) -> Result<Session> {
    let made = || {
        let mut builder = Session::builder(runtime.environment())?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(threads)?
            // Idle workers would take the cores from the stages that follow.
            .with_intra_op_spinning(false)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(gpu) = device {
            // In full precision, as on the CPU.
            let provider = ep::CUDA::default().with_device_id(gpu.ordinal() as i32).with_tf32(false);
            // SAFETY: the model keeps the device, whose stream lives as long as it.
            let provider = unsafe { provider.with_compute_stream(gpu.stream().cu_stream().cast()) };
            builder = builder.with_execution_providers([provider.build().error_on_failure()])?;
        }
        #[cfg(not(feature = "cuda"))]
        let Device::Cpu = device;
        match source {
            Source::File(path) => builder.commit_from_file(path),
            Source::Bytes(bytes) => builder.commit_from_memory(bytes),
        }
    };
    made().map_err(|e: ort::Error| Error::Model(format!("{name}: ONNX Runtime cannot use this model: {e}")))
}

/// Every input and output of the contract beside the model's, then the inputs that only the model has.
fn compare(session: &Session, contract: &Contract) -> Vec<Comparison> {
    let mut ports = vec![];
    for (expected, outlets, kind) in
        [(&contract.inputs, session.inputs(), "input"), (&contract.outputs, session.outputs(), "output")]
    {
        for port in expected {
            let outlet = outlets.iter().find(|outlet| outlet.name() == port.name);
            let problem = match outlet {
                Some(outlet) => differs(port, outlet, kind == "input")
                    .err()
                    .map(|why| format!("{kind} `{}` should be {port}, but {why}", port.name)),
                None => {
                    let names: Vec<&str> = outlets.iter().map(|o| o.name()).collect();
                    let names = names.join(", ");
                    Some(format!("there is no {kind} `{}` ({port}); the {kind}s are: {names}", port.name))
                }
            };
            let (name, contract) = (port.name.to_string(), Some(port.to_string()));
            ports.push(Comparison { kind, name, contract, model: outlet.map(shape), problem });
        }
    }
    for outlet in session.inputs() {
        if contract.inputs.iter().all(|port| port.name != outlet.name()) {
            let problem = Some(format!("input `{}` is none that the contract knows", outlet.name()));
            let (name, model) = (outlet.name().to_string(), Some(shape(outlet)));
            ports.push(Comparison { kind: "input", name, contract: None, model, problem });
        }
    }
    ports
}

/// Elements and axes of a model's input or output, as a [`Port`] shows them.
fn shape(outlet: &Outlet) -> String {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return outlet.dtype().to_string();
    };
    let axis = |(&n, symbol): (&i64, &String)| match n {
        0.. => n.to_string(),
        _ if symbol.is_empty() => "?".into(),
        _ => symbol.clone(),
    };
    let axes: Vec<String> = shape.iter().zip(dimension_symbols.iter()).map(axis).collect();
    format!("{ty} [{}]", axes.join(", "))
}

/// How a graph's input or output differs from the contract.
fn differs(port: &Port, outlet: &Outlet, is_input: bool) -> Result<(), String> {
    let expected =
        if port.element == Element::F32 { TensorElementType::Float32 } else { TensorElementType::Int64 };
    let found = outlet.dtype();
    if found.tensor_type() != Some(expected) {
        return Err(format!("the model has {found}"));
    }
    let shape = found.tensor_shape().map_or(&[][..], |shape| &**shape);
    if shape.is_empty() && !is_input {
        // ONNX Runtime could not infer the shape; every run checks it.
        return Ok(());
    }
    if shape.len() != port.dims.len() {
        return Err(format!("the model has {} axes: {found}", shape.len()));
    }
    for (axis, (dim, &n)) in port.dims.iter().zip(shape).enumerate() {
        match *dim {
            Dim::Fixed(fixed) if n >= 0 && n as usize != fixed => {
                return Err(format!("the model's axis {axis} is {n}"));
            }
            Dim::Free(_) if n >= 0 && is_input => {
                return Err(format!("the model's axis {axis} is fixed at {n}; export it as dynamic"));
            }
            _ => {}
        }
    }
    Ok(())
}
