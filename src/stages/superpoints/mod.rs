//! Superpoints: the over-segmentation whose pieces vote as one.

#[cfg(feature = "cuda")]
mod device;

use crate::{
    device::{Device, twin::Mirrored},
    error::{Error, Result, in_range},
    io::{budget, npy, pickle},
    observer::step,
    ops::{
        basic::group::{self, Groups},
        partition::{
            agglomeration,
            cut_pursuit::{self, graph::Graph},
            edge_weights, knn, merge_small, normals, point_features,
        },
    },
    ragged::Ragged,
    stages::cloud::Cloud,
};
use serde::{Deserialize, Serialize};
use std::{path::Path, str::FromStr};

/// A partition of the cloud's N points into S superpoints, each with at least one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superpoints {
    /// Superpoint of every point, `[N]`, each below S.
    pub of_point: Mirrored<Vec<u32>>,
    /// The points of every superpoint, ascending, `[S]`.
    pub members: Mirrored<Ragged<u32>>,
}

/// How the partition is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How the energy is minimised.
    pub method: Method,
    /// What makes two points alike.
    pub features: Features,
    /// Neighbours of each point in the graph, at least 1.
    pub neighbors: usize,
    /// Radius of the neighbourhood that a normal is estimated from; the cloud fills the unit ball.
    pub normal_radius: f32,
    /// Most points of that neighbourhood.
    pub normal_neighbors: usize,
    /// Weight of the colour against the normal.
    pub color_weight: f32,
    /// Weight of the cut edges: higher makes fewer superpoints.
    pub lambda: f32,
    /// Components of at most this many points are merged away.
    pub small: usize,
    /// The number of points that `lambda` and `small` are meant for. A cloud of more points raises both, one of fewer lowers
    /// them, so that a shape falls into the same pieces however densely it was sampled; `None` takes them as they are.
    pub points: Option<usize>,
    /// What small components are merged with.
    pub small_into: SmallInto,
}

/// What small components are merged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmallInto {
    /// The component of the large-component point nearest to their first point, as the authors do it.
    Nearest,
    /// The neighbour with which the energy rises least, small or not.
    Similar,
}

/// What makes two points alike, beside their colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Features {
    /// Normals with the signs that the eigensolver leaves, as the authors take them.
    Normals,
    /// Normals whose signs agree along a spanning tree of the neighbour graph.
    Oriented,
    /// The outer product of the normal with itself, which has no sign.
    SignFree,
}

/// How the energy is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Points merge into ever larger regions, the same bits on every device; [`agglomeration`].
    Agglomeration,
    /// The cloud is cut into ever smaller components, on the CPU, as the authors do it; [`cut_pursuit`].
    CutPursuit,
}

macro_rules! named {
    ($($kind:ty: $what:literal),*) => {$(
        impl FromStr for $kind {
            type Err = Error;

            /// By the name that it has in files.
            fn from_str(name: &str) -> Result<$kind> {
                super::by_name($what, name)
            }
        }
    )*};
}
named!(Features: "features", Method: "method");

impl Default for Options {
    /// What wins on real clouds: with the best possible label per superpoint, mean IoU 0.964 with 599 superpoints where
    /// [`Options::authors`] reach 0.873 with 540 (16 validation objects of PartNet-Mobility, one a category), and 0.943
    /// with 652 against 0.862 with 645 (14 test objects).
    fn default() -> Options {
        Options {
            method: Method::Agglomeration,
            features: Features::SignFree,
            neighbors: 10,
            normal_radius: 0.1,
            normal_neighbors: 30,
            color_weight: 1.5,
            lambda: 0.12,
            small: 20,
            points: Some(80_000),
            small_into: SmallInto::Similar,
        }
    }
}

impl Options {
    /// The authors' features, energy and treatment of small components.
    pub fn authors() -> Options {
        Options {
            method: Method::CutPursuit,
            features: Features::Normals,
            color_weight: 0.3,
            lambda: 0.05,
            small: 10,
            points: None,
            small_into: SmallInto::Nearest,
            ..Options::default()
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let Options { neighbors, normal_radius, color_weight, lambda, points, .. } = *self;
        in_range((1..=255).contains(&neighbors), "superpoints.neighbors", neighbors, "from 1 to 255")?;
        let holds = normal_radius > 0.0 && normal_radius.is_finite();
        in_range(holds, "superpoints.normal_radius", normal_radius, "a number above 0")?;
        for (name, value) in [("superpoints.color_weight", color_weight), ("superpoints.lambda", lambda)] {
            in_range(value >= 0.0 && value.is_finite(), name, value, "a number from 0")?;
        }
        in_range(points != Some(0), "superpoints.points", 0, "a number from 1, or null")
    }

    /// What the partition minimises.
    fn energy(&self) -> agglomeration::Options {
        agglomeration::Options {
            lambda: self.lambda,
            small: if self.small_into == SmallInto::Similar { self.small } else { 0 },
            bound: self.color_weight.max(1.0),
        }
    }

    /// With `lambda` and `small` as a cloud of `n` points needs them: the points on a surface go with n, the edges along a
    /// border with its root.
    fn scaled(&self, n: usize) -> Options {
        let denser = self.points.map_or(1.0, |meant| n as f64 / meant as f64);
        Options {
            lambda: (self.lambda as f64 * denser.sqrt()) as f32,
            small: (self.small as f64 * denser).round() as usize,
            ..self.clone()
        }
    }
}

impl Superpoints {
    /// Partitions the cloud by the normals and colours on the graph of nearest neighbours, then merges small components
    /// (the authors' `gen_superpoint`).
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is outside its range, [`Error::Device`] if the device fails.
    pub fn partition(device: &Device, cloud: &Cloud, options: &Options) -> Result<Superpoints> {
        options.check()?;
        let options = &options.scaled(cloud.len());
        match device {
            Device::Cpu => Likeness::of(cloud, options)?.partition(cloud, options),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => {
                let likeness = device::Likeness::of(gpu, cloud, options)?;
                match options.method {
                    Method::Agglomeration => likeness.agglomerate(gpu, cloud, options),
                    Method::CutPursuit => likeness.download(gpu)?.partition(cloud, options),
                }
            }
        }
    }

    /// The superpoints that `labels` names, one for each value that occurs, in the values' order.
    ///
    /// `labels`: `[N]`, none negative.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a label is negative or there are more than `i32::MAX` points.
    pub fn from_labels(labels: &[i32]) -> Result<Superpoints> {
        let n = labels.len();
        if n > i32::MAX as usize {
            return Err(Error::invalid(format!("superpoints: {n} points; the limit is {}", i32::MAX)));
        }
        if let Some(i) = labels.iter().position(|&label| label < 0) {
            return Err(Error::invalid(format!(
                "superpoints: point {i} has label {}; every point needs a superpoint, counted from 0",
                labels[i]
            )));
        }
        Ok(Superpoints::of_regions(&labels.iter().map(|&label| label as u32).collect::<Vec<_>>()))
    }

    /// As [`Superpoints::from_labels`], of what a partition of a cloud found.
    pub(super) fn of_regions(regions: &[u32]) -> Superpoints {
        let Groups { of_point, members } = group::cpu::group(regions);
        Superpoints { of_point: of_point.into(), members: members.into() }
    }

    /// What every point has from its superpoint, `[N]`. `of_superpoint`: `[S]`.
    pub fn spread<T: Copy>(&self, of_superpoint: &[T]) -> Vec<T> {
        self.of_point.iter().map(|&s| of_superpoint[s as usize]).collect()
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points of superpoint `s`, ascending.
    pub fn points(&self, s: usize) -> &[u32] {
        self.members.row(s)
    }

    /// Writes the superpoint of every row of the cloud's input as a NumPy array i32; -1 = none.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path, cloud: &Cloud) -> Result<()> {
        let labels: Vec<i32> = self.of_point.iter().map(|&s| s as i32).collect();
        let labels = cloud.to_rows(&labels, -1);
        npy::write(path, &[labels.len()], &labels)
    }

    /// Reads a NumPy array of integers with one superpoint for each row of the cloud's input, or one of the lists of their
    /// rows, as the authors save them.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it does not hold such an array or a point is in no
    /// superpoint.
    pub fn load(path: &Path, cloud: &Cloud) -> Result<Superpoints> {
        let rows = cloud.input_len();
        let file = budget::read_all(path)?;
        let labels = match pickle::arrays::partition(&file, rows, path)? {
            Some(labels) => labels,
            None => {
                let array = npy::parse::<i32>(&file[..], file.len() as u64, path)?;
                if array.shape != [rows] {
                    let message = format!(
                        "an array of shape {:?}; the cloud has {rows} points, so it must be [{rows}]",
                        array.shape
                    );
                    return Err(Error::format(path, message));
                }
                array.data
            }
        };
        Superpoints::from_labels(&cloud.to_points(&labels)).map_err(|e| Error::format(path, e.to_string()))
    }
}

/// What a partition follows from.
struct Likeness {
    /// What makes two points alike, `[N, D]`.
    features: Vec<f32>,
    /// The neighbours of every point and the weights of the edges to them, `[N, k]`.
    neighbors: Vec<u32>,
    weights: Vec<f32>,
    k: usize,
}

impl Likeness {
    fn of(cloud: &Cloud, options: &Options) -> Result<Likeness> {
        let Options { normal_radius, normal_neighbors, color_weight, .. } = *options;
        let n = cloud.len();
        step!("neighbours of {n} points");
        let knn::Neighbors { k, indices, distances } = knn::cpu::nearest(&cloud.positions, options.neighbors);
        step!("normals of {n} points");
        let mut normals = normals::cpu::estimate(&cloud.positions, normal_radius, normal_neighbors);
        if options.features == Features::Oriented {
            normals::cpu::orient(&mut normals, &indices, k)?;
        }
        step!("edges between {n} points");
        let (features, weights) = if options.features == Features::SignFree {
            let features = point_features::cpu::sign_free(&normals, &cloud.colors, color_weight)?;
            let weights = edge_weights::cpu::edge_weights(&features, &indices, &distances, k)?;
            (features.into_flattened(), weights)
        } else {
            let features = point_features::cpu::signed(&normals, &cloud.colors, color_weight)?;
            let weights = edge_weights::cpu::edge_weights(&features, &indices, &distances, k)?;
            (features.into_flattened(), weights)
        };
        Ok(Likeness { features, neighbors: indices, weights, k })
    }

    fn partition(&self, cloud: &Cloud, options: &Options) -> Result<Superpoints> {
        let regions = match options.features {
            Features::Normals | Features::Oriented => self.regions::<6>(options)?,
            Features::SignFree => self.regions::<9>(options)?,
        };
        let merged = merge_small::cpu::merge_small(&cloud.positions, &regions, options.small)?;
        Ok(Superpoints::of_regions(&merged))
    }

    fn regions<const D: usize>(&self, options: &Options) -> Result<Vec<u32>> {
        let Likeness { neighbors, weights, k, .. } = self;
        let (features, _) = self.features.as_chunks::<D>();
        let agglomeration::Options { lambda, small, .. } = options.energy();
        match options.method {
            Method::Agglomeration => {
                agglomeration::cpu::agglomerate(features, neighbors, weights, *k, &options.energy())
            }
            Method::CutPursuit => {
                let graph = Graph::from_neighbors(neighbors, weights, features.len(), *k)?;
                let options = cut_pursuit::Options { lambda, small, ..Default::default() };
                cut_pursuit::cpu::partition(&graph, features, &options)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compacted_in_their_order() {
        let superpoints = Superpoints::from_labels(&[7, 3, 7, 0]).unwrap();
        assert_eq!(*superpoints.of_point, [2, 1, 2, 0]);
        assert_eq!(*superpoints.members, Ragged::from_iter([vec![3], vec![1], vec![0, 2]]));
        assert_eq!(superpoints.points(2), [0, 2]);
        assert_eq!(Superpoints::from_labels(&[]).unwrap().len(), 0);
        assert!(Superpoints::from_labels(&[0, -1]).is_err());
    }

    #[test]
    fn kinds_have_one_name() {
        for features in [Features::Normals, Features::Oriented, Features::SignFree] {
            let name = serde_json::to_value(features).unwrap();
            assert_eq!(name.as_str().unwrap().parse::<Features>().unwrap(), features);
        }
        assert_eq!("cut-pursuit".parse::<Method>().unwrap(), Method::CutPursuit);
        let error = "cosine".parse::<Features>().unwrap_err().to_string();
        assert!(error.contains("cosine") && error.contains("sign-free"), "{error}");
    }

    #[test]
    fn options_follow_the_number_of_points() {
        let options = Options { points: Some(1000), ..Options::default() };
        assert_eq!(options.scaled(1000), options);
        let scaled = options.scaled(4000);
        assert_eq!((scaled.lambda, scaled.small), (2.0 * options.lambda, 4 * options.small));
        let fixed = Options { points: None, ..options };
        assert_eq!(fixed.scaled(4000), fixed);
        assert!(Options { points: Some(0), ..fixed }.check().is_err());
    }
}
