use crate::common::{PARTS, first, tiny, views};
use partstad::{
    Template,
    stages::boxes::{Boxes, Options},
};
use std::sync::Arc;

fn options(batch: usize) -> Options {
    Options { batch, threshold: 0.3, ..Options::default() }
}

#[test]
fn boxes_do_not_depend_on_the_batch() {
    let models = tiny();
    let ten = views(10, 64, 1);
    let all = Boxes::detect(&ten, &PARTS, models.detector().unwrap(), &options(10)).unwrap();
    assert!(all.len() > 20, "the case must find boxes, found {}", all.len());
    assert_eq!(all.features.len(), all.len() * all.feature_dim);
    for count in [1, 3, 10] {
        for batch in [1, 3, 10] {
            let boxes =
                Boxes::detect(&first(&ten, count), &PARTS, models.detector().unwrap(), &options(batch))
                    .unwrap();
            let expected: Vec<_> =
                all.list().unwrap().iter().filter(|b| b.view < count as u32).copied().collect();
            assert_eq!(boxes.list().unwrap(), expected, "{count} views in batches of {batch}");
            let features = &all.features.host().unwrap()[..expected.len() * all.feature_dim];
            assert_eq!(boxes.features.host().unwrap(), features);
        }
    }
}

#[test]
fn order_and_range() {
    let boxes = Boxes::detect(&views(4, 64, 2), &PARTS, tiny().detector().unwrap(), &options(4)).unwrap();
    assert!(
        boxes.list().unwrap().is_sorted_by(|a, b| a.view < b.view || a.view == b.view && a.score >= b.score)
    );
    for b in boxes.list().unwrap() {
        let [x, y, width, height] = b.bbox;
        assert!(
            x >= 0.0 && y >= 0.0 && width >= 0.0 && height >= 0.0 && x + width <= 63.0 && y + height <= 63.0
        );
        assert!(b.label < 5 && b.score > 0.3 && b.score <= 1.0, "{b:?}");
    }
}

#[test]
fn weak_boxes_are_those_of_a_lower_threshold() {
    let detect = |threshold, weak_threshold| {
        let options = Options { threshold, weak_threshold, batch: 2, ..Options::default() };
        Boxes::detect(&views(3, 64, 2), &PARTS, tiny().detector().unwrap(), &options).unwrap()
    };
    let (all, split) = (detect(0.4, 0.4), detect(0.6, 0.4));
    assert!(all.weak().unwrap().is_empty() && !split.is_empty());
    let mut both = [split.list().unwrap(), split.weak().unwrap()].concat();
    both.sort_by(|a, b| a.view.cmp(&b.view).then(b.score.total_cmp(&a.score)));
    assert_eq!(both, all.list().unwrap());
    assert_eq!(split.features.len(), split.len() * split.feature_dim);
    assert!(detect(0.4, 0.9).weak().unwrap().is_empty(), "a higher weak threshold counts as the threshold");
}

#[test]
fn a_session_forgets_its_last_input() {
    let models = tiny();
    let detect =
        |seed| Boxes::detect(&views(3, 64, seed), &PARTS, models.detector().unwrap(), &options(3)).unwrap();
    let (a, b) = (detect(1), detect(2));
    assert_ne!(a, b);
    assert_eq!(detect(1), a);
    assert_eq!(detect(2), b);
}

#[test]
fn the_prompt_decides_and_is_encoded_once() {
    let models = tiny();
    let views = views(3, 64, 3);
    // High enough that no view has its 100 boxes, where one part would push out the other's.
    let options = Options { batch: 3, threshold: 0.7, ..Options::default() };
    let detect = |parts: &[&str]| Boxes::detect(&views, parts, models.detector().unwrap(), &options).unwrap();
    let (leg, seat) = (detect(&["leg"]), detect(&["seat"]));
    assert_ne!(leg.list().unwrap(), seat.list().unwrap());
    // The tiny head knows nothing but the words, so their order only renames the labels.
    let both = detect(&["seat", "leg"]);
    let of = |boxes: &Boxes, label| {
        boxes.list().unwrap().iter().filter(|b| b.label == label).map(|b| b.bbox).collect::<Vec<_>>()
    };
    assert!(!leg.is_empty() && !seat.is_empty());
    assert_eq!(of(&both, 0), of(&seat, 0));
    assert_eq!(of(&both, 1), of(&leg, 0));
    let prompt = |parts: &[&str]| models.detector().unwrap().prompt(parts, &Template::default()).unwrap();
    assert!(Arc::ptr_eq(&prompt(&["arm", "leg"]), &prompt(&["arm", "leg"])));
    assert_ne!(prompt(&["arm", "leg"]), prompt(&["leg", "arm"]));
}

#[test]
fn a_template_asks_for_more_than_the_name() {
    let (models, views) = (tiny(), views(3, 64, 3));
    let detect = |parts: &[&str], template: &str| {
        let options = Options { threshold: 0.7, template: template.parse().unwrap(), ..Options::default() };
        Boxes::detect(&views, parts, models.detector().unwrap(), &options).unwrap()
    };
    // The tiny head reads words by themselves, so that what stands around a name changes nothing, but is no part's.
    let bare = detect(&["leg"], "{part}");
    assert!(!bare.is_empty());
    assert_eq!(detect(&["leg"], "arm {part} wheel"), bare);
    assert_ne!(detect(&["arm leg wheel"], "{part}"), bare);
    assert_eq!(detect(&["leg"], "{part}"), bare, "the same caption, other names");
}

#[test]
fn boxes_are_in_the_pixels_of_the_view() {
    // Doubling every pixel and letting Pillow's filter halve the image again gives nearly the same input.
    let small = views(2, 64, 4);
    let mut large = views(2, 128, 4);
    let index =
        |view: usize, row: usize, column: usize, side: usize| ((view * side + row) * side + column) * 3;
    for view in 0..2 {
        for row in 0..128 {
            for column in 0..128 {
                let from = index(view, row / 2, column / 2, 64);
                let to = index(view, row, column, 128);
                large.images.host_mut().unwrap()[to..to + 3]
                    .copy_from_slice(&small.images.host().unwrap()[from..from + 3]);
            }
        }
    }
    let models = tiny();
    let detect = |views| {
        Boxes::detect(views, &PARTS, models.detector().unwrap(), &options(2))
            .unwrap()
            .list()
            .unwrap()
            .to_vec()
    };
    let (small, large) = (detect(&small), detect(&large));
    assert!(!small.is_empty());
    let right = |list: &[partstad::stages::boxes::Box2d]| {
        list.iter().map(|b| b.bbox[0] + b.bbox[2]).fold(0.0, f32::max)
    };
    assert!(right(&large) > 1.5 * right(&small), "{} {}", right(&large), right(&small));
}

#[test]
fn poison() {
    let models = tiny();
    let error = |side, parts: &[&str], threshold| {
        let options = Options { threshold, batch: 1, ..Options::default() };
        Boxes::detect(&views(1, side, 1), parts, models.detector().unwrap(), &options)
            .unwrap_err()
            .to_string()
    };
    assert!(error(64, &[], 0.5).contains("no part names"));
    assert!(error(64, &["arm"; 81], 0.5).contains("81 part names; the detector takes at most 80"));
    assert!(error(64, &["arm"], f32::NAN).contains("threshold NaN"));
    let mut broken = views(1, 64, 1);
    broken.images = broken.images.host().unwrap()[1..].to_vec().into();
    let error =
        Boxes::detect(&broken, &["arm"], models.detector().unwrap(), &options(1)).unwrap_err().to_string();
    assert!(error.contains("not images of 64 x 64"), "{error}");
    let none = Boxes::detect(&views(0, 64, 1), &["arm"], models.detector().unwrap(), &options(1)).unwrap();
    assert!(none.is_empty());
    // A batch of 0 is taken as 1.
    Boxes::detect(&views(2, 64, 1), &["arm"], models.detector().unwrap(), &options(0)).unwrap();
}
