//! Kernels and calls that do nothing wrong.
#![cfg(target_os = "linux")]

#[macro_use]
mod common;

use common::{kernel, shape, stream};
use cudarc::driver::PushKernelArg;
use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};

#[test]
fn shuffles_and_a_barrier_make_a_sum() {
    let stream = stream();
    let values: Vec<u32> = (0..1000).collect();
    let device = stream.clone_htod(&values).unwrap();
    let mut sums = stream.alloc_zeros::<u32>(4).unwrap();
    let function = kernel(&stream, "block_sum");
    // SAFETY: the arguments are those of the kernel.
    unsafe {
        stream.launch_builder(&function).arg(&device).arg(&mut sums).arg(&1000u32).launch(shape(4, 256))
    }
    .unwrap();
    let expected: Vec<u32> = values.chunks(256).map(|chunk| chunk.iter().sum()).collect();
    assert_eq!(stream.clone_dtoh(&sums).unwrap(), expected);
}

/// Of a kernel of the project: no test has so many blocks at a time that it looks back twice.
#[test]
fn prefix_sums_look_back_as_far_as_they_must() {
    const OF_THE_TILE: u64 = 1;
    const UP_TO_ITS_END: u64 = 2;
    let stream = stream();
    let mut sum = stream.alloc_zeros::<u32>(1).unwrap();
    for (whole, tiles) in
        [(0, 1), (0, 31), (0, 32), (0, 33), (0, 64), (0, 65), (0, 100), (40, 100), (67, 100), (99, 100)]
    {
        // Those up to `whole` make 1000 together; each after it has its number.
        let word = |tile| match tile {
            tile if tile < whole => UP_TO_ITS_END << 32 | 7,
            tile if tile == whole => UP_TO_ITS_END << 32 | 1000,
            _ => OF_THE_TILE << 32 | tile,
        };
        let told = stream.clone_htod(&(0..tiles).map(word).collect::<Vec<u64>>()).unwrap();
        let tile = tiles as u32;
        launch!(stream, "look_back", 1, &told, &mut sum, &tile).unwrap();
        let expected = 1000 + (whole + 1..tiles).sum::<u64>() as u32;
        assert_eq!(stream.clone_dtoh(&sum).unwrap(), [expected], "{whole} of {tiles}");
    }
}

/// More rounds than there are numbers of launches, by which races are told.
#[test]
fn a_barrier_of_the_grid_orders_its_blocks() {
    let stream = stream();
    for blocks in [1, 2, 7] {
        let n = blocks * 64;
        let mut numbers = stream.alloc_zeros::<u32>(n as usize).unwrap();
        let mut out = stream.alloc_zeros::<u32>(n as usize).unwrap();
        launch_together!(
            stream,
            "rounds_of_the_grid",
            blocks,
            &mut numbers,
            &mut out,
            &1500u32,
            &0u32,
            &0u32
        )
        .unwrap();
        let expected: Vec<u32> = (0..n).map(|i| (i + 1500 * 64) % n).collect();
        assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);
    }
}

#[test]
fn a_captured_stream_becomes_a_graph_that_runs_again() {
    let context = stream().context().clone();
    // SAFETY: one stream only.
    unsafe { context.disable_event_tracking() };
    let stream = context.new_stream().unwrap();
    let mut values = stream.clone_htod(&vec![1u32; 256]).unwrap();
    let mut sum = stream.alloc_zeros::<u32>(1).unwrap();
    let function = kernel(&stream, "block_sum");
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    // SAFETY: the arguments are those of the kernel.
    unsafe { stream.launch_builder(&function).arg(&values).arg(&mut sum).arg(&256u32).launch(shape(1, 256)) }
        .unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert_eq!(stream.clone_dtoh(&sum).unwrap(), [0], "a capture runs nothing");
    for value in [1, 2] {
        stream.memcpy_htod(&vec![value; 256], &mut values).unwrap();
        graph.launch().unwrap();
        assert_eq!(stream.clone_dtoh(&sum).unwrap(), [256 * value]);
    }
}

/// The events that order the streams of a capture are gone when the graph runs.
#[test]
fn a_captured_fork_becomes_part_of_the_graph() {
    let context = stream().context().clone();
    // SAFETY: the streams are ordered by events.
    unsafe { context.disable_event_tracking() };
    let (stream, other) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let values = stream.clone_htod(&vec![1u32; 256]).unwrap();
    let mut sum = stream.alloc_zeros::<u32>(1).unwrap();
    let function = kernel(&stream, "block_sum");
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    other.join(&stream).unwrap();
    // SAFETY: the arguments are those of the kernel.
    unsafe { other.launch_builder(&function).arg(&values).arg(&mut sum).arg(&256u32).launch(shape(1, 256)) }
        .unwrap();
    stream.join(&other).unwrap();
    let graph = stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert_eq!(stream.clone_dtoh(&sum).unwrap(), [0]);
    graph.launch().unwrap();
    assert_eq!(stream.clone_dtoh(&sum).unwrap(), [256]);
}

#[test]
fn events_measure_time() {
    let context = stream().context().clone();
    let stream = context.new_stream().unwrap();
    let start = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    let end = stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    assert!(start.elapsed_ms(&end).unwrap() >= 0.0);
}

#[test]
fn warps_hand_over_through_shared_memory() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(256).unwrap();
    launch!(stream, "innocent_exchange", 4, &mut out).unwrap();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), (0..256).map(|i| i % 64).collect::<Vec<u32>>());
}

#[test]
fn the_last_block_reads_what_all_wrote() {
    let stream = stream();
    // SAFETY: the kernel writes all of it.
    let mut bytes = unsafe { stream.alloc::<u8>(640) }.unwrap();
    let (mut count, mut sum) = (stream.alloc_zeros::<u32>(1).unwrap(), stream.alloc_zeros::<u32>(1).unwrap());
    launch!(stream, "innocent_neighbours", 10, &mut bytes, &mut count, &mut sum).unwrap();
    assert_eq!(stream.clone_dtoh(&sum).unwrap(), [10 * 63 * 64 / 2]);
}
