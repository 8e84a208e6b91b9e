//! A mesh through points: a ball rolls over them, and three that it rests on without holding another are a face (Bernardini
//! et al., *The Ball-Pivoting Algorithm for Surface Reconstruction*, 1999).
//!
//! Faces are wound by the points' normals, and no edge has more than two. Larger balls begin where smaller ones fell
//! through. Where points are too far apart, holes are left; pieces stay apart. Points and balls are tried in a fixed order.

use crate::{
    Result,
    ops::{
        expect_len,
        partition::knn::cpu::{Found, Tree},
    },
};
use std::collections::{HashMap, VecDeque};

/// A ball may hold a point by this share of its radius, to which places are rounded.
const SLACK: f32 = 1e-4;
/// Nearest points that a first face of a piece is looked for among.
const SEEDS: usize = 24;
/// Points that a rolling ball is tried on.
const CANDIDATES: usize = 256;

/// Faces through points. `points`, `normals`: `[N]`, neighbouring normals pointing the same way; `radii`: of the balls,
/// ascending.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if there are not as many normals as points.
pub fn faces(points: &[[f32; 3]], normals: &[[f32; 3]], radii: &[f32]) -> Result<Vec<[u32; 3]>> {
    expect_len("ball_pivoting", "normals [N]", normals.len(), points.len())?;
    let mut mesh = Mesh {
        points,
        normals,
        tree: Tree::new(points),
        found: Found::default(),
        facing: HashMap::new(),
        open: vec![0; points.len()],
        used: vec![false; points.len()],
        front: VecDeque::new(),
        faces: vec![],
    };
    let mut waiting = vec![];
    for &radius in radii {
        waiting.retain(|&(a, b)| !mesh.facing.contains_key(&(b, a)));
        // A larger ball may not fit where a smaller one rested.
        let (fits, mut border): (Vec<Edge>, Vec<Edge>) =
            std::mem::take(&mut waiting).into_iter().partition(|&edge| {
                let corners = mesh.face_at(edge);
                mesh.ball(corners, radius).is_some_and(|centre| mesh.is_empty(centre, radius, corners))
            });
        mesh.front = fits.into();
        border.extend(mesh.roll(radius));
        for seed in 0..points.len() as u32 {
            if !mesh.used[seed as usize] && mesh.begin(seed, radius) {
                border.extend(mesh.roll(radius));
            }
        }
        waiting = border;
    }
    Ok(mesh.faces)
}

/// From a vertex to the next of the one face on its left.
type Edge = (u32, u32);
type Vector = [f64; 3];

struct Mesh<'a> {
    points: &'a [[f32; 3]],
    normals: &'a [[f32; 3]],
    tree: Tree,
    found: Found,
    /// The vertex that faces every edge.
    facing: HashMap<Edge, u32>,
    /// Edges at every point that only one face has.
    open: Vec<u32>,
    /// Whether a face has the point.
    used: Vec<bool>,
    front: VecDeque<Edge>,
    faces: Vec<[u32; 3]>,
}

impl Mesh<'_> {
    fn at(&self, point: u32) -> Vector {
        self.points[point as usize].map(f64::from)
    }

    fn face_at(&self, (a, b): Edge) -> [u32; 3] {
        [a, b, self.facing[&(a, b)]]
    }

    /// The centre of the ball that rests on three points from the side of their normals; None if it is too small, or the
    /// points' order is against their normals.
    fn ball(&self, corners: [u32; 3], radius: f32) -> Option<Vector> {
        let [a, b, c] = corners.map(|p| self.at(p));
        let (u, v) = (minus(b, a), minus(c, a));
        let n = cross(u, v);
        let square = dot(n, n);
        let agree = |corner: &u32| dot(n, self.normals[*corner as usize].map(f64::from));
        if square <= 0.0 || corners.iter().map(agree).sum::<f64>() <= 0.0 {
            return None;
        }
        // The middle of the circle through the points, from the first.
        let (uu, vv) = (dot(u, u), dot(v, v));
        let (to_u, to_v) = (cross(v, n), cross(n, u));
        let middle = [0, 1, 2].map(|i| (uu * to_u[i] + vv * to_v[i]) / (2.0 * square));
        let height = f64::from(radius) * f64::from(radius) - dot(middle, middle);
        (height >= 0.0).then(|| {
            let up = (height / square).sqrt();
            [0, 1, 2].map(|i| a[i] + middle[i] + up * n[i])
        })
    }

    /// Whether a ball holds no points but these.
    fn is_empty(&mut self, centre: Vector, radius: f32, corners: [u32; 3]) -> bool {
        let place = centre.map(|x| x as f32);
        self.tree.within(place, radius * (1.0 - SLACK), 4, &mut self.found);
        self.found.iter().all(|(point, _)| corners.contains(&point))
    }

    /// Adds a face, whose edges nothing has yet.
    fn add(&mut self, corners: [u32; 3]) {
        for k in 0..3 {
            let (a, b, c) = (corners[k], corners[(k + 1) % 3], corners[(k + 2) % 3]);
            self.facing.insert((a, b), c);
            self.used[a as usize] = true;
            if self.facing.contains_key(&(b, a)) {
                self.open[a as usize] -= 1;
                self.open[b as usize] -= 1;
            } else {
                self.open[a as usize] += 1;
                self.open[b as usize] += 1;
                self.front.push_back((a, b));
            }
        }
        self.faces.push(corners);
    }

    fn has_none_of(&self, corners: [u32; 3]) -> bool {
        (0..3).all(|k| !self.facing.contains_key(&(corners[k], corners[(k + 1) % 3])))
    }

    /// Looks for a first face at a point that none has, among points that none has.
    fn begin(&mut self, seed: u32, radius: f32) -> bool {
        self.tree.within(self.points[seed as usize], 2.0 * radius, SEEDS, &mut self.found);
        let near: Vec<u32> =
            self.found.iter().map(|(p, _)| p).filter(|&p| p != seed && !self.used[p as usize]).collect();
        for (i, &a) in near.iter().enumerate() {
            for &b in &near[..i] {
                for corners in [[seed, a, b], [seed, b, a]] {
                    if let Some(centre) = self.ball(corners, radius)
                        && self.is_empty(centre, radius, corners)
                    {
                        self.add(corners);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Rolls the ball over every edge of the front, and returns those that it fell through.
    fn roll(&mut self, radius: f32) -> Vec<Edge> {
        let mut border = vec![];
        while let Some((a, b)) = self.front.pop_front() {
            if self.facing.contains_key(&(b, a)) {
                continue;
            }
            match self.pivot((a, b), radius) {
                Some(point) => self.add([b, a, point]),
                None => border.push((a, b)),
            }
        }
        border
    }

    /// The point that a ball meets first as it rolls over an edge, away from the face that it rests on.
    fn pivot(&mut self, edge: Edge, radius: f32) -> Option<u32> {
        let (a, b) = edge;
        let (from, to) = (self.at(a), self.at(b));
        let middle = [0, 1, 2].map(|i| 0.5 * (from[i] + to[i]));
        let axis = minus(to, from);
        let start = minus(self.ball(self.face_at(edge), radius)?, middle);
        // The directions of the start and, away from the face's own point, of a quarter turn.
        let side = cross(axis, start);
        let (start_length, side_length) = (dot(start, start).sqrt(), dot(side, side).sqrt());
        self.tree.within(middle.map(|x| x as f32), 2.0 * radius, CANDIDATES, &mut self.found);
        let candidates: Vec<u32> = self.found.iter().map(|(point, _)| point).collect();
        let mut best: Option<(f64, u32, Vector)> = None;
        for point in candidates {
            let corners = [b, a, point];
            let inside = self.used[point as usize] && self.open[point as usize] == 0;
            if corners[..2].contains(&point) || inside || !self.has_none_of(corners) {
                continue;
            }
            let Some(centre) = self.ball(corners, radius) else { continue };
            let turned = minus(centre, middle);
            let (x, y) = (dot(turned, start) / start_length, dot(turned, side) / side_length);
            let angle = turn(x, y);
            if best.is_none_or(|(least, lowest, _)| (angle, point) < (least, lowest)) {
                best = Some((angle, point, centre));
            }
        }
        let (_, point, centre) = best?;
        self.is_empty(centre, radius, [b, a, point]).then_some(point)
    }
}

/// Rises with the angle of a direction, from 0 to below 4 for a whole turn, without a library's trigonometry.
fn turn(x: f64, y: f64) -> f64 {
    let length = x.abs() + y.abs();
    match (x >= 0.0, y >= 0.0) {
        _ if length == 0.0 => 0.0,
        (true, true) => y / length,
        (false, true) => 1.0 - x / length,
        (false, false) => 2.0 - y / length,
        (true, false) => 3.0 + x / length,
    }
}

fn minus(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|i| a[i] - b[i])
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::surface::rings;

    /// V - E + F, edges of one face, and whether every edge of two runs both ways.
    fn topology(points: usize, faces: &[[u32; 3]]) -> (i64, usize, bool) {
        let mut edges: HashMap<Edge, [usize; 2]> = HashMap::new();
        for face in faces {
            for k in 0..3 {
                let (a, b) = (face[k], face[(k + 1) % 3]);
                edges.entry((a.min(b), a.max(b))).or_default()[(a > b) as usize] += 1;
            }
        }
        let border = edges.values().filter(|ways| ways.iter().sum::<usize>() == 1).count();
        let manifold = edges.values().all(|ways| ways.iter().all(|&way| way <= 1));
        (points as i64 - edges.len() as i64 + faces.len() as i64, border, manifold)
    }

    #[test]
    fn a_ball_around_a_ball_closes() {
        let points: Vec<[f32; 3]> = inputs::spiral(800);
        // The spiral leaves out both poles.
        let spacing = (4.0 * std::f32::consts::PI / 800.0).sqrt();
        let found = faces(&points, &points, &[spacing, 1.5 * spacing, 8.0 * spacing]).unwrap();
        let (euler, border, manifold) = topology(800, &found);
        assert!(manifold);
        assert_eq!((euler, border), (2, 0), "{} faces", found.len());
        let out = |face: &[u32; 3]| {
            let [a, b, c] = face.map(|p| points[p as usize].map(f64::from));
            dot(cross(minus(b, a), minus(c, a)), a) > 0.0
        };
        assert!(found.iter().all(out), "wound by the normals");
        assert_eq!(found, faces(&points, &points, &[spacing, 1.5 * spacing, 8.0 * spacing]).unwrap());
    }

    #[test]
    fn sheets_have_borders_and_pieces_stay_apart() {
        let sheet =
            |z: f32| (0..400).map(move |i| [(i % 20) as f32, (i / 20) as f32 + 0.1 * (i % 3) as f32, z]);
        let points: Vec<[f32; 3]> = sheet(0.0).chain(sheet(9.0)).collect();
        let normals = vec![[0.0, 0.0, 1.0]; 800];
        let found = faces(&points, &normals, &[0.9, 1.5]).unwrap();
        let (euler, border, manifold) = topology(800, &found);
        assert!(manifold && border > 100);
        assert_eq!(euler, 2, "two discs");
        assert!(found.iter().all(|face| face.iter().all(|&p| p < 400) || face.iter().all(|&p| p >= 400)));
        let adjacent = rings::cpu::adjacent(&points, &found);
        assert!(adjacent.rows().all(|row| !row.is_empty()));
    }

    #[test]
    fn too_few_points_have_no_faces() {
        for n in 0..3 {
            let points: Vec<[f32; 3]> = (0..n).map(|i| [i as f32, 0.0, 0.0]).collect();
            assert!(faces(&points, &points, &[2.0]).unwrap().is_empty());
        }
        let line: Vec<[f32; 3]> = (0..9).map(|i| [i as f32, 0.0, 0.0]).collect();
        assert!(faces(&line, &[[0.0, 0.0, 1.0]; 9], &[2.0]).unwrap().is_empty());
        assert!(faces(&[[0.5; 3]; 9], &[[0.0, 0.0, 1.0]; 9], &[2.0]).unwrap().is_empty());
        assert!(faces(&line, &line[1..], &[2.0]).is_err());
    }

    #[test]
    fn turns_rise_with_the_angle() {
        let angle = |i: i32| f64::from(i) * 0.01;
        let turns: Vec<f64> = (0..628).map(|i| turn(angle(i).cos(), angle(i).sin())).collect();
        assert!(turns.is_sorted() && turns[0] == 0.0 && turns[627] < 4.0);
    }
}
