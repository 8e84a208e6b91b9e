//! Chairs.

use super::common::*;
use crate::{
    material::Material,
    rng::Rng,
    scene::Scene,
    solid::{self, block, cylinder, rod, tube},
};
use glam::{DVec2, DVec3, dvec2};
use std::f64::consts::TAU;

struct Seat {
    w: f64,
    d: f64,
    y: f64,
    thick: f64,
    frame: Material,
    cushion: Material,
}

/// Four-legged chairs, office chairs, stools with backs, cantilevers, armchairs.
pub fn chair(s: &mut Scene, rng: &mut Rng) {
    let frame = match rng.int(0, 3) {
        0 | 1 => Material::wood(rng),
        2 => Material::metal(rng),
        _ => Material::plastic(rng),
    };
    let cushion = if rng.chance(0.35) { frame } else { Material::fabric(rng) };
    let seat = Seat {
        w: rng.range(0.4, 0.56),
        d: rng.range(0.38, 0.54),
        y: rng.range(0.4, 0.52),
        thick: rng.range(0.02, 0.1),
        frame,
        cushion,
    };
    match rng.int(0, 9) {
        0 | 1 => return armchair(s, rng, &seat),
        2..=4 => star_base(s, rng, &seat),
        5 => pedestal(s, rng, &seat),
        6 => sled(s, rng, &seat),
        _ => four_legs(s, rng, &seat),
    }
    s.part("seat", |s| put_seat(s, rng, &seat));
    let lean = rng.range(2.0, 18.0);
    s.at(at(0.0, seat.y, -0.46 * seat.d), |s| {
        s.turn(DVec3::X, -lean, |s| s.part("back", |s| put_back(s, rng, &seat)));
    });
    if rng.chance(0.55) {
        arms(s, rng, &seat);
    }
}

fn put_seat(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let Seat { w, d, y, thick, .. } = *seat;
    match rng.int(0, 4) {
        0 => s.at(at(0.0, y - thick / 2.0, 0.0), |s| {
            s.turn(DVec3::X, 90.0, |s| {
                let outline = solid::rounded(w, d, rng.range(0.03, 0.24));
                s.put(HERE, solid::plate(outline, thick), &seat.cushion);
            });
        }),
        1 => {
            s.put(at(0.0, y - 0.75 * thick, 0.0), block(w, 0.5 * thick, d, 0.01), &seat.frame);
            s.put(
                at(0.0, y - 0.25 * thick, 0.0),
                block(0.94 * w, thick, 0.94 * d, 0.5 * thick),
                &seat.cushion,
            );
        }
        2 => s.at(at(0.0, y, 0.0), |s| {
            s.turn(DVec3::X, 0.0, |s| {
                s.put(HERE, solid::plate(solid::arc(w, -0.6 * thick, 0.5 * thick), d), &seat.cushion)
            });
        }),
        3 if rng.chance(0.5) => {
            let slats = rng.int(4, 8);
            for i in 0..slats {
                let z = ((i as f64 + 0.5) / slats as f64 - 0.5) * d;
                s.put(at(0.0, y - 0.01, z), block(w, 0.02, 0.75 * d / slats as f64, 0.004), &seat.cushion);
            }
            for x in [-0.46 * w, 0.46 * w] {
                s.put(at(x, y - 0.035, 0.0), block(0.03, 0.03, d, 0.0), &seat.frame);
            }
        }
        _ => s.put(
            at(0.0, y - thick / 2.0, 0.0),
            block(w, thick, d, rng.range(0.1, 0.5) * thick),
            &seat.cushion,
        ),
    }
}

/// Puts a back that stands on y = 0.
fn put_back(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let w = seat.w * rng.range(0.8, 1.02);
    let h = rng.range(0.35, 0.75);
    let post = rng.range(0.018, 0.045);
    let posts = |s: &mut Scene, rng: &mut Rng, height: f64| {
        let round = rng.chance(0.5);
        for x in [-(w - post) / 2.0, (w - post) / 2.0] {
            let (low, high) = (at(x, -0.02, 0.0), at(x, height, 0.0));
            let post =
                if round { rod(low, high, post / 2.0, post / 2.0) } else { beam(low, high, post, post) };
            s.put(HERE, post, &seat.frame);
        }
    };
    match rng.int(0, 7) {
        0 => {
            let t = rng.range(0.015, 0.09);
            s.put(at(0.0, h / 2.0, 0.0), block(w, h, t, rng.range(0.1, 0.5) * t), &seat.cushion);
        }
        1 => {
            posts(s, rng, h);
            let bars = rng.int(3, 9);
            let bar = rng.range(0.25, 0.8) * w / bars as f64;
            for i in 0..bars {
                let x = ((i as f64 + 0.5) / bars as f64 - 0.5) * (w - 2.0 * post);
                s.put(at(x, 0.52 * h, 0.0), block(bar, 0.85 * h, 0.6 * post, 0.1 * post), &seat.frame);
            }
            s.put(
                at(0.0, h, 0.0),
                block(w * rng.range(1.0, 1.06), rng.range(0.04, 0.1), post, 0.3 * post),
                &seat.frame,
            );
            s.put(at(0.0, 0.12 * h, 0.0), block(w, 0.04, 0.8 * post, 0.0), &seat.frame);
        }
        2 => {
            posts(s, rng, h);
            let rungs = rng.int(2, 6);
            for i in 0..rungs {
                let y = h * (0.25 + 0.72 * (i as f64 + 0.5) / rungs as f64);
                let rung =
                    solid::plate(solid::arc(w, -0.03, 0.5 * post), rng.range(0.3, 0.7) * h / rungs as f64);
                s.at(at(0.0, y, 0.0), |s| s.turn(DVec3::X, 90.0, |s| s.put(HERE, rung, &seat.frame)));
            }
        }
        3 => {
            let sag = rng.range(0.03, 0.12);
            let bent = solid::plate(solid::arc(w, -sag, rng.range(0.012, 0.05)), h * rng.range(0.5, 0.9));
            let lift = h * rng.range(0.5, 0.65);
            s.at(at(0.0, lift, 0.0), |s| {
                s.turn(DVec3::X, -90.0, |s| s.at(at(0.0, sag, 0.0), |s| s.put(HERE, bent, &seat.cushion)))
            });
            for x in [-0.2 * w, 0.2 * w] {
                s.put(HERE, rod(at(x, -0.04, -0.02), at(x, lift, -0.02), 0.012, 0.012), &seat.frame);
            }
        }
        4 => {
            let loop_ = [
                at(-w / 2.0, -0.03, 0.0),
                at(-0.52 * w, 0.6 * h, 0.0),
                at(-0.3 * w, 0.97 * h, 0.0),
                at(0.3 * w, 0.97 * h, 0.0),
                at(0.52 * w, 0.6 * h, 0.0),
                at(w / 2.0, -0.03, 0.0),
            ];
            s.put(HERE, tube(&loop_, post / 2.0), &seat.frame);
            if rng.chance(0.6) {
                s.put(at(0.0, 0.58 * h, 0.0), block(0.9 * w, 0.6 * h, 0.03, 0.012), &seat.cushion);
            } else {
                for i in 0..7 {
                    let x = (i as f64 / 6.0 - 0.5) * 0.8 * w;
                    let top = at(x, 0.95 * h - 0.25 * h * (x / w).powi(2) * 4.0, 0.0);
                    s.put(HERE, rod(at(0.8 * x, -0.02, 0.0), top, 0.007, 0.007), &seat.frame);
                }
            }
        }
        5 => {
            let outline = solid::rounded(w, 0.8 * h, rng.range(0.02, 0.2));
            let t = rng.range(0.02, 0.07);
            s.put(at(0.0, 0.6 * h, 0.0), solid::plate(outline, t), &seat.cushion);
            s.put(at(0.0, 0.15 * h, -0.03), block(0.08, 0.5 * h, 0.02, 0.004), &seat.frame);
        }
        6 => {
            posts(s, rng, 0.97 * h);
            let t = rng.range(0.015, 0.06);
            s.put(at(0.0, 0.6 * h, 0.0), block(w - post, 0.72 * h, t, 0.4 * t), &seat.cushion);
        }
        _ => {
            let oval: Vec<DVec2> = solid::ellipse(dvec2(w / 2.0, 0.42 * h), 28);
            s.put(at(0.0, 0.58 * h, 0.0), solid::plate(oval, 0.025), &seat.cushion);
            s.at(at(0.0, 0.58 * h, 0.0), |s| {
                s.put(HERE, solid::ring(dvec2(w / 2.0, 0.42 * h), 0.02), &seat.frame)
            });
            for x in [-0.25 * w, 0.25 * w] {
                s.put(at(x, 0.1 * h, 0.0), block(0.03, 0.3 * h, 0.03, 0.0), &seat.frame);
            }
        }
    }
}

fn arms(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let (w, d) = (seat.w, seat.d);
    let h = rng.range(0.16, 0.26);
    let x = w * rng.range(0.5, 0.58);
    let (kind, width) = (rng.int(0, 3), rng.range(0.02, 0.06));
    let pad = if rng.chance(0.5) { Material::dark(rng) } else { seat.cushion };
    let y = seat.y;
    for side in [-1.0, 1.0] {
        let x = side * x;
        s.part("arm", |s| match kind {
            0 => {
                s.put(at(x, y + h, 0.0), block(width, 0.6 * width, 0.9 * d, 0.2 * width), &pad);
                s.put(
                    HERE,
                    beam(at(x, y - 0.04, 0.3 * d), at(x, y + h, 0.36 * d), 0.7 * width, 0.7 * width),
                    &seat.frame,
                );
            }
            1 => {
                let path = [
                    at(0.85 * x, y - 0.03, 0.1 * d),
                    at(1.1 * x, y + 0.1 * h, 0.14 * d),
                    at(1.15 * x, y + 0.85 * h, 0.3 * d),
                    at(1.13 * x, y + h, 0.0),
                    at(1.1 * x, y + 0.8 * h, -0.4 * d),
                    at(0.95 * x, y + 0.6 * h, -0.52 * d),
                ];
                s.put(HERE, tube(&path, 0.35 * width), &seat.frame);
            }
            2 => {
                s.put(
                    HERE,
                    beam(at(0.9 * x, y - 0.05, 0.0), at(1.15 * x, y - 0.05, 0.0), 0.03, 0.03),
                    &seat.frame,
                );
                s.put(
                    HERE,
                    beam(at(1.13 * x, y - 0.06, 0.0), at(1.13 * x, y + h, 0.0), 0.05, 0.04),
                    &seat.frame,
                );
                s.put(at(1.13 * x, y + h, 0.02), block(0.07, 0.03, 0.26, 0.012), &pad);
            }
            _ => {
                let path = [at(x, y, 0.38 * d), at(x, y + h, 0.4 * d), at(x, y + h, -0.42 * d)];
                s.put(HERE, rod(path[0], path[1], 0.4 * width, 0.4 * width), &seat.frame);
                s.put(HERE, rod(path[1], path[2], 0.4 * width, 0.4 * width), &seat.frame);
                s.put(
                    at(x, y + h + 0.3 * width, 0.0),
                    block(width, 0.5 * width, 0.6 * d, 0.15 * width),
                    &pad,
                );
            }
        });
    }
}

fn four_legs(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let (w, d, top) = (seat.w, seat.d, seat.y - 0.4 * seat.thick);
    let width = rng.range(0.022, 0.055);
    let style = Leg::random(rng, width);
    let splay = if rng.chance(0.5) { 0.0 } else { rng.range(0.02, 0.1) };
    let inset = rng.range(0.8, 0.92);
    let foot = |x: f64, z: f64, y: f64| {
        let t = 1.0 - y / top;
        at(x * (inset * w / 2.0 + splay * t), y, z * (inset * d / 2.0 + splay * t))
    };
    for (x, z) in [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)] {
        s.part("leg", |s| style.put(s, foot(x, z, top), foot(x, z, 0.0), &seat.frame));
    }
    if rng.chance(0.5) {
        let t = 0.5 * width;
        for i in 0..rng.int(1, 3) {
            let y = top * rng.range(0.15, 0.55);
            let pairs = if i == 0 {
                [(-1.0, -1.0, -1.0, 1.0), (1.0, -1.0, 1.0, 1.0)]
            } else {
                [(-1.0, 1.0, 1.0, 1.0), (-1.0, -1.0, 1.0, -1.0)]
            };
            for (x1, z1, x2, z2) in pairs {
                s.put(HERE, beam(foot(x1, z1, y), foot(x2, z2, y), t, t), &seat.frame);
            }
        }
    }
    if rng.chance(0.4) {
        s.put(at(0.0, top - 0.07, 0.0), block(0.86 * w, 0.06, 0.86 * d, 0.0), &seat.frame);
    }
}

fn star_base(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let legs = rng.pick(&[4, 5, 5, 5, 5, 6]);
    let wheels = rng.chance(0.8);
    let metal = if rng.chance(0.5) { Material::dark(rng) } else { Material::metal(rng) };
    let reach = rng.range(0.25, 0.34);
    let radius = rng.range(0.024, 0.036);
    let drop = if wheels { 2.3 * radius } else { 0.02 };
    let hub = drop + rng.range(0.02, 0.07);
    let (wheel, turn, thick) = (Wheel::random(rng, radius), rng.unit(), rng.range(0.022, 0.045));
    let round = rng.chance(0.4);
    s.put(at(0.0, hub, 0.0), cylinder(1.3 * thick, 1.4 * thick, 0.005), &metal);
    s.put(
        HERE,
        rod(at(0.0, hub, 0.0), at(0.0, seat.y - seat.thick, 0.0), rng.range(0.018, 0.03), 0.018),
        &metal,
    );
    if rng.chance(0.6) {
        s.put(HERE, rod(at(0.0, hub, 0.0), at(0.0, 0.6 * seat.y, 0.0), 0.032, 0.03), &metal.shaded(0.8));
    }
    s.put(at(0.0, seat.y - seat.thick - 0.02, 0.0), block(0.2, 0.035, 0.24, 0.006), &metal);
    for i in 0..legs {
        let out = DVec2::from_angle(TAU * (i as f64 + turn) / legs as f64);
        let tip = at(reach * out.x, drop + 0.01, reach * out.y);
        let root = at(0.02 * out.x, hub + 0.01, 0.02 * out.y);
        s.part("leg", |s| {
            let leg = if round {
                rod(root, tip, 0.55 * thick, 0.4 * thick)
            } else {
                beam(root, tip, thick, 0.65 * thick)
            };
            s.put(HERE, leg, &metal);
            if !wheels {
                s.put(tip - at(0.0, 0.02, 0.0), cylinder(0.6 * thick, 0.02, 0.0), &metal);
            }
        });
        if wheels {
            wheel.castor(s, rng, tip, drop + 0.01);
        }
    }
}

fn pedestal(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let r = rng.range(0.18, 0.28);
    s.part("leg", |s| {
        let foot = solid::turned(&[
            (r, 0.0),
            (r, 0.012),
            (0.5 * r, 0.03),
            (0.1, 0.05),
            (0.03, 0.12),
            (0.03, seat.y - seat.thick),
        ]);
        s.put(HERE, foot, &seat.frame);
    });
}

fn sled(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let (d, top) = (seat.d, seat.y - seat.thick);
    let cantilever = rng.chance(0.5);
    let r = rng.range(0.01, 0.018);
    for side in [-0.47, 0.47] {
        let x = side * seat.w;
        s.part("leg", |s| {
            let mut path =
                vec![at(x, top, -0.4 * d), at(x, top, 0.42 * d), at(x, 0.0, 0.46 * d), at(x, 0.0, -0.45 * d)];
            if !cantilever {
                path.push(at(x, top, -0.42 * d));
            }
            for pair in path.windows(2) {
                s.put(HERE, rod(pair[0], pair[1], r, r), &seat.frame);
                s.put(pair[1], solid::Solid::Ellipsoid(DVec3::splat(r)), &seat.frame);
            }
        });
    }
    s.put(
        HERE,
        rod(at(-0.47 * seat.w, 0.0, -0.45 * d), at(0.47 * seat.w, 0.0, -0.45 * d), r, r),
        &seat.frame,
    );
}

fn armchair(s: &mut Scene, rng: &mut Rng, seat: &Seat) {
    let w = rng.range(0.55, 1.6);
    let d = rng.range(0.55, 0.75);
    let leg_h = rng.range(0.04, 0.16);
    let top = rng.range(0.38, 0.45);
    let arm = rng.range(0.08, 0.2);
    let cloth = Material::fabric(rng);
    let soft = rng.range(0.02, 0.06);
    let width = rng.range(0.03, 0.06);
    let style = Leg::random(rng, width);
    for (x, z) in [(-0.45, -0.42), (0.45, -0.42), (-0.45, 0.42), (0.45, 0.42)] {
        s.part("leg", |s| style.put(s, at(x * w, leg_h, z * d), at(x * w, 0.0, z * d), &seat.frame));
    }
    s.part("seat", |s| {
        s.put(at(0.0, leg_h + 0.08, 0.0), block(w, 0.16, d, 0.01), &cloth);
        let count = if w > 1.0 { rng.int(2, 3) } else { 1 };
        let each = (w - 2.0 * arm) / count as f64;
        for i in 0..count {
            let x = (i as f64 + 0.5) * each - (w - 2.0 * arm) / 2.0;
            s.put(at(x, top - 0.08, 0.04), block(0.98 * each, 0.17, d - 0.1, soft), &cloth.shaded(1.05));
        }
    });
    let lean = rng.range(0.0, 14.0);
    let height = rng.range(0.3, 0.55);
    s.part("back", |s| {
        s.at(at(0.0, leg_h + 0.1, -0.42 * d), |s| {
            s.turn(DVec3::X, -lean, |s| {
                s.put(
                    at(0.0, 0.5 * (height + top - leg_h), 0.0),
                    block(w, height + top - leg_h - 0.1, 0.16, soft),
                    &cloth,
                );
                if rng.chance(0.5) {
                    s.put(
                        at(0.0, top - leg_h + 0.5 * height - 0.08, 0.1),
                        block(0.9 * (w - 2.0 * arm), 0.85 * height, 0.12, 0.05),
                        &cloth.shaded(1.05),
                    );
                }
            });
        });
    });
    let rise = top + rng.range(0.1, 0.22);
    let rolled = rng.chance(0.3);
    for side in [-1.0, 1.0] {
        let x = side * (w - arm) / 2.0;
        s.part("arm", |s| {
            s.put(
                at(x, (leg_h + rise) / 2.0, 0.0),
                block(arm, rise - leg_h, 0.96 * d, soft.min(0.4 * arm)),
                &cloth,
            );
            if rolled {
                s.put(HERE, rod(at(x, rise, -0.46 * d), at(x, rise, 0.48 * d), 0.6 * arm, 0.6 * arm), &cloth);
            }
        });
    }
}

/// Folding chairs: only the seat is a part.
pub fn folding(s: &mut Scene, rng: &mut Rng) {
    let frame = if rng.chance(0.6) { Material::metal(rng) } else { Material::any(rng) };
    let cushion = if rng.chance(0.4) { frame } else { Material::any(rng) };
    let (w, h, y) = (rng.range(0.4, 0.5), rng.range(0.75, 0.95), rng.range(0.4, 0.47));
    let r = rng.range(0.009, 0.018);
    let (front, back) = (rng.range(0.2, 0.28), rng.range(0.2, 0.26));
    s.part("seat", |s| {
        let (d, t) = (rng.range(0.36, 0.44), rng.range(0.012, 0.05));
        s.at(at(0.0, y, 0.0), |s| {
            s.turn(DVec3::X, 90.0, |s| {
                s.put(HERE, solid::plate(solid::rounded(0.9 * w, d, rng.range(0.02, 0.12)), t), &cushion)
            });
        });
    });
    let top = at(0.0, h, -back);
    for side in [-0.5, 0.5] {
        let x = at(side * w, 0.0, 0.0);
        s.put(HERE, rod(x + at(0.0, 0.0, front), x + top, r, r), &frame);
        s.put(HERE, rod(0.92 * x + at(0.0, 0.0, -back), 0.92 * x + at(0.0, y, 0.4 * front), r, r), &frame);
    }
    s.put(HERE, rod(top - at(w / 2.0, 0.0, 0.0), top + at(w / 2.0, 0.0, 0.0), r, r), &frame);
    for (y, z, k) in [(0.12, -back * 0.75, 0.92), (0.2, front * 0.7, 1.0)] {
        s.put(HERE, rod(at(-0.5 * k * w, y, z), at(0.5 * k * w, y, z), r, r), &frame);
    }
    let lean = ((front + back) / h).atan().to_degrees();
    s.at(at(0.0, 0.82 * h, front - 0.82 * (front + back)), |s| {
        s.turn(DVec3::X, -lean, |s| {
            if rng.chance(0.7) {
                s.put(
                    HERE,
                    solid::plate(solid::rounded(w, rng.range(0.15, 0.28), 0.04), rng.range(0.01, 0.04)),
                    &cushion,
                );
            } else {
                for i in 0..3 {
                    s.put(at(0.0, 0.07 * (i as f64 - 1.0), 0.0), block(w, 0.045, 0.015, 0.004), &cushion);
                }
            }
        });
    });
}
