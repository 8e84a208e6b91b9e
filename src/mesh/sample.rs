//! Points on a surface, drawn by area.

use super::{
    Options,
    colors::{self, Spot},
    spread::spread,
    tree::{Tree, cross, dot, minus},
};
use crate::{
    error::{Error, Result, in_range},
    io::{meshes::Mesh, points::PointCloud},
    ops::basic::random::{Random, mix},
};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Points on a mesh.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Their places and colours, in the file's unit; `intensities` are shades by the direction of the surface.
    pub points: PointCloud,
    /// The triangle that each lies on, `[N]`.
    pub triangles: Vec<u32>,
    /// About how far one is from the next, in the file's unit: the root of a point's share of the surface.
    pub gap: f64,
}

/// The usual numbers of points.
const USUAL: RangeInclusive<usize> = 80_000..=320_000;
/// The radius of a point's disc in the usual views, the cloud's being 1 (`stages::views`).
const DISC: f64 = 0.005;
/// Discs of this share of the gap between their middles leave hardly a hole: a cube shows 2 or 3 % of what lies behind.
const SOLID: f64 = 0.82;
/// Draw this many times what the pilot estimates, whose own error is about 1 %.
const SPARE: f64 = 1.03;

impl Sampled {
    /// How many points discs of a radius, in the file's unit, need to leave hardly a hole in views of the surface; None if these do.
    pub fn too_few_for(&self, radius: f64) -> Option<usize> {
        let needed = (SOLID * self.gap / radius).powi(2) * self.triangles.len() as f64;
        (needed > self.triangles.len() as f64).then_some(needed.ceil() as usize)
    }
}

/// Directions from all around, in which a point is looked for.
const DIRECTIONS: usize = 64;
/// A point is seen from outside if that many of them are free.
const FREE: usize = 2;
/// Places tried for a point at most.
const TRIES: usize = 64;
/// Places that tell how much of the surface has points.
const PILOT: usize = 4096;
/// Of the unit of the surface's extent: what lies closer lies at the same place.
const HAIR: f64 = 1e-6;

impl Mesh {
    /// Draws points evenly on the surface, a few of many places, none close to another.
    ///
    /// - **Faces that lie on each other** are one surface: a place counts once, for the triangle that comes first. If they
    ///   face opposite ways, as SketchUp writes front and back, the first one's colour is taken, unless the other side
    ///   is free in more than twice as many directions.
    /// - **Hidden places**, free in fewer than 2 of 64 directions, have no points, unless `options.hidden`.
    /// - **Colours** are those of the texture (between pixels, as the file's 8 bits say), the face, the vertex or the
    ///   material, the first there is. In glTF files texture, vertex and material multiply as light. What the alpha of a
    ///   material cuts out has no points. Light, gloss and the like do not count.
    /// - A surface **of one colour or none** would show its outline alone: it is shaded, by the direction of its faces.
    ///
    /// The same bits on every machine and for any number of threads.
    ///
    /// # Errors
    /// [`Error::Invalid`] without points to draw or if the surface has no area.
    pub fn sample(&self, options: &Options) -> Result<Sampled> {
        let points = options.points.unwrap_or(1);
        in_range((1..=i32::MAX as usize).contains(&points), "mesh.points", points, "from 1 to 2^31 - 1")?;
        let surface = Surface::of(self)?;
        let mut warnings = self.warnings.clone();
        let pilot = surface.pilot(options);
        let wanted = options.points.unwrap_or(USUAL.start().max(&pilot.solid).min(USUAL.end()).to_owned());
        let mut drawn = surface.draw(wanted, &pilot, options);
        if drawn.len() < wanted {
            warnings.push(format!(
                "{} of {} points were found: most of the surface is hidden within (option mesh.hidden draws there too).",
                drawn.len(),
                wanted
            ));
        }
        if drawn.is_empty() {
            return Err(Error::invalid("no point of the surface is seen from outside (option mesh.hidden)"));
        }
        // Before points on transparent places are dropped: that does not spread out the rest.
        let gap = (pilot.seen * surface.area() / drawn.len() as f64).sqrt();
        let looks: Vec<Spot> = drawn.iter().map(|point| point.look).collect();
        let (mut found, missing) = colors::colors(self, &looks);
        warnings.extend(missing);
        let is_there = |look: &Spot, color: &Option<[f32; 4]>| {
            let face = self.face_of[look.triangle as usize] as usize;
            let material = usize::try_from(self.material_of.get(face).copied().unwrap_or(-1)).ok();
            let cutoff = material.and_then(|m| self.materials.get(m)?.alpha_cutoff).unwrap_or(0.0);
            color.is_none_or(|[.., alpha]| alpha >= cutoff)
        };
        let there: Vec<bool> = looks.iter().zip(&found).map(|(look, color)| is_there(look, color)).collect();
        if there.contains(&true) {
            let mut keep = there.iter();
            drawn.retain(|_| *keep.next().expect("as many"));
            let mut keep = there.iter();
            found.retain(|_| *keep.next().expect("as many"));
        } else {
            warnings.push("All of the surface is transparent: it is drawn as if it were not.".into());
        }
        let shades: Vec<f32> = drawn.iter().map(|point| shade(surface.normal(point.look.triangle))).collect();
        let first = found[0].map(|[r, g, b, _]| [r, g, b]);
        let plain = found.iter().all(|color| color.map(|[r, g, b, _]| [r, g, b]) == first);
        let colors = match plain {
            true => {
                let what = if first.is_some() { "has one colour" } else { "has no colours" };
                warnings.push(format!("The mesh {what}: it is shaded by the direction of its faces."));
                // Black would hide its own shades.
                let color = first.unwrap_or([1.0; 3]).map(|c| c.max(0.25));
                shades.iter().map(|shade| color.map(|c| c * shade)).collect()
            }
            false => found.iter().map(|color| color.map_or([0.8; 3], |[r, g, b, _]| [r, g, b])).collect(),
        };
        let points = PointCloud {
            positions: drawn.iter().map(|point| point.place).collect(),
            colors,
            intensities: shades,
            warnings,
            ..PointCloud::default()
        };
        Ok(Sampled { points, triangles: drawn.iter().map(|point| point.triangle).collect(), gap })
    }
}

/// A lamp from above in front, on either side of the surface; as greys of clouds.
fn shade(normal: [f64; 3]) -> f32 {
    (0.2 + 0.65 * dot(normal, [0.36, 0.8, 0.48]).abs()).clamp(0.0, 1.0) as f32
}

/// A point that was drawn.
struct Drawn {
    place: [f64; 3],
    /// The first of the triangles that lie there.
    triangle: u32,
    /// The one that shows.
    look: Spot,
}

struct Pilot {
    /// The share of the surface that has points.
    seen: f64,
    /// How many points leave no holes in the usual views.
    solid: usize,
}

struct Surface<'a> {
    mesh: &'a Mesh,
    /// Twice the area of all triangles before, `[T + 1]`.
    areas: Vec<f64>,
    tree: Tree,
    directions: Vec<[f64; 3]>,
    /// What lies closer lies at the same place.
    reach: f64,
}

impl<'a> Surface<'a> {
    fn of(mesh: &'a Mesh) -> Result<Surface<'a>> {
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        let mut areas = vec![0.0];
        for t in 0..mesh.triangles.len() {
            let [a, b, c] = mesh.corners(t);
            for p in [a, b, c] {
                low = [0, 1, 2].map(|axis| low[axis].min(p[axis]));
                high = [0, 1, 2].map(|axis| high[axis].max(p[axis]));
            }
            let across = cross(minus(b, a), minus(c, a));
            areas.push(areas[t] + dot(across, across).sqrt());
        }
        let total = areas[areas.len() - 1];
        if !(total > 0.0 && total.is_finite()) {
            return Err(Error::invalid(format!("the mesh has an area of {total}; scale its coordinates")));
        }
        let extent = minus(high, low);
        let farthest = low.iter().chain(&high).fold(0.0f64, |most, x| most.max(x.abs()));
        // Sums of places far from the origin are rounded.
        let reach = (HAIR * dot(extent, extent).sqrt()).max(1e-15 * farthest);
        let tree = Tree::new(mesh.triangles.len(), |t| mesh.corners(t));
        Ok(Surface { mesh, areas, tree, directions: directions(), reach })
    }

    fn normal(&self, triangle: u32) -> [f64; 3] {
        let [a, b, c] = self.mesh.corners(triangle as usize);
        let across = cross(minus(b, a), minus(c, a));
        let length = dot(across, across).sqrt();
        across.map(|x| x / length)
    }

    fn area(&self) -> f64 {
        self.areas[self.areas.len() - 1] / 2.0
    }

    /// What a few points tell of the surface.
    fn pilot(&self, options: &Options) -> Pilot {
        let few = self.judged(self.places(options.seed, u64::MAX, PILOT), options.hidden);
        let mut middle = [0.0; 3];
        for point in &few {
            (0..3).for_each(|axis| middle[axis] += point.place[axis] / few.len() as f64);
        }
        let away = |point: &Drawn| {
            let d = minus(point.place, middle);
            dot(d, d).sqrt()
        };
        let radius = few.iter().map(away).fold(f64::MIN_POSITIVE, f64::max);
        let seen = few.len() as f64 / PILOT as f64;
        let solid = seen * self.area() * (SOLID / (DISC * radius)).powi(2);
        Pilot { seen, solid: (SPARE * solid).ceil() as usize }
    }

    /// As many points as wanted, if the surface gives them.
    fn draw(&self, wanted: usize, pilot: &Pilot, options: &Options) -> Vec<Drawn> {
        // As many as will do at this rate, with some to spare; of four times as many, none close to another.
        let rate = pilot.seen.max(4.0 / TRIES as f64);
        let needed = (wanted as f64 / rate * 1.02) as usize + 16;
        let places = self.places(options.seed, 0, (4 * needed).min(TRIES / 4 * wanted).max(needed));
        let facing: Vec<_> =
            places.iter().map(|(place, spot)| (*place, self.normal(spot.triangle))).collect();
        let chosen = spread(&facing, needed, self.area());
        let mut drawn = self.judged(chosen.into_iter().map(|i| places[i]).collect(), options.hidden);
        let mut tried = needed;
        while drawn.len() < wanted && tried < TRIES * wanted {
            let count = ((wanted - drawn.len()) * tried / drawn.len().max(1) * 21 / 20 + 64).min(4 * wanted);
            drawn.extend(self.judged(self.places(options.seed, tried as u64, count), options.hidden));
            tried += count;
        }
        // Too many are thinned out evenly.
        let (n, mut i) = (drawn.len().max(1), 0);
        let keep = wanted.min(n);
        drawn.retain(|_| {
            i += 1;
            i * keep / n > (i - 1) * keep / n
        });
        drawn
    }

    fn places(&self, seed: u64, round: u64, count: usize) -> Vec<([f64; 3], Spot)> {
        (0..count).into_par_iter().map(|i| self.place(seed, round, i, count)).collect()
    }

    fn judged(&self, places: Vec<([f64; 3], Spot)>, hidden: bool) -> Vec<Drawn> {
        let judge = |near: &mut _, (place, spot)| self.judge(place, spot, hidden, near);
        let judged: Vec<Option<Drawn>> = places.into_par_iter().map_init(Vec::new, judge).collect();
        judged.into_iter().flatten().collect()
    }

    /// The place of the i-th of `count` equal shares of the area.
    fn place(&self, seed: u64, round: u64, i: usize, count: usize) -> ([f64; 3], Spot) {
        let random = |k: u64| Random(seed ^ mix(round ^ mix(3 * i as u64 + k))).uniform();
        let at = (i as f64 + random(0)) / count as f64 * self.areas[self.areas.len() - 1];
        let triangle = self.areas.partition_point(|&area| area <= at).clamp(1, self.areas.len() - 1) - 1;
        let (root, v) = (random(1).sqrt(), random(2));
        let weights = [1.0 - root, root * (1.0 - v), root * v];
        let corners = self.mesh.corners(triangle);
        let along = |axis: usize| (0..3).map(|corner| weights[corner] * corners[corner][axis]).sum();
        ([0, 1, 2].map(along), Spot { triangle: triangle as u32, weights })
    }

    /// The point, unless another triangle has it or no one sees it.
    fn judge(&self, place: [f64; 3], spot: Spot, hidden: bool, near: &mut Vec<(u32, bool)>) -> Option<Drawn> {
        let normal = self.normal(spot.triangle);
        self.tree.at(place, normal, self.reach, near);
        if near.first().is_some_and(|&(first, _)| first < spot.triangle) {
            return None;
        }
        let back = near.iter().find(|(_, same)| !same).map(|&(triangle, _)| triangle);
        let mut look = spot;
        let mut free = [0, 0];
        if !hidden || back.is_some() {
            for &along in &self.directions {
                if !self.tree.meets(place, along, self.reach) {
                    free[usize::from(dot(along, normal) < 0.0)] += 1;
                    if back.is_none() && free[0] + free[1] == FREE {
                        break;
                    }
                }
            }
            if !hidden && free[0] + free[1] < FREE {
                return None;
            }
        }
        if let Some(back) = back.filter(|_| free[1] > 2 * free[0]) {
            look = Spot { triangle: back, weights: self.weights(place, back) };
        }
        Some(Drawn { place, triangle: spot.triangle, look })
    }

    /// Of the corners of a triangle, at a place on it.
    fn weights(&self, place: [f64; 3], triangle: u32) -> [f64; 3] {
        let [a, b, c] = self.mesh.corners(triangle as usize);
        let (u, v, p) = (minus(b, a), minus(c, a), minus(place, a));
        let (uu, uv, vv) = (dot(u, u), dot(u, v), dot(v, v));
        let (pu, pv) = (dot(p, u), dot(p, v));
        let area = uu * vv - uv * uv;
        let (s, t) = ((pu * vv - pv * uv) / area, (pv * uu - pu * uv) / area);
        [1.0 - s - t, s, t]
    }
}

/// Evenly from all around, none along an axis; each next one far from the last.
fn directions() -> Vec<[f64; 3]> {
    // The cosine and the sine of the golden angle, written out: those of machines differ.
    const TURN: [f64; 2] = [-0.737_368_878_078_319_7, 0.675_490_294_261_523_8];
    let mut around = [0.8, 0.6];
    let spiral: Vec<[f64; 3]> = (0..DIRECTIONS)
        .map(|i| {
            let up = 1.0 - (2 * i + 1) as f64 / DIRECTIONS as f64;
            let wide = (1.0 - up * up).sqrt();
            around = [around[0] * TURN[0] - around[1] * TURN[1], around[0] * TURN[1] + around[1] * TURN[0]];
            [wide * around[0], up, wide * around[1]]
        })
        .collect();
    (0..DIRECTIONS).map(|i| spiral[i * 25 % DIRECTIONS]).collect()
}
