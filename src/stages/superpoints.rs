//! Superpoints: the over-segmentation whose pieces vote as one.

use crate::{
    device::Device,
    error::{Error, Result},
    io::npy,
    stages::cloud::Cloud,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// A partition of the cloud's N points into S superpoints, each with at least one point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Superpoints {
    /// Superpoint of every point, `[N]`, each below S.
    pub of_point: Vec<u32>,
    /// Where each superpoint's points begin in `points`, `[S + 1]`.
    pub offsets: Vec<u32>,
    /// The points grouped by superpoint, `[N]`, ascending within each.
    pub points: Vec<u32>,
}

/// What the partition is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Weight of a cut edge against the squared distance of features.
    pub lambda: f32,
    /// Components of at most this many points join their nearest larger one.
    pub small: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { lambda: 0.05, small: 10 }
    }
}

impl Superpoints {
    /// Partitions the cloud.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is outside its range.
    pub fn partition(_device: &Device, cloud: &Cloud, _options: &Options) -> Result<Superpoints> {
        let mut voxels = BTreeMap::new();
        let voxel = |p: &[f32; 3]| p.map(|x| (x * 10.0).floor() as i32);
        let labels: Vec<i32> = cloud
            .positions
            .iter()
            .map(|p| {
                let next = voxels.len() as i32;
                *voxels.entry(voxel(p)).or_insert(next)
            })
            .collect();
        Superpoints::from_labels(&labels)
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
        let mut points: Vec<u32> = (0..n as u32).collect();
        points.sort_by_key(|&i| labels[i as usize]);
        let mut of_point = vec![0; n];
        let mut offsets = vec![0];
        for (at, &i) in points.iter().enumerate() {
            if at > 0 && labels[i as usize] != labels[points[at - 1] as usize] {
                offsets.push(at as u32);
            }
            of_point[i as usize] = offsets.len() as u32 - 1;
        }
        if n > 0 {
            offsets.push(n as u32);
        }
        Ok(Superpoints { of_point, offsets, points })
    }

    /// Number of superpoints, S.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The points of superpoint `s`, ascending.
    pub fn points(&self, s: usize) -> &[u32] {
        &self.points[self.offsets[s] as usize..self.offsets[s + 1] as usize]
    }

    /// Writes `of_point` as a NumPy array i32 `[N]`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let labels: Vec<i32> = self.of_point.iter().map(|&s| s as i32).collect();
        npy::write(path, &[labels.len()], &labels)
    }

    /// Reads a NumPy array i32 `[N]` with one superpoint for each of the cloud's `points`.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it does not hold such an array.
    pub fn load(path: &Path, points: usize) -> Result<Superpoints> {
        let array = npy::read::<i32>(path)?;
        if array.shape != [points] {
            return Err(Error::format(
                path,
                format!(
                    "an array of shape {:?}; the cloud has {points} points, so it must be [{points}]",
                    array.shape
                ),
            ));
        }
        Superpoints::from_labels(&array.data).map_err(|e| Error::format(path, e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_compacted_in_their_order() {
        let superpoints = Superpoints::from_labels(&[7, 3, 7, 0]).unwrap();
        assert_eq!(superpoints.of_point, [2, 1, 2, 0]);
        assert_eq!(superpoints.offsets, [0, 1, 2, 4]);
        assert_eq!(superpoints.points, [3, 1, 0, 2]);
        assert_eq!(superpoints.points(2), [0, 2]);
        assert_eq!(Superpoints::from_labels(&[]).unwrap().len(), 0);
        assert!(Superpoints::from_labels(&[0, -1]).is_err());
    }
}
