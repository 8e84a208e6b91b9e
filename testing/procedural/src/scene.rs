//! A shape under construction, and the sampling of its visible surface.

use crate::{
    material::{Light, Material},
    rng::Rng,
    solid::{Solid, Triangle},
};
use glam::{DAffine3, DQuat, DVec3};

/// Solids placed in space, each with a material, a part label and an instance.
#[derive(Debug)]
pub struct Scene {
    parts: &'static [&'static str],
    furnished: bool,
    frame: DAffine3,
    label: i32,
    instance: i32,
    instances: i32,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    solid: Solid,
    frame: DAffine3,
    /// None: nothing to see, it only hides what lies in it.
    material: Option<Material>,
    label: i32,
    instance: i32,
}

/// A point of the surface.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Where it lies.
    pub position: DVec3,
    /// Red, green, blue in [0, 1].
    pub color: [f32; 3],
    /// Index into the category's parts, -1 = none.
    pub label: i32,
    /// Instance, unique in the shape, -1 = none.
    pub instance: i32,
}

impl Scene {
    /// An empty scene whose labels are indices into `parts`.
    pub fn new(parts: &'static [&'static str]) -> Scene {
        Scene {
            parts,
            furnished: false,
            frame: DAffine3::IDENTITY,
            label: -1,
            instance: -1,
            instances: 0,
            pieces: vec![],
        }
    }

    /// The scene, to be built with what shut doors and drawers hide.
    pub fn furnished(self) -> Scene {
        Scene { furnished: true, ..self }
    }

    /// Whether what shut doors and drawers hide is wanted.
    pub fn is_furnished(&self) -> bool {
        self.furnished
    }

    /// What `build` puts belongs to one new instance of a part; to no part if the category does not know the name.
    pub fn part(&mut self, name: &str, build: impl FnOnce(&mut Scene)) {
        let outer = (self.label, self.instance);
        (self.label, self.instance) = match self.parts.iter().position(|&part| part == name) {
            Some(label) => {
                self.instances += 1;
                (label as i32, self.instances - 1)
            }
            None => (-1, -1),
        };
        build(self);
        (self.label, self.instance) = outer;
    }

    /// What `build` puts is moved by `offset`.
    pub fn at(&mut self, offset: DVec3, build: impl FnOnce(&mut Scene)) {
        self.within(DAffine3::from_translation(offset), build);
    }

    /// What `build` puts is turned around an axis through the origin.
    pub fn turn(&mut self, axis: DVec3, degrees: f64, build: impl FnOnce(&mut Scene)) {
        self.within(DAffine3::from_quat(DQuat::from_axis_angle(axis, degrees.to_radians())), build);
    }

    /// What `build` puts is mirrored and stretched.
    pub fn scale(&mut self, factors: DVec3, build: impl FnOnce(&mut Scene)) {
        self.within(DAffine3::from_scale(factors), build);
    }

    fn within(&mut self, inner: DAffine3, build: impl FnOnce(&mut Scene)) {
        let outer = self.frame;
        self.frame = outer * inner;
        build(self);
        self.frame = outer;
    }

    /// Adds a solid, its origin at `center`.
    pub fn put(&mut self, center: DVec3, solid: Solid, material: &Material) {
        self.push(center, solid, Some(*material));
    }

    /// Leaves out every surface inside a solid: what no one sees from outside, such as the inside of a shut cabinet.
    pub fn hide(&mut self, center: DVec3, solid: Solid) {
        self.push(center, solid, None);
    }

    fn push(&mut self, center: DVec3, solid: Solid, material: Option<Material>) {
        let frame = self.frame * DAffine3::from_translation(center);
        let (label, instance) = (self.label, self.instance);
        self.pieces.push(Piece { solid, frame, material, label, instance });
    }

    /// All triangles of what can be seen, wound outwards, each with a colour, a label and an instance.
    pub fn triangles(&self) -> Vec<(Triangle, [f32; 3], i32, i32)> {
        let mut all = vec![];
        for piece in &self.pieces {
            let Some(material) = &piece.material else { continue };
            let mirrored = piece.frame.matrix3.determinant() < 0.0;
            for local in piece.solid.triangles() {
                let [a, b, c] = local.map(|p| piece.frame.transform_point3(p));
                let triangle = if mirrored { [a, c, b] } else { [a, b, c] };
                all.push((triangle, material.base(), piece.label, piece.instance));
            }
        }
        all
    }

    /// `count` points, uniform over the surface that lies in no other solid, and `inside` times as dense on the surface
    /// that does.
    pub fn sample(&self, rng: &mut Rng, light: &Light, count: usize, inside: f64) -> Vec<Sample> {
        let meshes: Vec<Vec<Triangle>> = self.pieces.iter().map(|piece| piece.solid.triangles()).collect();
        let mut triangles = Vec::new();
        let mut areas = vec![0.0];
        for (owner, (piece, mesh)) in self.pieces.iter().zip(&meshes).enumerate() {
            let Some(material) = piece.material else { continue };
            for local in mesh {
                let world = local.map(|p| piece.frame.transform_point3(p));
                let across = (world[1] - world[0]).cross(world[2] - world[0]);
                let outward = piece.frame.matrix3.determinant().signum();
                triangles.push((owner, material, *local, world, outward * across.normalize_or_zero()));
                areas.push(areas[areas.len() - 1] + across.length());
            }
        }
        let obstacles: Vec<Obstacle> =
            self.pieces.iter().zip(&meshes).map(|(p, m)| Obstacle::new(p, m)).collect();
        let total = areas[areas.len() - 1];
        let mut samples = Vec::with_capacity(count);
        let mut tries = 0;
        while samples.len() < count {
            tries += 1;
            let at = rng.unit() * total;
            let triangle = areas.partition_point(|&area| area <= at).clamp(1, triangles.len()) - 1;
            let (owner, material, local, world, normal) = &triangles[triangle];
            let (mut u, mut v) = (rng.unit(), rng.unit());
            if u + v > 1.0 {
                (u, v) = (1.0 - u, 1.0 - v);
            }
            let on = |t: &Triangle| t[0] + (t[1] - t[0]) * u + (t[2] - t[0]) * v;
            let position = on(world);
            let buried = obstacles.iter().enumerate().any(|(i, o)| i != *owner && o.contains(position));
            let kept = !buried || (inside > 0.0 && rng.chance(inside));
            if !kept && tries < 50 * count {
                continue;
            }
            let piece = &self.pieces[*owner];
            let color = light.color(rng, material, on(local), position, *normal);
            samples.push(Sample { position, color, label: piece.label, instance: piece.instance });
        }
        samples
    }
}

/// A solid that hides what lies in it.
struct Obstacle<'a> {
    solid: &'a Solid,
    low: DVec3,
    high: DVec3,
    inverse: DAffine3,
    margin: f64,
}

impl Obstacle<'_> {
    fn new<'a>(piece: &'a Piece, mesh: &[Triangle]) -> Obstacle<'a> {
        let corners = || mesh.iter().flatten().map(|&p| piece.frame.transform_point3(p));
        let low = corners().fold(DVec3::INFINITY, DVec3::min);
        let high = corners().fold(DVec3::NEG_INFINITY, DVec3::max);
        let margin = 1e-4 * (high - low).max_element();
        Obstacle { solid: &piece.solid, low, high, inverse: piece.frame.inverse(), margin }
    }

    fn contains(&self, p: DVec3) -> bool {
        p.cmpgt(self.low).all()
            && p.cmplt(self.high).all()
            && self.solid.contains(self.inverse.transform_point3(p), self.margin)
    }
}
