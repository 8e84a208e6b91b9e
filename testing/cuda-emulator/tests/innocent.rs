//! Kernels and calls that do nothing wrong.

use std::sync::Arc;

use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaFunction, LaunchConfig, PushKernelArg};

fn context() -> Arc<CudaContext> {
    cuda_emulator::install();
    CudaContext::new(0).unwrap()
}

fn kernel(context: &Arc<CudaContext>, name: &str) -> CudaFunction {
    context.load_module(cudarc::nvrtc::Ptx::from_src("any")).unwrap().load_function(name).unwrap()
}

fn blocks(grid: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 }
}

#[test]
fn shuffles_and_a_barrier_make_a_sum() {
    let context = context();
    let stream = context.default_stream();
    let values: Vec<u32> = (0..1000).collect();
    let device = stream.clone_htod(&values).unwrap();
    let mut sums = stream.alloc_zeros::<u32>(4).unwrap();
    let function = kernel(&context, "block_sum");
    unsafe { stream.launch_builder(&function).arg(&device).arg(&mut sums).arg(&1000u32).launch(blocks(4)) }
        .unwrap();
    let expected: Vec<u32> = values.chunks(256).map(|chunk| chunk.iter().sum()).collect();
    assert_eq!(stream.clone_dtoh(&sums).unwrap(), expected);
}

#[test]
fn a_captured_stream_becomes_a_graph_that_runs_again() {
    let context = context();
    // SAFETY: one stream only.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let mut values = stream.clone_htod(&vec![1u32; 256]).unwrap();
    let mut sum = stream.alloc_zeros::<u32>(1).unwrap();
    let function = kernel(&context, "block_sum");
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    unsafe { stream.launch_builder(&function).arg(&values).arg(&mut sum).arg(&256u32).launch(blocks(1)) }
        .unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert_eq!(stream.clone_dtoh(&sum).unwrap(), [0], "a capture runs nothing");
    for value in [1, 2] {
        stream.memcpy_htod(&vec![value; 256], &mut values).unwrap();
        graph.launch().unwrap();
        assert_eq!(stream.clone_dtoh(&sum).unwrap(), [256 * value]);
    }
}

#[test]
fn events_measure_time() {
    let context = context();
    let stream = context.new_stream().unwrap();
    let start = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    let end = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    assert!(start.elapsed_ms(&end).unwrap() >= 0.0);
}
