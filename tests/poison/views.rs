use partstad::{
    Device, Error,
    io::points::PointCloud,
    stages::{
        cloud::Cloud,
        views::{Options, POSES, Pose, Views},
    },
};

fn points(positions: &[[f64; 3]]) -> PointCloud {
    PointCloud {
        positions: positions.to_vec(),
        colors: vec![[0.5; 3]; positions.len()],
        ..PointCloud::default()
    }
}

fn message<T: std::fmt::Debug>(result: partstad::Result<T>) -> String {
    result.expect_err("must be refused").to_string()
}

#[test]
fn clouds_that_are_refused() {
    assert!(message(Cloud::new(&points(&[]))).contains("no points"));
    assert!(message(Cloud::new(&points(&[[0.0; 3], [0.0, f64::NAN, 0.0]]))).contains("point 1"));
    assert!(message(Cloud::new(&points(&[[f64::INFINITY; 3]]))).contains("point 0"));
    assert!(message(Cloud::new(&points(&[[1e308; 3], [-1e308; 3]]))).contains("overflows"));
    assert!(
        message(Cloud::new(&points(&[[1e-170, 0.0, 0.0], [1e-161; 3]]))).contains("scale the coordinates up")
    );
    let mut colours = points(&[[0.0; 3]; 2]);
    colours.colors[1] = [0.0, 1.5, 0.0];
    assert!(message(Cloud::new(&colours)).contains("point 1 has colour"));
    colours.colors.pop();
    assert!(message(Cloud::new(&colours)).contains("2 points but 1 colours"));
}

#[test]
fn clouds_without_extent() {
    for n in [1, 2, 1000] {
        let cloud = Cloud::new(&points(&vec![[3.0, -4.0, 1e6]; n])).unwrap();
        assert!(cloud.positions.iter().all(|&p| p == [0.0; 3]));
        assert!(cloud.denormalized().positions.iter().all(|&p| p == [3.0, -4.0, 1e6]));
        let options = Options { points: None, ..Options::default() };
        let views = Views::render(&Device::Cpu, &cloud, &options).unwrap();
        for k in 0..views.len() {
            let covered = views.pixel_to_point(k).unwrap().iter().filter(|&&p| p == 0).count();
            // A disc of radius 2 pixels around a pixel corner holds 12 pixel centres.
            assert_eq!(covered, 12, "view {k}: the first of {n} equal points owns the disc");
            assert!(views.pixel_to_point(k).unwrap().iter().all(|&p| p <= 0));
        }
    }
}

#[test]
fn two_million_points() {
    let n = 2_000_000;
    let golden_angle = 2.399963;
    let sphere = |i: usize| {
        let (y, a) = (1.0 - 2.0 * (i as f64 + 0.5) / n as f64, i as f64 * golden_angle);
        let r = (1.0 - y * y).sqrt();
        [r * a.cos(), y, r * a.sin()]
    };
    let cloud = Cloud::new(&points(&(0..n).map(sphere).collect::<Vec<_>>())).unwrap();
    let options = Options { poses: POSES[..2].to_vec(), ..Options::default() };
    let views = Views::render(&Device::Cpu, &cloud, &options).unwrap();
    for k in 0..2 {
        let toward = |p: i32| {
            let (p, c) = (cloud.positions[p as usize], views.cameras[k].world_to_view);
            p[0] * c[0][2] + p[1] * c[1][2] + p[2] * c[2][2]
        };
        let shown: Vec<_> = views.pixel_to_point(k).unwrap().iter().filter(|&&p| p >= 0).collect();
        assert!(shown.len() > 100_000);
        assert!(shown.iter().all(|&&p| toward(p) < 0.0), "view {k} shows a point of the far side");
    }
}

#[test]
fn options_out_of_range() {
    let cloud = Cloud::new(&points(&[[0.0; 3]])).unwrap();
    let refused = |options: Options| message(Views::render(&Device::Cpu, &cloud, &options));
    let pose = Pose { elevation: 10.0, azimuth: 0.0, distance: 2.2 };
    for (pose, word) in [
        (Pose { elevation: 90.0, ..pose }, "elevation 90"),
        (Pose { azimuth: f32::NAN, ..pose }, "azimuth NaN"),
        (Pose { distance: 0.0, ..pose }, "distance 0"),
    ] {
        assert!(refused(Options { poses: vec![pose], ..Options::default() }).contains(word), "{pose:?}");
    }
    assert!(refused(Options { poses: vec![], ..Options::default() }).contains("views.poses is empty"));
    assert!(refused(Options { side: 0, ..Options::default() }).contains("side is 0"));
    assert!(refused(Options { side: 1 << 20, ..Options::default() }).contains("side is 1048576"));
    assert!(refused(Options { radius: f64::NAN, ..Options::default() }).contains("radius is NaN"));
    assert!(refused(Options { radius: 0.0, ..Options::default() }).contains("radius is 0"));
}

#[test]
fn saved_views_load_again_or_say_why_not() {
    let cloud = Cloud::new(&points(&[[0.0; 3], [1.0, 0.5, 0.2], [0.3, 0.1, -0.8]])).unwrap();
    let options = Options { poses: POSES[..3].to_vec(), side: 64, radius: 0.1, points: None };
    let views = Views::render(&Device::Cpu, &cloud, &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    views.save(folder.path()).unwrap();
    assert_eq!(Views::load(folder.path()).unwrap(), views);

    std::fs::write(folder.path().join("1.png"), b"not a PNG").unwrap();
    let error = Views::load(folder.path()).unwrap_err();
    assert!(matches!(&error, Error::Format { path, .. } if path.ends_with("1.png")), "{error}");
    std::fs::write(folder.path().join("cameras.json"), b"[]").unwrap();
    assert!(message(Views::load(folder.path())).contains("no camera"));
    std::fs::remove_file(folder.path().join("cameras.json")).unwrap();
    assert!(message(Views::load(folder.path())).contains("cameras.json"));
}

#[test]
fn nobody_looks_from_so_many_places() {
    let cloud = Cloud::new(&points(&[[0.0; 3], [1.0; 3]])).unwrap();
    let render = |options: &Options| message(Views::render(&Device::Cpu, &cloud, options));
    let poses = vec![POSES[0]; 100_000];
    assert!(render(&Options { poses, ..Options::default() }).contains("100000 poses; the limit is"));
    for n in [0, usize::MAX, 1 << 63, i32::MAX as usize + 1] {
        let error = render(&Options { points: Some(n), ..Options::default() });
        assert!(error.contains(&format!("points is {n}")), "{error}");
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let spiral = |i: usize| [(i as f64).cos(), i as f64 * 1e-3, (i as f64).sin() * 0.5];
    let cloud = Cloud::new(&points(&(0..5000).map(spiral).collect::<Vec<_>>())).unwrap();
    let render = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Views::render(&Device::Cpu, &cloud, &Options::default()).unwrap())
    };
    let one = render(1);
    assert!([2, 3, 7].into_iter().all(|threads| render(threads) == one));
}
