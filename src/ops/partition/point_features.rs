//! What makes two points alike: their normals and their colours.
//!
//! f = [n, w rgb], or, where the normal's sign must not count, [xx, yy, zz, r xy, r xz, r yz, w rgb] with n = (x, y, z)
//! and r = sqrt(2): the squared distances of the first six are those of the matrices n n^T.

/// CPU reference.
pub mod cpu {
    use crate::{error::Result, ops::expect_len};

    /// `normals`, `colors`: `[N, 3]`; `color_weight`: w.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if the lengths do not fit together.
    pub fn signed(normals: &[[f32; 3]], colors: &[[f32; 3]], color_weight: f32) -> Result<Vec<[f32; 6]>> {
        join(normals.iter().copied(), colors, color_weight)
    }

    /// The same without the sign of the normals.
    ///
    /// # Errors
    /// As [`signed`].
    pub fn sign_free(normals: &[[f32; 3]], colors: &[[f32; 3]], color_weight: f32) -> Result<Vec<[f32; 9]>> {
        join(normals.iter().map(outer_product), colors, color_weight)
    }

    /// Side by side: D = S + 3.
    fn join<const S: usize, const D: usize>(
        shapes: impl ExactSizeIterator<Item = [f32; S]>,
        colors: &[[f32; 3]],
        color_weight: f32,
    ) -> Result<Vec<[f32; D]>> {
        expect_len("point_features", "colors [N, 3]", colors.len(), shapes.len())?;
        let row = |(shape, rgb): ([f32; S], &[f32; 3])| {
            std::array::from_fn(|i| if i < S { shape[i] } else { color_weight * rgb[i - S] })
        };
        Ok(shapes.zip(colors).map(row).collect())
    }

    /// n n^T as six numbers.
    pub(super) fn outer_product(n: &[f32; 3]) -> [f32; 6] {
        let [x, y, z] = *n;
        let r = std::f32::consts::SQRT_2;
        [x * x, y * y, z * z, r * x * y, r * x * z, r * y * z]
    }
}

/// On a CUDA device: bit for bit the reference's features.
#[cfg(feature = "cuda")]
pub mod cuda {
    use crate::{
        device::gpu::{
            Gpu, blocks,
            kernels::{self, PointFeaturesDims},
        },
        error::{Error, Result},
    };
    use cudarc::driver::{DevicePtr, DevicePtrMut};

    const BLOCK: u32 = 256;

    /// The first `n` points' features; returns D: 9 without the sign, 6 with it.
    ///
    /// `normals`, `colors`: `[n, 3]`; `features`: `[n, D]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a buffer is too small, [`Error::Device`] if the driver refuses.
    pub fn point_features(
        gpu: &Gpu,
        normals: &impl DevicePtr<f32>,
        colors: &impl DevicePtr<f32>,
        n: usize,
        color_weight: f32,
        sign_free: bool,
        features: &mut impl DevicePtrMut<f32>,
    ) -> Result<usize> {
        let dimensions = if sign_free { 9 } else { 6 };
        if normals.len() < 3 * n || colors.len() < 3 * n || features.len() < dimensions * n {
            return Err(Error::invalid(format!(
                "point_features: normals and colors must be [{n}, 3] and features [{n}, {dimensions}], not {}, {} and {} \
                 values",
                normals.len(),
                colors.len(),
                features.len()
            )));
        }
        let d = PointFeaturesDims { points: n as u32, sign_free: sign_free as u32, color_weight };
        kernels::point_features(gpu, blocks(n * dimensions, BLOCK), normals, colors, features, d)?;
        Ok(dimensions)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::{outer_product, sign_free, signed};

    #[test]
    fn outer_products_have_no_sign() {
        let n = [0.6, -0.48, 0.64];
        assert_eq!(outer_product(&n), outer_product(&n.map(|x| -x)));
        // |n n^T - m m^T|^2 = 2 - 2 (n . m)^2
        let m = [0.0, 0.6, 0.8];
        let (a, b) = (outer_product(&n), outer_product(&m));
        let squared: f32 = (0..6).map(|i| (a[i] - b[i]).powi(2)).sum();
        let cosine: f32 = (0..3).map(|i| n[i] * m[i]).sum();
        assert!((squared - (2.0 - 2.0 * cosine * cosine)).abs() < 1e-5);
    }

    #[test]
    fn colors_come_last() {
        let (normals, colors) = ([[0.0, 0.0, 1.0]], [[1.0, 0.5, 0.0]]);
        assert_eq!(signed(&normals, &colors, 0.5).unwrap(), [[0.0, 0.0, 1.0, 0.5, 0.25, 0.0]]);
        assert_eq!(
            sign_free(&normals, &colors, 2.0).unwrap(),
            [[0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 1.0, 0.0]]
        );
    }
}
