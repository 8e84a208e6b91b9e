//! Every crime is found, and its innocent twin is not accused.
#![cfg(target_os = "linux")]

#[macro_use]
mod common;

use common::{kernel, shape, stream};
use cudarc::driver::sys::CUresult::{self, *};
use cudarc::driver::sys::{CUfunction_attribute, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaSlice, DriverError, LaunchConfig, PushKernelArg, result};

fn error(outcome: Result<(), DriverError>) -> CUresult {
    outcome.expect_err("the crime was not found").0
}

#[test]
fn writes_out_of_bounds() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(50).unwrap();
    assert_eq!(error(launch!(stream, "write_past_the_end", 1, &mut out, &50u32)), CUDA_ERROR_ILLEGAL_ADDRESS);
    launch!(stream, "write_past_the_end", 1, &mut out, &49u32).unwrap();
}

#[test]
fn reads_out_of_bounds() {
    let stream = stream();
    let input = stream.clone_htod(&[1u32; 50]).unwrap();
    let mut out = stream.alloc_zeros::<u32>(50).unwrap();
    let code = error(launch!(stream, "read_past_the_end", 1, &input, &mut out, &50u32));
    assert_eq!(code, CUDA_ERROR_ILLEGAL_ADDRESS);
    launch!(stream, "read_past_the_end", 1, &input, &mut out, &49u32).unwrap();
}

#[test]
fn shared_memory_out_of_bounds() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let code = error(launch!(stream, "write_past_shared_memory", 1, &mut out, &1u32));
    assert_eq!(code, CUDA_ERROR_ILLEGAL_ADDRESS);
    launch!(stream, "write_past_shared_memory", 1, &mut out, &0u32).unwrap();
}

#[test]
fn blocks_that_wait_for_each_other() {
    let stream = stream();
    let run = |blocks: u32, leaving: u32, early: u32| {
        let mut numbers = stream.alloc_zeros::<u32>(blocks as usize * 64).unwrap();
        let mut out = stream.alloc_zeros::<u32>(blocks as usize * 64).unwrap();
        launch_together!(
            stream,
            "rounds_of_the_grid",
            blocks,
            &mut numbers,
            &mut out,
            &3u32,
            &leaving,
            &early
        )
    };
    run(4, 0, 0).unwrap();
    assert_eq!(error(run(4, 1, 0)), CUDA_ERROR_LAUNCH_FAILED, "one has ended");
    assert_eq!(error(run(4, 0, 1)), CUDA_ERROR_LAUNCH_FAILED, "a race");
    assert_eq!(error(run(10_000, 0, 0)), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    run(4, 0, 0).unwrap();
    let (mut numbers, mut out) =
        (stream.alloc_zeros::<u32>(128).unwrap(), stream.alloc_zeros::<u32>(128).unwrap());
    let alone = launch!(stream, "rounds_of_the_grid", 2, &mut numbers, &mut out, &3u32, &0u32, &0u32);
    assert_eq!(error(alone), CUDA_ERROR_LAUNCH_FAILED, "not launched together");
}

#[test]
fn reads_of_what_nothing_wrote() {
    let stream = stream();
    // SAFETY: that it is not written is the point.
    let unwritten = unsafe { stream.alloc::<u32>(64) }.unwrap();
    let written = stream.clone_htod(&[1u32; 64]).unwrap();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let code = error(launch!(stream, "shift", 1, &unwritten, &mut out, &64u32));
    assert_eq!(code, CUDA_ERROR_ILLEGAL_ADDRESS);
    launch!(stream, "shift", 1, &written, &mut out, &64u32).unwrap();

    assert_eq!(
        error(launch!(stream, "read_unwritten_shared_memory", 1, &mut out)),
        CUDA_ERROR_ILLEGAL_ADDRESS
    );
    // SAFETY: as above.
    let mut sum = unsafe { stream.alloc::<u32>(1) }.unwrap();
    assert_eq!(error(launch!(stream, "add_without_zeroing", 1, &mut sum)), CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(stream.clone_dtoh(&unwritten).unwrap_err().0, CUDA_ERROR_ILLEGAL_ADDRESS, "copies read too");
}

#[test]
fn use_after_free_and_invented_pointers() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let freed = stream.clone_htod(&[1u32; 64]).unwrap().leak();
    // SAFETY: the pointer came from there.
    unsafe { result::free_sync(freed) }.unwrap();
    let misplaced = [freed, 0, &raw const freed as u64];
    for pointer in misplaced {
        let code = error(launch!(stream, "shift", 1, &pointer, &mut out, &64u32));
        assert_eq!(code, CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    // SAFETY: the driver checks.
    assert_eq!(unsafe { result::free_sync(freed) }.unwrap_err().0, CUDA_ERROR_INVALID_VALUE, "freed twice");
}

#[test]
fn misaligned_vectors() {
    let stream = stream();
    let input = stream.clone_htod(&[1f32; 64]).unwrap();
    let mut out = stream.alloc_zeros::<f32>(1).unwrap();
    assert_eq!(
        error(launch!(stream, "load_four", 1, &input, &mut out, &2u32)),
        CUDA_ERROR_MISALIGNED_ADDRESS
    );
    launch!(stream, "load_four", 1, &input, &mut out, &4u32).unwrap();
    assert_eq!(stream.clone_dtoh(&out).unwrap(), [4.0]);
}

#[test]
fn threads_that_do_not_meet() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    for name in ["leave_before_the_barrier", "wait_at_two_barriers"] {
        assert_eq!(error(launch!(stream, name, 1, &mut out, &60u32)), CUDA_ERROR_LAUNCH_FAILED, "{name}");
        launch!(stream, name, 1, &mut out, &64u32).unwrap();
    }
    let code = error(launch!(stream, "shuffle_without_a_lane", 1, &mut out, &63u32));
    assert_eq!(code, CUDA_ERROR_LAUNCH_FAILED);
    launch!(stream, "shuffle_without_a_lane", 1, &mut out, &32u32).unwrap();
}

#[test]
fn races() {
    let stream = stream();
    let zeros = |count| stream.alloc_zeros::<u32>(count).unwrap();
    let (mut out, mut count): (CudaSlice<u32>, CudaSlice<u32>) = (zeros(256), zeros(1));
    let crimes = [
        launch!(stream, "forget_a_barrier", 1, &mut out, &1u32),
        launch!(stream, "forget_a_warp_barrier", 1, &mut out),
        launch!(stream, "overwrite_too_early", 1, &mut out),
        launch!(stream, "count_without_atomics", 1, &mut count),
        launch!(stream, "read_what_others_count", 4, &mut count, &mut out, &1u32),
    ];
    for (i, crime) in crimes.into_iter().enumerate() {
        assert_eq!(crime.expect_err(&format!("crime {i} was not found")).0, CUDA_ERROR_LAUNCH_FAILED);
    }
    launch!(stream, "forget_a_barrier", 1, &mut out, &0u32).unwrap();
    launch!(stream, "read_what_others_count", 4, &mut count, &mut out, &0u32).unwrap();
}

#[test]
fn shapes_that_no_device_takes() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let function = kernel(&stream, "write_past_the_end");
    for (grid, block, code) in [
        (1, 2048, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
        (1, 32, CUDA_ERROR_INVALID_VALUE),
        (0, 64, CUDA_ERROR_INVALID_VALUE),
    ] {
        let mut builder = stream.launch_builder(&function);
        builder.arg(&mut out).arg(&1u32);
        // SAFETY: the arguments are those of the kernel.
        let outcome = unsafe { builder.launch(shape(grid, block)) };
        assert_eq!(error(outcome.map(|_| ())), code);
    }
    let code = error(launch!(stream, "take_too_much_shared_memory", 1, &mut out));
    assert_eq!(code, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn dynamic_shared_memory() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let function = kernel(&stream, "turn_in_dynamic_memory");
    let mut launch = |kilobytes: u32, past: u32| {
        let count = kilobytes * 256;
        let mut builder = stream.launch_builder(&function);
        builder.arg(&mut out).arg(&count).arg(&past);
        let shape = LaunchConfig { shared_mem_bytes: kilobytes << 10, ..shape(1, 64) };
        // SAFETY: the arguments are those of the kernel.
        unsafe { builder.launch(shape) }.map(|_| ())
    };
    launch(48, 0).unwrap();
    assert_eq!(
        error(launch(48, 1)),
        CUDA_ERROR_ILLEGAL_ADDRESS,
        "past the end, and the first was not written"
    );
    assert_eq!(error(launch(49, 0)), CUDA_ERROR_INVALID_VALUE, "more than a block has unless it asks");
    let ask = |kilobytes: i32| {
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        function.set_attribute(most, kilobytes << 10)
    };
    assert_eq!(error(ask(228)), CUDA_ERROR_INVALID_VALUE, "more than sm_90 has");
    ask(227).unwrap();
    launch(227, 0).unwrap();
    assert_eq!(stream.clone_dtoh(&out).unwrap()[63], 227 * 256 - 64);
}

#[test]
fn traps() {
    let stream = stream();
    let mut out = stream.alloc_zeros::<u32>(1).unwrap();
    assert_eq!(error(launch!(stream, "give_up", 1, &mut out)), CUDA_ERROR_LAUNCH_FAILED);
}

#[test]
fn an_empty_image() {
    let stream = stream();
    assert!(stream.context().load_module(cudarc::nvrtc::Ptx::from_src("")).is_err());
    assert!(
        stream
            .context()
            .load_module(cudarc::nvrtc::Ptx::from_src("any"))
            .unwrap()
            .load_function("none")
            .is_err()
    );
}

#[test]
fn calls_that_a_capture_forbids() {
    let context = stream().context().clone();
    let stream = context.new_stream().unwrap();
    let begin = || stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    begin();
    assert_eq!(error(stream.synchronize()), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    let outcome = stream.end_capture(CUgraphInstantiate_flags(0)).map(|_| ());
    assert_eq!(error(outcome), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);

    let event = stream.record_event(None).unwrap();
    begin();
    assert_eq!(error(stream.wait(&event)), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    assert!(stream.end_capture(CUgraphInstantiate_flags(0)).is_err());

    begin();
    // SAFETY: nothing is allocated.
    let outcome = unsafe { stream.alloc::<u32>(1) };
    assert_eq!(error(outcome.map(|_| ())), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    stream.end_capture(CUgraphInstantiate_flags(0)).unwrap();
    let outcome = context.default_stream().begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL);
    assert_eq!(error(outcome), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the default stream");
}

#[test]
fn a_fork_that_is_not_joined() {
    let context = stream().context().clone();
    // SAFETY: the streams are ordered by events, or nothing comes of the capture.
    unsafe { context.disable_event_tracking() };
    let (stream, other) = (context.new_stream().unwrap(), context.new_stream().unwrap());
    let values = stream.clone_htod(&[1u32; 64]).unwrap();
    let mut out = stream.alloc_zeros::<u32>(64).unwrap();
    let function = kernel(&stream, "shift");
    let mut launch = || {
        let mut builder = other.launch_builder(&function);
        builder.arg(&values).arg(&mut out).arg(&64u32);
        // SAFETY: the arguments are those of the kernel.
        unsafe { builder.launch(shape(1, 64)) }.unwrap();
    };
    for (joined, again) in [(false, false), (true, true), (true, false)] {
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
        other.join(&stream).unwrap();
        launch();
        if joined {
            stream.join(&other).unwrap();
        }
        if again {
            launch();
        }
        let end = stream.end_capture(CUgraphInstantiate_flags(0)).map(|graph| assert!(graph.is_some()));
        match joined && !again {
            true => end.unwrap(),
            false => assert_eq!(error(end), CUDA_ERROR_STREAM_CAPTURE_UNJOINED),
        }
    }
}
