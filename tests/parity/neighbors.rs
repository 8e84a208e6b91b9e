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

pub fn arrange(gpu: &Gpu, points: &[[f32; 3]], tree: &mut Tree) -> Buffer<f32> {
    let buffer = gpu.upload(&flat(points)).unwrap();
    tree.build(gpu, &buffer, points.len()).unwrap();
    buffer
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
    let (mut indices, mut distances) =
        (gpu.alloc(n * expected.k).unwrap(), gpu.alloc(n * expected.k).unwrap());
    let columns = knn::cuda::nearest(gpu, buffer, around, k, &mut indices, &mut distances).unwrap();
    assert_eq!(columns, expected.k);
    let what = format!("{name}, {n} points, k = {k}");
    same(&gpu.download(&indices).unwrap(), &expected.indices, &what);
    same(&gpu.download(&distances).unwrap(), &expected.distances, &what);
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
    let n = points.len();
    let mut normals = gpu.alloc(3 * n).unwrap();
    let mut workspace = normals::cuda::Workspace::new(gpu, n).unwrap();
    normals::cuda::estimate(gpu, buffer, around, radius, most, &mut normals, &mut workspace).unwrap();
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let expected = bits(&flat(&normals::cpu::estimate(points, radius, most)));
    let what = format!("{name}, {n} points, radius {radius}, at most {most}");
    same(&bits(&gpu.download(&normals).unwrap()), &expected, &what);
}

#[test]
fn nearest_neighbors() {
    let gpu = gpu();
    let mut random = Random(3);
    let mut tree = Tree::new(&gpu, 1025).unwrap();
    for n in SIZES {
        for (name, points) in clouds(n, &mut random) {
            let buffer = arrange(&gpu, &points, &mut tree);
            for k in [10, 1, 31].into_iter().take(if n < 1000 { 3 } else { 1 }) {
                let mut around = Around::new(&gpu, n, k + 1).unwrap();
                around.find(&gpu, &tree).unwrap();
                compare_nearest(&gpu, &points, &buffer, &around, k, name);
            }
        }
    }
}

#[test]
fn too_many_neighbors() {
    let gpu = gpu();
    assert!(Around::new(&gpu, 100, 33).unwrap_err().to_string().contains("33 points"));
    let mut tree = Tree::new(&gpu, 100).unwrap();
    let buffer = arrange(&gpu, &[[0.0; 3]; 100], &mut tree);
    let mut around = Around::new(&gpu, 100, 10).unwrap();
    around.find(&gpu, &tree).unwrap();
    let (mut indices, mut distances) = (gpu.alloc(1000).unwrap(), gpu.alloc(1000).unwrap());
    let error = knn::cuda::nearest(&gpu, &buffer, &around, 10, &mut indices, &mut distances).unwrap_err();
    assert!(error.to_string().contains("search for 11"), "{error}");
    let mut workspace = normals::cuda::Workspace::new(&gpu, 100).unwrap();
    let error =
        normals::cuda::estimate(&gpu, &buffer, &around, 0.1, 11, &mut distances, &mut workspace).unwrap_err();
    assert!(error.to_string().contains("search for 11"), "{error}");
    let error = tree.build(&gpu, &gpu.zeros::<f32>(303).unwrap(), 101).unwrap_err();
    assert!(error.to_string().contains("room for 101"), "{error}");
}

#[test]
fn surface_normals() {
    let gpu = gpu();
    let mut random = Random(4);
    let mut tree = Tree::new(&gpu, 1025).unwrap();
    let mut around = Around::new(&gpu, 1025, 32).unwrap();
    for n in SIZES {
        for (name, points) in clouds(n, &mut random) {
            let buffer = arrange(&gpu, &points, &mut tree);
            around.find(&gpu, &tree).unwrap();
            let cases = [(0.1, 30), (0.3, 32), (1e-4, 7), (0.3, 1)];
            for (radius, most) in cases.into_iter().take(if n < 1000 { 4 } else { 1 }) {
                compare_normals(&gpu, &points, &buffer, &around, radius, most, name);
            }
        }
    }
}
