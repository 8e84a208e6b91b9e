//! Point clouds as PLY files.

/// Points as a file holds them: any unit, any origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PointCloud {
    /// x, y, z of every point, in the file's unit.
    pub positions: Vec<[f64; 3]>,
    /// Red, green, blue of every point, in [0, 1].
    pub colors: Vec<[f32; 3]>,
}
