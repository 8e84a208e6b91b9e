//! From views to masks on a device: what the CPU finds. Without a CUDA provider the models themselves run on the CPU, so
//! that nothing but our side of them differs, and nothing may differ.
#![cfg(feature = "small-models")]

use crate::gpu;
use cuda_emulator::Gpu as Driver;
use partstad::{
    Device,
    io::points::PointCloud,
    models::{Models, Options},
    stages::{
        boxes::{self, Boxes},
        cloud::Cloud,
        masks::{self, Masks},
        views::{self, Views},
    },
};

const PARTS: [&str; 3] = ["back", "leg", "seat"];

#[test]
fn boxes_features_and_masks() {
    let there = Device::Cuda(gpu());
    let cloud = PointCloud::read("tests/fixtures/syn8k_d/pc.ply".as_ref()).unwrap();
    let cloud = Cloud::new(&cloud).unwrap();
    let mut options = views::Options { side: 200, radius: 0.02, ..views::Options::default() };
    options.poses.truncate(3);
    let find = |device: &Device| {
        let models = Models::embedded(device, &Options { threads: 1 }).unwrap();
        let views = Views::render(device, &cloud, &options).unwrap();
        let options = boxes::Options { threshold: 0.1, batch: 2 };
        let boxes = Boxes::detect(&views, &PARTS, &models.detector, &options).unwrap();
        let options = masks::Options { views: 2, boxes: 3 };
        let masks = Masks::predict(&views, &boxes, models.segmenter.as_ref().unwrap(), &options).unwrap();
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
    let like = |a: &boxes::Box2d, b: &boxes::Box2d| {
        (a.view, a.label) == (b.view, b.label)
            && a.bbox.iter().zip(b.bbox).all(|(a, b)| (a - b).abs() < 0.1)
            && (a.score - b.score).abs() < 1e-3
    };
    let shared = found.list.iter().filter(|a| expected.list.iter().any(|b| like(a, b))).count();
    assert!(shared as f64 > 0.95 * expected.len() as f64, "{shared} of {} boxes", expected.len());
}
