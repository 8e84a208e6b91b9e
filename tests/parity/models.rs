//! From views to masks on a device: what the CPU finds. Without a CUDA provider the models themselves run on the CPU, so
//! that nothing but our side of them differs, and nothing may differ.
#![cfg(feature = "ort")]

use crate::gpu;
use cuda_emulator::{Gpu as Driver, Transfers};
use partstad::{
    Device, Parts, Pipeline, Result, Segmentation, Template,
    device::gpu::Gpu,
    io::{hash, points::PointCloud},
    models::{Models, Options, Provider},
    ops::learn::positional::CODE,
    pipeline,
    stages::{
        boxes::{self, Box2d, Boxes},
        cloud::Cloud,
        instances::{self, Instances},
        labels::{self, Labels},
        masks::{self, Masks},
        memberships::{self, Memberships},
        network::{Basis, Network},
        scores::Scores,
        superpoints::{self, Superpoints},
        views::{self, Views},
        weights::{self, Weights},
    },
};
use serde_json::{Value, json};
use std::{fs, path::Path, thread};

const TINY: &str = "tests/fixtures/models";
const PARTS: [&str; 3] = ["back", "leg", "seat"];

fn options() -> Options {
    Options { threads: 1, provider: Provider::DeviceOrCpu, ..Options::default() }
}

fn cloud() -> Cloud {
    Cloud::new(&PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap()).unwrap()
}

fn views(device: &Device, count: usize, side: usize) -> Views {
    let mut options = views::Options { side, radius: 0.02, ..views::Options::default() };
    options.poses.truncate(count);
    Views::render(device, &cloud(), &options).unwrap()
}

/// The tiny detector that proposes queries.
const QUERIES: &str = "queries.onnx";

/// A folder of the tiny models in which another file is the detector, and boxes of a part overlap at most by the IoU `nms`.
fn tiny(file: &str, nms: f32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(TINY).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let usual = "grounding_detector.onnx";
    fs::rename(folder.path().join(file), folder.path().join(usual)).unwrap();
    let path = folder.path().join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["files"][usual] = json!(hash::sha256(&fs::read(folder.path().join(usual)).unwrap()));
    let detector = manifest["detector"].as_object_mut().unwrap();
    detector["nms"] = json!(nms);
    if file == QUERIES {
        for of_locations in ["strides", "anchor_sizes", "box_weights", "pre_nms", "top_n"] {
            detector.remove(of_locations);
        }
        for (key, value) in
            [("kind", json!("detr")), ("queries", json!(86)), ("score", json!("mean_sigmoid"))]
        {
            detector.insert(key.into(), value);
        }
    }
    fs::write(&path, manifest.to_string()).unwrap();
    folder
}

/// A folder of the tiny concept segmenter with another decoder, and masks of a view that overlap at most by the IoU `nms`.
fn tiny_concepts(decoder: &str, nms: f32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(Path::new(TINY).join("concepts.json")).unwrap()).unwrap();
    let concepts = &mut manifest["concepts"];
    (concepts["decoder"], concepts["nms"]) = (json!(decoder), json!(nms));
    if decoder == BARE {
        (concepts["score"], concepts["feature_dim"]) = (json!("sigmoid"), json!(0));
    }
    let concepts = manifest["concepts"].as_object_mut().unwrap();
    let mut set = |fields: Value| concepts.extend(fields.as_object().unwrap().clone());
    let mut used = vec![decoder];
    if [SINGLE, ALIGNED].contains(&decoder) {
        set(json!({"prompt_tokens": 8}));
    }
    if decoder == ALIGNED {
        set(json!({"pairs": "aligned", "boxes": "corners", "ports": {"decoder": {
            "inputs": {"text_hidden": "prompt", "text_mask": "prompt_mask", "spare_labels": {"fill": -10, "axes": ["B", 1]}},
            "outputs": {"presence": {"name": "presence", "axes": ["B", 1]}}}}}));
    }
    if decoder == SINGLE {
        used.push("raw_vision.onnx");
        set(json!({"pairs": "single", "vision_encoder": "raw_vision.onnx",
            "image": {"order": "rgb", "scale": 255, "mean": [0, 0, 0], "std": [1, 1, 1], "size": [64, 64], "resize": "squash"},
            "ports": {
                "vision_encoder": {"inputs": {"pixels": {"from": "image", "axes": ["C", "H", "W"]}}},
                "decoder": {
                    "inputs": {
                        "language": {"from": "prompt", "axes": ["L", "B", "D"]},
                        "language_padding": {"from": "prompt_mask", "as": "padding"},
                        "height": {"fill": 64, "axes": []}, "spare_boxes": {"fill": 0, "axes": [8, 1, 4]}},
                    "outputs": {
                        "logits": {"name": "logits", "axes": ["B", "Q", 1]},
                        "presence": {"name": "presence", "axes": ["B", 1]}}}}}));
    }
    for decoder in used {
        manifest["files"][decoder] = json!(hash::sha256(&fs::read(Path::new(TINY).join(decoder)).unwrap()));
    }
    for file in manifest["files"].as_object().unwrap().keys() {
        fs::copy(Path::new(TINY).join(file), folder.path().join(file)).unwrap();
    }
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    folder
}

const CONCEPTS: &str = "concept_decoder.onnx";
/// Of other layouts.
const SINGLE: &str = "concept_single.onnx";
const ALIGNED: &str = "concept_aligned.onnx";
/// Whose queries have no features.
const BARE: &str = "concept_bare.onnx";

#[test]
fn concepts_in_any_runs() {
    let device = Device::Cuda(gpu());
    let views = [views(&Device::Cpu, 10, 64), views(&device, 10, 64)];
    for (file, nms) in [(CONCEPTS, 0.6), (CONCEPTS, 1.0), (BARE, 1.0), (SINGLE, 0.6), (ALIGNED, 0.6)] {
        let folder = tiny_concepts(file, nms);
        let models = [Device::Cpu, device.clone()]
            .map(|device| Models::load(&device, folder.path(), &options()).unwrap());
        let find = |there: usize, [encoded, decoded]: [usize; 2]| {
            let boxes = boxes::Options { threshold: 0.25, ..Default::default() };
            let masks = masks::Options { views: encoded, boxes: decoded };
            masks::find(&views[there], &PARTS, models[there].concepts().unwrap(), &boxes, &masks).unwrap()
        };
        let expected = find(0, [1, 1]);
        assert!(expected.0.len() >= 30, "{} boxes: little to compare", expected.0.len());
        assert!(!expected.0.weak().unwrap().is_empty());
        for at_once in [[1, 1], [3, 5], [10, 64], [0, 0]] {
            assert!(find(0, at_once) == expected, "{file}: {at_once:?} at once on the CPU");
            if cuda_emulator::install() == Driver::Emulated {
                assert!(find(1, at_once) == expected, "{file}: {at_once:?} at once on the device");
            }
        }
    }
}

#[cfg(feature = "small-models")]
#[test]
fn boxes_features_and_masks() {
    let there = Device::Cuda(gpu());
    let find = |device: &Device| {
        let models = Models::embedded(device, &options()).unwrap();
        let views = views(device, 3, 200);
        let options = boxes::Options { threshold: 0.3, batch: 2, ..boxes::Options::default() };
        let boxes = Boxes::detect(&views, &PARTS, models.detector().unwrap(), &options).unwrap();
        let options = masks::Options { views: 2, boxes: 3 };
        let masks = Masks::predict(&views, &boxes, models.segmenter().unwrap(), &options).unwrap();
        (boxes, masks)
    };
    let (expected, expected_masks) = find(&Device::Cpu);
    let (found, found_masks) = find(&there);
    assert!(expected.len() > 5, "{} boxes: little to compare", expected.len());
    if cuda_emulator::install() == Driver::Emulated {
        assert_eq!(found, expected);
        assert_eq!(found_masks, expected_masks);
        return;
    }
    // A CUDA provider rounds in its own way: near ties may fall the other way.
    let like = |a: &Box2d, b: &Box2d| {
        (a.view, a.label) == (b.view, b.label)
            && a.bbox.iter().zip(b.bbox).all(|(a, b)| (a - b).abs() < 0.1)
            && (a.score - b.score).abs() < 1e-3
    };
    let (found, expected) = (found.list().unwrap(), expected.list().unwrap());
    let shared = found.iter().filter(|a| expected.iter().any(|b| like(a, b))).count();
    assert!(shared as f64 > 0.95 * expected.len() as f64, "{shared} of {} boxes", expected.len());
}

#[test]
fn batches_models_in_f16_and_queries_do_not_matter() {
    let device = Device::Cuda(gpu());
    let views = [views(&Device::Cpu, 10, 64), views(&device, 10, 64)];
    for (file, nms) in [("grounding_detector.onnx", 0.0), ("half_image.onnx", 0.0), (QUERIES, 0.7)] {
        let folder = tiny(file, nms);
        let models = [Device::Cpu, device.clone()]
            .map(|device| Models::load(&device, folder.path(), &options()).unwrap());
        let find = |there: usize, [batch, encoded, decoded]: [usize; 3]| {
            let options = boxes::Options { threshold: 0.6, batch, ..Default::default() };
            let boxes =
                Boxes::detect(&views[there], &PARTS, models[there].detector().unwrap(), &options).unwrap();
            let options = masks::Options { views: encoded, boxes: decoded };
            let segmenter = models[there].segmenter().unwrap();
            let masks = Masks::predict(&views[there], &boxes, segmenter, &options).unwrap();
            (boxes, masks)
        };
        let expected = find(0, [1, 1, 1]);
        assert!(expected.0.len() >= 30, "{} boxes: little to compare", expected.0.len());
        for at_once in [[1, 1, 1], [3, 3, 5], [10, 10, 64], [0, 0, 0]] {
            assert!(find(0, at_once) == expected, "{file}: {at_once:?} at once on the CPU");
            if cuda_emulator::install() == Driver::Emulated {
                assert!(find(1, at_once) == expected, "{file}: {at_once:?} at once on the device");
            }
        }
    }
}

#[test]
fn outputs_that_are_not_numbers_are_counted_on_the_device() {
    let device = Device::Cuda(gpu());
    let models = Models::load(&device, tiny("nan.onnx", 0.0).path(), &options()).unwrap();
    let views = views(&device, 2, 64);
    let error =
        Boxes::detect(&views, &PARTS, models.detector().unwrap(), &boxes::Options::default()).unwrap_err();
    let expected = format!("output `box_regression` is NaN in {} elements", 4 * 86);
    assert!(error.to_string().contains(&expected), "{error}");
    let models = Models::load(&device, tiny_concepts("concept_nan.onnx", 1.0).path(), &options()).unwrap();
    let concepts = models.concepts().unwrap();
    let error = masks::find(&views, &PARTS, concepts, &Default::default(), &Default::default()).unwrap_err();
    assert!(error.to_string().contains("output `presence` is NaN in 1 elements"), "{error}");
}

/// A library without a CUDA provider is refused, unless the CPU is allowed.
#[test]
fn the_cpu_is_no_silent_substitute() {
    let device = Device::Cuda(gpu());
    let load = |device: &Device, provider, cuda_graphs| -> Result<Models> {
        Models::load(device, Path::new(TINY), &Options { provider, cuda_graphs, ..options() })
    };
    let refused = |device: &Device, provider, cuda_graphs| {
        load(device, provider, cuda_graphs).map(|_| ()).unwrap_err().to_string()
    };
    for provider in [Provider::Device, Provider::DeviceOrCpu, Provider::Cpu] {
        assert!(load(&Device::Cpu, provider, false).is_ok(), "{provider} is the CPU on the CPU");
    }
    assert!(load(&device, Provider::Cpu, false).is_ok());
    assert!(refused(&Device::Cpu, Provider::Tensorrt, false).contains("choose a device cuda:N"));
    assert!(refused(&Device::Cpu, Provider::Device, true).contains("cuda_graphs: the device is the CPU"));
    assert!(refused(&device, Provider::Cpu, true).contains("cuda_graphs: the provider is the CPU's"));
    if cuda_emulator::install() == Driver::Emulated {
        let message = refused(&device, Provider::Device, false);
        assert!(message.contains("has no CUDA provider") && message.contains("device-or-cpu"), "{message}");
        assert!(refused(&device, Provider::Tensorrt, false).contains("has no TensorRT provider"));
        assert!(load(&device, Provider::DeviceOrCpu, false).is_ok());
    }
}

fn transfers(gpu: &Gpu) -> Transfers {
    cuda_emulator::transfers(gpu.stream().cu_stream() as usize).unwrap()
}

/// Of the test of what crosses.
const VIEWS: u64 = 4;

/// What models on the CPU have to copy for so many boxes, of all views, `decoded` at once: their inputs to the host, their
/// outputs to the device.
fn of_models(boxes: usize, file: &str, tokens: u64, decoded: usize) -> Transfers {
    const IMAGE: u64 = 3 * 64 * 64 * 4;
    const EMBEDDING: u64 = 6 * 4 * 4 * 4;
    let mut copied = Transfers { to_device: 0, to_host: VIEWS * IMAGE };
    copied.to_host += VIEWS * tokens * (16 * 4 + 8);
    let centerness = (file != QUERIES) as u64;
    copied.to_device += VIEWS * 86 * (tokens + 4 + centerness + 8) * 4;
    copied.to_host += VIEWS * IMAGE;
    copied.to_device += VIEWS * EMBEDDING;
    copied.to_host += boxes.div_ceil(decoded) as u64 * VIEWS * EMBEDDING + boxes as u64 * (16 + 8);
    copied.to_device += boxes as u64 * (256 * 256 * 4 + 4);
    copied
}

/// The same of a concept segmenter, which copies as much however many boxes there are: images and pyramids of the views, then
/// in runs of `decoded` pairs the pyramids of `encoded` views, pairs and their answers.
fn of_concepts(encoded: u64, decoded: u64, tokens: u64) -> Transfers {
    const PYRAMID: u64 = 3 * (16 * 16 + 4 * 4) * 4;
    const ANSWER: u64 = 16 * (1 + 4 + 16 * 16 + 8) + 1;
    let (pairs, runs) = (VIEWS * PARTS.len() as u64, (encoded * PARTS.len() as u64).div_ceil(decoded));
    Transfers {
        to_host: VIEWS * 3 * 64 * 64 * 4 + VIEWS * PYRAMID * runs + pairs * (8 + tokens * (16 * 4 + 8)),
        to_device: VIEWS * PYRAMID + pairs * ANSWER * 4,
    }
}

/// What crosses from views to instances, by models of this folder: how many boxes, and what crossed but for the result.
fn crossing(
    folder: &Path,
    prepare: impl Fn(&Models, &Gpu),
    find: impl Fn(&Models, &Views) -> (Boxes, Masks),
    weights_from: Option<weights::Options>,
) -> (usize, Transfers) {
    let network = Network::<f32>::initial(Basis::Agreement, 8 + CODE, 0.05, 3);
    let (gpu, cloud) = (gpu(), cloud());
    let device = Device::Cuda(gpu.clone());
    let models = Models::load(&device, folder, &options()).unwrap();
    let superpoints = Superpoints::partition(&device, &cloud, &superpoints::Options::default()).unwrap();
    // The device's copies of the partition and of the prompt stay there for the next views.
    superpoints.members.device(&gpu).unwrap();
    superpoints.of_point.device(&gpu).unwrap();
    prepare(&models, &gpu);
    let views = views(&device, VIEWS as usize, 64);
    cloud.positions.device(&gpu).unwrap();

    let before = transfers(&gpu);
    let (boxes, masks) = find(&models, &views);
    let options = memberships::Options::default();
    let memberships = Memberships::find(&device, &superpoints, &views, &boxes, &masks, &options).unwrap();
    let weights = match &weights_from {
        Some(options) => Weights::new(&device, &boxes, &memberships, PARTS.len(), options).unwrap(),
        None => network.weigh(&device, &boxes, &memberships, &views, PARTS.len()).unwrap(),
    };
    let scores = Scores::vote(&device, &memberships, &boxes, &weights, PARTS.len()).unwrap();
    let labels = Labels::assign(&device, &superpoints, &scores, &PARTS, &labels::Options::default()).unwrap();
    // Masks are grouped on the host, from the overlaps of all pairs.
    let options = instances::Options::authors();
    Instances::merge(&device, &cloud, &superpoints, &boxes, &memberships, &scores, &labels, &options)
        .unwrap();
    let after = transfers(&gpu);

    assert!(scores.valid.host().unwrap().contains(&1), "the boxes must hold something");
    let list = boxes.list().unwrap();
    assert!((0..VIEWS as u32).all(|view| list.iter().any(|b| b.view == view)), "every view must have boxes");
    // Labels of points and superpoints; root, size and confidence of every superpoint's piece.
    let result = 4 * (cloud.len() + 4 * superpoints.len()) as u64;
    let crossed = Transfers {
        to_device: after.to_device - before.to_device,
        to_host: after.to_host - before.to_host - result,
    };
    (list.len(), crossed)
}

/// From rasterization to instances the host learns counts and the result, and the device gets tables, whose sizes do not
/// depend on what is found. What models on the CPU have to copy is left out.
#[test]
fn nothing_but_counts_crosses() {
    if cuda_emulator::install() == Driver::Real {
        return println!("SKIPPED: a real driver counts no transfers");
    }
    const ENCODED: usize = 2;
    const DECODED: usize = 7;
    const TOKENS: u64 = 8;
    let less = |a: Transfers, b: Transfers| Transfers {
        to_device: a.to_device - b.to_device,
        to_host: a.to_host - b.to_host,
    };
    let own = |file, nms, weights_from: Option<weights::Options>| {
        let prompt =
            |models: &Models| models.detector().unwrap().prompt(&PARTS, &Template::default()).unwrap();
        let prepare = |models: &Models, gpu: &Gpu| {
            prompt(models).hidden.device(gpu).unwrap();
            prompt(models).mask.device(gpu).unwrap();
        };
        let find = |models: &Models, views: &Views| {
            let options = boxes::Options { batch: 2, ..boxes::Options::default() };
            let boxes = Boxes::detect(views, &PARTS, models.detector().unwrap(), &options).unwrap();
            let options = masks::Options { views: ENCODED, boxes: DECODED };
            let masks = Masks::predict(views, &boxes, models.segmenter().unwrap(), &options).unwrap();
            (boxes, masks)
        };
        let (boxes, crossed) = crossing(tiny(file, nms).path(), prepare, find, weights_from);
        (boxes, less(crossed, of_models(boxes, file, TOKENS, DECODED)))
    };
    let confidence = weights::Options::Confidence { scale: 10.0, null: 5.0 };
    for (file, overlap, weights_from) in [
        ("grounding_detector.onnx", 0.2, Some(weights::Options::default())),
        ("grounding_detector.onnx", 0.2, None),
        (QUERIES, 0.7, Some(confidence)),
    ] {
        let ((few, of_few), (many, of_many)) =
            (own(file, 0.0, weights_from), own(file, overlap, weights_from));
        assert!(few * 2 < many, "{few} and {many} boxes: little to compare");
        assert_eq!(of_few, of_many, "to the device and to the host, for {few} and {many} boxes");
        // Boxes of the views, NaN of the detector's 4 outputs in 2 runs and of the segmenter's 3, and a few of the memberships.
        assert!(of_few.to_host <= 4 * (VIEWS + 8 + 3 + 8), "{of_few:?}");
    }

    const PAIRS: usize = 4;
    let own = |nms, weights_from: Option<weights::Options>| {
        let prompt = |models: &Models| models.concepts().unwrap().prompt(&PARTS).unwrap();
        let prepare = |models: &Models, gpu: &Gpu| {
            prompt(models).hidden.device(gpu).unwrap();
        };
        let find = |models: &Models, views: &Views| {
            let boxes = boxes::Options { threshold: 0.25, ..Default::default() };
            let masks = masks::Options { views: ENCODED, boxes: PAIRS };
            masks::find(views, &PARTS, models.concepts().unwrap(), &boxes, &masks).unwrap()
        };
        let (boxes, crossed) = crossing(tiny_concepts(CONCEPTS, nms).path(), prepare, find, weights_from);
        (boxes, less(crossed, of_concepts(ENCODED as u64, PAIRS as u64, TOKENS)))
    };
    for weights_from in [Some(confidence), None] {
        let ((few, of_few), (many, of_many)) = (own(0.0, weights_from), own(1.0, weights_from));
        assert!(few * 2 < many, "{few} and {many} boxes: little to compare");
        assert_eq!(of_few, of_many, "to the device and to the host, for {few} and {many} boxes");
        // Found and weak of the views' names and of the views; NaN of 2 outputs in 2 runs and of 5 in 4; memberships.
        let names = VIEWS * PARTS.len() as u64;
        assert!(of_few.to_host <= 4 * (2 * names + 2 * VIEWS + 4 + 20 + 8), "{of_few:?}");
    }
}

/// Each with a stream and sessions of its own.
#[test]
fn two_pipelines_overlap() {
    let gpu = gpu();
    let all = PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap();
    let thin = |i: &usize| i.is_multiple_of(4);
    let rows = || (0..all.positions.len()).filter(thin);
    let cloud = PointCloud {
        positions: rows().map(|i| all.positions[i]).collect(),
        colors: rows().map(|i| all.colors[i]).collect(),
        ..PointCloud::default()
    };
    let cloud = Cloud::new(&cloud).unwrap();
    let folder = tiny("grounding_detector.onnx", 0.0);
    let pipeline = |gpu: Gpu| {
        let device = Device::Cuda(gpu);
        let models = Models::load(&device, folder.path(), &options()).unwrap();
        let mut options = pipeline::Options::default();
        (options.views.side, options.views.radius) = (64, 0.05);
        options.views.poses.truncate(4);
        Pipeline::new(device, options).with_models(models)
    };
    let pipelines = [pipeline(gpu.fork().unwrap()), pipeline(gpu.fork().unwrap())];
    let parts = [&PARTS[..2], &PARTS[1..]].map(|parts| Parts::new(parts).unwrap());
    let segment = |i: usize| pipelines[i].segment(&cloud, &parts[i], &()).unwrap();
    let expected = [segment(0), segment(1)];
    assert_ne!(expected[0].boxes, expected[1].boxes);
    let same = |found: &Segmentation, expected: &Segmentation| {
        assert_eq!(found.boxes, expected.boxes);
        assert_eq!(found.masks, expected.masks);
        assert_eq!(found.scores, expected.scores);
        assert_eq!(found.labels, expected.labels);
        assert_eq!(found.instances, expected.instances);
    };
    thread::scope(|scope| {
        let running = [0, 1].map(|i| scope.spawn(move || [segment(i), segment(i)]));
        for (found, expected) in running.into_iter().zip(&expected) {
            found.join().unwrap().iter().for_each(|found| same(found, expected));
        }
    });
}
