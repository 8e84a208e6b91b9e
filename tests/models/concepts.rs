//! The concept segmenter, on tiny graphs whose queries are the cells of a grid.

use crate::{
    common::{FIXTURES, complaint, first, load, views},
    folder::{edit, sum},
};
use partstad::{
    lifting,
    models::{Concepts, Images, Models, check},
    observer::Progress,
    ops::{detect::detection::Thresholds, lift::mask},
    options::Options,
    stages::{
        boxes,
        masks::{self, Masks, find},
        views::Views,
    },
};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;

const NAMES: [&str; 3] = ["arm", "back leg", "seat"];
const CHANNELS: usize = 16;

/// A copy of the tiny concept segmenter to change.
pub fn folder(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = crate::common::copy();
    fs::rename(folder.path().join("concepts.json"), folder.path().join("manifest.json")).unwrap();
    edit(folder.path(), change);
    folder
}

/// The same with another decoder.
fn with_decoder(file: &str, change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = folder(|m| m["concepts"]["decoder"] = json!(file));
    edit(folder.path(), change);
    sum(folder.path(), file);
    folder
}

/// The same whose queries have no features and whose score is the logit's alone.
fn bare() -> TempDir {
    with_decoder("concept_bare.onnx", |m| {
        m["concepts"]["score"] = json!("sigmoid");
        m["concepts"]["feature_dim"] = json!(0);
    })
}

fn tiny() -> Models {
    load(folder(|_| ()).path()).unwrap()
}

fn overlapping(nms: f32) -> Models {
    load(folder(|m| m["concepts"]["nms"] = json!(nms)).path()).unwrap()
}

fn low() -> boxes::Options {
    boxes::Options { threshold: 0.35, ..boxes::Options::default() }
}

fn find_all(models: &Models, views: &Views, names: &[&str], at_once: [usize; 2]) -> (boxes::Boxes, Masks) {
    let [views_at_once, boxes] = at_once;
    let masks = masks::Options { views: views_at_once, boxes };
    find(views, names, models.concepts().unwrap(), &low(), &masks).unwrap()
}

#[test]
fn views_and_names_in_any_runs() {
    let (ten, mut weak) = (views(10, 64, 1), 0);
    for models in [overlapping(1.0), overlapping(0.3), load(bare().path()).unwrap()] {
        let (boxes, masks) = find_all(&models, &ten, &NAMES, [0, 0]);
        let count = boxes.len();
        assert!(count > 20, "{count} boxes: little to compare");
        assert!((0..3).all(|label| boxes.list().unwrap().iter().any(|b| b.label == label)));
        assert_eq!(boxes.features.len(), count * boxes.feature_dim);
        masks.check(count, 64).unwrap();
        boxes.check(10, 3).unwrap();
        for at_once in [[1, 1], [3, 2], [10, 30], [4, 7]] {
            assert!(
                find_all(&models, &ten, &NAMES, at_once) == (boxes.clone(), masks.clone()),
                "{at_once:?}"
            );
        }
        let (three, _) = find_all(&models, &first(&ten, 3), &NAMES, [2, 4]);
        let expected: Vec<_> = boxes.list().unwrap().iter().filter(|b| b.view < 3).copied().collect();
        assert_eq!(three.list().unwrap(), expected);
        weak += boxes.weak().unwrap().len();
        let list = boxes.list().unwrap();
        assert!(list.is_sorted_by(|a, b| a.view < b.view || a.view == b.view && a.score >= b.score));
    }
    assert!(weak > 20, "{weak} weak boxes: little to compare");
}

#[test]
fn a_name_answers_alone_as_among_others() {
    // Nothing is suppressed, so that no name takes another's boxes.
    let (models, views) = (overlapping(1.0), views(4, 64, 2));
    let (all, all_masks) = find_all(&models, &views, &NAMES, [4, 12]);
    for (label, name) in (0..).zip(NAMES) {
        let (alone, masks) = find_all(&models, &views, &[name], [1, 1]);
        let of_name: Vec<usize> = (0..all.len()).filter(|&b| all.list().unwrap()[b].label == label).collect();
        assert!(!alone.is_empty() && alone.len() == of_name.len(), "{name}");
        for (i, &b) in of_name.iter().enumerate() {
            let (a, b2) = (alone.list().unwrap()[i], all.list().unwrap()[b]);
            assert_eq!((a.view, a.bbox, a.score), (b2.view, b2.bbox, b2.score), "{name}");
            assert_eq!(masks.full(&alone, i, 64).unwrap(), all_masks.full(&all, b, 64).unwrap());
        }
    }
    let concepts = models.concepts().unwrap();
    let prompt = |names: &[&str]| concepts.prompt(names).unwrap();
    assert!(Arc::ptr_eq(&prompt(&NAMES), &prompt(&NAMES)));
    assert_eq!((prompt(&NAMES).names, prompt(&NAMES).tokens), (3, 8), "as long as the longest name may be");
}

#[test]
fn of_masks_that_show_one_thing_the_strongest_remains() {
    let views = views(5, 64, 3);
    let (all, all_masks) = find_all(&overlapping(1.0), &views, &NAMES, [0, 0]);
    let (some, some_masks) = find_all(&overlapping(0.3), &views, &NAMES, [0, 0]);
    assert!(some.len() * 3 < all.len() * 2, "{} of {} boxes", some.len(), all.len());
    let pixels = |masks: &Masks, boxes: &boxes::Boxes, b: usize| masks.full(boxes, b, 64).unwrap();
    let iou = |a: &[u8], b: &[u8]| {
        let count = |of: &dyn Fn(usize) -> bool| (0..a.len()).filter(|&i| of(i)).count() as f64;
        count(&|i| a[i] & b[i] != 0) / count(&|i| a[i] | b[i] != 0)
    };
    let kept: Vec<Vec<u8>> = (0..some.len()).map(|b| pixels(&some_masks, &some, b)).collect();
    let list = some.list().unwrap();
    for (a, mask) in kept.iter().enumerate() {
        for b in (0..a).filter(|&b| list[b].view == list[a].view) {
            assert!(iou(mask, &kept[b]) <= 0.3, "{:?} and {:?}", list[a], list[b]);
        }
    }
    // The cells of a query are the same for all names, so the strongest name of each takes it.
    for (b, lost) in all.list().unwrap().iter().enumerate() {
        let mask = pixels(&all_masks, &all, b);
        let beaten = |(k, stronger): (usize, &boxes::Box2d)| {
            stronger.view == lost.view && stronger.score >= lost.score && iou(&kept[k], &mask) > 0.3
        };
        assert!(list.contains(lost) || list.iter().enumerate().any(beaten), "{lost:?} went for nothing");
    }
}

/// The tiny decoder's mask is what lies in its box, but for a margin.
#[test]
fn squashed_views_come_back_in_their_own_pixels() {
    let models = overlapping(1.0);
    let concepts = models.concepts().unwrap();
    let prompt = concepts.prompt(&NAMES).unwrap();
    let seen = |height: usize, width: usize| {
        let pixels: Vec<u8> = (0..height * width * 3).map(|i| (i % 3 * 70) as u8).collect();
        let images = Images { pixels: &pixels, height, width };
        concepts.find(images, &prompt, Thresholds::only(0.1), 1, 1).unwrap().remove(0)
    };
    let (square, wide) = (seen(64, 64), seen(40, 120));
    assert!(!square.boxes.is_empty() && square.boxes.len() == wide.boxes.len());
    let bytes = mask::bytes(40 * 120);
    assert_eq!(wide.masks.len(), wide.boxes.len() * bytes);
    for (b, (a, other)) in square.boxes.iter().zip(&wide.boxes).enumerate() {
        assert_eq!((a.part, a.location, a.score), (other.part, other.location, other.score));
        for axis in 0..4 {
            let scale = if axis % 2 == 0 { 120.0 / 64.0 } else { 40.0 / 64.0 };
            assert!((a.corners[axis] * scale - other.corners[axis]).abs() < 1e-4);
        }
        let bits = &wide.masks[b * bytes..][..bytes];
        let [x1, y1, x2, y2] = other.corners;
        let mut inside = 0;
        for pixel in (0..40 * 120).filter(|&pixel| mask::cpu::bit(bits, pixel)) {
            let (x, y) = ((pixel % 120) as f32 + 0.5, (pixel / 120) as f32 + 0.5);
            assert!(x > x1 - 8.0 && x < x2 + 8.0 && y > y1 - 4.0 && y < y2 + 4.0, "{x}, {y}: {other:?}");
            inside += 1;
        }
        assert!(inside as f32 > 0.5 * (x2 - x1) * (y2 - y1), "{inside} pixels of {other:?}");
    }
}

#[test]
fn without_features_four_numbers_stand_in() {
    let (models, views) = (load(bare().path()).unwrap(), views(3, 64, 4));
    let (boxes, masks) = find_all(&models, &views, &NAMES, [0, 0]);
    assert_eq!(boxes.feature_dim, 4);
    assert!(!models.concepts().unwrap().has_features() && boxes.len() > 5);
    let rows = boxes.features.host().unwrap().chunks_exact(4);
    for (b, (found, row)) in boxes.list().unwrap().iter().zip(rows).enumerate() {
        let area = masks.full(&boxes, b, 64).unwrap().iter().filter(|&&inside| inside != 0).count() as f32;
        let [_, _, width, height] = found.bbox;
        let expected = [found.score, 1.0, area / 4096.0, area / (width * height)];
        assert!(row.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{row:?} {expected:?}");
    }
}

/// Stored prompts of some names, `[L, 16]` and mask.
fn store(folder: &Path, name: &str, hidden: &[f32], mask: Option<&[i64]>, own: &str) {
    let file = format!("{}.safetensors", name.replace(' ', "-"));
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let (hidden_bytes, shape) = (bytes(hidden), vec![hidden.len() / CHANNELS, CHANNELS]);
    let mask_bytes: Vec<u8> = mask.iter().copied().flatten().flat_map(|x| x.to_le_bytes()).collect();
    let mut tensors = vec![("prompt", TensorView::new(Dtype::F32, shape, &hidden_bytes).unwrap())];
    if let Some(mask) = mask {
        tensors.push(("mask", TensorView::new(Dtype::I64, vec![mask.len()], &mask_bytes).unwrap()));
    }
    let metadata = Some([("name".to_string(), own.to_string())].into());
    fs::write(folder.join(&file), safetensors::serialize(tensors, metadata).unwrap()).unwrap();
    edit(folder, |m| m["concepts"]["prompts"][name] = json!(file));
    sum(folder, &file);
}

#[test]
fn stored_prompts_take_the_place_of_the_text_encoder() {
    let (models, views) = (tiny(), views(3, 64, 5));
    let prompt = models.concepts().unwrap().prompt(&NAMES).unwrap();
    let without = folder(|m| {
        let concepts = m["concepts"].as_object_mut().unwrap();
        concepts.retain(|field, _| field != "text" && field != "text_encoder");
    });
    let one = prompt.tokens * CHANNELS;
    for (p, name) in NAMES.iter().enumerate() {
        let mask = &prompt.mask[p * prompt.tokens..][..prompt.tokens];
        store(without.path(), name, &prompt.hidden[p * one..][..one], Some(mask), name);
    }
    let stored = load(without.path()).unwrap();
    let found = find_all(&stored, &views, &NAMES, [2, 2]);
    assert!(!found.0.is_empty() && found == find_all(&models, &views, &NAMES, [0, 0]));
    let unknown = stored.concepts().unwrap().prompt(&["seat", "wheel"]).unwrap_err().to_string();
    assert!(unknown.contains("\"wheel\" is none of the prompts") && unknown.contains("arm, back leg, seat"));

    // Without a mask all of its tokens count; one of another length than the encoded names goes beside them.
    let learned = folder(|_| ());
    store(learned.path(), "wheel", &prompt.hidden[..2 * CHANNELS], None, "wheel");
    let long: Vec<f32> = (0..11 * CHANNELS).map(|i| (i as f32).sin()).collect();
    store(learned.path(), "arm", &long, None, "arm");
    let learned = load(learned.path()).unwrap();
    let both = learned.concepts().unwrap().prompt(&["wheel", "arm", "seat"]).unwrap();
    assert_eq!(both.tokens, 11);
    assert_eq!(&both.mask[..11], [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let seat = |names: &[&str], label| {
        let (boxes, _) = find_all(&learned, &views, names, [0, 0]);
        boxes.list().unwrap().iter().filter(|b| b.label == label).map(|b| b.score).collect::<Vec<_>>()
    };
    assert!(!seat(&["seat"], 0).is_empty());
}

#[test]
fn a_template_is_asked_for_and_stored_prompts_answer_for_what_is_asked() {
    let (models, views) = (tiny(), views(2, 64, 7));
    let ask = |models: &Models, names: &[&str], template: &str| {
        let boxes = boxes::Options { template: template.parse().unwrap(), ..low() };
        find(&views, names, models.concepts().unwrap(), &boxes, &Default::default())
    };
    let of_leg = ask(&models, &["back", "seat"], "{part} leg").unwrap();
    assert!(of_leg == ask(&models, &["back leg", "seat leg"], "{part}").unwrap() && !of_leg.0.is_empty());
    assert!(of_leg != ask(&models, &["back", "seat"], "{part}").unwrap());
    let error = ask(&models, &["back"], "{part} of a {category}").unwrap_err().to_string();
    assert!(error.contains("option boxes.template is \"{part} of a {category}\""), "{error}");

    let stored = folder(|_| ());
    let wheel = models.concepts().unwrap().prompt(&["wheel"]).unwrap();
    store(stored.path(), "back leg", &wheel.hidden, Some(&wheel.mask), "back leg");
    let stored = load(stored.path()).unwrap();
    let found = ask(&stored, &["back"], "{part} leg").unwrap();
    assert!(found == ask(&models, &["wheel"], "{part}").unwrap() && !found.0.is_empty());
}

#[test]
fn poison() {
    let models = tiny();
    let concepts: &Concepts = models.concepts().unwrap();
    let error = |names: &[&str]| concepts.prompt(names).unwrap_err().to_string();
    assert!(error(&[]).contains("no part names"));
    assert!(error(&["arm", "arm"]).contains("\"arm\" is named twice"));
    assert!(error(&[" "]).contains("is empty"));
    let doubts = &concepts.prompt(&["arm", "zygote", "arm arm arm arm arm arm arm"]).unwrap().doubts;
    assert!(doubts[0].0 == 1 && doubts[0].1.contains("vocabulary"), "{doubts:?}");
    assert!(doubts[1].0 == 2 && doubts[1].1.contains("8 tokens"), "{doubts:?}");
    let none = find_all(&models, &views(0, 64, 1), &NAMES, [0, 0]);
    assert!(none.0.is_empty());

    let nan = load(with_decoder("concept_nan.onnx", |_| ()).path()).unwrap();
    let error =
        find(&views(1, 64, 1), &NAMES, nan.concepts().unwrap(), &low(), &Default::default()).unwrap_err();
    assert!(error.to_string().contains("concept_nan.onnx: output `presence` is NaN"), "{error}");

    let wrong = |hidden: &[f32], mask: Option<&[i64]>, own: &str| {
        let folder = folder(|_| ());
        store(folder.path(), "wheel", hidden, mask, own);
        complaint(folder.path())
    };
    let fine = [0.5; 2 * CHANNELS];
    let cases = [
        (wrong(&fine, None, "seat"), "is the prompt of \"seat\", but the manifest gives it to \"wheel\""),
        (wrong(&[f32::NAN; CHANNELS], None, "wheel"), "`prompt` is NaN at token 0"),
        (wrong(&fine, Some(&[1]), "wheel"), "`mask` has shape [1], not [2]"),
        (wrong(&fine, Some(&[1, 2]), "wheel"), "`mask` must be 1 for tokens that count"),
        (wrong(&fine, Some(&[0, 0]), "wheel"), "`mask` must be 1 for tokens that count"),
        (wrong(&[], None, "wheel"), "`prompt` is [0, 16]; it must be [L, 16]"),
    ];
    for (message, expected) in cases {
        assert!(
            message.contains("wheel.safetensors: ") && message.contains(expected),
            "{expected}: {message}"
        );
    }
}

#[test]
fn bad_manifests() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 22] = [
        (|m| m["detector"] = json!({}), "missing field"),
        (
            |m| _ = m.as_object_mut().unwrap().remove("concepts"),
            "there is no detector, and there are no concepts",
        ),
        (
            |m| {
                let tiny = fs::read(Path::new(FIXTURES).join("manifest.json")).unwrap();
                m["segmenter"] = serde_json::from_slice::<Value>(&tiny).unwrap()["segmenter"].clone();
            },
            "there are a segmenter and concepts",
        ),
        (
            |m| {
                let tiny = fs::read(Path::new(FIXTURES).join("manifest.json")).unwrap();
                m["detector"] = serde_json::from_slice::<Value>(&tiny).unwrap()["detector"].clone();
            },
            "there are a detector and concepts; a folder holds one of the two",
        ),
        (|m| m["concepts"]["strides"] = json!([4]), "unknown field `strides`"),
        (|m| m["concepts"]["text"]["separator"] = json!("."), "unknown field `separator`"),
        (|m| m["concepts"]["score"] = json!("mean_sigmoid"), "unknown variant `mean_sigmoid`"),
        (|m| m["concepts"]["boxes"] = json!("xyxy"), "unknown variant `xyxy`, expected one of `center`"),
        (|m| m["concepts"]["image"]["resize"] = json!("crop"), "unknown variant `crop`"),
        (|m| _ = m["concepts"].as_object_mut().unwrap().remove("text"), "concepts.text is missing"),
        (
            |m| _ = m["concepts"].as_object_mut().unwrap().remove("text_encoder"),
            "concepts.text_encoder is missing",
        ),
        (
            |m| m["concepts"].as_object_mut().unwrap().retain(|f, _| f != "text" && f != "text_encoder"),
            "concepts.text_encoder or prompts must be there",
        ),
        (|m| m["concepts"]["text"]["max_tokens"] = json!(2), "concepts.text.max_tokens must be in 3..=4096"),
        (|m| m["concepts"]["features"] = json!({}), "concepts.features must name 1 to 16"),
        (
            |m| m["concepts"]["features"]["features_0"] = json!([0, 16]),
            "concepts.features.features_0 must be 1 to 8",
        ),
        (
            |m| m["concepts"]["features"]["text_mask"] = json!([1]),
            "concepts.features.text_mask has the name of another",
        ),
        (|m| m["concepts"]["masks"] = json!(2), "concepts.masks must be in 3..=4096"),
        (|m| m["concepts"]["queries"] = json!(0), "concepts.queries must be in 1..=65536"),
        (|m| m["concepts"]["nms"] = json!(1.5), "concepts.nms must be in [0, 1]"),
        (|m| m["concepts"]["max_det"] = json!(0), "concepts.max_det must be in 1..=65536"),
        (
            |m| m["concepts"]["prompts"] = json!({"Arm": "vocab.txt"}),
            "concepts.prompts: the name \"Arm\" must be trimmed and in lower case",
        ),
        (
            |m| m["concepts"]["prompts"] = json!({"arm": "arm.safetensors"}),
            "\"arm.safetensors\" is used but has no SHA-256",
        ),
    ];
    for (change, expected) in cases {
        let message = complaint(folder(change).path());
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let message = complaint(folder(|m| m["concepts"]["queries"] = json!(9)).path());
    assert!(
        message.contains("output `logits` should be f32 [B, 9], but the model's axis 1 is 16"),
        "{message}"
    );
    let message = complaint(folder(|m| m["concepts"]["features"]["features_1"] = json!([3, 5, 5])).path());
    assert!(message.contains("`features_1` should be f32 [N, 3, 5, 5]"), "{message}");
    let message = complaint(folder(|m| m["concepts"]["decoder"] = json!("concept_vision.onnx")).path());
    assert!(message.contains("there is no input `features_0`"), "{message}");
    let message = complaint(with_decoder("concept_bare.onnx", |_| ()).path());
    assert!(message.contains("there is no output `presence` (f32 [B])"), "{message}");
}

#[test]
fn check_says_what_is_wrong() {
    let check = |folder: &Path| {
        let options = partstad::models::Options { threads: 1, ..Default::default() };
        check::check(folder, &NAMES, &options).unwrap()
    };
    let report = check(folder(|_| ()).path());
    assert_eq!((report.problems, report.notes), (vec![], vec![]));
    let files: Vec<&str> = report.models.iter().map(|model| &model.file[..]).collect();
    assert_eq!(files, ["concept_vision.onnx", "text_encoder.onnx", "concept_decoder.onnx"]);
    let trial = report.trial.unwrap();
    assert!(trial.boxes > 0 && trial.decode.is_some() && trial.segment.is_none());
    assert_eq!(trial.outputs, 4 * (16 + 1 + 16 * 4 + 16 * 256 + 16 * 8));

    let report = check(bare().path());
    assert_eq!(report.problems, [""; 0]);
    assert!(report.notes[0].contains("gives no features"), "{:?}", report.notes);
    let report = check(with_decoder("concept_mixed.onnx", |_| ()).path());
    assert!(
        report
            .problems
            .iter()
            .any(|p| p.contains("where names are asked for together: names must not depend")),
        "{:?}",
        report.problems
    );
    let report = check(with_decoder("concept_nan.onnx", |_| ()).path());
    assert!(report.problems[0].contains("output `presence` is NaN"), "{:?}", report.problems);
    let logits = folder(|m| {
        m["concepts"]["score"] = json!("probability");
        m["concepts"]["image"]["mean"] = json!([300, 300, 300]);
    });
    let report = check(logits.path());
    assert!(report.problems.iter().any(|p| p.contains("correct concepts.score")), "{:?}", report.problems);
}

#[test]
fn lifting_takes_boxes_and_masks_at_once() {
    let (models, views) = (tiny(), views(3, 64, 6));
    let parts: Vec<String> = ["arm", "zygote", "seat"].map(String::from).to_vec();
    let options = Options { boxes: low(), ..Options::default() };
    let mut progress = Progress::new(&());
    let (boxes, masks) = lifting::predict(&models, &views, &parts, &options, &mut progress).unwrap();
    assert!(boxes.len() > 3 && matches!(masks, Masks::Bits(_)));
    assert_eq!(boxes.detected.as_ref().unwrap().doubts.len(), 1);
}

/// The same weights in graphs of other layouts: what is read is the same.
#[test]
fn exports_of_other_layouts_find_the_same() {
    let views = views(3, 64, 8);
    let own = find_all(&overlapping(0.6), &views, &NAMES, [0, 0]);
    assert!(own.0.len() > 10);
    let compare = |folder: TempDir, what: &str| {
        let models = load(folder.path()).unwrap();
        let all = find_all(&models, &views, &NAMES, [0, 0]);
        for at_once in [[1, 1], [2, 4], [3, 9]] {
            assert!(find_all(&models, &views, &NAMES, at_once) == all, "{what}, {at_once:?} at once");
        }
        let (boxes, masks) = all;
        assert_eq!(boxes.len(), own.0.len(), "{what}");
        // Their own arithmetic rounds in its own way.
        for (b, (x, y)) in boxes.list().unwrap().iter().zip(own.0.list().unwrap()).enumerate() {
            assert!((x.view, x.label) == (y.view, y.label) && (x.score - y.score).abs() < 1e-5, "{what}");
            assert!(x.bbox.iter().zip(y.bbox).all(|(a, b)| (a - b).abs() < 1e-3), "{what}: {x:?} {y:?}");
            let (x, y) = (masks.full(&boxes, b, 64).unwrap(), own.1.full(&own.0, b, 64).unwrap());
            assert!(x.iter().zip(&y).filter(|(a, b)| a != b).count() < 5, "{what}: the mask of {b}");
        }
        let report = check::check(folder.path(), &NAMES, &partstad::models::Options::default()).unwrap();
        assert_eq!(report.problems, [""; 0], "{what}");
    };
    compare(single(|_| ()), "single");
    compare(aligned(|_| ()), "aligned");
    let one_view = |m: &mut Value| m["concepts"]["pairs"] = json!("single");
    compare(aligned(one_view), "aligned, one by one");
}

/// One image in bytes, one name, tokens first, padding masked, constants.
fn single(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = with_decoder("concept_single.onnx", |m| {
        m["concepts"]["nms"] = json!(0.6);
        m["concepts"]["vision_encoder"] = json!("raw_vision.onnx");
        m["concepts"]["text_encoder"] = json!("fixed_text.onnx");
        let image = &mut m["concepts"]["image"];
        (image["scale"], image["mean"], image["std"]) = (json!(255), json!([0, 0, 0]), json!([1, 1, 1]));
        m["concepts"]["prompt_tokens"] = json!(8);
        m["concepts"]["pairs"] = json!("single");
        m["concepts"]["ports"] = json!({
            "vision_encoder": {"inputs": {"pixels": {"from": "image", "axes": ["C", "H", "W"]}}},
            "text_encoder": {
                "inputs": {"tokens": "ids"},
                "outputs": {"hidden": {"name": "memory", "axes": ["L", "T", "D"]}}
            },
            "decoder": {
                "inputs": {
                    "language": {"from": "prompt", "axes": ["L", "B", "D"]},
                    "language_padding": {"from": "prompt_mask", "as": "padding"},
                    "height": {"fill": 64, "axes": []},
                    "spare_boxes": {"fill": 0, "axes": [8, 1, 4]}
                },
                "outputs": {
                    "logits": {"name": "logits", "axes": ["B", "Q", 1]},
                    "presence": {"name": "presence", "axes": ["B", 1]}
                }
            }
        });
    });
    sum(folder.path(), "raw_vision.onnx");
    sum(folder.path(), "fixed_text.onnx");
    edit(folder.path(), change);
    folder
}

/// A view for every name, corners, prompts of a fixed length.
fn aligned(change: impl FnOnce(&mut Value)) -> TempDir {
    with_decoder("concept_aligned.onnx", |m| {
        m["concepts"]["nms"] = json!(0.6);
        m["concepts"]["prompt_tokens"] = json!(8);
        m["concepts"]["pairs"] = json!("aligned");
        m["concepts"]["boxes"] = json!("corners");
        m["concepts"]["ports"] = json!({
            "decoder": {
                "inputs": {
                    "text_hidden": "prompt", "text_mask": "prompt_mask",
                    "spare_labels": {"fill": -10, "axes": ["B", 1]}
                },
                "outputs": {"presence": {"name": "presence", "axes": ["B", 1]}}
            }
        });
        change(m);
    })
}

#[test]
fn bad_ports() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 16] = [
        (|m| m["concepts"]["pairs"] = json!("each"), "unknown variant `each`"),
        (|m| m["concepts"]["ports"]["detector"] = json!({}), "unknown field `detector`"),
        (|m| m["concepts"]["prompt_tokens"] = json!(7), "concepts.prompt_tokens must be in 8..=4096"),
        (|m| decoder(m)["inputs"]["height"] = json!({"from": 3}), "an input is a role"),
        (
            |m| decoder(m)["inputs"]["height"] = json!("size"),
            "ports.decoder.inputs: \"size\" is none of prompt, prompt_mask",
        ),
        (
            |m| decoder(m)["inputs"]["height"] = json!({"fill": 1, "axes": ["Q"]}),
            "ports.decoder.inputs.height: axes are lengths",
        ),
        (
            |m| decoder(m)["inputs"]["height"] = json!({"fill": 1, "axes": [65536, 65536]}),
            "16777216 numbers at most",
        ),
        (
            |m| decoder(m)["inputs"]["language"]["as"] = json!("padding"),
            "prompt_mask alone can be \"padding\"",
        ),
        (
            |m| decoder(m)["inputs"]["language"]["axes"] = json!(["D", "B", "L"]),
            "prompt has axes [D, B, L]; they must be those of [B, L, D]",
        ),
        (
            |m| _ = decoder(m)["inputs"].as_object_mut().unwrap().remove("language"),
            "must say which input is the prompt",
        ),
        (
            |m| decoder(m)["outputs"]["scores"] = json!("logits"),
            "ports.decoder.outputs: \"scores\" is none of logits, boxes, masks",
        ),
        (|m| m["concepts"]["pairs"] = json!("aligned"), "asks for pairs \"single\""),
        (
            |m| m["concepts"]["image"]["scale"] = json!(1),
            "takes images in u8, so that the manifest's concepts.image needs scale 255",
        ),
        (|m| decoder(m)["inputs"]["spare_boxes"]["axes"] = json!([4, 1, 4]), "`spare_boxes` should be"),
        (
            |m| _ = decoder(m)["inputs"].as_object_mut().unwrap().remove("height"),
            "input `height` (i64 []) is none that the contract knows",
        ),
        (|m| decoder(m)["outputs"]["boxes"] = json!("pred_boxes"), "there is no output `pred_boxes`"),
    ];
    for (change, expected) in cases {
        let message = complaint(single(change).path());
        assert!(message.contains(expected), "{expected}: {message}");
    }
    let unknown = single(|m| _ = decoder(m)["inputs"].as_object_mut().unwrap().remove("height"));
    let report = check::check(unknown.path(), &NAMES, &partstad::models::Options::default()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("concepts.ports")), "{:?}", report.notes);
}

fn decoder(manifest: &mut Value) -> &mut Value {
    &mut manifest["concepts"]["ports"]["decoder"]
}
