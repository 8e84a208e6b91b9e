//! Inputs that people have, and what is right for each: most hold the same little cloud, `00-ref`.

use partstad::{
    Device, Parts, Pipeline, Predictions, Segmentation,
    io::points::PointCloud,
    pipeline::Options,
    stages::{
        boxes::Boxes,
        cloud::{self, Cloud, Colors, Up},
        masks::Masks,
        superpoints::Superpoints,
        views::{self, Pose, Views},
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn file(case: &str) -> PathBuf {
    Path::new("tests/fixtures/cases").join(case)
}

fn points(case: &str) -> PointCloud {
    PointCloud::read(&file(case)).unwrap_or_else(|e| panic!("{e}"))
}

fn cloud(case: &str) -> Cloud {
    Cloud::fit(&points(case), &cloud::Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

const REF: &str = "00-ref/in.ply";

/// Pixels of 200 a side, from two directions.
fn views() -> views::Options {
    let pose = |azimuth| Pose { elevation: 10.0, azimuth, distance: 2.2 };
    views::Options { poses: vec![pose(0.0), pose(90.0)], side: 200, radius: 0.02, ..Default::default() }
}

fn images(cloud: &Cloud) -> Vec<u8> {
    Views::render(&Device::Cpu, cloud, &views()).unwrap().images.host().unwrap().to_vec()
}

#[test]
fn the_same_cloud_in_other_words_gives_the_same_images() {
    let wanted = images(&cloud(REF));
    for case in [
        "06-float01-just-above-1/in.ply",
        "23-ushort-colours-0-255/in.ply",
        "25-pcl-rgb-packed-float/in.ply",
        "52-npz-points-colors/in.npz",
    ] {
        let cloud = cloud(case);
        assert!(images(&cloud) == wanted, "{case}");
        assert!(cloud.warnings.is_empty() && cloud.rows.is_none(), "{case}: {:?}", cloud.warnings);
    }
}

#[test]
fn the_same_cloud_is_read_from_every_format() {
    let reference = points(REF);
    let dir = tempfile::tempdir().unwrap();
    let rows = || reference.positions.iter().zip(&reference.colors);
    let bytes = |c: &[f32; 3]| c.map(|c| (c * 255.0).round() as u8);
    let text = |head: &str, separator: &str| {
        let row = |(p, c): (&[f64; 3], &[f32; 3])| {
            let [r, g, b] = bytes(c).map(|c| c.to_string());
            [&p.map(|x| x.to_string())[..], &[r, g, b]].concat().join(separator)
        };
        [head.to_string()].into_iter().chain(rows().map(row)).collect::<Vec<_>>().join("\n")
    };
    let n = reference.len();
    let ply = format!(
        "ply\nformat ascii 1.0\nelement vertex {n}\nproperty double X\nproperty double Y\nproperty double Z\n\
         property uchar diffuse_red\nproperty uchar diffuse_green\nproperty uchar diffuse_blue\nend_header"
    );
    let pcd = format!(
        "VERSION .7\nFIELDS x y z r g b\nSIZE 8 8 8 1 1 1\nTYPE F F F U U U\nCOUNT 1 1 1 1 1 1\nWIDTH {n}\nHEIGHT 1\n\
         POINTS {n}\nDATA ascii"
    );
    for (name, content) in [
        ("a.ply", text(&ply, " ").replace(" 255", " 255.0")),
        ("a.pcd", text(&pcd, " ")),
        ("a.xyz", text("", " ")),
        ("a.csv", text("x,y,z,red,green,blue", ",")),
        ("a.txt", text("# x y z r g b", "\t")),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        assert_eq!(PointCloud::read(&path).unwrap(), reference, "{name}");
    }
    let light = |c: u8| ((c as f64 / 255.0 - 0.5) / 0.28209479177387814) as f32;
    let splat = rows().flat_map(|(p, c)| {
        let numbers = p.map(|x| x as f32).into_iter().chain(bytes(c).map(light));
        numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()
    });
    let header = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {n}\nproperty float x\nproperty float y\nproperty float z\n\
         property float f_dc_0\nproperty float f_dc_1\nproperty float f_dc_2\nend_header\n"
    );
    let path = dir.path().join("splat.ply");
    fs::write(&path, header.into_bytes().into_iter().chain(splat).collect::<Vec<u8>>()).unwrap();
    let cloud = Cloud::fit(&PointCloud::read(&path).unwrap(), &Default::default()).unwrap();
    assert!(images(&cloud) == images(&self::cloud(REF)), "gaussian splats");
}

#[test]
fn rows_that_are_not_finite_have_no_part() {
    let cloud = cloud("20-nan-inf-rows/in.ply");
    assert_eq!((cloud.len(), cloud.input_len()), (1960, 2000));
    assert!(cloud.warnings[0].contains("40 of 2000 rows are not finite"), "{:?}", cloud.warnings);
    let of_rows = cloud.to_rows(&vec![0; cloud.len()], -1).into_owned();
    assert_eq!(of_rows.iter().filter(|&&label| label == -1).count(), 40);
    assert_eq!((of_rows[3], of_rows[4], of_rows[1953]), (-1, 0, -1));
}

#[test]
fn a_far_point_does_not_shrink_the_object() {
    let (reference, cloud) = (cloud(REF), cloud("83-one-far-outlier/in.ply"));
    assert_eq!((cloud.center, cloud.radius), (reference.center, reference.radius));
    assert!(images(&cloud) == images(&reference));
    assert!(cloud.warnings[0].contains("1 of 2001 rows lie far off"), "{:?}", cloud.warnings);
    assert!(cloud.to_rows(&vec![7; 2000], -1).iter().all(|&label| label == 7), "the nearest point's part");
}

#[test]
fn what_lies_on_its_back_is_stood_up() {
    let points = points("84-z-up/in.ply");
    let up = |up| Cloud::fit(&points, &cloud::Options { up, ..Default::default() }).unwrap();
    assert!(images(&up(Up::Z)) == images(&cloud(REF)));
    assert!(images(&up(Up::Y)) != images(&cloud(REF)));
}

#[test]
fn copies_do_not_make_superpoints_of_places() {
    let cloud = cloud("86-every-point-11-times/in.ply");
    let plain = points(REF);
    let once =
        PointCloud { positions: plain.positions[..300].into(), colors: plain.colors[..300].into(), ..plain };
    let once = Cloud::new(&once).unwrap();
    assert_eq!(cloud.positions, once.positions);
    let partition = |cloud: &Cloud| Superpoints::partition(&Device::Cpu, cloud, &Default::default()).unwrap();
    assert_eq!(partition(&cloud), partition(&once));
    assert_eq!(cloud.to_rows(&partition(&cloud).of_point, 0).len(), 3300);
    assert!(cloud.warnings[0].contains("3000 of 3300 rows lie where others lie"), "{:?}", cloud.warnings);
}

#[test]
fn a_mesh_is_not_taken_for_a_cloud_in_silence() {
    let warnings = points("87-mesh-of-8-vertices/in.ply").warnings;
    assert!(warnings[0].contains("a mesh, of 2 faces; only its 8 vertices are read"), "{warnings:?}");
}

#[test]
fn an_odd_byte_in_a_comment_takes_one_byte() {
    assert_eq!(points("37j-smallest-latin1/in.ply").len(), 1);
}

#[test]
fn a_white_cloud_is_said_to_be_white_and_can_be_seen_in_greys() {
    let mut white = points(REF);
    white.colors.fill([1.0; 3]);
    let fit = |colors| Cloud::fit(&white, &cloud::Options { colors, ..Default::default() }).unwrap();
    assert!(fit(Colors::File).warnings[0].contains("as white as the background"));
    assert!(fit(Colors::Grey).warnings.is_empty());
    let dark = images(&fit(Colors::Grey)).iter().filter(|&&value| value < 200).count();
    assert!(dark > 1000, "{dark}");
}

#[test]
fn the_authors_superpoints_are_read() {
    let path = file("89-superpoints-as-the-authors-save-them/sp.npy");
    let superpoints = Superpoints::load(&path, &cloud(REF)).unwrap();
    assert_eq!((superpoints.len(), superpoints.of_point.len()), (2, 2000));
    let mut fewer = cloud(REF);
    fewer.positions = fewer.positions[..1999].to_vec().into();
    let error = Superpoints::load(&path, &fewer).unwrap_err().to_string();
    assert!(error.contains("sp.npy") && error.contains("the cloud has 1999 points"), "{error}");
}

fn lift(boxes: &Boxes, masks: Masks) -> Segmentation {
    let options = Options { views: views(), ..Options::default() };
    let parts = Parts::new(["back", "seat"]).unwrap();
    let predictions = Predictions { boxes: boxes.clone(), masks, superpoints: None, weights: None };
    Pipeline::new(Device::Cpu, options).lift(&cloud(REF), &parts, predictions, &()).unwrap()
}

#[test]
fn boxes_in_other_units_are_refused_by_name() {
    let read = |case: &str| Boxes::read(&file(case), 2, 2).map_err(|e| e.to_string());
    assert_eq!(read("70-ref/pred.json").unwrap().check_pixels(200).unwrap(), None);
    let normalised = read("73c-normalised-0-1/pred.json").unwrap().check_pixels(200).unwrap_err();
    assert!(normalised.to_string().contains("normalised"), "{normalised}");
    assert!(read("78-bbox-5-numbers/pred.json").unwrap_err().contains("5 numbers"));
}

#[test]
fn categories_of_coco_are_told_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let read = |categories: &str| {
        let path = dir.path().join("coco.json");
        let one = r#"{"image_id": 1, "category_id": 7, "bbox": [0, 0, 20, 20]}"#;
        std::fs::write(&path, format!(r#"{{"annotations": [{one}], "categories": [{categories}]}}"#))
            .unwrap();
        let parts = Parts::new(["back", "seat"]).unwrap();
        Boxes::read_named(&path, 2, &parts).map(|boxes| boxes.labels().unwrap()).map_err(|e| e.to_string())
    };
    assert_eq!(read(r#"{"id": 3, "name": "back"}, {"id": 7, "name": " Seat"}"#), Ok(vec![1]));
    let error = read(r#"{"id": 7, "name": "dog"}"#).unwrap_err();
    assert!(error.contains("category 7 is called \"dog\"") && error.contains("back, seat"), "{error}");
    assert!(read("").unwrap_err().contains("category_id is 7"), "without names they count");
}

#[test]
fn logits_are_inside_above_zero() {
    let boxes = Boxes::read(&file("80c-mask-float-logits/pred.json"), 2, 2).unwrap();
    let masks = Masks::read(&file("80c-mask-float-logits/masks.npz"), 2, 200).unwrap();
    let inside = |b| masks.full(&boxes, b, 200).unwrap().iter().filter(|&&pixel| pixel == 1).count();
    assert!((0..2).all(|b| (1..20_000).contains(&inside(b))), "{} {}", inside(0), inside(1));
    let found = lift(&boxes, masks);
    assert!(found.labels.of_point.iter().any(|&label| label >= 0));
}

#[test]
fn nothing_found_is_said() {
    let found = lift(&Boxes::default(), Masks::Boxes);
    assert!(found.warnings[0].contains("There is no box"), "{:?}", found.warnings);
    let corner = r#"[{"image_id": 0, "category_id": 1, "bbox": [0, 0, 2, 2], "score": 0.9}]"#;
    let found = lift(&Boxes::parse(corner, 2, 2).unwrap(), Masks::Boxes);
    assert!(found.warnings[0].contains("\"back\": 1 box holds no visible point"), "{:?}", found.warnings);
    assert_eq!(found.warnings[1], "No point is \"seat\": no box is given.");
    let options = Options { views: views::Options { radius: 1e-4, ..views() }, ..Options::default() };
    let predictions = Predictions::new(Boxes::default());
    let parts = Parts::new(["seat"]).unwrap();
    let found = Pipeline::new(Device::Cpu, options).lift(&cloud(REF), &parts, predictions, &()).unwrap();
    assert!(found.warnings[2].contains("covers only"), "{:?}", found.warnings);
}

#[test]
fn why_a_part_lost_is_told_apart() {
    let warning = |boxes: &[(u32, [u32; 4])], part: &str| {
        let views = |&(category, bbox): &(u32, [u32; 4])| {
            let one = |view| {
                format!(
                    r#"{{"image_id": {view}, "category_id": {category}, "bbox": {bbox:?}, "score": 0.9}}"#
                )
            };
            format!("{}, {}", one(0), one(1))
        };
        let list: Vec<String> = boxes.iter().map(views).collect();
        let found = lift(&Boxes::parse(&format!("[{}]", list.join(", ")), 2, 2).unwrap(), Masks::Boxes);
        let of_part =
            found.warnings.iter().find(|warning| warning.contains(&format!("No point is {part:?}")));
        of_part.unwrap_or_else(|| panic!("{:?}", found.warnings)).clone()
    };
    let upper = [0, 0, 200, 100];
    let same = warning(&[(1, upper), (2, upper)], "seat");
    assert!(same.contains("2 boxes, outvoted: where they hold most, 100 % of a superpoint's"), "{same}");
    assert!(same.ends_with("boxes of back hold the same points, and back won."), "{same}");
    let less = warning(&[(1, upper), (2, [95, 50, 4, 4])], "seat");
    assert!(less.contains("outvoted: they hold at most") && less.ends_with("where back won."), "{less}");
    let few = warning(&[(1, [97, 107, 3, 3])], "back");
    assert!(few.contains("2 boxes, and no part won: they hold at most"), "{few}");
}

#[test]
fn a_cloud_made_by_other_options_is_refused() {
    let options = Options { cloud: cloud::Options { up: Up::Z, ..Default::default() }, ..Options::default() };
    let predictions = Predictions::new(Boxes::default());
    let parts = Parts::new(["seat"]).unwrap();
    let error = Pipeline::new(Device::Cpu, options).lift(&cloud(REF), &parts, predictions, &()).unwrap_err();
    assert!(
        error.to_string().contains(r#"made with the options cloud {"colors":"file","up":"y"}"#),
        "{error}"
    );
}
