//! Fewer points, as even as the cells of a grid.

/// CPU reference.
pub mod cpu {
    /// More cells along the longest side make no difference.
    const FINEST: u32 = 1 << 12;

    /// At most `most` of the points, ascending: of every cell of the finest grid that has no more occupied cells, the
    /// one nearest to its middle. `points`: `[N]`, finite.
    pub fn thin(points: &[[f32; 3]], most: usize) -> Vec<u32> {
        if points.len() <= most {
            return (0..points.len() as u32).collect();
        }
        let bound = |pick: fn(f32, f32) -> f32, from: f32| {
            [0, 1, 2].map(|axis| points.iter().map(|p| p[axis]).fold(from, pick))
        };
        let (low, high) = (bound(f32::min, f32::INFINITY), bound(f32::max, f32::NEG_INFINITY));
        let longest = (0..3).map(|axis| high[axis] - low[axis]).fold(f32::MIN_POSITIVE, f32::max);
        let occupied = |cells: u32| {
            let place = |p: &[f32; 3], axis: usize| (p[axis] - low[axis]) / longest * cells as f32;
            let of_point = |(p, i): (&[f32; 3], u32)| {
                let cell = [0, 1, 2].map(|axis| (place(p, axis) as u64).min(u64::from(cells) - 1));
                let off = |axis: usize| place(p, axis) - cell[axis] as f32 - 0.5;
                let square = off(0) * off(0) + off(1) * off(1) + off(2) * off(2);
                // Squares are not negative, so that their bits order as they do.
                (cell[0] << 32 | cell[1] << 16 | cell[2], square.to_bits(), i)
            };
            let mut found: Vec<(u64, u32, u32)> = points.iter().zip(0..).map(of_point).collect();
            found.sort_unstable();
            found.dedup_by_key(|&mut (cell, ..)| cell);
            found
        };
        let (mut fits, mut too_many) = (1, FINEST);
        let mut kept = occupied(fits);
        while fits + 1 < too_many {
            let cells = fits.midpoint(too_many);
            let found = occupied(cells);
            if found.len() <= most {
                (fits, kept) = (cells, found);
            } else {
                too_many = cells;
            }
        }
        let mut kept: Vec<u32> = kept.into_iter().map(|(.., point)| point).collect();
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
