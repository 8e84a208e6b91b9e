//! The double cover of a triangle mesh, flipped until it is Delaunay: a surface without borders and with lengths instead of
//! places, on which the Laplacian of any mesh is sane (Sharp and Crane, *A Laplacian for Nonmanifold Triangle Meshes*, 2020).
//!
//! Every face has a front and a back, glued to those of its neighbours around each edge; a border is a fold from front to
//! back. Lengths grow by so little that no triangle is flat. Then edges flip while the angles that face them are more than
//! half a turn together. f64.

use crate::error::{Error, Result};
use std::collections::VecDeque;

/// By how much every corner shall miss being flat, in mean edge lengths.
const MOLLIFY: f64 = 1e-5;
/// An edge flips if its cotangents' half sum is below this.
const DELAUNAY: f64 = -1e-6;

/// A triangle of the flipped cover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Triangle {
    /// Its vertices; two may be the same.
    pub vertices: [u32; 3],
    /// Its sides: side k runs from vertex k to the next.
    pub lengths: [f64; 3],
}

/// The flipped cover.
#[derive(Debug, Clone, PartialEq)]
pub struct Cover {
    /// Twice as many as the mesh has.
    pub triangles: Vec<Triangle>,
    /// The mean length of its edges.
    pub edge: f64,
    /// Edges that were flipped.
    pub flips: usize,
}

impl Triangle {
    /// By Kahan's formula, which holds for needles.
    pub fn area(&self) -> f64 {
        let [a, b, c] = sorted(self.lengths);
        0.25 * ((a + (b + c)) * (c - (a - b)) * (c + (a - b)) * (a + (b - c))).max(0.0).sqrt()
    }

    /// Half the cotangent of the angle that faces each side.
    pub fn weights(&self) -> [f64; 3] {
        let area = self.area();
        let square = |k: usize| self.lengths[k % 3] * self.lengths[k % 3];
        [0, 1, 2].map(|k| (square(k + 1) + square(k + 2) - square(k)) / (8.0 * area))
    }
}

/// Descending.
fn sorted([a, b, c]: [f64; 3]) -> [f64; 3] {
    let ([high, low], last) = (if a < b { [b, a] } else { [a, b] }, c);
    if last > high {
        [last, high, low]
    } else if last > low {
        [high, last, low]
    } else {
        [high, low, last]
    }
}

/// The cover while edges flip. Side h of a triangle runs from `tail[h]` to the tail of `next[h]`.
struct Sides {
    tail: Vec<u32>,
    next: Vec<u32>,
    twin: Vec<u32>,
    length: Vec<f64>,
}

impl Cover {
    /// The cover of a mesh. `vertices`: `[V]`; `faces`: below V, `[F]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a vertex is not finite, or all lie at one place.
    pub fn new(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Result<Cover> {
        let mut sides = Sides::glued(faces);
        sides.measure(vertices)?;
        let flips = sides.flip();
        let edge = sides.mean_length();
        let mut seen = vec![false; sides.tail.len()];
        let mut triangles = Vec::with_capacity(2 * faces.len());
        for side in 0..sides.tail.len() {
            if seen[side] {
                continue;
            }
            let around = sides.around(side);
            around.iter().for_each(|&h| seen[h] = true);
            triangles.push(Triangle {
                vertices: around.map(|h| sides.tail[h]),
                lengths: around.map(|h| sides.length[h]),
            });
        }
        Ok(Cover { triangles, edge, flips })
    }
}

impl Sides {
    /// Fronts and backs, glued around every edge: the back of one side to the copy of the next that runs the other way.
    fn glued(faces: &[[u32; 3]]) -> Sides {
        let front = 3 * faces.len();
        let (mut tail, mut next) = (vec![0; 2 * front], vec![0; 2 * front]);
        let mut edges = Vec::with_capacity(front);
        for (f, face) in faces.iter().enumerate() {
            for k in 0..3 {
                let (side, a, b) = (3 * f + k, face[k], face[(k + 1) % 3]);
                (tail[side], next[side]) = (a, (3 * f + (k + 1) % 3) as u32);
                (tail[front + side], next[front + side]) = (b, (front + 3 * f + (k + 2) % 3) as u32);
                edges.push((a.min(b), a.max(b), side as u32));
            }
        }
        edges.sort_unstable();
        let front = front as u32;
        let other = |side: u32| if side < front { side + front } else { side - front };
        let rises = |side: u32| tail[side as usize] < tail[next[side as usize] as usize];
        let mut twin = vec![0; tail.len()];
        for edge in edges.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let mut side = other(edge[0].2);
            if rises(side) == rises(edge[0].2) {
                // An edge from a vertex to itself: neither copy rises.
                side = other(side);
            }
            for i in 0..edge.len() {
                let (_, _, mut to) = edge[(i + 1) % edge.len()];
                if rises(side) == rises(to) {
                    to = other(to);
                }
                (twin[side as usize], twin[to as usize]) = (to, side);
                side = other(to);
            }
        }
        Sides { length: vec![], tail, next, twin }
    }

    /// The lengths, and a little more where a triangle would be flat.
    fn measure(&mut self, vertices: &[[f32; 3]]) -> Result<()> {
        if let Some(v) = vertices.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let message = format!("distances: vertex {v} is at {:?}; remove what is not finite", vertices[v]);
            return Err(Error::invalid(message));
        }
        let place = |h: usize| vertices[self.tail[h] as usize].map(f64::from);
        let length = |h: usize| {
            let (a, b) = (place(h), place(self.next[h] as usize));
            let square = |axis: usize| (a[axis] - b[axis]) * (a[axis] - b[axis]);
            (square(0) + square(1) + square(2)).sqrt()
        };
        self.length = (0..self.tail.len()).map(length).collect();
        let delta = MOLLIFY * self.mean_length();
        if delta.is_nan() || delta <= 0.0 {
            return Err(Error::invalid(
                "distances: a surface without faces, or whose vertices all lie at one place",
            ));
        }
        let lack = |side: usize| {
            let [a, b, c] = self.around(side).map(|h| self.length[h]);
            c - a - b + delta
        };
        let more = (0..self.tail.len()).map(lack).fold(0.0, f64::max);
        self.length.iter_mut().for_each(|length| *length += more);
        Ok(())
    }

    /// Flips edges until none faces too wide angles; how many were flipped.
    fn flip(&mut self) -> usize {
        let edge_of = |twin: &[u32], h: usize| h.min(twin[h] as usize);
        let mut open: VecDeque<usize> =
            (0..self.tail.len()).filter(|&h| h <= self.twin[h] as usize).collect();
        let mut waits = vec![false; self.tail.len()];
        open.iter().for_each(|&edge| waits[edge] = true);
        let mut flips = 0;
        while let Some(a) = open.pop_front() {
            waits[a] = false;
            let d = self.twin[a] as usize;
            let ([_, b, c], [_, g, h]) = (self.around(a), self.around(d));
            if d == b || d == c || self.cotangent(a) + self.cotangent(d) >= DELAUNAY {
                continue;
            }
            // The corner that faces the edge, once both triangles lie in a plane with the edge on the axis.
            let base = self.length[a];
            let corner = |first: f64, second: f64| {
                let along = (base * base + first * first - second * second) / (2.0 * base);
                let area = Triangle { vertices: [0; 3], lengths: [base, first, second] }.area();
                (along, 2.0 * area / base)
            };
            let (x, y) = corner(self.length[c], self.length[b]);
            let (far_x, far_y) = corner(self.length[g], self.length[h]);
            let length = hypot(x - far_x, y + far_y);
            if !length.is_finite() {
                continue;
            }
            (self.tail[a], self.tail[d]) = (self.tail[h], self.tail[c]);
            for [side, next] in [[c, g], [g, a], [a, c], [h, b], [b, d], [d, h]] {
                self.next[side] = next as u32;
            }
            (self.length[a], self.length[d]) = (length, length);
            flips += 1;
            for side in [b, c, g, h] {
                let edge = edge_of(&self.twin, side);
                if !std::mem::replace(&mut waits[edge], true) {
                    open.push_back(edge);
                }
            }
        }
        flips
    }

    fn around(&self, side: usize) -> [usize; 3] {
        let next = self.next[side] as usize;
        [side, next, self.next[next] as usize]
    }

    /// Half the cotangent of the angle that faces a side; infinite in a flat triangle.
    fn cotangent(&self, side: usize) -> f64 {
        let triangle = Triangle { vertices: [0; 3], lengths: self.around(side).map(|h| self.length[h]) };
        if triangle.area() > 0.0 {
            return triangle.weights()[0];
        }
        let [a, b, c] = triangle.lengths;
        let sign = b * b + c * c - a * a;
        if sign == 0.0 { 0.0 } else { f64::INFINITY.copysign(sign) }
    }

    /// Every edge once.
    fn mean_length(&self) -> f64 {
        let edges = || (0..self.tail.len()).filter(|&h| h <= self.twin[h] as usize);
        edges().map(|h| self.length[h]).sum::<f64>() / edges().count() as f64
    }
}

/// Without the system's library, whose last bit differs between systems.
fn hypot(a: f64, b: f64) -> f64 {
    (a * a + b * b).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_is_two_glued_at_their_borders() {
        let cover = Cover::new(&[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], &[[0, 1, 2]]).unwrap();
        assert_eq!((cover.triangles.len(), cover.flips), (2, 0));
        assert_eq!(cover.triangles[0].vertices, [0, 1, 2]);
        assert_eq!(cover.triangles[1].lengths.map(f64::to_bits), {
            let [a, b, c] = cover.triangles[0].lengths.map(f64::to_bits);
            [a, c, b]
        });
        assert!((cover.triangles[0].area() - 0.5).abs() < 1e-12);
        assert!((cover.triangles[0].weights()[1]).abs() < 1e-12, "the hypotenuse faces a right angle");
    }

    #[test]
    fn obtuse_pairs_flip_and_squares_do_not() {
        let at = |height: f32| [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [2.0, height, 0.0], [2.0, -height, 0.0]];
        let faces = [[0, 1, 2], [1, 0, 3]];
        let flat = Cover::new(&at(0.5), &faces).unwrap();
        assert!(flat.flips >= 2, "front and back: {}", flat.flips);
        let shortest =
            |cover: &Cover| cover.triangles.iter().flat_map(|t| t.lengths).fold(f64::MAX, f64::min);
        assert!((shortest(&flat) - 1.0).abs() < 1e-9, "the other diagonal");
        assert_eq!(Cover::new(&at(2.0), &faces).unwrap().flips, 0);
        let all: f64 = flat.triangles.iter().map(Triangle::area).sum();
        assert!((all - 4.0).abs() < 1e-9, "flips keep the area: {all}");
    }

    #[test]
    fn broken_meshes_have_covers() {
        let vertices = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
        let three_on_an_edge = [[0, 1, 2], [0, 1, 3], [1, 0, 4]];
        let twice = [[0, 1, 2], [0, 1, 2], [2, 1, 0]];
        let repeated = [[0, 1, 2], [1, 1, 3], [2, 2, 2]];
        for faces in [three_on_an_edge, twice, repeated] {
            let cover = Cover::new(&vertices, &faces).unwrap();
            assert_eq!(cover.triangles.len(), 6);
            assert!(
                cover.triangles.iter().all(|t| t.area() > 0.0 && t.weights().iter().all(|w| w.is_finite()))
            );
        }
        assert!(Cover::new(&[[0.5; 3]; 3], &[[0, 1, 2]]).is_err());
        assert!(Cover::new(&[[f32::NAN; 3]; 3], &[[0, 1, 2]]).is_err());
        assert!(Cover::new(&vertices, &[]).is_err());
    }
}
