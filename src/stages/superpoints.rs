//! Superpoints: the over-segmentation whose pieces vote as one.

/// A partition of the cloud's N points into S superpoints, each with at least one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superpoints {
    /// Superpoint of every point, `[N]`, each below S.
    pub of_point: Vec<u32>,
    /// Where each superpoint's points begin in `points`, `[S + 1]`.
    pub offsets: Vec<u32>,
    /// The points grouped by superpoint, `[N]`, ascending within each.
    pub points: Vec<u32>,
}

impl Superpoints {
    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points of superpoint `s`, ascending.
    pub fn points(&self, s: usize) -> &[u32] {
        &self.points[self.offsets[s] as usize..self.offsets[s + 1] as usize]
    }
}
