//! Bilinear resize of 8-bit images with Pillow's integers, bit for bit: GLIP and SAM were trained behind it.
//!
//! Separable, horizontal first, 8 bits between the passes. With scale = n_in / n_out, support = max(scale, 1) and
//! centre c = (i + 0.5) scale, output i mixes the inputs x in [trunc(c - support + 0.5), trunc(c + support + 0.5)) by
//! the triangle weights k = max(1 - |x - c + 0.5| / support, 0), normalised and rounded to K = trunc(0.5 + 2^22 k);
//! out = clamp((2^21 + sum K x) >> 22, 0, 255).

const BITS: u32 = 22;

/// The inputs that make one output along an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// The first of them.
    pub first: usize,
    /// Their integer weights K, at least one.
    pub weights: Vec<i32>,
}

/// The taps of every output along an axis of `n_in` inputs, `[n_out]`.
pub fn taps(n_in: usize, n_out: usize) -> Vec<Tap> {
    let scale = n_in as f64 / n_out as f64;
    let support = scale.max(1.0);
    let tap = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        // Casts to usize saturate at 0, as Pillow's clamp does.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(n_in);
        let triangle = |x: usize| (1.0 - ((x as f64 - center + 0.5) / support).abs()).max(0.0);
        let sum: f64 = (first..end).map(triangle).sum();
        let integer = |k: f64| (0.5 + k / sum * f64::from(1 << BITS)) as i32;
        Tap { first, weights: (first..end).map(|x| integer(triangle(x))).collect() }
    };
    (0..n_out).map(tap).collect()
}

/// CPU reference.
pub mod cpu {
    use super::{BITS, Tap, taps};
    use crate::{
        error::{Error, Result},
        ops::expect_len,
    };

    /// Resizes an image of C interleaved channels.
    ///
    /// `image`: `[height, width, C]`, `from` and `to`: height and width, all above 0. Returns `[to.0, to.1, C]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the image is not so large, or a size is 0.
    pub fn bilinear<const C: usize>(image: &[u8], from: [usize; 2], to: [usize; 2]) -> Result<Vec<u8>> {
        expect_len("resize", "image [height, width, C]", image.len(), from[0] * from[1] * C)?;
        if from.contains(&0) || to.contains(&0) {
            return Err(Error::invalid(format!("resize: {from:?} to {to:?}; sizes must be above 0")));
        }
        let (pixels, _) = image.as_chunks::<C>();
        let wide = horizontal(pixels, from[1], to[1]);
        Ok(vertical(&wide, from[0], to).into_flattened())
    }

    fn horizontal<const C: usize>(image: &[[u8; C]], width: usize, to: usize) -> Vec<[u8; C]> {
        if width == to {
            return image.to_vec();
        }
        let taps = taps(width, to);
        let mix = |row: &[[u8; C]], tap: &Tap| weigh(tap, |x| row[x]);
        image.chunks_exact(width).flat_map(|row| taps.iter().map(move |tap| mix(row, tap))).collect()
    }

    fn vertical<const C: usize>(image: &[[u8; C]], height: usize, to: [usize; 2]) -> Vec<[u8; C]> {
        if height == to[0] {
            return image.to_vec();
        }
        let width = to[1];
        let mix = |tap: &Tap, column| weigh(tap, |y| image[y * width + column]);
        taps(height, to[0]).iter().flat_map(|tap| (0..width).map(move |column| mix(tap, column))).collect()
    }

    fn weigh<const C: usize>(tap: &Tap, pixel: impl Fn(usize) -> [u8; C]) -> [u8; C] {
        let mut sums = [1i32 << (BITS - 1); C];
        for (i, &weight) in tap.weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(pixel(tap.first + i)) {
                *sum += weight * value as i32;
            }
        }
        sums.map(|sum| (sum >> BITS).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::cpu::bilinear;
    use crate::io::npy;
    use std::path::Path;

    #[test]
    fn pillow() {
        let file = Path::new("tests/fixtures/models/resize.npz");
        for i in 0..5 {
            let from = npy::read_member::<u8>(file, &format!("from{i}")).unwrap();
            let to = npy::read_member::<u8>(file, &format!("to{i}")).unwrap();
            let size = |shape: &[usize]| [shape[0], shape[1]];
            assert_eq!(
                bilinear::<3>(&from.data, size(&from.shape), size(&to.shape)).unwrap(),
                to.data,
                "case {i}"
            );
        }
    }

    #[test]
    fn same_size_is_the_identity() {
        let image: Vec<u8> = (0..60).collect();
        assert_eq!(bilinear::<3>(&image, [4, 5], [4, 5]).unwrap(), image);
    }
}
