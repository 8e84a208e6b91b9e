#![no_main]
//! Options of every stage, of models and of training; a cloud is lifted as those that are small say.

use libfuzzer_sys::fuzz_target;
use partstad::{
    Device, Parts, Pipeline, Predictions,
    io::points::PointCloud,
    models,
    pipeline::Options,
    stages::{
        boxes::{Box2d, Boxes},
        cloud::Cloud,
    },
    study::train,
};

fuzz_target!(|data: &[u8]| {
    let _ = serde_json::from_slice::<models::Options>(data);
    let _ = serde_json::from_slice::<train::Options>(data);
    let Ok(options) = serde_json::from_slice::<Options>(data) else { return };
    let _ = options.check();
    let _ = options.check_memory(&Device::Cpu, 1000, 10);
    let views = options.views.poses.len();
    if views > 2 && options.views.side > 100 || options.views.side > 64 || views > 10 {
        return;
    }
    let place = |i: usize| [(i % 5) as f64, (i / 5 % 5) as f64, (i / 25) as f64];
    let points = PointCloud {
        positions: (0..60).map(place).collect(),
        colors: (0..60).map(|i| [(i % 2) as f32, 0.5, 0.0]).collect(),
        ..PointCloud::default()
    };
    let Ok(cloud) = Cloud::fit(&points, &options.cloud) else { return };
    let box2d = |view, label| Box2d { view, label, bbox: [1.0, 1.0, 9.0, 9.0], score: 0.7 };
    let boxes: Boxes =
        (0..views as u32).flat_map(|view| [box2d(view, 0), box2d(view, 1)]).collect::<Vec<_>>().into();
    let parts = Parts::new(["leg", "seat"]).expect("two names");
    if let Ok(found) = Pipeline::new(Device::Cpu, options).lift(&cloud, &parts, Predictions::new(boxes), &())
    {
        assert_eq!(found.labels.of_point.len(), cloud.len());
    }
});
