//! Boxes on their way: their order, the segmenter's prompts, the network's places, and values that are not numbers.

use crate::{gpu, same};
use inputs::Random;
use partstad::{
    device::gpu::Gpu,
    ops::{basic::nan, detect::boxes, learn::positional, lift::confidence},
};

#[test]
fn order_prompts_and_places() {
    let (gpu, mut random) = (gpu(), Random(23));
    for count in [0, 1, 7, 300] {
        let mut below = |n: u32| -> Vec<u32> { (0..count).map(|_| random.below(n)).collect() };
        let (views, labels) = (below(10), below(5));
        let rects: Vec<[f32; 4]> = random.floats(4 * count).as_chunks().0.to_vec();
        let there = (gpu.upload(&views).unwrap(), gpu.upload(&labels).unwrap());
        let rects_there = gpu.upload(rects.as_flattened()).unwrap();

        let order = boxes::cuda::by_view(&gpu, &there.0, &there.1).unwrap();
        assert_eq!(gpu.download(&order).unwrap(), boxes::cpu::by_view(&views, &labels).unwrap());

        let (rows, scale) = ([4, 0, 2, 2, 9, 1, 3, 5, 8, 7], [1.28, 0.7]);
        let (corners, row_of) = boxes::cuda::prompts(
            &gpu,
            &rects_there.as_view(),
            &there.0.as_view(),
            &gpu.upload(&rows).unwrap(),
            scale,
        )
        .unwrap();
        let expected = boxes::cpu::prompts(&rects, &views, &rows, scale).unwrap();
        same(&gpu.download(&corners).unwrap(), expected.0.as_flattened(), "corners");
        assert_eq!(gpu.download(&row_of).unwrap(), expected.1);

        let directions: Vec<[f64; 3]> =
            (0..10).map(|k| positional::direction(10.0 * k as f64, 36.0 * k as f64)).collect();
        let directions_there = gpu.upload(directions.as_flattened()).unwrap();
        let places = positional::cuda::places(&gpu, &rects_there, &there.0, &directions_there, 800).unwrap();
        let place = |(&view, &bbox): (&u32, &[f32; 4])| {
            positional::place(directions[view as usize], bbox.map(f64::from), 800)
        };
        let expected: Vec<_> = views.iter().zip(&rects).map(place).collect();
        same(&gpu.download(&places).unwrap(), expected.as_flattened(), "places");
    }
}

#[test]
fn boxes_that_cannot_be_read_in_fours_are_refused() {
    let gpu = gpu();
    let rects = gpu.zeros::<f32>(9).unwrap();
    let (views, rows) = (gpu.zeros::<u32>(2).unwrap(), gpu.zeros::<i64>(1).unwrap());
    let refused =
        boxes::cuda::prompts(&gpu, &rects.slice(1..), &views.slice(..), &rows, [1.0; 2]).unwrap_err();
    assert!(refused.to_string().starts_with("boxes: rects [B, 4] begins at address"), "{refused}");
}

#[test]
fn values_that_are_not_numbers() {
    let gpu = gpu();
    count_nan(&gpu, &[0, 1, 33, 5000]);
    let (values, mut total) = (gpu.zeros::<f32>(9).unwrap(), gpu.zeros(1).unwrap());
    nan::cuda::count(&gpu, &values.slice(4..), &mut total).unwrap();
    let error = nan::cuda::count(&gpu, &values.slice(1..), &mut total).unwrap_err();
    assert!(error.to_string().contains("multiple of 16"), "{error}");
}

/// Of as many values as `lengths` say.
pub fn count_nan(gpu: &Gpu, lengths: &[usize]) {
    let mut random = Random(29);
    for &len in lengths {
        let mut values = random.floats(len);
        values.iter_mut().step_by(7).for_each(|value| *value = f32::NAN);
        values.iter_mut().skip(3).step_by(5).for_each(|value| *value = f32::INFINITY);
        let mut total = gpu.upload(&[5]).unwrap();
        nan::cuda::count(gpu, &gpu.upload(&values).unwrap(), &mut total).unwrap();
        assert_eq!(gpu.download(&total).unwrap(), [5 + nan::cpu::count(&values)], "{len} values");
    }
}

#[test]
fn confidences_as_weights() {
    let (gpu, mut random) = (gpu(), Random(30));
    for len in [0, 1, 257] {
        let scores = random.floats(len);
        let there = confidence::cuda::weights(&gpu, &gpu.upload(&scores).unwrap(), 10.1).unwrap();
        let expected = confidence::cpu::weights(scores.into_iter(), 10.1);
        same(&gpu.download(&there).unwrap(), &expected, &format!("{len} boxes"));
    }
}
