use partstad::{
    Device, Error,
    io::npy,
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
        instances::{self, Instances},
        labels::{self, Labels},
        masks::{LOGIT_SIDE, Masks},
        memberships::{self, Memberships},
        scores::Scores,
        superpoints::Superpoints,
        views::{self, Views},
        weights::{self, Weights},
    },
    study::targets::Targets,
};
use rayon::ThreadPoolBuilder;
use std::path::Path;

const SIDE: usize = 96;
const PARTS: [&str; 3] = ["leg", "seat", "wheel"];

struct Scene {
    cloud: Cloud,
    superpoints: Superpoints,
    views: Views,
}

/// Points on a spiral around a ball, cut into `superpoints` pieces.
fn scene(points: usize, superpoints: usize) -> Scene {
    let position = |i: usize| {
        let (y, turn) = (1.8 * (i as f32 + 0.5) / points as f32 - 0.9, i as f32 * 2.4);
        let r = (0.9 - y * y).max(0.0).sqrt();
        [r * turn.cos(), y, r * turn.sin()]
    };
    let positions: Vec<_> = (0..points).map(position).collect();
    let cloud = Cloud {
        colors: vec![[0.5; 3]; points].into(),
        positions: positions.into(),
        radius: 1.0,
        ..Cloud::default()
    };
    let options = views::Options { side: SIDE, radius: 0.03, ..views::Options::default() };
    let labels: Vec<i32> = (0..points).map(|i| (i * superpoints / points) as i32).collect();
    Scene {
        views: Views::render(&Device::Cpu, &cloud, &options).unwrap(),
        superpoints: Superpoints::from_labels(&labels).unwrap(),
        cloud,
    }
}

fn found(view: usize, label: usize, bbox: [f32; 4]) -> Box2d {
    Box2d { view: view as u32, label: label as u32, bbox, score: 0.5 }
}

fn boxes(list: Vec<Box2d>) -> Boxes {
    list.into()
}

/// `count` boxes in each of two views, all different.
fn many(count: usize) -> Boxes {
    let one = |i: usize| {
        found(3 + i / count, i % 3, [(i % 41) as f32, (i % 37) as f32, 30.0 + (i % 11) as f32, 50.0])
    };
    boxes((0..2 * count).map(one).collect())
}

impl Scene {
    fn memberships(&self, boxes: &Boxes, masks: &Masks) -> Result<Memberships, Error> {
        let options = memberships::Options::default();
        Memberships::find(&Device::Cpu, &self.superpoints, &self.views, boxes, masks, &options)
    }

    fn lift(&self, boxes: &Boxes, masks: &Masks) -> (Memberships, Scores, Labels, Instances) {
        let memberships = self.memberships(boxes, masks).unwrap();
        let weights =
            Weights::new(&Device::Cpu, boxes, &memberships, PARTS.len(), &weights::Options::default())
                .unwrap();
        let scores = Scores::vote(&Device::Cpu, &memberships, boxes, &weights, PARTS.len()).unwrap();
        assert!(scores.probabilities.host().unwrap().iter().all(|p| p.is_finite()));
        let labels =
            Labels::assign(&Device::Cpu, &self.superpoints, &scores, &PARTS, &labels::Options::default())
                .unwrap();
        let options = instances::Options::default();
        let instances = Instances::merge(
            &Device::Cpu,
            &self.cloud,
            &self.superpoints,
            boxes,
            &memberships,
            &scores,
            &labels,
            &options,
        )
        .unwrap();
        (memberships, scores, labels, instances)
    }

    /// Counts every visible point's set of boxes in the plainest way.
    fn check_counts(&self, boxes: &Boxes, memberships: &Memberships) {
        let n = self.cloud.len();
        for s in 0..self.superpoints.len() {
            let mut held: Vec<u32> = vec![0; boxes.len()];
            for (b, found) in boxes.list().unwrap().iter().enumerate() {
                let k = found.view as usize;
                let map = self.views.pixel_to_point(k).unwrap();
                let [left, top, right, bottom] = found.rect();
                let inside = |p: &u32| {
                    let [x, y] = self.views.screen.host().unwrap()[k * n + *p as usize];
                    map.contains(&(*p as i32)) && left < x && x < right && top < y && y < bottom
                };
                held[b] = self.superpoints.points(s).iter().filter(|p| inside(p)).count() as u32;
            }
            let mut counted = vec![0; boxes.len()];
            for (set, count) in memberships.sets().unwrap().counts(s) {
                set.iter().for_each(|&b| counted[b as usize] += count);
            }
            assert_eq!(counted, held, "superpoint {s}");
        }
    }
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn no_boxes() {
    let scene = scene(500, 9);
    for masks in [Masks::Boxes, Masks::Logits(vec![].into()), Masks::Bits(vec![].into())] {
        let (memberships, scores, labels, instances) = scene.lift(&Boxes::default(), &masks);
        assert!(
            memberships.sets().unwrap().entries.values().is_empty()
                && memberships.observed().unwrap().counts.iter().any(|&n| n > 0)
        );
        assert_eq!(*scores.valid.host().unwrap(), [0; 9]);
        assert_eq!(*labels.of_point, [-1; 500]);
        assert_eq!((instances.of_point, instances.list), (vec![-1; 500], vec![]));
    }
}

#[test]
fn a_box_around_everything_votes_only_with_a_mask() {
    let scene = scene(500, 9);
    let boxes = boxes(vec![found(0, 1, [0.0, 0.0, SIDE as f32, SIDE as f32])]);
    let (memberships, ..) = scene.lift(&boxes, &Masks::Boxes);
    assert_eq!(memberships.ignored().unwrap(), [0]);
    assert_eq!(memberships.sets().unwrap().entries.values().len(), 0);
    let (memberships, scores, ..) = scene.lift(&boxes, &Masks::pack(&[true; SIDE * SIDE], SIDE));
    assert!(memberships.ignored().unwrap().is_empty() && scores.valid.host().unwrap().contains(&1));
    let logits = scene.lift(&boxes, &Masks::Logits(vec![1.0; LOGIT_SIDE * LOGIT_SIDE].into())).0;
    assert_eq!(logits, memberships);
}

#[test]
fn many_boxes_in_one_view() {
    let scene = scene(600, 7);
    for count in [63, 64, 65, 200] {
        let boxes = many(count);
        let (memberships, ..) = scene.lift(&boxes, &Masks::Boxes);
        assert!(memberships.ignored().unwrap().is_empty());
        assert!(
            memberships.sets().unwrap().boxes.values().iter().any(|&b| b as usize % count == count - 1),
            "{count}: the last box"
        );
        scene.check_counts(&boxes, &memberships);
    }
}

#[test]
fn boxes_in_any_order() {
    let scene = scene(600, 7);
    let boxes = many(20);
    let mut turned = boxes.clone();
    turned.list_mut().unwrap().reverse();
    let (_, scores, labels, instances) = scene.lift(&boxes, &Masks::Boxes);
    let (_, scores2, labels2, instances2) = scene.lift(&turned, &Masks::Boxes);
    assert_eq!((scores, labels, instances), (scores2, labels2, instances2));
}

#[test]
fn boxes_outside_the_image_and_without_size() {
    let scene = scene(500, 9);
    let huge = f32::MAX / 2.0;
    for bbox in [
        [-500.0, -500.0, 100.0, 100.0],
        [5000.0, 0.0, 10.0, 10.0],
        [48.0, 48.0, 0.0, 0.0],
        [0.0, 48.0, 96.0, 0.0],
        [huge, huge, huge, huge],
    ] {
        let (memberships, _, labels, _) = scene.lift(&boxes(vec![found(2, 0, bbox)]), &Masks::Boxes);
        assert!(memberships.sets().unwrap().entries.values().is_empty(), "{bbox:?}");
        assert_eq!(*labels.of_point, [-1; 500], "{bbox:?}");
    }
}

#[test]
fn superpoints_of_one_point_and_of_all() {
    let boxes = boxes(vec![found(0, 0, [10.0, 10.0, 40.0, 70.0]), found(1, 2, [30.0, 10.0, 40.0, 70.0])]);
    let single = scene(300, 300);
    let (memberships, scores, ..) = single.lift(&boxes, &Masks::Boxes);
    assert_eq!(memberships.len(), 300);
    assert!(!scores.valid.host().unwrap().contains(&1), "a single visible point never votes (QUIRK gate)");
    let whole = scene(300, 1);
    let (memberships, ..) = whole.lift(&boxes, &Masks::Boxes);
    whole.check_counts(&boxes, &memberships);
    assert!(memberships.sets().unwrap().valid(0));
}

#[test]
fn views_that_show_nothing() {
    let mut scene = scene(300, 5);
    scene.views.pixel_to_point.host_mut().unwrap().fill(-1);
    let boxes = boxes(vec![found(0, 0, [10.0, 10.0, 40.0, 70.0])]);
    let (memberships, scores, labels, instances) = scene.lift(&boxes, &Masks::Boxes);
    assert!(memberships.observed().unwrap().counts.iter().all(|&n| n == 0));
    assert!(
        scores.votes.host().unwrap().iter().all(|v| v.is_finite())
            && !scores.valid.host().unwrap().contains(&1)
    );
    assert_eq!((&*labels.of_point, &instances.of_point), (&vec![-1; 300], &vec![-1; 300]));
}

#[test]
fn what_is_not_a_number_is_named() {
    let scene = scene(100, 2);
    for bad in [f32::NAN, f32::INFINITY] {
        let one = boxes(vec![found(0, 0, [10.0, bad, 40.0, 70.0])]);
        assert!(message(scene.memberships(&one, &Masks::Boxes)).contains("box 0: bbox"));
        let mut one = boxes(vec![found(0, 0, [10.0, 10.0, 40.0, 70.0])]);
        one.list_mut().unwrap()[0].score = bad;
        assert!(message(scene.memberships(&one, &Masks::Boxes)).contains("box 0: score"));
        one.list_mut().unwrap()[0].score = 0.5;
        (one.features, one.feature_dim) = (vec![0.0, bad].into(), 2);
        assert!(message(scene.memberships(&one, &Masks::Boxes)).contains("feature 1 of box 0"));
        let one = boxes(one.list().unwrap().to_vec());
        let memberships = scene.memberships(&one, &Masks::Boxes).unwrap();
        for (weights, name) in [
            (Weights { boxes: vec![bad].into(), null: 1.0 }, "box 0"),
            (Weights { boxes: vec![1.0].into(), null: bad }, "null weight"),
        ] {
            assert!(message(Scores::vote(&Device::Cpu, &memberships, &one, &weights, 3)).contains(name));
        }
        let options = weights::Options::Constant { weight: bad, null: 1.0 };
        assert!(Weights::new(&Device::Cpu, &one, &memberships, 3, &options).is_err());
    }
    let one = boxes(vec![found(0, 0, [10.0, 10.0, 40.0, 70.0])]);
    let mut logits = vec![0.0; LOGIT_SIDE * LOGIT_SIDE];
    logits[7] = f32::NAN;
    assert!(message(scene.memberships(&one, &Masks::Logits(logits.into()))).contains("NaN"));
}

#[test]
fn what_does_not_fit_is_named() {
    let scene = scene(100, 2);
    let one = boxes(vec![found(0, 2, [10.0, 10.0, 40.0, 70.0])]);
    assert!(message(scene.memberships(&one, &Masks::Bits(vec![0; 3].into()))).contains("masks: 3"));
    assert!(
        message(scene.memberships(&boxes(vec![found(10, 0, [0.0; 4])]), &Masks::Boxes)).contains("view 10")
    );
    assert!(
        message(scene.memberships(&boxes(vec![found(0, 0, [0.0, 0.0, -1.0, 2.0])]), &Masks::Boxes))
            .contains("-1")
    );
    let memberships = scene.memberships(&one, &Masks::Boxes).unwrap();
    let weights = Weights { boxes: vec![1.0].into(), null: 1.0 };
    assert!(message(Scores::vote(&Device::Cpu, &memberships, &one, &weights, 2)).contains("label 2"));
    assert!(message(Scores::vote(&Device::Cpu, &memberships, &one, &weights, 0)).contains("part"));
    let other = Superpoints::from_labels(&[0; 99]).unwrap();
    let options = memberships::Options::default();
    let result = Memberships::find(&Device::Cpu, &other, &scene.views, &one, &Masks::Boxes, &options);
    assert!(message(result).contains("99 points"));
    assert!(message(Targets::count(&scene.superpoints, &[3; 100], 3)).contains("label 3"));
    assert!(message(Targets::count(&scene.superpoints, &[0; 7], 3)).contains("7 labels"));
}

#[test]
fn predictions_files() {
    let entry = |view: &str, category: &str, bbox: &str, score: &str| {
        format!(
            r#"[{{"image_id": {view}, "category_id": {category}, "bbox": {bbox}, "score": {score}, "extra": [1]}}]"#
        )
    };
    let good = entry("9", "3", "[1, 2.5, 3, 0]", "1");
    let read = Boxes::parse(&good, 10, 3).unwrap();
    assert_eq!(read.list().unwrap(), [Box2d { view: 9, label: 2, bbox: [1.0, 2.5, 3.0, 0.0], score: 1.0 }]);
    for (bad, what) in [
        (entry("10", "1", "[1, 2, 3, 4]", "1"), "image_id is 10"),
        (entry("-1", "1", "[1, 2, 3, 4]", "1"), "image_id is -1"),
        (entry("0", "0", "[1, 2, 3, 4]", "1"), "category_id is 0, not in 1..=3"),
        (entry("0", "4", "[1, 2, 3, 4]", "1"), "category_id is 4"),
        (entry("0", "-9223372036854775808", "[1, 2, 3, 4]", "1"), "category_id is -9"),
        (entry("0", "1", "[1, 2, -3, 4]", "1"), "entry 0: bbox"),
        (entry("0", "1", "[1, 2, 3, 1e300]", "1"), "finite"),
        (entry("0", "1", "[1, 2, 3]", "1"), "bbox has 3 numbers, not 4"),
        (
            entry("0", "1", "[1, 2, 3, 4, 0.9]", "1"),
            "entry 0: bbox has 5 numbers, not 4; expected [x, y, width",
        ),
        (entry("0", "1", "[1, 2, 3, NaN]", "1"), "expected a list"),
        (entry("0", "1", "[1, 2, 3, 4]", "1.5"), "score"),
        ("{}".into(), "expected a list"),
        ("[".repeat(100_000), "expected a list"),
        ("".into(), "expected a list"),
    ] {
        let error = Boxes::parse(&bad, 10, 3).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let coco = format!(
        r#"{{"images": [{{"id": 7, "file_name": "views/9.png"}}], "annotations": {}}}"#,
        entry("7", "3", "[1, 2.5, 3, 0]", "1")
    );
    assert_eq!(Boxes::parse(&coco, 10, 3).unwrap(), read);
    for (image, word) in [
        (r#"{"id": 7, "file_name": "chair_9.png"}"#, r#"image 7 is called "chair_9.png""#),
        (r#"{"id": 9}"#, "image_id 7 is not among its `images`"),
        (
            r#"{"id": 7, "width": 8, "height": 8}, {"id": 8, "width": 8, "height": 9}"#,
            "image 8 has another size",
        ),
        (
            r#"{"id": 7, "file_name": "a/3.png"}, {"id": 8, "file_name": "b/3.png"}"#,
            "images 7 and 8 are called like one view, 3",
        ),
        (r#"{"id": 7}, {"id": 8}, {"id": 7}"#, "image 7 comes twice"),
    ] {
        let boxes =
            [7, 8].map(|id| format!(r#"{{"image_id": {id}, "category_id": 3, "bbox": [1, 2.5, 3, 0]}}"#));
        let coco = format!(r#"{{"images": [{image}], "annotations": [{}]}}"#, boxes.join(", "));
        let error = Boxes::parse(&coco, 10, 3).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    // What no box refers to may be called as it likes, and be of any size.
    let others = r#"{"images": [{"id": 1, "file_name": "C:\\views\\9.png", "width": 800.0, "height": 800}, {"id": 2,
        "file_name": "photo.jpg", "width": 9, "height": 9}], "annotations":
        [{"image_id": 1, "category_id": 3, "bbox": [1, 2.5, 3, 0]}]}"#;
    let found = Boxes::parse(others, 10, 3).unwrap();
    assert_eq!((found.list().unwrap(), found.image_size), (read.list().unwrap(), Some([800.0; 2])));
    let of_others = r#"{"images": [{"id": 0, "width": 640, "height": 640}], "annotations":
        [{"image_id": 0, "category_id": 3, "bbox": [100, 200, 300, 200]}]}"#;
    let boxes = Boxes::parse(of_others, 10, 3).unwrap();
    assert_eq!(boxes.check_pixels(640).unwrap(), None);
    assert!(
        message(boxes.check_pixels(800)).contains("its images are 640 x 640 pixels, the views 800 x 800")
    );
    let named = |categories: &str| {
        let boxes = entry("0", "3", "[1, 2.5, 3, 0]", "1");
        let text = format!(r#"{{"categories": [{categories}], "annotations": {boxes}}}"#);
        Boxes::parse_named(&text, 10, &["leg".into(), "seat".into()])
    };
    assert_eq!(named(r#"{"id": 3, "name": "Seat"}"#).unwrap().list().unwrap()[0].label, 1);
    let twice = named(r#"{"id": 3, "name": "leg"}, {"id": 3, "name": "seat"}"#).unwrap_err();
    assert!(twice.contains("category 3 comes twice"), "{twice}");
    for (mask, unread) in
        [("[]", false), ("null", false), ("[[1, 2, 3, 4, 5, 6]]", true), (r#"{"counts": "a"}"#, true)]
    {
        let text =
            format!(r#"[{{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": {mask}}}]"#);
        assert_eq!(Boxes::parse(&text, 10, 3).unwrap().masks_unread, unread, "{mask}");
    }
    let by_hand = r#"{"annotations": [{"image_id": 9, "category_id": 3, "bbox": [1, 2.5, 3, 0], "id": 1}]}"#;
    assert_eq!(Boxes::parse(by_hand, 10, 3).unwrap(), read);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pred.json");
    let boxes = many(5);
    boxes.write(&path).unwrap();
    assert_eq!(Boxes::read(&path, 10, 3).unwrap(), boxes);
    std::fs::write(&path, "[1]").unwrap();
    assert!(message(Boxes::read(&path, 10, 3)).contains("pred.json"));
    assert!(message(Boxes::read(Path::new("absent.json"), 10, 3)).contains("absent.json"));
}

#[test]
fn boxes_in_another_unit() {
    let check = |bboxes: &[[f32; 4]]| {
        let list = bboxes.iter().map(|&bbox| Box2d { view: 0, label: 0, bbox, score: 1.0 });
        Boxes::from(list.collect::<Vec<_>>()).check_pixels(200).map_err(|e| e.to_string())
    };
    assert_eq!(check(&[[60.0, 20.0, 80.0, 80.0], [60.0, 100.0, 80.0, 60.0]]), Ok(None));
    assert_eq!(check(&[]), Ok(None));
    assert!(check(&[[0.3, 0.1, 0.4, 0.4]]).unwrap_err().contains("normalised"));
    assert!(check(&[[60.0, 20.0, 160.0, 100.0]]).unwrap_err().contains("corners"));
    assert!(check(&[[160.0, 20.0, 160.0, 100.0]]).unwrap_err().contains("outside the views of 200"));
    assert!(check(&[[10.0, 20.0, 30.0, 30.0]]).unwrap().unwrap().contains("smaller images"));
    assert!(check(&[[60.0, 20.0, 80.0, 100.0]; 8]).unwrap().unwrap().contains("corners"));
}

#[test]
fn masks_mean_what_their_values_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.npy");
    let read = |shape: &[usize], values: &[f32]| {
        npy::write(&path, shape, values).unwrap();
        let masks = Masks::read(&path, 1, 2).map_err(|e| e.to_string())?;
        masks.full(&Boxes::default(), 0, 2).map_err(|e| e.to_string())
    };
    for (values, inside) in [
        ([0.0, 1.0, 0.0, 1.0], [0, 1, 0, 1]),
        ([0.0, 255.0, 0.0, 0.0], [0, 1, 0, 0]),
        ([0.0, 7.0, 0.0, 7.0], [0, 1, 0, 1]),
        ([-3.5, 2.0, 0.0, 0.1], [0, 1, 0, 1]),
        ([0.1, 0.9, 0.5, 1.0], [0, 1, 0, 1]),
    ] {
        assert_eq!(read(&[1, 2, 2], &values).unwrap(), inside, "{values:?}");
        assert_eq!(read(&[1, 1, 2, 2], &values).unwrap(), inside);
    }
    assert!(read(&[1, 2, 2], &[0.2, 1.0, 128.0, 0.0]).unwrap_err().contains("masks > threshold"));
    assert!(read(&[1, 2, 2], &[0.0, f32::NAN, 0.0, 0.0]).unwrap_err().contains("not finite"));
}

#[test]
fn features_weights_and_masks_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut boxes = many(1);
    npy::write(&path, &[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    boxes.read_features(&path).unwrap();
    assert_eq!((boxes.feature_dim, boxes.features.host().unwrap()[3]), (3, 4.0));
    npy::write(&path, &[3, 2], &[0.0f32; 6]).unwrap();
    assert!(message(boxes.read_features(&path)).contains("3 rows of features for 2 boxes"));
    npy::write(&path, &[2], &[0.0f32; 2]).unwrap();
    assert!(message(boxes.read_features(&path)).contains("[B, F]"));
    npy::write(&path, &[2, 1], &[0.0, f32::NAN]).unwrap();
    assert!(message(boxes.read_features(&path)).contains("of box 1"));

    npy::write(&path, &[2], &[1.0f32, 2.0]).unwrap();
    assert_eq!(Weights::read(&path, 2, 5.0).unwrap(), Weights { boxes: vec![1.0, 2.0].into(), null: 5.0 });
    assert_eq!(Weights::read(&path, 1, 5.0).unwrap(), Weights { boxes: vec![2.0].into(), null: 1.0 });
    assert!(message(Weights::read(&path, 4, 5.0)).contains("2 weights for 4 boxes"));
    npy::write(&path, &[2], &[1.0, f32::INFINITY]).unwrap();
    assert!(message(Weights::read(&path, 2, 5.0)).contains("box 1 is inf"));
    let weights = Weights { boxes: vec![0.5, -1.5].into(), null: 0.25 };
    weights.write(&path).unwrap();
    assert_eq!(Weights::read(&path, 2, 5.0).unwrap(), weights);

    let path = folder.path().join("masks.npz");
    let boxes = many(2);
    Masks::Boxes.write(&path, &boxes, 25).unwrap();
    let masks = Masks::read(&path, 4, 25).unwrap();
    for b in 0..4 {
        let full = masks.full(&boxes, b, 25).unwrap();
        assert_eq!(full, Masks::Boxes.full(&boxes, b, 25).unwrap());
        assert!(full.contains(&1));
    }
    assert!(message(Masks::read(&path, 4, 26)).contains("[4, 26, 26]"));
}

#[test]
fn memberships_survive_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memberships.npz");
    let scene = scene(600, 7);
    let boxes = many(70);
    let memberships = scene.memberships(&boxes, &Masks::Boxes).unwrap();
    memberships.write(&path).unwrap();
    assert_eq!(Memberships::read(&path, boxes.len()).unwrap(), memberships);
    assert!(message(Memberships::read(&path, 100)).contains("100 boxes"));
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let scene = scene(2000, 40);
    let boxes = many(70);
    let logits: Vec<f32> =
        (0..boxes.len() * LOGIT_SIDE * LOGIT_SIDE).map(|i| (i as f32 * 0.37).sin()).collect();
    let masks = Masks::Logits(logits.into());
    let on = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| scene.lift(&boxes, &masks))
    };
    let one = on(1);
    assert!(one.1.valid.host().unwrap().contains(&1));
    assert!((2..8).all(|threads| on(threads) == one));
}
