//! ONNX Runtime's execution providers for a CUDA device.

use super::{
    library,
    options::{Options, Provider},
    runtime,
};
use crate::device::gpu::Gpu;
use ort::ep::{
    ArenaExtendStrategy, CUDA, ExecutionProvider, ExecutionProviderDispatch, TensorRT,
    cuda::ConvAlgorithmSearch,
};

/// What the options ask for, in the order in which they take nodes. `half`: for models of f16 or bf16.
pub fn providers(gpu: &Gpu, options: &Options, half: bool) -> Vec<ExecutionProviderDispatch> {
    let (device, stream) = (gpu.ordinal() as i32, gpu.stream().cu_stream().cast());
    let mut cuda = CUDA::default()
        .with_device_id(device)
        // Models of f32 in full precision, as on the CPU. In f16 it is what allows convolutions the tensor cores.
        .with_tf32(half)
        // So that what a run takes can be seen.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        .with_cuda_graph(options.cuda_graphs)
        // By cuDNN's rules of thumb.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
    if let Some(limit) = options.memory_limit {
        cuda = cuda.with_memory_limit(limit as usize);
    }
    // SAFETY: the models keep the device, whose stream lives as long as it.
    let cuda = unsafe { cuda.with_compute_stream(stream) }.build().error_on_failure();
    if options.provider != Provider::Tensorrt {
        return vec![cuda];
    }
    let mut tensorrt = TensorRT::default().with_device_id(device);
    if let Ok(Some(folder)) = runtime::cache_dir() {
        // An engine takes minutes to make; one that cannot be kept is made again.
        let folder = folder.join("tensorrt");
        if library::make_private(&folder).is_ok() {
            tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(folder.display());
        }
    }
    // SAFETY: as above.
    let tensorrt = unsafe { tensorrt.with_compute_stream(stream) }.build().error_on_failure();
    vec![tensorrt, cuda]
}

/// The first provider that is needed, but not in this ONNX Runtime.
pub fn missing(provider: Provider) -> Option<&'static str> {
    match provider {
        Provider::Tensorrt if !TensorRT::is_available().unwrap_or(false) => Some("TensorRT"),
        _ if !CUDA::is_available().unwrap_or(false) => Some("CUDA"),
        _ => None,
    }
}
