//! Bottles, kettles, pots.

use super::common::*;
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, rod, tube},
};
use glam::{DVec3, dvec2};

/// Bottles, jars, flasks, tumblers: the lid is a part.
pub fn bottle(s: &mut Scene, rng: &mut Rng) {
    let r = rng.range(0.12, 0.3);
    let h = rng.range(0.5, 1.0);
    let neck = r * rng.range(0.25, 1.0);
    let shoulder = h * rng.range(0.5, 0.85);
    let waist = r * rng.range(0.8, 1.05);
    let m = if rng.chance(0.4) { Material::glass(rng) } else { Material::any(rng) };
    let lid = if rng.chance(0.2) { m.shaded(1.1) } else { Material::plastic(rng) };
    let profile = [
        (0.85 * r, 0.0),
        (r, 0.03 * h),
        (waist, 0.5 * shoulder),
        (r, shoulder),
        (0.5 * (r + neck), shoulder + 0.45 * (0.93 * h - shoulder)),
        (neck, 0.93 * h),
        (neck, h),
    ];
    let bends = if rng.chance(0.65) { solid::soft(&profile) } else { profile.to_vec() };
    s.put(HERE, solid::turned(&bends), &m);
    if rng.chance(0.5) {
        let label = Material::picture(rng);
        let y = shoulder * rng.range(0.3, 0.7);
        s.put(at(0.0, y, 0.0), cylinder(1.01 * r, 0.35 * shoulder, 0.0), &label);
    }
    let lid_h = h * rng.range(0.05, 0.16);
    let lid_r = neck * rng.range(1.03, 1.25);
    s.part("lid", |s| {
        s.at(at(0.0, h - 0.4 * lid_h, 0.0), |s| match rng.int(0, 3) {
            0 => s.put(at(0.0, lid_h / 2.0, 0.0), cylinder(lid_r, lid_h, 0.1 * lid_h), &lid),
            1 => s.put(
                HERE,
                solid::turned(&[
                    (lid_r, 0.0),
                    (lid_r, 0.6 * lid_h),
                    (0.6 * lid_r, lid_h),
                    (0.2 * lid_r, 1.5 * lid_h),
                ]),
                &lid,
            ),
            2 => {
                s.put(HERE, solid::turned(&[(lid_r, 0.0), (0.9 * lid_r, lid_h)]), &lid);
                s.put(at(0.0, lid_h, 0.0), cylinder(0.35 * lid_r, 0.6 * lid_h, 0.0), &lid);
                s.put(
                    at(0.0, 1.6 * lid_h, 0.25 * lid_r),
                    block(0.4 * lid_r, 0.4 * lid_h, 1.3 * lid_r, 0.02),
                    &lid,
                );
            }
            _ => {
                s.put(at(0.0, lid_h / 2.0, 0.0), cylinder(lid_r, lid_h, 0.3 * lid_h), &lid);
                s.at(at(0.0, lid_h, 0.0), |s| {
                    s.put(HERE, solid::ring(dvec2(0.5 * lid_r, 0.8 * lid_h), 0.1 * lid_r), &lid)
                });
            }
        });
    });
    if rng.chance(0.15) {
        let path = [
            at(0.9 * r, 0.2 * h, 0.0),
            at(1.6 * r, 0.3 * h, 0.0),
            at(1.6 * r, 0.55 * h, 0.0),
            at(0.9 * r, 0.65 * h, 0.0),
        ];
        s.put(HERE, tube(&path, 0.1 * r), &m);
    }
}

/// Kettles and teapots.
pub fn kettle(s: &mut Scene, rng: &mut Rng) {
    let r = rng.range(0.3, 0.5);
    let h = rng.range(0.4, 1.0);
    let top = r * rng.range(0.4, 0.9);
    let base = r * rng.range(0.6, 1.0);
    let belly = rng.range(0.25, 0.6);
    let m = match rng.int(0, 3) {
        0 => Material::metal(rng),
        1 => Material::light(rng),
        _ => Material::any(rng),
    };
    let grip = if rng.chance(0.35) { m } else { Material::any(rng) };
    let body = |t: f64| {
        if t < belly {
            base + (r - base) * (t / belly).sqrt()
        } else {
            r + (top - r) * ((t - belly) / (1.0 - belly)).powi(2)
        }
    };
    let profile: Vec<(f64, f64)> = (0..=14).map(|i| i as f64 / 14.0).map(|t| (body(t), t * h)).collect();
    s.put(HERE, solid::turned(&profile), &m);
    if rng.chance(0.3) {
        let foot = Material::plastic(rng);
        s.put(at(0.0, -0.03, 0.0), cylinder(1.1 * base, 0.06, 0.01), &foot);
    }
    let lid = if rng.chance(0.6) { m.shaded(rng.range(0.9, 1.05)) } else { grip };
    s.part("lid", |s| {
        let (lr, dome) = (0.95 * top, rng.range(0.02, 0.16));
        s.at(at(0.0, h - 0.01, 0.0), |s| {
            s.put(
                HERE,
                solid::turned(&[
                    (lr, 0.0),
                    (lr, 0.02),
                    (0.75 * lr, 0.02 + 0.6 * dome),
                    (0.3 * lr, 0.02 + dome),
                    (0.03, 0.02 + dome),
                ]),
                &lid,
            );
            finial(s, rng, at(0.0, 0.02 + dome, 0.0), 0.2 * top, &lid);
        });
    });
    let turn = rng.pick(&[0.0, 90.0, 180.0, 270.0]) + rng.range(-5.0, 5.0);
    s.turn(DVec3::Y, turn, |s| {
        s.part("handle", |s| {
            let thick = rng.range(0.025, 0.055);
            if rng.chance(0.35) {
                let rise = rng.range(0.25, 0.55);
                let path = [
                    at(-0.9 * top, h * 0.95, 0.0),
                    at(-0.85 * r, h + 0.7 * rise, 0.0),
                    at(0.0, h + rise + 0.1, 0.0),
                    at(0.85 * r, h + 0.7 * rise, 0.0),
                    at(0.9 * top, h * 0.95, 0.0),
                ];
                s.put(HERE, tube(&path, thick), &grip);
            } else {
                let reach = rng.range(0.2, 0.4);
                let (high, low) = (rng.range(0.75, 0.95), rng.range(0.15, 0.45));
                let path = [
                    at(-0.95 * body(high), high * h, 0.0),
                    at(-r - reach, (high + 0.03) * h, 0.0),
                    at(-r - reach, 0.5 * (high + low) * h, 0.0),
                    at(-r - 0.5 * reach, low * h, 0.0),
                    at(-0.97 * body(low), low * h, 0.0),
                ];
                let open = rng.chance(0.2);
                s.put(HERE, tube(&path[..if open { 4 } else { 5 }], thick), &grip);
            }
        });
        s.part("spout", |s| {
            if rng.chance(0.3) {
                let beak = [dvec2(0.0, 0.0), dvec2(0.14, 0.12), dvec2(0.0, 0.12)];
                s.at(at(0.95 * body(0.9), 0.85 * h, 0.0), |s| {
                    s.put(HERE, solid::plate(beak.to_vec(), 0.16), &m)
                });
            } else {
                let low = rng.range(0.2, 0.5);
                let (out, up) = (rng.range(0.25, 0.5), h * rng.range(0.75, 1.05));
                let path = solid::smooth(&[
                    at(0.9 * body(low), low * h, 0.0),
                    at(r + 0.35 * out, (low + 0.1) * h, 0.0),
                    at(r + 0.7 * out, 0.85 * up, 0.0),
                    at(r + out, up, 0.0),
                ]);
                let n = path.len() - 1;
                let (from, to) = (rng.range(0.07, 0.13), rng.range(0.025, 0.05));
                let radii = (0..=n).map(|i| from + (to - from) * i as f64 / n as f64).collect();
                s.put(HERE, solid::Solid::Tube { path, radii, closed: false }, &m);
            }
        });
    });
}

fn finial(s: &mut Scene, rng: &mut Rng, center: DVec3, r: f64, m: &Material) {
    let other = if rng.chance(0.5) { *m } else { Material::dark(rng) };
    s.at(center, |s| match rng.int(0, 2) {
        0 => {
            s.put(at(0.0, 0.3 * r, 0.0), cylinder(0.4 * r, 0.8 * r, 0.0), &other);
            s.put(at(0.0, 1.1 * r, 0.0), solid::Solid::Ellipsoid(at(r, 0.6 * r, r)), &other);
        }
        1 => s.put(
            HERE,
            solid::turned(&[(0.6 * r, -0.1 * r), (0.4 * r, 0.4 * r), (r, 0.8 * r), (r, 1.2 * r)]),
            &other,
        ),
        _ => s.put(at(0.0, 0.1 * r, 0.0), solid::ring(dvec2(1.2 * r, r), 0.25 * r), &other),
    });
}

/// Pots and pans with lids.
pub fn pot(s: &mut Scene, rng: &mut Rng) {
    let r = rng.range(0.3, 0.55);
    let h = rng.range(0.2, 0.75);
    let base = r * rng.range(0.7, 1.0);
    let m = if rng.chance(0.5) { Material::metal(rng) } else { Material::any(rng) };
    let grip = match rng.int(0, 2) {
        0 => m,
        1 => Material::dark(rng),
        _ => Material::any(rng),
    };
    let bulge = r * rng.range(1.0, 1.12);
    let profile = [(0.9 * base, 0.0), (base, 0.04), (bulge, 0.6 * h), (r, h)];
    let bends = if rng.chance(0.7) { solid::soft(&profile) } else { profile.to_vec() };
    s.put(HERE, solid::vessel(&bends, 0.02), &m);
    s.at(at(0.0, h, 0.0), |s| s.turn(DVec3::X, 90.0, |s| s.put(HERE, solid::ring(dvec2(r, r), 0.015), &m)));
    if rng.chance(0.9) {
        let lid = match rng.int(0, 3) {
            0 => Material::glass(rng),
            1 => Material::any(rng),
            _ => m.shaded(rng.range(0.85, 1.1)),
        };
        let dome = rng.range(0.02, 0.2);
        s.hide(
            at(0.0, 0.0, 0.0),
            solid::turned(&[(0.8 * base, 0.02), (0.96 * r, 0.6 * h), (0.96 * r, 0.98 * h)]),
        );
        let (lift, tilt) =
            if rng.chance(0.85) { (0.0, 0.0) } else { (rng.range(0.02, 0.3), rng.range(-20.0, 20.0)) };
        s.at(at(0.0, h + lift, 0.0), |s| {
            s.turn(DVec3::Z, tilt, |s| {
                s.part("lid", |s| {
                    let profile: Vec<(f64, f64)> = (0..=8)
                        .map(|i| i as f64 / 8.0)
                        .map(|t| (1.03 * r * (1.0 - 0.92 * t), 0.015 + dome * (1.0 - (1.0 - t) * (1.0 - t))))
                        .collect();
                    s.put(HERE, solid::turned(&[&[(1.03 * r, -0.005)], &profile[..]].concat()), &lid);
                    let size = rng.range(0.04, 0.09);
                    finial(s, rng, at(0.0, 0.015 + dome, 0.0), size, &grip);
                });
            });
        });
    }
    let y = h * rng.range(0.6, 0.88);
    let wall = base + (r - base) * y / h;
    if rng.chance(0.35) {
        let (length, thick) = (rng.range(0.4, 0.8), rng.range(0.025, 0.05));
        s.part("handle", |s| {
            s.put(
                HERE,
                rod(at(0.97 * wall, y, 0.0), at(wall + 0.15, y + 0.03, 0.0), 0.6 * thick, 0.6 * thick),
                &m,
            );
            s.put(
                HERE,
                rod(at(wall + 0.12, y + 0.02, 0.0), at(wall + length, y + 0.08, 0.0), 0.8 * thick, thick),
                &grip,
            );
        });
    } else {
        let (reach, half, thick) = (rng.range(0.08, 0.18), rng.range(0.08, 0.16), rng.range(0.014, 0.035));
        let kind = rng.int(0, 1);
        for side in [-1.0, 1.0] {
            s.part("handle", |s| {
                let x = side * 0.97 * bulge;
                let path = [
                    at(x, y, -half),
                    at(x + side * reach, y + 0.02, -half),
                    at(x + side * reach, y + 0.02, half),
                    at(x, y, half),
                ];
                if kind == 0 {
                    s.put(HERE, tube(&path, thick), &grip);
                } else {
                    s.put(
                        at(x + side * reach / 2.0, y, 0.0),
                        block(reach + 0.04, 1.4 * thick, 2.0 * half, 0.3 * thick),
                        &grip,
                    );
                }
            });
        }
    }
}

/// Buckets and pails.
pub fn bucket(s: &mut Scene, rng: &mut Rng) {
    let (r, h) = (rng.range(0.3, 0.5), rng.range(0.4, 0.9));
    let base = r * rng.range(0.55, 0.95);
    let m = if rng.chance(0.3) { Material::metal(rng) } else { Material::any(rng) };
    let grip = match rng.int(0, 2) {
        0 => m,
        1 => Material::metal(rng),
        _ => Material::any(rng),
    };
    s.put(HERE, solid::vessel(&[(base, 0.0), (0.5 * (base + r), 0.5 * h), (r, h)], 0.02), &m);
    s.at(at(0.0, h, 0.0), |s| s.turn(DVec3::X, 90.0, |s| s.put(HERE, solid::ring(dvec2(r, r), 0.02), &m)));
    if rng.chance(0.3) {
        s.put(
            at(0.0, 0.3 * h, 0.0),
            cylinder(0.92 * r.min(base + 0.4 * (r - base)) + 0.03, 0.03, 0.0),
            &m.shaded(0.9),
        );
    }
    let thick = rng.range(0.01, 0.03);
    let fall = if rng.chance(0.6) { rng.range(-10.0, 10.0) } else { rng.range(-100.0, 100.0) };
    let rise = r * rng.range(0.8, 1.2);
    let turn = rng.pick(&[0.0, 90.0]) + rng.range(-10.0, 10.0);
    s.at(at(0.0, 0.95 * h, 0.0), |s| {
        s.turn(DVec3::Y, turn, |s| {
            s.turn(DVec3::X, fall, |s| {
                s.part("handle", |s| {
                    let path: Vec<DVec3> = (0..=10)
                        .map(|i| std::f64::consts::PI * i as f64 / 10.0)
                        .map(|a| at(1.04 * r * a.cos(), rise * a.sin(), 0.0))
                        .collect();
                    s.put(HERE, tube(&path, thick), &grip);
                    if rng.chance(0.4) {
                        let roll = Material::any(rng);
                        s.put(
                            at(0.0, rise, 0.0),
                            solid::rod(
                                at(-0.25 * r, -0.01, 0.0),
                                at(0.25 * r, -0.01, 0.0),
                                2.0 * thick,
                                2.0 * thick,
                            ),
                            &roll,
                        );
                    }
                });
            });
            for x in [-1.03 * r, 1.03 * r] {
                s.put(at(x, 0.0, 0.0), block(0.02, 0.09, 0.09, 0.005), &m.shaded(0.8));
            }
        });
    });
}

/// Taps: one or two switches, a spout.
pub fn faucet(s: &mut Scene, rng: &mut Rng) {
    let m = if rng.chance(0.75) { Material::metal(rng) } else { Material::plastic(rng) };
    let knobs = if rng.chance(0.7) { m } else { Material::any(rng) };
    let thick = rng.range(0.03, 0.06);
    let square = rng.chance(0.25);
    let two = rng.chance(0.5);
    let spread = if two { rng.range(0.15, 0.45) } else { 0.0 };
    let column = rng.range(0.08, 0.35);
    let foot = |s: &mut Scene, x: f64, h: f64, r: f64| {
        s.put(
            at(x, 0.0, 0.0),
            solid::turned(&[(1.7 * r, 0.0), (1.7 * r, 0.02), (1.2 * r, 0.04), (r, 0.5 * h), (r, h)]),
            &m,
        );
    };
    foot(s, 0.0, column, 1.2 * thick);
    if two && rng.chance(0.5) {
        s.put(
            at(0.0, 0.6 * column.min(0.12), 0.0),
            block(2.0 * spread, 1.2 * thick, 1.4 * thick, 0.3 * thick),
            &m,
        );
    }
    s.part("spout", |s| {
        let (up, out) = (rng.range(0.1, 0.75), rng.range(0.25, 0.6));
        let y = 0.95 * column;
        if square || rng.chance(0.25) {
            let elbow = at(0.0, y + 0.5 * up, 0.0);
            let tip = at(0.0, y + up * rng.range(0.4, 0.6), out);
            let bar = |a: DVec3, b: DVec3| {
                if square { beam(a, b, 1.6 * thick, 1.5 * thick) } else { rod(a, b, thick, 0.9 * thick) }
            };
            s.put(HERE, bar(at(0.0, y, 0.0), elbow + at(0.0, 0.7 * thick, 0.0)), &m);
            s.put(HERE, bar(elbow, tip), &m);
            s.put(HERE, bar(tip + at(0.0, 0.5 * thick, -thick), tip - at(0.0, 1.8 * thick, thick)), &m);
        } else {
            let top = y + up;
            let path = solid::smooth(&[
                at(0.0, y - 0.02, 0.0),
                at(0.0, y + 0.6 * up, 0.0),
                at(0.0, top, 0.25 * out),
                at(0.0, top + 0.02, 0.7 * out),
                at(0.0, top - 0.25 * up, out),
                at(0.0, top - rng.range(0.3, 0.5) * up, out),
            ]);
            let n = path.len();
            s.put(path[n - 1], cylinder(1.2 * thick, 0.06, 0.01), &m);
            s.put(HERE, solid::Solid::Tube { radii: vec![0.8 * thick; n], path, closed: false }, &m);
        }
    });
    let kind = rng.int(0, 3);
    let length = rng.range(0.12, 0.3);
    let lift = rng.range(-5.0, 35.0);
    let low = rng.range(0.08, 0.16);
    let sides: &[f64] = if two { &[-1.0, 1.0] } else { &[rng.pick(&[0.0, 1.0, -1.0])] };
    for &side in sides {
        let x = side * spread;
        let h = if two { low } else { column };
        if two {
            foot(s, x, h, 0.9 * thick);
        }
        let turn = if side == 0.0 { 0.0 } else { 90.0 * side };
        let base = if two {
            at(x, h, 0.0)
        } else if side == 0.0 {
            at(0.0, 0.7 * h, -0.8 * thick)
        } else {
            at(side * thick, 0.6 * h, 0.0)
        };
        s.part("switch", |s| {
            s.at(base, |s| {
                s.turn(DVec3::Y, if side == 0.0 { 180.0 } else { turn }, |s| {
                    s.turn(DVec3::X, if two { 0.0 } else { 60.0 - lift }, |s| match kind {
                        0 => {
                            s.put(at(0.0, 0.02, 0.0), cylinder(thick, 0.05, 0.01), &knobs);
                            s.put(
                                HERE,
                                rod(
                                    at(0.0, 0.03, 0.0),
                                    at(0.0, 0.03 + length * 0.3, length),
                                    0.5 * thick,
                                    0.35 * thick,
                                ),
                                &knobs,
                            );
                        }
                        1 => {
                            s.put(at(0.0, 0.05, 0.0), cylinder(0.5 * thick, 0.1, 0.0), &knobs);
                            for turn in [0.0, 90.0] {
                                s.turn(DVec3::Y, turn, |s| {
                                    s.put(
                                        HERE,
                                        rod(
                                            at(-1.8 * thick, 0.08, 0.0),
                                            at(1.8 * thick, 0.08, 0.0),
                                            0.4 * thick,
                                            0.4 * thick,
                                        ),
                                        &knobs,
                                    )
                                });
                            }
                        }
                        2 => s.put(
                            HERE,
                            solid::turned(&[
                                (0.6 * thick, -0.02),
                                (0.7 * thick, 0.02),
                                (1.6 * thick, 0.04),
                                (1.5 * thick, 0.11),
                                (0.6 * thick, 0.13),
                            ]),
                            &knobs,
                        ),
                        _ => {
                            s.put(at(0.0, 0.02, 0.0), block(1.8 * thick, 0.05, 1.8 * thick, 0.01), &knobs);
                            s.put(
                                at(0.0, 0.05, 0.4 * length),
                                block(1.3 * thick, 0.35 * thick, length, 0.1 * thick),
                                &knobs,
                            );
                        }
                    });
                });
            });
        });
    }
}
