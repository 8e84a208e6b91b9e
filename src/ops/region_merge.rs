//! Merges neighbouring regions while that lowers the energy of the partition: the backward step of cut pursuit.
//!
//! Merging a and b saves their border and adds n_a n_b / (n_a + n_b) |mean_a - mean_b|^2 of spread. The best merge goes
//! first.

/// Number and sum of the features of a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region<const D: usize> {
    /// How many features.
    pub count: f64,
    /// Their sum.
    pub total: [f64; D],
}

impl<const D: usize> Default for Region<D> {
    fn default() -> Self {
        Region { count: 0.0, total: [0.0; D] }
    }
}

impl<const D: usize> Region<D> {
    /// The region of these features.
    pub fn of<'a>(features: impl Iterator<Item = &'a [f32; D]>) -> Region<D> {
        let mut region = Region::default();
        features.for_each(|feature| region.add(feature));
        region
    }

    /// Takes one more feature.
    pub fn add(&mut self, feature: &[f32; D]) {
        self.count += 1.0;
        for (total, &x) in self.total.iter_mut().zip(feature) {
            *total += x as f64;
        }
    }

    /// Both together.
    pub fn join(&self, other: &Region<D>) -> Region<D> {
        Region {
            count: self.count + other.count,
            total: std::array::from_fn(|i| self.total[i] + other.total[i]),
        }
    }

    /// Mean of the features.
    pub fn mean(&self) -> [f64; D] {
        self.total.map(|x| x / self.count)
    }

    /// |total|^2 / count: the sum of squares less the sum of squared distances to the mean.
    pub fn concentration(&self) -> f64 {
        if self.count > 0.0 { self.total.iter().map(|x| x * x).sum::<f64>() / self.count } else { 0.0 }
    }

    /// Spread that merging adds.
    fn merge_cost(&self, other: &Region<D>) -> f64 {
        let (a, b) = (self.mean(), other.mean());
        let squared: f64 = (0..D).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum();
        self.count * other.count / (self.count + other.count) * squared
    }
}

/// CPU reference.
pub mod cpu {
    use super::Region;
    use std::{
        cmp::Ordering,
        collections::{BTreeMap, BinaryHeap},
    };

    /// The region that every region ends up in, one of its own kind.
    ///
    /// `regions`: `[S]`, none empty; `borders`: (a, b, cost) with a < b, the same pair any number of times; `small`:
    /// regions of at most this many features merge also where that raises the energy, as long as they have a border.
    pub fn merge<const D: usize>(
        mut regions: Vec<Region<D>>,
        borders: Vec<(u32, u32, f64)>,
        small: usize,
    ) -> Vec<u32> {
        let mut around: Vec<BTreeMap<u32, f64>> = vec![BTreeMap::new(); regions.len()];
        for (a, b, cost) in borders {
            *around[a as usize].entry(b).or_default() += cost;
            *around[b as usize].entry(a).or_default() += cost;
        }
        let mut into: Vec<u32> = (0..regions.len() as u32).collect();
        let mut queue = BinaryHeap::new();
        loop {
            for (a, around) in around.iter().enumerate() {
                for (&b, border) in around.range(a as u32 + 1..) {
                    offer(&mut queue, &regions, small, a as u32, b, *border);
                }
            }
            if queue.is_empty() {
                break;
            }
            while let Some(Merge { gain, a, b }) = queue.pop() {
                // Either may have been merged, or have a new mean, since the entry was made.
                let (mut a, mut b) = (find(&mut into, a), find(&mut into, b));
                let Some(&border) = around[a as usize].get(&b) else { continue };
                let (one, other) = (&regions[a as usize], &regions[b as usize]);
                let now = border - one.merge_cost(other);
                if now < gain || now <= 0.0 && one.count.min(other.count) > small as f64 {
                    offer(&mut queue, &regions, small, a, b, border);
                    continue;
                }
                if around[a as usize].len() < around[b as usize].len() {
                    std::mem::swap(&mut a, &mut b);
                }
                into[b as usize] = a;
                regions[a as usize] = regions[a as usize].join(&regions[b as usize]);
                around[a as usize].remove(&b);
                for (other, cost) in std::mem::take(&mut around[b as usize]) {
                    if other == a {
                        continue;
                    }
                    around[other as usize].remove(&b);
                    let border = around[a as usize].entry(other).or_default();
                    *border += cost;
                    let border = *border;
                    around[other as usize].insert(a, border);
                    offer(&mut queue, &regions, small, a, other, border);
                }
            }
        }
        (0..into.len() as u32).map(|region| find(&mut into, region)).collect()
    }

    fn offer<const D: usize>(
        queue: &mut BinaryHeap<Merge>,
        regions: &[Region<D>],
        small: usize,
        a: u32,
        b: u32,
        border: f64,
    ) {
        let (one, other) = (&regions[a as usize], &regions[b as usize]);
        let gain = border - one.merge_cost(other);
        if gain > 0.0 || one.count.min(other.count) <= small as f64 {
            queue.push(Merge { gain, a: a.min(b), b: a.max(b) });
        }
    }

    fn find(into: &mut [u32], mut region: u32) -> u32 {
        while into[region as usize] != region {
            into[region as usize] = into[into[region as usize] as usize];
            region = into[region as usize];
        }
        region
    }

    /// Ordered by gain, then the lower regions.
    #[derive(Debug, PartialEq)]
    struct Merge {
        gain: f64,
        a: u32,
        b: u32,
    }

    impl Eq for Merge {}

    impl PartialOrd for Merge {
        fn partial_cmp(&self, other: &Merge) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl Ord for Merge {
        fn cmp(&self, other: &Merge) -> Ordering {
            self.gain.total_cmp(&other.gain).then_with(|| (other.a, other.b).cmp(&(self.a, self.b)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Region, cpu::merge};

    fn single(x: f32) -> Region<1> {
        Region::of([[x]].iter())
    }

    #[test]
    fn merges_only_what_pays() {
        // Merging two single features costs half their squared distance.
        let regions = vec![single(0.0), single(1.0), single(5.0)];
        let borders = |near| vec![(0, 1, near), (1, 2, 0.3), (1, 2, 0.3)];
        assert_eq!(merge(regions.clone(), borders(0.49), 0), [0, 1, 2]);
        let into = merge(regions, borders(0.51), 0);
        assert!(into[0] == into[1] && into[2] == 2);
    }

    #[test]
    fn borders_of_merged_regions_add_up() {
        // Alone, neither 0 nor 1 would join 2: 0.5 against a border of 0.4. Together their border is 0.8 and the cost 2/3.
        let regions = vec![single(0.0), single(0.0), single(1.0)];
        let into = merge(regions, vec![(0, 1, 1.0), (0, 2, 0.4), (1, 2, 0.4)], 0);
        assert!(into.iter().all(|&region| region == into[0]));
    }

    #[test]
    fn small_regions_take_the_least_costly_neighbor() {
        let regions = vec![single(0.0).join(&single(0.0)), single(3.0), single(5.0).join(&single(5.0))];
        let borders = vec![(0, 1, 0.1), (1, 2, 0.1)];
        assert_eq!(merge(regions.clone(), borders.clone(), 0), [0, 1, 2]);
        let into = merge(regions, borders, 1);
        assert!(into[1] == into[2] && into[0] == 0);
    }

    #[test]
    fn of_nothing() {
        assert!(merge::<3>(vec![], vec![], 0).is_empty());
    }
}
