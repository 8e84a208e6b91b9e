//! Points of images with depth, as the authors make them.

/// A pinhole camera: focal lengths and centre in pixels, whose centres are at whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pinhole {
    /// Along x and y.
    pub focal: [f64; 2],
    /// The pixel that the axis goes through.
    pub center: [f64; 2],
    /// Camera to world, row by row.
    pub pose: [[f64; 4]; 4],
}

/// The point of every pixel with depth, row by row. `depth`: thousandths, 0 = none, row-major.
pub fn unproject(depth: &[u16], width: usize, camera: &Pinhole) -> Vec<[f64; 3]> {
    let Pinhole { focal, center, pose } = camera;
    let shown = depth.iter().enumerate().filter(|(_, depth)| **depth != 0);
    let point = |(pixel, &depth): (usize, &u16)| {
        let z = f64::from(depth) / 1000.0;
        let at = [pixel % width, pixel / width];
        let [x, y] = [0, 1].map(|axis| (at[axis] as f64 - center[axis]) * z / focal[axis]);
        [0, 1, 2].map(|row| {
            let [a, b, c, d] = pose[row];
            a * x + b * y + c * z + d
        })
    };
    shown.map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_without_depth_have_no_point() {
        let pose = [[1.0, 0.0, 0.0, 5.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        let camera = Pinhole { focal: [2.0; 2], center: [1.0, 0.0], pose };
        assert_eq!(
            unproject(&[0, 1000, 2000, 4000], 2, &camera),
            [[5.0, 0.0, 1.0], [4.0, 1.0, 2.0], [5.0, 2.0, 4.0]]
        );
    }
}
