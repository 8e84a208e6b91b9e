//! Models from and to memory of a CUDA device.

use super::{
    binding,
    contract::Element,
    model::Model,
    tensor::cuda::{Kept, Owned, Values},
};
use crate::{
    device::gpu::{Buffer, Gpu, ViewMut},
    error::{Error, Result},
    ops::basic::nan,
};
use cudarc::driver::DevicePtrMut;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use std::sync::{Mutex, PoisonError};

impl Model {
    /// Whether it computes on this device's stream.
    pub fn is_on(&self, gpu: &Gpu) -> bool {
        self.place.gpu.as_ref() == Some(gpu)
    }

    /// As [`Model::run`], from and to memory of `gpu`. A model that computes there copies nothing; one that computes on the
    /// CPU copies inputs and outputs.
    ///
    /// `outputs`: in the contract's order, each of the length that its shape asks for. `nans`: one number per output, to
    /// which those of its elements are added that are NaN; [`Model::check_nans`] looks at them when the host has them.
    ///
    /// # Errors
    /// As [`Model::run`], but for NaN; [`Error::Device`] if the driver refuses.
    pub fn run_on(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], Values)],
        outputs: &mut [ViewMut<f32>],
        nans: &mut Buffer<u32>,
    ) -> Result<()> {
        let failed = |why: String| Error::Model(format!("{}: {why}", self.name));
        let given = inputs.iter().map(|(shape, data)| (*shape, data.element(), data.len()));
        let symbols = self.contract.bind(&self.elements, given).map_err(failed)?;
        let mut shapes = vec![];
        for (port, output) in self.contract.outputs.iter().zip(&*outputs) {
            match symbols.shape(port).filter(|shape| shape.iter().product::<usize>() == output.len()) {
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
        match &self.place.kept {
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
    fn run_kept(
        &self,
        gpu: &Gpu,
        kept: &Mutex<Vec<Kept>>,
        inputs: &[(&[usize], Values)],
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
                    inputs: inputs.iter().map(|(_, data)| Owned::alloc(gpu, data)).collect::<Result<_>>()?,
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
    fn compute(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], Values)],
        shapes: &[Vec<usize>],
        outputs: &mut [ViewMut<f32>],
        graph: Option<usize>,
    ) -> Result<()> {
        if self.is_on(gpu) {
            // ONNX Runtime takes the thread's own device.
            gpu.bind()?;
            return self.run_bound(gpu, inputs, shapes, outputs, graph).map_err(|e| self.failure(&e));
        }
        let data: Vec<Values> = inputs.iter().map(|(_, data)| *data).collect();
        let here = gpu.download_all(data.as_slice())?;
        let values: Vec<_> =
            inputs.iter().zip(&here).map(|((shape, _), here)| (*shape, here.values())).collect();
        self.run_unchecked(&values, |found| {
            found.iter().zip(outputs).try_for_each(|(found, output)| gpu.write(found, output))
        })
    }

    fn run_bound(
        &self,
        gpu: &Gpu,
        inputs: &[(&[usize], Values)],
        shapes: &[Vec<usize>],
        outputs: &mut [ViewMut<f32>],
        graph: Option<usize>,
    ) -> ort::Result<()> {
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
                binding::Tensor { name: &port.name, element: data.element(), shape, at }
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
                binding::Tensor { name: &port.name, element: Element::F32, shape, at: at as *mut _ }
            })
            .collect();
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffers are the shapes' products long, and everything that uses them later is on the same stream.
        unsafe { binding::run(&mut session, &memory, &inputs, &outputs, graph) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::onnx::{
        contract::{Contract, Dim, Port},
        options::Options,
        runtime,
        session::{Sessions, Source},
    };

    /// Inputs that change, of shapes that take turns, through memory that is kept.
    #[test]
    fn kept_memory_changes_nothing() {
        cuda_emulator::install();
        let gpu = Gpu::new(0).unwrap();
        gpu.cache_memory(false);
        let sessions = Sessions::cpu(runtime::load().unwrap(), &Options { threads: 1, ..Options::default() });
        let [t, l] = [Dim::Free("T"), Dim::Free("L")];
        let contract = Contract {
            inputs: vec![Port::i64("input_ids", &[t, l]), Port::i64("attention_mask", &[t, l])],
            outputs: vec![Port::f32("text_hidden", &[t, l, Dim::Fixed(16)])],
        };
        let file = Source::File("tests/fixtures/models/text_encoder.onnx".into());
        let mut model = Model::new(&sessions, &file, contract).unwrap();
        let run = |model: &Model, ids: &[i64]| {
            let (ids, mask) = (gpu.upload(ids).unwrap(), gpu.upload(&vec![1i64; ids.len()]).unwrap());
            let (mut hidden, mut nans) = (gpu.alloc(16 * ids.len()).unwrap(), gpu.zeros(1).unwrap());
            let shape = [1, ids.len()];
            let inputs = [(&shape[..], Values::I64(&ids)), (&shape[..], Values::I64(&mask))];
            model.run_on(&gpu, &inputs, &mut [hidden.as_view_mut()], &mut nans).unwrap();
            gpu.download(&hidden).unwrap()
        };
        let inputs: [&[i64]; 4] = [&[5, 6, 7], &[8, 9], &[7, 6, 5], &[5, 6, 7]];
        let expected = inputs.map(|ids| run(&model, ids));
        model.place.kept = Some(Mutex::default());
        for _ in 0..2 {
            assert_eq!(inputs.map(|ids| run(&model, ids)), expected);
        }
        assert_eq!(model.place.kept.unwrap().into_inner().unwrap().len(), 2, "one for each shape");
    }
}
