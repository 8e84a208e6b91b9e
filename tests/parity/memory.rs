//! The memory of dropped buffers: who gets it, and when the driver has it back.

use crate::gpu;
use cuda_emulator::{called, fail};
use partstad::{Error, device::gpu::Gpu};
use std::ffi::CStr;

const OUT_OF_MEMORY: i32 = 2;

/// How often `work` makes a call.
fn calls(name: &CStr, work: impl FnOnce()) -> Option<u64> {
    let before = called(name)?;
    work();
    Some(called(name)? - before)
}

fn caching() -> Gpu {
    let gpu = gpu();
    gpu.cache_memory(true);
    gpu
}

#[test]
fn memory_of_a_dropped_buffer_is_the_next_ones_if_it_fits() {
    let gpu = caching();
    let large = gpu.alloc::<f32>(30_000).unwrap();
    let (at, other) = (gpu.address(&large), gpu.alloc::<f32>(30_000).unwrap());
    assert_ne!(at, gpu.address(&other), "both are in use");
    drop(large);
    let small = gpu.alloc::<u8>(50_000).unwrap();
    assert_ne!(at, gpu.address(&small), "of another size");
    let fits = gpu.upload(&[7u32; 29_000]).unwrap();
    assert_eq!(at, gpu.address(&fits));
    assert_eq!(gpu.download(&fits).unwrap(), [7; 29_000]);
    drop(fits);
    let nothing = gpu.alloc::<u64>(0).unwrap();
    assert_eq!(nothing.len(), 0);
    let Some(allocations) = calls(c"cuMemAllocAsync", || {
        for len in [28_800, 29_500, 30_000] {
            drop(gpu.zeros::<u32>(len).unwrap());
        }
    }) else {
        return println!("SKIPPED: a real driver does not count");
    };
    assert_eq!(allocations, 0);
}

#[test]
fn memory_that_waits_goes_back_when_it_is_asked_for() {
    let gpu = caching();
    let fill = || drop([1000, 2000, 4000, 8000].map(|len| gpu.alloc::<f32>(len).unwrap()));
    fill();
    let freed = |work: &dyn Fn()| calls(c"cuMemFreeAsync", work);
    let Some(trimmed) = freed(&|| gpu.trim().unwrap()) else {
        return println!("SKIPPED: a real driver does not count");
    };
    assert_eq!(trimmed, 4);
    fill();
    assert_eq!(freed(&|| gpu.cache_memory(false)), Some(4));
    assert_eq!(freed(&fill), Some(4), "nobody waits for them");
    gpu.cache_memory(true);
    let fork = gpu.fork().unwrap();
    assert_eq!(freed(&|| drop(fork.alloc::<f32>(1000).unwrap())), Some(0), "a fork does as the first");
    assert_eq!(freed(&|| drop(fork.clone())), Some(0));
    assert_eq!(freed(&|| gpu.trim().unwrap()), Some(1), "those of forks too");
    let outlives = fork.alloc::<f32>(1000).unwrap();
    drop(fork);
    let last = calls(c"cuMemFreeAsync", || drop(outlives));
    assert_eq!(last, Some(1), "nobody waits for it");
}

#[test]
fn a_driver_without_memory_gets_back_what_waits() {
    let gpu = caching();
    drop([3000, 5000].map(|len| gpu.alloc::<f32>(len).unwrap()));
    let all = || gpu.alloc::<f32>(1 << 20);
    let Some((done, faults)) = fail(0, OUT_OF_MEMORY, all) else {
        return println!("SKIPPED: a real driver fails no call on demand");
    };
    assert_eq!(faults.failed.as_deref(), Some("cuMemAllocAsync"));
    drop(done.unwrap());
    gpu.trim().unwrap();
    let (done, _) = fail(0, OUT_OF_MEMORY, all).unwrap();
    assert!(matches!(done.unwrap_err(), Error::Memory(_)), "nothing waits");
    for len in [usize::MAX / 4, usize::MAX / 8, 1 << 62] {
        assert!(matches!(gpu.alloc::<f32>(len).unwrap_err(), Error::Memory(_)), "{len}");
    }
}
