//! Evidence: what the views say of every single point, and superpoints cut where it changes.
//!
//! The evidence of point i for label j is the share of the views that show i in which a box of j holds it. A superpoint is
//! cut by [`agglomeration`] on these shares, along its own edges of the neighbour graph: a cut pays where the masks of
//! several views agree on a border, and one wrong mask among several moves the shares by little.

use crate::{
    error::Result,
    ops::{expect_len, lift::membership::Region, partition::agglomeration},
    ragged::Ragged,
};

/// What the evidence is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Which points each view shows, `[K, N]`.
    pub visible: &'a [bool],
    /// Where each point falls in pixels, `[K, N]`.
    pub screen: &'a [[f32; 2]],
    /// The boxes of each view, `[K]`.
    pub of_view: &'a Ragged<u32>,
    /// Left, top, right, bottom of every box in pixels, `[B]`.
    pub rects: &'a [[f32; 4]],
    /// The part of every box, below L, `[B]`.
    pub box_label: &'a [u32],
    /// What decides whether a box holds a point.
    pub region: Region<'a>,
    /// Pixels along each side of the views.
    pub side: usize,
    /// L.
    pub labels: usize,
}

/// The counts that the shares are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Views that show the point, `[N]`.
    pub seen: Vec<u16>,
    /// Those of them in which a box of the label holds it, `[N, L]`.
    pub held: Vec<u16>,
}

/// Where superpoints are cut.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a> {
    /// The superpoint of every point, `[N]`.
    pub superpoint_of: &'a [u32],
    /// The neighbours of every point, `[N, k]`.
    pub neighbors: &'a [u32],
    /// k.
    pub k: usize,
    /// What a point of new border costs, in squared shares of evidence.
    pub border: f32,
    /// Pieces of at most this many points stay with the rest.
    pub small: usize,
}

/// Labels that one superpoint is cut by: those with the most evidence in it.
const CHANNELS: usize = 8;
/// Rounds in which points without evidence ask their neighbours.
const ROUNDS: usize = 6;

/// CPU reference.
pub mod cpu {
    use super::*;
    use rayon::prelude::*;

    /// Counts the views, for every point.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn evidence(input: &Input) -> Result<Evidence> {
        let Input { visible, screen, of_view, rects, box_label, region, side, labels } = *input;
        let views = of_view.len();
        let n = visible.len() / views.max(1);
        let expect = |what, found, wanted| expect_len("evidence", what, found, wanted);
        expect("visible [K, N]", visible.len(), views * n)?;
        expect("screen [K, N]", screen.len(), views * n)?;
        expect("box_label [B]", box_label.len(), rects.len())?;
        region.check("evidence", rects.len(), side)?;
        let (mut seen, mut held) = (vec![0u16; n], vec![0u16; n * labels]);
        let rows = seen.par_iter_mut().zip(held.par_chunks_mut(labels)).enumerate();
        rows.for_each_init(
            || vec![0; labels],
            |last, (i, (seen, held))| {
                last.fill(0);
                for k in (0..views).filter(|&k| visible[k * n + i]) {
                    *seen += 1;
                    for &b in of_view.row(k) {
                        let (b, label) = (b as usize, box_label[b as usize] as usize);
                        // Two boxes of a label in one view count once.
                        if last[label] != k + 1 && region.holds(b, rects[b], screen[k * n + i], side) {
                            last[label] = k + 1;
                            held[label] += 1;
                        }
                    }
                }
            },
        );
        Ok(Evidence { seen, held })
    }

    /// The piece of every point, `[N]`: each lies within one superpoint.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn split(evidence: &Evidence, split: &Split) -> Result<Vec<u32>> {
        let Split { superpoint_of, neighbors, k, border, small } = *split;
        let n = superpoint_of.len();
        expect_len("evidence", "seen [N]", evidence.seen.len(), n)?;
        expect_len("evidence", "held [N, L]", evidence.held.len(), evidence.held.len() / n.max(1) * n)?;
        expect_len("evidence", "neighbors [N, k]", neighbors.len(), n * k)?;
        if k == 0 {
            return Ok(superpoint_of.to_vec());
        }
        // Edges that leave the superpoint become edges to the point itself, which count nowhere.
        let own = |at: usize| {
            let (i, j) = (at / k, neighbors[at]);
            if superpoint_of[i] == superpoint_of[j as usize] { j } else { i as u32 }
        };
        let own: Vec<u32> = (0..neighbors.len()).into_par_iter().map(own).collect();
        let shares = shares(evidence, superpoint_of, &own, k);
        let weights = vec![1.0 / k as f32; own.len()];
        let options = agglomeration::Options { lambda: border, small, bound: 1.0 };
        let pieces = agglomeration::cpu::agglomerate(&shares, &own, &weights, k, &options)?;
        Ok(rejoin(superpoint_of, pieces, small))
    }

    /// Seen, and held by the superpoint's channels.
    type Counts = [f32; CHANNELS + 1];

    /// The evidence of every point pooled with that of its neighbours; what nobody near has seen takes the superpoint's.
    fn shares(evidence: &Evidence, superpoint_of: &[u32], own: &[u32], k: usize) -> Vec<[f32; CHANNELS]> {
        let n = superpoint_of.len();
        let labels = evidence.held.len() / n.max(1);
        let superpoints = superpoint_of.iter().max().map_or(0, |&s| s as usize + 1);
        let mut totals = vec![0u64; superpoints * labels];
        for (held, &s) in evidence.held.chunks_exact(labels.max(1)).zip(superpoint_of) {
            let total = &mut totals[s as usize * labels..][..labels];
            total.iter_mut().zip(held).for_each(|(total, &held)| *total += held as u64);
        }
        let channels = |s: usize| {
            let total = &totals[s * labels..][..labels];
            let mut order: Vec<usize> = (0..labels).filter(|&j| total[j] > 0).collect();
            order.sort_by_key(|&j| std::cmp::Reverse(total[j]));
            order.truncate(CHANNELS);
            order
        };
        let channels: Vec<Vec<usize>> = (0..superpoints).map(channels).collect();
        let mut counts = vec![[0.0; CHANNELS + 1]; n];
        let mut whole = vec![[0.0; CHANNELS + 1]; superpoints];
        for (i, counts) in counts.iter_mut().enumerate() {
            let s = superpoint_of[i] as usize;
            counts[CHANNELS] = evidence.seen[i] as f32;
            for (channel, &j) in channels[s].iter().enumerate() {
                counts[channel] = evidence.held[i * labels + j] as f32;
            }
            whole[s] = add(whole[s], *counts);
        }
        for round in 0..ROUNDS {
            let pool = |i: usize| {
                if round > 0 && counts[i][CHANNELS] > 0.0 {
                    return counts[i];
                }
                let around = own[i * k..][..k].iter().filter(|&&j| j as usize != i);
                around.fold(counts[i], |sum, &j| add(sum, counts[j as usize]))
            };
            counts = (0..n).into_par_iter().map(pool).collect();
        }
        let share = |(counts, &s): (&Counts, &u32)| {
            let counts = if counts[CHANNELS] > 0.0 { counts } else { &whole[s as usize] };
            std::array::from_fn(|channel| counts[channel] / counts[CHANNELS].max(1.0))
        };
        counts.iter().zip(superpoint_of).map(share).collect()
    }

    fn add(a: Counts, b: Counts) -> Counts {
        std::array::from_fn(|channel| a[channel] + b[channel])
    }

    /// Small pieces that nothing borders on, the superpoint not being connected, join its largest piece.
    fn rejoin(superpoint_of: &[u32], mut pieces: Vec<u32>, small: usize) -> Vec<u32> {
        let count = pieces.iter().max().map_or(0, |&piece| piece as usize + 1);
        let (mut size, mut of) = (vec![0; count], vec![0; count]);
        for (&piece, &s) in pieces.iter().zip(superpoint_of) {
            size[piece as usize] += 1;
            of[piece as usize] = s as usize;
        }
        let mut largest: Vec<Option<u32>> = vec![None; of.iter().max().map_or(0, |&s| s + 1)];
        for piece in 0..count {
            let largest = &mut largest[of[piece]];
            if largest.is_none_or(|best| size[piece] > size[best as usize]) {
                *largest = Some(piece as u32);
            }
        }
        for piece in &mut pieces {
            if size[*piece as usize] <= small {
                *piece = largest[of[*piece as usize]].unwrap_or(*piece);
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::{cpu::*, *};

    const WIDTH: usize = 20;

    /// A strip of points, two rows, each with the neighbours left, right and across; one view; the left half held.
    fn strip(superpoint_of: &[u32], border: f32, seen: impl Fn(usize) -> bool) -> Vec<u32> {
        let at = |x: usize, row: usize| (row * WIDTH + x) as u32;
        let neighbors: Vec<u32> = (0..2 * WIDTH)
            .flat_map(|i| {
                let (x, row) = (i % WIDTH, i / WIDTH);
                [at(x.saturating_sub(1), row), at((x + 1).min(WIDTH - 1), row), at(x, 1 - row)]
            })
            .collect();
        let held = (0..2 * WIDTH).map(|i| (seen(i) && i % WIDTH < 10) as u16).collect();
        let evidence = Evidence { seen: (0..2 * WIDTH).map(|i| seen(i) as u16).collect(), held };
        split(&evidence, &Split { superpoint_of, neighbors: &neighbors, k: 3, border, small: 2 }).unwrap()
    }

    /// Pooling blurs the columns on both sides of the cut: either piece may take them.
    fn is_cut_in_half(pieces: &[u32]) -> bool {
        let side = |i: usize| match i % WIDTH {
            0..9 => Some(true),
            11.. => Some(false),
            _ => None,
        };
        (0..2 * WIDTH).all(|i| side(i).is_none_or(|left| (pieces[i] == pieces[0]) == left))
    }

    #[test]
    fn cuts_where_the_evidence_changes() {
        let pieces = strip(&[0; 2 * WIDTH], 1.0, |_| true);
        assert!(is_cut_in_half(&pieces), "{pieces:?}");
        let pieces = strip(&[0; 2 * WIDTH], 100.0, |_| true);
        assert!(pieces.iter().all(|&piece| piece == pieces[0]), "{pieces:?}");
    }

    #[test]
    fn points_out_of_sight_follow_their_neighbors() {
        let pieces = strip(&[0; 2 * WIDTH], 1.0, |i| i / WIDTH == 0);
        assert!(is_cut_in_half(&pieces), "{pieces:?}");
        let pieces = strip(&[0; 2 * WIDTH], 1.0, |_| false);
        assert!(pieces.iter().all(|&piece| piece == pieces[0]), "{pieces:?}");
    }

    #[test]
    fn pieces_lie_within_one_superpoint_and_small_ones_stay() {
        let superpoint_of: Vec<u32> = (0..2 * WIDTH).map(|i| (i % WIDTH >= 9) as u32).collect();
        // Superpoint 1 has two held points, too few for a piece.
        let pieces = strip(&superpoint_of, 0.0, |_| true);
        assert!((0..2 * WIDTH).all(|i| (pieces[i] == pieces[0]) == (superpoint_of[i] == 0)), "{pieces:?}");
        // A lone point far from its superpoint has no neighbour in it.
        let superpoint_of: Vec<u32> = (0..2 * WIDTH).map(|i| (i != 5) as u32).map(|s| 1 - s).collect();
        let mut far = superpoint_of;
        far[25] = 1;
        let pieces = strip(&far, 100.0, |_| true);
        assert_eq!(pieces[5], pieces[25]);
    }

    #[test]
    fn counts_a_label_once_a_view_and_only_where_the_point_is_seen() {
        // Point 0 lies in both boxes of label 1 in view 0, and in the box of view 1, which does not show it.
        let rects = [[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 5.0, 5.0], [0.0, 0.0, 9.0, 9.0]];
        let found = evidence(&Input {
            visible: &[true, true, false, true],
            screen: &[[2.0, 2.0], [8.0, 8.0], [2.0, 2.0], [8.0, 8.0]],
            of_view: &Ragged::from_iter([vec![0, 1], vec![2]]),
            rects: &rects,
            box_label: &[1, 1, 0],
            region: Region::Boxes,
            side: 10,
            labels: 2,
        })
        .unwrap();
        assert_eq!(found, Evidence { seen: vec![1, 2], held: vec![0, 1, 1, 0] });
    }

    #[test]
    fn of_nothing() {
        let none = Split { superpoint_of: &[], neighbors: &[], k: 0, border: 1.0, small: 2 };
        assert!(split(&Evidence::default(), &none).unwrap().is_empty());
        let one = Split { superpoint_of: &[0], ..none };
        assert_eq!(split(&Evidence { seen: vec![1], held: vec![1] }, &one).unwrap(), [0]);
    }
}
