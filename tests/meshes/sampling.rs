//! Faces to points: how many, of which colour, and where none are.

use super::{GREEN, RED, few, read, sample, write};
use partstad::{
    Device,
    mesh::{Options, Sampled},
    stages::{
        cloud::Cloud,
        views::{self, Views},
    },
};
use std::path::{Path, PathBuf};

/// A cube of quads around the origin, its corners as an OBJ file counts them.
const CUBE: &str = "v -1 -1 -1\nv 1 -1 -1\nv 1 1 -1\nv -1 1 -1\nv -1 -1 1\nv 1 -1 1\nv 1 1 1\nv -1 1 1\n";
const SIDES: [&str; 6] = ["5 6 7 8", "2 1 4 3", "6 2 3 7", "1 5 8 4", "8 7 3 4", "1 2 6 5"];

/// The same with a material a side: red in front, green else.
fn painted_cube(dir: &Path) -> PathBuf {
    write(dir, "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl green #2\nKd 0 1 0\n");
    let sides: String = SIDES[1..].iter().map(|side| format!("f {side}\n")).collect();
    write(dir, "a.obj", format!("mtllib a.mtl\n{CUBE}usemtl red\nf {}\nusemtl green #2\n{sides}", SIDES[0]))
}

#[test]
fn polygons_are_faces_and_materials_are_colours() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&painted_cube(dir.path()));
    assert_eq!((mesh.len(), mesh.triangles.len(), mesh.positions.len()), (6, 12, 8));
    assert_eq!(mesh.warnings, Vec::<String>::new());
    let sampled = sample(&mesh, 6000);
    let points = &sampled.points;
    assert_eq!((points.len(), sampled.triangles.len()), (6000, 6000));
    for (place, &color) in points.positions.iter().zip(&points.colors) {
        assert!((place.iter().map(|x| x.abs()).fold(0.0, f64::max) - 1.0).abs() < 1e-12, "{place:?}");
        assert_eq!(color, if place[2] > 1.0 - 1e-12 { RED } else { GREEN }, "{place:?}");
    }
    // By area: a sixth of the points a side.
    let front = points.colors.iter().filter(|&&c| c == RED).count();
    assert!((940..1060).contains(&front), "{front}");
    assert_eq!(sample(&mesh, 6000), sampled, "the same seed");
    assert_ne!(mesh.sample(&Options { seed: 1, ..few(6000) }).unwrap(), sampled);
    assert!(mesh.sample(&few(0)).unwrap_err().to_string().contains("mesh.points is 0"));
}

#[test]
fn the_same_points_come_of_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&painted_cube(dir.path()));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| sample(&mesh, 3000)), sample(&mesh, 3000));
}

#[test]
fn front_and_back_at_one_place_are_one_surface_of_the_outer_colour() {
    // SketchUp: every side twice, of opposite turns; here the backs first, cut along the other diagonal.
    let backs: String = SIDES
        .iter()
        .map(|side| {
            let [a, b, c, d] = side.split(' ').collect::<Vec<_>>()[..] else { panic!() };
            format!("f {d} {c} {b}\nf {d} {b} {a}\n")
        })
        .collect();
    let fronts: String = SIDES.iter().map(|side| format!("f {side}\n")).collect();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl green\nKd 0 1 0\n");
    let text = format!("mtllib a.mtl\n{CUBE}usemtl red\n{backs}usemtl green\n{fronts}");
    let mesh = read(&write(dir.path(), "a.obj", text));
    assert_eq!(mesh.len(), 18);
    let sampled = sample(&mesh, 4000);
    // All of one colour, so that it is shaded.
    let green = |&[r, g, b]: &[f32; 3]| r == b && g == 4.0 * r;
    assert!(sampled.points.colors.iter().all(green), "what shows outside");
    // A face of its own for each: all get the label of their place.
    let labels: Vec<i32> = sampled.points.positions.iter().map(|p| i32::from(p[2] > 1.0 - 1e-12)).collect();
    let faces = sampled.faces(&mesh, &labels, &labels).unwrap();
    let front = |face: usize| mesh.faces.row(face).iter().all(|&v| mesh.positions[v as usize][2] == 1.0);
    for face in 0..18 {
        assert_eq!(
            (faces.labels[face], faces.instances[face]),
            (i32::from(front(face)), i32::from(front(face)))
        );
    }
    // A single sheet, free on both sides: the first one's colour all over.
    let sheet = format!("mtllib a.mtl\n{CUBE}usemtl red\nf 1 2 3 4\nusemtl green\nf 4 3 2 1\n");
    let sheet = read(&write(dir.path(), "b.obj", sheet));
    let colors = sample(&sheet, 2000).points.colors;
    let first = colors[0];
    assert!(colors.iter().all(|&c| c == first));
}

#[test]
fn what_no_one_sees_has_no_points_unless_asked_for() {
    let inner = CUBE.replace('1', "0.5");
    let faces = |from: usize| -> String {
        let shifted = |side: &str| {
            side.split(' ')
                .map(|v| (v.parse::<usize>().unwrap() + from).to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        SIDES.iter().map(|side| format!("f {}\n", shifted(side))).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let mesh = read(&write(dir.path(), "a.obj", format!("{CUBE}{inner}{}{}", faces(0), faces(8))));
    let inside = |sampled: &Sampled| {
        sampled.points.positions.iter().filter(|p| p.iter().all(|x| x.abs() < 0.9)).count()
    };
    let seen = sample(&mesh, 5000);
    assert_eq!((inside(&seen), seen.points.len()), (0, 5000));
    let all = mesh.sample(&Options { hidden: true, ..few(5000) }).unwrap();
    assert!((850..1150).contains(&inside(&all)), "{}", inside(&all));
    // What has no points is what lies nearest.
    let labels: Vec<i32> = seen.points.positions.iter().map(|p| i32::from(p[0] > 0.0)).collect();
    let faces = seen.faces(&mesh, &labels, &vec![-1; 5000]).unwrap();
    assert_eq!((faces.labels[8], faces.labels[9]), (1, 0), "the inner sides to the right and the left");
}

#[test]
fn there_are_as_many_points_as_make_the_views_solid() {
    let dir = tempfile::tempdir().unwrap();
    let cube = read(&painted_cube(dir.path())).sample(&Options::default()).unwrap();
    let cloud = Cloud::fit(&cube.points, &Default::default()).unwrap();
    assert!((190_000..240_000).contains(&cube.points.len()), "{}", cube.points.len());
    assert_eq!(cube.too_few_for(0.005 * cloud.radius), None, "what was chosen suffices");
    let few = sample(&read(&painted_cube(dir.path())), 20_000);
    let needed = few.too_few_for(0.005 * cloud.radius).unwrap();
    assert!((needed as f64 / cube.points.len() as f64 - 1.0).abs() < 0.1, "{needed}");
    // Of the front, red, no view from ahead shows what lies behind: green.
    let options = views::Options {
        poses: vec![views::Pose { elevation: 0.0, azimuth: 0.0, distance: 2.2 }],
        ..Default::default()
    };
    let view = Views::render(&Device::Cpu, &cloud, &options).unwrap();
    let pixels = view.image(0).unwrap().as_chunks::<3>().0.to_vec();
    let count = |is: fn(&[u8; 3]) -> bool| pixels.iter().filter(|pixel| is(pixel)).count();
    let (front, behind) = (count(|&[r, g, _]| r > 200 && g < 50), count(|&[r, g, _]| r < 50 && g > 200));
    assert!(front > 200_000 && behind * 25 < front, "{front} {behind}");
    let chair = procedural::mesh("Chair", 3).unwrap().mesh.sample(&Options::default()).unwrap();
    assert!((80_000..160_000).contains(&chair.points.len()), "{}", chair.points.len());
    let cloud = Cloud::fit(&chair.points, &Default::default()).unwrap();
    assert_eq!(chair.too_few_for(0.005 * cloud.radius), None);
}
