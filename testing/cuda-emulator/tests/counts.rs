//! Sectors per access of a warp, and what warps exchange. A process of its own: the counts are the process's.
#![cfg(target_os = "linux")]

#[macro_use]
mod common;

use common::{kernel, shape, stream};
use cudarc::driver::PushKernelArg;

/// Sectors needed and moved by the loads of the kernel so far.
fn loads(kernel: &str) -> (u64, u64) {
    cuda_emulator::sectors().iter().find(|t| t.kernel == kernel).map_or((0, 0), |t| t.loads)
}

#[test]
fn strides_move_more_than_they_need() {
    let stream = stream();
    cuda_emulator::count_sectors();
    let input = stream.clone_htod(&vec![1f32; 64 * 32]).unwrap();
    let mut out = stream.alloc_zeros::<f32>(64).unwrap();
    let mut before = (0, 0);
    // 2 warps of 32 lanes load 128 bytes each: 4 sectors if packed, up to one a lane if not; all the same place: one.
    for (stride, needed, moved) in [(1u32, 8, 8), (2, 8, 16), (8, 8, 64), (32, 8, 64), (0, 2, 2)] {
        launch!(stream, "strided", 1, &input, &mut out, &stride).unwrap();
        let now = loads("strided");
        assert_eq!((now.0 - before.0, now.1 - before.1), (needed, moved), "stride {stride}");
        before = now;
    }
    let stores = cuda_emulator::sectors().iter().find(|t| t.kernel == "strided").unwrap().stores;
    assert_eq!(stores, (5 * 8, 5 * 8));

    let mut sum = stream.alloc_zeros::<f32>(1).unwrap();
    launch!(stream, "load_four", 1, &input, &mut sum, &0u32).unwrap();
    // All lanes load the same 16 bytes, at once.
    assert_eq!(loads("load_four"), (2, 2));
}

#[test]
fn a_sum_over_a_block_exchanges_its_steps() {
    let stream = stream();
    let values = stream.clone_htod(&vec![1u32; 1000]).unwrap();
    let mut sums = stream.alloc_zeros::<u32>(4).unwrap();
    let function = kernel(&stream, "block_sum");
    for _ in 0..2 {
        // SAFETY: the arguments are those of the kernel.
        unsafe {
            stream.launch_builder(&function).arg(&values).arg(&mut sums).arg(&1000u32).launch(shape(4, 256))
        }
        .unwrap();
        // 4 blocks: 8 warps of 32 lanes, then 8 lanes.
        assert_eq!(cuda_emulator::exchanges(c"block_sum"), Some(4 * (8 * 5 + 3)));
    }
}
