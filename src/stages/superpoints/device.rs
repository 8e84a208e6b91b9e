//! The partition on a device.

use super::{Features, Options, Superpoints};
use crate::{
    device::{
        gpu::{Buffer, Gpu},
        twin::{Mirrored, RaggedOnDevice},
    },
    error::Result,
    ops::{
        basic::{group, scan, sort::cuda::bits},
        partition::{
            agglomeration, edge_weights,
            knn::{
                self,
                cuda::{Neighbors, Tree},
            },
            merge_small, normals, point_features,
        },
    },
    ragged::Ragged,
    stages::cloud::Cloud,
};

/// As [`super::Likeness`], the same bits.
pub struct Likeness {
    tree: Tree,
    features: Buffer<f32>,
    neighbors: Buffer<u32>,
    weights: Buffer<f32>,
    /// N, D, k.
    shape: [usize; 3],
}

impl Likeness {
    /// The orientation of normals runs on the host.
    pub fn of(gpu: &Gpu, cloud: &Cloud, options: &Options) -> Result<Likeness> {
        let Options { normal_radius, normal_neighbors, color_weight, .. } = *options;
        let n = cloud.len();
        let (positions, colors) = (cloud.positions.device(gpu)?, cloud.colors.device(gpu)?);
        let width = normal_neighbors.max(options.neighbors + 1);
        let (tree, around) = knn::cuda::search(gpu, &*positions, n, width)?;

        let Neighbors { k, indices: neighbors, distances } =
            knn::cuda::nearest(gpu, &*positions, &around, options.neighbors)?;
        let mut normals =
            normals::cuda::estimate(gpu, &*positions, &around, normal_radius, normal_neighbors)?;
        if options.features == Features::Oriented {
            let (mut oriented, nearest) = gpu.download_all((&normals, &neighbors))?;
            normals::cpu::orient(oriented.as_chunks_mut().0, &nearest, k)?;
            gpu.write(&oriented, &mut normals)?;
        }

        let sign_free = options.features == Features::SignFree;
        let mut features = gpu.alloc(n * if sign_free { 9 } else { 6 })?;
        let dimensions = point_features::cuda::point_features(
            gpu,
            &normals,
            &*colors,
            n,
            color_weight,
            sign_free,
            &mut features,
        )?;
        let shape = [n, dimensions, k];
        let weights = edge_weights::cuda::edge_weights(gpu, &features, &neighbors, &distances, shape)?;
        Ok(Likeness { tree, features, neighbors, weights, shape })
    }

    pub fn download(&self, gpu: &Gpu) -> Result<super::Likeness> {
        let ([features, weights], neighbors) =
            gpu.download_all(([&self.features, &self.weights], &self.neighbors))?;
        Ok(super::Likeness { features, neighbors, weights, k: self.shape[2] })
    }

    pub fn agglomerate(&self, gpu: &Gpu, cloud: &Cloud, options: &Options) -> Result<Superpoints> {
        let Likeness { tree, features, neighbors, weights, shape } = self;
        let regions =
            agglomeration::cuda::agglomerate(gpu, features, neighbors, weights, *shape, &options.energy())?;
        let n = cloud.len();
        let mut groups = group::cuda::Groups::new(gpu, n)?;
        let mut workspace = group::cuda::Workspace::new(gpu, n)?;
        group::cuda::group(gpu, &regions, n, bits(n), &mut groups, &mut workspace)?;
        let positions = cloud.positions.device(gpu)?;
        let merged = merge_small::cuda::merge_small(gpu, &*positions, tree, &groups, options.small)?;
        group::cuda::group(gpu, &merged, n, bits(n), &mut groups, &mut workspace)?;
        let group::cuda::Groups { of_point, points: values, offsets: room, .. } = groups;
        let [here, points] = gpu.download_all([&of_point, &values])?;
        let mut counts = vec![0; here.iter().max().map_or(0, |&last| last as usize + 1)];
        here.iter().for_each(|&group| counts[group as usize] += 1);
        let starts = scan::cpu::exclusive(&counts);
        let mut offsets = gpu.alloc(starts.len())?;
        gpu.copy(&room.slice(..starts.len()), &mut offsets)?;
        Ok(Superpoints {
            of_point: Mirrored::on_both(here, gpu, of_point),
            members: Mirrored::on_both(Ragged::new(starts, points)?, gpu, RaggedOnDevice { offsets, values }),
        })
    }
}
