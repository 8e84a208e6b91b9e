//! The triangles of a surface in nested boxes: which lie at a place, and what a ray meets.

use rayon::prelude::*;

/// A leaf holds at most this many triangles.
const LEAF: usize = 4;

/// A triangle with its corner and two sides.
#[derive(Clone, Copy)]
struct Triangle {
    corner: [f64; 3],
    sides: [[f64; 3]; 2],
    /// Unit normal; zero if it has no area.
    normal: [f64; 3],
    index: u32,
}

#[derive(Clone, Copy)]
struct Node {
    low: [f64; 3],
    high: [f64; 3],
    /// A leaf's first triangle, or the right child; the left one follows its parent.
    at: u32,
    /// A leaf's triangles; 0 for other nodes.
    count: u32,
}

pub(super) struct Tree {
    nodes: Vec<Node>,
    triangles: Vec<Triangle>,
}

pub(super) fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

impl Tree {
    /// `corners`: of triangle i.
    pub fn new(count: usize, corners: impl Fn(usize) -> [[f64; 3]; 3] + Sync) -> Tree {
        let triangle = |i: usize| {
            let [a, b, c] = corners(i);
            let sides = [minus(b, a), minus(c, a)];
            let across = cross(sides[0], sides[1]);
            let length = dot(across, across).sqrt();
            let normal = if length > 0.0 { across.map(|x| x / length) } else { [0.0; 3] };
            Triangle { corner: a, sides, normal, index: i as u32 }
        };
        let mut triangles: Vec<Triangle> = (0..count).into_par_iter().map(triangle).collect();
        let mut nodes = Vec::with_capacity(count);
        build(&mut triangles, 0, &mut nodes);
        Tree { nodes, triangles }
    }

    /// The triangles within `reach` of a place whose plane is that of `normal`, either side: index, and whether it faces the
    /// same way.
    pub fn at(&self, place: [f64; 3], normal: [f64; 3], reach: f64, found: &mut Vec<(u32, bool)>) {
        found.clear();
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let Some(node) = self.nodes.get(at) else { return };
            let outside =
                |axis: usize| place[axis] < node.low[axis] - reach || place[axis] > node.high[axis] + reach;
            if (0..3).any(outside) {
                continue;
            }
            if node.count == 0 {
                open.extend([at + 1, node.at as usize]);
                continue;
            }
            for triangle in &self.triangles[node.at as usize..][..node.count as usize] {
                let facing = dot(triangle.normal, normal);
                let from = minus(place, triangle.corner);
                if facing.abs() > 0.999 && dot(from, triangle.normal).abs() <= reach && triangle.covers(from)
                {
                    found.push((triangle.index, facing > 0.0));
                }
            }
        }
        found.sort_unstable();
    }

    /// Whether a ray meets a triangle farther than `least` along it.
    pub fn meets(&self, from: [f64; 3], along: [f64; 3], least: f64) -> bool {
        let inverse = along.map(|x| 1.0 / x);
        let mut open = [0u32; 64];
        let mut depth = usize::from(!self.nodes.is_empty());
        while depth > 0 {
            depth -= 1;
            let at = open[depth] as usize;
            let node = &self.nodes[at];
            let (mut enter, mut leave) = (0.0f64, f64::INFINITY);
            for axis in 0..3 {
                let a = (node.low[axis] - from[axis]) * inverse[axis];
                let b = (node.high[axis] - from[axis]) * inverse[axis];
                enter = enter.max(a.min(b));
                leave = leave.min(a.max(b));
            }
            // A hair wider: what is hit at the edge of a box is hit.
            if enter > leave * (1.0 + 1e-12) + least {
                continue;
            }
            if node.count == 0 {
                open[depth] = at as u32 + 1;
                open[depth + 1] = node.at;
                depth += 2;
                continue;
            }
            let triangles = &self.triangles[node.at as usize..][..node.count as usize];
            if triangles.iter().any(|triangle| triangle.is_met(from, along, least)) {
                return true;
            }
        }
        false
    }
}

impl Triangle {
    /// Whether the foot of a place, as seen from the corner, lies in the triangle.
    fn covers(&self, from: [f64; 3]) -> bool {
        let [u, v] = self.sides;
        let (uu, uv, vv) = (dot(u, u), dot(u, v), dot(v, v));
        let (fu, fv) = (dot(from, u), dot(from, v));
        let area = uu * vv - uv * uv;
        let (s, t) = (fu * vv - fv * uv, fv * uu - fu * uv);
        area > 0.0 && s >= 0.0 && t >= 0.0 && s + t <= area
    }

    /// By Moeller and Trumbore; a hit on an edge is one of both triangles.
    fn is_met(&self, from: [f64; 3], along: [f64; 3], least: f64) -> bool {
        const HAIR: f64 = 1e-10;
        let [u, v] = self.sides;
        let p = cross(along, v);
        let volume = dot(u, p);
        if volume == 0.0 {
            return false;
        }
        let from = minus(from, self.corner);
        let s = dot(from, p) / volume;
        if !(-HAIR..=1.0 + HAIR).contains(&s) {
            return false;
        }
        let q = cross(from, u);
        let t = dot(along, q) / volume;
        t >= -HAIR && s + t <= 1.0 + HAIR && dot(v, q) / volume > least
    }
}

/// Halves the triangles along the widest axis of their middles.
fn build(triangles: &mut [Triangle], first: usize, nodes: &mut Vec<Node>) {
    if triangles.is_empty() {
        return;
    }
    let middle = |t: &Triangle, axis: usize| 3.0 * t.corner[axis] + t.sides[0][axis] + t.sides[1][axis];
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    let (mut least, mut most) = (low, high);
    for t in triangles.iter() {
        for axis in 0..3 {
            for x in [0.0, t.sides[0][axis], t.sides[1][axis]].map(|x| x + t.corner[axis]) {
                low[axis] = low[axis].min(x);
                high[axis] = high[axis].max(x);
            }
            least[axis] = least[axis].min(middle(t, axis));
            most[axis] = most[axis].max(middle(t, axis));
        }
    }
    let here = nodes.len();
    nodes.push(Node { low, high, at: first as u32, count: triangles.len() as u32 });
    if triangles.len() <= LEAF {
        return;
    }
    let width = |axis: usize| most[axis] - least[axis];
    let axis = (0..3).max_by(|&a, &b| width(a).total_cmp(&width(b))).unwrap_or(0);
    let half = triangles.len() / 2;
    let order =
        |a: &Triangle, b: &Triangle| middle(a, axis).total_cmp(&middle(b, axis)).then(a.index.cmp(&b.index));
    triangles.select_nth_unstable_by(half, order);
    let (left, right) = triangles.split_at_mut(half);
    build(left, first, nodes);
    let at = nodes.len() as u32;
    nodes[here] = Node { at, count: 0, ..nodes[here] };
    build(right, first + half, nodes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ball of 32 by 32 quads.
    fn ball() -> Vec<[[f64; 3]; 3]> {
        let at = |i: usize, j: usize| {
            let (a, b) = (i as f64 / 32.0 * std::f64::consts::PI, j as f64 / 16.0 * std::f64::consts::PI);
            [a.sin() * b.cos(), a.cos(), a.sin() * b.sin()]
        };
        let quad = |i: usize, j: usize| {
            let [a, b, c, d] = [at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1)];
            [[a, b, c], [a, c, d]]
        };
        (0..32).flat_map(|i| (0..32).flat_map(move |j| quad(i, j))).collect()
    }

    #[test]
    fn nothing_gets_out_of_a_ball_and_everything_away_from_it() {
        let triangles = ball();
        let tree = Tree::new(triangles.len(), |i| triangles[i]);
        for i in 0..500 {
            let at = |k: f64| (i as f64 * k).fract() - 0.5;
            let along = [at(0.754_877), at(0.569_84), at(0.323_21)];
            let inside = [at(0.123_4), at(0.777), at(0.918_2)];
            assert!(tree.meets(inside, along, 1e-9), "{i}");
            let length = dot(along, along).sqrt();
            let outside = along.map(|x| 1.01 * x / length);
            assert!(!tree.meets(outside, along, 1e-9), "{i}");
        }
        assert!(!Tree::new(0, |_| [[0.0; 3]; 3]).meets([0.0; 3], [1.0, 0.0, 0.0], 0.0));
    }

    #[test]
    fn triangles_at_a_place_are_found_on_either_side() {
        let [a, b, c, d] = [[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]];
        let triangles = [[a, b, c], [a, c, d], [d, c, b], [d, b, a]];
        let tree = Tree::new(4, |i| triangles[i]);
        let mut found = vec![];
        tree.at([0.9, 0.2, 1.0], [0.0, 0.0, 1.0], 1e-6, &mut found);
        assert_eq!(found, [(0, true), (2, false)]);
        tree.at([0.9, 0.2, 1.1], [0.0, 0.0, 1.0], 1e-6, &mut found);
        assert!(found.is_empty());
    }
}
