//! Splits features in two by 2-means: the start of every cut.

/// CPU reference.
pub mod cpu {
    use crate::ops::{basic::random::Random, partition::cut_pursuit::region::Region};
    use rayon::prelude::*;

    /// From this many features on, the starts run in parallel.
    const TASK: usize = 4096;

    /// On which side of the best of `starts` k-means++ starts (Arthur & Vassilvitskii 2007), each improved by
    /// `iterations` of Lloyd's, every feature lies; the first of equally good ones. `None` if no two features differ.
    ///
    /// `features`: `[N, D]`; `seed`: of the starts' random numbers.
    pub fn two_means<const D: usize>(
        features: &[[f32; D]],
        seed: u64,
        starts: usize,
        iterations: usize,
    ) -> Option<Vec<bool>> {
        let run = |start: usize| lloyd(features, Random(seed ^ (start as u64) << 32), iterations);
        let runs: Vec<_> = if features.len() < TASK {
            (0..starts).filter_map(run).collect()
        } else {
            (0..starts).into_par_iter().filter_map(run).collect()
        };
        let best = runs.into_iter().reduce(|best, run| if run.0 > best.0 { run } else { best });
        best.map(|(_, side)| side)
    }

    /// Sides and how concentrated they are.
    fn lloyd<const D: usize>(
        features: &[[f32; D]],
        mut random: Random,
        iterations: usize,
    ) -> Option<(f64, Vec<bool>)> {
        let seed = features[(random.uniform() * features.len() as f64) as usize];
        let squared = |f: &[f32; D]| (0..D).map(|i| (f[i] - seed[i]) * (f[i] - seed[i])).sum::<f32>();
        let total: f64 = features.iter().map(|f| squared(f) as f64).sum();
        if total == 0.0 {
            return None;
        }
        let mut left = total * random.uniform();
        let chosen = |f: &&[f32; D]| {
            left -= squared(f) as f64;
            left < 0.0
        };
        let other = features.iter().find(chosen).or(features.iter().rfind(|f| squared(f) > 0.0))?;
        let mut means = [seed, *other];
        let mut side = vec![false; features.len()];
        let mut concentration = 0.0;
        for _ in 0..iterations.max(1) {
            // Nearer to the second mean: beyond the plane half way.
            let axis: [f32; D] = std::array::from_fn(|i| means[1][i] - means[0][i]);
            let middle: f32 = (0..D).map(|i| axis[i] * (means[0][i] + means[1][i])).sum::<f32>() / 2.0;
            let mut sums = [Region::default(); 2];
            for (feature, side) in features.iter().zip(&mut side) {
                *side = (0..D).map(|i| axis[i] * feature[i]).sum::<f32>() > middle;
                sums[*side as usize].add(feature);
            }
            if sums.iter().any(|sum| sum.count == 0.0) {
                return None;
            }
            let now = sums[0].concentration() + sums[1].concentration();
            means = sums.map(|sum| sum.mean().map(|x| x as f32));
            if now == concentration {
                break;
            }
            concentration = now;
        }
        Some((concentration, side))
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::two_means;

    #[test]
    fn separates_two_clusters() {
        let features: Vec<[f32; 2]> = (0..50).map(|i| [(i % 2) as f32 + 0.001 * i as f32, 0.3]).collect();
        let side = two_means(&features, 0, 10, 5).unwrap();
        assert!((0..50).all(|i| (side[i] == side[0]) == (i % 2 == 0)));
    }

    #[test]
    fn needs_two_different_features() {
        assert_eq!(two_means(&[[0.1, 0.2]; 40], 0, 10, 5), None);
        assert_eq!(two_means(&[[0.1, 0.2]], 0, 10, 5), None);
        let side = two_means(&[[0.1], [0.2]], 0, 10, 5).unwrap();
        assert_ne!(side[0], side[1]);
    }
}
