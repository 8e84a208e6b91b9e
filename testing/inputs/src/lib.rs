//! What tests feed to the project: numbers from a seed, awkward sizes, the files of fixtures.

use std::path::PathBuf;

/// Sizes around those of a warp and of four blocks, where kernels go wrong if they do. Those of real clouds, and around
/// every other limit, are in `tests/parity/sizes.rs`.
pub const AWKWARD: [usize; 8] = [0, 1, 2, 31, 32, 33, 1023, 1025];

/// Knuth's linear congruential generator; the upper bits are the random ones.
pub struct Random(pub u64);

impl Random {
    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    /// Below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        ((self.bits() as u64 * end as u64) >> 32) as u32
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1 << 24) as f32
    }

    /// From -1 to 1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| 2.0 * self.uniform() - 1.0).collect()
    }

    /// Whole numbers from -2 to 2: sums of a few hundred products of two are exact in every order.
    pub fn whole(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.below(5) as f32 - 2.0).collect()
    }
}

/// A file among the small cases that the repository holds; tests run in its root.
pub fn fixture(path: &str) -> PathBuf {
    PathBuf::from("tests/fixtures").join(path)
}

/// A file among the large cases.
///
/// # Panics
/// Without the variable PARTSTAD_GOLDEN, which names their folder.
pub fn golden(path: &str) -> PathBuf {
    let root = std::env::var_os("PARTSTAD_GOLDEN");
    PathBuf::from(root.expect("PARTSTAD_GOLDEN must name the folder of the large cases")).join(path)
}

/// Points on a spiral around the unit ball, all over it.
pub fn spiral(points: usize) -> Vec<[f32; 3]> {
    let point = |i: usize| {
        let (y, turn) = (1.9 * (i as f32 + 0.5) / points as f32 - 0.95, i as f32 * 2.399_963);
        let r = (1.0 - y * y).sqrt();
        [r * turn.cos(), y, r * turn.sin()]
    };
    (0..points).map(point).collect()
}
