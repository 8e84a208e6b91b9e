//! SAM3D's groups as instances, which have no labels and no scores.

use crate::{
    device::Device,
    error::Result,
    lifting::{Scene, Voters, Weigher},
    observer::Progress,
    options::Options,
    sam3d::{self, Matching, Regions},
    stages::instances::{Instance, Instances, UNLABELLED},
    unnamed,
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
    Ok(unlabelled(&sam3d::segment(device, cloud, views, regions, superpoints, options)?))
}

/// Voted on, as parts without names are found.
///
/// # Errors
/// Those of [`unnamed::scene`] and [`Scene::lift`].
pub fn voted(device: &Device, scene: &Scene, regions: &Regions, options: &Options) -> Result<Instances> {
    let Scene { cloud, superpoints, views, .. } = scene.clone();
    let (options, mut progress) = (unnamed::options(options), Progress::default());
    let (parts, scene) = unnamed::scene(device, cloud, superpoints, views, regions, &options)?;
    let gathered = scene.gather(device, Voters::Masks, parts.len(), &options, &mut progress)?;
    let weigher = Weigher::Plain(options.weights);
    let lifted = scene.lift(device, &gathered, &parts, weigher, &options, &mut progress)?;
    let mut instances = lifted.instances;
    instances.list.iter_mut().for_each(|instance| instance.label = UNLABELLED);
    Ok(instances)
}

/// All are as sure, and of as sure ones the larger comes first.
fn unlabelled(groups: &[i32]) -> Instances {
    let (of_point, sizes) = sam3d::ranked(groups);
    let instance = |points| Instance { label: UNLABELLED, points, confidence: 1.0 };
    Instances { list: sizes.into_iter().map(instance).collect(), of_point, ..Instances::default() }
}
