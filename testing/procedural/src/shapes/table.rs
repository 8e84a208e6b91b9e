//! Tables and desks.

use super::{common::*, storage::cabinet};
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, rod},
};
use glam::{DVec2, DVec3, dvec2};
use std::f64::consts::TAU;

struct Top {
    w: f64,
    d: f64,
    h: f64,
    thick: f64,
    round: bool,
    /// Radius of the corners.
    corner: f64,
    frame: Material,
}

/// Dining, coffee, side and work tables; desks with drawers.
pub fn table(s: &mut Scene, rng: &mut Rng) {
    let frame = match rng.int(0, 4) {
        0..=2 => Material::wood(rng),
        3 => Material::metal(rng),
        _ => Material::plastic(rng),
    };
    let round = rng.chance(0.25);
    let w = rng.range(0.5, 1.7);
    let d = if round { w * rng.range(0.7, 1.0) } else { rng.range(0.4, 0.9) };
    let corner = if round || rng.chance(0.7) { 0.0 } else { rng.range(0.03, 0.2) };
    let top = Top { w, d, h: rng.range(0.35, 0.85), thick: rng.range(0.015, 0.06), round, corner, frame };
    s.part("tabletop", |s| put_top(s, rng, &top));
    match rng.int(0, 9) {
        0 => pedestal(s, rng, &top),
        1..=3 if !round => desk(s, rng, &top),
        4 => panels(s, rng, &top),
        5 | 6 if !round && corner == 0.0 => console(s, rng, &top),
        _ => four_legs(s, rng, &top),
    }
    if rng.chance(0.12) {
        let m = Material::any(rng);
        let at_ = at(rng.range(-0.25, 0.25) * w, top.h, rng.range(-0.2, 0.2) * d);
        s.put(at_, solid::vessel(&[(0.04, 0.0), (0.08, 0.08), (0.05, 0.2)], 0.008), &m);
    }
}

fn put_top(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let Top { w, d, h, thick, .. } = *top;
    let m = match rng.int(0, 5) {
        0 => Material::any(rng),
        1 => Material::glass(rng),
        2 => Material::stone(rng),
        _ => top.frame,
    };
    let y = h - thick / 2.0;
    if top.round {
        s.at(at(0.0, y, 0.0), |s| {
            s.scale(at(1.0, 1.0, d / w), |s| s.put(HERE, cylinder(w / 2.0, thick, 0.3 * thick), &m));
        });
    } else if top.corner > 0.0 {
        let outline = solid::rounded(w, d, top.corner);
        s.at(at(0.0, y, 0.0), |s| s.turn(DVec3::X, 90.0, |s| s.put(HERE, solid::plate(outline, thick), &m)));
    } else {
        s.put(at(0.0, y, 0.0), block(w, thick, d, rng.range(0.0, 0.4) * thick), &m);
        if rng.chance(0.2) {
            let inlay = Material::any(rng);
            s.put(at(0.0, h, 0.0), block(0.8 * w, 0.004, 0.75 * d, 0.0), &inlay);
        }
    }
}

fn four_legs(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let under = top.h - top.thick;
    let width = rng.range(0.03, 0.1) * if top.h < 0.5 { 0.8 } else { 1.0 };
    let style = Leg::random(rng, width);
    let splay = if rng.chance(0.75) { 0.0 } else { rng.range(0.02, 0.12) };
    let inset = if top.round { 0.62 } else { rng.range(0.85, 0.94) };
    let clear = 0.3 * top.corner;
    let (x0, z0) = (inset * top.w / 2.0 - clear, inset * top.d / 2.0 - clear);
    let wheel = rng.chance(0.15).then(|| {
        let radius = rng.range(0.025, 0.05);
        (Wheel::random(rng, radius), 2.3 * radius)
    });
    let low = wheel.map_or(0.0, |(_, drop)| drop);
    let foot = |x: f64, z: f64, y: f64| {
        let t = splay * (1.0 - y / under);
        at(x * (x0 + t), y, z * (z0 + t))
    };
    let corners = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
    for (x, z) in corners {
        s.part("leg", |s| style.put(s, foot(x, z, under), foot(x, z, low), &top.frame));
        if let Some((wheel, drop)) = wheel {
            wheel.castor(s, rng, foot(x, z, low), drop);
        }
    }
    let apron = !top.round && splay == 0.0 && rng.chance(0.8);
    if apron {
        let h = rng.range(0.06, 0.16) * top.h / 0.7;
        let (aw, ad) = (2.0 * x0 - 0.3 * width, 2.0 * z0 - 0.3 * width);
        let y = under - h / 2.0;
        let t = 0.02;
        s.put(at(0.0, y, -ad / 2.0), block(aw, h, t, 0.0), &top.frame);
        for x in [-aw / 2.0, aw / 2.0] {
            s.put(at(x, y, 0.0), block(t, h, ad, 0.0), &top.frame);
        }
        s.put(at(0.0, y, ad / 2.0 - t), block(aw, h, t, 0.0), &top.frame);
        if rng.chance(0.75) {
            drawers(s, rng, aw - width, 0.8 * h, at(0.0, y, ad / 2.0 - 0.4 * t), ad, &top.frame);
        }
    }
    if rng.chance(0.25) {
        let y = rng.range(0.1, 0.3) * top.h;
        if rng.chance(0.5) {
            s.put(at(0.0, y, 0.0), block(2.0 * x0, 0.02, 2.0 * z0, 0.0), &top.frame);
        } else {
            for x in [-1.0, 1.0] {
                s.put(HERE, beam(foot(x, -1.0, y), foot(x, 1.0, y), 0.5 * width, 0.5 * width), &top.frame);
            }
            s.put(at(0.0, y, 0.0), block(2.0 * x0, 0.5 * width, 0.5 * width, 0.0), &top.frame);
        }
    }
}

fn drawers(s: &mut Scene, rng: &mut Rng, w: f64, h: f64, center: DVec3, depth: f64, m: &Material) {
    let count = rng.int(1, 3);
    let each = w / count as f64;
    let face = if rng.chance(0.75) { m.shaded(rng.range(0.85, 1.1)) } else { Material::any(rng) };
    let front = Front::random(rng, face);
    let pull = rng.range(0.2, 0.35);
    let handle = Handle::random(rng, pull);
    let pulls = rng.int(1, 2);
    for i in 0..count {
        let open = if rng.chance(0.2) { rng.range(0.1, 0.6) * depth } else { 0.0 };
        let x = (i as f64 + 0.5) * each - w / 2.0;
        s.at(center + at(x, 0.0, 0.0), |s| {
            drawer(s, &front, Some((&handle, pulls)), 0.95 * each, h, 0.8 * depth, open)
        });
    }
}

fn desk(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let under = top.h - top.thick;
    let cw = top.w * rng.range(0.22, 0.34);
    let foot = rng.range(0.0, 0.12);
    let both = rng.chance(0.4);
    let d = 0.92 * top.d;
    let seed = rng.next();
    let sides: &[f64] = if both { &[-1.0, 1.0] } else { &[1.0] };
    let flip = if rng.chance(0.5) { -1.0 } else { 1.0 };
    for side in sides {
        let x = flip * side * (0.48 * top.w - cw / 2.0);
        let mut own = Rng::new(seed);
        s.at(at(x, (under + foot) / 2.0, 0.0), |s| {
            cabinet(s, &mut own, [cw, under - foot, d], &top.frame, &top.frame, true)
        });
        if foot > 0.02 {
            for (dx, z) in [(-0.42, -0.42), (0.42, -0.42), (-0.42, 0.42), (0.42, 0.42)] {
                s.part("leg", |s| {
                    s.put(at(x + dx * cw, foot / 2.0, z * d), block(0.04, foot, 0.04, 0.0), &top.frame)
                });
            }
        }
    }
    if !both {
        let style = Leg::random(rng, 0.05);
        if rng.chance(0.5) {
            for z in [-0.45, 0.45] {
                let x = -flip * 0.46 * top.w;
                s.part("leg", |s| style.put(s, at(x, under, z * d), at(x, 0.0, z * d), &top.frame));
            }
        } else {
            s.part("leg", |s| {
                s.put(at(-flip * 0.47 * top.w, under / 2.0, 0.0), block(0.03, under, d, 0.0), &top.frame)
            });
        }
    }
    if rng.chance(0.6) {
        s.put(at(0.0, 0.7 * under, -0.4 * d), block(0.9 * top.w, 0.45 * under, 0.015, 0.0), &top.frame);
    }
    if rng.chance(0.5) {
        let w = top.w * 0.9 - if both { 2.0 } else { 1.0 } * cw;
        let x = if both { 0.0 } else { -flip * 0.48 * cw };
        let h = rng.range(0.07, 0.12);
        drawers(s, rng, 0.9 * w, h, at(x, under - h / 2.0 - 0.005, 0.42 * d), d, &top.frame);
    }
}

/// Doors and drawers across the whole width, on legs.
fn console(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let under = top.h - top.thick;
    let (w, d) = (rng.range(0.85, 1.0) * top.w, rng.range(0.85, 1.0) * top.d);
    let body = rng.range(0.2, 0.6) * under;
    s.at(at(0.0, under - body / 2.0, 0.0), |s| cabinet(s, rng, [w, body, d], &top.frame, &top.frame, true));
    let width = rng.range(0.03, 0.08);
    let style = Leg::random(rng, width);
    // Legs beside the fronts' edges reach from floor to top; else they end below.
    let to = if rng.chance(0.3) { under } else { under - body };
    for (x, z) in [(-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)] {
        let (x, z) = (x * (w - width), z * (d - width));
        s.part("leg", |s| style.put(s, at(x, to, z), at(x, 0.0, z), &top.frame));
    }
    if rng.chance(0.4) {
        let y = rng.range(0.05, 0.3) * under;
        s.put(at(0.0, y, 0.0), block(w - width, 0.025, d - width, 0.0), &top.frame);
    }
}

fn panels(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let under = top.h - top.thick;
    let (inset, t) = (if top.round { 0.3 } else { rng.range(0.35, 0.48) }, rng.range(0.02, 0.06));
    let depth = top.d * if top.round { 0.5 } else { rng.range(0.6, 0.95) };
    for x in [-inset * top.w, inset * top.w] {
        s.part("leg", |s| s.put(at(x, under / 2.0, 0.0), block(t, under, depth, 0.2 * t), &top.frame));
    }
    s.put(at(0.0, rng.range(0.2, 0.8) * under, 0.0), block(2.0 * inset * top.w, 0.08, 0.03, 0.0), &top.frame);
}

fn pedestal(s: &mut Scene, rng: &mut Rng, top: &Top) {
    let under = top.h - top.thick;
    let r = rng.range(0.03, 0.07);
    let m = top.frame;
    s.part("leg", |s| {
        if rng.chance(0.5) {
            let base = 0.3 * top.d;
            s.put(
                HERE,
                solid::turned(&[
                    (base, 0.0),
                    (base, 0.02),
                    (0.4 * base, 0.05),
                    (r, 0.12),
                    (r, under - 0.08),
                    (2.0 * r, under),
                ]),
                &m,
            );
        } else {
            s.put(HERE, rod(at(0.0, 0.12, 0.0), at(0.0, under, 0.0), 1.2 * r, r), &m);
            let feet = rng.int(3, 5);
            for i in 0..feet {
                let out: DVec2 =
                    DVec2::from_angle(TAU * i as f64 / feet as f64) * dvec2(0.34 * top.d, 0.34 * top.d);
                s.put(HERE, beam(at(0.0, 0.16, 0.0), at(out.x, 0.02, out.y), 1.2 * r, 0.8 * r), &m);
            }
        }
    });
}
