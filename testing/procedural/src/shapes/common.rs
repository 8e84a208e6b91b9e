//! Legs, handles, doors, drawers, wheels: what many categories share.

use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, rod, tube},
};
use glam::{DVec3, dvec2, dvec3};

/// The origin.
pub const HERE: DVec3 = DVec3::ZERO;

/// A point.
pub fn at(x: f64, y: f64, z: f64) -> DVec3 {
    dvec3(x, y, z)
}

/// How the legs of a piece of furniture look.
#[derive(Debug, Clone, Copy)]
pub enum Leg {
    /// Square, from one width to another.
    Square(f64, f64),
    /// Round, from one radius to another.
    Round(f64, f64),
    /// Turned on a lathe, around a radius.
    Turned(f64, u64),
}

impl Leg {
    /// A style for legs about `width` wide.
    pub fn random(rng: &mut Rng, width: f64) -> Leg {
        let taper = if rng.chance(0.5) { 1.0 } else { rng.range(0.4, 0.9) };
        match rng.int(0, 4) {
            0..=2 => Leg::Square(width, width * taper),
            3 => Leg::Round(0.5 * width, 0.5 * width * taper),
            _ => Leg::Turned(0.55 * width, rng.next()),
        }
    }

    /// A leg from `top` down to `bottom`.
    pub fn put(self, s: &mut Scene, top: DVec3, bottom: DVec3, m: &Material) {
        match self {
            Leg::Square(above, below) => s.put(HERE, beam(top, bottom, above, below), m),
            Leg::Round(above, below) => s.put(HERE, rod(top, bottom, above, below), m),
            Leg::Turned(radius, seed) => {
                let mut rng = Rng::new(seed);
                let rings = rng.int(4, 9);
                let path: Vec<DVec3> =
                    (0..=3 * rings).map(|i| top.lerp(bottom, i as f64 / (3 * rings) as f64)).collect();
                let mut widths: Vec<f64> = (0..rings).map(|_| radius * rng.range(0.45, 1.2)).collect();
                widths.insert(0, radius);
                let radii = (0..path.len()).map(|i| {
                    let (k, t) = (i / 3, (i % 3) as f64 / 3.0);
                    widths[k] + (widths[(k + 1).min(rings)] - widths[k]) * t * t
                });
                s.put(HERE, solid::Solid::Tube { radii: radii.collect(), path, closed: false }, m);
            }
        }
    }
}

/// A square bar from `a` to `b`, from one width to another.
pub fn beam(a: DVec3, b: DVec3, from: f64, to: f64) -> solid::Solid {
    solid::Solid::Beam { a, b, from, to }
}

/// How the handles of one shape look.
#[derive(Debug, Clone, Copy)]
pub struct Handle {
    kind: usize,
    length: f64,
    width: f64,
    reach: f64,
    material: Material,
}

impl Handle {
    /// A style for fronts about `size` large.
    pub fn random(rng: &mut Rng, size: f64) -> Handle {
        let kind = rng.int(0, 5);
        let width = size * rng.range(0.03, 0.11);
        let length = size * if kind == 0 { 0.1 } else { rng.range(0.15, 0.5) };
        let material = match rng.int(0, 4) {
            0 => Material::plastic(rng),
            1 => Material::dark(rng),
            _ => Material::metal(rng),
        };
        Handle { kind, length, width, reach: width * rng.range(1.2, 2.5), material }
    }

    /// A pull of a given length.
    pub fn bar(rng: &mut Rng, length: f64, width: f64) -> Handle {
        let handle = Handle::random(rng, 1.0);
        Handle { kind: rng.int(1, 4), length, width, reach: width * rng.range(1.5, 2.5), ..handle }
    }

    /// A handle on the plane z = 0, along x (or y if `upright`), as one instance of "handle".
    pub fn put(&self, s: &mut Scene, center: DVec3, upright: bool, room: f64) {
        let m = self.material;
        let (w, reach) = (self.width, self.reach);
        let half = (self.length / 2.0).min(0.45 * room);
        s.part("handle", |s| {
            s.at(center, |s| {
                s.turn(DVec3::Z, if upright { 90.0 } else { 0.0 }, |s| match self.kind {
                    0 => s.turn(DVec3::X, 90.0, |s| {
                        let knob = solid::turned(&[
                            (0.35 * w, 0.0),
                            (0.3 * w, 0.6 * reach),
                            (w, 0.8 * reach),
                            (0.8 * w, 1.2 * reach),
                            (0.3 * w, 1.3 * reach),
                        ]);
                        s.put(HERE, knob, &m);
                    }),
                    1 => {
                        s.put(
                            at(0.0, 0.0, reach),
                            rod(at(-half, 0.0, 0.0), at(half, 0.0, 0.0), 0.4 * w, 0.4 * w),
                            &m,
                        );
                        for x in [-0.8 * half, 0.8 * half] {
                            s.put(HERE, rod(at(x, 0.0, 0.0), at(x, 0.0, reach), 0.3 * w, 0.3 * w), &m);
                        }
                    }
                    2 => {
                        let path = [
                            at(-half, 0.0, 0.0),
                            at(-0.85 * half, 0.0, 0.8 * reach),
                            at(0.0, 0.0, 1.1 * reach),
                            at(0.85 * half, 0.0, 0.8 * reach),
                            at(half, 0.0, 0.0),
                        ];
                        s.put(HERE, tube(&path, 0.4 * w), &m);
                    }
                    3 => {
                        s.put(at(0.0, 0.0, reach), block(2.0 * half, w, 0.5 * w, 0.1 * w), &m);
                        for x in [-half + 0.4 * w, half - 0.4 * w] {
                            s.put(at(x, 0.0, reach / 2.0), block(0.8 * w, w, reach, 0.0), &m);
                        }
                    }
                    4 => s.put(at(0.0, 0.0, reach / 2.0), block(2.0 * half, 0.8 * w, reach, 0.2 * w), &m),
                    _ => {
                        s.put(
                            at(0.0, 0.0, 0.1 * w),
                            solid::plate(solid::rounded(2.0 * half, 1.8 * w, 0.6 * w), 0.2 * w),
                            &m,
                        );
                        s.put(at(0.0, 0.0, 0.4 * w), solid::ring(dvec2(0.6 * half, 0.7 * w), 0.25 * w), &m);
                    }
                });
            });
        });
    }
}

/// How the doors and drawer fronts of one shape look.
#[derive(Debug, Clone, Copy)]
pub struct Front {
    kind: usize,
    border: f64,
    /// Of the panel.
    pub material: Material,
    inset: Material,
}

impl Front {
    /// A style: flat, framed, with a raised or sunken field, of glass.
    pub fn random(rng: &mut Rng, material: Material) -> Front {
        let inset = match rng.int(0, 3) {
            0 => Material::any(rng),
            1 => Material::glass(rng),
            _ => material.shaded(rng.range(0.75, 1.15)),
        };
        Front { kind: rng.int(0, 3), border: rng.range(0.08, 0.2), material, inset }
    }

    /// Flat or with a raised field, all of one material.
    pub fn solid(rng: &mut Rng, material: Material) -> Front {
        Front { kind: rng.int(0, 1), border: rng.range(0.08, 0.2), material, inset: material }
    }

    /// A flat one.
    pub fn plain(material: Material) -> Front {
        Front { kind: 0, border: 0.0, material, inset: material }
    }

    /// A panel in front of the plane z = 0, centred, `t` thick.
    pub fn put(&self, s: &mut Scene, w: f64, h: f64, t: f64) {
        let border = self.border * w.min(h).min(0.5 * w.max(h));
        let (iw, ih) = (w - 2.0 * border, h - 2.0 * border);
        match self.kind {
            0 => s.put(at(0.0, 0.0, t / 2.0), block(w, h, t, 0.1 * t), &self.material),
            1 => {
                s.put(at(0.0, 0.0, t / 2.0), block(w, h, t, 0.1 * t), &self.material);
                s.put(at(0.0, 0.0, t), block(iw, ih, 0.5 * t, 0.2 * t), &self.material.shaded(1.05));
            }
            _ => {
                s.put(at(0.0, 0.0, 0.3 * t), block(iw, ih, 0.3 * t, 0.0), &self.inset);
                for sign in [-1.0, 1.0] {
                    s.put(
                        at(sign * (w - border) / 2.0, 0.0, t / 2.0),
                        block(border, h, t, 0.1 * t),
                        &self.material,
                    );
                    s.put(
                        at(0.0, sign * (h - border) / 2.0, t / 2.0),
                        block(iw, border, t, 0.1 * t),
                        &self.material,
                    );
                }
                if self.kind == 3 && w > 0.3 * h {
                    s.put(at(0.0, 0.0, 0.4 * t), block(iw, 0.5 * border, 0.6 * t, 0.0), &self.material);
                }
            }
        }
    }
}

/// Swings what `build` puts (centred, `w` wide) around a vertical hinge on its left or right edge.
pub fn hinged(s: &mut Scene, w: f64, left: bool, degrees: f64, build: impl FnOnce(&mut Scene)) {
    let x = if left { -w / 2.0 } else { w / 2.0 };
    s.at(at(x, 0.0, 0.0), |s| {
        s.turn(DVec3::Y, if left { -degrees } else { degrees }, |s| s.at(at(-x, 0.0, 0.0), build));
    });
}

/// A door in the opening z = 0, `w` by `h`, with its handle on the side away from the hinge.
pub fn door(s: &mut Scene, front: &Front, handle: Option<&Handle>, w: f64, h: f64, left: bool, degrees: f64) {
    let t = 0.03 * w.max(h).min(2.0 * w.min(h));
    hinged(s, w, left, degrees, |s| {
        s.part("door", |s| {
            front.put(s, w, h, t);
            if let Some(handle) = handle {
                let x = w * if left { 0.42 } else { -0.42 };
                handle.put(s, at(x, 0.0, t), true, h);
            }
        });
    });
}

/// A drawer in the opening z = 0, pulled out by `open`, its box `depth` deep.
pub fn drawer(
    s: &mut Scene,
    front: &Front,
    handle: Option<(&Handle, usize)>,
    w: f64,
    h: f64,
    depth: f64,
    open: f64,
) {
    let t = 0.025 * w.max(h).min(3.0 * w.min(h));
    s.at(at(0.0, 0.0, open), |s| {
        s.part("drawer", |s| {
            front.put(s, w, h, t);
            if open > 0.0 || s.is_furnished() {
                let inner = front.material.shaded(0.9);
                for x in [-0.46 * w, 0.46 * w] {
                    s.put(at(x, -0.05 * h, -depth / 2.0), block(t, 0.75 * h, depth, 0.0), &inner);
                }
                s.put(at(0.0, -0.4 * h, -depth / 2.0), block(0.92 * w, t, depth, 0.0), &inner);
                s.put(at(0.0, -0.05 * h, -depth), block(0.92 * w, 0.75 * h, t, 0.0), &inner);
            }
            if let Some((handle, count)) = handle {
                for i in 0..count {
                    let x = (i as f64 + 0.5) / count as f64 - 0.5;
                    handle.put(s, at(x * w, 0.0, t), false, w / count as f64);
                }
            }
        });
    });
}

/// Two sides, a floor, a lid and a back around a hollow of `w` by `h` by `d`, open towards +z.
pub fn carcass(s: &mut Scene, w: f64, h: f64, d: f64, wall: f64, m: &Material, back: &Material) {
    s.put(at(0.0, (h - wall) / 2.0, 0.0), block(w - 2.0 * wall, wall, d, 0.0), m);
    trough(s, w, h, d, wall, m, back);
}

/// A carcass without its lid.
pub fn trough(s: &mut Scene, w: f64, h: f64, d: f64, wall: f64, m: &Material, back: &Material) {
    for sign in [-1.0, 1.0] {
        s.put(at(sign * (w - wall) / 2.0, 0.0, 0.0), block(wall, h, d, 0.0), m);
    }
    s.put(at(0.0, (wall - h) / 2.0, 0.0), block(w - 2.0 * wall, wall, d, 0.0), m);
    s.put(at(0.0, 0.0, (wall - d) / 2.0), block(w - 2.0 * wall, h - 2.0 * wall, wall, 0.0), back);
}

/// How the wheels of one shape look.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    radius: f64,
    width: f64,
    twin: bool,
    tyre: Material,
    hub: Material,
}

impl Wheel {
    /// A style for wheels of a radius.
    pub fn random(rng: &mut Rng, radius: f64) -> Wheel {
        let tyre = if rng.chance(0.75) { Material::dark(rng) } else { Material::plastic(rng) };
        let hub = if rng.chance(0.5) { Material::metal(rng) } else { Material::plastic(rng) };
        Wheel { radius, width: radius * rng.range(0.4, 0.9), twin: rng.chance(0.4), tyre, hub }
    }

    /// A wheel around the x axis through `center`.
    pub fn put(&self, s: &mut Scene, center: DVec3) {
        let (r, w) = (self.radius, self.width);
        s.at(center, |s| {
            s.turn(DVec3::Z, 90.0, |s| {
                if self.twin {
                    for y in [-0.55 * w, 0.55 * w] {
                        s.put(at(0.0, y, 0.0), cylinder(r, 0.8 * w, 0.15 * w), &self.tyre);
                    }
                    s.put(HERE, cylinder(0.4 * r, w, 0.0), &self.hub);
                } else {
                    s.put(HERE, cylinder(r, w, 0.3 * w), &self.tyre);
                    s.put(HERE, cylinder(0.6 * r, 1.06 * w, 0.05 * w), &self.hub);
                    s.put(HERE, cylinder(0.15 * r, 1.3 * w, 0.0), &self.tyre);
                }
            });
        });
    }

    /// A castor: a wheel as an instance of "wheel" below `top`, with its fork, turned to a random side.
    pub fn castor(&self, s: &mut Scene, rng: &mut Rng, top: DVec3, drop: f64) {
        let turn = rng.range(0.0, 360.0);
        s.at(top, |s| {
            s.turn(DVec3::Y, turn, |s| {
                s.part("wheel", |s| {
                    s.put(
                        HERE,
                        rod(HERE, at(0.0, -0.5 * drop, 0.0), 0.25 * self.radius, 0.25 * self.radius),
                        &self.hub,
                    );
                    let hood = at(0.0, -drop + self.radius, 0.15 * self.radius);
                    s.put(
                        hood,
                        block(0.5 * self.width, 1.3 * self.radius, 1.3 * self.radius, 0.2 * self.radius),
                        &self.hub,
                    );
                    self.put(s, at(0.0, self.radius - drop, 0.15 * self.radius));
                });
            });
        });
    }
}

/// A round knob on the plane z = 0.
pub fn knob(
    s: &mut Scene,
    center: DVec3,
    radius: f64,
    reach: f64,
    kind: usize,
    m: &Material,
    mark: &Material,
) {
    s.at(center, |s| {
        s.turn(DVec3::X, 90.0, |s| match kind {
            0 => s.put(at(0.0, reach / 2.0, 0.0), cylinder(radius, reach, 0.2 * radius), m),
            1 => s.put(
                HERE,
                solid::turned(&[
                    (radius, 0.0),
                    (radius, 0.3 * reach),
                    (0.75 * radius, 0.4 * reach),
                    (0.7 * radius, reach),
                ]),
                m,
            ),
            _ => {
                s.put(at(0.0, 0.15 * reach, 0.0), cylinder(radius, 0.3 * reach, 0.1 * reach), m);
                s.put(at(0.0, reach / 2.0, 0.0), block(0.4 * radius, reach, 1.7 * radius, 0.1 * radius), m);
            }
        });
        s.put(
            at(0.0, 0.6 * radius, 1.01 * reach),
            block(0.12 * radius, 0.5 * radius, 0.02 * radius, 0.0),
            mark,
        );
    });
}
