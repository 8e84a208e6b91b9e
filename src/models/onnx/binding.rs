//! Runs a session on tensors that lie in memory of its device: nothing is copied.

use super::contract::Element;
use half::f16;
use ort::{
    AsPointer,
    memory::MemoryInfo,
    session::{RunOptions, Session},
    value::{Shape, TensorRefMut},
};
use std::ffi::{CString, c_void};

/// A tensor of someone else's.
pub struct Tensor<'a> {
    /// The input or output of the graph that it is.
    pub name: &'a str,
    /// Its elements.
    pub element: Element,
    /// Its axes.
    pub shape: &'a [usize],
    /// Its first element.
    pub at: *mut c_void,
}

/// Runs the graph once. ort's own `bind_input` would copy borrowed tensors, so the C interface's is called.
///
/// `graph`: where ONNX Runtime replays CUDA graphs, the number of the one that this is: always of these shapes, at these
/// addresses.
///
/// # Safety
/// Every tensor must be so many elements of memory of the kind `memory`, until the session's work is done; nobody else
/// may use the outputs meanwhile.
pub unsafe fn run(
    session: &mut Session,
    memory: &MemoryInfo,
    inputs: &[Tensor],
    outputs: &[Tensor],
    graph: Option<usize>,
) -> ort::Result<()> {
    let binding = session.create_binding()?;
    let api = ort::api();
    let at = binding.ptr().cast_mut();
    let values = [inputs, outputs].map(|tensors| tensors.iter().map(|tensor| value(memory, tensor)));
    let [inputs_held, outputs_held] = values.map(Iterator::collect::<ort::Result<Vec<_>>>);
    let (inputs_held, outputs_held) = (inputs_held?, outputs_held?);
    for (tensor, value) in inputs.iter().zip(&inputs_held) {
        let name = CString::new(tensor.name).map_err(ort::Error::wrap)?;
        // SAFETY: the binding, the name and the value are alive.
        unsafe { ort::Error::result_from_status((api.BindInput)(at, name.as_ptr(), value.ptr())) }?;
    }
    for (tensor, value) in outputs.iter().zip(&outputs_held) {
        let name = CString::new(tensor.name).map_err(ort::Error::wrap)?;
        // SAFETY: the binding, the name and the value are alive.
        unsafe { ort::Error::result_from_status((api.BindOutput)(at, name.as_ptr(), value.ptr())) }?;
    }
    // ONNX Runtime waits for the device in the end. Without that it keeps the page-locked memory of every run's small copies
    // (those of Concat, Split) as long as the session lives.
    let mut options = RunOptions::new()?;
    if let Some(graph) = graph {
        options.set("gpu_graph_id", graph.to_string())?;
    }
    session.run_binding_with_options(&binding, &options)?;
    Ok(())
}

enum Value<'a> {
    F16(TensorRefMut<'a, f16>),
    F32(TensorRefMut<'a, f32>),
    I64(TensorRefMut<'a, i64>),
    Bool(TensorRefMut<'a, bool>),
    U8(TensorRefMut<'a, u8>),
}

impl Value<'_> {
    fn ptr(&self) -> *const ort::sys::OrtValue {
        match self {
            Value::F16(tensor) => tensor.ptr(),
            Value::F32(tensor) => tensor.ptr(),
            Value::I64(tensor) => tensor.ptr(),
            Value::Bool(tensor) => tensor.ptr(),
            Value::U8(tensor) => tensor.ptr(),
        }
    }
}

fn value<'a>(memory: &MemoryInfo, tensor: &Tensor<'a>) -> ort::Result<Value<'a>> {
    let (memory, shape) = (memory.clone(), Shape::from(tensor.shape));
    // SAFETY: by the promise made to `run`.
    unsafe {
        match tensor.element {
            Element::F16 => TensorRefMut::from_raw(memory, tensor.at, shape).map(Value::F16),
            Element::F32 => TensorRefMut::from_raw(memory, tensor.at, shape).map(Value::F32),
            Element::I64 => TensorRefMut::from_raw(memory, tensor.at, shape).map(Value::I64),
            Element::Bool => TensorRefMut::from_raw(memory, tensor.at, shape).map(Value::Bool),
            Element::U8 => TensorRefMut::from_raw(memory, tensor.at, shape).map(Value::U8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::onnx::runtime;
    use ort::memory::{AllocationDevice, AllocatorType, MemoryType};

    const TOKENS: usize = 3;
    const CHANNELS: usize = 16;

    /// The CPU's memory stands for a device's.
    #[test]
    fn tensors_are_read_and_written_where_they_lie() {
        let runtime = runtime::load().unwrap();
        let mut session = Session::builder(runtime.environment())
            .unwrap()
            .commit_from_file("tests/fixtures/models/text_encoder.onnx")
            .unwrap();
        let memory =
            MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default).unwrap();
        let shape = [1, TOKENS];
        let (mut ids, mut mask) = (vec![5i64, 6, 7], vec![1i64; TOKENS]);
        let mut hidden = vec![f32::NAN; TOKENS * CHANNELS];
        let mut encode = |ids: &mut [i64], hidden: &mut [f32]| {
            let input = |name, values: &mut [i64]| Tensor {
                name,
                element: Element::I64,
                shape: &shape,
                at: values.as_mut_ptr().cast(),
            };
            let output = Tensor {
                name: "text_hidden",
                element: Element::F32,
                shape: &[1, TOKENS, CHANNELS],
                at: hidden.as_mut_ptr().cast(),
            };
            let inputs = [input("input_ids", ids), input("attention_mask", &mut mask)];
            // SAFETY: the arrays are of these lengths, and outlive the call, which waits on a CPU.
            unsafe { run(&mut session, &memory, &inputs, &[output], None) }
        };
        encode(&mut ids, &mut hidden).unwrap();
        let first = hidden.clone();
        assert!(first.iter().all(|x| x.is_finite()));
        ids[1] = 8;
        hidden.fill(f32::NAN);
        encode(&mut ids, &mut hidden).unwrap();
        let row = |values: &[f32], i: usize| values[i * CHANNELS..][..CHANNELS].to_vec();
        assert_ne!(row(&hidden, 1), row(&first, 1), "another token");
        ids[1] = 6;
        encode(&mut ids, &mut hidden).unwrap();
        assert_eq!(hidden, first);
    }
}
