//! SAM3D: from masks without labels, in views, to groups of points (Yang et al., *SAM3D: Segment Anything in 3D Scenes*, 2023),
//! as its authors' code merges them.
//!
//! The [masks] of a view are painted over each other into [`Regions`]. Each point that the view shows has the region of
//! most of its pixels. Views are [merged](merging) two by two: points match, groups that share enough of them become one. In
//! the end every point of the cloud takes the group of the nearest merged point.
//!
//! The authors unproject depth and thin each cloud to voxels ([`Matching::Voxels`], [`depth`]). Views of a cloud know which
//! points they show, so that nothing need be unprojected, and by default nothing is thinned ([`Matching::Near`]).

pub mod depth;
#[cfg(feature = "cuda")]
mod device;
pub mod masks;
pub mod merging;
mod named;
pub mod regions;

pub use self::{
    merging::Places,
    named::{Named, named, ranked},
    regions::Regions,
};

use crate::{
    device::Device,
    error::{Result, in_range},
    ops::{
        merge::{
            frame,
            groups::cpu::{compact, without_small},
            transfer,
        },
        partition::knn,
    },
    stages::{cloud::Cloud, superpoints::Superpoints, views::Views},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How masks become groups of points. Lengths are in cloud radii, where the authors' are in metres of a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which points of two views match.
    pub matching: Matching,
    /// With [`Matching::Near`], points that are nearer than this; at least twice the median distance to the nearest neighbour.
    pub radius: f64,
    /// With [`Matching::Voxels`], the side of a voxel; points match that are nearer than 1.5 sides. The authors' is 0.05.
    pub voxel: f64,
    /// Groups of fewer points (or voxels) are dropped before two views are merged, and in the end.
    pub small: u32,
    /// Points farther than this from every merged one have no group.
    pub farthest: f64,
    /// In which order neighbours are merged first.
    pub views: Order,
    /// Which masks are painted over others.
    pub top: Top,
    /// Masks of more than this share of the object's pixels are left out; 1 = none.
    pub whole: f64,
    /// Whether superpoints take the groups that hold them.
    pub superpoints: Ensemble,
    /// How a segmenter is asked for all masks of an image.
    pub masks: masks::Options,
}

/// Which points match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The cloud's points, each with the nearest one of the other view.
    Near,
    /// One point a voxel, each with the nearest one of the other view (the authors').
    Voxels,
    /// The cloud's points, each with itself. Different sides of a thin part never meet.
    Exact,
}

/// The order of the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// As they come (the authors').
    List,
    /// By azimuth, so that neighbours show much of the same.
    Azimuth,
}

/// Which mask of several a pixel shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Top {
    /// The one with the highest predicted IoU (the authors'). QUIRK top: that of the whole object often hides its parts.
    Sure,
    /// The smallest, and of as small ones the surest.
    Small,
}

/// What superpoints do in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ensemble {
    /// Nothing.
    None,
    /// They take the group of most of their points, or are groups of their own (the authors').
    All,
    /// They take the group of most of their points, or none.
    Taken,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            matching: Matching::Near,
            radius: 0.02,
            voxel: 0.05,
            small: 50,
            farthest: 0.6,
            views: Order::List,
            top: Top::Sure,
            whole: 1.0,
            superpoints: Ensemble::None,
            masks: masks::Options::default(),
        }
    }
}

/// Groups of fewer points are dropped before superpoints take groups.
const SMALL_BEFORE_SUPERPOINTS: u32 = 20;

impl Options {
    pub(crate) fn check(&self) -> Result<()> {
        let Options { radius, voxel, farthest, whole, .. } = *self;
        for (name, value) in [("sam3d.radius", radius), ("sam3d.farthest", farthest)] {
            in_range(value > 0.0 && value.is_finite(), name, value, "a number above 0")?;
        }
        in_range(voxel >= 1e-6 && voxel.is_finite(), "sam3d.voxel", voxel, "a number from 1e-6")?;
        in_range((0.0..=1.0).contains(&whole), "sam3d.whole", whole, "from 0 to 1")?;
        self.masks.check()
    }
}

/// The group of every point of the cloud, -1 = none, `[N]`: 0, 1, ... without gaps.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if an option is out of range or the regions are not of these views,
/// [`Error::Device`](crate::Error::Device) if the device fails.
pub fn segment(
    device: &Device,
    cloud: &Cloud,
    views: &Views,
    regions: &Regions,
    superpoints: &Superpoints,
    options: &Options,
) -> Result<Vec<i32>> {
    options.check()?;
    regions.check(views)?;
    let mut order: Vec<usize> = (0..views.len()).collect();
    if options.views == Order::Azimuth {
        let azimuth = |k: usize| views.cameras[k].pose.azimuth.rem_euclid(360.0);
        order.sort_by(|&a, &b| azimuth(a).total_cmp(&azimuth(b)));
    }
    let rules = merging::Rules {
        matched: match options.matching {
            Matching::Near => Some(options.radius.max(2.0 * spacing(&cloud.positions))),
            Matching::Voxels => Some(1.5 * options.voxel),
            Matching::Exact => None,
        },
        small: options.small,
        farthest: options.farthest,
    };
    let places = Places::new(
        cloud.positions.par_iter().map(|p| p.map(f64::from)).collect(),
        (options.matching == Matching::Voxels).then_some(options.voxel),
    );
    let groups = match (device, rules.matched) {
        #[cfg(feature = "cuda")]
        (Device::Cuda(gpu), Some(radius)) => {
            device::merge(gpu, cloud, views, regions, &order, &places, radius, &rules)?
        }
        _ => {
            let maps = views.pixel_to_point.host()?;
            let of_view = |k: usize| &maps[k * views.side * views.side..][..views.side * views.side];
            let frame = |&k: &usize| frame::cpu::frame(of_view(k), regions.of_view(k), cloud.len());
            let frames = order.par_iter().map(frame).collect::<Result<Vec<_>>>()?;
            merging::merge(&places, frames, &cloud.positions, &rules)?
        }
    };
    match options.superpoints {
        Ensemble::None => Ok(groups),
        wanted => {
            let (groups, count) = of_superpoints(&groups, &superpoints.of_point, SMALL_BEFORE_SUPERPOINTS)?;
            let taken = |group: i32| if group < count as i32 { group } else { -1 };
            let groups = if wanted == Ensemble::Taken {
                groups.into_iter().map(taken).collect::<Vec<_>>()
            } else {
                groups
            };
            Ok(compact(&groups).0)
        }
    }
}

/// Superpoints take the group that holds most of their points, if those are at least half of the smaller of the two;
/// otherwise each is a group of its own, with numbers above the others. Groups of fewer points than `small` are dropped first.
/// Returns the groups, numbers as they are, and how many there were without superpoints.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if the lengths differ.
pub fn of_superpoints(groups: &[i32], superpoints: &[u32], small: u32) -> Result<(Vec<i32>, usize)> {
    let (source, count) = compact(&without_small(groups, small));
    let target: Vec<i32> = superpoints.iter().map(|&s| s as i32).collect();
    let matched: Vec<i32> = (0..source.len() as i32).collect();
    let above = count as u32;
    let input = transfer::Input { source: &source, target: &target, matched: &matched, above };
    Ok((transfer::cpu::transfer(&input)?, count))
}

/// The median distance to the nearest neighbour.
fn spacing(points: &[[f32; 3]]) -> f64 {
    let mut distances = knn::cpu::nearest(points, 1).distances;
    let middle = distances.len() / 2;
    match distances.is_empty() {
        true => 0.0,
        false => f64::from(*distances.select_nth_unstable_by(middle, f32::total_cmp).1),
    }
}
