//! Cloud: the input points, centred and scaled into the unit ball.

use crate::{
    device::twin::Mirrored,
    error::{Error, Result},
    io::points::PointCloud,
};

/// N coloured points inside the unit ball around the origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cloud {
    /// x, y, z of every point, within distance 1 of the origin, y up, `[N]`.
    pub positions: Mirrored<Vec<[f32; 3]>>,
    /// Red, green, blue of every point in [0, 1], `[N]`.
    pub colors: Mirrored<Vec<[f32; 3]>>,
    /// What was the origin's place in the input's unit.
    pub center: [f64; 3],
    /// What was distance 1 in the input's unit; 1 if all points coincide.
    pub radius: f64,
}

impl Cloud {
    /// Centres the points on their mean and divides by the largest distance to it, in f64 as PartSTAD does
    /// (`normalize_pc_o3d`; PartSLIP does it in f32).
    ///
    /// # Errors
    /// [`Error::Invalid`] without points, with more than `i32::MAX` points, with a coordinate that is not finite or
    /// with a colour outside [0, 1].
    pub fn new(points: &PointCloud) -> Result<Cloud> {
        let n = points.positions.len();
        if n == 0 {
            return Err(Error::invalid("the cloud has no points"));
        }
        if n > i32::MAX as usize {
            return Err(Error::invalid(format!("the cloud has {n} points; the limit is {}", i32::MAX)));
        }
        if points.colors.len() != n {
            return Err(Error::invalid(format!(
                "the cloud has {n} points but {} colours",
                points.colors.len()
            )));
        }
        if let Some(i) = points.positions.iter().position(|p| p.iter().any(|x| !x.is_finite())) {
            let p = points.positions[i];
            return Err(Error::invalid(format!("point {i} is at {p:?}; remove points that are not finite")));
        }
        if let Some(i) = points.colors.iter().position(|c| c.iter().any(|x| !(0.0..=1.0).contains(x))) {
            let c = points.colors[i];
            return Err(Error::invalid(format!("point {i} has colour {c:?}; colours must lie in [0, 1]")));
        }
        // Summed as offsets from the first point: coinciding points then have no extent, however far from the origin.
        let first = points.positions[0];
        let mut center = [0.0; 3];
        for (axis, center) in center.iter_mut().enumerate() {
            let sum: f64 = points.positions.iter().map(|p| p[axis] - first[axis]).sum();
            *center = first[axis] + sum / n as f64;
        }
        let centred = |p: &[f64; 3]| [p[0] - center[0], p[1] - center[1], p[2] - center[2]];
        let norm = |p: [f64; 3]| (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt();
        let largest = points.positions.iter().map(|p| norm(centred(p))).fold(0.0, f64::max);
        if !largest.is_finite() {
            return Err(Error::invalid("the cloud's extent overflows f64; scale the coordinates down"));
        }
        let radius = if largest > 0.0 { largest } else { 1.0 };
        let positions: Vec<_> =
            points.positions.iter().map(|p| centred(p).map(|x| (x / radius) as f32)).collect();
        Ok(Cloud { positions: positions.into(), colors: points.colors.clone().into(), center, radius })
    }

    /// Number of points, N.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The points in the input's unit and origin.
    pub fn denormalized(&self) -> PointCloud {
        let back =
            |p: &[f32; 3]| std::array::from_fn(|axis| p[axis] as f64 * self.radius + self.center[axis]);
        PointCloud { positions: self.positions.iter().map(back).collect(), colors: self.colors.to_vec() }
    }
}
