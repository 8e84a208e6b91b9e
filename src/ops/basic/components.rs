//! Connected components of a graph, numbered by their lowest vertices.

/// CPU reference.
pub mod cpu {
    /// The component of each of `n` vertices, and the number of components. `neighbors` goes both ways.
    pub fn connected<I: Iterator<Item = u32>>(n: usize, neighbors: impl Fn(u32) -> I) -> (Vec<u32>, usize) {
        const NONE: u32 = u32::MAX;
        let mut component = vec![NONE; n];
        let mut count = 0;
        let mut stack = vec![];
        for root in 0..n as u32 {
            if component[root as usize] != NONE {
                continue;
            }
            component[root as usize] = count;
            stack.push(root);
            while let Some(v) = stack.pop() {
                for head in neighbors(v) {
                    if component[head as usize] == NONE {
                        component[head as usize] = count;
                        stack.push(head);
                    }
                }
            }
            count += 1;
        }
        (component, count as usize)
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, ComponentsDims},
        },
        error::{Error, Result},
        ops::basic::scan,
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const BLOCK: u32 = 256;

    /// What a graph of up to `most` vertices needs beside it.
    #[derive(Debug)]
    pub struct Workspace {
        parents: Buffer<u32>,
        roots: Buffer<u32>,
        is_root: Buffer<u32>,
        /// The last one holds the number of components.
        ranks: Buffer<u32>,
        scan: scan::cuda::Workspace,
    }

    impl Workspace {
        /// # Errors
        /// [`Error::Memory`] if there is not enough memory.
        pub fn new(gpu: &Gpu, most: usize) -> Result<Workspace> {
            Ok(Workspace {
                parents: gpu.alloc(most)?,
                roots: gpu.alloc(most)?,
                is_root: gpu.alloc(most)?,
                ranks: gpu.alloc(most + 1)?,
                scan: scan::cuda::Workspace::new(gpu, most)?,
            })
        }
    }

    /// The component of each of `n` vertices, where an edge counts if both its ends are in one part.
    ///
    /// `first`: `[n + 1]` where the arcs of each vertex begin; `heads`: `[A]` their other ends, every edge as an arc in
    /// either direction; `parts`, `labels`: `[n]`. The number of components stays in the workspace: [`count`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn connected(
        gpu: &Gpu,
        first: &impl DevicePtr<u32>,
        heads: &impl DevicePtr<u32>,
        parts: &impl DevicePtr<u32>,
        n: usize,
        labels: &mut impl DevicePtrMut<u32>,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Workspace { parents, roots, is_root, ranks, scan } = workspace;
        if first.len() <= n || parts.len() < n || labels.len() < n || parents.len() < n {
            return Err(Error::invalid(format!(
                "components: first must be [{n} + 1], parts and labels [{n}] and the workspace have room for {n}, not {}, \
                 {}, {} values and {}",
                first.len(),
                parts.len(),
                labels.len(),
                parents.len()
            )));
        }
        let (grid, d) = (blocks(n, BLOCK), ComponentsDims { vertices: n as u32 });
        kernels::components_start(gpu, grid, parents, d)?;
        kernels::components_link(gpu, grid, first, heads, parts, parents, d)?;
        kernels::components_roots(gpu, grid, parents, roots, is_root, d)?;
        scan::cuda::exclusive(gpu, is_root, n, ranks, scan)?;
        kernels::components_number(gpu, grid, roots, ranks, labels, d)
    }

    /// Waits for the number of components of the last graph, of `n` vertices.
    ///
    /// # Errors
    /// [`Error::Device`] if anything before failed.
    pub fn count(gpu: &Gpu, n: usize, workspace: &Workspace) -> Result<usize> {
        Ok(gpu.download(&workspace.ranks.slice(n..n + 1))?[0] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::connected;

    #[test]
    fn numbers_follow_the_lowest_vertices() {
        let neighbors: [&[u32]; 5] = [&[3], &[4], &[], &[0], &[1]];
        let (labels, count) = connected(5, |v| neighbors[v as usize].iter().copied());
        assert_eq!((labels, count), (vec![0, 1, 2, 0, 1], 3));
        assert_eq!(connected(0, |_| std::iter::empty()), (vec![], 0));
    }
}
