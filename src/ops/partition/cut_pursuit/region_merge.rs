//! Merges neighbouring regions while that lowers the energy of the partition: the start and the backward step of cut
//! pursuit.
//!
//! Merging a and b saves their border and adds n_a n_b / (n_a + n_b) |mean_a - mean_b|^2 of spread. In every round each
//! region offers itself to the neighbour with which most is gained, and the best offers are taken first; where one of the
//! two has grown meanwhile, the offer stands while half of the gain is left, and else another is made in the next round.

/// CPU reference.
pub mod cpu {
    use crate::ops::partition::cut_pursuit::{graph::Graph, region::Region};
    use rayon::prelude::*;

    /// The group that every region ends up in, numbered by their lowest regions, and the number of groups.
    ///
    /// `regions`: `[S]`, none empty; `graph`: which of them have a border; `scale`: cost of a border of weight 1; `small`:
    /// regions of at most this many features merge also where that raises the energy, as long as they have a border.
    pub fn merge<const D: usize>(
        mut regions: Vec<Region<D>>,
        graph: &Graph,
        scale: f32,
        small: usize,
    ) -> (Vec<u32>, usize) {
        let small = small as f64;
        let mut of: Vec<u32> = (0..regions.len() as u32).collect();
        let mut contracted = None;
        loop {
            let graph = contracted.as_ref().unwrap_or(graph);
            let mut offers = offers(&regions, graph, scale, small as f32);
            if offers.is_empty() {
                return (of, regions.len());
            }
            offers.par_sort_unstable_by(|x, y| y.gain.total_cmp(&x.gain).then(x.from.cmp(&y.from)));
            let mut into: Vec<u32> = (0..regions.len() as u32).collect();
            let mut grown = vec![false; regions.len()];
            for Offer { gain, border, from, to } in offers {
                let (a, b) = (find(&mut into, from), find(&mut into, to));
                if a == b {
                    continue;
                }
                let (one, other) = (&regions[a as usize], &regions[b as usize]);
                if grown[a as usize] || grown[b as usize] {
                    let now = border as f64 - one.merge_cost(other);
                    let pays = now > 0.0 || one.count.min(other.count) <= small;
                    if !pays || now < (gain - gain.abs() / 2.0) as f64 {
                        continue;
                    }
                }
                let (low, high) = (a.min(b) as usize, a.max(b) as usize);
                regions[low] = one.join(other);
                into[high] = low as u32;
                grown[low] = true;
            }
            // Groups are numbered by their lowest regions, which are their roots.
            let mut count = 0;
            for region in 0..into.len() {
                if into[region] == region as u32 {
                    regions[count] = regions[region];
                    into[region] = count as u32;
                    count += 1;
                } else {
                    into[region] = into[into[region] as usize];
                }
            }
            regions.truncate(count);
            of.par_iter_mut().for_each(|of| *of = into[*of as usize]);
            contracted = Some(graph.contract(&into, count));
        }
    }

    struct Offer {
        gain: f32,
        border: f32,
        from: u32,
        to: u32,
    }

    /// What each region offers: the merge with the neighbour with which most is gained.
    fn offers<const D: usize>(regions: &[Region<D>], graph: &Graph, scale: f32, small: f32) -> Vec<Offer> {
        let center = |region: &Region<D>| (region.count as f32, region.mean().map(|x| x as f32));
        let centers: Vec<(f32, [f32; D])> = regions.par_iter().map(center).collect();
        let offer = |from: usize| {
            let (count, mean) = &centers[from];
            let mut best = Offer {
                gain: if *count <= small { f32::NEG_INFINITY } else { 0.0 },
                border: 0.0,
                from: from as u32,
                to: from as u32,
            };
            for (to, weight) in graph.neighbors(from as u32) {
                let (other, center) = &centers[to as usize];
                let squared: f32 = (0..D).map(|i| (mean[i] - center[i]) * (mean[i] - center[i])).sum();
                let gain = scale * weight - count * other / (count + other) * squared;
                if gain > best.gain {
                    best = Offer { gain, border: scale * weight, to, ..best };
                }
            }
            (best.to != best.from).then_some(best)
        };
        (0..regions.len()).into_par_iter().with_min_len(256).filter_map(offer).collect()
    }

    fn find(into: &mut [u32], mut region: u32) -> u32 {
        while into[region as usize] != region {
            into[region as usize] = into[into[region as usize] as usize];
            region = into[region as usize];
        }
        region
    }
}

#[cfg(test)]
mod tests {
    use super::cpu;
    use crate::ops::partition::cut_pursuit::{graph::Graph, region::Region};

    fn single(x: f32) -> Region<1> {
        Region::of([[x]].iter())
    }

    /// Groups of regions that stand in a row, with these costs of the borders from each to the next.
    fn merge_row(regions: &[Region<1>], costs: &[f32], small: usize) -> Vec<u32> {
        let neighbors: Vec<u32> = (0..regions.len() as u32).map(|i| i.saturating_sub(1)).collect();
        let graph = Graph::from_neighbors(&neighbors, &[&[0.0], costs].concat(), regions.len(), 1).unwrap();
        cpu::merge(regions.to_vec(), &graph, 1.0, small).0
    }

    #[test]
    fn merges_only_what_pays() {
        // Merging two single features costs half their squared distance.
        let regions = [single(0.0), single(1.0), single(5.0)];
        assert_eq!(merge_row(&regions, &[0.49, 0.6], 0), [0, 1, 2]);
        assert_eq!(merge_row(&regions, &[0.51, 0.6], 0), [0, 0, 1]);
    }

    #[test]
    fn borders_of_merged_regions_add_up() {
        // Alone, neither 0 nor 1 would join 2: 0.5 against a border of 0.4. Together their border is 0.8 and the cost 2/3.
        let regions = vec![single(0.0), single(0.0), single(1.0)];
        let graph =
            Graph::from_neighbors(&[1, 2, 2, 2, 0, 2], &[1.0, 0.4, 0.4, 0.0, 0.0, 0.0], 3, 2).unwrap();
        assert_eq!(cpu::merge(regions, &graph, 1.0, 0), (vec![0; 3], 1));
    }

    #[test]
    fn small_regions_take_the_least_costly_neighbor() {
        let regions = [single(0.0).join(&single(0.0)), single(3.0), single(5.0).join(&single(5.0))];
        assert_eq!(merge_row(&regions, &[0.1, 0.1], 0), [0, 1, 2]);
        assert_eq!(merge_row(&regions, &[0.1, 0.1], 1), [0, 1, 1]);
    }

    #[test]
    fn many_alike_take_few_rounds() {
        let n = 100_000;
        assert_eq!(merge_row(&vec![single(0.5); n], &vec![0.1; n - 1], 0), vec![0; n]);
    }

    #[test]
    fn of_nothing() {
        assert_eq!(cpu::merge::<3>(vec![], &Graph::default(), 1.0, 0), (vec![], 0));
    }
}
