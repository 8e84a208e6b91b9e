//! Face rasterization: which face each pixel of a view shows, by the rule of kaolin's rasterizer in f32.
//!
//! A camera looks along -z, x to the right, y up, 60 degrees wide. A face covers a pixel whose centre lies in it, edges
//! included, and in the box around it, whose right and upper sides are not. The face nearest to the camera wins, the lowest
//! index at equal depth.
//!
//! QUIRK culling: faces are left out by the camera-space normal's z alone, so that near the image's border some that are seen
//! from behind are drawn, and some seen from the front are not. QUIRK depth: it is interpolated in the image, without
//! perspective. Nothing is clipped, in front of the camera or behind it.

/// What no face covers.
pub const BACKGROUND: i32 = -1;

/// World to camera, for row vectors: `q[j] = sum_i p[i] * m[i][j] + m[3][j]`.
pub type Camera = [[f32; 3]; 4];

/// 1 / tan(60 / 2 degrees).
pub const FOCAL: f32 = 1.732_050_8;

/// By this many all image positions are multiplied before a test, as kaolin does.
const SCALE: f32 = 1000.0;

/// Which sides of faces are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// Those whose normal, by the order of the vertices, does not point away from the camera.
    Front,
    /// Both, for meshes whose faces are wound one way and the other.
    Both,
}

/// CPU reference.
pub mod cpu {
    use super::{BACKGROUND, Camera, FOCAL, SCALE, Sides};

    /// A face as a view sees it.
    struct Seen {
        /// Its corners in the image, -1 to 1 times the scale.
        image: [[f32; 2]; 3],
        depth: [f32; 3],
    }

    fn transform(p: [f32; 3], m: &Camera) -> [f32; 3] {
        std::array::from_fn(|j| p[0] * m[0][j] + p[1] * m[1][j] + p[2] * m[2][j] + m[3][j])
    }

    /// None if it is turned away or has no place in the image.
    fn seen(corners: [[f32; 3]; 3], camera: &Camera, sides: Sides) -> Option<Seen> {
        let [a, b, c] = corners.map(|p| transform(p, camera));
        let (u, v) = ([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]]);
        let toward = u[0] * v[1] - u[1] * v[0];
        if sides == Sides::Front && (toward < 0.0 || toward.is_nan()) {
            return None;
        }
        let place = |p: [f32; 3]| [SCALE * (FOCAL * p[0] / -p[2]), SCALE * (FOCAL * p[1] / -p[2])];
        let seen = Seen { image: [a, b, c].map(place), depth: [a, b, c].map(|p| p[2]) };
        let finite = seen.image.as_flattened().iter().chain(&seen.depth).all(|x| x.is_finite());
        finite.then_some(seen)
    }

    impl Seen {
        /// The depth at a place in the image, if the face covers it.
        fn depth(&self, [x, y]: [f32; 2]) -> Option<f32> {
            let d = self.image.map(|[u, v]| [u - x, v - y]);
            let cross = |a: [f32; 2], b: [f32; 2]| a[0] * b[1] - a[1] * b[0];
            let w = [cross(d[1], d[2]), cross(d[2], d[0]), cross(d[0], d[1])];
            let sum = w[0] + w[1] + w[2];
            let sum = sum + 1e-8f32.copysign(sum);
            let w = w.map(|w| w / sum);
            let [a, b, c] = self.depth;
            (w[0] >= 0.0 && w[1] >= 0.0 && w[2] >= 0.0).then(|| w[0] * a + w[1] * b + w[2] * c)
        }

        fn low(&self, axis: usize) -> f32 {
            self.image[0][axis].min(self.image[1][axis]).min(self.image[2][axis])
        }

        fn high(&self, axis: usize) -> f32 {
            self.image[0][axis].max(self.image[1][axis]).max(self.image[2][axis])
        }
    }

    /// Where the centre of column c or, counted from below, row c lies.
    fn centre(c: usize, side: usize) -> f32 {
        SCALE / side as f32 * (2.0 * c as f32 + 1.0 - side as f32)
    }

    /// The pixels whose centre may lie between two places: a tenth of slack at each side, the exact test decides.
    fn span(low: f32, high: f32, side: usize) -> std::ops::Range<usize> {
        let at = |x: f32| (x / SCALE + 1.0) * 0.5 * side as f32;
        let low = (at(low) - 0.6).ceil().max(0.0) as usize;
        let high = (at(high) - 0.4).ceil().max(0.0) as usize;
        low..high.min(side)
    }

    /// The face that every pixel shows, `[side, side]`, row 0 on top, [`BACKGROUND`] where there is none.
    ///
    /// `vertices`: `[V]`; `faces`: below V, `[F]`, at most `i32::MAX`.
    pub fn nearest_faces(
        vertices: &[[f32; 3]],
        faces: &[[u32; 3]],
        camera: &Camera,
        side: usize,
        sides: Sides,
    ) -> Vec<i32> {
        let (mut shown, mut depths) = (vec![BACKGROUND; side * side], vec![f32::NEG_INFINITY; side * side]);
        for (face, f) in faces.iter().zip(0..) {
            let Some(face) = seen(face.map(|v| vertices[v as usize]), camera, sides) else { continue };
            let ([left, low], [right, high]) = ([0, 1].map(|a| face.low(a)), [0, 1].map(|a| face.high(a)));
            for up in span(low, high, side) {
                let y = centre(up, side);
                if !(low <= y && y < high) {
                    continue;
                }
                for column in span(left, right, side) {
                    let x = centre(column, side);
                    if !(left <= x && x < right) {
                        continue;
                    }
                    let pixel = (side - 1 - up) * side + column;
                    if let Some(depth) = face.depth([x, y])
                        && depth > depths[pixel]
                    {
                        (depths[pixel], shown[pixel]) = (depth, f);
                    }
                }
            }
        }
        shown
    }
}

/// On a CUDA device: bit for bit what the reference draws.
#[cfg(feature = "cuda")]
pub mod cuda {
    use super::{Camera, Sides};
    use crate::{
        device::gpu::{
            Buffer, Gpu, blocks,
            kernels::{self, TrianglesDims},
        },
        error::{Error, Result},
        ops::expect_len,
    };

    const WARP: usize = 32;

    /// The face that every pixel of every view shows, `[K, side, side]`.
    ///
    /// `vertices`: `[V, 3]`; `faces`: below V, `[F, 3]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a shape does not fit or there are too many faces, views or pixels, [`Error::Memory`] if there is
    /// not enough memory, [`Error::Device`] if the driver refuses.
    pub fn nearest_faces(
        gpu: &Gpu,
        vertices: &Buffer<f32>,
        faces: &Buffer<u32>,
        cameras: &[Camera],
        side: usize,
        sides: Sides,
    ) -> Result<Buffer<i32>> {
        let (f, views, pixels) = (faces.len() / 3, cameras.len(), side.saturating_mul(side));
        expect_len("triangles", "faces [F, 3]", faces.len(), 3 * f)?;
        expect_len("triangles", "vertices [V, 3]", vertices.len(), vertices.len() / 3 * 3)?;
        if f > i32::MAX as usize / WARP || views > 65_535 || pixels > i32::MAX as usize {
            return Err(Error::invalid(format!(
                "triangles: {f} faces, {views} views of side {side}; at most {} faces, 65535 views and {} pixels a view",
                i32::MAX as usize / WARP,
                i32::MAX
            )));
        }
        let cameras = gpu.upload(cameras.as_flattened().as_flattened())?;
        let (mut shown, mut maps) = (gpu.zeros(views * pixels)?, gpu.alloc(views * pixels)?);
        let both = (sides == Sides::Both) as u32;
        let d = TrianglesDims { faces: f as u32, side: side as u32, both };
        let grid = |items| [blocks(items, 256)[0], views as u32, 1];
        kernels::triangles_draw(gpu, grid(f * WARP), vertices, faces, &cameras, &mut shown, d)?;
        kernels::triangles_resolve(gpu, grid(pixels), &shown, &mut maps, d)?;
        Ok(maps)
    }
}

#[cfg(test)]
mod tests {
    use super::{BACKGROUND, Camera, Sides, cpu::nearest_faces};

    /// At z = 2, looking at the origin.
    const CAMERA: Camera = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -2.0]];

    #[test]
    fn the_nearest_face_wins_and_of_equal_ones_the_first() {
        let square = |z: f32| [[-9.0, -9.0, z], [9.0, -9.0, z], [0.0, 9.0, z]];
        let vertices = [square(0.0), square(0.5), square(0.5), square(-1.0)].concat();
        let faces: Vec<[u32; 3]> = (0..4).map(|f| [3 * f, 3 * f + 1, 3 * f + 2]).collect();
        assert!(nearest_faces(&vertices, &faces, &CAMERA, 8, Sides::Front).iter().all(|&f| f == 1));
        assert!(nearest_faces(&vertices, &faces[2..], &CAMERA, 8, Sides::Front).iter().all(|&f| f == 0));
    }

    #[test]
    fn faces_are_where_they_are() {
        // The right upper quarter of the image, seen from the front, and from behind.
        let z = 0.0;
        let edge = 4.0 / 1.732_050_8;
        let vertices = [[0.0, 0.0, z], [edge, 0.0, z], [0.0, edge, z]];
        let shown = nearest_faces(&vertices, &[[0, 1, 2]], &CAMERA, 4, Sides::Front);
        let b = BACKGROUND;
        assert_eq!(shown, [b, b, 0, 0, b, b, 0, 0, b, b, b, b, b, b, b, b]);
        let behind = |sides| nearest_faces(&vertices, &[[0, 2, 1]], &CAMERA, 4, sides);
        assert!(behind(Sides::Front).iter().all(|&f| f == b));
        assert_eq!(behind(Sides::Both), shown);
    }

    #[test]
    fn faces_without_a_place_are_skipped() {
        let vertices =
            [[f32::NAN; 3], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [f32::MAX; 3], [0.0; 3]];
        let faces = [[0, 2, 3], [1, 2, 3], [4, 2, 3], [5, 5, 5], [2, 3, 3]];
        assert!(nearest_faces(&vertices, &faces, &CAMERA, 16, Sides::Both).iter().all(|&f| f == BACKGROUND));
    }
}
