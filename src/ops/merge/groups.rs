//! Groups of points, -1 = none: how large they are, without the small ones, numbered without gaps.

/// CPU reference.
pub mod cpu {
    /// Points of every group, one beyond the largest number. `groups`: -1 = none, `[N]`.
    pub fn sizes(groups: &[i32]) -> Vec<u32> {
        let count = groups.iter().max().map_or(0, |&most| (i64::from(most) + 1).max(0) as usize);
        let mut sizes = vec![0; count];
        groups.iter().filter(|&&group| group >= 0).for_each(|&group| sizes[group as usize] += 1);
        sizes
    }

    /// Groups of fewer than `least` points become -1; the others keep their numbers. `[N]`.
    pub fn without_small(groups: &[i32], least: u32) -> Vec<i32> {
        let sizes = sizes(groups);
        let kept = |&group: &i32| if group >= 0 && sizes[group as usize] < least { -1 } else { group };
        groups.iter().map(kept).collect()
    }

    /// The groups that there are, in their order, become 0, 1, ...: `[N]`, and how many there are.
    pub fn compact(groups: &[i32]) -> (Vec<i32>, usize) {
        let mut count = 0;
        let number = |size: &u32| {
            count += i32::from(*size > 0);
            count - 1
        };
        let numbers: Vec<i32> = sizes(groups).iter().map(number).collect();
        let renamed = |&group: &i32| if group >= 0 { numbers[group as usize] } else { -1 };
        (groups.iter().map(renamed).collect(), count as usize)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, GroupsDims},
        },
        error::Result,
        ops::basic::scan,
    };

    fn dims(groups: &Buffer<i32>, bound: usize) -> GroupsDims {
        GroupsDims { points: groups.len() as u32, groups: bound as u32, least: 0 }
    }

    /// Points of every group, `[bound]`. `groups`: below `bound`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn sizes(gpu: &Gpu, groups: &Buffer<i32>, bound: usize) -> Result<Buffer<u32>> {
        let mut sizes = gpu.zeros(bound)?;
        kernels::groups_sizes(gpu, blocks(groups.len(), 256), groups, &mut sizes, dims(groups, bound))?;
        Ok(sizes)
    }

    /// Drops groups of fewer than `least` points where they lie. `groups`: below `bound`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn drop_small(gpu: &Gpu, groups: &mut Buffer<i32>, bound: usize, least: u32) -> Result<()> {
        let sizes = sizes(gpu, groups, bound)?;
        let d = GroupsDims { least, ..dims(groups, bound) };
        kernels::groups_drop(gpu, blocks(groups.len(), 256), groups, &sizes, d)
    }

    /// Numbers groups without gaps where they lie, and waits for how many there are. `groups`: below `bound`.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn compact(gpu: &Gpu, groups: &mut Buffer<i32>, bound: usize) -> Result<usize> {
        let sizes = sizes(gpu, groups, bound)?;
        let (mut marks, mut numbers) = (gpu.alloc(bound)?, gpu.alloc(bound + 1)?);
        let d = dims(groups, bound);
        kernels::groups_marks(gpu, blocks(bound, 256), &sizes, &mut marks, d)?;
        let mut workspace = scan::cuda::Workspace::new(gpu, bound)?;
        scan::cuda::exclusive(gpu, &marks, bound, &mut numbers, &mut workspace)?;
        kernels::groups_rename(gpu, blocks(groups.len(), 256), groups, &numbers, d)?;
        Ok(gpu.download(&numbers.slice(bound..))?[0] as usize)
    }

    /// The group of what was found for every query, -1 = none, `[Q]`. `found`: rows of `groups`, -1 = none.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn of(gpu: &Gpu, groups: &Buffer<i32>, found: &Buffer<i32>) -> Result<Buffer<i32>> {
        let mut of_query = gpu.alloc(found.len())?;
        kernels::groups_of(gpu, blocks(found.len(), 256), groups, found, &mut of_query, dims(found, 0))?;
        Ok(of_query)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::*;

    #[test]
    fn small_groups_leave_gaps_that_compacting_closes() {
        let groups = [5, -1, 2, 5, 2, 9, 5];
        assert_eq!(without_small(&groups, 2), [5, -1, 2, 5, 2, -1, 5]);
        assert_eq!(without_small(&groups, 3), [5, -1, -1, 5, -1, -1, 5]);
        assert_eq!(compact(&groups), (vec![1, -1, 0, 1, 0, 2, 1], 3));
        assert_eq!(compact(&[-1, -1]), (vec![-1, -1], 0));
        assert_eq!(compact(&[]), (vec![], 0));
    }
}
