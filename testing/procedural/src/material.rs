//! Materials: colours, procedural textures and the light baked into the points.

use crate::rng::{Rng, mix};
use glam::{DVec3, dvec3};

/// How a surface looks.
#[derive(Debug, Clone, Copy)]
pub struct Material {
    color: DVec3,
    other: DVec3,
    texture: Texture,
    /// Texture periods in a unit of length.
    scale: f64,
    phase: DVec3,
    /// Share of a mirrored, made-up surrounding.
    gloss: f64,
}

#[derive(Debug, Clone, Copy)]
enum Texture {
    Plain,
    Wood(usize),
    Speckle,
    Stripes(usize),
    Clouds,
    Checks,
    Brushed(usize),
}

impl Material {
    /// One colour.
    pub fn plain(color: DVec3) -> Material {
        Material { color, other: color, texture: Texture::Plain, scale: 1.0, phase: DVec3::ZERO, gloss: 0.0 }
    }

    /// Its colour where no texture changes it.
    pub fn base(&self) -> [f32; 3] {
        self.color.to_array().map(|c| c.clamp(0.0, 1.0) as f32)
    }

    fn new(rng: &mut Rng, color: DVec3, other: DVec3, texture: Texture, scale: f64) -> Material {
        let phase = dvec3(rng.range(-50.0, 50.0), rng.range(-50.0, 50.0), rng.range(-50.0, 50.0));
        Material { color, other, texture, scale, phase, gloss: 0.0 }
    }

    /// Wood, from maple to ebony, sometimes stained.
    pub fn wood(rng: &mut Rng) -> Material {
        let color = if rng.chance(0.12) {
            hsv(rng.unit(), rng.range(0.2, 0.6), rng.range(0.3, 0.8))
        } else {
            hsv(rng.range(0.03, 0.11), rng.range(0.3, 0.85), rng.range(0.2, 0.95))
        };
        let axis = rng.int(0, 2);
        let contrast = rng.range(0.55, 0.95);
        let scale = rng.range(6.0, 25.0);
        Material::new(rng, color, color * contrast, Texture::Wood(axis), scale)
    }

    /// Steel, chrome, brass, black iron.
    pub fn metal(rng: &mut Rng) -> Material {
        let color = match rng.int(0, 5) {
            0 => hsv(rng.range(0.09, 0.14), rng.range(0.3, 0.6), rng.range(0.5, 0.9)),
            1 => DVec3::splat(rng.range(0.05, 0.3)),
            _ => hsv(rng.range(0.55, 0.65), rng.range(0.0, 0.12), rng.range(0.45, 0.9)),
        };
        let brushed = rng.chance(0.4);
        let axis = rng.int(0, 2);
        let texture = if brushed { Texture::Brushed(axis) } else { Texture::Plain };
        let (shade, scale) = (rng.range(0.6, 1.3), rng.range(1.0, 4.0));
        let gloss = rng.range(0.1, 0.6);
        Material { gloss, ..Material::new(rng, color, color * shade, texture, scale) }
    }

    /// Black, grey, white or coloured plastic, enamel or paint.
    pub fn plastic(rng: &mut Rng) -> Material {
        let color = match rng.int(0, 9) {
            0 | 1 => DVec3::splat(rng.range(0.02, 0.15)),
            2 | 3 => DVec3::splat(rng.range(0.75, 1.0)),
            4 => DVec3::splat(rng.range(0.2, 0.7)),
            5 => hsv(rng.unit(), rng.range(0.05, 0.3), rng.range(0.6, 1.0)),
            _ => hsv(rng.unit(), rng.range(0.4, 1.0), rng.range(0.25, 1.0)),
        };
        let gloss = if rng.chance(0.4) { rng.range(0.0, 0.25) } else { 0.0 };
        let texture = if rng.chance(0.15) { Texture::Clouds } else { Texture::Plain };
        Material { gloss, ..Material::new(rng, color, color * 0.85, texture, 4.0) }
    }

    /// Cloth or leather, plain or with a pattern.
    pub fn fabric(rng: &mut Rng) -> Material {
        let color = hsv(rng.unit(), rng.range(0.0, 0.8), rng.range(0.1, 0.95));
        let other = if rng.chance(0.3) {
            hsv(rng.unit(), rng.range(0.0, 0.8), rng.range(0.1, 0.95))
        } else {
            color * rng.range(0.7, 1.2)
        };
        let axis = rng.int(0, 2);
        let texture = rng.pick(&[
            Texture::Plain,
            Texture::Clouds,
            Texture::Speckle,
            Texture::Stripes(axis),
            Texture::Checks,
            Texture::Clouds,
        ]);
        let scale = rng.range(6.0, 30.0);
        Material::new(rng, color, other, texture, scale)
    }

    /// Marble, granite, terrazzo.
    pub fn stone(rng: &mut Rng) -> Material {
        let color = hsv(rng.unit(), rng.range(0.0, 0.2), rng.range(0.3, 0.95));
        let other = color * rng.range(0.5, 0.9);
        let texture = rng.pick(&[Texture::Clouds, Texture::Speckle]);
        let scale = rng.range(5.0, 20.0);
        Material::new(rng, color, other, texture, scale)
    }

    /// Nearly black rubber or plastic.
    pub fn dark(rng: &mut Rng) -> Material {
        Material::plain(
            DVec3::splat(rng.range(0.02, 0.2)) * dvec3(1.0, rng.range(0.9, 1.0), rng.range(0.9, 1.1)),
        )
    }

    /// Nearly white.
    pub fn light(rng: &mut Rng) -> Material {
        Material::plain(
            DVec3::splat(rng.range(0.75, 1.0)) * dvec3(1.0, rng.range(0.95, 1.0), rng.range(0.85, 1.0)),
        )
    }

    /// Window or screen: dark or pale, mirroring.
    pub fn glass(rng: &mut Rng) -> Material {
        let color = if rng.chance(0.6) {
            hsv(rng.range(0.5, 0.65), rng.range(0.0, 0.3), rng.range(0.03, 0.3))
        } else {
            hsv(rng.range(0.4, 0.6), rng.range(0.02, 0.2), rng.range(0.6, 0.95))
        };
        Material { gloss: rng.range(0.1, 0.4), ..Material::new(rng, color, color, Texture::Plain, 1.0) }
    }

    /// A picture, as screens show: big patches of colour.
    pub fn picture(rng: &mut Rng) -> Material {
        let color = hsv(rng.unit(), rng.range(0.2, 0.9), rng.range(0.1, 0.9));
        let other = hsv(rng.unit(), rng.range(0.2, 0.9), rng.range(0.3, 1.0));
        let scale = rng.range(5.0, 40.0);
        Material::new(rng, color, other, Texture::Clouds, scale)
    }

    /// Cardboard.
    pub fn carton(rng: &mut Rng) -> Material {
        let color = hsv(rng.range(0.06, 0.1), rng.range(0.35, 0.7), rng.range(0.4, 0.85));
        Material::new(rng, color, color * 0.92, Texture::Clouds, 8.0)
    }

    /// Any of them.
    pub fn any(rng: &mut Rng) -> Material {
        match rng.int(0, 9) {
            0..=2 => Material::wood(rng),
            3 | 4 => Material::metal(rng),
            5 => Material::fabric(rng),
            6 => Material::stone(rng),
            _ => Material::plastic(rng),
        }
    }

    /// The same material, darker (below 1) or brighter.
    pub fn shaded(&self, factor: f64) -> Material {
        Material { color: self.color * factor, other: self.other * factor, ..*self }
    }

    /// The colour at `p`, a point in the solid's own frame, before any light.
    fn albedo(&self, p: DVec3) -> DVec3 {
        let q = p * self.scale + self.phase;
        let mix = |t: f64| self.color.lerp(self.other, t.clamp(0.0, 1.0));
        match self.texture {
            Texture::Plain => self.color,
            Texture::Wood(axis) => {
                let mut along = q;
                along[axis] *= 0.12;
                let rings = noise(along) * 0.7 + 0.3 * noise(along * 3.7);
                mix(0.5 + 0.5 * (9.0 * rings).sin() * 0.7 + 0.6 * (noise(along * 2.0) - 0.5))
            }
            Texture::Speckle => mix(3.0 * (noise(q * 4.0) - 0.45)),
            Texture::Stripes(axis) => mix(if (q[axis]).rem_euclid(2.0) < 1.0 { 0.0 } else { 1.0 }),
            Texture::Clouds => mix(1.6 * (0.6 * noise(q * 0.5) + 0.4 * noise(q * 1.7) - 0.2)),
            Texture::Checks => {
                let cell = q.floor();
                mix(if (cell.x + cell.y + cell.z).rem_euclid(2.0) < 1.0 { 0.0 } else { 1.0 })
            }
            Texture::Brushed(axis) => {
                let mut along = q * 6.0;
                along[axis] *= 0.05;
                mix(0.5 + 0.35 * (q[axis] * 1.7).sin() + 0.5 * (noise(along) - 0.5))
            }
        }
    }
}

/// The light of a shape, baked into its points' colours.
#[derive(Debug, Clone, Copy)]
pub struct Light {
    direction: DVec3,
    ambient: f64,
    diffuse: f64,
    back: f64,
    grain: f64,
    surrounding: DVec3,
}

impl Light {
    /// From flat to strong light, mostly from above.
    pub fn random(rng: &mut Rng) -> Light {
        let direction = dvec3(rng.range(-1.0, 1.0), rng.range(0.3, 1.3), rng.range(-0.6, 1.2)).normalize();
        let diffuse = if rng.chance(0.15) { 0.0 } else { rng.range(0.1, 0.55) };
        let surrounding = dvec3(rng.range(1.0, 5.0), rng.range(1.0, 5.0), rng.range(1.0, 5.0));
        let grain = if rng.chance(0.5) { rng.range(0.0, 0.03) } else { 0.0 };
        Light {
            direction,
            ambient: rng.range(0.95, 1.1) - diffuse,
            diffuse,
            back: rng.range(0.0, 0.3),
            grain,
            surrounding,
        }
    }

    /// The colour of a point: `local` in the solid's frame, `world` and `normal` in the shape's.
    pub fn color(&self, rng: &mut Rng, m: &Material, local: DVec3, world: DVec3, normal: DVec3) -> [f32; 3] {
        let facing = normal.dot(self.direction);
        let diffuse = self.diffuse * (1.4 * facing.max(0.0) + self.back * (-facing).max(0.0));
        let wave = (self.surrounding * (normal + 0.25 * world)).element_sum();
        let mirrored = m.gloss * (0.6 * wave.sin() + 0.4 * (2.3 * wave + 1.0).sin());
        let light = (self.ambient + diffuse) * (1.0 + mirrored) + self.grain * rng.normal();
        let glint = 0.35 * m.gloss * facing.max(0.0).powi(8);
        (m.albedo(local) * light + glint).to_array().map(|c| c.clamp(0.0, 1.0) as f32)
    }
}

/// Hue, saturation, value in [0, 1] to RGB.
pub fn hsv(h: f64, s: f64, v: f64) -> DVec3 {
    let channel = |offset: f64| {
        let k = (offset + 6.0 * h).rem_euclid(6.0);
        v - v * s * k.min(4.0 - k).clamp(0.0, 1.0)
    };
    dvec3(channel(5.0), channel(3.0), channel(1.0))
}

/// Smooth value noise in [0, 1], one cell a unit.
fn noise(p: DVec3) -> f64 {
    let cell = p.floor();
    let f = p - cell;
    let f = f * f * (3.0 - 2.0 * f);
    let [x, y, z] = cell.to_array().map(|c| c as i64 as u64);
    let corner = |i: u64, j: u64, k: u64| {
        let key = x.wrapping_add(i).wrapping_mul(0x8da6_b343)
            ^ y.wrapping_add(j).wrapping_mul(0xd816_3841)
            ^ z.wrapping_add(k).wrapping_mul(0xcb1a_b31f);
        (mix(key) >> 40) as f64 / (1u64 << 24) as f64
    };
    let lerp = |a: f64, b: f64, t: f64| a + (b - a) * t;
    let row = |j, k| lerp(corner(0, j, k), corner(1, j, k), f.x);
    let face = |k| lerp(row(0, k), row(1, k), f.y);
    lerp(face(0), face(1), f.z)
}
