//! Things of all kinds: boxes, carts, screens, lamps, doors, bins.

use super::common::*;
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, rod, tube},
};
use glam::{DVec2, DVec3, dvec2};
use std::f64::consts::TAU;

/// Boxes with flaps or one lid.
pub fn carton(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.5, 1.0), rng.range(0.3, 0.9), rng.range(0.5, 1.0));
    let m = if rng.chance(0.6) { Material::carton(rng) } else { Material::any(rng) };
    let wall = rng.range(0.01, 0.03);
    for side in [-1.0, 1.0] {
        s.put(at(side * (w - wall) / 2.0, h / 2.0, 0.0), block(wall, h, d, 0.0), &m);
        s.put(at(0.0, h / 2.0, side * (d - wall) / 2.0), block(w, h, wall, 0.0), &m);
    }
    s.put(at(0.0, wall / 2.0, 0.0), block(w, wall, d, 0.0), &m);
    if rng.chance(0.55) {
        let turns = [0.0, 90.0, 180.0, 270.0];
        let half = rng.chance(0.2);
        for (i, turn) in turns.into_iter().enumerate().filter(|(i, _)| !half || i % 2 == 0) {
            let (width, reach, depth) = if i % 2 == 0 { (w, d, d) } else { (d, w, w) };
            let fold = rng.range(-60.0, 110.0);
            let flap = reach * rng.range(0.25, 0.5);
            s.turn(DVec3::Y, turn, |s| {
                s.at(at(0.0, h, depth / 2.0), |s| {
                    s.turn(DVec3::X, fold, |s| {
                        s.part("lid", |s| {
                            s.put(at(0.0, 0.0, flap / 2.0), block(0.99 * width, wall, flap, 0.0), &m)
                        })
                    });
                });
            });
        }
    } else {
        let open = if rng.chance(0.35) { 0.0 } else { rng.range(10.0, 120.0) };
        let lid = if rng.chance(0.6) { m } else { Material::any(rng) };
        let rim = if rng.chance(0.5) { rng.range(0.05, 0.15) } else { 0.02 };
        s.at(at(0.0, h, -d / 2.0), |s| {
            s.turn(DVec3::X, -open, |s| {
                s.part("lid", |s| {
                    s.put(at(0.0, rim / 2.0, d / 2.0), block(1.03 * w, rim, 1.03 * d, 0.2 * rim), &lid)
                });
            });
        });
        if open == 0.0 {
            s.hide(at(0.0, h / 2.0, 0.0), block(w - wall, h - wall, d - wall, 0.0));
        }
    }
}

/// Shopping carts, trolleys, wheelbarrows, wagons.
pub fn cart(s: &mut Scene, rng: &mut Rng) {
    let (w, l) = (rng.range(0.4, 0.65), rng.range(0.7, 1.2));
    let frame = if rng.chance(0.6) { Material::metal(rng) } else { Material::plastic(rng) };
    let body = Material::any(rng);
    let radius = rng.range(0.05, 0.16);
    let wheel = Wheel::random(rng, radius);
    let thick = rng.range(0.01, 0.025);
    let barrow = rng.chance(0.2);
    let deck = 2.0 * radius + rng.range(0.03, 0.35);
    let spots: &[(f64, f64)] =
        if barrow { &[(0.0, 0.55)] } else { &[(-0.45, -0.42), (0.45, -0.42), (-0.45, 0.42), (0.45, 0.42)] };
    for &(x, z) in spots {
        let hub = at(x * w, radius, z * l);
        s.part("wheel", |s| wheel.put(s, hub));
        let top = at(hub.x, deck, if barrow { 0.3 * l } else { hub.z });
        for side in if barrow { &[-1.0, 1.0][..] } else { &[1.0][..] } {
            let off = at(side * if barrow { 0.5 * radius } else { -0.35 * radius * x.signum() }, 0.0, 0.0);
            s.put(HERE, rod(hub + off, top + off, thick, thick), &frame);
        }
    }
    if barrow {
        for x in [-0.35 * w, 0.35 * w] {
            s.put(HERE, rod(at(x, deck, -0.2 * l), at(x, 0.0, -0.3 * l), thick, thick), &frame);
        }
    }
    for x in [-0.45 * w, 0.45 * w] {
        s.put(HERE, rod(at(x, deck, -0.5 * l), at(x, deck, 0.5 * l), thick, thick), &frame);
    }
    match rng.int(0, 2) {
        0 => {
            s.put(at(0.0, deck, 0.0), block(w, 0.03, l, 0.008), &body);
            if rng.chance(0.5) {
                let top = deck + rng.range(0.25, 0.5);
                s.put(at(0.0, top, 0.0), block(w, 0.03, l, 0.008), &body);
                for (x, z) in [(-0.46, -0.46), (0.46, -0.46), (-0.46, 0.46), (0.46, 0.46)] {
                    s.put(HERE, rod(at(x * w, deck, z * l), at(x * w, top, z * l), thick, thick), &frame);
                }
            }
        }
        1 => {
            let h = rng.range(0.2, 0.4);
            let lattice = rng.chance(0.5);
            basket(s, rng, at(0.0, deck, 0.0), [w, h, l], lattice, &body);
        }
        _ => {
            let rim = solid::rounded(w, l, 0.15);
            let h = rng.range(0.15, 0.35);
            s.at(at(0.0, deck, 0.0), |s| {
                for i in 0..6 {
                    let t = i as f64 / 5.0;
                    let path: Vec<DVec3> = rim
                        .iter()
                        .map(|p| at(p.x * (0.75 + 0.25 * t), h * t, p.y * (0.7 + 0.3 * t)))
                        .collect();
                    s.put(
                        HERE,
                        solid::Solid::Tube { radii: vec![0.035; path.len()], path, closed: true },
                        &body,
                    );
                }
                s.put(HERE, block(0.78 * w, 0.03, 0.72 * l, 0.01), &body);
            });
        }
    }
    let up = deck + rng.range(0.3, 0.7);
    let back = -l * rng.range(0.5, 0.7);
    for x in [-0.45 * w, 0.45 * w] {
        let start = at(x, deck, -0.45 * l);
        let end = if barrow { at(1.1 * x, deck + 0.25, back - 0.4) } else { at(x, up, back) };
        s.put(HERE, rod(start, end, thick, thick), &frame);
        if barrow {
            let grip = Material::dark(rng);
            s.put(HERE, rod(end, end + at(0.0, 0.03, -0.12), 1.8 * thick, 1.8 * thick), &grip);
        }
    }
    if !barrow {
        let grip = Material::any(rng);
        s.put(HERE, rod(at(-0.47 * w, up, back), at(0.47 * w, up, back), 1.5 * thick, 1.5 * thick), &grip);
    }
}

fn basket(s: &mut Scene, rng: &mut Rng, low: DVec3, [w, h, l]: [f64; 3], lattice: bool, m: &Material) {
    s.at(low, |s| {
        s.put(HERE, block(w, 0.02, l, 0.0), m);
        if !lattice {
            for side in [-1.0, 1.0] {
                s.put(at(side * w / 2.0, h / 2.0, 0.0), block(0.02, h, l, 0.0), m);
                s.put(at(0.0, h / 2.0, side * l / 2.0), block(w, h, 0.02, 0.0), m);
            }
            return;
        }
        let bars = rng.int(8, 14);
        for side in [-1.0, 1.0] {
            for i in 0..=bars {
                let t = i as f64 / bars as f64 - 0.5;
                s.put(at(side * w / 2.0, h / 2.0, t * l), block(0.012, h, 0.012, 0.0), m);
                s.put(at(t * w, h / 2.0, side * l / 2.0), block(0.012, h, 0.012, 0.0), m);
            }
            for i in 1..=5 {
                let y = h * i as f64 / 5.0;
                s.put(at(side * w / 2.0, y, 0.0), block(0.014, 0.014, l, 0.0), m);
                s.put(at(0.0, y, side * l / 2.0), block(w, 0.014, 0.014, 0.0), m);
            }
        }
    });
}

/// Wall, table and alarm clocks.
pub fn clock(s: &mut Scene, rng: &mut Rng) {
    let r = 0.5;
    let case = Material::any(rng);
    let face = if rng.chance(0.7) { Material::light(rng) } else { Material::any(rng) };
    let hands = if rng.chance(0.7) { Material::dark(rng) } else { Material::any(rng) };
    let d = rng.range(0.05, 0.3);
    if rng.chance(0.7) {
        s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(r, d, 0.02), &case));
        s.at(at(0.0, 0.0, d / 2.0), |s| {
            s.put(HERE, solid::ring(dvec2(0.96 * r, 0.96 * r), rng.range(0.02, 0.06)), &case)
        });
    } else {
        s.put(HERE, block(2.0 * r, 2.0 * r, d, 0.02), &case);
    }
    s.at(at(0.0, 0.0, d / 2.0), |s| {
        s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(0.9 * r, 0.02, 0.0), &face));
        for i in 0..12 {
            let out = DVec2::from_angle(TAU * i as f64 / 12.0) * 0.78 * r;
            let big = if i % 3 == 0 { 0.05 } else { 0.03 };
            s.put(out.extend(0.012), block(big, big, 0.01, 0.0), &hands);
        }
        for (length, width) in [(0.5, 0.05), (0.75, 0.035), (0.8, 0.015)].into_iter().take(rng.int(2, 3)) {
            let turn = rng.range(0.0, 360.0);
            s.turn(DVec3::Z, turn, |s| {
                s.part("hand", |s| {
                    s.put(at(0.0, 0.42 * length * r, 0.03), block(width, length * r, 0.015, 0.0), &hands)
                });
            });
        }
    });
    if rng.chance(0.4) {
        for x in [-0.3, 0.3] {
            s.put(HERE, rod(at(0.8 * x, -0.45, 0.0), at(x, -0.62, 0.0), 0.03, 0.02), &case);
        }
    }
}

/// Monitors and television sets.
pub fn display(s: &mut Scene, rng: &mut Rng) {
    let (w, h, t) = (rng.range(0.8, 1.5), rng.range(0.5, 0.85), rng.range(0.03, 0.12));
    let m = if rng.chance(0.7) { Material::dark(rng) } else { Material::plastic(rng) };
    let foot = if rng.chance(0.7) { m } else { Material::metal(rng) };
    let screen = if rng.chance(0.6) { Material::glass(rng) } else { Material::picture(rng) };
    let lift = rng.range(0.08, 0.3);
    s.part("screen", |s| {
        s.put(at(0.0, lift + h / 2.0, 0.0), block(w, h, t, 0.2 * t), &m);
        let border = rng.range(0.02, 0.06);
        s.put(
            at(0.0, lift + h / 2.0 + 0.2 * border, t / 2.0),
            block(w - 2.0 * border, h - 2.4 * border, 0.01, 0.0),
            &screen,
        );
    });
    s.part("support", |s| {
        let z = -0.5 * t - 0.03;
        if rng.chance(0.5) {
            s.put(
                at(0.0, (lift + 0.4 * h) / 2.0, z),
                block(rng.range(0.06, 0.25), lift + 0.4 * h, 0.04, 0.005),
                &foot,
            );
        } else {
            s.put(HERE, rod(at(0.0, 0.0, z), at(0.0, lift + 0.35 * h, z), 0.05, 0.035), &foot);
        }
        s.put(at(0.0, lift + 0.35 * h, -0.5 * t), block(0.3, 0.2, 0.04, 0.01), &foot);
    });
    s.part("base", |s| match rng.int(0, 2) {
        0 => s.put(at(0.0, 0.01, 0.0), block(w * rng.range(0.25, 0.5), 0.025, 0.3, 0.008), &foot),
        1 => s.scale(at(1.4, 1.0, 1.0), |s| s.put(at(0.0, 0.01, 0.0), cylinder(0.18, 0.025, 0.005), &foot)),
        _ => {
            for side in [-1.0, 1.0] {
                s.put(HERE, beam(at(0.0, 0.02, -0.06), at(side * 0.3 * w, 0.012, 0.15), 0.035, 0.025), &foot);
            }
        }
    });
}

/// Doors in their frames.
pub fn door_frame(s: &mut Scene, rng: &mut Rng) {
    let (h, wall) = (rng.range(1.8, 2.3), rng.range(0.05, 0.12));
    let leaves = rng.pick(&[1, 1, 1, 2]);
    let lw = rng.range(0.7, 1.0);
    let w = lw * leaves as f64;
    let leaf = if rng.chance(0.7) { Material::wood(rng) } else { Material::any(rng) };
    let frame = if rng.chance(0.5) { leaf.shaded(rng.range(0.7, 1.1)) } else { Material::any(rng) };
    let t = rng.range(0.06, 0.16);
    s.part("frame", |s| {
        for side in [-1.0, 1.0] {
            s.put(at(side * (w + wall) / 2.0, h / 2.0, 0.0), block(wall, h, t, 0.005), &frame);
        }
        s.put(at(0.0, h + wall / 2.0, 0.0), block(w + 2.0 * wall, wall, t, 0.005), &frame);
    });
    let front = Front::random(rng, leaf);
    let metal = Material::metal(rng);
    let ajar = rng.chance(0.6);
    let lever = rng.chance(0.5);
    for i in 0..leaves {
        let left = i == 0;
        let x = if leaves == 2 { (i as f64 - 0.5) * lw } else { 0.0 };
        let open = if ajar { rng.range(0.0, 110.0) } else { 0.0 };
        s.at(at(x, h / 2.0, -0.02), |s| {
            hinged(s, lw, left, open, |s| {
                s.part("door", |s| {
                    front.put(s, 0.985 * lw, 0.99 * h, 0.05);
                    for z in [0.05, 0.0] {
                        let out = if z > 0.0 { 1.0 } else { -1.0 };
                        s.part("handle", |s| {
                            let knob = at(lw * if left { 0.42 } else { -0.42 }, -0.05 * h, z);
                            s.at(knob, |s| {
                                s.put(HERE, rod(HERE, at(0.0, 0.0, 0.06 * out), 0.015, 0.015), &metal);
                                s.put(HERE, block(0.05, 0.12, 0.016, 0.004), &metal);
                                if lever {
                                    let reach = if left { -0.13 } else { 0.13 };
                                    s.put(
                                        HERE,
                                        rod(
                                            at(0.0, 0.0, 0.06 * out),
                                            at(reach, 0.0, 0.06 * out),
                                            0.015,
                                            0.012,
                                        ),
                                        &metal,
                                    );
                                } else {
                                    s.put(
                                        at(0.0, 0.0, 0.07 * out),
                                        solid::Solid::Ellipsoid(at(0.04, 0.04, 0.03)),
                                        &metal,
                                    );
                                }
                            });
                        });
                    }
                });
            });
        });
    }
}

/// Table, floor and desk lamps.
pub fn lamp(s: &mut Scene, rng: &mut Rng) {
    let metal = if rng.chance(0.6) { Material::metal(rng) } else { Material::any(rng) };
    let cloth = if rng.chance(0.5) { Material::light(rng) } else { Material::any(rng) };
    let glow = Material::light(rng);
    let h = rng.range(0.5, 1.4);
    let base = rng.range(0.14, 0.28);
    let thick = rng.range(0.012, 0.03);
    s.part("base", |s| {
        if rng.chance(0.7) {
            s.put(
                HERE,
                solid::turned(&[(base, 0.0), (base, 0.03), (0.4 * base, 0.06), (thick, 0.08)]),
                &metal,
            );
        } else {
            s.put(at(0.0, 0.02, 0.0), block(1.6 * base, 0.05, 1.6 * base, 0.01), &metal);
        }
    });
    let desk = rng.chance(0.4);
    let head = if desk {
        let elbow = at(-0.15, 0.6 * h, -0.1);
        let top = at(0.15, h, 0.15);
        s.part("body", |s| {
            s.put(HERE, rod(at(0.0, 0.06, 0.0), elbow, thick, thick), &metal);
            s.put(HERE, rod(elbow, top, thick, thick), &metal);
            s.put(elbow, solid::Solid::Ellipsoid(DVec3::splat(2.0 * thick)), &metal);
        });
        top
    } else {
        s.part("body", |s| {
            if rng.chance(0.5) {
                s.put(HERE, rod(at(0.0, 0.05, 0.0), at(0.0, h, 0.0), thick, thick), &metal);
            } else {
                let belly = rng.range(0.05, 0.14);
                let profile =
                    solid::soft(&[(0.5 * belly, 0.05), (belly, 0.3 * h), (0.3 * belly, 0.6 * h), (thick, h)]);
                let m = Material::any(rng);
                s.put(HERE, solid::turned(&profile), &m);
            }
        });
        at(0.0, h, 0.0)
    };
    let (low, high, sh) = (rng.range(0.15, 0.32), rng.range(0.06, 0.2), rng.range(0.15, 0.4));
    let tilt = if desk { rng.range(10.0, 50.0) } else { 0.0 };
    s.at(head, |s| {
        s.turn(DVec3::X, -tilt, |s| {
            s.part("shade", |s| {
                let shade = [(low, -0.5 * sh), (high.min(low), 0.5 * sh)];
                let inner: Vec<DVec2> = shade
                    .iter()
                    .map(|&(r, y)| dvec2(r, y))
                    .chain(shade.iter().rev().map(|&(r, y)| dvec2(r - 0.012, y)))
                    .collect();
                s.put(HERE, solid::Solid::Revolution(inner), &cloth);
                if desk {
                    s.put(at(0.0, 0.5 * sh, 0.0), cylinder(high.min(low), 0.012, 0.0), &cloth);
                }
            });
            s.part("bulb", |s| {
                s.put(at(0.0, -0.15 * sh, 0.0), solid::Solid::Ellipsoid(at(0.05, 0.07, 0.05)), &glow)
            });
        });
    });
}

/// Laptops, more or less open.
pub fn laptop(s: &mut Scene, rng: &mut Rng) {
    let (w, d, t) = (rng.range(0.9, 1.3), rng.range(0.65, 0.85), rng.range(0.03, 0.07));
    let m = if rng.chance(0.5) { Material::metal(rng) } else { Material::plastic(rng) };
    let keys = if rng.chance(0.7) { Material::dark(rng) } else { Material::light(rng) };
    let screen = if rng.chance(0.5) { Material::glass(rng) } else { Material::picture(rng) };
    s.put(HERE, block(w, t, d, 0.3 * t), &m);
    let y = t / 2.0;
    s.part("keyboard", |s| {
        let (kw, kd) = (0.88 * w, 0.42 * d);
        s.put(at(0.0, y, -0.13 * d), block(kw, 0.006, kd, 0.0), &keys.shaded(0.7));
        for i in 0..60 {
            let (row, column) = (i / 12, i % 12);
            let x = kw * ((column as f64 + 0.5) / 12.0 - 0.5);
            let z = -0.13 * d + kd * ((row as f64 + 0.5) / 5.0 - 0.5);
            s.put(at(x, y + 0.006, z), block(0.8 * kw / 12.0, 0.008, 0.8 * kd / 5.0, 0.0), &keys);
        }
    });
    s.part("touchpad", |s| s.put(at(0.0, y, 0.3 * d), block(0.3 * w, 0.006, 0.24 * d, 0.0), &m.shaded(0.85)));
    let open = rng.range(60.0, 130.0);
    s.at(at(0.0, y, -d / 2.0), |s| {
        s.part("shaft", |s| {
            s.put(HERE, rod(at(-0.4 * w, 0.0, 0.0), at(0.4 * w, 0.0, 0.0), 0.4 * t, 0.4 * t), &m.shaded(0.6))
        });
        s.turn(DVec3::X, 90.0 - open, |s| {
            s.part("screen", |s| {
                s.put(at(0.0, 0.5 * d, 0.0), block(w, d, 0.6 * t, 0.1 * t), &m);
                s.put(at(0.0, 0.5 * d, 0.3 * t), block(0.93 * w, 0.86 * d, 0.006, 0.0), &screen);
            });
            s.part("camera", |s| s.put(at(0.0, 0.965 * d, 0.3 * t), block(0.03, 0.015, 0.01, 0.0), &keys));
        });
    });
}

/// Suitcases: handles and wheels.
pub fn suitcase(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.45, 0.7), rng.range(0.6, 1.0), rng.range(0.2, 0.35));
    let m = if rng.chance(0.5) { Material::plastic(rng) } else { Material::fabric(rng) };
    let dark = Material::dark(rng);
    let radius = rng.range(0.03, 0.05);
    let wheel = Wheel::random(rng, radius);
    s.put(at(0.0, h / 2.0, 0.0), block(w, h, d, rng.range(0.03, 0.1)), &m);
    for i in 0..rng.int(0, 5) {
        let x = w * (i as f64 / 6.0 - 0.33);
        s.put(at(x, h / 2.0, 0.0), block(0.03, 0.9 * h, 1.03 * d, 0.01), &m.shaded(0.9));
    }
    s.put(at(0.0, h / 2.0, 0.0), block(1.01 * w, 1.01 * h, 0.02, 0.006), &dark);
    let spots: &[(f64, f64)] = if rng.chance(0.5) {
        &[(-0.4, -0.35), (0.4, -0.35), (-0.4, 0.35), (0.4, 0.35)]
    } else {
        &[(-0.4, -0.4), (0.4, -0.4)]
    };
    for &(x, z) in spots {
        wheel.castor(s, rng, at(x * w, 0.01, z * d), 2.3 * radius);
    }
    if rng.chance(0.7) {
        let up = rng.range(0.1, 0.45);
        let metal = Material::metal(rng);
        s.part("handle", |s| {
            for x in [-0.2 * w, 0.2 * w] {
                s.put(HERE, rod(at(x, h - 0.02, -0.35 * d), at(x, h + up, -0.35 * d), 0.01, 0.01), &metal);
            }
            s.put(at(0.0, h + up, -0.35 * d), block(0.5 * w, 0.035, 0.04, 0.012), &dark);
        });
    }
    let grip = |s: &mut Scene| {
        s.part("handle", |s| {
            let path = [at(-0.11, 0.0, 0.0), at(-0.09, 0.05, 0.0), at(0.09, 0.05, 0.0), at(0.11, 0.0, 0.0)];
            s.put(HERE, tube(&path, 0.014), &dark);
        });
    };
    s.at(at(0.0, h, 0.0), grip);
    if rng.chance(0.5) {
        s.at(at(w / 2.0, h / 2.0, 0.0), |s| s.turn(DVec3::Z, -90.0, grip));
    }
}

/// Bins: pedal bins, wheeled bins, swing tops.
pub fn trash_can(s: &mut Scene, rng: &mut Rng) {
    let m = if rng.chance(0.4) { Material::metal(rng) } else { Material::plastic(rng) };
    let top = if rng.chance(0.4) { m } else { Material::any(rng) };
    let dark = Material::dark(rng);
    let (r, h) = (rng.range(0.22, 0.4), rng.range(0.5, 1.1));
    let low = r * rng.range(0.7, 1.0);
    let open = if rng.chance(0.5) { 0.0 } else { rng.range(10.0, 100.0) };
    let d = if rng.chance(0.55) {
        s.put(HERE, solid::vessel(&[(low, 0.0), (r, h)], 0.02), &m);
        if open == 0.0 {
            s.hide(HERE, solid::turned(&[(0.98 * low, 0.01), (0.98 * r, 0.99 * h)]));
        }
        s.at(at(0.0, h, -r), |s| {
            s.turn(DVec3::X, -open, |s| {
                s.part("lid", |s| {
                    let dome = rng.range(0.02, 0.2);
                    s.put(
                        at(0.0, 0.0, r),
                        solid::turned(&[
                            (1.04 * r, 0.0),
                            (1.04 * r, 0.03),
                            (0.7 * r, 0.03 + 0.7 * dome),
                            (0.1 * r, 0.03 + dome),
                        ]),
                        &top,
                    );
                });
            });
        });
        r
    } else {
        let d = r * rng.range(0.8, 1.2);
        carcass_upright(s, [2.0 * r, h, 2.0 * d], low / r, &m);
        if open == 0.0 {
            s.hide(at(0.0, h / 2.0, 0.0), block(2.0 * low - 0.03, h - 0.02, 2.0 * d * low / r - 0.03, 0.0));
        }
        s.at(at(0.0, h, -d), |s| {
            s.turn(DVec3::X, -open, |s| {
                s.part("lid", |s| s.put(at(0.0, 0.02, d), block(2.1 * r, 0.05, 2.1 * d, 0.015), &top));
            });
        });
        if rng.chance(0.3) {
            s.at(at(0.0, 0.0, d), |s| {
                s.part("door", |s| {
                    s.put(at(0.0, 0.45 * h, 0.0), block(1.3 * low, 0.6 * h, 0.03, 0.005), &top)
                });
            });
        }
        d
    };
    if rng.chance(0.5) {
        s.part("footpedal", |s| {
            let reach = rng.range(0.06, 0.14);
            s.put(
                at(0.0, 0.04, 0.92 * d + reach / 2.0),
                block(rng.range(0.1, 0.2), 0.02, reach, 0.005),
                &dark,
            );
        });
        s.put(at(0.0, 0.02, 0.0), cylinder(1.02 * low, 0.05, 0.005), &dark);
    } else if rng.chance(0.4) {
        for x in [-0.9 * low, 0.9 * low] {
            s.at(at(x, 0.06, -d), |s| {
                s.turn(DVec3::Z, 90.0, |s| s.put(HERE, cylinder(0.07, 0.05, 0.01), &dark))
            });
        }
    }
}

/// An open box that narrows towards its floor.
fn carcass_upright(s: &mut Scene, [w, h, d]: [f64; 3], taper: f64, m: &Material) {
    let lean = ((1.0 - taper) * w / 2.0 / h).atan().to_degrees();
    let deep = ((1.0 - taper) * d / 2.0 / h).atan().to_degrees();
    for side in [-1.0, 1.0] {
        s.at(at(side * w * taper / 2.0, 0.0, 0.0), |s| {
            s.turn(DVec3::Z, -side * lean, |s| {
                s.put(at(0.0, h / 2.0, 0.0), block(0.02, h, 0.5 * (1.0 + taper) * d, 0.0), m)
            });
        });
        s.at(at(0.0, 0.0, side * d * taper / 2.0), |s| {
            s.turn(DVec3::X, side * deep, |s| {
                s.put(at(0.0, h / 2.0, 0.0), block(0.5 * (1.0 + taper) * w, h, 0.02, 0.0), m)
            });
        });
    }
    s.put(at(0.0, 0.01, 0.0), block(w * taper, 0.02, d * taper, 0.0), m);
}
