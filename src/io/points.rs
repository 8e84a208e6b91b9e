//! Point clouds as files hold them, whatever the format.

use crate::error::{Error, Result};
use std::path::Path;

/// Points as a file holds them: any unit, any origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointCloud {
    /// x, y, z of every point, in the file's unit.
    pub positions: Vec<[f64; 3]>,
    /// Red, green, blue of every point, in [0, 1].
    pub colors: Vec<[f32; 3]>,
}

/// What a file counts its colours in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ColorUnit {
    /// Integers from 0 to this.
    UpTo(f32),
    /// Numbers from 0 to 1, or to 255 if any of them is above 1.
    Guess,
}

impl PointCloud {
    /// Brings colours to [0, 1] and refuses what no later stage could use.
    pub(super) fn checked(
        positions: Vec<[f64; 3]>,
        mut colors: Vec<[f32; 3]>,
        unit: ColorUnit,
        path: &Path,
    ) -> Result<PointCloud> {
        if positions.is_empty() {
            return Err(Error::format(path, "holds no points"));
        }
        if let Some(i) = positions.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let message = format!("point {i} lies at {:?}; remove points that are not finite", positions[i]);
            return Err(Error::format(path, message));
        }
        let largest = match unit {
            ColorUnit::UpTo(largest) => largest,
            ColorUnit::Guess if colors.iter().flatten().any(|&c| c > 1.0) => 255.0,
            ColorUnit::Guess => 1.0,
        };
        if let Some(i) = colors.iter().position(|c| c.iter().any(|c| !(0.0..=largest).contains(c))) {
            let message = format!("point {i} has colour {:?}; colours must lie in 0..={largest}", colors[i]);
            return Err(Error::format(path, message));
        }
        colors.iter_mut().flatten().for_each(|c| *c /= largest);
        Ok(PointCloud { positions, colors })
    }
}
