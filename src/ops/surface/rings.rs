//! Faces around faces: those that a few steps over shared edges lead to.
//!
//! Vertices at equal coordinates count as one, so that seams are crossed. An edge joins two faces if exactly two sides lie on
//! it; borders and edges of three or more sides join none. A face with a neighbour is in its own ring from two steps on,
//! which lead there and back; one without has an empty ring.

/// CPU reference.
pub mod cpu {
    use crate::ragged::Ragged;
    use rayon::prelude::*;

    /// The number of a place for every vertex, equal for equal coordinates, `[V]`, and how many places there are.
    pub fn merged(vertices: &[[f32; 3]]) -> (Vec<u32>, usize) {
        // Adding zero makes -0 and 0 one place.
        let bits = |v: u32| vertices[v as usize].map(|x| (x + 0.0).to_bits());
        let mut order: Vec<u32> = (0..vertices.len() as u32).collect();
        order.sort_unstable_by_key(|&v| (bits(v), v));
        let (mut place, mut count) = (vec![0; vertices.len()], 0);
        for same in order.chunk_by(|&a, &b| bits(a) == bits(b)) {
            same.iter().for_each(|&v| place[v as usize] = count);
            count += 1;
        }
        (place, count as usize)
    }

    /// The faces over the edges of every face, ascending, `[F]`. `faces`: corners, `[F]`.
    pub fn adjacent(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Ragged<u32> {
        let (place, _) = merged(vertices);
        let mut sides: Vec<(u32, u32, u32)> = Vec::with_capacity(3 * faces.len());
        for (face, f) in faces.iter().zip(0..) {
            let corner = |k: usize| place[face[k % 3] as usize];
            let side = |k| (corner(k).min(corner(k + 1)), corner(k).max(corner(k + 1)), f);
            sides.extend([0, 1, 2].map(side));
        }
        sides.sort_unstable();
        let mut pairs = vec![];
        for edge in sides.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            if let [(.., a), (.., b)] = *edge
                && a != b
            {
                pairs.extend([(a, b), (b, a)]);
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        let begin = |f: u32| pairs.partition_point(|&(of, _)| of < f) as u32;
        let offsets = (0..=faces.len() as u32).map(begin).collect();
        Ragged::new(offsets, pairs.iter().map(|&(_, to)| to).collect()).expect("pairs are sorted")
    }

    /// The faces that at most `steps` steps lead to, ascending, `[F]`. `adjacent`: `[F]`, symmetric.
    pub fn rings(adjacent: &Ragged<u32>, steps: usize) -> Ragged<u32> {
        const BATCH: usize = 256;
        let f = adjacent.len();
        let ring = |marks: &mut Vec<u32>, face: u32| {
            let mut ring = vec![];
            let mut from = 0;
            marks[face as usize] = face + 1;
            for step in 0..steps {
                let to = ring.len();
                let open: Vec<u32> = if step == 0 { vec![face] } else { ring[from..to].to_vec() };
                from = to;
                for near in open.iter().flat_map(|&face| adjacent.row(face as usize)) {
                    if std::mem::replace(&mut marks[*near as usize], face + 1) != face + 1 {
                        ring.push(*near);
                    }
                }
            }
            if steps > 1 && !ring.is_empty() {
                ring.push(face);
            }
            ring.sort_unstable();
            ring
        };
        let batches = (0..f.div_ceil(BATCH)).into_par_iter().map_init(
            || vec![0u32; f],
            |marks, batch| {
                let faces = batch * BATCH..f.min((batch + 1) * BATCH);
                faces.map(|face| ring(marks, face as u32)).collect::<Ragged<u32>>()
            },
        );
        Ragged::concat(batches.collect())
    }

    /// How many faces of each entry's ring its box shows, `[E]`. `shown`: faces and pixels under every box, `[B]`.
    pub fn counts(rings: &Ragged<u32>, shown: &Ragged<(u32, u32)>) -> Vec<u32> {
        let rows = (0..shown.len()).into_par_iter().map_init(
            || vec![0u32; rings.len()],
            |marks, b| {
                let mark = b as u32 + 1;
                shown.row(b).iter().for_each(|&(face, _)| marks[face as usize] = mark);
                let count = |&(face, _): &(u32, u32)| {
                    rings.row(face as usize).iter().filter(|&&near| marks[near as usize] == mark).count()
                        as u32
                };
                shown.row(b).iter().map(count).collect::<Vec<_>>()
            },
        );
        rows.collect::<Vec<_>>().concat()
    }
}

/// On a CUDA device.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::{
            gpu::{
                Buffer, Gpu, blocks,
                kernels::{self, RingsDims},
            },
            twin::RaggedOnDevice,
        },
        error::{Error, Result},
        ops::surface::tally::cuda::Tally,
    };

    const WARP: usize = 32;

    /// How many faces of each entry's ring its box shows, and how many the ring has, `[E]` each. `rings`: faces below F, `[F]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the rings are of another number of faces, [`Error::Device`] if the driver refuses.
    pub fn counts(gpu: &Gpu, rings: &RaggedOnDevice<u32>, tally: &Tally) -> Result<[Buffer<u32>; 2]> {
        let (entries, faces, boxes) = (tally.faces.len(), rings.len(), tally.offsets.len() - 1);
        if tally.counts.len() != boxes * faces || entries > i32::MAX as usize / WARP {
            let counts = tally.counts.len();
            return Err(Error::invalid(format!(
                "rings: {counts} counts and {entries} entries of {boxes} boxes over {faces} rings"
            )));
        }
        let (mut seen, mut around) = (gpu.alloc(entries)?, gpu.alloc(entries)?);
        let d = RingsDims { entries: entries as u32, faces: faces as u32 };
        kernels::rings_count(
            gpu,
            blocks(entries * WARP, 256),
            &rings.offsets,
            &rings.values,
            &tally.counts,
            &tally.boxes,
            &tally.faces,
            &mut seen,
            &mut around,
            d,
        )?;
        Ok([seen, around])
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::*;
    use crate::ragged::Ragged;

    /// A strip of triangles; face i lies beside i - 1 and i + 1.
    fn strip(faces: u32) -> (Vec<[f32; 3]>, Vec<[u32; 3]>) {
        let vertices = (0..faces + 2).map(|i| [(i / 2) as f32, (i % 2) as f32, 0.0]).collect();
        (vertices, (0..faces).map(|i| [i, i + 1, i + 2]).collect())
    }

    #[test]
    fn rings_reach_as_far_as_their_steps() {
        let (vertices, faces) = strip(9);
        let adjacent = adjacent(&vertices, &faces);
        assert_eq!(adjacent.row(4), [3, 5]);
        assert_eq!(rings(&adjacent, 1).row(4), [3, 5], "one step does not come back");
        assert_eq!(rings(&adjacent, 3).row(4), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(rings(&adjacent, 3).row(0), [0, 1, 2, 3]);
    }

    #[test]
    fn seams_join_and_crowded_edges_do_not() {
        let (mut vertices, mut faces) = strip(2);
        // The second face on vertices of its own, one of them at -0.
        vertices.extend([vertices[1], [0.0 - vertices[2][0], vertices[2][1], -0.0]]);
        vertices[5][0] = vertices[2][0];
        faces[1] = [4, 5, 3];
        assert_eq!(merged(&vertices).1, 4);
        assert_eq!(adjacent(&vertices, &faces).row(0), [1]);
        faces.push([1, 2, 0]);
        let crowded = adjacent(&vertices, &faces);
        assert_eq!(crowded.row(1), [0u32; 0], "three sides on its edge");
        assert!(rings(&crowded, 5).row(1).is_empty(), "a face without neighbours is not in its own ring");
    }

    #[test]
    fn counts_are_of_the_own_box() {
        let (vertices, faces) = strip(6);
        let rings = rings(&adjacent(&vertices, &faces), 2);
        let shown = Ragged::from_iter([vec![(0, 9), (1, 1)], vec![], vec![(1, 1), (2, 1), (5, 2)]]);
        assert_eq!(counts(&rings, &shown), [2, 2, 2, 2, 1]);
    }
}
