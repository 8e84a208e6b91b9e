//! Of many places on a surface as many as are wanted, none close to another: a cloud of these has fewer holes than one of
//! places at random.

use super::tree::{dot, minus};
use crate::ops::basic::random::mix;

/// What the narrowest gaps are first, as a share of those of the densest even pattern.
const WIDEST: f64 = 0.8;
/// How they shrink until there are enough places.
const SHRINK: f64 = 0.85;
const PASSES: usize = 12;
/// No cell.
const END: u32 = u32::MAX;

/// Darts of shrinking size (after Cook, 1986): which of the places to take, ascending. Places whose surfaces face different
/// ways are not close.
pub(super) fn spread(places: &[([f64; 3], [f64; 3])], wanted: usize, area: f64) -> Vec<usize> {
    if places.len() <= wanted {
        return (0..places.len()).collect();
    }
    let mut order: Vec<u32> = (0..places.len() as u32).collect();
    order.sort_unstable_by_key(|&i| (mix(i.into()), i));
    let even = (area / wanted as f64 * 2.0 / 3.0f64.sqrt()).sqrt();
    let mut taken = vec![];
    let mut least = WIDEST * even;
    for _ in 0..PASSES {
        let mut grid = Grid::new(least, places.len());
        taken.iter().for_each(|&i| grid.add(i, places));
        order.retain(|&i| {
            let take = taken.len() < wanted && !grid.is_near(i, places);
            if take {
                grid.add(i, places);
                taken.push(i);
            }
            !take
        });
        if taken.len() == wanted {
            break;
        }
        least *= SHRINK;
    }
    let missing = wanted - taken.len();
    taken.extend(order.into_iter().take(missing));
    taken.sort_unstable();
    taken.into_iter().map(|i| i as usize).collect()
}

/// Cells of an edge, hashed; those that collide share a list.
struct Grid {
    edge: f64,
    first: Vec<u32>,
    next: Vec<u32>,
}

impl Grid {
    fn new(edge: f64, count: usize) -> Grid {
        Grid { edge, first: vec![END; (2 * count).next_power_of_two()], next: vec![END; count] }
    }

    fn cell(&self, place: [f64; 3]) -> [i64; 3] {
        place.map(|x| (x / self.edge).floor() as i64)
    }

    fn slot(&self, [x, y, z]: [i64; 3]) -> usize {
        let hash = (x as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
            ^ (z as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
        (hash ^ (hash >> 29)) as usize & (self.first.len() - 1)
    }

    fn add(&mut self, i: u32, places: &[([f64; 3], [f64; 3])]) {
        let slot = self.slot(self.cell(places[i as usize].0));
        self.next[i as usize] = std::mem::replace(&mut self.first[slot], i);
    }

    fn is_near(&self, i: u32, places: &[([f64; 3], [f64; 3])]) -> bool {
        let (place, normal) = places[i as usize];
        let [x, y, z] = self.cell(place);
        for k in 0..27 {
            let cell = [x.wrapping_add(k % 3 - 1), y.wrapping_add(k / 3 % 3 - 1), z.wrapping_add(k / 9 - 1)];
            let mut other = self.first[self.slot(cell)];
            while other != END {
                let (there, facing) = places[other as usize];
                let gap = minus(place, there);
                if dot(gap, gap) < self.edge * self.edge && dot(normal, facing) > 0.5 {
                    return true;
                }
                other = self.next[other as usize];
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_distance() {
        let at = |i: u64| (mix(i) >> 11) as f64 / (1u64 << 53) as f64;
        let places: Vec<_> = (0..4000).map(|i| ([at(2 * i), at(2 * i + 1), 0.0], [0.0, 0.0, 1.0])).collect();
        let chosen = spread(&places, 1000, 1.0);
        assert_eq!(chosen.len(), 1000);
        assert!(chosen.is_sorted());
        let mut nearest: Vec<f64> = chosen
            .iter()
            .map(|&i| {
                let gap = |&&j: &&usize| i != j;
                let length = |j: &usize| {
                    let d = minus(places[i].0, places[*j].0);
                    dot(d, d).sqrt()
                };
                chosen.iter().filter(gap).map(length).fold(f64::INFINITY, f64::min)
            })
            .collect();
        nearest.sort_by(f64::total_cmp);
        // Random ones: about 0.002.
        assert!(nearest[20] > 0.015, "{}", nearest[20]);
        assert_eq!(spread(&places, 5000, 1.0).len(), 4000);
        let same = vec![([0.5; 3], [1.0, 0.0, 0.0]); 50];
        assert_eq!(spread(&same, 20, 1.0).len(), 20);
    }
}
