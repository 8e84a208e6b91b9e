//! Prefix sums and sorting.

use crate::{gpu, random::Random};
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

/// Around the sizes of warps, blocks and tiles.
const SIZES: [usize; 12] = [0, 1, 31, 32, 33, 255, 1023, 1025, 2048, 2049, 10_000, 70_001];

#[test]
fn prefix_sums() {
    let gpu = gpu();
    let mut random = Random(1);
    let mut workspace = scan::cuda::Workspace::new(&gpu, 70_001).unwrap();
    for n in SIZES {
        let values: Vec<u32> = (0..n).map(|_| random.below(50_000)).collect();
        let mut offsets = gpu.alloc(n + 1).unwrap();
        scan::cuda::exclusive(&gpu, &gpu.upload(&values).unwrap(), n, &mut offsets, &mut workspace).unwrap();
        assert_eq!(gpu.download(&offsets).unwrap(), scan::cpu::exclusive(&values), "{n} values");
    }
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

fn sorts<K: Key + Ord + std::fmt::Debug>(gpu: &Gpu, bits: u32, mut key: impl FnMut() -> K) {
    let mut workspace = sort::cuda::Workspace::new(gpu, 70_001).unwrap();
    let mut pairs = Pairs::new(gpu, 70_001).unwrap();
    for n in SIZES {
        let keys: Vec<K> = (0..n).map(|_| key()).collect();
        let values: Vec<u32> = (0..n as u32).rev().collect();
        gpu.write(&keys, &mut pairs.keys).unwrap();
        gpu.write(&values, &mut pairs.values).unwrap();
        sort::cuda::pairs(gpu, &mut pairs, n, bits, &mut workspace).unwrap();
        let (expected_keys, expected_values) = sort::cpu::pairs(&keys, &values);
        assert_eq!(gpu.download(&pairs.keys.slice(..n)).unwrap(), expected_keys, "{n} keys of {bits} bits");
        assert_eq!(
            gpu.download(&pairs.values.slice(..n)).unwrap(),
            expected_values,
            "{n} keys of {bits} bits"
        );
    }
}

#[test]
fn sorting() {
    let gpu = gpu();
    let mut random = Random(2);
    sorts(&gpu, 32, || random.bits());
    sorts(&gpu, 5, || random.below(32));
    sorts(&gpu, 9, || 17u32);
    sorts(&gpu, 64, || (random.bits() as u64) << 32 | random.bits() as u64);
    sorts(&gpu, 48, || (random.below(3) as u64) << 40 | random.below(3) as u64);
    let mut next = 1u64 << 20;
    sorts(&gpu, 20, || {
        next = if next == 0 { (1 << 20) - 1 } else { next - 1 };
        next
    });
}

#[test]
fn sorting_more_than_there_is_room_for() {
    let gpu = gpu();
    let mut workspace = sort::cuda::Workspace::<u32>::new(&gpu, 5).unwrap();
    let error = sort::cuda::pairs(&gpu, &mut Pairs::new(&gpu, 4).unwrap(), 5, 8, &mut workspace).unwrap_err();
    assert!(error.to_string().contains("buffers for 4"), "{error}");
}
