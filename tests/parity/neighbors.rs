//! Nearest neighbours and normals: the same bits.

use crate::{
    clouds::{clouds, flat},
    gpu, same,
};
use inputs::Random;
use partstad::{
    device::gpu::{Buffer, Gpu},
    ops::partition::{
        knn::{
            self,
            cuda::{Around, Tree},
        },
        normals,
    },
};

/// Around the sizes of leaves (32) and of the nodes above them (1024).
const SIZES: [usize; 8] = [0, 1, 2, 11, 31, 32, 33, 1025];

pub fn arrange(gpu: &Gpu, points: &[[f32; 3]]) -> (Buffer<f32>, Tree) {
    let buffer = gpu.upload(&flat(points)).unwrap();
    let tree = Tree::build(gpu, &buffer, points.len()).unwrap();
    (buffer, tree)
}

/// The nearest `k` of what is around each point, against the reference's.
pub fn compare_nearest(
    gpu: &Gpu,
    points: &[[f32; 3]],
    buffer: &Buffer<f32>,
    around: &Around,
    k: usize,
    name: &str,
) {
    let (n, expected) = (points.len(), knn::cpu::nearest(points, k));
    let found = knn::cuda::nearest(gpu, buffer, around, k).unwrap();
    assert_eq!(found.k, expected.k);
    let what = format!("{name}, {n} points, k = {k}");
    same(&gpu.download(&found.indices).unwrap(), &expected.indices, &what);
    same(&gpu.download(&found.distances).unwrap(), &expected.distances, &what);
}

/// Normals from what is around each point, against the reference's.
pub fn compare_normals(
    gpu: &Gpu,
    points: &[[f32; 3]],
    buffer: &Buffer<f32>,
    around: &Around,
    radius: f32,
    most: usize,
    name: &str,
) {
    let normals = normals::cuda::estimate(gpu, buffer, around, radius, most).unwrap();
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let expected = bits(&flat(&normals::cpu::estimate(points, radius, most)));
    let what = format!("{name}, {} points, radius {radius}, at most {most}", points.len());
    same(&bits(&gpu.download(&normals).unwrap()), &expected, &what);
}

#[test]
fn nearest_neighbors() {
    let gpu = gpu();
    let mut random = Random(3);
    for n in SIZES {
        for (name, points) in clouds(n, &mut random) {
            let (buffer, tree) = arrange(&gpu, &points);
            for k in [10, 1, 31].into_iter().take(if n < 1000 { 3 } else { 1 }) {
                let around = Around::find(&gpu, &tree, k + 1).unwrap();
                compare_nearest(&gpu, &points, &buffer, &around, k, name);
            }
        }
    }
}

#[test]
fn too_many_neighbors() {
    let gpu = gpu();
    let (buffer, tree) = arrange(&gpu, &[[0.0; 3]; 100]);
    let error = Around::find(&gpu, &tree, 33).unwrap_err();
    assert!(error.to_string().contains("33 points"), "{error}");
    let around = Around::find(&gpu, &tree, 10).unwrap();
    let error = knn::cuda::nearest(&gpu, &buffer, &around, 10).unwrap_err();
    assert!(error.to_string().contains("search for 11"), "{error}");
    let error = normals::cuda::estimate(&gpu, &buffer, &around, 0.1, 11).unwrap_err();
    assert!(error.to_string().contains("search for 11"), "{error}");
    let error = Tree::build(&gpu, &buffer, 101).unwrap_err();
    assert!(error.to_string().contains("[101, 3], not 300 values"), "{error}");
}

#[test]
fn surface_normals() {
    let gpu = gpu();
    let mut random = Random(4);
    for n in SIZES {
        for (name, points) in clouds(n, &mut random) {
            let (buffer, tree) = arrange(&gpu, &points);
            let around = Around::find(&gpu, &tree, 32).unwrap();
            let cases = [(0.1, 30), (0.3, 32), (1e-4, 7), (0.3, 1)];
            for (radius, most) in cases.into_iter().take(if n < 1000 { 4 } else { 1 }) {
                compare_normals(&gpu, &points, &buffer, &around, radius, most, name);
            }
        }
    }
}
