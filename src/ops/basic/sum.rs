//! Sums of floats in fixed trees, so that the kernels (`warp_sum`, `block_sum`) and their references round alike.
//!
//! Value i goes to lane i modulo the number of lanes, where it is added to those before it; then the upper half of the
//! lanes is added to the lower half until one is left.

use num_traits::Float;

/// The lanes of a warp (32) or a block (256), each with the sum of its values so far.
#[derive(Debug, Clone)]
pub struct Lanes<T, const N: usize>([T; N]);

/// Those of a warp.
pub type Warp<T> = Lanes<T, 32>;
/// Those of a block.
pub type Block<T> = Lanes<T, 256>;

impl<T: Float, const N: usize> Lanes<T, N> {
    /// All zero.
    pub fn new() -> Self {
        Lanes([T::zero(); N])
    }

    /// Adds value `i`; values of one lane come in order, and a zero may be left out.
    pub fn add(&mut self, i: usize, value: T) {
        self.0[i % N] = self.0[i % N] + value;
    }

    /// The sum of all: the trees of the warps, then one over the warps' sums.
    pub fn total(&self) -> T {
        let mut warps: Vec<T> = self.0.chunks(32).map(|lanes| halves(&mut lanes.to_vec())).collect();
        halves(&mut warps)
    }
}

impl<T: Float, const N: usize> Default for Lanes<T, N> {
    fn default() -> Self {
        Lanes::new()
    }
}

/// As the 32 lanes of a warp add.
pub fn warp<T: Float>(values: impl IntoIterator<Item = T>) -> T {
    lanes::<T, 32>(values).total()
}

/// As the 256 threads of a block add: the trees of its 8 warps, then one over their sums.
pub fn block<T: Float>(values: impl IntoIterator<Item = T>) -> T {
    lanes::<T, 256>(values).total()
}

fn lanes<T: Float, const N: usize>(values: impl IntoIterator<Item = T>) -> Lanes<T, N> {
    let mut lanes = Lanes::new();
    values.into_iter().enumerate().for_each(|(i, value)| lanes.add(i, value));
    lanes
}

/// Sums of columns, as the warps of a block add whose columns of threads are those: row i goes to lane i % 32.
#[derive(Debug, Clone)]
pub struct Columns<T> {
    /// `[32, columns]`.
    lanes: Vec<T>,
    columns: usize,
}

impl<T: Float> Columns<T> {
    /// All zero.
    pub fn new(columns: usize) -> Columns<T> {
        Columns { lanes: vec![T::zero(); 32 * columns], columns }
    }

    /// Where row `i` is to be added; rows come in order, and zeros may be left out.
    pub fn lane(&mut self, i: usize) -> &mut [T] {
        &mut self.lanes[i % 32 * self.columns..][..self.columns]
    }

    /// The sums.
    pub fn totals(mut self) -> Vec<T> {
        let mut lanes = 32;
        while lanes > 1 {
            lanes /= 2;
            let (low, high) = self.lanes.split_at_mut(lanes * self.columns);
            low.iter_mut().zip(high).for_each(|(low, high)| *low = *low + *high);
        }
        self.lanes.truncate(self.columns);
        self.lanes
    }
}

/// `lanes`: as many as a power of two.
fn halves<T: Float>(mut lanes: &mut [T]) -> T {
    while lanes.len() > 1 {
        let (low, high) = lanes.split_at_mut(lanes.len() / 2);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = *low + *high);
        lanes = low;
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
    fn columns_are_the_sums_of_warps() {
        let value = |i: usize, c: usize| ((i * 37 + c * 11) % 101) as f32 / 7.0;
        for n in [0, 1, 33, 150] {
            let mut columns = Columns::<f32>::new(3);
            for i in 0..n {
                columns.lane(i).iter_mut().enumerate().for_each(|(c, lane)| *lane += value(i, c));
            }
            let expected = [0, 1, 2].map(|c| warp((0..n).map(|i| value(i, c))));
            assert_eq!(columns.totals(), expected);
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
