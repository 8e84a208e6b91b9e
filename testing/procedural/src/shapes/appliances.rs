//! Kitchen appliances with doors, knobs, buttons.

use super::common::*;
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder},
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
        if open == 0.0 {
            s.hide(at(dx, 0.0, -0.005), block(dw - 0.02, h - 0.02, d - 0.03, 0.0));
        }
        if s.is_furnished() {
            let (tray, r) = (Material::any(rng), 0.4 * dw.min(d));
            s.put(at(dx, 0.06 - h / 2.0, 0.0), cylinder(r, 0.015, 0.0), &tray);
        }
        let t = 0.04;
        let width = rng.range(0.025, 0.06);
        let grip = Handle::bar(rng, 0.65 * h, width);
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
            let keys = match rng.int(0, 2) {
                0 => plate.shaded(rng.range(0.8, 1.3)),
                1 => Material::light(rng),
                _ => Material::plastic(rng),
            };
            let (round, fill) = (rng.chance(0.4), rng.range(0.4, 1.0));
            let (cw, ch) = (0.8 * panel / columns as f64, 0.62 * h / rows as f64);
            let size = [0.8 * fill * cw, fill * (0.75 * ch).min(0.9 * cw), 0.014];
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
            s.part("door", |s| {
                s.put(
                    at(0.0, -h / 2.0 + foot / 2.0, d / 2.0),
                    block(0.97 * w, 0.85 * foot, 0.04, 0.01),
                    &m.shaded(0.95),
                )
            });
        }
    }
    let open = if rng.chance(0.75) { 0.0 } else { rng.range(15.0, 92.0) };
    if open == 0.0 {
        s.hide(at(0.0, low + dh / 2.0, -0.005), block(w - 0.02, dh - 0.02, d - 0.03, 0.0));
    }
    let width = rng.range(0.02, 0.05);
    let grip = Handle::bar(rng, 0.8 * w, width);
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
    let size = rng.range(0.5, 1.0);
    let (kind, radius) = (rng.int(0, 2), size * (0.3 * strip).min(0.35 * w / count as f64));
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

/// A hollow body with doors on its front: (width, height, centre x, centre y, hinge on the left) each.
fn doors(s: &mut Scene, rng: &mut Rng, size: [f64; 3], leaves: &[(f64, f64, f64, f64, bool)], m: &Material) {
    let [w, h, d] = size;
    carcass(s, w, h, d, 0.03, m, &m.shaded(0.95));
    let face = match rng.int(0, 3) {
        0 => body(rng),
        _ => m.shaded(rng.range(0.95, 1.1)),
    };
    let flat = Front::plain(face);
    let length = rng.range(0.25, 0.7);
    let width = rng.range(0.025, 0.08);
    let grip = Handle::bar(rng, length, width);
    let handle = rng.chance(0.85);
    let ajar = rng.chance(0.25);
    let mut shut = true;
    for &(lw, lh, x, y, left) in leaves {
        let open = if ajar && rng.chance(0.7) { rng.range(15.0, 120.0) } else { 0.0 };
        shut &= open == 0.0;
        s.at(at(x, y, d / 2.0), |s| {
            door(s, &flat, handle.then_some(&grip), lw - 0.008, lh - 0.008, left, open)
        });
    }
    if shut {
        s.hide(at(0.0, 0.0, -0.005), block(w - 0.02, h - 0.02, d - 0.03, 0.0));
    }
    if !shut || s.is_furnished() {
        for i in 1..5 {
            let shelf = Material::light(rng);
            s.put(at(0.0, h * (i as f64 / 5.0 - 0.5), 0.0), block(w - 0.06, 0.012, 0.85 * d, 0.0), &shelf);
        }
    }
}

/// Refrigerators: one door, freezer above or below, side by side, French doors.
pub fn refrigerator(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.5, 0.95), rng.range(0.8, 1.9), rng.range(0.5, 0.75));
    let m = body(rng);
    let left = rng.chance(0.5);
    let split = rng.range(0.25, 0.42);
    let (low, high) = (h * (1.0 - split), h * split);
    let upper = |sign: f64| (low, sign * (h - low) / 2.0, high, sign * (high - h) / 2.0);
    let leaves = match rng.int(0, 4) {
        0 => vec![(w, h, 0.0, 0.0, left)],
        1 => {
            let (a, ay, b, by) = upper(-1.0);
            vec![(w, a, 0.0, ay, left), (w, b, 0.0, by, left)]
        }
        2 => {
            let (a, ay, b, by) = upper(1.0);
            vec![(w, a, 0.0, ay, left), (w, b, 0.0, by, left)]
        }
        3 => {
            let t = rng.range(0.35, 0.5);
            vec![(t * w, h, (t - 1.0) * w / 2.0, 0.0, true), ((1.0 - t) * w, h, t * w / 2.0, 0.0, false)]
        }
        _ => {
            let (a, ay, b, by) = upper(1.0);
            vec![(w / 2.0, a, -w / 4.0, ay, true), (w / 2.0, a, w / 4.0, ay, false), (w, b, 0.0, by, left)]
        }
    };
    doors(s, rng, [w, h, d], &leaves, &m);
    if rng.chance(0.2) {
        let panel = Material::dark(rng);
        s.put(at(-0.25 * w, 0.1 * h, d / 2.0 + 0.04), block(0.18 * w, 0.16 * h, 0.03, 0.004), &panel);
    }
    let foot = rng.range(0.02, 0.1);
    s.put(at(0.0, -h / 2.0 - foot / 2.0, -0.02), block(0.96 * w, foot, 0.94 * d, 0.0), &m.shaded(0.5));
}

/// Dishwashers: a flap door.
pub fn dishwasher(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.55, 0.7), rng.range(0.6, 0.9), rng.range(0.5, 0.65));
    let m = body(rng);
    let strip = if rng.chance(0.5) { h * rng.range(0.08, 0.16) } else { 0.0 };
    let foot = h * rng.range(0.03, 0.14);
    let dh = h - strip - foot;
    let low = foot - h / 2.0;
    s.at(at(0.0, low + dh / 2.0, 0.0), |s| carcass(s, w, dh, d, 0.02, &m, &m.shaded(0.9)));
    if strip > 0.0 {
        let panel = if rng.chance(0.5) { m.shaded(0.9) } else { body(rng) };
        s.put(at(0.0, h / 2.0 - strip / 2.0, 0.01), block(w, strip, d, 0.005), &panel);
        let (keys, mark) = (rng.int(0, 6), Material::light(rng));
        for i in 0..keys {
            s.put(
                at((i as f64 / 8.0 - 0.3) * w, h / 2.0 - strip / 2.0, d / 2.0 + 0.02),
                block(0.04, 0.3 * strip, 0.02, 0.003),
                &mark,
            );
        }
    }
    s.put(at(0.0, low - foot / 2.0, -0.03), block(w, foot, d - 0.06, 0.0), &m.shaded(0.4));
    let open = if rng.chance(0.65) { 0.0 } else { rng.range(15.0, 92.0) };
    if open == 0.0 {
        s.hide(at(0.0, low + dh / 2.0, -0.005), block(w - 0.01, dh - 0.01, d - 0.02, 0.0));
    }
    if open > 0.0 || s.is_furnished() {
        let rack = Material::metal(rng);
        for y in [0.25, 0.6] {
            for i in 0..9 {
                let x = (i as f64 / 8.0 - 0.5) * 0.85 * w;
                s.put(at(x, low + y * dh, 0.0), block(0.008, 0.06, 0.8 * d, 0.0), &rack);
            }
        }
    }
    let (length, width) = (w * rng.range(0.3, 0.9), rng.range(0.02, 0.05));
    let grip = Handle::bar(rng, length, width);
    let face = if rng.chance(0.7) { m } else { body(rng) };
    s.at(at(0.0, low, d / 2.0), |s| {
        s.turn(DVec3::X, open, |s| {
            s.part("door", |s| {
                s.put(at(0.0, dh / 2.0, 0.02), block(0.98 * w, 0.98 * dh, 0.04, 0.008), &face);
                if rng.chance(0.3) {
                    s.put(
                        at(0.0, 0.42 * dh, 0.04),
                        block(0.85 * w, 0.7 * dh, 0.01, 0.003),
                        &face.shaded(0.95),
                    );
                }
                if rng.chance(0.88) {
                    grip.put(s, at(0.0, 0.9 * dh, 0.04), false, 1.1 * w);
                }
            });
        });
    });
}

/// Washing machines: a round door or a lid, buttons and a dial.
pub fn washing_machine(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.55, 0.7), rng.range(0.75, 0.95), rng.range(0.5, 0.65));
    let m = body(rng);
    s.put(HERE, block(w, h, d, rng.range(0.005, 0.03)), &m);
    let strip = h * rng.range(0.1, 0.18);
    let panel = if rng.chance(0.5) { m.shaded(0.92) } else { body(rng) };
    let y = h / 2.0 - strip / 2.0;
    s.put(at(0.0, y, d / 2.0), block(0.96 * w, 0.9 * strip, 0.02, 0.004), &panel);
    let (rim, glass) = (Material::any(rng), Material::glass(rng));
    let r = rng.range(0.26, 0.36) * w;
    let open = if rng.chance(0.75) { 0.0 } else { rng.range(20.0, 110.0) };
    s.at(at(0.0, -0.08 * h, d / 2.0), |s| {
        hinged(s, 2.2 * r, true, open, |s| {
            s.part("door", |s| {
                s.turn(DVec3::X, 90.0, |s| {
                    s.put(at(0.0, 0.02, 0.0), cylinder(r, 0.05, 0.012), &rim);
                    s.put(at(0.0, 0.04, 0.0), solid::Solid::Ellipsoid(at(0.75 * r, 0.04, 0.75 * r)), &glass);
                });
            });
        });
        s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(0.85 * r, 0.02, 0.0), &glass.shaded(0.5)));
    });
    let keys = if rng.chance(0.5) { Material::dark(rng) } else { Material::any(rng) };
    let count = rng.int(2, 6);
    let round = rng.chance(0.5);
    for i in 0..count {
        let x = w * (0.02 + 0.42 * i as f64 / count as f64);
        button(s, at(x, y, d / 2.0 + 0.01), [0.05 * w, 0.3 * strip, 0.015], round, &keys);
    }
    let mark = Material::light(rng);
    knob(s, at(-0.1 * w, y, d / 2.0 + 0.01), 0.28 * strip, 0.03, rng.int(0, 2), &panel.shaded(0.8), &mark);
    s.put(at(-0.33 * w, y, d / 2.0 + 0.01), block(0.22 * w, 0.6 * strip, 0.02, 0.005), &m);
}

/// Coffee machines: pot or cup as container, knobs, buttons, a lid.
pub fn coffee_machine(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.4, 0.7), rng.range(0.6, 1.0), rng.range(0.5, 0.8));
    let m = body(rng);
    let head = h * rng.range(0.25, 0.4);
    let back = d * rng.range(0.35, 0.5);
    let base = h * rng.range(0.06, 0.12);
    let bevel = rng.range(0.01, 0.06);
    s.put(at(0.0, base / 2.0, 0.0), block(w, base, d, 0.4 * base.min(bevel)), &m);
    s.put(at(0.0, h / 2.0, (back - d) / 2.0), block(w, h, back, bevel), &m);
    s.put(at(0.0, h - head / 2.0, 0.0), block(w, head, 0.95 * d, bevel), &m);
    let tray = Material::metal(rng);
    s.put(at(0.0, base, 0.2 * d), block(0.8 * w, 0.02, 0.45 * d, 0.003), &tray);
    let z = 0.2 * d;
    s.put(at(0.0, h - head, z), cylinder(0.1, 0.08, 0.01), &tray);
    let pot = if rng.chance(0.5) { Material::glass(rng) } else { Material::any(rng) };
    let r = (0.36 * w).min(0.26 * d);
    let ph = (h - head - base) * rng.range(0.45, 0.85);
    s.part("container", |s| {
        s.at(at(0.0, base + 0.01, z), |s| {
            s.put(
                HERE,
                solid::vessel(&solid::soft(&[(0.8 * r, 0.0), (r, 0.35 * ph), (0.75 * r, ph)]), 0.012),
                &pot,
            );
            let dark = Material::dark(rng);
            if rng.chance(0.7) {
                let path = [
                    at(0.0, 0.85 * ph, 0.7 * r),
                    at(0.0, 0.85 * ph, 1.5 * r),
                    at(0.0, 0.25 * ph, 1.4 * r),
                    at(0.0, 0.25 * ph, 0.9 * r),
                ];
                s.put(HERE, solid::tube(&path, 0.08 * r), &dark);
            }
        });
    });
    if rng.chance(0.7) {
        let lid = if rng.chance(0.5) { m.shaded(1.1) } else { Material::any(rng) };
        s.part("lid", |s| s.put(at(0.0, h, -0.1 * d), block(0.8 * w, 0.05, 0.6 * d, 0.012), &lid));
    }
    let keys = Material::any(rng);
    let mark = Material::light(rng);
    let (kind, front, y) = (rng.int(0, 2), 0.475 * d, h - 0.45 * head);
    for i in 0..rng.int(0, 2) {
        let x = (0.3 - 0.6 * i as f64) * w;
        s.part("knob", |s| knob(s, at(x, y, front), 0.2 * head, 0.06, kind, &keys, &mark));
    }
    let count = rng.int(0, 4);
    let round = rng.chance(0.5);
    for i in 0..count {
        let x = (i as f64 - 0.5 * (count as f64 - 1.0)) * 0.1 * w;
        button(s, at(x, y, front), [0.07 * w, 0.07 * w, 0.02], round, &mark.shaded(0.9));
    }
}
