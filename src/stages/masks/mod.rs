//! Masks: which pixels each box claims.

#[cfg(feature = "ort")]
mod concepts;
#[cfg(feature = "ort")]
pub use concepts::find;

use super::boxes::Boxes;
use crate::{
    device::twin::Twin,
    error::{Error, Result},
    io::npy,
    ops::lift::mask,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How to segment. 0 = on a device as many as its memory holds; on a CPU one view, and 32 boxes or
/// one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Views that go through the encoder in one run.
    pub views: usize,
    /// Boxes, or with a concept segmenter names in views, that go through the decoder in one run.
    pub boxes: usize,
}

/// Side of SAM's low-resolution logits.
pub const LOGIT_SIDE: usize = mask::LOGITS;

/// One mask per box, in the order of [`Boxes::list`].
#[derive(Debug, Clone, PartialEq)]
pub enum Masks {
    /// No segmenter: each box claims the pixels strictly inside it (PartSLIP).
    Boxes,
    /// SAM's mask logits, `[B, 256, 256]`, sampled at a pixel without ever making a full mask.
    Logits(Twin<Vec<f32>>),
    /// Full masks, one bit a pixel, row-major, least significant bit first, `[B, ceil(H * W / 8)]`.
    Bits(Twin<Vec<u8>>),
}

/// A value of a mask, as far as it matters for what the values mean; in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pixel {
    Negative,
    Zero,
    /// Up to 0.5.
    Low,
    /// Below 1.
    High,
    One,
    /// Above 1, but for 255.
    Larger,
    /// 255.
    Byte,
    /// Not finite.
    Odd,
}

impl Pixel {
    fn of(value: f64) -> Pixel {
        match value {
            _ if !value.is_finite() => Pixel::Odd,
            0.0 => Pixel::Zero,
            1.0 => Pixel::One,
            255.0 => Pixel::Byte,
            _ if value < 0.0 => Pixel::Negative,
            _ if value <= 0.5 => Pixel::Low,
            _ if value < 1.0 => Pixel::High,
            _ => Pixel::Larger,
        }
    }
}

impl npy::Element for Pixel {
    const DESCR: &'static str = "|u1";

    fn from_number(number: npy::Number) -> Option<Pixel> {
        f64::from_number(number).map(Pixel::of)
    }

    fn write(self, to: &mut impl std::io::Write) -> std::io::Result<()> {
        to.write_all(&[self as u8])
    }
}

impl Masks {
    /// Reads full masks, `[B, side, side]` or `[B, 1, side, side]` of any numeric type in the order of the boxes, from an
    /// `.npz` archive (`mask`) or a `.npy` file. Logits are inside above 0, probabilities above 0.5, else what is not 0.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the shape does not fit, or if the numbers are neither of two values, nor logits
    /// (some are negative), nor probabilities (all are in [0, 1]).
    pub fn read(path: &Path, boxes: usize, side: usize) -> Result<Masks> {
        let fits = |found: &[usize]| match found == [boxes, side, side] || found == [boxes, 1, side, side] {
            true => Ok(()),
            false => Err(format!("masks of shape {found:?}; they must be [{boxes}, {side}, {side}]")),
        };
        let array = npy::read_either::<Pixel>(path, "mask", &fits)?;
        Masks::of_pixels(array.data, side).map_err(|what| Error::format(path, what))
    }

    /// Full masks that are at hand, `[B, side, side]`, by the rules of [`Masks::read`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if the numbers are neither of two values, nor logits, nor probabilities.
    pub fn new<T: Copy + Into<f64>>(values: &[T], side: usize) -> Result<Masks> {
        let pixels = values.iter().map(|&value| Pixel::of(value.into())).collect();
        Masks::of_pixels(pixels, side).map_err(Error::invalid)
    }

    fn of_pixels(pixels: Vec<Pixel>, side: usize) -> Result<Masks, String> {
        let mut there = [false; Pixel::Odd as usize + 1];
        pixels.iter().for_each(|&pixel| there[pixel as usize] = true);
        let has = |pixel: Pixel| there[pixel as usize];
        let (fractions, larger) = (has(Pixel::Low) || has(Pixel::High), has(Pixel::Larger));
        let inside: fn(Pixel) -> bool = if has(Pixel::Odd) {
            let odd = pixels.iter().position(|&pixel| pixel == Pixel::Odd).unwrap_or_default();
            return Err(format!(
                "the mask of box {} has a pixel that is not finite; give finite logits, or what is inside: masks > threshold",
                odd / (side * side)
            ));
        } else if has(Pixel::Negative) {
            |pixel| pixel > Pixel::Zero
        } else if larger && (fractions || has(Pixel::One) || has(Pixel::Byte)) {
            return Err(
                "masks of many values that are neither logits (none is negative) nor probabilities (some are above 1); save \
                 what is inside: masks > threshold"
                    .into(),
            );
        } else if fractions {
            |pixel| pixel >= Pixel::High
        } else {
            |pixel| pixel != Pixel::Zero
        };
        Ok(Masks::pack(&pixels.into_iter().map(inside).collect::<Vec<_>>(), side))
    }

    /// Writes full masks, u8 `[B, side, side]`, as the member `mask` of an `.npz` archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path, boxes: &Boxes, side: usize) -> Result<()> {
        let mut archive = npy::ArchiveWriter::create(path)?;
        boxes.list()?;
        match self {
            Masks::Boxes => {}
            Masks::Logits(logits) => _ = logits.host()?,
            Masks::Bits(bits) => _ = bits.host()?,
        }
        let masks = (0..boxes.len()).flat_map(|b| self.full(boxes, b, side).expect("fetched above"));
        archive.member("mask", &[boxes.len(), side, side], masks)?;
        archive.finish()
    }

    /// Packs full masks, `[B, side, side]`.
    pub fn pack(inside: &[bool], side: usize) -> Masks {
        let byte = |eight: &[bool]| eight.iter().enumerate().map(|(i, &v)| (v as u8) << i).sum::<u8>();
        let bits = inside.chunks((side * side).max(1)).flat_map(|one| one.chunks(8).map(byte));
        Masks::Bits(bits.collect::<Vec<_>>().into())
    }

    /// Checks that there is one mask per box.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length does not fit.
    pub fn check(&self, boxes: usize, side: usize) -> Result<()> {
        let (found, wanted) = match self {
            Masks::Boxes => return Ok(()),
            Masks::Logits(logits) => (logits.len(), boxes * LOGIT_SIDE * LOGIT_SIDE),
            Masks::Bits(bits) => (bits.len(), boxes * mask::bytes(side * side)),
        };
        if found != wanted {
            return Err(Error::invalid(format!(
                "masks: {found} values, not {wanted}, for {boxes} boxes at side {side}"
            )));
        }
        Ok(())
    }

    /// The full mask of box `b`, for pictures and files: one byte a pixel, 1 inside, `[side, side]`.
    ///
    /// # Errors
    /// [`Error::Device`] if the masks lie on a device that failed.
    pub fn full(&self, boxes: &Boxes, b: usize, side: usize) -> Result<Vec<u8>> {
        let bits = match self {
            Masks::Boxes => {
                let [left, top, right, bottom] = boxes.list()?[b].rect();
                let inside = |low: f32, high: f32, i: usize| low < i as f32 + 0.5 && (i as f32 + 0.5) < high;
                let pixel = |i: usize| (inside(left, right, i % side) && inside(top, bottom, i / side)) as u8;
                return Ok((0..side * side).map(pixel).collect());
            }
            Masks::Logits(logits) => {
                let size = LOGIT_SIDE * LOGIT_SIDE;
                &mask::cpu::expand(&logits.host()?[b * size..][..size], &mask::taps(side))?
            }
            Masks::Bits(bits) => &bits.host()?[b * mask::bytes(side * side)..][..mask::bytes(side * side)],
        };
        Ok((0..side * side).map(|pixel| mask::cpu::bit(bits, pixel) as u8).collect())
    }
}

#[cfg(feature = "ort")]
mod predict {
    use super::{Masks, Options};
    #[cfg(feature = "cuda")]
    use crate::{
        device::{Device, twin::Twin},
        models::{device as on_device, segmenter},
    };
    use crate::{
        error::Result,
        models::{Images, Segmenter, segmenter::Prompt},
        stages::{
            boxes::{Box2d, Boxes},
            views::Views,
        },
    };

    impl Masks {
        /// Segments what each box holds (SAM; paper section 4.1). Views without boxes cost nothing. On the device that the
        /// segmenter was loaded for, where the masks stay.
        ///
        /// # Errors
        /// [`Error::Invalid`](crate::Error::Invalid) for boxes of no view, out of order or not finite,
        /// [`Error::Model`](crate::Error::Model) if the segmenter fails, [`Error::Memory`](crate::Error::Memory) if memory
        /// does not suffice for one view and box.
        pub fn predict(
            views: &Views,
            boxes: &Boxes,
            segmenter: &Segmenter,
            options: &Options,
        ) -> Result<Masks> {
            #[cfg(feature = "cuda")]
            if let Device::Cuda(gpu) = segmenter.device() {
                if let Some(list) = boxes.here() {
                    segmenter::check(&prompts(list), views.len())?;
                }
                let pixels = &*views.images.device(gpu)?;
                let images = on_device::Images { pixels, size: [views.side; 2] };
                let boxes = boxes.device(gpu)?;
                let prompts = on_device::Prompts {
                    images: &boxes.views,
                    corners: &boxes.rects,
                    per_image: &boxes.per_view,
                };
                let logits = segmenter.segment_on(gpu, images, prompts, options.views, options.boxes)?;
                return Ok(Masks::Logits(Twin::on_device(gpu, logits)));
            }
            let images = Images { pixels: views.images.host()?, height: views.side, width: views.side };
            let prompts = prompts(boxes.list()?);
            Ok(Masks::Logits(segmenter.segment(images, &prompts, options.views, options.boxes)?.into()))
        }
    }

    fn prompts(boxes: &[Box2d]) -> Vec<Prompt> {
        boxes.iter().map(|b| Prompt { image: b.view as usize, corners: b.rect() }).collect()
    }
}
