//! Models in ONNX files: made once, checked against their contract, run many times.

use super::{
    contract::{self, Contract, Element, Port},
    failure,
    session::{Sessions, Source},
    tensor::Values,
};
use crate::{
    error::{Error, Result},
    ops::basic::nan,
};
use ort::{
    session::{Session, SessionInputValue},
    value::{DynValue, TensorRef},
};
use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

/// A model that keeps its contract.
#[derive(Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) contract: Contract,
    /// Of every input.
    pub(super) elements: Vec<Element>,
    /// ONNX Runtime wants sole access while it runs.
    pub(super) session: Mutex<Session>,
    /// It goes after the session.
    #[cfg(feature = "cuda")]
    pub(super) place: super::tensor::cuda::Place,
}

impl Model {
    /// Makes the session.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, broken or needs operators that this ONNX Runtime lacks, or if an input
    /// or output is not what the contract asks for; the message says which and how it differs. [`Error::Memory`] if
    /// memory does not suffice.
    pub fn new(sessions: &Sessions, source: &Source, contract: Contract) -> Result<Model> {
        let session = sessions.open(source)?;
        if let Some(problem) =
            contract::compare(&session, &contract).into_iter().find_map(|port| port.problem)
        {
            return Err(Error::Model(format!("{source}: {problem}")));
        }
        let element = |port: &Port| {
            let input = session.inputs().iter().find(|input| input.name() == port.name);
            let found = input.and_then(|input| Element::from_ort(input.dtype().tensor_type()?));
            found.expect("compared with the contract")
        };
        Ok(Model {
            name: source.to_string(),
            elements: contract.inputs.iter().map(element).collect(),
            contract,
            session: session.into(),
            #[cfg(feature = "cuda")]
            place: super::tensor::cuda::Place::new(&sessions.device, sessions.options.cuda_graphs),
        })
    }

    /// What it takes and gives.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// What the elements of an input are, by its place in the contract.
    pub fn element(&self, input: usize) -> Element {
        self.elements[input]
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

    /// As [`Model::run`], but for NaN.
    pub(super) fn run_unchecked<T>(
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
                Values::Bool(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
                Values::U8(data) => TensorRef::from_array_view((*shape, data)).map(SessionInputValue::from),
            };
            values
                .push((port.name.clone(), value.map_err(|e| failed(format!("input `{}`: {e}", port.name)))?));
        }
        // The session is free again before `read` begins, which may run in parallel and wait for another run.
        let found: Vec<Option<DynValue>> = {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let mut results = session.run(values).map_err(|e| self.failure(&e))?;
            self.contract.outputs.iter().map(|port| results.remove(&*port.name)).collect()
        };
        let mut outputs = vec![];
        for (port, value) in self.contract.outputs.iter().zip(&found) {
            let wrong = |why: String| failed(format!("output `{}` {why}", port.name));
            let value = value.as_ref().ok_or_else(|| wrong("is missing".into()))?;
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

    /// What ONNX Runtime's error means.
    pub(super) fn failure(&self, error: &ort::Error) -> Error {
        failure::explain(&format!("{}: ONNX Runtime failed", self.name), &error.to_string())
    }

    /// Refuses outputs with NaN. `counts`: how many each output has, in the contract's order, as a run on a device counts.
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
}
