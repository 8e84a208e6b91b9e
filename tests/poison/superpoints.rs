//! Clouds that over-segmentation could stumble over.

use partstad::{
    Device,
    io::npy,
    stages::{
        cloud::{Cloud, Rows},
        superpoints::{Features, Method, Options, Superpoints},
    },
};

/// By both methods; returns what the options' own makes.
fn partition(positions: Vec<[f32; 3]>, options: &Options) -> Superpoints {
    let n = positions.len();
    let cloud = Cloud {
        colors: vec![[0.5; 3]; n].into(),
        positions: positions.into(),
        center: [0.0; 3],
        radius: 1.0,
        ..Cloud::default()
    };
    let by = |method| {
        let options = Options { method, ..options.clone() };
        let superpoints = Superpoints::partition(&Device::Cpu, &cloud, &options).unwrap();
        assert_eq!(superpoints.of_point.len(), n);
        assert_eq!(superpoints.points.len(), n);
        for s in 0..superpoints.len() {
            assert!(!superpoints.points(s).is_empty());
            assert!(superpoints.points(s).iter().all(|&i| superpoints.of_point[i as usize] == s as u32));
        }
        superpoints
    };
    let both = [Method::Agglomeration, Method::CutPursuit].map(|method| (method, by(method)));
    both.into_iter().find(|(method, _)| *method == options.method).unwrap().1
}

const FEATURES: [Features; 3] = [Features::Normals, Features::Oriented, Features::SignFree];
const COUNTS: [usize; 7] = [0, 1, 2, 10, 11, 31, 33];

#[test]
fn few_points() {
    for features in FEATURES {
        for n in COUNTS {
            let points = (0..n).map(|i| [(i as f32 * 0.7).sin(), (i as f32 * 1.3).cos(), 0.03 * i as f32]);
            let superpoints = partition(
                points.map(|p| p.map(|x| x / 2.0)).collect(),
                &Options { features, ..Options::default() },
            );
            assert!(superpoints.len() <= n);
            assert_eq!(superpoints.is_empty(), n == 0);
        }
    }
}

#[test]
fn coinciding_points_are_one_superpoint() {
    for features in FEATURES {
        for n in COUNTS.into_iter().chain([5000]) {
            let superpoints =
                partition(vec![[0.1, 0.2, 0.3]; n], &Options { features, ..Options::default() });
            // Coinciding points without a common neighbour may fall apart, but never differ.
            if n > 0 && n <= 11 {
                assert_eq!(superpoints.len(), 1);
            }
        }
    }
}

#[test]
fn lines_and_planes() {
    for features in FEATURES {
        let options = Options { features, ..Options::default() };
        let line = partition((0..2000).map(|i| [i as f32 / 2000.0, 0.0, 0.0]).collect(), &options);
        assert!(line.len() < 200, "{} superpoints of a line", line.len());
        let plane: Vec<[f32; 3]> =
            (0..2500).map(|i| [(i % 50) as f32 / 50.0, (i / 50) as f32 / 50.0, 0.0]).collect();
        assert_eq!(partition(plane, &options).len(), 1, "{features:?}");
    }
}

/// A dense ball and one far point: a uniform grid over the cloud would hold all but one point in one cell.
#[test]
fn one_far_point() {
    let golden_angle = 2.399_963_f32;
    let mut points: Vec<[f32; 3]> = (0..20_000)
        .map(|i| {
            let y = 1.0 - 2.0 * (i as f32 + 0.5) / 20_000.0;
            let (radius, angle) = ((1.0 - y * y).sqrt(), i as f32 * golden_angle);
            [radius * angle.cos(), y, radius * angle.sin()].map(|x| 1e-4 * x)
        })
        .collect();
    points.push([1.0, 0.0, 0.0]);
    let superpoints = partition(points, &Options::default());
    assert!(superpoints.len() < 2000, "{} superpoints", superpoints.len());
}

#[test]
fn every_point_twice() {
    let once = (0..3000).map(|i| [(i % 50) as f32 / 50.0, (i / 50) as f32 / 50.0, 0.0]);
    partition(once.clone().chain(once).collect(), &Options::default());
}

#[test]
#[ignore = "takes a minute"]
fn two_million_points() {
    let n = 2_000_000;
    let golden_angle = 2.399963;
    let points = (0..n).map(|i| {
        let y = 1.0 - 2.0 * (i as f64 + 0.5) / n as f64;
        let (radius, angle) = ((1.0 - y * y).sqrt(), i as f64 * golden_angle);
        [radius * angle.cos(), y, radius * angle.sin()].map(|x| x as f32)
    });
    let superpoints = partition(points.collect(), &Options::default());
    assert!((10..100_000).contains(&superpoints.len()), "{} superpoints", superpoints.len());
}

#[test]
fn options_out_of_range() {
    let cloud = Cloud {
        positions: vec![[0.0; 3]].into(),
        colors: vec![[0.0; 3]].into(),
        center: [0.0; 3],
        radius: 1.0,
        ..Cloud::default()
    };
    for (name, options) in [
        ("neighbors", Options { neighbors: 0, ..Options::default() }),
        ("normal_radius", Options { normal_radius: 0.0, ..Options::default() }),
        ("normal_radius", Options { normal_radius: f32::NAN, ..Options::default() }),
        ("color_weight", Options { color_weight: -1.0, ..Options::default() }),
        ("lambda", Options { lambda: f32::INFINITY, ..Options::default() }),
    ] {
        let error = Superpoints::partition(&Device::Cpu, &cloud, &options).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn files_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sp.npy");
    let superpoints = Superpoints::from_labels(&[4, 4, 9]).unwrap();
    let cloud = |n: usize| Cloud { positions: vec![[0.0; 3]; n].into(), ..Cloud::default() };
    superpoints.save(&path, &cloud(3)).unwrap();
    assert_eq!(Superpoints::load(&path, &cloud(3)).unwrap(), superpoints);
    assert!(Superpoints::load(&path, &cloud(4)).unwrap_err().to_string().contains("4 points"));
    // A row without a point has no superpoint.
    let rows = Some(Rows { point: vec![0, 1, -1, 2], row: vec![0, 1, 3] });
    let left_out = Cloud { rows, ..cloud(3) };
    superpoints.save(&path, &left_out).unwrap();
    assert_eq!(npy::read::<i32>(&path).unwrap().data, [0, 0, -1, 1]);
    assert_eq!(Superpoints::load(&path, &left_out).unwrap(), superpoints);
    npy::write(&path, &[2], &[0, -1]).unwrap();
    assert!(Superpoints::load(&path, &cloud(2)).unwrap_err().to_string().contains("point 1"));
    std::fs::write(&path, b"not an array").unwrap();
    assert!(Superpoints::load(&path, &cloud(2)).is_err());
    assert!(Superpoints::load(&folder.path().join("absent.npy"), &cloud(2)).is_err());
}

#[test]
fn same_bits_whatever_the_thread_count() {
    let points: Vec<[f32; 3]> = (0..6000)
        .map(|i| {
            let (u, v) = ((i % 80) as f32 / 80.0, (i / 80) as f32 / 80.0);
            [u, v, 0.2 * (9.0 * u).sin().round() + 0.02 * (70.0 * v).cos()]
        })
        .collect();
    for features in FEATURES {
        let options = Options { features, ..Options::default() };
        let [one, two, five] = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| partition(points.clone(), &options))
        });
        assert!(one.len() > 3);
        assert_eq!(one, two);
        assert_eq!(one, five);
    }
}
