//! Point clouds as files hold them, whatever the format.

use crate::error::{Error, Result};
use std::path::Path;

/// Points as a file holds them: any unit, any origin, a point a row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointCloud {
    /// x, y, z of every row, in the file's unit; those of organised clouds may be NaN, `[N]`.
    pub positions: Vec<[f64; 3]>,
    /// Red, green, blue of every row, in [0, 1] or NaN, `[N]`; empty if the file has none.
    pub colors: Vec<[f32; 3]>,
    /// Brightness of every row, in [0, 1] or NaN, `[N]`; empty if the file has none.
    pub intensities: Vec<f32>,
    /// Where `colors` is empty: why, and what to do about it.
    pub uncolored: Option<String>,
    /// Whether z is up by the format's own rules.
    pub z_up: bool,
    /// What the reader noticed and the caller should know.
    pub warnings: Vec<String>,
}

/// What colours count in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColorUnit {
    /// Integers from 0 to 255.
    Byte,
    /// Integers from 0 to 65535, or to 255 if none is above that: many programs write bytes into wider fields.
    Short,
    /// Numbers from 0 to 1, to 255 if one of them is clearly above 1, or to 65535 if one is far above 255.
    Guess,
}

/// Rounding leaves colours this far outside their range, relative to it.
const HAIR: f32 = 1e-3;

impl ColorUnit {
    fn largest(self, colors: &[[f32; 3]]) -> f32 {
        let any = |is: fn(f32) -> bool| colors.iter().flatten().any(|&c| is(c));
        let bytes = match self {
            ColorUnit::Byte => true,
            ColorUnit::Guess if any(|c| c > 4095.0) => return 65535.0,
            ColorUnit::Short => return if any(|c| c > 255.0) { 65535.0 } else { 255.0 },
            // Fractions up to 2 overshoot 1; nobody's bytes end at 2 and have fractions.
            ColorUnit::Guess => any(|c| c > 2.0) || any(|c| c > 1.0) && !any(|c| c.fract() != 0.0),
        };
        if bytes { 255.0 } else { 1.0 }
    }
}

impl PointCloud {
    /// Points that are at hand: brings colours to [0, 1] and refuses what no later stage could use.
    ///
    /// `positions`: x, y, z in any unit, `[N]`. `colors`: red, green, blue, `[N]`; or empty, and then
    /// [`Cloud::fit`](crate::stages::cloud::Cloud::fit) needs its option `colors` to be grey.
    ///
    /// # Errors
    /// [`Error::Invalid`] without points, or naming the first whose colour is out of range.
    pub fn new(positions: Vec<[f64; 3]>, mut colors: Vec<[f32; 3]>, unit: ColorUnit) -> Result<PointCloud> {
        if positions.is_empty() {
            return Err(Error::invalid("the cloud has no points"));
        }
        for (position, color) in positions.iter().zip(&mut colors) {
            if !position.iter().chain(&color.map(f64::from)).all(|x| x.is_finite()) {
                *color = [f32::NAN; 3];
            }
        }
        let largest = unit.largest(&colors);
        let top = if largest == 1.0 { 2.0 } else { largest * (1.0 + HAIR) };
        let outside = |c: &f32| *c < -HAIR * largest || *c > top;
        if let Some(i) = colors.iter().position(|c| c.iter().any(outside)) {
            return Err(Error::invalid(format!(
                "point {i} has colour {:?}; colours must lie in 0..={largest}",
                colors[i]
            )));
        }
        let mut warnings = vec![];
        let over = colors.iter().filter(|c| c.iter().any(|&c| c > largest * (1.0 + HAIR))).count();
        if over > 0 {
            warnings.push(format!("{over} of {} colours are brighter than 1; taken as 1.", colors.len()));
        }
        colors.iter_mut().flatten().for_each(|c| *c = (*c / largest).clamp(0.0, 1.0));
        Ok(PointCloud { positions, colors, warnings, ..PointCloud::default() })
    }

    /// The same of a file; the errors name it.
    pub(super) fn checked(
        positions: Vec<[f64; 3]>,
        colors: Vec<[f32; 3]>,
        unit: ColorUnit,
        path: &Path,
    ) -> Result<PointCloud> {
        if positions.is_empty() {
            return Err(Error::format(path, "holds no points"));
        }
        PointCloud::new(positions, colors, unit).map_err(|e| Error::format(path, e.to_string()))
    }

    /// Number of rows, N.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colors(unit: ColorUnit, colors: &[[f32; 3]]) -> Result<Vec<[f32; 3]>, String> {
        let positions = vec![[0.0; 3]; colors.len()];
        let cloud = PointCloud::checked(positions, colors.to_vec(), unit, Path::new("a.ply"));
        cloud.map(|cloud| cloud.colors).map_err(|e| e.to_string())
    }

    #[test]
    fn units_are_told_from_what_is_certain() {
        use ColorUnit::*;
        assert_eq!(colors(Guess, &[[0.5, 1.000_000_1, -1e-9]]).unwrap(), [[0.5, 1.0, 0.0]], "a hair");
        assert_eq!(colors(Guess, &[[0.5, 1.25, 0.0]]).unwrap(), [[0.5, 1.0, 0.0]], "overshoot");
        assert_eq!(colors(Guess, &[[51.0, 1.0, 0.0]]).unwrap(), [[0.2, 1.0 / 255.0, 0.0]]);
        assert_eq!(colors(Guess, &[[2.0, 1.0, 0.0]]).unwrap()[0][0], 2.0 / 255.0);
        assert_eq!(colors(Short, &[[51.0, 255.0, 0.0]]).unwrap(), [[0.2, 1.0, 0.0]]);
        assert_eq!(colors(Short, &[[13107.0, 65535.0, 0.0]]).unwrap(), [[0.2, 1.0, 0.0]]);
        assert_eq!(colors(Byte, &[[51.0, 1.0, 0.0]]).unwrap(), [[0.2, 1.0 / 255.0, 0.0]]);
        for (unit, wrong) in [(Byte, 256.0), (Guess, 300.0), (Guess, -0.5), (Byte, -1.0)] {
            let error = colors(unit, &[[0.0; 3], [wrong, 0.0, 0.0]]).unwrap_err();
            assert!(error.contains("point 1 has colour"), "{error}");
        }
    }

    #[test]
    fn rows_that_are_not_finite_do_not_change_the_unit() {
        let positions = vec![[0.0; 3], [f64::NAN, 0.0, 0.0], [0.0; 3]];
        let colors = vec![[0.5; 3], [9e9; 3], [f32::INFINITY, 0.0, 0.0]];
        let cloud = PointCloud::checked(positions, colors, ColorUnit::Guess, Path::new("a.ply")).unwrap();
        assert_eq!(cloud.colors[0], [0.5; 3]);
        assert!(cloud.colors[1..].iter().flatten().all(|c| c.is_nan()));
    }
}
