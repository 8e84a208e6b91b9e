//! Groups of one cloud, the target, take the numbers of groups of another, the source, that they share enough points with.
//!
//! `O[t, s]` counts the target's points of group t whose match has group s. Of every t, the s of the largest O is tried, of
//! equals the pair whose first point comes first. If `2 O[t, s] >= min(size of s, size of t)`, all of t becomes s. Several t
//! may take one s. Points without a group take that of their match.

use crate::error::{Error, Result};

/// What is matched.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Groups of the source's points, -1 = none.
    pub source: &'a [i32],
    /// Groups of the target's points, -1 = none, `[T]`.
    pub target: &'a [i32],
    /// The source's point that matches each of the target's, -1 = none, `[T]`.
    pub matched: &'a [i32],
    /// More than every number of the source; what the target's groups that take none grow by.
    pub above: u32,
}

impl Input<'_> {
    fn check(&self) -> Result<()> {
        crate::ops::expect_len("transfer", "matched [T]", self.matched.len(), self.target.len())?;
        if let Some(&to) = self.matched.iter().find(|&&to| to < -1 || to as i64 >= self.source.len() as i64) {
            let points = self.source.len();
            return Err(Error::invalid(format!("transfer: point {to} matches, but there are {points}")));
        }
        let out = |group: i32, end: u64| group < -1 || i64::from(group) >= end as i64;
        if let Some(&group) = self.source.iter().find(|&&group| out(group, self.above.into())) {
            return Err(Error::invalid(format!("transfer: group {group} is not below {}", self.above)));
        }
        let end = (1u64 << 31) - u64::from(self.above).min(1 << 31);
        match self.target.iter().find(|&&group| out(group, end)) {
            Some(group) => {
                Err(Error::invalid(format!("transfer: group {group} cannot grow by {}", self.above)))
            }
            None => Ok(()),
        }
    }
}

/// CPU reference.
pub mod cpu {
    use super::Input;
    use crate::{error::Result, ops::merge::groups::cpu::sizes};
    use std::cmp::Reverse;

    /// The target's new groups, `[T]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if a number is outside or the lengths do not fit together.
    pub fn transfer(input: &Input) -> Result<Vec<i32>> {
        input.check()?;
        let &Input { source, target, matched, above } = input;
        let of_match = |i: usize| if matched[i] >= 0 { source[matched[i] as usize] } else { -1 };
        let both = (0..target.len()).map(|i| (target[i], of_match(i), i));
        let mut shared: Vec<(i32, i32, usize)> = both.filter(|&(t, s, _)| t >= 0 && s >= 0).collect();
        shared.sort_unstable();
        let (of_source, of_target) = (sizes(source), sizes(target));
        let mut becomes: Vec<i32> = (0..of_target.len() as i32).map(|t| t + above as i32).collect();
        for of_t in shared.chunk_by(|a, b| a.0 == b.0) {
            let pairs = of_t.chunk_by(|a, b| a.1 == b.1);
            let best = pairs.max_by_key(|pair| (pair.len(), Reverse(pair[0].2)));
            let pair = best.expect("a chunk is never empty");
            let (t, s) = (pair[0].0 as usize, pair[0].1);
            if 2 * pair.len() >= of_source[s as usize].min(of_target[t]) as usize {
                becomes[t] = s;
            }
        }
        let new = |i: usize| if target[i] >= 0 { becomes[target[i] as usize] } else { of_match(i) };
        Ok((0..target.len()).map(new).collect())
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, TransferDims},
        },
        error::{Error, Result},
        ops::{expect_len, merge::groups},
    };

    const WARP: usize = 32;
    /// Pairs of groups that are counted, at most.
    pub const MOST: usize = 1 << 26;

    /// As the reference. `source`: groups below `above`; `target`, `matched`: `[T]`, groups below `bound`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths differ or there are too many pairs of groups, [`Error::Device`] if the driver refuses.
    pub fn transfer(
        gpu: &Gpu,
        source: &Buffer<i32>,
        target: &Buffer<i32>,
        matched: &Buffer<i32>,
        above: usize,
        bound: usize,
    ) -> Result<Buffer<i32>> {
        expect_len("transfer", "matched [T]", matched.len(), target.len())?;
        if above.saturating_mul(bound) > MOST {
            return Err(Error::invalid(format!(
                "transfer: {above} and {bound} groups; at most {MOST} pairs fit a CUDA device: use fewer masks, or the CPU"
            )));
        }
        let d = TransferDims { points: target.len() as u32, targets: bound as u32, sources: above as u32 };
        let (mut shared, mut firsts) = (gpu.zeros(above * bound)?, gpu.zeros(above * bound)?);
        let grid = blocks(target.len(), 256);
        kernels::transfer_overlaps(gpu, grid, source, target, matched, &mut shared, &mut firsts, d)?;
        let of_source = groups::cuda::sizes(gpu, source, above)?;
        let of_target = groups::cuda::sizes(gpu, target, bound)?;
        let mut becomes = gpu.alloc(bound)?;
        let rows = blocks(WARP * bound, 256);
        kernels::transfer_best(gpu, rows, &shared, &firsts, &of_source, &of_target, &mut becomes, d)?;
        let mut renamed = gpu.alloc(target.len())?;
        kernels::transfer_rename(gpu, grid, source, target, matched, &becomes, &mut renamed, d)?;
        Ok(renamed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, cpu::transfer};

    #[test]
    fn half_of_the_smaller_is_enough() {
        let (source, target) = ([0, 0, 0, 0, 1, -1], [0, 0, 1, 1, 1, -1, -1]);
        let input = Input { source: &source, target: &target, matched: &[0, -1, 4, 1, 0, 3, 5], above: 2 };
        // One of the two points of 0 lies in 0; two of the three of 1 in 0, one in 1.
        assert_eq!(transfer(&input).unwrap(), [0, 0, 0, 0, 0, 0, -1]);
        let input = Input { matched: &[0, -1, 4, -1, -1, -1, -1], ..input };
        assert_eq!(transfer(&input).unwrap(), [0, 0, 1, 1, 1, -1, -1], "all of the source's 1");
        let input = Input { source: &[0, 0, 0, 0, 0], matched: &[-1, -1, 4, -1, -1, -1, -1], ..input };
        assert_eq!(transfer(&input).unwrap(), [2, 2, 3, 3, 3, -1, -1], "a third is too little");
    }

    #[test]
    fn of_equals_the_first_to_be_met_wins() {
        let input = Input { source: &[0, 1], target: &[0, 0], matched: &[1, 0], above: 2 };
        assert_eq!(transfer(&input).unwrap(), [1, 1]);
    }

    #[test]
    fn numbers_outside_are_refused() {
        let input = Input { source: &[0], target: &[0], matched: &[0], above: 1 };
        assert!(transfer(&input).is_ok());
        for wrong in [
            Input { matched: &[1], ..input },
            Input { matched: &[], ..input },
            Input { above: 0, ..input },
            Input { target: &[-2], ..input },
            Input { target: &[i32::MAX], ..input },
        ] {
            assert!(transfer(&wrong).is_err());
        }
    }
}
