//! Polygons to triangles.

/// Looking for ears takes the square of the number of corners, and more where ears are rare: so many points are held
/// against triangles for a whole mesh.
pub(super) const WORK: u64 = 1 << 30;
/// A polygon of more corners that has no ear is no fan either, but a knot.
const MOST_CORNERS: usize = 1000;

/// Adds the triangles of a face, wound as it is; none if it has no area. `work`: what is left of [`WORK`]. None if the
/// face is too intricate.
pub(super) fn triangulate(
    face: &[u32],
    positions: &[[f64; 3]],
    triangles: &mut Vec<[u32; 3]>,
    work: &mut u64,
) -> Option<()> {
    let at = |v: u32| positions[v as usize];
    let mut add = |triangle: [u32; 3]| {
        if cross(triangle.map(at)) != [0.0; 3] {
            triangles.push(triangle);
        }
    };
    if let &[a, b, c] = face {
        add([a, b, c]);
        return Some(());
    }
    // Seen along its normal, as Newell takes it.
    let mut normal = [0.0; 3];
    for (i, &v) in face.iter().enumerate() {
        let (a, b) = (at(v), at(face[(i + 1) % face.len()]));
        for (axis, sum) in normal.iter_mut().enumerate() {
            let (u, w) = ((axis + 1) % 3, (axis + 2) % 3);
            *sum += (a[u] - b[u]) * (a[w] + b[w] - 2.0 * at(face[0])[w]);
        }
    }
    let widest = (0..3).max_by(|&a, &b| normal[a].abs().total_cmp(&normal[b].abs())).unwrap_or(2);
    let (mut u, mut v) = ((widest + 1) % 3, (widest + 2) % 3);
    if normal[widest] < 0.0 {
        (u, v) = (v, u);
    }
    let flat = |i: u32| [at(i)[u], at(i)[v]];
    let turn = |[a, b, c]: [u32; 3]| {
        let [a, b, c] = [a, b, c].map(flat);
        (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    };
    let inside = |[a, b, c]: [u32; 3], p: u32| {
        let same = [a, b, c].map(flat).contains(&flat(p));
        !same && [[a, b, p], [b, c, p], [c, a, p]].into_iter().all(|edge| turn(edge) >= 0.0)
    };
    let mut rest = face.to_vec();
    let mut fan = false;
    while rest.len() > 3 {
        let n = rest.len();
        let corner = |i: usize| [rest[(i + n - 1) % n], rest[i], rest[(i + 1) % n]];
        let mut tried = 0;
        let is_ear = |&i: &usize| {
            let ear = corner(i);
            tried += n as u64;
            turn(ear) > 0.0 && !rest.iter().any(|&p| !ear.contains(&p) && inside(ear, p))
        };
        let ear = if fan { None } else { (0..n).map(|i| (i + 1) % n).find(is_ear) };
        *work = work.checked_sub(tried)?;
        if ear.is_none() && face.len() > MOST_CORNERS {
            return None;
        }
        // Without an ear it is no simple polygon, or flat: nothing is gained by looking again.
        fan |= ear.is_none();
        let ear = ear.unwrap_or(1);
        add(corner(ear));
        rest.remove(ear);
    }
    if let &[a, b, c] = &rest[..] {
        add([a, b, c]);
    }
    Some(())
}

/// Twice the area along each axis.
fn cross([a, b, c]: [[f64; 3]; 3]) -> [f64; 3] {
    let side = |p: [f64; 3]| [p[0] - a[0], p[1] - a[1], p[2] - a[2]];
    let (u, v) = (side(b), side(c));
    [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn area(outline: &[[f64; 2]]) -> (usize, f64) {
        let positions: Vec<[f64; 3]> = outline.iter().map(|p| [p[0], 7.0, p[1]]).collect();
        let face: Vec<u32> = (0..outline.len() as u32).collect();
        let mut triangles = vec![];
        triangulate(&face, &positions, &mut triangles, &mut { WORK }).expect("simple enough");
        let sums = triangles.iter().map(|t| cross(t.map(|v| positions[v as usize]))[1] / 2.0);
        (triangles.len(), sums.sum())
    }

    #[test]
    fn a_hollow_polygon_keeps_its_area_and_its_side() {
        assert_eq!(area(&[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), (2, -1.0));
        // An L, either way around, and a U.
        let l = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]];
        assert_eq!(area(&l), (4, -3.0));
        let back: Vec<_> = l.into_iter().rev().collect();
        assert_eq!(area(&back), (4, 3.0));
        let u =
            [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [2.0, 2.0], [2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [0.0, 2.0]];
        assert_eq!(area(&u), (6, -5.0));
    }

    #[test]
    fn what_has_no_area_has_no_triangles() {
        assert_eq!(area(&[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), (0, 0.0));
        assert_eq!(area(&[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), (0, 0.0));
        assert_eq!(area(&[[0.0, 0.0], [1.0, 0.0]]), (0, 0.0));
        assert_eq!(area(&[]), (0, 0.0));
        let many: Vec<[f64; 2]> = (0..1500).map(|i| [i as f64, (i as f64) * (1500.0 - i as f64)]).collect();
        assert!(area(&many).1.abs() > 1.0);
        let star = |i: usize| {
            let (angle, radius) = (i as f64 * TAU / 3000.0, if i.is_multiple_of(2) { 1.0 } else { 0.6 });
            [radius * angle.cos(), radius * angle.sin()]
        };
        let star: Vec<[f64; 2]> = (0..3000).map(star).collect();
        let (count, sum) = area(&star);
        assert!(count == 2998 && (sum.abs() - 0.3 * TAU).abs() < 1e-2, "{count} {sum}");
        let positions: Vec<[f64; 3]> = star.iter().map(|p| [p[0], 7.0, p[1]]).collect();
        let face: Vec<u32> = (0..3000).collect();
        assert_eq!(triangulate(&face, &positions, &mut vec![], &mut 1000), None, "in time");
    }
}
