use crate::common::{tiny, views};
use partstad::stages::{
    boxes::{Box2d, Boxes},
    masks::{LOGIT_SIDE, Masks, Options},
    views::Views,
};

const LOGITS: usize = LOGIT_SIDE * LOGIT_SIDE;

fn boxes(of_view: &[u32]) -> Boxes {
    let list = of_view.iter().enumerate().map(|(i, &view)| {
        let i = i as f32;
        Box2d { view, label: 0, bbox: [3.0 + i, 5.5, 20.25 + i, 31.0 - i], score: 0.5 }
    });
    list.collect::<Vec<_>>().into()
}

fn predict(views: &Views, boxes: &Boxes, at_once: (usize, usize)) -> Vec<f32> {
    let options = Options { views: at_once.0, boxes: at_once.1 };
    let models = tiny();
    let masks = Masks::predict(views, boxes, models.segmenter().unwrap(), &options).unwrap();
    let Masks::Logits(logits) = masks else { panic!("the segmenter gives logits") };
    logits.into_host().unwrap()
}

/// The tiny decoder's logit is the distance to the box's nearest edge plus a number of the image.
#[test]
fn every_box_gets_its_own_mask_of_its_own_view() {
    let views = views(4, 64, 5);
    let boxes = boxes(&[0, 0, 2, 2, 2, 3]);
    let logits = predict(&views, &boxes, (10, 32));
    assert_eq!(logits.len(), 6 * LOGITS);
    let mut of_view = vec![];
    for (b, logits) in boxes.list().unwrap().iter().zip(logits.chunks_exact(LOGITS)) {
        let [x, y, width, height] = b.bbox;
        let distance = |i: usize| {
            let at = |n: usize| (n as f32 + 0.5) / 4.0;
            let (u, v) = (at(i % LOGIT_SIDE), at(i / LOGIT_SIDE));
            (u - x).min(x + width - u).min(v - y).min(y + height - v)
        };
        let offset = logits[0] - distance(0);
        for (i, &logit) in logits.iter().enumerate() {
            assert!((logit - distance(i) - offset).abs() < 1e-4, "view {} pixel {i}", b.view);
        }
        of_view.push((b.view, offset));
    }
    for (i, &(view, offset)) in of_view.iter().enumerate() {
        for &(other, another) in &of_view[i + 1..] {
            assert_eq!(view == other, (offset - another).abs() < 1e-4, "views {view} and {other}");
        }
    }
}

#[test]
fn masks_do_not_depend_on_the_chunks() {
    let views = views(10, 64, 6);
    let boxes = boxes(&[0, 0, 0, 1, 4, 4, 5, 7, 7, 7, 7, 9]);
    let all = predict(&views, &boxes, (10, 32));
    for at_once in [(1, 1), (3, 5), (10, 1), (1, 32), (0, 0)] {
        assert!(predict(&views, &boxes, at_once) == all, "{at_once:?} views and boxes at once");
    }
    assert!(predict(&views, &Boxes::default(), (10, 32)).is_empty());
}

#[test]
fn boxes_scale_with_the_view() {
    let boxes = boxes(&[0]);
    let mut twice = boxes.clone();
    twice.list_mut().unwrap()[0].bbox = boxes.list().unwrap()[0].bbox.map(|x| 2.0 * x);
    let mut white = (views(1, 64, 1), views(1, 128, 1));
    white.0.images.host_mut().unwrap().fill(254);
    white.1.images.host_mut().unwrap().fill(254);
    assert_eq!(predict(&white.0, &boxes, (1, 1)), predict(&white.1, &twice, (1, 1)));
}

#[test]
fn poison() {
    let models = tiny();
    let error = |boxes: &Boxes| {
        let segmenter = models.segmenter().unwrap();
        Masks::predict(&views(2, 64, 1), boxes, segmenter, &Options::default()).unwrap_err().to_string()
    };
    assert!(error(&boxes(&[0, 2])).contains("box 1 lies in image 2; there are 2 images"));
    assert!(error(&boxes(&[1, 0])).contains("in their order"));
    let mut broken = boxes(&[0]);
    broken.list_mut().unwrap()[0].bbox[2] = f32::INFINITY;
    assert!(error(&broken).contains("not finite"));
}
