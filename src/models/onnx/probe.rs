//! Tries what a device must be able to do before models are loaded for it: one convolution, for which ONNX Runtime looks for
//! cuDNN, and one DeformConv, the operator of GLIP that it is most likely to lack.

use super::{
    contract::{Contract, Dim::Fixed, Port},
    ep, failure,
    model::Model,
    options::Options,
    session::{Sessions, Source},
    tensor::cuda::Values,
};
use crate::{
    device::gpu::Gpu,
    error::{Error, Result},
};

/// `y = DeformConv(Conv(x), offset, mask)`, with kernels of one 1.
const GRAPH: &[u8] = include_bytes!("probe.onnx");

/// Sessions on `gpu` that were tried.
///
/// # Errors
/// [`Error::Invalid`] for the default stream; [`Error::Model`] saying what is missing or does not work.
pub fn check(sessions: Sessions, gpu: &Gpu) -> Result<Sessions> {
    let location = sessions.runtime.location();
    if let Some(lacks) = ep::missing(sessions.options.provider) {
        return Err(Error::Model(format!(
            "ONNX Runtime at {location} has no {lacks} provider; tools/cuda/fetch-onnxruntime gets one with CUDA's, and \
             ORT_DYLIB_PATH names it; or let the models run on the CPU with the provider device-or-cpu"
        )));
    }
    if gpu.stream().cu_stream().is_null() {
        return Err(Error::invalid(
            "on the default stream ONNX Runtime would use streams of its own; make the device with Gpu::new, or hand over \
             a stream of its own",
        ));
    }
    let options = Options { whole_on_device: true, cuda_graphs: false, ..sessions.options.clone() };
    match run(&Sessions { options, ..sessions.clone() }, gpu) {
        Ok(()) => Ok(sessions),
        Err(Error::Model(said)) if failure::lacks_operator(&said) => {
            Ok(Sessions { has_deform_conv: false, ..sessions })
        }
        Err(e) => {
            Err(Error::Model(format!("ONNX Runtime at {location} does not compute on the device: {e}")))
        }
    }
}

/// Runs the graph once.
///
/// # Errors
/// [`Error::Model`] if it cannot be made or run, or gives something else than it should.
fn run(sessions: &Sessions, gpu: &Gpu) -> Result<()> {
    let plane = |channels: usize| [Fixed(1), Fixed(channels), Fixed(2), Fixed(2)];
    let contract = Contract {
        inputs: vec![Port::f32("x", &plane(1)), Port::f32("offset", &plane(2)), Port::f32("mask", &plane(1))],
        outputs: vec![Port::f32("y", &plane(1))],
    };
    let model = Model::new(sessions, &Source::Bytes("Conv and DeformConv".into(), GRAPH), contract)?;
    let (x, offset, mask) = (gpu.upload(&[1.0, 2.0, 3.0, 4.0])?, gpu.zeros(8)?, gpu.filled(1.0, 4)?);
    let (mut y, mut nans) = (gpu.alloc(4)?, gpu.zeros(1)?);
    let inputs = [
        (&[1, 1, 2, 2][..], Values::F32(&x)),
        (&[1, 2, 2, 2][..], Values::F32(&offset)),
        (&[1, 1, 2, 2][..], Values::F32(&mask)),
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
    use crate::models::onnx::runtime;

    #[test]
    fn the_graph_gives_what_it_should() {
        cuda_emulator::install();
        let sessions = Sessions::cpu(runtime::load().unwrap(), &Options::default());
        run(&sessions, &Gpu::new(0).unwrap()).unwrap();
    }
}
