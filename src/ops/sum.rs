//! Sums of floats in fixed trees, so that the kernels (`warp_sum`, `block_sum`) and their references round alike.
//!
//! Value i goes to lane i modulo the number of lanes, where it is added to those before it; then the upper half of the
//! lanes is added to the lower half until one is left.

use num_traits::Float;

/// As the 32 lanes of a warp add.
pub fn warp<T: Float>(values: impl IntoIterator<Item = T>) -> T {
    halves(lanes::<T, 32>(values))
}

/// As the 256 threads of a block add: the trees of its 8 warps, then one over their sums.
pub fn block<T: Float>(values: impl IntoIterator<Item = T>) -> T {
    let lanes = lanes::<T, 256>(values);
    halves(std::array::from_fn::<T, 8, _>(|warp| {
        halves(std::array::from_fn::<T, 32, _>(|i| lanes[32 * warp + i]))
    }))
}

fn lanes<T: Float, const N: usize>(values: impl IntoIterator<Item = T>) -> [T; N] {
    let mut lanes = [T::zero(); N];
    for (i, value) in values.into_iter().enumerate() {
        lanes[i % N] = lanes[i % N] + value;
    }
    lanes
}

fn halves<T: Float, const N: usize>(mut lanes: [T; N]) -> T {
    let mut half = N / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = lanes[i] + lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_counts_once() {
        for n in [0, 1, 31, 32, 33, 255, 256, 257, 1025] {
            let exact = (n * n + n) as f64 / 2.0;
            assert_eq!(warp((1..=n).map(f64::from)), exact);
            assert_eq!(block((1..=n).map(f64::from)), exact);
        }
    }

    #[test]
    fn the_tree_is_the_kernels() {
        // 1 + 2^-24 rounds to 1, but two of them meet before they meet the 1.
        let tiny = 2f32.powi(-24);
        assert_eq!(warp([1.0, tiny]), 1.0);
        let mut values = [0.0f32; 32];
        (values[0], values[1], values[17]) = (1.0, tiny, tiny);
        assert!(warp(values) > 1.0);
        let mut values = [0.0f32; 256];
        (values[0], values[33], values[161]) = (1.0, tiny, tiny);
        assert!(block(values) > 1.0);
        (values[161], values[65]) = (0.0, tiny);
        assert_eq!(block(values), 1.0);
    }
}
