//! The whole way from a cloud to its instances: on a device as on the CPU, bit for bit.

use super::gpu;
use partstad::{
    Device, Pipeline, Predictions, Segmentation,
    io::points::PointCloud,
    pipeline::Options,
    stages::{
        boxes::Boxes,
        cloud::Cloud,
        masks::{LOGIT_SIDE, Masks},
    },
};

const PARTS: [&str; 5] = ["arm", "back", "leg", "seat", "wheel"];
/// Pixels a side; the boxes are of views of 800.
const SIDE: usize = 200;

fn lift(device: Device, cloud: &Cloud, boxes: &Boxes, masks: &Masks) -> Segmentation {
    let mut options = Options::default();
    (options.views.side, options.views.radius) = (SIDE, 0.02);
    let predictions =
        Predictions { boxes: boxes.clone(), masks: masks.clone(), superpoints: None, weights: None };
    Pipeline::new(device, options).lift(cloud, &PARTS, predictions).unwrap()
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
    boxes.list.iter().flat_map(|found| disc(found.bbox)).collect()
}

#[test]
fn a_device_segments_as_the_cpu_does() {
    let gpu = gpu();
    let cloud = PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap();
    let cloud = Cloud::new(&cloud).unwrap();
    let mut boxes = Boxes::read("tests/fixtures/syn8k_d/pred.json".as_ref(), 10, PARTS.len()).unwrap();
    boxes.list.iter_mut().for_each(|found| found.bbox = found.bbox.map(|v| v * SIDE as f32 / 800.0));
    let logits = Masks::Logits(discs(&boxes).into());
    let bits: Vec<bool> =
        (0..boxes.len()).flat_map(|b| logits.full(&boxes, b, SIDE).unwrap()).map(|v| v != 0).collect();

    for masks in [Masks::Boxes, logits, Masks::pack(&bits, SIDE)] {
        let here = lift(Device::Cpu, &cloud, &boxes, &masks);
        let there = lift(Device::Cuda(gpu.clone()), &cloud, &boxes, &masks);
        assert_eq!(there.superpoints, here.superpoints);
        assert_eq!(there.views, here.views);
        assert_eq!(there.memberships, here.memberships);
        assert_eq!(there.scores, here.scores);
        assert_eq!(there.labels, here.labels);
        assert_eq!(there.instances, here.instances);
        let labelled = here.labels.of_point.iter().filter(|&&label| label >= 0).count();
        assert!(labelled > cloud.len() / 2, "{labelled} of {} points have a part", cloud.len());
    }
}
