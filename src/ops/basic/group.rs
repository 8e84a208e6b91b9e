//! Points grouped by label: one group for each label that occurs, in the labels' order, the points ascending in each.

use crate::ragged::Ragged;

/// S groups of N points, each with at least one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// Group of every point, `[N]`.
    pub of_point: Vec<u32>,
    /// The points of every group, `[S]`, N in all.
    pub members: Ragged<u32>,
}

/// CPU reference.
pub mod cpu {
    use super::{Groups, Ragged};

    /// `labels`: `[N]`.
    pub fn group(labels: &[u32]) -> Groups {
        let mut points: Vec<u32> = (0..labels.len() as u32).collect();
        points.sort_by_key(|&i| labels[i as usize]);
        let alike = |a: &u32, b: &u32| labels[*a as usize] == labels[*b as usize];
        let members: Ragged<u32> = points.chunk_by(alike).map(|group| group.iter().copied()).collect();
        let mut of_point = vec![0; labels.len()];
        for (group, points) in (0..).zip(members.rows()) {
            points.iter().for_each(|&i| of_point[i as usize] = group);
        }
        Groups { of_point, members }
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, GroupDims},
        },
        error::{Error, Result},
        ops::basic::{
            scan,
            sort::{self, cuda::Pairs},
        },
    };
    use cudarc::driver::DevicePtr;

    const BLOCK: u32 = 256;

    /// [`Groups`](super::Groups) of up to `most` points.
    #[derive(Debug)]
    pub struct Groups {
        /// Group of every point, `[most]`.
        pub of_point: Buffer<u32>,
        /// Where each group's points begin in `points`, `[most + 1]`; of n points, from the last group to n, where they end.
        pub offsets: Buffer<u32>,
        /// The points, group by group, `[most]`.
        pub points: Buffer<u32>,
        /// How many groups there are, `[1]`.
        pub count: Buffer<u32>,
    }

    impl Groups {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Groups> {
            let (of_point, points) = (gpu.alloc(most)?, gpu.alloc(most)?);
            Ok(Groups { of_point, offsets: gpu.alloc(most + 1)?, points, count: gpu.zeros(1)? })
        }
    }

    /// What the grouping of up to `most` points needs beside the groups.
    #[derive(Debug)]
    pub struct Workspace {
        order: Pairs<u32>,
        starts: Buffer<u32>,
        ranks: Buffer<u32>,
        sort: sort::cuda::Workspace<u32>,
        scan: scan::cuda::Workspace,
    }

    impl Workspace {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Workspace> {
            Ok(Workspace {
                order: Pairs::new(gpu, most)?,
                starts: gpu.alloc(most)?,
                ranks: gpu.alloc(most + 1)?,
                sort: sort::cuda::Workspace::new(gpu, most)?,
                scan: scan::cuda::Workspace::new(gpu, most)?,
            })
        }
    }

    /// Groups the first `n` points by their labels, each below `2^bits`.
    ///
    /// `labels`: `[n]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn group(
        gpu: &Gpu,
        labels: &impl DevicePtr<u32>,
        n: usize,
        bits: u32,
        groups: &mut Groups,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Workspace { order, starts, ranks, sort, scan } = workspace;
        let Groups { of_point, offsets, points, count } = groups;
        if labels.len() < n || of_point.len() < n || starts.len() < n {
            return Err(Error::invalid(format!(
                "group: labels must be [{n}] and groups and workspace have room for {n}, not {}, {} and {}",
                labels.len(),
                of_point.len(),
                starts.len()
            )));
        }
        if n == 0 {
            gpu.clear(offsets)?;
            return gpu.clear(count);
        }
        let (grid, d) = (blocks(n, BLOCK), GroupDims { points: n as u32 });
        kernels::group_keys(gpu, grid, labels, &mut order.keys, &mut order.values, d)?;
        sort::cuda::pairs(gpu, order, n, bits, sort)?;
        kernels::group_starts(gpu, grid, &order.keys, starts, d)?;
        scan::cuda::exclusive(gpu, starts, n, ranks, scan)?;
        kernels::group_members(gpu, grid, starts, &order.values, ranks, points, of_point, offsets, count, d)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::group;

    #[test]
    fn groups_follow_the_labels_order() {
        let groups = group(&[7, 3, 7, 0]);
        assert_eq!(groups.of_point, [2, 1, 2, 0]);
        assert_eq!(groups.members.rows().collect::<Vec<_>>(), [&[3][..], &[1], &[0, 2]]);
        assert!(group(&[]).members.is_empty());
    }
}
