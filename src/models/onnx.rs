//! Models in ONNX files: made once, checked against their contract, run many times.

#[cfg(feature = "cuda")]
use super::binding;
use super::engine::{self, Engine};
#[cfg(feature = "cuda")]
use crate::gpu::{Buffer, Gpu, ViewMut};
use crate::{
    error::{Error, Result},
    ops::nan,
};
use half::f16;
use ort::{
    session::{Session, SessionInputValue},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Element types of the contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 16-bit float.
    F16,
    /// 32-bit float.
    F32,
    /// 64-bit integer.
    I64,
}

impl Element {
    fn of(kind: TensorElementType) -> Option<Element> {
        match kind {
            TensorElementType::Float16 => Some(Element::F16),
            TensorElementType::Float32 => Some(Element::F32),
            TensorElementType::Int64 => Some(Element::I64),
            _ => None,
        }
    }
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
    /// What its elements may be.
    pub elements: &'static [Element],
    /// Its axes.
    pub dims: Vec<Dim>,
}

impl Port {
    /// A port of f32.
    pub fn f32(name: &'static str, dims: &[Dim]) -> Port {
        Port { name, elements: &[Element::F32], dims: dims.to_vec() }
    }

    /// A port of f32 or f16, as the file has it.
    pub fn float(name: &'static str, dims: &[Dim]) -> Port {
        Port { name, elements: &[Element::F32, Element::F16], dims: dims.to_vec() }
    }

    /// A port of i64.
    pub fn i64(name: &'static str, dims: &[Dim]) -> Port {
        Port { name, elements: &[Element::I64], dims: dims.to_vec() }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F16 => "f16",
            Element::F32 => "f32",
            Element::I64 => "i64",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<String> = self.elements.iter().map(|e| e.to_string()).collect();
        let dims: Vec<String> = self.dims.iter().map(|d| d.to_string()).collect();
        write!(f, "{} [{}]", elements.join(" or "), dims.join(", "))
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
    /// 16-bit floats.
    F16(&'a [f16]),
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

/// The values of an input, on a device.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy)]
pub enum OnDevice<'a> {
    /// 16-bit floats.
    F16(&'a Buffer<f16>),
    /// 32-bit floats.
    F32(&'a Buffer<f32>),
    /// 64-bit integers.
    I64(&'a Buffer<i64>),
}

macro_rules! values {
    ($type:ident) => {
        impl $type<'_> {
            fn len(&self) -> usize {
                match self {
                    $type::F16(values) => values.len(),
                    $type::F32(values) => values.len(),
                    $type::I64(values) => values.len(),
                }
            }

            fn element(&self) -> Element {
                match self {
                    $type::F16(_) => Element::F16,
                    $type::F32(_) => Element::F32,
                    $type::I64(_) => Element::I64,
                }
            }
        }
    };
}
values!(Values);
#[cfg(feature = "cuda")]
values!(OnDevice);

/// The values of an input, with their memory.
#[derive(Debug)]
pub enum Owned {
    /// 16-bit floats.
    F16(Vec<f16>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Owned {
    /// Floats as a model takes them: rounded to the nearest, if it takes f16.
    pub fn floats(values: Vec<f32>, element: Element) -> Owned {
        match element {
            Element::F16 => Owned::F16(values.into_iter().map(f16::from_f32).collect()),
            _ => Owned::F32(values),
        }
    }

    /// What a run takes.
    pub fn values(&self) -> Values<'_> {
        match self {
            Owned::F16(values) => Values::F16(values),
            Owned::F32(values) => Values::F32(values),
            Owned::I64(values) => Values::I64(values),
        }
    }
}

/// The values of an input, with their memory on a device.
#[cfg(feature = "cuda")]
#[derive(Debug)]
pub enum OwnedOnDevice {
    /// 16-bit floats.
    F16(Buffer<f16>),
    /// 32-bit floats.
    F32(Buffer<f32>),
    /// 64-bit integers.
    I64(Buffer<i64>),
}

#[cfg(feature = "cuda")]
impl OwnedOnDevice {
    /// What a run takes.
    pub fn values(&self) -> OnDevice<'_> {
        match self {
            OwnedOnDevice::F16(values) => OnDevice::F16(values),
            OwnedOnDevice::F32(values) => OnDevice::F32(values),
            OwnedOnDevice::I64(values) => OnDevice::I64(values),
        }
    }

    fn alloc(gpu: &Gpu, like: &OnDevice) -> Result<OwnedOnDevice> {
        Ok(match like {
            OnDevice::F16(values) => OwnedOnDevice::F16(gpu.alloc(values.len())?),
            OnDevice::F32(values) => OwnedOnDevice::F32(gpu.alloc(values.len())?),
            OnDevice::I64(values) => OwnedOnDevice::I64(gpu.alloc(values.len())?),
        })
    }

    fn copy_from(&mut self, gpu: &Gpu, from: &OnDevice) -> Result<()> {
        match (self, from) {
            (OwnedOnDevice::F16(to), OnDevice::F16(from)) => gpu.copy(*from, to),
            (OwnedOnDevice::F32(to), OnDevice::F32(from)) => gpu.copy(*from, to),
            (OwnedOnDevice::I64(to), OnDevice::I64(from)) => gpu.copy(*from, to),
            _ => unreachable!("made like it"),
        }
    }
}

/// A model that keeps its contract.
#[derive(Debug)]
pub struct Model {
    name: String,
    contract: Contract,
    /// Of every input.
    elements: Vec<Element>,
    /// ONNX Runtime wants sole access while it runs.
    session: Mutex<Session>,
    /// The device whose stream it computes on; none if it computes on the CPU. It goes after the session.
    #[cfg(feature = "cuda")]
    gpu: Option<Gpu>,
    /// Where its work is replayed as a graph: the memory that the graph of each shape works on.
    #[cfg(feature = "cuda")]
    kept: Option<Mutex<Vec<Kept>>>,
}

/// Inputs and outputs that stay where they are, for inputs of one shape.
#[cfg(feature = "cuda")]
#[derive(Debug)]
struct Kept {
    shapes: Vec<Vec<usize>>,
    inputs: Vec<OwnedOnDevice>,
    outputs: Vec<Buffer<f32>>,
}

impl Model {
    /// Makes the session. `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, broken or needs operators that this ONNX Runtime lacks, or if an input
    /// or output is not what the contract asks for; the message says which and how it differs. [`Error::Memory`] if
    /// memory does not suffice.
    pub fn new(engine: &Engine, name: &str, source: Source, contract: Contract) -> Result<Model> {
        let session = engine.session(name, source)?;
        if let Some(problem) = compare(&session, &contract).into_iter().find_map(|port| port.problem) {
            return Err(Error::Model(format!("{name}: {problem}")));
        }
        let element = |port: &Port| {
            let input = session.inputs().iter().find(|input| input.name() == port.name);
            let found = input.and_then(|input| Element::of(input.dtype().tensor_type()?));
            found.expect("compared with the contract")
        };
        Ok(Model {
            name: name.into(),
            elements: contract.inputs.iter().map(element).collect(),
            contract,
            #[cfg(feature = "cuda")]
            gpu: engine.gpu().cloned(),
            #[cfg(feature = "cuda")]
            kept: engine.options().cuda_graphs.then(Mutex::default),
            session: session.into(),
        })
    }

    /// Compares a model with a contract, port by port, without keeping it.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no session to be had, as for [`Model::new`].
    pub fn inspect(
        engine: &Engine,
        name: &str,
        source: Source,
        contract: &Contract,
    ) -> Result<Vec<Comparison>> {
        Ok(compare(&engine.session(name, source)?, contract))
    }

    /// What the elements of an input are, by its place in the contract.
    pub fn element(&self, input: usize) -> Element {
        self.elements[input]
    }

    /// Whether it computes on this device's stream.
    #[cfg(feature = "cuda")]
    pub fn is_on(&self, gpu: &Gpu) -> bool {
        self.gpu.as_ref() == Some(gpu)
    }

    /// Runs the model on one batch and hands its outputs, in the contract's order, to `read`.
    ///
    /// `inputs`: shape and values of every input, in the contract's order; the free axes of one symbol must agree.
    ///
    /// # Errors
    /// [`Error::Model`] if ONNX Runtime fails, if an output's shape breaks the contract or if an output holds NaN;
    /// [`Error::Memory`] if memory does not suffice; what `read` returns.
    pub fn run<T>(
        &self,
        inputs: &[(&[usize], Values)],
        read: impl FnOnce(&[&[f32]]) -> Result<T>,
    ) -> Result<T> {
        self.run_unchecked(inputs, |outputs| {
            let nans: Vec<u32> = outputs.iter().map(|values| nan::cpu::count(values)).collect();
            self.check_nans(&nans)?;
            read(outputs)
        })
    }

    fn run_unchecked<T>(
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
                Values::F16(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
                Values::F32(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
                Values::I64(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
            };
            values
                .push((port.name.into(), value.map_err(|e| failed(format!("input `{}`: {e}", port.name)))?));
        }
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let results = session.run(values).map_err(|e| self.failure(&e))?;
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
            outputs.push(data);
        }
        read(&outputs)
    }

    fn failure(&self, error: &ort::Error) -> Error {
        engine::failure(&format!("{}: ONNX Runtime failed", self.name), &error.to_string())
    }

    /// Refuses outputs with NaN. `counts`: how many each output has, in the contract's order, as [`Model::run_on`] counts.
    ///
    /// # Errors
    /// [`Error::Model`] naming the first that has any.
    pub fn check_nans(&self, counts: &[u32]) -> Result<()> {
        match self.contract.outputs.iter().zip(counts).find(|(_, count)| **count > 0) {
            Some((port, count)) => Err(Error::Model(format!(
                "{}: output `{}` is NaN in {count} elements: the weights or the input are broken, or the numbers too \
                 large for a model in f16",
                self.name, port.name
            ))),
            None => Ok(()),
        }
    }

    /// As [`Model::run`], from and to memory of `gpu`. A model that computes there copies nothing and does not wait; one
    /// that computes on the CPU copies inputs and outputs.
    ///
    /// `outputs`: in the contract's order, each of the length that its shape asks for. `nans`: one number per output, to
    /// which those of its elements are added that are NaN; [`Model::check_nans`] looks at them when the host has them.
    ///
    /// # Errors
    /// As [`Model::run`], but for NaN; [`Error::Device`] if the driver refuses.
    #[cfg(feature = "cuda")]
    pub fn run_on(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], OnDevice)],
        outputs: &mut [ViewMut<f32>],
        nans: &mut Buffer<u32>,
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
        match &self.kept {
            Some(kept) => self.run_kept(gpu, kept, inputs, &shapes, outputs)?,
            None => self.compute(gpu, inputs, &shapes, outputs, None)?,
        }
        for (i, output) in outputs.iter().enumerate() {
            nan::cuda::count(gpu, output, &mut nans.slice_mut(i..=i))?;
        }
        Ok(())
    }

    /// On memory that stays where it is, as a graph that is replayed asks for: `inputs` are copied to it, and `outputs`
    /// from it.
    #[cfg(feature = "cuda")]
    fn run_kept(
        &self,
        gpu: &Gpu,
        kept: &Mutex<Vec<Kept>>,
        inputs: &[(&[usize], OnDevice)],
        shapes: &[Vec<usize>],
        outputs: &mut [ViewMut<f32>],
    ) -> Result<()> {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &Kept| kept.shapes.iter().zip(inputs).all(|(kept, (shape, _))| kept == shape);
        let graph = match kept.iter().position(same) {
            Some(graph) => graph,
            None => {
                kept.push(Kept {
                    shapes: inputs.iter().map(|(shape, _)| shape.to_vec()).collect(),
                    inputs: inputs
                        .iter()
                        .map(|(_, data)| OwnedOnDevice::alloc(gpu, data))
                        .collect::<Result<_>>()?,
                    outputs: outputs.iter().map(|output| gpu.alloc(output.len())).collect::<Result<_>>()?,
                });
                kept.len() - 1
            }
        };
        let Kept { inputs: own, outputs: made, .. } = &mut kept[graph];
        own.iter_mut().zip(inputs).try_for_each(|(to, (_, from))| to.copy_from(gpu, from))?;
        let own: Vec<_> = inputs.iter().zip(&*own).map(|((shape, _), own)| (*shape, own.values())).collect();
        let mut views: Vec<_> = made.iter_mut().map(|made| made.as_view_mut()).collect();
        self.compute(gpu, &own, shapes, &mut views, Some(graph))?;
        made.iter().zip(outputs).try_for_each(|(from, to)| gpu.copy(from, to))
    }

    /// `graph`: the number of the graph that it is, if it may be one.
    #[cfg(feature = "cuda")]
    fn compute(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], OnDevice)],
        shapes: &[Vec<usize>],
        outputs: &mut [ViewMut<f32>],
        graph: Option<usize>,
    ) -> Result<()> {
        if self.is_on(gpu) {
            return self.run_bound(gpu, inputs, shapes, outputs, graph).map_err(|e| self.failure(&e));
        }
        let fetch = |(_, data): &(_, OnDevice)| {
            Ok(match data {
                OnDevice::F16(values) => Owned::F16(gpu.download(*values)?),
                OnDevice::F32(values) => Owned::F32(gpu.download(*values)?),
                OnDevice::I64(values) => Owned::I64(gpu.download(*values)?),
            })
        };
        let here = inputs.iter().map(fetch).collect::<Result<Vec<_>>>()?;
        let values: Vec<_> =
            inputs.iter().zip(&here).map(|((shape, _), here)| (*shape, here.values())).collect();
        self.run_unchecked(&values, |found| {
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
        graph: Option<usize>,
    ) -> ort::Result<()> {
        use cudarc::driver::{DevicePtr, DevicePtrMut};
        use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
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
                    OnDevice::F16(values) => values.device_ptr(gpu.stream()).0,
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
                binding::Tensor { name: port.name, element: Element::F32, shape, at: at as *mut _ }
            })
            .collect();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffers are the shapes' products long, and everything that uses them later is on the same stream.
        unsafe { binding::run(&mut session, &memory, &inputs, &outputs, graph) }
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
        for ((port, own), (shape, element, len)) in
            self.contract.inputs.iter().zip(&self.elements).zip(inputs)
        {
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
            if element != *own
                || shape.len() != port.dims.len()
                || len != shape.iter().product::<usize>()
                || !port.dims.iter().zip(shape).all(agrees)
            {
                return Err(format!(
                    "input `{}` is {len} values ({element}) of shape {shape:?}, expected {port}, in {own}",
                    port.name
                ));
            }
        }
        Ok(symbols)
    }
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
    let found = outlet.dtype();
    if !found.tensor_type().and_then(Element::of).is_some_and(|element| port.elements.contains(&element)) {
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

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;
    use crate::models::{Options, runtime};

    /// Inputs that change, of shapes that take turns, through memory that is kept.
    #[test]
    fn kept_memory_changes_nothing() {
        cuda_emulator::install();
        let gpu = Gpu::new(0).unwrap();
        let engine = Engine::cpu(runtime::load().unwrap(), &Options { threads: 1, ..Options::default() });
        let [t, l] = [Dim::Free("T"), Dim::Free("L")];
        let contract = Contract {
            inputs: vec![Port::i64("input_ids", &[t, l]), Port::i64("attention_mask", &[t, l])],
            outputs: vec![Port::f32("text_hidden", &[t, l, Dim::Fixed(16)])],
        };
        let file = Path::new("tests/fixtures/models/text_encoder.onnx");
        let mut model = Model::new(&engine, "tiny", Source::File(file), contract).unwrap();
        let run = |model: &Model, ids: &[i64]| {
            let (ids, mask) = (gpu.upload(ids).unwrap(), gpu.upload(&vec![1i64; ids.len()]).unwrap());
            let (mut hidden, mut nans) = (gpu.alloc(16 * ids.len()).unwrap(), gpu.zeros(1).unwrap());
            let shape = [1, ids.len()];
            let inputs = [(&shape[..], OnDevice::I64(&ids)), (&shape[..], OnDevice::I64(&mask))];
            model.run_on(&gpu, &inputs, &mut [hidden.as_view_mut()], &mut nans).unwrap();
            gpu.download(&hidden).unwrap()
        };
        let inputs: [&[i64]; 4] = [&[5, 6, 7], &[8, 9], &[7, 6, 5], &[5, 6, 7]];
        let expected = inputs.map(|ids| run(&model, ids));
        model.kept = Some(Mutex::default());
        for _ in 0..2 {
            assert_eq!(inputs.map(|ids| run(&model, ids)), expected);
        }
        assert_eq!(model.kept.unwrap().into_inner().unwrap().len(), 2, "one for each shape");
    }
}
