//! The centre of what a box shows: the mean of its faces' middles, weighted by their areas, and the vertex of theirs that is
//! nearest to it.
//!
//! QUIRK centre: every face counts once, on however many pixels it shows.

/// A surface as boxes see it.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `[V]`.
    pub vertices: &'a [[f32; 3]],
    /// The vertices of every face, `[F]`.
    pub faces: &'a [[u32; 3]],
    /// Area of every face, of any unit, `[F]`.
    pub areas: &'a [f32],
}

/// The centre of what a box shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Centre {
    /// The mean of the middles.
    pub at: [f64; 3],
    /// The vertex nearest to it, of as near ones the lowest.
    pub vertex: u32,
}

/// CPU reference.
pub mod cpu {
    use super::{Centre, Input};
    use crate::{Result, ops::basic::sum, ops::expect_len, ragged::Ragged};
    use rayon::prelude::*;

    /// The middle of a face, the mean of its vertices; of three times the same vertex, that vertex.
    pub fn middle(vertices: &[[f32; 3]], face: [u32; 3]) -> [f64; 3] {
        let [a, b, c] = face.map(|v| vertices[v as usize].map(f64::from));
        [0, 1, 2].map(|axis| (a[axis] + b[axis] + c[axis]) / 3.0)
    }

    /// The area of every face, `[F]`.
    pub fn areas(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Vec<f32> {
        let area = |face: &[u32; 3]| {
            let [a, b, c] = face.map(|v| vertices[v as usize].map(f64::from));
            let along = |to: [f64; 3]| [0, 1, 2].map(|axis| to[axis] - a[axis]);
            let (u, v) = (along(b), along(c));
            let cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
            (0.5 * (cross[0] * cross[0] + cross[1] * cross[1] + cross[2] * cross[2]).sqrt()) as f32
        };
        faces.iter().map(area).collect()
    }

    /// The centre of what every box shows; None for a box that shows nothing, `[B]`. `shown`: faces and pixels under every
    /// box, `[B]`. Faces without area count alike where a box shows no others.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if there are not as many areas as faces.
    pub fn centres(input: &Input, shown: &Ragged<(u32, u32)>) -> Result<Vec<Option<Centre>>> {
        let Input { vertices, faces, areas } = *input;
        expect_len("centre", "areas [F]", areas.len(), faces.len())?;
        let centre = |of_box: &[(u32, u32)]| {
            let total = sum::block(of_box.iter().map(|&(f, _)| f64::from(areas[f as usize])));
            let weight = |f: u32| if total > 0.0 { f64::from(areas[f as usize]) } else { 1.0 };
            let total = if total > 0.0 { total } else { of_box.len() as f64 };
            let at = [0, 1, 2].map(|axis| {
                let middle = |f: u32| middle(vertices, faces[f as usize])[axis];
                sum::block(of_box.iter().map(|&(f, _)| weight(f) * middle(f))) / total
            });
            let distance = |v: u32| {
                let p = vertices[v as usize].map(f64::from);
                let square = |axis: usize| (p[axis] - at[axis]) * (p[axis] - at[axis]);
                square(0) + square(1) + square(2)
            };
            let corners = of_box.iter().flat_map(|&(f, _)| faces[f as usize]);
            let nearest = corners.map(|v| (distance(v), v));
            let nearest = nearest.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            nearest.map(|(_, vertex)| Centre { at, vertex })
        };
        Ok((0..shown.len()).into_par_iter().map(|b| centre(shown.row(b))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Centre, Input, cpu::*};
    use crate::ragged::Ragged;

    #[test]
    fn centres_are_area_weighted_and_their_vertex_is_shown() {
        let vertices = [[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.6, 0.6, 0.0]];
        let faces = [[0, 1, 2], [1, 3, 2], [4, 4, 4]];
        let areas = areas(&vertices, &faces);
        assert_eq!(areas, [2.0, 2.0, 0.0]);
        let input = Input { vertices: &vertices, faces: &faces, areas: &areas };
        let shown = Ragged::from_iter([vec![(0, 900), (1, 1)], vec![], vec![(0, 1)], vec![(2, 1)]]);
        let found = centres(&input, &shown).unwrap();
        assert_eq!(
            found[0],
            Some(Centre { at: [1.0, 1.0, 0.0], vertex: 0 }),
            "pixels do not weigh; all corners as near, the lowest"
        );
        assert_eq!(found[1], None);
        assert_eq!(found[2].unwrap().vertex, 0, "vertex 4 is nearer, but of no face that is shown");
        assert_eq!(found[3].unwrap().vertex, 4);
        assert!(centres(&Input { areas: &areas[1..], ..input }, &shown).is_err());
    }
}
