//! The whole way from a cloud to its instances: on a device as on the CPU, bit for bit.

use super::gpu;
use partstad::{
    Device, Parts, Pipeline, Predictions, Segmentation,
    io::points::PointCloud,
    pipeline::Options,
    sam3d::{self, Regions},
    stages::{
        boxes::Boxes,
        cloud::Cloud,
        labels::Rule,
        masks::{LOGIT_SIDE, Masks},
        views::{self, Views},
        weights::Weights,
    },
    study::dataset::Dataset,
};
use procedural::predictions;
use std::path::Path;

const PARTS: [&str; 5] = ["arm", "back", "leg", "seat", "wheel"];
/// Pixels a side; the boxes are of views of 800.
const SIDE: usize = 200;

/// A synthetic chair, and its boxes in small views.
fn chair() -> (Cloud, Boxes) {
    let cloud = PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap();
    let mut boxes = Boxes::read("tests/fixtures/syn8k_d/pred.json".as_ref(), 10, PARTS.len()).unwrap();
    let scaled = |bbox: [f32; 4]| bbox.map(|v| v * SIDE as f32 / 800.0);
    boxes.list_mut().unwrap().iter_mut().for_each(|found| found.bbox = scaled(found.bbox));
    (Cloud::new(&cloud).unwrap(), boxes)
}

fn small_views() -> Options {
    let mut options = Options::default();
    (options.views.side, options.views.radius) = (SIDE, 0.02);
    options
}

fn lift(device: Device, cloud: &Cloud, boxes: &Boxes, masks: &Masks) -> Segmentation {
    let mut options = small_views();
    options.labels.fill_hidden = true;
    let predictions =
        Predictions { boxes: boxes.clone(), masks: masks.clone(), superpoints: None, weights: None };
    Pipeline::new(device, options).lift(cloud, &Parts::new(PARTS).unwrap(), predictions, &()).unwrap()
}

/// A disc within each box, as logits.
fn discs(boxes: &Boxes) -> Vec<f32> {
    let scale = LOGIT_SIDE as f32 / SIDE as f32;
    let disc = |bbox: [f32; 4]| {
        let [x, y, width, height] = bbox.map(|v| v * scale);
        (0..LOGIT_SIDE * LOGIT_SIDE).map(move |i| {
            let dx = ((i % LOGIT_SIDE) as f32 - x) / width - 0.5;
            let dy = ((i / LOGIT_SIDE) as f32 - y) / height - 0.5;
            0.25 - dx * dx - dy * dy
        })
    };
    boxes.list().unwrap().iter().flat_map(|found| disc(found.bbox)).collect()
}

#[test]
fn a_device_segments_as_the_cpu_does() {
    let gpu = gpu();
    let (cloud, boxes) = chair();
    let logits = Masks::Logits(discs(&boxes).into());
    let bits: Vec<bool> =
        (0..boxes.len()).flat_map(|b| logits.full(&boxes, b, SIDE).unwrap()).map(|v| v != 0).collect();

    for masks in [Masks::Boxes, logits, Masks::pack(&bits, SIDE)] {
        let here = lift(Device::Cpu, &cloud, &boxes, &masks);
        let there = lift(Device::Cuda(gpu.clone()), &cloud, &boxes, &masks);
        same(&there, &here, "syn8k_d");
        let labelled = here.labels.of_point.iter().filter(|&&label| label >= 0).count();
        assert!(labelled > cloud.len() / 2, "{labelled} of {} points have a part", cloud.len());
    }
}

/// The masks of the chair's boxes in three views, whatever they show: each part found is one instance, the largest first.
#[test]
fn parts_without_names() {
    let gpu = gpu();
    let (cloud, mut boxes) = chair();
    boxes.list_mut().unwrap().retain(|found| found.view < 3);
    let masks = Masks::Logits(discs(&boxes).into());
    let mut options = small_views();
    options.views.poses.truncate(3);
    let find = |device: Device| {
        let views = Views::render(&Device::Cpu, &cloud, &options.views).unwrap();
        let regions = Regions::of_boxes(&device, &views, &boxes, &masks, &sam3d::Options::default()).unwrap();
        Pipeline::new(device, options.clone()).lift_unnamed(&cloud, regions, &()).unwrap()
    };
    let here = find(Device::Cpu);
    same(&find(Device::Cuda(gpu)), &here, "without names");
    let (list, labels) = (&here.instances.list, &here.labels.of_point);
    assert!(list.len() > 3 && list.is_sorted_by(|a, b| a.points >= b.points), "{list:?}");
    assert_eq!(here.parts.len(), list.len());
    assert_eq!((&here.parts[0][..], &labels[..]), ("part 1", &here.instances.of_point[..]));
}

/// Weights, the null weight, the label rule or the names change: as if lifted anew.
#[test]
fn relabelling_gives_what_lifting_again_would() {
    let (cloud, boxes) = chair();
    let parts = Parts::new(PARTS).unwrap();
    let weigh = |b: usize| if b.is_multiple_of(3) { 0.0 } else { 1.0 + b as f32 };
    let weights = Weights { boxes: (0..boxes.len()).map(weigh).collect::<Vec<_>>().into(), null: 40.0 };
    let mut strict = small_views();
    (strict.labels.rule, strict.labels.fill_hidden) = (Rule::Threshold, true);
    strict.instances.min_box_iou = 0.9;
    let lift = |pipeline: &Pipeline, weights: Option<&Weights>| {
        let predictions = Predictions { weights: weights.cloned(), ..Predictions::new(boxes.clone()) };
        pipeline.lift(&cloud, &parts, predictions, &()).unwrap()
    };
    let usual = Pipeline::new(Device::Cpu, small_views());
    let [first, again] = [(&usual, None), (&usual.clone().with_options(strict.clone()), Some(&weights))]
        .map(|(pipeline, weights)| lift(pipeline, weights));
    assert_ne!(first.labels, again.labels);

    for device in [Device::Cpu, Device::Cuda(gpu())] {
        let usual = Pipeline::new(device, small_views());
        let mut found = lift(&usual, None);
        usual.clone().with_options(strict.clone()).relabel(&cloud, &mut found, Some(&weights), &()).unwrap();
        same(&found, &again, "relabelled");
        assert_eq!((&found.weights, &found.warnings), (&again.weights, &again.warnings));
        usual.relabel(&cloud, &mut found, None, &()).unwrap();
        same(&found, &first, "back again");
        assert_eq!((&found.weights, &found.warnings), (&first.weights, &first.warnings));

        found.parts = Parts::new(["arm", "back", "handle", "seat", "wheel"]).unwrap();
        usual.relabel(&cloud, &mut found, None, &()).unwrap();
        assert_ne!(found.labels, first.labels, "a handle wins over what it sits on");
        let few = Weights { boxes: vec![1.0].into(), null: 1.0 };
        assert!(usual.relabel(&cloud, &mut found, Some(&few), &()).is_err());
        found.parts = Parts::new(["arm"]).unwrap();
        let error = usual.relabel(&cloud, &mut found, None, &()).unwrap_err().to_string();
        assert!(
            error.contains("8000 points and 1 parts, for what was found of 8000 points and 5"),
            "{error}"
        );
    }
}

#[track_caller]
fn same(there: &Segmentation, here: &Segmentation, name: &str) {
    assert_eq!(there.superpoints, here.superpoints, "{name}");
    assert_eq!(there.views, here.views, "{name}");
    assert_eq!(there.memberships, here.memberships, "{name}");
    assert_eq!(there.scores, here.scores, "{name}");
    assert_eq!(there.labels, here.labels, "{name}");
    assert_eq!(there.instances, here.instances, "{name}");
}

/// Boxes and faulty masks made from the ground truth, the labels and instances of all points, lifted on a device and on the
/// CPU, in ten views of 800 x 800; returns how many boxes.
pub fn compare_lifting(
    device: &Device,
    cloud: &Cloud,
    [semantic, instance]: [&[i32]; 2],
    parts: &Parts,
    name: &str,
) -> usize {
    let views = Views::render(&Device::Cpu, cloud, &views::Options::default()).unwrap();
    let options = predictions::Options::default();
    let (boxes, masks) = predictions::predict(&views, semantic, instance, parts.len(), 1, &options);
    let on = |device: &Device| {
        let (boxes, masks) = (boxes.clone(), masks.clone());
        let predictions = Predictions { boxes, masks, superpoints: None, weights: None };
        let mut options = Options::default();
        options.labels.fill_hidden = true;
        Pipeline::new(device.clone(), options).lift(cloud, parts, predictions, &()).unwrap()
    };
    same(&on(device), &on(&Device::Cpu), name);
    boxes.len()
}

/// One object of every category that has test objects, with boxes and faulty masks made from its ground truth.
#[test]
#[ignore = "needs PARTSTAD_CLOUDS"]
fn a_device_segments_real_clouds_as_the_cpu_does() {
    let device = Device::Cuda(gpu());
    let root =
        std::env::var_os("PARTSTAD_CLOUDS").expect("PARTSTAD_CLOUDS must name the folder of real clouds");
    let dataset = Dataset::open(Path::new(&root)).unwrap();
    let mut seen = vec![];
    for object in dataset.objects("test").unwrap() {
        if seen.contains(&object.category) {
            continue;
        }
        let parts = &dataset.parts[&object.category];
        let (points, truth) = object.read(parts.len()).unwrap();
        let cloud = Cloud::new(&points).unwrap();
        let labels = [&truth.semantic[..], &truth.instance];
        let boxes = compare_lifting(&device, &cloud, labels, parts, &object.id);
        println!("{} {}: {boxes} boxes", object.category, object.id);
        seen.push(object.category);
    }
    assert!(!seen.is_empty());
}
