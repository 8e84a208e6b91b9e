//! Meshes, maps and boxes that are broken, as SATR gets them: an error that names them, or scores that are finite.

use partstad::{
    Device,
    ops::surface::{tally, triangles::Sides},
    satr::{Detection, Options, Surface},
    stages::views::{Camera, POSES},
};

const SIDE: usize = 32;

/// Four faces of a tetrahedron.
const PLACES: [[f64; 3]; 4] = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const FACES: [[u32; 3]; 4] = [[0, 2, 1], [1, 3, 0], [3, 2, 0], [1, 2, 3]];

fn found(corners: [f32; 4], score: f32) -> Detection {
    Detection { view: 0, part: 0, corners, score }
}

fn maps(surface: &Surface) -> Vec<i32> {
    surface.render(&Device::Cpu, &[Camera::new(POSES[8])], SIDE, Sides::Both).unwrap()
}

fn score(surface: &Surface, boxes: &[Detection]) -> partstad::Result<Vec<f64>> {
    let scores = surface.score(&Device::Cpu, &maps(surface), SIDE, boxes, 1, &Options::default())?;
    Ok(scores.of_face)
}

#[test]
fn broken_meshes_are_named_or_scored() {
    let all = found([0.0, 0.0, SIDE as f32, SIDE as f32], 0.9);
    let mesh = |places: &[[f64; 3]], faces: &[[u32; 3]]| Surface::mesh(places, faces.to_vec());
    for (places, faces, why) in [
        (&PLACES[..], &[[0, 1, 4]][..], "face 0"),
        (&PLACES, &[], "without faces"),
        (&[], &[], "without faces"),
        (&[[f64::NAN; 3]; 3], &FACES[..1], "finite"),
        (&[[f64::INFINITY, 0.0, 0.0], PLACES[1], PLACES[2]], &FACES[..1], "finite"),
        (&[[7.0; 3]; 4], &FACES, "one place"),
    ] {
        let error = mesh(places, faces).map(drop).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let far: Vec<[f64; 3]> = PLACES.iter().map(|p| p.map(|x| 1e12 + 1e3 * x)).collect();
    let tiny: Vec<[f64; 3]> = PLACES.iter().map(|p| p.map(|x| 1e-30 * x)).collect();
    let flat: Vec<[f64; 3]> = PLACES.iter().map(|&[x, y, _]| [x, y, 0.0]).collect();
    let line: Vec<[f64; 3]> = PLACES.iter().map(|&[x, ..]| [x, 0.0, 0.0]).collect();
    let loose = [&PLACES[..], &[[0.5, 0.5, 0.5]]].concat();
    let twice = [FACES, FACES].concat();
    let odd = [&FACES[..], &[[1, 1, 2], [3, 3, 3], [0, 1, 2]]].concat();
    for (name, places, faces) in [
        ("far", &far[..], &FACES[..]),
        ("tiny", &tiny, &FACES),
        ("flat", &flat, &FACES),
        ("a line", &line, &FACES),
        ("a vertex of no face", &loose, &FACES),
        ("faces twice", &PLACES, &twice),
        ("faces that are none", &PLACES, &odd),
    ] {
        let surface = mesh(places, faces).unwrap_or_else(|e| panic!("{name}: {e}"));
        let scores = score(&surface, &[all]).unwrap();
        assert!(scores.iter().all(|score| score.is_finite() && *score >= 0.0), "{name}: {scores:?}");
        let nearest = surface.nearest(&[[0.0; 3], [f32::NAN; 3], [f32::MAX; 3]]);
        assert!(nearest[0].is_some_and(|v| (v as usize) < 4), "{name}");
    }
    assert!(Surface::placed(vec![[0.0; 3], [1.0; 3]], vec![[0, 0, 1]], vec![]).is_err(), "areas");
    assert!(Surface::points(vec![[0.0, f32::NAN, 0.0]]).is_err());
    assert_eq!(Surface::points(vec![]).unwrap().nearest(&[[0.0; 3]]), [None]);
}

#[test]
fn boxes_from_anywhere_are_cut_or_refused() {
    let surface = Surface::mesh(&PLACES, FACES.to_vec()).unwrap();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for corners in [
        [nan; 4],
        [-inf, -inf, inf, inf],
        [inf, inf, -inf, -inf],
        [20.0, 20.0, 10.0, 10.0],
        [-9.0, -9.0, -1.0, -1.0],
        [f32::MAX, 0.0, f32::MAX, 9.0],
        [0.2, 0.2, 0.8, 0.8],
    ] {
        assert!(tally::cut(corners, SIDE).iter().all(|&x| x <= SIDE as u32));
        let scores = score(&surface, &[found(corners, 0.5)]).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()), "{corners:?}: {scores:?}");
    }
    assert!(score(&surface, &[found([-inf, -inf, inf, inf], 0.5)]).unwrap().iter().sum::<f64>() > 0.0);
    let whole = [0.0, 0.0, 32.0, 32.0];
    for wrong in [
        found(whole, nan),
        found(whole, inf),
        Detection { view: 1, ..found(whole, 0.5) },
        Detection { part: 1, ..found(whole, 0.5) },
    ] {
        assert!(score(&surface, &[wrong]).is_err(), "{wrong:?}");
    }
    for pixel in [4, -2, i32::MAX, i32::MIN] {
        let maps = vec![pixel; SIDE * SIDE];
        let error = surface.score(&Device::Cpu, &maps, SIDE, &[found(whole, 0.5)], 1, &Options::default());
        assert!(error.unwrap_err().to_string().contains(&pixel.to_string()));
    }
    let few = surface.score(&Device::Cpu, &[0; 5], SIDE, &[], 1, &Options::default());
    assert!(few.is_err());
}
