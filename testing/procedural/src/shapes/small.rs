//! Things that fit into a hand.

use super::{appliances::button, common::*};
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, plate, rod, rounded, tube},
};
use glam::{DVec2, DVec3, dvec2};

/// Cameras: the lens and the buttons are parts.
pub fn camera(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.8, 1.2), rng.range(0.5, 0.8), rng.range(0.25, 0.5));
    let m = if rng.chance(0.6) { Material::dark(rng) } else { Material::any(rng) };
    let (trim, glass) = (Material::any(rng), Material::glass(rng));
    s.put(HERE, block(w, h, d, rng.range(0.01, 0.1)), &m);
    if rng.chance(0.5) {
        s.put(at(0.0, -0.05 * h, 0.0), block(1.01 * w, 0.55 * h, 1.01 * d, 0.02), &trim);
    }
    let x = rng.range(-0.15, 0.15) * w;
    s.part("lens", |s| {
        s.at(at(x, -0.04 * h, d / 2.0), |s| {
            s.turn(DVec3::X, 90.0, |s| {
                let (mut r, mut y) = (h * rng.range(0.28, 0.46), 0.0);
                for ring in 0..rng.int(1, 4) {
                    let length = rng.range(0.06, 0.3);
                    let shade = if ring % 2 == 0 { m.shaded(1.4) } else { trim };
                    s.put(at(0.0, y + length / 2.0, 0.0), cylinder(r, length, 0.02), &shade);
                    y += length;
                    r *= rng.range(0.8, 1.02);
                }
                s.put(at(0.0, y, 0.0), solid::Solid::Ellipsoid(at(0.75 * r, 0.04, 0.75 * r)), &glass);
            });
        });
    });
    if rng.chance(0.6) {
        s.put(at(x, 0.5 * h, 0.0), block(0.3 * w, 0.22 * h, 0.9 * d, 0.04), &m);
        s.put(at(x, 0.53 * h, d * 0.46), block(0.2 * w, 0.1 * h, 0.02, 0.0), &glass);
    } else {
        s.put(at(0.3 * w, 0.3 * h, d / 2.0), block(0.14 * w, 0.1 * h, 0.02, 0.004), &glass);
    }
    let metal = if rng.chance(0.5) { Material::metal(rng) } else { Material::any(rng) };
    for i in 0..rng.int(1, 3) {
        let place = at((-0.4 + 0.11 * i as f64) * w, h / 2.0, rng.range(-0.1, 0.1) * d);
        let r = rng.range(0.025, 0.055);
        let t = rng.range(0.02, 0.07);
        s.at(place, |s| s.turn(DVec3::X, -90.0, |s| button(s, HERE, [2.0 * r, 2.0 * r, t], true, &metal)));
    }
    if rng.chance(0.7) {
        let picture = Material::picture(rng);
        s.at(at(0.0, 0.0, -d / 2.0), |s| {
            s.turn(DVec3::Y, 180.0, |s| {
                s.put(at(-0.12 * w, -0.03 * h, 0.0), block(0.62 * w, 0.68 * h, 0.02, 0.0), &picture);
                for i in 0..rng.int(2, 6) {
                    let spot = at(0.35 * w, (0.28 - 0.13 * i as f64) * h, 0.0);
                    button(s, spot, [0.08 * w, 0.08 * h, 0.025], true, &metal);
                }
            });
        });
    }
}

/// Remote controls.
pub fn remote(s: &mut Scene, rng: &mut Rng) {
    let (w, h, d) = (rng.range(0.18, 0.4), rng.range(0.8, 1.2), rng.range(0.05, 0.12));
    let m = if rng.chance(0.7) { Material::dark(rng) } else { Material::plastic(rng) };
    let face = if rng.chance(0.5) { m } else { Material::plastic(rng) };
    let tilt = if rng.chance(0.75) { 0.0 } else { -90.0 };
    s.turn(DVec3::X, tilt, |s| {
        s.put(HERE, plate(rounded(w, h, rng.range(0.01, 0.12)), d), &m);
        s.put(at(0.0, 0.0, d / 2.0), plate(rounded(0.94 * w, 0.97 * h, 0.03), 0.012), &face);
        let main = match rng.int(0, 2) {
            0 => face.shaded(rng.range(0.7, 1.4)),
            1 => Material::light(rng),
            _ => Material::plastic(rng),
        };
        let (columns, rows) = (rng.int(2, 4), rng.int(5, 12));
        let (cw, ch) = (0.88 * w / columns as f64, 0.9 * h / rows as f64);
        let wheel = rng.chance(0.5).then(|| rng.int(1, rows - 3));
        let mut row = 0;
        while row < rows {
            let y = 0.45 * h - (row as f64 + 0.5) * ch;
            if wheel == Some(row) {
                let r = (0.42 * w).min(0.9 * ch);
                button(s, at(0.0, y - 0.5 * ch, d / 2.0), [0.8 * r, 0.8 * r, 0.02], true, &main);
                for (dx, dy) in [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)] {
                    button(
                        s,
                        at(0.75 * r * dx, y - 0.5 * ch + 0.75 * r * dy, d / 2.0),
                        [0.5 * r, 0.5 * r, 0.018],
                        false,
                        &main,
                    );
                }
                row += 2;
                continue;
            }
            let round = rng.chance(0.4);
            let own = if rng.chance(0.2) { Material::plastic(rng) } else { main };
            let size = [rng.range(0.5, 0.85) * cw, rng.range(0.4, 0.75) * ch, 0.02];
            if !rng.chance(0.1) {
                for column in 0..columns {
                    let x = (column as f64 + 0.5) * cw - 0.44 * w;
                    button(s, at(x, y, d / 2.0), size, round, &own);
                }
            }
            row += 1;
        }
    });
}

/// Wall switches, rockers, toggles.
pub fn switch(s: &mut Scene, rng: &mut Rng) {
    let count = rng.pick(&[1, 1, 2, 2, 3, 4]);
    let (w, h, d) = (0.35 + 0.3 * count as f64, rng.range(0.7, 1.1), rng.range(0.06, 0.3));
    let m = if rng.chance(0.5) { Material::light(rng) } else { Material::any(rng) };
    let key = match rng.int(0, 2) {
        0 => m.shaded(0.95),
        1 => Material::plastic(rng),
        _ => Material::any(rng),
    };
    s.put(HERE, block(w, h, d, rng.range(0.005, 0.05)), &m);
    s.put(at(0.0, 0.0, -d), block(0.7 * w, 0.7 * h, d, 0.0), &m.shaded(0.7));
    let kind = rng.int(0, 3);
    let (kw, kh) = (rng.range(0.16, 0.26), h * rng.range(0.35, 0.7));
    for i in 0..count {
        let x = (i as f64 - 0.5 * (count as f64 - 1.0)) * 0.31;
        let up = if rng.chance(0.5) { 1.0 } else { -1.0 };
        s.at(at(x, 0.0, d / 2.0), |s| {
            s.part("switch", |s| match kind {
                0 => s.turn(DVec3::X, 8.0 * up, |s| s.put(HERE, block(kw, kh, 0.08, 0.01), &key)),
                1 => {
                    let tip = at(0.0, 0.14 * up, 0.26);
                    s.put(HERE, rod(HERE, tip, 0.035, 0.05), &key);
                    s.put(tip, solid::Solid::Ellipsoid(DVec3::splat(0.05)), &key);
                }
                2 => s.put(HERE, rod(at(0.0, 0.0, -0.02), at(0.0, 0.0, 0.1), 0.5 * kw, 0.45 * kw), &key),
                _ => {
                    let wedge = vec![
                        dvec2(-kh / 2.0, 0.0),
                        dvec2(kh / 2.0, 0.0),
                        dvec2(kh / 2.0, 0.03),
                        dvec2(0.0, 0.06),
                        dvec2(-kh / 2.0, 0.16),
                    ];
                    s.turn(DVec3::X, 90.0, |s| {
                        s.turn(DVec3::Y, 90.0 * up, |s| s.put(HERE, plate(wedge, kw), &key))
                    });
                }
            });
            if rng.chance(0.5) {
                s.put(at(0.0, 0.0, -0.01), block(1.25 * kw, 1.15 * kh, 0.03, 0.0), &m.shaded(0.85));
            }
        });
    }
    if rng.chance(0.6) {
        for y in [-0.43 * h, 0.43 * h] {
            s.at(at(0.0, y, d / 2.0), |s| {
                s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(0.025, 0.02, 0.0), &m.shaded(0.6)))
            });
        }
    }
}

/// Eyeglasses: the front with its lenses is the body, the temples are the legs.
pub fn eyeglasses(s: &mut Scene, rng: &mut Rng) {
    let m = if rng.chance(0.5) { Material::dark(rng) } else { Material::any(rng) };
    let legs = if rng.chance(0.6) { m } else { Material::any(rng) };
    let half = dvec2(rng.range(0.24, 0.32), rng.range(0.16, 0.28));
    let (thick, gap) = (rng.range(0.012, 0.04), rng.range(0.04, 0.1));
    let (square, corner) = (rng.chance(0.5), rng.range(0.05, 0.15));
    let lens = rng.chance(0.4).then(|| Material::glass(rng));
    s.part("body", |s| {
        for side in [-1.0, 1.0] {
            s.at(at(side * (half.x + gap), 0.0, 0.0), |s| {
                if square {
                    let outline = rounded(2.0 * half.x, 2.0 * half.y, corner);
                    let path: Vec<DVec3> = outline.iter().map(|p| p.extend(0.0)).collect();
                    s.put(
                        HERE,
                        solid::Solid::Tube { radii: vec![thick; path.len()], path, closed: true },
                        &m,
                    );
                } else {
                    s.put(HERE, solid::ring(half, thick), &m);
                }
                if let Some(lens) = lens {
                    s.put(HERE, plate(solid::ellipse(0.98 * half, 24), 0.01), &lens);
                }
            });
        }
        let bridge = [
            at(-1.2 * gap, 0.3 * half.y, 0.0),
            at(0.0, 0.45 * half.y, 0.03),
            at(1.2 * gap, 0.3 * half.y, 0.0),
        ];
        s.put(HERE, tube(&bridge, thick), &m);
    });
    let length = rng.range(0.9, 1.3);
    for side in [-1.0, 1.0] {
        let folded = if rng.chance(0.75) { rng.range(-5.0, 10.0) } else { rng.range(20.0, 85.0) };
        let x = side * (2.0 * half.x + gap + thick);
        s.at(at(x, 0.4 * half.y, 0.0), |s| {
            s.turn(DVec3::Y, side * folded, |s| {
                s.part("leg", |s| {
                    let path = [
                        HERE,
                        at(0.0, 0.02, -0.1),
                        at(0.0, 0.01, -0.75 * length),
                        at(0.0, -0.06, -0.88 * length),
                        at(0.0, -0.2, -length),
                    ];
                    s.scale(at(0.7, 1.5, 1.0), |s| s.put(HERE, tube(&path, thick), &legs));
                });
            });
        });
    }
}

/// Scissors: two blades, two handles, a screw.
pub fn scissors(s: &mut Scene, rng: &mut Rng) {
    let steel = Material::metal(rng);
    let grip = if rng.chance(0.8) { Material::plastic(rng) } else { steel };
    let open = rng.range(3.0, 35.0);
    let length = rng.range(0.55, 1.0);
    let (half, thick) = (dvec2(rng.range(0.1, 0.15), rng.range(0.14, 0.24)), rng.range(0.022, 0.045));
    let turn = rng.range(-30.0, 30.0);
    let lying = rng.chance(0.75);
    s.turn(DVec3::Y, turn, |s| {
        s.turn(DVec3::X, if lying { 90.0 } else { 0.0 }, |s| {
            for side in [-1.0, 1.0] {
                s.turn(DVec3::Z, side * open / 2.0, |s| {
                    s.scale(at(side, 1.0, 1.0), |s| {
                        s.at(at(0.0, 0.0, 0.012 * side), |s| {
                            s.part("blade", |s| {
                                let blade = vec![
                                    dvec2(-0.05, -0.12),
                                    dvec2(0.05, -0.1),
                                    dvec2(0.06, 0.1),
                                    dvec2(0.045, 0.5 * length),
                                    dvec2(0.0, length),
                                    dvec2(-0.02, length),
                                    dvec2(-0.04, 0.1),
                                ];
                                s.put(HERE, plate(blade, 0.022), &steel);
                            });
                            s.part("handle", |s| {
                                s.put(
                                    HERE,
                                    rod(at(0.0, -0.06, 0.0), at(-0.1, -0.22, 0.0), 0.04, 0.05),
                                    &grip,
                                );
                                s.at(at(-0.05 - half.x, -0.2 - half.y, 0.0), |s| {
                                    s.put(HERE, solid::ring(half, thick), &grip)
                                });
                            });
                        });
                    });
                });
            }
            let bolt = steel.shaded(0.7);
            s.part("screw", |s| s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(0.035, 0.07, 0.01), &bolt)));
        });
    });
}

/// Kitchen knives, cutters, pocket knives.
pub fn knife(s: &mut Scene, rng: &mut Rng) {
    let steel = Material::metal(rng);
    let grip = Material::any(rng);
    let length = rng.range(0.5, 1.1);
    let (wide, long) = (rng.range(0.06, 0.22), rng.range(0.45, 0.65));
    let kind = rng.int(0, 2);
    let turn = rng.pick(&[0.0, 90.0]) + rng.range(-10.0, 10.0);
    let flat = rng.chance(0.4);
    s.turn(DVec3::Y, turn, |s| {
        s.turn(DVec3::X, if flat { 90.0 } else { 0.0 }, |s| {
            let fold = if kind == 2 && rng.chance(0.6) { rng.range(20.0, 150.0) } else { 0.0 };
            s.turn(DVec3::Z, fold, |s| {
                s.part("blade", |s| {
                    let blade = if kind == 1 {
                        vec![
                            dvec2(0.0, 0.0),
                            dvec2(0.85 * length, 0.0),
                            dvec2(length, 0.5 * wide),
                            dvec2(0.9 * length, wide),
                            dvec2(0.0, wide),
                        ]
                    } else {
                        vec![
                            dvec2(0.0, -0.1 * wide),
                            dvec2(0.6 * length, 0.0),
                            dvec2(0.9 * length, 0.4 * wide),
                            dvec2(length, wide),
                            dvec2(0.0, wide),
                        ]
                    };
                    s.put(HERE, plate(blade, 0.018), &steel);
                });
            });
            let t = rng.range(0.05, 0.09);
            let h = (0.9 * wide).max(0.07);
            s.put(at(-long / 2.0, wide / 2.0, 0.0), block(long, h, t, 0.4 * t), &grip);
            if rng.chance(0.5) {
                for i in 0..3 {
                    let x = -long * (0.2 + 0.3 * i as f64);
                    s.at(at(x, wide / 2.0, 0.0), |s| {
                        s.turn(DVec3::X, 90.0, |s| s.put(HERE, cylinder(0.015, 1.06 * t, 0.0), &steel))
                    });
                }
            }
            if rng.chance(0.4) {
                s.put(at(0.01, wide / 2.0, 0.0), block(0.03, 1.2 * h, 1.1 * t, 0.004), &steel.shaded(0.8));
            }
        });
    });
}

/// Pens with a cap or a button.
pub fn pen(s: &mut Scene, rng: &mut Rng) {
    let r = rng.range(0.025, 0.06);
    let m = Material::any(rng);
    let ink = Material::plastic(rng);
    let cap = if rng.chance(0.4) { ink } else { Material::any(rng) };
    let flip = if rng.chance(0.5) { 180.0 } else { 0.0 };
    let lying = if rng.chance(0.7) { 0.0 } else { 90.0 };
    s.turn(DVec3::X, lying, |s| {
        s.turn(DVec3::Z, flip, |s| {
            s.put(HERE, solid::turned(&[(0.2 * r, -0.55), (0.8 * r, -0.45), (r, -0.35), (r, 0.5)]), &m);
            let clip = |s: &mut Scene, y: f64, length: f64| {
                s.put(at(0.0, y - length / 2.0, 1.35 * r), block(0.5 * r, length, 0.2 * r, 0.05 * r), &cap);
                s.put(at(0.0, y, r), block(0.5 * r, 0.02, r, 0.0), &cap);
            };
            if rng.chance(0.5) {
                let (length, low) = (rng.range(0.25, 0.45), rng.chance(0.6));
                let y = if low { -0.56 } else { 0.56 - length };
                s.part("cap", |s| {
                    s.put(at(0.0, y + length / 2.0, 0.0), cylinder(1.18 * r, length, 0.2 * r), &cap);
                    clip(
                        s,
                        y + length * if low { 0.1 } else { 0.95 } + if low { 0.8 * length } else { 0.0 },
                        0.8 * length,
                    );
                });
            } else {
                s.put(at(0.0, 0.45, 0.0), cylinder(1.08 * r, 0.16, 0.0), &cap);
                clip(s, 0.5, 0.3);
                s.part("button", |s| {
                    s.put(at(0.0, 0.55, 0.0), cylinder(0.55 * r, rng.range(0.06, 0.14), 0.2 * r), &ink)
                });
            }
        });
    });
}

/// Staplers: the lid is the upper arm, the body the lower one.
pub fn stapler(s: &mut Scene, rng: &mut Rng) {
    let m = if rng.chance(0.5) { Material::dark(rng) } else { Material::plastic(rng) };
    let other = if rng.chance(0.6) { m.shaded(0.8) } else { Material::plastic(rng) };
    let (w, h, d) = (rng.range(0.18, 0.28), rng.range(0.1, 0.2), rng.range(0.9, 1.2));
    let steel = Material::metal(rng);
    let open = rng.range(3.0, 35.0);
    s.put(at(0.0, 0.04, 0.0), block(1.15 * w, 0.08, d, 0.03), &other);
    s.put(at(0.0, 0.1, -0.42 * d), block(w, 0.22, 0.15 * d, 0.02), &other.shaded(0.9));
    s.put(at(0.0, 0.085, 0.38 * d), block(0.6 * w, 0.012, 0.12 * d, 0.0), &steel);
    s.at(at(0.0, 0.17, -0.42 * d), |s| {
        s.turn(DVec3::X, -0.5 * open, |s| {
            s.part("body", |s| s.put(at(0.0, 0.02, 0.42 * d), block(0.7 * w, 0.09, 0.86 * d, 0.01), &steel));
        });
        s.turn(DVec3::X, -open * 0.6, |s| {
            s.part("lid", |s| {
                let side: Vec<DVec2> = [
                    (-0.06 * d, 0.0),
                    (0.86 * d, 0.0),
                    (0.9 * d, 0.4 * h),
                    (0.7 * d, h),
                    (0.1 * d, h),
                    (-0.06 * d, 0.5 * h),
                ]
                .map(|(x, y)| dvec2(x, y))
                .to_vec();
                s.at(at(0.0, 0.08, 0.0), |s| s.turn(DVec3::Y, -90.0, |s| s.put(HERE, plate(side, w), &m)));
            });
        });
    });
}
