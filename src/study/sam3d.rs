//! SAM3D's groups as instances, which have no labels and no scores.

use crate::{
    device::Device,
    error::Result,
    lifting::Scene,
    ops::merge::groups::cpu::sizes,
    options::Options,
    sam3d::{self, Matching, Regions},
    stages::instances::{Instance, Instances, UNLABELLED},
};

/// Merged as the options say.
///
/// # Errors
/// Those of [`sam3d::segment`].
pub fn as_asked(device: &Device, scene: &Scene, regions: &Regions, options: &Options) -> Result<Instances> {
    instances(device, scene, regions, &options.sam3d)
}

/// Thinned to voxels of the published side.
///
/// # Errors
/// Those of [`sam3d::segment`].
pub fn voxels(device: &Device, scene: &Scene, regions: &Regions, options: &Options) -> Result<Instances> {
    thinned(device, scene, regions, options, 0.05)
}

/// Thinned to smaller voxels.
///
/// # Errors
/// Those of [`sam3d::segment`].
pub fn fine_voxels(
    device: &Device,
    scene: &Scene,
    regions: &Regions,
    options: &Options,
) -> Result<Instances> {
    thinned(device, scene, regions, options, 0.02)
}

fn thinned(
    device: &Device,
    scene: &Scene,
    regions: &Regions,
    options: &Options,
    voxel: f64,
) -> Result<Instances> {
    let options = sam3d::Options { matching: Matching::Voxels, voxel, ..options.sam3d.clone() };
    instances(device, scene, regions, &options)
}

fn instances(
    device: &Device,
    scene: &Scene,
    regions: &Regions,
    options: &sam3d::Options,
) -> Result<Instances> {
    let Scene { cloud, superpoints, views, .. } = scene;
    Ok(ranked(&sam3d::segment(device, cloud, views, regions, superpoints, options)?))
}

/// All are as sure, and of as sure ones the larger comes first.
fn ranked(groups: &[i32]) -> Instances {
    let sizes = sizes(groups);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
    let mut rank = vec![0; sizes.len()];
    (0..).zip(&order).for_each(|(i, &group)| rank[group] = i);
    let instance = |&group: &usize| Instance { label: UNLABELLED, points: sizes[group], confidence: 1.0 };
    Instances {
        list: order.iter().map(instance).collect(),
        of_point: groups.iter().map(|&g| if g >= 0 { rank[g as usize] } else { -1 }).collect(),
        ..Instances::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_groups_come_first() {
        let found = ranked(&[0, 1, 1, -1, 2, 2]);
        assert_eq!(found.of_point, [2, 0, 0, -1, 1, 1]);
        assert_eq!(found.list.iter().map(|instance| instance.points).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
