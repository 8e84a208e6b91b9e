//! SATR: from boxes in views to scores and labels of a surface's faces (Abdelreheem et al., *SATR: Zero-Shot Semantic
//! Segmentation of 3D Shapes*, ICCV 2023), as its authors' code does it.
//!
//! Every face under a box gets a share of the box's confidence: more the more pixels show it, the more of the faces around it
//! the box shows too, and the nearer it is to the mean distance from the box's centre, along the surface. A face is what the
//! shares of all boxes sum up to. What the authors' code does oddly carries the tag QUIRK in [`ops::surface`](crate::ops::surface).
//!
//! ```no_run
//! use partstad::{Device, satr::{Detection, Options, Surface}, stages::views::{Camera, POSES}, ops::surface::triangles::Sides};
//! # let (vertices, faces): (Vec<[f64; 3]>, Vec<[u32; 3]>) = Default::default();
//! let surface = Surface::mesh(&vertices, faces)?;
//! let cameras: Vec<Camera> = POSES.into_iter().map(Camera::new).collect();
//! let maps = surface.render(&Device::Cpu, &cameras, 800, Sides::Front)?;
//! // Render images of the same cameras for a detector; its boxes of part 1 of 3 in view 0:
//! let boxes = [Detection { view: 0, part: 1, corners: [310.0, 200.0, 460.0, 390.0], score: 0.8 }];
//! let scores = surface.score(&Device::Cpu, &maps, 800, &boxes, 3, &Options::default())?;
//! println!("{:?}", scores.labels()); // of every face; 3 = unknown
//! # Ok::<(), partstad::Error>(())
//! ```

#[cfg(feature = "cuda")]
mod device;

#[cfg(feature = "meshes")]
use crate::io::meshes::Mesh;
use crate::{
    device::Device,
    error::{Error, Result},
    ops::{
        expect_len,
        partition::knn::cpu::{Found, Tree},
        surface::{
            centre,
            heat::Heat,
            ldl::LANES,
            paths::Graph,
            rings, scores,
            tally::{self, Rect},
            triangles::{self, Sides},
            weights::{self, Factors},
        },
    },
    ragged::Ragged,
    stages::{boxes::Box2d, views::Camera},
};
use rayon::prelude::*;
use std::sync::OnceLock;

/// Which rules hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether faces are weighed by their distance from the box's centre.
    pub gaussian: bool,
    /// Whether faces are weighed by the share of the faces around them that the box shows.
    pub smoothing: bool,
    /// Steps over edges that lead to the faces around a face.
    pub steps: usize,
    /// Whether a box that shows nothing is an error and one of equal distances, as of a single face, gives NaN, as in the
    /// authors' code. By default such boxes add nothing.
    pub undefined: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { gaussian: true, smoothing: true, steps: 5, undefined: false }
    }
}

/// A box of one view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The view it was found in.
    pub view: u32,
    /// The part it shows.
    pub part: u32,
    /// Left, top, right, bottom in pixels; what lies outside the image does not count.
    pub corners: [f32; 4],
    /// The detector's confidence.
    pub score: f32,
}

impl From<&Box2d> for Detection {
    fn from(found: &Box2d) -> Detection {
        Detection { view: found.view, part: found.label, corners: found.rect(), score: found.score }
    }
}

/// What boxes score: V vertices and F faces of a mesh, or as many points, each its own face.
#[derive(Debug)]
pub struct Surface {
    vertices: Vec<[f32; 3]>,
    faces: Vec<[u32; 3]>,
    areas: Vec<f32>,
    around: Around,
    geodesics: Geodesics,
}

/// What lies around every face.
#[derive(Debug)]
enum Around {
    /// Faces over shared edges, and the rings of the steps that were first asked for.
    Edges(Ragged<u32>, OnceLock<(usize, Ragged<u32>)>),
    /// Always these.
    Points(Ragged<u32>),
}

#[derive(Debug)]
enum Geodesics {
    Heat(Box<Heat>),
    Graph(Graph),
}

/// What boxes give every face for every part.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// P.
    pub parts: usize,
    /// `[F, P]`.
    pub of_face: Vec<f64>,
}

/// Neighbours of a point in the graph of the variant without a mesh, and points around it that stand for a ring.
const NEIGHBORS: usize = 10;
const POINTS_AROUND: usize = 46;

impl Surface {
    /// A mesh, moved and scaled so that the mean of its vertices is the origin and the farthest at distance 1.
    ///
    /// `vertices`: `[V]`; `faces`: below V, `[F]`. Vertices of no face do no harm.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a face with a vertex that is not there, a vertex that is not finite, and a mesh without faces or
    /// of one place; [`Error::Memory`] if it is too large.
    pub fn mesh(vertices: &[[f64; 3]], faces: Vec<[u32; 3]>) -> Result<Surface> {
        let n = vertices.len().max(1) as f64;
        let mean = [0, 1, 2].map(|axis| vertices.iter().map(|p| p[axis]).sum::<f64>() / n);
        let moved = |p: &[f64; 3]| [0, 1, 2].map(|axis| p[axis] - mean[axis]);
        let norm = |p: [f64; 3]| (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt();
        let radius = vertices.iter().map(|p| norm(moved(p))).fold(f64::MIN_POSITIVE, f64::max);
        let placed: Vec<[f32; 3]> = vertices.iter().map(|p| moved(p).map(|x| (x / radius) as f32)).collect();
        let geodesics = Heat::new(&placed, &faces)?;
        let areas = centre::cpu::areas(&placed, &faces);
        Surface::with(placed, faces, areas, geodesics)
    }

    /// The triangles of a file's mesh; `mesh.face_of` tells which of its faces each is of. As [`Surface::mesh`].
    ///
    /// # Errors
    /// As [`Surface::mesh`].
    #[cfg(feature = "meshes")]
    pub fn of(mesh: &Mesh) -> Result<Surface> {
        Surface::mesh(&mesh.positions, mesh.triangles.clone())
    }

    /// A mesh whose vertices lie where they shall, in the unit ball. `areas`: of its faces, in any unit, `[F]`.
    ///
    /// # Errors
    /// As [`Surface::mesh`].
    pub fn placed(vertices: Vec<[f32; 3]>, faces: Vec<[u32; 3]>, areas: Vec<f32>) -> Result<Surface> {
        let geodesics = Heat::new(&vertices, &faces)?;
        Surface::with(vertices, faces, areas, geodesics)
    }

    fn with(vertices: Vec<[f32; 3]>, faces: Vec<[u32; 3]>, areas: Vec<f32>, heat: Heat) -> Result<Surface> {
        if faces.len() > i32::MAX as usize / 3 {
            return Err(Error::invalid(format!(
                "satr: {} faces; the limit is {}",
                faces.len(),
                i32::MAX / 3
            )));
        }
        expect_len("satr", "areas [F]", areas.len(), faces.len())?;
        let around = Around::Edges(rings::cpu::adjacent(&vertices, &faces), OnceLock::new());
        Ok(Surface { vertices, faces, areas, around, geodesics: Geodesics::Heat(Box::new(heat)) })
    }

    /// Points without a mesh. This is not SATR but a likeness of it: distances are along the graph of the ten nearest neighbours,
    /// the 46 nearest points are a point's ring, and all points weigh alike. `points`: in the unit ball, `[V]`; F = V.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a point is not finite.
    pub fn points(points: Vec<[f32; 3]>) -> Result<Surface> {
        if let Some(i) = points.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            return Err(Error::invalid(format!("satr: point {i} is at {:?}", points[i])));
        }
        let tree = Tree::new(&points);
        let around = points.par_iter().map_init(Found::default, |found, &p| {
            tree.within(p, f32::INFINITY, POINTS_AROUND, found);
            found.iter().map(|(i, _)| i).collect::<Vec<u32>>()
        });
        Ok(Surface {
            around: Around::Points(Ragged::from_iter(around.collect::<Vec<_>>())),
            faces: (0..points.len() as u32).map(|i| [i; 3]).collect(),
            areas: vec![1.0; points.len()],
            geodesics: Geodesics::Graph(Graph::new(&points, NEIGHBORS)),
            vertices: points,
        })
    }

    /// The vertices in the unit ball, `[V]`.
    pub fn vertices(&self) -> &[[f32; 3]] {
        &self.vertices
    }

    /// The vertices of every face, `[F]`.
    pub fn faces(&self) -> &[[u32; 3]] {
        &self.faces
    }

    /// The face that each pixel of each view shows, `[K, side, side]`, -1 = none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more pixels than there can be, [`Error::Device`] if the device fails.
    pub fn render(&self, device: &Device, cameras: &[Camera], side: usize, sides: Sides) -> Result<Vec<i32>> {
        let cameras: Vec<triangles::Camera> = cameras.iter().map(turned).collect();
        match device {
            Device::Cpu => {
                let map =
                    |camera| triangles::cpu::nearest_faces(&self.vertices, &self.faces, camera, side, sides);
                Ok(cameras.par_iter().map(map).collect::<Vec<_>>().concat())
            }
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => self.render_on_gpu(gpu, &cameras, side, sides),
        }
    }

    /// The scores of all faces for P parts.
    ///
    /// `maps`: the face that each pixel of each view shows, -1 = none, `[K, side, side]`. Boxes add up by view, then part, then
    /// in their order.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a map shows a face that there is not, a box is of no view or part, or with
    /// [`Options::undefined`] for a box that shows no face; [`Error::Device`] if the device fails.
    pub fn score(
        &self,
        device: &Device,
        maps: &[i32],
        side: usize,
        boxes: &[Detection],
        parts: usize,
        options: &Options,
    ) -> Result<Scores> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by_key(|&b| (boxes[b].view, boxes[b].part));
        let of = |b: &usize| &boxes[*b];
        let views: Vec<u32> = order.iter().map(|b| of(b).view).collect();
        let rects: Vec<Rect> = order.iter().map(|b| tally::cut(of(b).corners, side)).collect();
        let labels: Vec<u32> = order.iter().map(|b| of(b).part).collect();
        let confidences: Vec<f32> = order.iter().map(|b| of(b).score).collect();
        if let Some(b) = confidences.iter().position(|score| !score.is_finite()) {
            return Err(Error::invalid(format!("satr: box {} has score {}", order[b], confidences[b])));
        }
        let input = tally::Input { maps, side, views: &views, rects: &rects, faces: self.faces.len() };
        if let Some(part) = labels.iter().find(|&&part| part as usize >= parts) {
            return Err(Error::invalid(format!("satr: a box of part {part}, but there are {parts} parts")));
        }
        let step = Step { surface: self, parts: &labels, confidences: &confidences, count: parts, options };
        let of_face = match device {
            Device::Cpu => step.on_cpu(&tally::cpu::tally(&input)?)?,
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => step.on_gpu(gpu, &input)?,
        };
        Ok(Scores { parts, of_face })
    }

    /// The vertex of a face that is nearest to every point, of as near ones the lowest; None on a surface without faces, `[N]`.
    pub fn nearest(&self, points: &[[f32; 3]]) -> Vec<Option<u32>> {
        self.nearest_of(&self.last_faces(), points)
    }

    /// The last face of every vertex, -1 = none, `[V]`.
    fn last_faces(&self) -> Vec<i32> {
        scores::cpu::last_faces(&self.faces, self.vertices.len())
    }

    fn nearest_of(&self, last: &[i32], points: &[[f32; 3]]) -> Vec<Option<u32>> {
        // In f32 two vertices may seem as near that are not.
        const CANDIDATES: usize = 8;
        let used = (0..).zip(&self.vertices).filter(|&(v, _)| last[v as usize] >= 0);
        let tree = Tree::with_indices(used.map(|(v, &p)| (p, v)));
        let nearest = |found: &mut Found, p: &[f32; 3]| {
            tree.within(*p, f32::INFINITY, CANDIDATES, found);
            let distance = |v: u32| {
                let offset = |axis: usize| f64::from(p[axis]) - f64::from(self.vertices[v as usize][axis]);
                (0..3).map(|axis| offset(axis) * offset(axis)).sum::<f64>()
            };
            let candidates = found.iter().map(|(v, _)| (distance(v), v));
            candidates.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(_, v)| v)
        };
        points.par_iter().map_init(Found::default, nearest).collect()
    }

    /// The faces around every face.
    fn around(&self, steps: usize) -> std::borrow::Cow<'_, Ragged<u32>> {
        use std::borrow::Cow;
        match &self.around {
            Around::Points(around) => Cow::Borrowed(around),
            Around::Edges(adjacent, kept) => {
                // Made before it is kept: who waits for a cell may be needed to fill it.
                if kept.get().is_none() {
                    let _ = kept.set((steps, rings::cpu::rings(adjacent, steps)));
                }
                match kept.get() {
                    Some((of, rings)) if *of == steps => Cow::Borrowed(rings),
                    _ => Cow::Owned(rings::cpu::rings(adjacent, steps)),
                }
            }
        }
    }
}

/// The camera as triangles are seen: x to the right and looking along -z, where views have x to the left and look along z.
fn turned(camera: &Camera) -> triangles::Camera {
    camera.world_to_view.map(|[x, y, z, _]| [-x, y, -z])
}

/// What happens once it is known what boxes show.
struct Step<'a> {
    surface: &'a Surface,
    parts: &'a [u32],
    confidences: &'a [f32],
    count: usize,
    options: &'a Options,
}

impl Step<'_> {
    fn factors(&self) -> Factors {
        let Options { gaussian, smoothing, undefined, .. } = *self.options;
        Factors { gaussian, visibility: smoothing, undefined }
    }

    /// From the centre vertex of each entry's box to the entry's face, `[E]`.
    fn distances(&self, shown: &Ragged<(u32, u32)>) -> Result<Vec<f64>> {
        let Surface { vertices, faces, areas, geodesics, .. } = self.surface;
        let input = centre::Input { vertices, faces, areas };
        let centres = centre::cpu::centres(&input, shown)?;
        if self.options.undefined
            && let Some(b) = centres.iter().position(Option::is_none)
        {
            return Err(Error::invalid(format!(
                "satr: box {b}, counted by view and part, shows no face; leave out the authors' undefined cases"
            )));
        }
        if !self.options.gaussian {
            return Ok(vec![0.0; shown.values().len()]);
        }
        let mut sources: Vec<(u32, usize)> =
            (0..).zip(&centres).filter_map(|(b, centre)| Some((centre.as_ref()?.vertex, b))).collect();
        sources.sort_unstable();
        let of_source: Vec<&[(u32, usize)]> = sources.chunk_by(|a, b| a.0 == b.0).collect();
        let batch = |of_source: &[&[(u32, usize)]]| {
            let sources: Vec<u32> = of_source.iter().map(|boxes| boxes[0].0).collect();
            let distances = geodesics.distances(&sources);
            let of_box = |(lane, b): (usize, usize)| {
                let to = |&(face, _): &(u32, u32)| distances[lane][faces[face as usize][0] as usize];
                (b, shown.row(b).iter().map(to).collect::<Vec<f64>>())
            };
            let boxes =
                of_source.iter().enumerate().flat_map(|(lane, all)| all.iter().map(move |&(_, b)| (lane, b)));
            boxes.map(of_box).collect::<Vec<_>>()
        };
        let mut all = vec![0.0; shown.values().len()];
        for (b, distances) in of_source.par_chunks(LANES).map(batch).collect::<Vec<_>>().into_iter().flatten()
        {
            all[shown.range(b)].copy_from_slice(&distances);
        }
        Ok(all)
    }

    fn on_cpu(&self, shown: &Ragged<(u32, u32)>) -> Result<Vec<f64>> {
        let distances = self.distances(shown)?;
        let entries = shown.values();
        let (seen, size): (Vec<u32>, Vec<u32>) = if self.options.smoothing {
            let around = self.surface.around(self.options.steps);
            let size = entries.iter().map(|&(face, _)| around.row(face as usize).len() as u32).collect();
            (rings::cpu::counts(&around, shown), size)
        } else {
            (vec![0; entries.len()], vec![0; entries.len()])
        };
        let pixels: Vec<u32> = entries.iter().map(|&(_, pixels)| pixels).collect();
        let weights = weights::cpu::weights(
            &weights::Input {
                offsets: shown.offsets(),
                pixels: &pixels,
                distances: &distances,
                seen: &seen,
                around: &size,
                scores: self.confidences,
            },
            self.factors(),
        )?;
        scores::cpu::sum(&scores::Input {
            shown,
            weights: &weights,
            parts: self.parts,
            faces: self.surface.faces.len(),
            labels: self.count,
        })
    }
}

impl Geodesics {
    /// From at most as many sources as there are lanes to every vertex, `[sources, V]`.
    fn distances(&self, sources: &[u32]) -> Vec<Vec<f64>> {
        match self {
            Geodesics::Heat(heat) => {
                let lanes = heat.lanes(sources);
                (0..sources.len()).map(|lane| lanes.iter().map(|of| of[lane]).collect()).collect()
            }
            Geodesics::Graph(graph) => sources.iter().map(|&source| graph.distances(source)).collect(),
        }
    }
}

impl Scores {
    /// The part of every face, or P, "unknown", of what no box shows, `[F]`.
    pub fn labels(&self) -> Vec<i32> {
        scores::cpu::labels(&self.of_face, self.parts)
    }

    /// The part of every vertex: that of the last face that has it; P = "unknown", -1 = of no face, `[V]`.
    pub fn of_vertices(&self, surface: &Surface) -> Vec<i32> {
        let labels = self.labels();
        surface
            .last_faces()
            .into_iter()
            .map(|face| usize::try_from(face).map_or(-1, |face| labels[face]))
            .collect()
    }

    /// The scores of places: those of the nearest vertex's last face, `[N, P]`. `points`: in the unit of the surface.
    pub fn of_points(&self, surface: &Surface, points: &[[f32; 3]]) -> Scores {
        let last = surface.last_faces();
        let row = |vertex: Option<u32>| match vertex {
            Some(vertex) => &self.of_face[last[vertex as usize] as usize * self.parts..][..self.parts],
            None => &[],
        };
        let mut of_face = Vec::with_capacity(points.len() * self.parts);
        for vertex in surface.nearest_of(&last, points) {
            let row = row(vertex);
            of_face.extend_from_slice(row);
            of_face.extend(std::iter::repeat_n(0.0, self.parts - row.len()));
        }
        Scores { parts: self.parts, of_face }
    }

    /// The mean scores of groups of rows, `[groups, P]`.
    pub fn means(&self, groups: &Ragged<u32>) -> Scores {
        let mut of_face = Vec::with_capacity(groups.len() * self.parts);
        for members in groups.rows() {
            let mut row = vec![0.0; self.parts];
            for &member in members {
                let scores = &self.of_face[member as usize * self.parts..][..self.parts];
                row.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
            }
            of_face.extend(row.into_iter().map(|sum| sum / members.len().max(1) as f64));
        }
        Scores { parts: self.parts, of_face }
    }
}
