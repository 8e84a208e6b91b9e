//! Launches of the emulator's own kernels.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, LaunchConfig};

/// A stream on the emulator.
pub fn stream() -> Arc<CudaStream> {
    cuda_emulator::emulate();
    CudaContext::new(0).unwrap().default_stream()
}

pub fn kernel(stream: &CudaStream, name: &str) -> CudaFunction {
    let image = cudarc::nvrtc::Ptx::from_src("any");
    stream.context().load_module(image).unwrap().load_function(name).unwrap()
}

pub fn shape(grid: u32, block: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 }
}

/// Launches `$name` on `$blocks` blocks of 64 threads.
macro_rules! launch {
    ($stream:expr, $name:expr, $blocks:expr $(, $argument:expr)* $(,)?) => {
        launch_by!(launch, $stream, $name, $blocks $(, $argument)*)
    };
}

/// The same, whose blocks wait for each other.
#[allow(unused_macros, reason = "not all tests have such kernels")]
macro_rules! launch_together {
    ($stream:expr, $name:expr, $blocks:expr $(, $argument:expr)* $(,)?) => {
        launch_by!(launch_cooperative, $stream, $name, $blocks $(, $argument)*)
    };
}

macro_rules! launch_by {
    ($method:ident, $stream:expr, $name:expr, $blocks:expr $(, $argument:expr)*) => {{
        let function = $crate::common::kernel(&$stream, $name);
        let mut builder = $stream.launch_builder(&function);
        $(builder.arg($argument);)*
        // SAFETY: the arguments are those of the kernel.
        unsafe { builder.$method($crate::common::shape($blocks, 64)) }.map(|_| ())
    }};
}
