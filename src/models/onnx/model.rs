//! Models in ONNX files: made once, checked against their contract, run many times.

#[cfg(feature = "cuda")]
use super::{
    binding,
    tensor::{OnDevice, OwnedOnDevice},
};
use super::{
    contract::{self, Comparison, Contract, Element, Port},
    engine::{self, Engine},
    tensor::Values,
};
#[cfg(feature = "cuda")]
use crate::device::gpu::{Buffer, Gpu, ViewMut};
use crate::{
    error::{Error, Result},
    ops::basic::nan,
};
use ort::{
    session::{Session, SessionInputValue},
    value::TensorRef,
};
use std::{
    borrow::Cow,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Where a model's bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In a file, whose external data may lie beside it.
    File(&'a Path),
    /// In memory.
    Bytes(&'a [u8]),
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
        if let Some(problem) =
            contract::compare(&session, &contract).into_iter().find_map(|port| port.problem)
        {
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
        Ok(contract::compare(&engine.session(name, source)?, contract))
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
        let symbols = self.contract.bind(&self.elements, given).map_err(failed)?;
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
            let differs =
                |(&dim, &n): (&contract::Dim, &i64)| symbols.length(dim).is_some_and(|e| e as i64 != n);
            if shape.len() != port.dims.len() || port.dims.iter().zip(shape.iter()).any(differs) {
                return Err(wrong(format!("has shape {shape:?}, expected {port} with {symbols}")));
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

    /// As [`Model::run`], from and to memory of `gpu`. A model that computes there copies nothing; one that computes on the
    /// CPU copies inputs and outputs.
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
        let symbols = self.contract.bind(&self.elements, given).map_err(failed)?;
        let mut shapes = vec![];
        for (port, output) in self.contract.outputs.iter().zip(&*outputs) {
            let shape: Option<Vec<usize>> = port.dims.iter().map(|&dim| symbols.length(dim)).collect();
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
            // ONNX Runtime takes the thread's own device.
            gpu.bind()?;
            return self.run_bound(gpu, inputs, shapes, outputs, graph).map_err(|e| self.failure(&e));
        }
        let here = inputs.iter().map(|(_, data)| data.download(gpu)).collect::<Result<Vec<_>>>()?;
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
        use cudarc::driver::DevicePtrMut;
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
                let at = data.address(gpu);
                binding::Tensor { name: port.name, element: data.element(), shape, at }
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
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;
    use crate::models::{Options, contract::Dim, runtime};

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
