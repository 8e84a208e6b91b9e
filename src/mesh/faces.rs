//! Labels of points to those of the faces that they lie on.

use super::Sampled;
use crate::{
    error::{Error, Result},
    io::meshes::Mesh,
    ops::partition::knn::cpu::{Found, Tree},
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// An edge of more faces than this is no usual one.
const MANY: usize = 8;

/// What each face of a mesh is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faces {
    /// The part, -1 = none, `[F]`.
    pub labels: Vec<i32>,
    /// The instance, -1 = none, `[F]`.
    pub instances: Vec<i32>,
}

impl Sampled {
    /// What the mesh's own faces are, from what the points are.
    ///
    /// A face is what most of its points are; of as many, a part goes before none and the earlier one before the later. A
    /// face without points is what the nearest face with points is, on the way over shared edges; where none leads to it,
    /// what the nearest point is. Faces that are not finite are nothing.
    ///
    /// `labels`, `instances`: of the points, -1 = none, `[N]`; they may be of `cloud.to_rows`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the lengths differ, or if the points were drawn on another mesh.
    pub fn faces(&self, mesh: &Mesh, labels: &[i32], instances: &[i32]) -> Result<Faces> {
        let n = self.triangles.len();
        if labels.len() != n || instances.len() != n {
            return Err(Error::invalid(format!(
                "faces: {n} points, but {} labels and {} instances",
                labels.len(),
                instances.len()
            )));
        }
        if self.triangles.iter().any(|&t| t as usize >= mesh.triangles.len()) {
            return Err(Error::invalid("faces: the points were drawn on another mesh"));
        }
        let mut votes: Vec<(u32, i32, i32)> =
            (0..n).map(|i| (mesh.face_of[self.triangles[i] as usize], labels[i], instances[i])).collect();
        votes.sort_unstable();
        let mut elected = vec![None; mesh.len()];
        for of_face in votes.chunk_by(|a, b| a.0 == b.0) {
            let most = |votes: &[(u32, i32, i32)], key: fn(&(u32, i32, i32)) -> i32| {
                let first = |group: &[(u32, i32, i32)]| key(&group[0]);
                let groups = votes.chunk_by(|a, b| key(a) == key(b));
                let best = groups.max_by_key(|group| (group.len(), first(group) >= 0, Reverse(first(group))));
                best.map_or((-1, votes.to_vec()), |group| (first(group), group.to_vec()))
            };
            let (label, its) = most(of_face, |vote| vote.1);
            let (instance, _) = most(&its, |vote| vote.2);
            elected[of_face[0].0 as usize] = Some((label, instance));
        }
        spread(mesh, &mut elected);
        self.nearest(mesh, labels, instances, &mut elected);
        let (labels, instances) = elected.into_iter().map(|found| found.unwrap_or((-1, -1))).unzip();
        Ok(Faces { labels, instances })
    }

    /// What no way leads to is what the nearest point is.
    fn nearest(&self, mesh: &Mesh, labels: &[i32], instances: &[i32], elected: &mut [Option<(i32, i32)>]) {
        let finite = |face: usize| middle(mesh, face).iter().all(|x| x.is_finite());
        let left: Vec<usize> =
            (0..mesh.len()).filter(|&face| elected[face].is_none() && finite(face)).collect();
        let Some(&origin) = self.points.positions.first().filter(|_| !left.is_empty()) else { return };
        let away = |p: &[f64; 3]| (0..3).map(|axis| (p[axis] - origin[axis]).abs()).fold(0.0, f64::max);
        let extent = self.points.positions.iter().map(away).fold(f64::MIN_POSITIVE, f64::max);
        let place =
            |p: [f64; 3]| [0, 1, 2].map(|axis| ((p[axis] - origin[axis]) / extent).clamp(-1e3, 1e3) as f32);
        let places: Vec<[f32; 3]> = self.points.positions.iter().map(|&p| place(p)).collect();
        let (tree, mut found) = (Tree::new(&places), Found::default());
        for face in left {
            let nearest = tree.nearest(place(middle(mesh, face)), &mut found);
            elected[face] = nearest.map(|i| (labels[i as usize], instances[i as usize]));
        }
    }
}

/// The mean of a face's corners.
fn middle(mesh: &Mesh, face: usize) -> [f64; 3] {
    let corners = mesh.faces.row(face);
    let sum = |axis: usize| corners.iter().map(|&v| mesh.positions[v as usize][axis]).sum::<f64>();
    [0, 1, 2].map(|axis| sum(axis) / corners.len() as f64)
}

/// Faces that were not elected take after the nearest that were, over edges whose ends lie at the same places.
fn spread(mesh: &Mesh, elected: &mut [Option<(i32, i32)>]) {
    if elected.iter().all(Option::is_some) {
        return;
    }
    let beside = neighbours(mesh);
    let middles: Vec<[f64; 3]> = (0..mesh.len()).map(|face| middle(mesh, face)).collect();
    let distance = |a: u32, b: u32| {
        let [a, b] = [middles[a as usize], middles[b as usize]];
        (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
    };
    // Distances are not negative, so that their bits order as they do.
    let mut open: BinaryHeap<Reverse<(u64, u32, u32)>> = (0..mesh.len() as u32)
        .filter(|&face| elected[face as usize].is_some())
        .map(|face| Reverse((0, face, face)))
        .collect();
    let mut done = vec![false; mesh.len()];
    while let Some(Reverse((length, face, from))) = open.pop() {
        if std::mem::replace(&mut done[face as usize], true) {
            continue;
        }
        elected[face as usize] = elected[from as usize];
        let start = beside.partition_point(|&(of, _)| of < face);
        for &(_, next) in beside[start..].iter().take_while(|&&(of, _)| of == face) {
            if !done[next as usize] && elected[next as usize].is_none() {
                let length = f64::from_bits(length) + distance(face, next);
                open.push(Reverse((length.to_bits(), next, from)));
            }
        }
    }
}

/// Pairs of faces that share an edge, both ways, ascending.
fn neighbours(mesh: &Mesh) -> Vec<(u32, u32)> {
    let mut order: Vec<u32> = (0..mesh.positions.len() as u32).collect();
    let bits = |&v: &u32| mesh.positions[v as usize].map(|x| (x + 0.0).to_bits());
    order.sort_unstable_by_key(|v| (bits(v), *v));
    let mut place = vec![0; order.len()];
    for same in order.chunk_by(|a, b| bits(a) == bits(b)) {
        same.iter().for_each(|&v| place[v as usize] = same[0]);
    }
    let mut edges = vec![];
    for (face, corners) in mesh.faces.rows().enumerate() {
        let finite = corners.iter().all(|&v| mesh.positions[v as usize].iter().all(|x| x.is_finite()));
        for (i, &a) in corners.iter().enumerate().filter(|_| finite) {
            let (a, b) = (place[a as usize], place[corners[(i + 1) % corners.len()] as usize]);
            if a != b {
                edges.push((a.min(b), a.max(b), face as u32));
            }
        }
    }
    edges.sort_unstable();
    let mut pairs = vec![];
    for at_edge in edges.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        // Many faces at one edge are linked in a row: all pairs would be too many.
        let reach = if at_edge.len() > MANY { 2 } else { at_edge.len() };
        for (i, a) in at_edge.iter().enumerate() {
            for b in at_edge[i..].iter().take(reach).filter(|b| b.2 != a.2) {
                pairs.extend([(a.2, b.2), (b.2, a.2)]);
            }
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}
