//! Every CUDA kernel against its CPU reference, on a GPU or on the emulated driver.
#![cfg(feature = "cuda")]

mod agreement;
mod borrowed;
mod boxes;
mod calls;
mod clouds;
mod concepts;
mod detections;
mod instances;
mod memberships;
mod memory;
mod merge;
mod models;
mod neighbors;
mod network;
mod pipeline;
mod scores;
mod sizes;
mod sorting;
mod superpoints;
mod surface;
mod training;
mod views;

use bytemuck::{NoUninit, bytes_of};
use cuda_emulator::Gpu as Driver;
use partstad::device::{
    download::Rows,
    gpu::{Buffer, Gpu},
};
use std::{fmt::Debug, sync::OnceLock};

/// The device that the tests run on: a GPU, or the emulator where there is none. All memory comes from the driver, which
/// sees who reads what nobody wrote.
fn gpu() -> Gpu {
    // The context of a GPU stays: making one takes as long as many tests.
    static OPEN: OnceLock<Gpu> = OnceLock::new();
    let new = || Gpu::new(0).unwrap();
    let gpu = match cuda_emulator::install() {
        Driver::Real => OPEN.get_or_init(new).fork().unwrap(),
        Driver::Emulated => new(),
    };
    gpu.cache_memory(false);
    gpu
}

/// Fails at the first value of other bits, without printing hundreds of thousands.
#[track_caller]
fn same<T: NoUninit + Debug>(found: &[T], expected: &[T], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    if let Some(i) = found.iter().zip(expected).position(|(f, e)| bytes_of(f) != bytes_of(e)) {
        panic!("{what}: value {i} is {:?}, not {:?}", found[i], expected[i]);
    }
}

#[test]
fn a_device_describes_itself() {
    let here = gpu().describe().unwrap();
    assert!(here.capability >= (8, 0) && here.driver >= 13_000 && 0 < here.free && here.free <= here.memory);
    // NVML comes with a driver; the emulator has none.
    assert_eq!(here.telemetry.is_some(), cuda_emulator::install() == Driver::Real, "{here:?}");
}

/// Lengths that end between two copies' places; the last is too much for page-locked memory.
#[test]
fn buffers_that_come_together_come_back_as_they_went() {
    let gpu = gpu();
    for len in [0u32, 1, 1001, 1 << 19] {
        let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let words: Vec<u32> = (0..2 * len).collect();
        let (there, pairs) = (gpu.upload(&bytes).unwrap(), gpu.upload(&words).unwrap());
        let (some, none) = (Some(Rows::<_, [u32; 2]>::of(&pairs)), None::<&Buffer<f32>>);
        let list = [&pairs, &pairs];
        let (first, [second, third], (rows, nothing)) =
            gpu.download_all((&there, [list.as_slice(), &list[..1]], (some, none))).unwrap();
        assert!(first == bytes && (second.len(), third.len()) == (2, 1), "{len}");
        assert!(second.into_iter().chain(third).all(|list| list == words), "{len}");
        assert!(rows.unwrap().as_flattened() == words && nothing.is_none(), "{len}");
    }
}

#[test]
fn buffers_come_back_as_they_went() {
    let gpu = gpu();
    for len in [0, 1, 1000] {
        let values: Vec<u32> = (0..len).collect();
        assert_eq!(gpu.download(&gpu.upload(&values).unwrap()).unwrap(), values);
        assert_eq!(gpu.download(&gpu.zeros::<f32>(len as usize).unwrap()).unwrap(), vec![0.0; len as usize]);
    }
    let short = gpu.write(&[1u32, 2], &mut gpu.alloc(1).unwrap()).unwrap_err();
    assert!(short.to_string().contains("2 values"), "{short}");
}
