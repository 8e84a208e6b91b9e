//! Solids: what shapes are built from. Each gives its surface as triangles and knows which points lie inside it.

use glam::{DVec2, DVec3, dvec2, dvec3};
use std::f64::consts::{FRAC_PI_2, TAU};

/// A triangle, counter-clockwise seen from outside.
pub type Triangle = [DVec3; 3];

/// A primitive in its own frame.
#[derive(Debug, Clone)]
pub enum Solid {
    /// A box around the origin, its edges rounded.
    Block {
        /// Full extent.
        size: DVec3,
        /// Radius of the edges.
        bevel: f64,
    },
    /// A closed outline (radius, y) turned around the y axis.
    Revolution(Vec<DVec2>),
    /// A closed outline (x, y) swept from -depth/2 to depth/2 along z.
    Extrusion {
        /// Counter-clockwise.
        outline: Vec<DVec2>,
        /// Extent along z.
        depth: f64,
    },
    /// A round tube along a path, a radius at each of its points.
    Tube {
        /// At least two points.
        path: Vec<DVec3>,
        /// As many radii.
        radii: Vec<f64>,
        /// Whether the last point joins the first.
        closed: bool,
    },
    /// A square bar, upright if it can be.
    Beam {
        /// Where it begins.
        a: DVec3,
        /// Where it ends.
        b: DVec3,
        /// Its width at `a`.
        from: f64,
        /// Its width at `b`.
        to: f64,
    },
    /// An ellipsoid around the origin.
    Ellipsoid(DVec3),
}

/// A box.
pub fn block(x: f64, y: f64, z: f64, bevel: f64) -> Solid {
    let bevel = bevel.min(0.499 * x.min(y).min(z));
    Solid::Block { size: dvec3(x, y, z), bevel }
}

/// An upright cylinder around the origin, its rims rounded by `bevel`.
pub fn cylinder(radius: f64, height: f64, bevel: f64) -> Solid {
    let bevel = bevel.min(0.49 * height).min(0.9 * radius);
    let h = height / 2.0;
    let mut outline = vec![dvec2(0.0, -h)];
    for (center, start) in
        [(dvec2(radius - bevel, bevel - h), -FRAC_PI_2), (dvec2(radius - bevel, h - bevel), 0.0)]
    {
        let steps = if bevel > 0.0 { 3 } else { 0 };
        for i in 0..=steps {
            let angle = start + FRAC_PI_2 * i as f64 / steps.max(1) as f64;
            let corner = if steps == 0 { DVec2::ZERO } else { bevel * DVec2::from_angle(angle) };
            outline.push(center + corner);
        }
    }
    outline.push(dvec2(0.0, h));
    Solid::Revolution(outline)
}

/// A vessel open at the top: the outer profile (radius, y) from bottom to top, with walls of a thickness.
pub fn vessel(profile: &[(f64, f64)], wall: f64) -> Solid {
    let outer: Vec<DVec2> = profile.iter().map(|&(r, y)| dvec2(r, y)).collect();
    let floor = outer[0].y + wall;
    let mut outline = vec![dvec2(0.0, outer[0].y)];
    outline.extend(&outer);
    outline.extend(outer.iter().rev().map(|p| dvec2((p.x - wall).max(0.001), p.y.max(floor))));
    outline.push(dvec2(0.0, floor));
    Solid::Revolution(outline)
}

/// The same profile (radius, y) with soft bends.
pub fn soft(profile: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let points: Vec<DVec3> = profile.iter().map(|&(r, y)| dvec3(r, y, 0.0)).collect();
    smooth(&points).iter().map(|p| (p.x.max(0.001), p.y)).collect()
}

/// A full body of revolution: the profile (radius, y) from bottom to top.
pub fn turned(profile: &[(f64, f64)]) -> Solid {
    let mut outline = vec![dvec2(0.0, profile[0].1)];
    outline.extend(profile.iter().map(|&(r, y)| dvec2(r, y)));
    outline.push(dvec2(0.0, profile[profile.len() - 1].1));
    Solid::Revolution(outline)
}

/// A round bar from `a` to `b`, its radius going from one value to another.
pub fn rod(a: DVec3, b: DVec3, from: f64, to: f64) -> Solid {
    Solid::Tube { path: vec![a, b], radii: vec![from, to], closed: false }
}

/// A tube of one radius along a smooth curve through the points.
pub fn tube(points: &[DVec3], radius: f64) -> Solid {
    let path = smooth(points);
    Solid::Tube { radii: vec![radius; path.len()], path, closed: false }
}

/// A ring in the xy plane.
pub fn ring(half: DVec2, radius: f64) -> Solid {
    let path: Vec<DVec3> = circle(28).map(|c| (c * half).extend(0.0)).collect();
    Solid::Tube { radii: vec![radius; path.len()], path, closed: true }
}

/// A plate of an outline, as thick as `depth` along z.
pub fn plate(outline: Vec<DVec2>, depth: f64) -> Solid {
    Solid::Extrusion { outline, depth }
}

/// The outline of an ellipse.
pub fn ellipse(half: DVec2, corners: usize) -> Vec<DVec2> {
    circle(corners).map(|c| c * half).collect()
}

/// The outline of a rectangle with rounded corners.
pub fn rounded(width: f64, height: f64, radius: f64) -> Vec<DVec2> {
    let radius = radius.min(0.499 * width.min(height));
    let inner = dvec2(width / 2.0 - radius, height / 2.0 - radius);
    let corner = |quarter: usize| {
        let sign = [dvec2(1.0, 1.0), dvec2(-1.0, 1.0), dvec2(-1.0, -1.0), dvec2(1.0, -1.0)][quarter];
        (0..=5).map(move |i| {
            inner * sign + radius * DVec2::from_angle(FRAC_PI_2 * (quarter as f64 + i as f64 / 5.0))
        })
    };
    (0..4).flat_map(corner).collect()
}

/// The outline of an arc of some thickness: the chord `width` along x, bulging by `sag` towards +y at the middle.
pub fn arc(width: f64, sag: f64, thickness: f64) -> Vec<DVec2> {
    let y = |t: f64| sag * (1.0 - t * t);
    let t = |i: usize| i as f64 / 8.0 - 1.0;
    let lower = (0..=16).map(|i| dvec2(width / 2.0 * t(i), y(t(i)) - thickness / 2.0));
    let upper = (0..=16).rev().map(|i| dvec2(width / 2.0 * t(i), y(t(i)) + thickness / 2.0));
    lower.chain(upper).collect()
}

/// Catmull-Rom through the points.
pub fn smooth(points: &[DVec3]) -> Vec<DVec3> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut path = Vec::new();
    for i in 0..points.len() as isize - 1 {
        let (a, b, c, d) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        for step in 0..6 {
            let t = step as f64 / 6.0;
            let (t2, t3) = (t * t, t * t * t);
            path.push(
                0.5 * (2.0 * b
                    + (c - a) * t
                    + (2.0 * a - 5.0 * b + 4.0 * c - d) * t2
                    + (3.0 * b - a - 3.0 * c + d) * t3),
            );
        }
    }
    path.push(points[points.len() - 1]);
    path
}

fn circle(corners: usize) -> impl DoubleEndedIterator<Item = DVec2> {
    (0..corners).map(move |i| DVec2::from_angle(TAU * i as f64 / corners as f64))
}

impl Solid {
    /// The surface.
    pub fn triangles(&self) -> Vec<Triangle> {
        match self {
            Solid::Block { size, bevel } => block_triangles(*size, *bevel),
            Solid::Revolution(outline) => revolution_triangles(outline),
            Solid::Extrusion { outline, depth } => extrusion_triangles(outline, *depth),
            Solid::Tube { path, radii, closed } => tube_triangles(path, radii, *closed),
            Solid::Beam { a, b, from, to } => beam_triangles(*a, *b, *from, *to),
            Solid::Ellipsoid(half) => {
                let profile: Vec<DVec2> =
                    (0..=12).map(|i| DVec2::from_angle(FRAC_PI_2 * (i as f64 / 6.0 - 1.0))).collect();
                let sphere = revolution_triangles(&profile);
                sphere.into_iter().map(|t| t.map(|p| p * *half)).collect()
            }
        }
    }

    /// Whether a point lies deeper inside than `margin`.
    pub fn contains(&self, p: DVec3, margin: f64) -> bool {
        match self {
            Solid::Block { size, .. } => (p.abs() + margin).cmplt(*size / 2.0).all(),
            Solid::Revolution(outline) => inside(outline, dvec2(dvec2(p.x, p.z).length(), p.y), margin),
            Solid::Extrusion { outline, depth } => {
                p.z.abs() + margin < depth / 2.0 && inside(outline, p.truncate(), margin)
            }
            Solid::Tube { path, radii, closed } => {
                let segments = path.len() - if *closed { 0 } else { 1 };
                (0..segments).any(|i| {
                    let (a, b) = (path[i], path[(i + 1) % path.len()]);
                    let t = (p - a).dot(b - a) / (b - a).length_squared().max(1e-12);
                    let radius = radii[i] + (radii[(i + 1) % path.len()] - radii[i]) * t;
                    (0.0..=1.0).contains(&t) && (a + (b - a) * t).distance(p) + margin < radius
                })
            }
            Solid::Beam { a, b, from, to } => {
                let [u, v, along] = beam_axes(*a, *b);
                let t = (p - *a).dot(along) / a.distance(*b);
                let q = p - a.lerp(*b, t);
                let half = (from + (to - from) * t) / 2.0 - margin;
                (0.0..=1.0).contains(&t) && q.dot(u).abs() < half && q.dot(v).abs() < half
            }
            Solid::Ellipsoid(half) => (p / (*half - margin).max(DVec3::splat(1e-9))).length_squared() < 1.0,
        }
    }
}

/// Point in polygon, and no edge closer than `margin`.
fn inside(outline: &[DVec2], p: DVec2, margin: f64) -> bool {
    let mut odd = false;
    for i in 0..outline.len() {
        let (a, b) = (outline[i], outline[(i + 1) % outline.len()]);
        if (a.y > p.y) != (b.y > p.y) && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y) {
            odd = !odd;
        }
        let on_axis = a.x == 0.0 && b.x == 0.0;
        let t = ((p - a).dot(b - a) / (b - a).length_squared().max(1e-12)).clamp(0.0, 1.0);
        if !on_axis && (a + (b - a) * t).distance_squared(p) < margin * margin {
            return false;
        }
    }
    odd
}

fn quad(a: DVec3, b: DVec3, c: DVec3, d: DVec3) -> [Triangle; 2] {
    [[a, b, c], [a, c, d]]
}

fn block_triangles(size: DVec3, bevel: f64) -> Vec<Triangle> {
    let half = size / 2.0;
    let steps = |h: f64| -> Vec<f64> {
        if bevel <= 0.0 {
            return vec![-h, h];
        }
        let inner = h - bevel;
        let curve = |i: usize| (std::f64::consts::FRAC_PI_4 * i as f64 / 3.0).tan() * bevel;
        let mut steps: Vec<f64> = (0..=3).rev().map(|i| -inner - curve(i)).collect();
        steps.extend((0..=3).map(|i| inner + curve(i)));
        steps
    };
    let onto = |p: DVec3| {
        let core = p.clamp(bevel - half, half - bevel);
        if bevel > 0.0 { core + bevel * (p - core).normalize_or_zero() } else { p }
    };
    let mut triangles = Vec::new();
    for axis in 0..3 {
        let (u, v) = ((axis + 1) % 3, (axis + 2) % 3);
        let (us, vs) = (steps(half[u]), steps(half[v]));
        for sign in [-1.0, 1.0] {
            let at = |i: usize, j: usize| {
                let mut p = DVec3::ZERO;
                (p[axis], p[u], p[v]) = (sign * half[axis], us[i], vs[j]);
                onto(p)
            };
            for i in 0..us.len() - 1 {
                for j in 0..vs.len() - 1 {
                    let (a, b, c, d) = (at(i, j), at(i + 1, j), at(i + 1, j + 1), at(i, j + 1));
                    triangles.extend(if sign > 0.0 { quad(a, b, c, d) } else { quad(a, d, c, b) });
                }
            }
        }
    }
    triangles
}

/// Two sides and the direction of a beam; the sides of an upright one are x and z.
fn beam_axes(a: DVec3, b: DVec3) -> [DVec3; 3] {
    let along = (b - a).normalize_or(DVec3::Y);
    let side = if along.z.abs() > 0.9 { DVec3::X } else { DVec3::Z };
    let u = side.cross(along).normalize();
    [u, along.cross(u), along]
}

fn beam_triangles(a: DVec3, b: DVec3, from: f64, to: f64) -> Vec<Triangle> {
    let [u, v, _] = beam_axes(a, b);
    let corners = |p: DVec3, w: f64| {
        [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]].map(|[x, y]| p + w / 2.0 * (x * u + y * v))
    };
    let (low, high) = (corners(a, from), corners(b, to));
    let sides = (0..4).flat_map(|i| quad(low[i], low[(i + 1) % 4], high[(i + 1) % 4], high[i]));
    sides
        .chain(quad(low[3], low[2], low[1], low[0]))
        .chain(quad(high[0], high[1], high[2], high[3]))
        .collect()
}

fn revolution_triangles(outline: &[DVec2]) -> Vec<Triangle> {
    let sides = 32;
    let at = |p: DVec2, i: usize| {
        let c = DVec2::from_angle(TAU * (i % sides) as f64 / sides as f64);
        dvec3(p.x * c.y, p.y, p.x * c.x)
    };
    let mut triangles = Vec::new();
    for k in 0..outline.len() {
        let (a, b) = (outline[k], outline[(k + 1) % outline.len()]);
        if a.x.max(b.x) < 1e-9 {
            continue;
        }
        for i in 0..sides {
            triangles.extend(quad(at(a, i), at(a, i + 1), at(b, i + 1), at(b, i)));
        }
    }
    triangles
}

fn extrusion_triangles(outline: &[DVec2], depth: f64) -> Vec<Triangle> {
    let h = depth / 2.0;
    let mut triangles = Vec::new();
    for (i, &a) in outline.iter().enumerate() {
        let b = outline[(i + 1) % outline.len()];
        triangles.extend(quad(a.extend(-h), b.extend(-h), b.extend(h), a.extend(h)));
    }
    for [a, b, c] in ears(outline) {
        triangles.push([a.extend(h), b.extend(h), c.extend(h)]);
        triangles.push([a.extend(-h), c.extend(-h), b.extend(-h)]);
    }
    triangles
}

/// Triangulates a simple counter-clockwise polygon by cutting ears.
fn ears(outline: &[DVec2]) -> Vec<[DVec2; 3]> {
    let mut rest = outline.to_vec();
    let mut triangles = Vec::new();
    while rest.len() > 2 {
        let n = rest.len();
        let corner = |i: usize| [rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]];
        let within = |[a, b, c]: [DVec2; 3], p: DVec2| {
            [(a, b), (b, c), (c, a)].iter().all(|(u, v)| (*v - *u).perp_dot(p - *u) > 1e-12)
        };
        let is_ear = |&i: &usize| {
            let t = corner(i);
            (t[1] - t[0]).perp_dot(t[2] - t[1]) > -1e-12 && !rest.iter().any(|&p| within(t, p))
        };
        let ear = (0..n).find(is_ear).unwrap_or(0);
        triangles.push(corner(ear));
        rest.remove(ear);
    }
    triangles
}

fn tube_triangles(path: &[DVec3], radii: &[f64], closed: bool) -> Vec<Triangle> {
    let n = path.len();
    let sides = 12;
    let tangent = |i: usize| {
        let (before, after) =
            if closed { ((i + n - 1) % n, (i + 1) % n) } else { (i.saturating_sub(1), (i + 1).min(n - 1)) };
        (path[after] - path[before]).normalize_or(DVec3::Y)
    };
    let mut side = tangent(0).any_orthonormal_vector();
    let rings: Vec<Vec<DVec3>> = (0..n)
        .map(|i| {
            let t = tangent(i);
            side = (side - t * side.dot(t)).normalize_or(t.any_orthonormal_vector());
            let up = t.cross(side);
            circle(sides).map(|c| path[i] + radii[i] * (c.x * side + c.y * up)).collect()
        })
        .collect();
    let mut triangles = Vec::new();
    for i in 0..if closed { n } else { n - 1 } {
        let (a, b) = (&rings[i], &rings[(i + 1) % n]);
        // A closed tube may come back turned: join each corner with the nearest one.
        let shift =
            (0..sides).min_by(|&s, &t| b[s].distance(a[0]).total_cmp(&b[t].distance(a[0]))).unwrap_or(0);
        for k in 0..sides {
            let l = (k + 1) % sides;
            triangles.extend(quad(a[k], a[l], b[(l + shift) % sides], b[(k + shift) % sides]));
        }
    }
    if !closed {
        for k in 0..sides {
            let l = (k + 1) % sides;
            triangles.push([path[0], rings[0][l], rings[0][k]]);
            triangles.push([path[n - 1], rings[n - 1][k], rings[n - 1][l]]);
        }
    }
    triangles
}
