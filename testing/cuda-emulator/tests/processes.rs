//! What needs a process of its own: leaks, seeds, and the fast build.
#![cfg(target_os = "linux")]

#[macro_use]
mod common;

use std::process::{Command, Output};

use common::stream;
use cudarc::driver::sys::{CUfunction_attribute, CUresult::*};
use cudarc::driver::{PushKernelArg, result};

/// Runs one test of this file again, alone, with the variables.
fn alone(test: &str, variables: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().unwrap();
    Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os("CUDA_EMULATOR_CHILD").is_some()
}

#[test]
fn leaks_at_exit() {
    if is_child() {
        let stream = stream();
        stream.clone_htod(&[1u32; 100]).unwrap().leak();
        // As if a static still held it: the context does not end.
        std::mem::forget(stream);
        return;
    }
    let output = alone("leaks_at_exit", &[("CUDA_EMULATOR_CHILD", "1")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("at exit: 1 allocations (400 bytes) were never freed"), "{said}");
    assert_eq!(output.status.code(), Some(70), "{said}");
}

#[test]
fn leaks_at_the_end_of_the_context() {
    if is_child() {
        let stream = stream();
        stream.clone_htod(&[1u32; 100]).unwrap().leak();
        assert_eq!(cuda_emulator::live_allocations(), Some(1));
        let context = stream.context().clone();
        drop(stream);
        // SAFETY: the context is not used any more.
        let outcome = unsafe { result::primary_ctx::release(context.cu_device()) };
        assert_eq!(outcome.unwrap_err().0, CUDA_ERROR_INVALID_CONTEXT);
        std::mem::forget(context);
        return;
    }
    let output = alone("leaks_at_the_end_of_the_context", &[("CUDA_EMULATOR_CHILD", "1")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("at the end of the context: 1 allocations (400 bytes)"), "{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn the_seed_chooses_the_order() {
    if is_child() {
        let stream = stream();
        let mut count = stream.alloc_zeros::<u32>(1).unwrap();
        let mut order = stream.alloc_zeros::<u32>(256).unwrap();
        launch!(stream, "arrivals", 4, &mut count, &mut order).unwrap();
        let mut order = stream.clone_dtoh(&order).unwrap();
        println!("order {order:?}");
        order.sort();
        assert_eq!(order, (0..256).collect::<Vec<u32>>());
        return;
    }
    let order = |seed| {
        let variables = [
            ("CUDA_EMULATOR_CHILD", "1"),
            ("PARTSTAD_EMULATOR_THREADS", "1"),
            ("PARTSTAD_EMULATOR_SEED", seed),
        ];
        let output = alone("the_seed_chooses_the_order", &variables);
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines().find_map(|line| Some(line.split_once("order [")?.1.to_string())).unwrap()
    };
    assert_eq!(order("1"), order("1"));
    assert_ne!(order("1"), order("2"));
}

/// The emulator's numbers of launches come round: launch 1024 has the number of launch 1, and other threads have the
/// same shared memory.
#[test]
fn the_1024th_launch_is_not_the_first() {
    if is_child() {
        let stream = stream();
        let mut out = stream.alloc_zeros::<u32>(64).unwrap();
        launch!(stream, "innocent_rotation", 1, &mut out, &0u32).unwrap();
        for _ in 2..1024 {
            launch!(stream, "write_past_the_end", 1, &mut out, &1u32).unwrap();
        }
        launch!(stream, "innocent_rotation", 1, &mut out, &1u32).unwrap();
        return;
    }
    let output = alone("the_1024th_launch_is_not_the_first", &[("CUDA_EMULATOR_CHILD", "1")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The environment chooses the device that is imitated: here one with less shared memory than the default's.
#[test]
fn a_lesser_device_gives_less_shared_memory() {
    if is_child() {
        let stream = stream();
        let function = common::kernel(&stream, "turn_in_dynamic_memory");
        let ask = |kilobytes: i32| {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, kilobytes << 10)
        };
        assert_eq!(ask(100).unwrap_err().0, CUDA_ERROR_INVALID_VALUE);
        ask(99).unwrap();
        assert_eq!(stream.context().compute_capability().unwrap(), (8, 6));
        return;
    }
    let variables = [("CUDA_EMULATOR_CHILD", "1"), ("PARTSTAD_EMULATOR_ARCH", "86")];
    let output = alone("a_lesser_device_gives_less_shared_memory", &variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A bug that is asked for and was not planted is an error, lest its tests be taken to have failed to find it.
#[test]
fn a_bug_that_was_not_planted_is_an_error() {
    if is_child() {
        stream();
        return;
    }
    let variables = [("CUDA_EMULATOR_CHILD", "1"), ("PARTSTAD_MUTANT", "none_of_this_name")];
    let output = alone("a_bug_that_was_not_planted_is_an_error", &variables);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("none of that name"), "{said}");
}

#[test]
fn the_fast_build_checks_red_zones_barriers_and_shapes() {
    if is_child() {
        let stream = stream();
        let mut out = stream.alloc_zeros::<u32>(50).unwrap();
        let outcome = launch!(stream, "write_past_the_end", 1, &mut out, &50u32);
        assert_eq!(outcome.unwrap_err().0, CUDA_ERROR_ILLEGAL_ADDRESS);
        let outcome = launch!(stream, "leave_before_the_barrier", 1, &mut out, &50u32);
        assert_eq!(outcome.unwrap_err().0, CUDA_ERROR_LAUNCH_FAILED);
        let input = stream.clone_htod(&[1f32, 2.0, 3.0, 4.0]).unwrap();
        let mut sum = stream.alloc_zeros::<f32>(1).unwrap();
        launch!(stream, "load_four", 1, &input, &mut sum, &0u32).unwrap();
        assert_eq!(stream.clone_dtoh(&sum).unwrap(), [10.0]);
        return;
    }
    let name = "the_fast_build_checks_red_zones_barriers_and_shapes";
    let output = alone(name, &[("CUDA_EMULATOR_CHILD", "1"), ("PARTSTAD_EMULATOR", "fast")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
