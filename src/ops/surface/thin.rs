//! Fewer points, as even as the cells of a grid.

/// CPU reference.
pub mod cpu {
    /// More cells along the longest side make no difference.
    const FINEST: u32 = 1 << 12;

    /// At most `most` of the points, ascending: of every cell of the finest grid that has no more occupied cells, the
    /// first. `points`: `[N]`, finite.
    pub fn thin(points: &[[f32; 3]], most: usize) -> Vec<u32> {
        if points.len() <= most {
            return (0..points.len() as u32).collect();
        }
        let bound = |pick: fn(f32, f32) -> f32, from: f32| {
            [0, 1, 2].map(|axis| points.iter().map(|p| p[axis]).fold(from, pick))
        };
        let (low, high) = (bound(f32::min, f32::INFINITY), bound(f32::max, f32::NEG_INFINITY));
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(f32::MIN_POSITIVE, f32::max);
        let firsts = |cells: u32| {
            let cell = |p: &[f32; 3]| {
                let at = |axis: usize| {
                    (((p[axis] - low[axis]) / longest * cells as f32) as u64).min(u64::from(cells) - 1)
                };
                at(0) << 32 | at(1) << 16 | at(2)
            };
            let mut cells: Vec<(u64, u32)> = points.iter().map(cell).zip(0..).collect();
            cells.sort_unstable();
            cells.dedup_by_key(|&mut (cell, _)| cell);
            cells
        };
        let (mut fits, mut too_many) = (1, FINEST);
        let mut kept = firsts(fits);
        while fits + 1 < too_many {
            let cells = fits.midpoint(too_many);
            let found = firsts(cells);
            if found.len() <= most {
                (fits, kept) = (cells, found);
            } else {
                too_many = cells;
            }
        }
        let mut kept: Vec<u32> = kept.into_iter().map(|(_, point)| point).collect();
        kept.truncate(most.max(1));
        kept.sort_unstable();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::thin;
    use inputs::Random;

    #[test]
    fn what_is_left_is_even_and_nearly_as_many_as_allowed() {
        let mut random = Random(3);
        // Dense at one side.
        let points: Vec<[f32; 3]> =
            (0..20_000).map(|_| [random.uniform().powi(3), random.uniform(), 0.0]).collect();
        let kept = thin(&points, 1000);
        assert!((900..=1000).contains(&kept.len()), "{}", kept.len());
        assert!(kept.is_sorted());
        let left = kept.iter().filter(|&&i| points[i as usize][0] < 0.125).count();
        assert!(left < kept.len() / 6, "half of all points, an eighth of the place: {left}");
        assert_eq!(thin(&points[..5], 5), [0, 1, 2, 3, 4]);
        assert_eq!(thin(&[[0.5; 3]; 9], 4), [0]);
    }
}
