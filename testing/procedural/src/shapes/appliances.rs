//! Kitchen appliances with doors, knobs, buttons.

use super::common::*;
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{block, cylinder},
};
use glam::DVec3;

fn body(rng: &mut Rng) -> Material {
    match rng.int(0, 3) {
        0 => Material::light(rng),
        1 => Material::dark(rng),
        2 => Material::metal(rng),
        _ => Material::plastic(rng),
    }
}

/// A key as one instance of "button" on the plane z = 0.
pub fn button(s: &mut Scene, center: DVec3, [w, h, t]: [f64; 3], round: bool, m: &Material) {
    s.part("button", |s| {
        s.at(center, |s| {
            if round {
                let r = w.min(h) / 2.0;
                s.turn(DVec3::X, 90.0, |s| s.put(at(0.0, t / 2.0, 0.0), cylinder(r, t, 0.2 * t), m));
            } else {
                s.put(at(0.0, 0.0, t / 2.0), block(w, h, t, 0.2 * t), m);
            }
        });
    });
}

/// Microwave ovens.
pub fn microwave(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.8, 1.2), rng.range(0.42, 0.7), rng.range(0.45, 0.8));
    let m = body(rng);
    let panel = w * rng.range(0.17, 0.3);
    let dw = w - panel;
    let right = rng.chance(0.92);
    let glass = Material::glass(rng);
    let dark = Material::dark(rng);
    let frame = if rng.chance(0.5) { m } else { dark };
    s.scale(at(if right { 1.0 } else { -1.0 }, 1.0, 1.0), |s| {
        let (dx, px) = (-panel / 2.0, w / 2.0 - panel / 2.0);
        s.at(at(dx, 0.0, 0.0), |s| carcass(s, dw, h, d, 0.03, &m, &m.shaded(0.8)));
        s.put(at(px, 0.0, 0.0), block(panel, h, d, 0.005), &m);
        let open = if rng.chance(0.75) { 0.0 } else { rng.range(20.0, 110.0) };
        let t = 0.04;
        let grip = Handle::bar(rng, 0.65 * h, 0.035);
        let handle = rng.chance(0.6);
        s.at(at(dx, 0.0, d / 2.0), |s| {
            hinged(s, dw, true, open, |s| {
                s.part("door", |s| {
                    s.put(at(0.0, 0.0, t / 2.0), block(0.99 * dw, 0.97 * h, t, 0.005), &frame);
                    let (gw, gh) = (dw * rng.range(0.6, 0.8), h * rng.range(0.5, 0.75));
                    s.put(at(-0.03 * dw, 0.0, t), block(gw, gh, 0.008, 0.0), &glass);
                    if handle {
                        grip.put(s, at(0.43 * dw, 0.0, t), true, h);
                    }
                });
            });
        });
        s.at(at(px, 0.0, d / 2.0), |s| {
            let plate = if rng.chance(0.5) { dark } else { m.shaded(0.9) };
            s.put(at(0.0, 0.0, 0.01), block(0.92 * panel, 0.96 * h, 0.03, 0.004), &plate);
            let screen = if rng.chance(0.5) { Material::glass(rng) } else { Material::picture(rng) };
            let (sw, sh) = (0.75 * panel, rng.range(0.08, 0.14) * h);
            s.part("display", |s| s.put(at(0.0, 0.38 * h, 0.026), block(sw, sh, 0.012, 0.0), &screen));
            let (columns, rows) = (rng.int(2, 4), rng.int(2, 7));
            let keys = if rng.chance(0.5) { Material::light(rng) } else { Material::plastic(rng) };
            let round = rng.chance(0.4);
            let (cw, ch) = (0.8 * panel / columns as f64, 0.62 * h / rows as f64);
            let size = [0.72 * cw, (0.7 * ch).min(0.9 * cw), 0.014];
            for i in 0..rows * columns {
                let (row, column) = (i / columns, i % columns);
                let x = (column as f64 + 0.5) * cw - 0.4 * panel;
                let y = 0.27 * h - (row as f64 + 0.5) * ch;
                button(s, at(x, y, 0.024), size, round, &keys);
            }
        });
    });
    if rng.chance(0.5) {
        for (x, z) in [(-0.42, -0.4), (0.42, -0.4), (-0.42, 0.4), (0.42, 0.4)] {
            s.put(at(x * w, -h / 2.0 - 0.015, z * d), cylinder(0.03, 0.03, 0.0), &dark);
        }
    }
}

/// Ovens and stoves.
pub fn oven(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.6, 1.0), rng.range(0.6, 1.0), rng.range(0.5, 0.75));
    let m = body(rng);
    let dark = Material::dark(rng);
    let glass = Material::glass(rng);
    let strip = h * rng.range(0.12, 0.2);
    let wall = 0.03;
    let foot = if rng.chance(0.5) { h * rng.range(0.05, 0.25) } else { 0.0 };
    let dh = h - strip - foot;
    let low = foot - h / 2.0;
    s.at(at(0.0, low + dh / 2.0, 0.0), |s| carcass(s, w, dh, d, wall, &m, &m.shaded(0.8)));
    if rng.chance(0.7) {
        s.put(at(0.0, low + 0.5 * dh, 0.0), block(w - 2.0 * wall, 0.015, 0.9 * d, 0.0), &dark);
    }
    s.put(at(0.0, h / 2.0 - strip / 2.0, 0.0), block(w, strip, d, 0.008), &m);
    if foot > 0.0 {
        s.put(at(0.0, -h / 2.0 + foot / 2.0, 0.0), block(w, foot, d, 0.0), &m);
        if foot > 0.12 {
            s.put(
                at(0.0, -h / 2.0 + foot / 2.0, d / 2.0),
                block(0.97 * w, 0.85 * foot, 0.04, 0.01),
                &m.shaded(0.95),
            );
        }
    }
    let open = if rng.chance(0.75) { 0.0 } else { rng.range(15.0, 92.0) };
    let grip = Handle::bar(rng, 0.8 * w, 0.035);
    let (gw, gh) = (rng.range(0.5, 0.85), rng.range(0.35, 0.7));
    s.at(at(0.0, low, d / 2.0), |s| {
        s.turn(DVec3::X, open, |s| {
            s.part("door", |s| {
                s.put(
                    at(0.0, dh / 2.0, 0.02),
                    block(0.98 * w, 0.97 * dh, 0.04, 0.006),
                    &if rng.chance(0.7) { m } else { dark },
                );
                s.put(at(0.0, 0.45 * dh, 0.04), block(gw * w, gh * dh, 0.008, 0.0), &glass);
                grip.put(s, at(0.0, 0.88 * dh, 0.04), false, 1.2 * w);
            });
        });
    });
    let count = rng.int(3, 8);
    let (kind, radius) = (rng.int(0, 2), (0.3 * strip).min(0.35 * w / count as f64));
    let knobs = if rng.chance(0.5) { dark } else { Material::metal(rng) };
    let mark = Material::light(rng);
    let on_top = rng.chance(0.2);
    let gap = if rng.chance(0.4) { 0.5 } else { 0.0 };
    let backsplash = rng.chance(0.4);
    let back = rng.range(0.08, 0.25);
    for i in 0..count {
        let t = (i as f64 + 0.5) / count as f64 - 0.5;
        let x = w * (0.9 - 0.25 * gap) * t + w * 0.12 * gap * t.signum();
        s.part("knob", |s| {
            if on_top && backsplash {
                let y = h / 2.0 + back / 2.0;
                knob(
                    s,
                    at(x, y, -d / 2.0 + 0.06),
                    radius.min(0.35 * back),
                    0.8 * radius,
                    kind,
                    &knobs,
                    &mark,
                );
            } else {
                knob(s, at(x, h / 2.0 - strip / 2.0, d / 2.0), radius, 0.9 * radius, kind, &knobs, &mark);
            }
        });
    }
    if gap > 0.0 && !on_top {
        s.put(at(0.0, h / 2.0 - strip / 2.0, d / 2.0), block(0.14 * w, 0.5 * strip, 0.01, 0.0), &glass);
    }
    if backsplash {
        s.put(at(0.0, h / 2.0 + back / 2.0, -d / 2.0 + 0.03), block(w, back, 0.06, 0.01), &m);
    }
    if rng.chance(0.75) {
        burners(s, rng, w, d, h / 2.0, &dark);
    }
}

fn burners(s: &mut Scene, rng: &mut Rng, w: f64, d: f64, y: f64, m: &Material) {
    let grates = rng.chance(0.5);
    for (x, z) in [(-0.25, -0.22), (0.25, -0.22), (-0.25, 0.22), (0.25, 0.22)] {
        let r = rng.range(0.09, 0.14) * w;
        let c = at(x * w, y + 0.012, z * d);
        s.put(c, cylinder(r, 0.012, 0.0), m);
        s.put(c + at(0.0, 0.015, 0.0), cylinder(0.4 * r, 0.02, 0.004), &m.shaded(1.6));
        if grates {
            for turn in [0.0, 90.0] {
                s.at(c + at(0.0, 0.035, 0.0), |s| {
                    s.turn(DVec3::Y, turn, |s| s.put(HERE, block(0.42 * w, 0.014, 0.014, 0.0), m))
                });
            }
        }
    }
}
