//! Prefix sums and sorting.

use crate::{gpu, same};
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::basic::{
        scan,
        sort::{
            self,
            cuda::{Key, Pairs},
        },
    },
};
use std::fmt::Debug;

/// Around the sizes of warps, blocks and tiles.
const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 255, 1023, 1025, 2048, 2049, 10_000, 70_001];

/// Sums of as many values as `sizes` say, each below `end`.
pub fn sums(gpu: &Gpu, sizes: &[usize], end: u32) {
    let mut random = Random(1);
    let most = sizes.iter().copied().max().unwrap_or(0);
    let mut workspace = scan::cuda::Workspace::new(gpu, most).unwrap();
    for &n in sizes {
        let values: Vec<u32> = (0..n).map(|_| random.below(end)).collect();
        let mut offsets = gpu.alloc(n + 1).unwrap();
        scan::cuda::exclusive(gpu, &gpu.upload(&values).unwrap(), n, &mut offsets, &mut workspace).unwrap();
        same(&gpu.download(&offsets).unwrap(), &scan::cpu::exclusive(&values), &format!("{n} values"));
    }
}

#[test]
fn prefix_sums() {
    let gpu = gpu();
    sums(&gpu, &SIZES, 50_000);
    let mut workspace = scan::cuda::Workspace::new(&gpu, 3).unwrap();
    let mut short = gpu.alloc(3).unwrap();
    let error =
        scan::cuda::exclusive(&gpu, &gpu.zeros(3).unwrap(), 3, &mut short, &mut workspace).unwrap_err();
    assert!(error.to_string().contains("scan: 3 values"), "{error}");
}

#[test]
fn prefix_sums_of_part_of_a_buffer_leave_the_rest() {
    let gpu = gpu();
    let mut offsets = gpu.upload(&[7u32; 6]).unwrap();
    let mut workspace = scan::cuda::Workspace::new(&gpu, 4).unwrap();
    scan::cuda::exclusive(&gpu, &gpu.upload(&[1, 2, 3, 4]).unwrap(), 3, &mut offsets, &mut workspace)
        .unwrap();
    assert_eq!(gpu.download(&offsets).unwrap(), [0, 1, 3, 6, 7, 7]);
}

/// Sorts as many pairs as `sizes` say.
pub fn sorts<K: Key + Ord + Debug>(gpu: &Gpu, sizes: &[usize], bits: u32, mut key: impl FnMut() -> K) {
    let most = sizes.iter().copied().max().unwrap_or(0);
    let mut workspace = sort::cuda::Workspace::new(gpu, most).unwrap();
    let mut pairs = Pairs::new(gpu, most).unwrap();
    for &n in sizes {
        let keys: Vec<K> = (0..n).map(|_| key()).collect();
        let values: Vec<u32> = (0..n as u32).rev().collect();
        gpu.write(&keys, &mut pairs.keys).unwrap();
        gpu.write(&values, &mut pairs.values).unwrap();
        sort::cuda::pairs(gpu, &mut pairs, n, bits, &mut workspace).unwrap();
        let (expected_keys, expected_values) = sort::cpu::pairs(&keys, &values);
        let what = format!("{n} keys of {bits} bits");
        same(&gpu.download(&pairs.keys.slice(..n)).unwrap(), &expected_keys, &what);
        same(&gpu.download(&pairs.values.slice(..n)).unwrap(), &expected_values, &what);
    }
}

#[test]
fn sorting() {
    let gpu = gpu();
    let mut random = Random(2);
    sorts(&gpu, &SIZES, 32, || random.bits());
    sorts(&gpu, &SIZES, 5, || random.below(32));
    sorts(&gpu, &SIZES, 9, || 17u32);
    sorts(&gpu, &SIZES, 64, || (random.bits() as u64) << 32 | random.bits() as u64);
    sorts(&gpu, &SIZES, 48, || (random.below(3) as u64) << 40 | random.below(3) as u64);
    let mut next = 1u64 << 20;
    sorts(&gpu, &SIZES, 20, || {
        next = if next == 0 { (1 << 20) - 1 } else { next - 1 };
        next
    });
}

#[test]
fn sorting_as_many_as_the_device_says() {
    let gpu = gpu();
    let mut random = Random(3);
    for (most, said) in [(5000, 0), (5000, 1), (5000, 2048), (5000, 3001), (5000, 5000), (5000, 9000), (0, 7)]
    {
        let keys: Vec<u32> = (0..most).map(|_| random.below(1000)).collect();
        let values: Vec<u32> = (0..most as u32).collect();
        let mut workspace = sort::cuda::Workspace::new(&gpu, most).unwrap();
        let mut pairs = Pairs { keys: gpu.upload(&keys).unwrap(), values: gpu.upload(&values).unwrap() };
        let count = gpu.upload(&[said]).unwrap();
        sort::cuda::pairs_up_to(&gpu, &mut pairs, most, Some(&count), 10, &mut workspace).unwrap();
        let n = most.min(said as usize);
        let (expected_keys, expected_values) = sort::cpu::pairs(&keys[..n], &values[..n]);
        let what = format!("{said} of {most} keys");
        same(&gpu.download(&pairs.keys.slice(..n)).unwrap(), &expected_keys, &what);
        same(&gpu.download(&pairs.values.slice(..n)).unwrap(), &expected_values, &what);
    }
}

#[test]
fn sorting_more_than_there_is_room_for() {
    let gpu = gpu();
    let mut workspace = sort::cuda::Workspace::<u32>::new(&gpu, 5).unwrap();
    let error = sort::cuda::pairs(&gpu, &mut Pairs::new(&gpu, 4).unwrap(), 5, 8, &mut workspace).unwrap_err();
    assert!(error.to_string().contains("buffers for 4"), "{error}");
}
