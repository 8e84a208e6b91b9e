//! Storage furniture: cabinets, dressers, wardrobes, night stands, bookcases.

use super::common::*;
use crate::{material::Material, rng::Rng, scene::Scene, solid::block};

/// A carcass with a grid of doors, drawers and open shelves.
pub fn furniture(s: &mut Scene, rng: &mut Rng) {
    let (w, h) = match rng.int(0, 3) {
        0 => (rng.range(0.8, 1.8), rng.range(0.4, 0.9)),
        1 => (rng.range(0.5, 1.2), rng.range(1.2, 2.1)),
        2 => (rng.range(0.35, 0.6), rng.range(0.45, 0.75)),
        _ => (rng.range(0.6, 1.2), rng.range(0.6, 1.2)),
    };
    let d = rng.range(0.3, 0.6);
    let body = if rng.chance(0.65) { Material::wood(rng) } else { Material::plastic(rng) };
    let back = if rng.chance(0.7) { body.shaded(0.9) } else { Material::wood(rng) };
    let foot = if rng.chance(0.4) { rng.range(0.05, 0.2) } else { rng.range(0.0, 0.1) };
    feet(s, rng, w, d, foot, &body);
    // Kitchens' cabinets come without their worktop.
    let covered = h > 1.0 || rng.chance(0.6);
    s.at(at(0.0, foot + h / 2.0, 0.0), |s| {
        cabinet(s, rng, [w, h, d], &body, &back, covered);
    });
    if covered && rng.chance(0.5) {
        let (over, thick) = (rng.range(1.0, 1.08), rng.range(0.015, 0.05));
        let top = if rng.chance(0.3) { Material::stone(rng) } else { body };
        s.put(at(0.0, foot + h + thick / 2.0, 0.01), block(over * w, thick, over * d, 0.2 * thick), &top);
    }
    if covered && rng.chance(0.15) {
        let m = Material::any(rng);
        let (x, size) = (rng.range(-0.3, 0.3) * w, rng.range(0.1, 0.3) * w.min(h));
        s.put(at(x, foot + h + size / 2.0, 0.0), block(size, size, 0.4 * d, 0.01), &m);
    }
}

fn feet(s: &mut Scene, rng: &mut Rng, w: f64, d: f64, foot: f64, body: &Material) {
    if foot < 0.01 {
        return;
    }
    if rng.chance(0.5) {
        s.put(at(0.0, foot / 2.0, -0.02), block(0.96 * w, foot, 0.92 * d, 0.0), &body.shaded(0.7));
        return;
    }
    let m = if rng.chance(0.5) { *body } else { Material::metal(rng) };
    let style = Leg::random(rng, 0.05);
    for (x, z) in [(-0.46, -0.44), (0.46, -0.44), (-0.46, 0.44), (0.46, 0.44)] {
        style.put(s, at(x * w, foot, z * d), at(x * w, 0.0, z * d), &m);
    }
}

/// A centred carcass of a size, open above if it is not `covered`, its front filled with doors, drawers and shelves.
pub fn cabinet(
    s: &mut Scene,
    rng: &mut Rng,
    [w, h, d]: [f64; 3],
    body: &Material,
    back: &Material,
    covered: bool,
) {
    let wall = rng.range(0.012, 0.03);
    if covered {
        carcass(s, w, h, d, wall, body, back);
    } else {
        trough(s, w, h, d, wall, body, back);
    }
    // Often nothing but the handles tells a front from the carcass.
    let face = match rng.int(0, 5) {
        0 => Material::any(rng),
        1 | 2 => body.shaded(rng.range(0.8, 1.15)),
        _ => *body,
    };
    let pull = rng.range(0.25, 0.5);
    let style = Filling {
        door: Front::random(rng, face),
        drawer: if rng.chance(0.7) { Front::solid(rng, face) } else { Front::random(rng, face) },
        handle: rng.chance(0.88).then(|| Handle::random(rng, pull)),
        shut: rng.chance(0.6),
        overlay: rng.chance(0.5),
        gap: if rng.chance(0.5) { rng.range(0.0, 0.003) } else { rng.range(0.002, 0.012) },
        depth: d - 2.0 * wall,
        covered,
    };
    let columns = rng.int(1, ((w / 0.35) as usize).clamp(1, 4));
    let same = rng.chance(0.5);
    let seed = rng.next();
    let (iw, ih) = (w - 2.0 * wall, h - 2.0 * wall);
    // A chest's drawers are all of one height; doors may hang below drawers.
    let layout = rng.int(0, 9);
    let rows = rng.int(2, ((ih / 0.1) as usize).clamp(2, 6));
    for column in 0..columns {
        let cw = iw / columns as f64;
        let x = (column as f64 + 0.5) * cw - iw / 2.0;
        if column > 0 {
            s.put(at(x - cw / 2.0, 0.0, 0.0), block(wall, ih, d - wall, 0.0), body);
        }
        let mut own = if same { Rng::new(seed) } else { Rng::new(rng.next()) };
        let mut y = ih / 2.0;
        let low = own.range(0.12, 0.3);
        while y > -ih / 2.0 + 0.05 {
            let rest = y + ih / 2.0;
            let first = rest > 0.99 * ih;
            let mut ch = match layout {
                0..=3 => ih / rows as f64,
                4 | 5 if first => low.min(0.4 * ih),
                4 | 5 => rest,
                _ if own.chance(0.4) => rest * own.range(0.5, 1.0),
                _ => low,
            };
            if rest - ch < 0.1 {
                ch = rest;
            }
            s.at(at(x, y - ch / 2.0, 0.0), |s| style.fill(s, &mut own, [cw, ch, d], body, wall));
            if rest - ch > 0.01 {
                s.put(at(x, y - ch, 0.0), block(cw - wall, 0.8 * wall, d - wall, 0.0), body);
            }
            y -= ch;
        }
    }
}

struct Filling {
    door: Front,
    drawer: Front,
    handle: Option<Handle>,
    shut: bool,
    overlay: bool,
    gap: f64,
    depth: f64,
    covered: bool,
}

impl Filling {
    fn fill(&self, s: &mut Scene, rng: &mut Rng, [w, h, d]: [f64; 3], body: &Material, wall: f64) {
        let front = if self.overlay { d / 2.0 } else { d / 2.0 - 0.015 };
        let (fw, fh) = (w - 2.0 * self.gap - if self.overlay { 0.0 } else { wall }, h - 2.0 * self.gap);
        let open = if self.shut || rng.chance(0.5) { 0.0 } else { rng.unit() };
        let shelf = rng.chance(0.1);
        if open == 0.0 && !shelf && self.covered && rng.chance(0.9) {
            s.hide(at(0.0, 0.0, -0.001), block(w, h, d - 2.0 * wall, 0.0));
        }
        s.at(at(0.0, 0.0, front), |s| match () {
            _ if shelf => {
                for i in 1..=rng.int(0, 3) {
                    let y = h * (i as f64 / 4.0 - 0.5);
                    s.put(at(0.0, y, -d / 2.0), block(w, 0.8 * wall, 0.9 * d, 0.0), body);
                }
            }
            _ if h < 0.75 * w || (h < w && rng.chance(0.4)) => {
                let count = if w > 0.8 && rng.chance(0.5) { 2 } else { 1 };
                drawer(
                    s,
                    &self.drawer,
                    self.handle.as_ref().map(|h| (h, count)),
                    fw,
                    fh,
                    self.depth,
                    open * 0.7 * d,
                );
            }
            _ => {
                if s.is_furnished() {
                    for i in 1..=rng.int(0, 2) {
                        let y = h * (i as f64 / 3.0 - 0.5);
                        s.put(at(0.0, y, -d / 2.0), block(w, 0.8 * wall, 0.8 * d, 0.0), body);
                    }
                }
                let leaves = if fw > 0.45 || (fw > 0.3 && rng.chance(0.4)) { 2 } else { 1 };
                let one = rng.chance(0.5);
                for leaf in 0..leaves {
                    let left = if leaves == 2 { leaf == 0 } else { one };
                    let lw = fw / leaves as f64;
                    let x = if leaves == 2 { (leaf as f64 - 0.5) * lw } else { 0.0 };
                    let swing = if rng.chance(0.6) { open * 110.0 } else { 0.0 };
                    s.at(at(x, 0.0, 0.0), |s| {
                        door(s, &self.door, self.handle.as_ref(), lw - self.gap, fh, left, swing)
                    });
                }
            }
        });
    }
}
