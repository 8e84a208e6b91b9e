//! Tries what a device must be able to do before models are loaded for it: one convolution, for which ONNX Runtime looks for
//! cuDNN, and one DeformConv, the operator of GLIP that it is most likely to lack.

use super::{
    contract::{Contract, Dim::Fixed, Port},
    engine::Engine,
    onnx::{Model, Source},
    tensor::OnDevice,
};
use crate::{
    device::gpu::Gpu,
    error::{Error, Result},
};

/// `y = DeformConv(Conv(x), offset, mask)`, with kernels of one 1.
pub(super) const GRAPH: &[u8] = include_bytes!("probe.onnx");

/// Runs the graph once.
///
/// # Errors
/// [`Error::Model`] if it cannot be made or run, or gives something else than it should.
pub(super) fn run(engine: &Engine, gpu: &Gpu) -> Result<()> {
    let plane = |channels: usize| [Fixed(1), Fixed(channels), Fixed(2), Fixed(2)];
    let contract = Contract {
        inputs: vec![Port::f32("x", &plane(1)), Port::f32("offset", &plane(2)), Port::f32("mask", &plane(1))],
        outputs: vec![Port::f32("y", &plane(1))],
    };
    let model = Model::new(engine, "Conv and DeformConv", Source::Bytes(GRAPH), contract)?;
    let (x, offset, mask) = (gpu.upload(&[1.0, 2.0, 3.0, 4.0])?, gpu.zeros(8)?, gpu.filled(1.0, 4)?);
    let (mut y, mut nans) = (gpu.alloc(4)?, gpu.zeros(1)?);
    let inputs = [
        (&[1, 1, 2, 2][..], OnDevice::F32(&x)),
        (&[1, 2, 2, 2][..], OnDevice::F32(&offset)),
        (&[1, 1, 2, 2][..], OnDevice::F32(&mask)),
    ];
    model.run_on(gpu, &inputs, &mut [y.as_view_mut()], &mut nans)?;
    match gpu.download(&y)?[..] {
        [1.0, 2.0, 3.0, 4.0] => Ok(()),
        ref wrong => Err(Error::Model(format!("Conv and DeformConv: gave {wrong:?}, not 1, 2, 3, 4"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Options, runtime};

    #[test]
    fn the_graph_gives_what_it_should() {
        cuda_emulator::install();
        let engine = Engine::cpu(runtime::load().unwrap(), &Options::default());
        run(&engine, &Gpu::new(0).unwrap()).unwrap();
    }
}
