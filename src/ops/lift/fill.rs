//! Labels of superpoints that no view shows, from those that they border on.
//!
//! In rounds from what is seen inwards, a superpoint without evidence takes the label, none included, with which it shares
//! the most edges of the neighbour graph; of equally many the lowest.

use crate::ops::lift::labels::NONE;

/// CPU reference.
pub mod cpu {
    use super::NONE;
    use crate::{error::Result, ops::expect_len};

    /// The label of every superpoint, `[S]`; [`NONE`] where no label reaches.
    ///
    /// `label`: below L, or [`NONE`], `[S]`; `visible`: points that the views show, `[S]`; `superpoint_of`: `[N]`;
    /// `neighbors`: `[N, k]`; `labels`: L.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn fill(
        label: &[i32],
        visible: &[u32],
        superpoint_of: &[u32],
        neighbors: &[u32],
        labels: usize,
    ) -> Result<Vec<i32>> {
        expect_len("fill", "visible [S]", visible.len(), label.len())?;
        let k = neighbors.len() / superpoint_of.len().max(1);
        expect_len("fill", "neighbors [N, k]", neighbors.len(), superpoint_of.len() * k)?;
        let shown = |(&label, &visible): (&i32, &u32)| (visible > 0).then_some(label);
        let mut known: Vec<Option<i32>> = label.iter().zip(visible).map(shown).collect();
        let columns = labels + 1;
        loop {
            let mut votes = vec![0u32; known.len() * columns];
            for (at, &j) in neighbors.iter().enumerate() {
                let ends = [superpoint_of[at / k] as usize, superpoint_of[j as usize] as usize];
                for [a, b] in [ends, [ends[1], ends[0]]] {
                    if let (None, Some(label)) = (known[a], known[b]) {
                        votes[a * columns + (label + 1) as usize] += 1;
                    }
                }
            }
            let mut taken = false;
            for (known, votes) in known.iter_mut().zip(votes.chunks_exact(columns)) {
                let most = votes.iter().copied().max().unwrap_or(0);
                if known.is_none() && most > 0 {
                    *known = votes.iter().position(|&votes| votes == most).map(|column| column as i32 - 1);
                    taken = true;
                }
            }
            if !taken {
                return Ok(known.into_iter().map(|label| label.unwrap_or(NONE)).collect());
            }
        }
    }
}

/// On a CUDA device: the reference's labels.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, FillDims},
        },
        error::Result,
        ops::expect_len,
    };

    const BLOCK: u32 = 256;

    /// Labels of which those of hidden superpoints are not known.
    #[derive(Debug)]
    pub struct Known {
        label: Buffer<i32>,
        /// How many are not.
        pub hidden: usize,
    }

    impl Known {
        /// Of the superpoints that the views show; waits for the number of the others.
        ///
        /// `label`: below L, or -1, `[S]`; `visible`: points that the views show, `[S]`.
        ///
        /// # Errors
        /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
        /// the driver refuses.
        pub fn of(gpu: &Gpu, label: &Buffer<i32>, visible: &Buffer<u32>) -> Result<Known> {
            let s = label.len();
            expect_len("fill", "visible [S]", visible.len(), s)?;
            let (mut known, mut hidden) = (gpu.alloc(s)?, gpu.zeros(1)?);
            kernels::fill_hidden(
                gpu,
                blocks(s, BLOCK),
                label,
                visible,
                &mut known,
                &mut hidden,
                dims(s, 0, 0, 0),
            )?;
            Ok(Known { label: known, hidden: gpu.download(&hidden)?[0] as usize })
        }

        /// The label of every superpoint, `[S]`. The host waits once a round, for a number.
        ///
        /// `superpoint_of`: `[N]`; `neighbors`: `[N, k]`; `labels`: L.
        ///
        /// # Errors
        /// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
        /// the driver refuses.
        pub fn fill(
            self,
            gpu: &Gpu,
            superpoint_of: &Buffer<u32>,
            neighbors: &Buffer<u32>,
            labels: usize,
        ) -> Result<Buffer<i32>> {
            let Known { label: mut known, hidden: mut left } = self;
            let (s, n) = (known.len(), superpoint_of.len());
            let (k, columns) = (neighbors.len() / n.max(1), labels + 1);
            expect_len("fill", "neighbors [N, k]", neighbors.len(), n * k)?;
            let d = dims(s, n, k, columns);
            while left > 0 {
                let (mut votes, mut taken) = (gpu.zeros(s * columns)?, gpu.zeros(1)?);
                kernels::fill_votes(
                    gpu,
                    blocks(n * k, BLOCK),
                    superpoint_of,
                    neighbors,
                    &known,
                    &mut votes,
                    d,
                )?;
                kernels::fill_take(gpu, blocks(s, BLOCK), &votes, &mut known, &mut taken, d)?;
                match gpu.download(&taken)?[0] as usize {
                    0 => break,
                    taken => left -= taken,
                }
            }
            kernels::fill_rest(gpu, blocks(s, BLOCK), &mut known, d)?;
            Ok(known)
        }
    }

    fn dims(s: usize, n: usize, k: usize, columns: usize) -> FillDims {
        FillDims { points: n as u32, neighbors: k as u32, superpoints: s as u32, columns: columns as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::{NONE, cpu::fill};

    /// Superpoints of one point each in a row, each point with its neighbours to the left and right.
    fn row(label: &[i32], visible: &[u32]) -> Vec<i32> {
        let n = label.len();
        let neighbors: Vec<u32> =
            (0..n).flat_map(|i| [i.saturating_sub(1) as u32, (i + 1).min(n - 1) as u32]).collect();
        fill(label, visible, &(0..n as u32).collect::<Vec<_>>(), &neighbors, 3).unwrap()
    }

    #[test]
    fn labels_spread_inwards() {
        let label = [2, NONE, NONE, NONE, NONE, 1];
        assert_eq!(row(&label, &[1, 0, 0, 0, 0, 1]), [2, 2, 2, 1, 1, 1]);
        assert_eq!(row(&label, &[1, 0, 1, 0, 0, 1]), [2, NONE, NONE, NONE, 1, 1], "none is a label too");
        assert_eq!(row(&label, &[1; 6]), label);
    }

    #[test]
    fn what_nothing_borders_on_has_none() {
        assert_eq!(row(&[0, 1], &[0, 0]), [NONE, NONE]);
        assert!(fill(&[], &[], &[], &[], 3).unwrap().is_empty());
    }
}
