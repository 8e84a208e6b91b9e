//! Frames merged two by two until one is left, and every point's group read off it.

use crate::{
    error::{Error, Result},
    ops::merge::{
        frame::Frame,
        groups::cpu::{compact, without_small},
        nearest,
        transfer::{self, cpu::transfer},
        union,
    },
};
use rayon::prelude::*;

/// Where the points lie that frames number.
#[derive(Debug, Clone)]
pub struct Places {
    /// `[N]`.
    pub positions: Vec<[f32; 3]>,
    /// The voxel of every point, if one point of each is enough, `[N]`.
    pub cells: Option<Vec<[i32; 3]>>,
}

impl Places {
    /// `voxel`: the side of a voxel of which one point is enough.
    pub fn new(positions: Vec<[f64; 3]>, voxel: Option<f64>) -> Places {
        let cell = |side: f64| move |p: &[f64; 3]| p.map(|x| (x / side).floor() as i32);
        Places {
            cells: voxel.map(|side| positions.par_iter().map(cell(side)).collect()),
            positions: positions.into_par_iter().map(|p| p.map(|x| x as f32)).collect(),
        }
    }

    /// One row of each place, and their order.
    fn rows(&self, points: &[u32]) -> Vec<u32> {
        let keys: Vec<u64> = match &self.cells {
            Some(cells) => union::cpu::hashes(&points.iter().map(|&p| cells[p as usize]).collect::<Vec<_>>()),
            None => points.iter().map(|&p| p.into()).collect(),
        };
        union::cpu::firsts(&keys)
    }

    fn of(&self, points: &[u32]) -> Vec<[f32; 3]> {
        points.iter().map(|&p| self.positions[p as usize]).collect()
    }
}

/// When points match and groups count.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// A point matches the nearest one of the other frame if that is nearer than this; None: itself alone.
    pub matched: Option<f64>,
    /// Groups of fewer points are dropped.
    pub small: u32,
    /// Points farther than this from every merged one have no group.
    pub farthest: f64,
}

/// A frame whose groups are below a bound.
pub(super) struct Part<F> {
    pub frame: F,
    pub bound: u32,
}

/// The frames two by two, level by level; one left over passes as it is. None of none.
pub(super) fn in_pairs<T>(mut parts: Vec<T>, merge: impl Fn(T, T) -> Result<T>) -> Result<Option<T>> {
    while parts.len() > 1 {
        let mut merged = vec![];
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            merged.push(match rest.next() {
                Some(second) => merge(first, second)?,
                None => first,
            });
        }
        parts = merged;
    }
    Ok(parts.pop())
}

/// The group of every query, -1 = none, `[Q]`. Frames without a point are left out.
///
/// # Errors
/// [`Error::Invalid`] if a frame shows a point that there is not, twice or with a number below -1.
pub fn merge(places: &Places, frames: Vec<Frame>, queries: &[[f32; 3]], rules: &Rules) -> Result<Vec<i32>> {
    frames.iter().try_for_each(|frame| check(frame, places.positions.len()))?;
    let frames = frames.into_iter().filter(|frame| !frame.points.is_empty());
    let parts = frames.map(|Frame { points, groups }| {
        let (groups, bound) = compact(&groups);
        let rows = places.rows(&points);
        let frame = chosen(&rows, &points, &groups);
        Part { frame, bound: bound as u32 }
    });
    let Some(Part { frame, .. }) = in_pairs(parts.collect(), |a, b| pair(places, a, b, rules))? else {
        return Ok(vec![-1; queries.len()]);
    };
    let (groups, _) = compact(&without_small(&frame.groups, rules.small));
    // A point at just this distance is near enough.
    let near = nearest::cpu::within(&places.of(&frame.points), queries, rules.farthest.next_up());
    let found: Vec<i32> = near.into_iter().map(|to| if to >= 0 { groups[to as usize] } else { -1 }).collect();
    Ok(compact(&found).0)
}

fn check(frame: &Frame, points: usize) -> Result<()> {
    let mut seen = vec![false; points];
    for &point in &frame.points {
        match seen.get_mut(point as usize) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                return Err(Error::invalid(format!(
                    "sam3d: a frame shows point {point} of {points} twice or more"
                )));
            }
        }
    }
    match frame.groups.iter().find(|&&group| group < -1) {
        Some(group) => Err(Error::invalid(format!("sam3d: a frame has group {group} (-1 = none)"))),
        None => crate::ops::expect_len("sam3d", "groups of a frame", frame.groups.len(), frame.points.len()),
    }
}

fn chosen(rows: &[u32], points: &[u32], groups: &[i32]) -> Frame {
    let of = |row: &u32| (points[*row as usize], groups[*row as usize]);
    let (points, groups) = rows.iter().map(of).unzip();
    Frame { points, groups }
}

/// Two frames as one. First the second one's groups take those of the first, then the first one's, as they were, take those
/// that the second one's became.
///
/// QUIRK twice: a pair that passes the first test alone stays apart, and the order of the frames matters.
fn pair(places: &Places, first: Part<Frame>, second: Part<Frame>, rules: &Rules) -> Result<Part<Frame>> {
    let [a, b] = [&first, &second].map(|part| without_small(&part.frame.groups, rules.small));
    let matched = |of: &Part<Frame>, to: &Part<Frame>| matches(places, &to.frame, &of.frame, rules.matched);
    let (b_to_a, a_to_b) = rayon::join(|| matched(&second, &first), || matched(&first, &second));
    let above = first.bound;
    let b = transfer(&transfer::Input { source: &a, target: &b, matched: &b_to_a, above })?;
    let above = first.bound + second.bound;
    let a = transfer(&transfer::Input { source: &b, target: &a, matched: &a_to_b, above })?;
    let (groups, bound) = compact(&[a, b].concat());
    let points = [first.frame.points, second.frame.points].concat();
    Ok(Part { frame: chosen(&places.rows(&points), &points, &groups), bound: bound as u32 })
}

/// The row of `source` that matches each point of `target`, -1 = none.
fn matches(places: &Places, source: &Frame, target: &Frame, radius: Option<f64>) -> Vec<i32> {
    match radius {
        Some(radius) => nearest::cpu::within(&places.of(&source.points), &places.of(&target.points), radius),
        None => {
            let mut row = vec![-1; places.positions.len()];
            (0..).zip(&source.points).for_each(|(i, &point)| row[point as usize] = i);
            target.points.iter().map(|&point| row[point as usize]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_frames_are_merged_as_the_authors_merge_them() {
        let names = (0..10).map(|i| i.to_string()).collect();
        let merged = in_pairs(names, |a, b| Ok(format!("({a} {b})"))).unwrap().unwrap();
        assert_eq!(merged, "((((0 1) (2 3)) ((4 5) (6 7))) (8 9))");
        assert!(in_pairs(Vec::<u8>::new(), |a, _| Ok(a)).unwrap().is_none());
    }

    fn frame(points: std::ops::Range<u32>, groups: impl Fn(u32) -> i32) -> Frame {
        Frame { groups: points.clone().map(groups).collect(), points: points.collect() }
    }

    #[test]
    fn views_that_share_half_of_a_group_agree_on_it() {
        let places = Places::new((0..100).map(|i| [0.01 * f64::from(i), 0.0, 0.0]).collect(), None);
        let rules = Rules { matched: None, small: 5, farthest: 0.605 };
        let merged = |frames: Vec<Frame>| merge(&places, frames, &places.positions, &rules).unwrap();
        let halves = |point: u32| i32::from(point >= 50);
        let found = merged(vec![frame(0..80, halves), Frame::default(), frame(20..100, |p| 7 - halves(p))]);
        assert_eq!(found, (0..100).map(halves).collect::<Vec<_>>());
        // Without a group in either view there is none; the rest of the cloud is as the nearest point.
        assert_eq!(merged(vec![frame(0..10, |_| -1)]), [-1; 100]);
        let near = merged(vec![frame(0..10, |_| 3), frame(0..10, |_| -1)]);
        assert_eq!(near.iter().filter(|&&group| group == 0).count(), 70);
        assert_eq!(merged(vec![]), [-1; 100]);
        for wrong in [frame(99..101, |_| 0), frame(0..1, |_| -2)] {
            assert!(merge(&places, vec![wrong], &[], &rules).is_err());
        }
    }
}
