use crate::common::{copy, load, tiny, views};
use partstad::{
    Device,
    io::hash,
    models::{Images, Models},
    sam3d::{self, Regions},
    stages::{
        boxes::{Box2d, Boxes},
        masks::{LOGIT_SIDE, Masks, Options},
        views::Views,
    },
};
use serde_json::Value;
use std::fs;

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

/// The tiny models with the point decoder, of which the manifest knows.
fn answering() -> (tempfile::TempDir, Models) {
    let folder = copy();
    let path = folder.path().join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["segmenter"]["points"] = "sam_points.onnx".into();
    manifest["files"]["sam_points.onnx"] =
        hash::sha256_of_file(&folder.path().join("sam_points.onnx")).unwrap().into();
    fs::write(&path, manifest.to_string()).unwrap();
    let models = load(folder.path()).unwrap();
    (folder, models)
}

/// The tiny decoder answers with squares of 8, 16 and 32 pixels around the point, at 64 x 64; 0.95, 0.9 and 0.85 sure.
#[test]
fn points_are_answered_with_three_masks() {
    let (_folder, models) = answering();
    let segmenter = models.segmenter().unwrap();
    assert!(segmenter.answers_points());
    for (side, scale) in [(64, 1.0), (128, 2.0)] {
        let views = views(1, side, 3);
        let pixels = views.images.host().unwrap();
        let image = Images { pixels, height: side, width: side };
        let points = [[20.0 * scale, 30.0 * scale], [40.0 * scale, 8.0 * scale]];
        let mut seen = 0;
        let check = |some: std::ops::Range<usize>, logits: &[f32], iou: &[f32]| {
            seen += some.len();
            assert_eq!((logits.len(), iou), (6 * LOGITS, &[0.95, 0.9, 0.85, 0.95, 0.9, 0.85][..]));
            for (c, logits) in logits.chunks_exact(LOGITS).enumerate() {
                let (reach, [x, y]) = ([4.0, 8.0, 16.0][c % 3], points[c / 3].map(|at| at / scale));
                let far = |i: usize, at: f64| ((i as f64 + 0.5) / 4.0 - at).abs();
                for (i, &logit) in logits.iter().enumerate() {
                    let expected = reach - far(i % LOGIT_SIDE, x).max(far(i / LOGIT_SIDE, y));
                    assert!((f64::from(logit) - expected).abs() < 1e-4, "mask {c}, logit {i}");
                }
            }
            Ok(())
        };
        segmenter.answer(image, &points, check).unwrap();
        assert_eq!(seen, 2);
    }
    let boxes_alone = tiny();
    let boxes_alone = boxes_alone.segmenter().unwrap();
    let views = views(1, 64, 3);
    let image = Images { pixels: views.images.host().unwrap(), height: 64, width: 64 };
    let error = boxes_alone.answer(image, &[[1.0; 2]], |_, _, _| Ok(())).unwrap_err().to_string();
    assert!(error.contains("answer boxes, not points"), "{error}");
}

/// Prompts 16 pixels apart, whose surest masks are squares of 8: each its own, nothing else is sure enough. The second view
/// shows points in its upper half alone, and nothing is asked of the lower one.
#[test]
fn everything_in_a_view_is_found() {
    let (_folder, models) = answering();
    let mut views = views(2, 64, 3);
    views.pixel_to_point =
        (0..2 * 64 * 64).map(|i| if i < 64 * 96 { 0 } else { -1 }).collect::<Vec<_>>().into();
    let options = sam3d::Options {
        masks: sam3d::masks::Options {
            points_per_side: 4,
            min_iou: 0.9,
            min_stability: 0.3,
            ..Default::default()
        },
        ..Default::default()
    };
    let regions = Regions::everything(&Device::Cpu, &views, models.segmenter().unwrap(), &options).unwrap();
    for (i, &region) in regions.of_pixel.iter().enumerate() {
        let near = |at: usize| (at as f32 + 0.5).rem_euclid(16.0) - 8.0;
        let (x, y) = (i % 64, i / 64 % 64);
        let inside = near(x).abs().max(near(y).abs()) < 4.0;
        let (prompt, asked) = ((y / 16 * 4 + x / 16) as i32, if i < 64 * 64 { 16 } else { 8 });
        let found = inside && prompt < asked;
        assert_eq!(region, if found { asked - 1 - prompt } else { -1 }, "pixel {x}, {y}");
    }
}
