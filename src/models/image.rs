//! Images as a model's input.

use super::{
    manifest::{Image, Resize},
    onnx::{contract::Element, tensor::Owned},
};
use crate::{
    error::{Error, Result},
    ops::detect::model_input::{self, Plan},
};
use std::ops::Range;

/// Images of one size, RGB.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// `[N, height, width, 3]`.
    pub pixels: &'a [u8],
    /// Pixels down.
    pub height: usize,
    /// Pixels across.
    pub width: usize,
}

impl<'a> Images<'a> {
    /// Number of images, N.
    pub fn len(&self) -> usize {
        self.pixels.len() / (self.height * self.width * 3).max(1)
    }

    /// Height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn check(&self) -> Result<()> {
        let Images { pixels, height, width } = self;
        if *height == 0 || *width == 0 || pixels.len() != self.len() * height * width * 3 {
            let bytes = pixels.len();
            return Err(Error::invalid(format!(
                "{bytes} bytes are not images of {height} x {width} RGB pixels"
            )));
        }
        Ok(())
    }

    /// Some of them.
    pub(super) fn slice(&self, images: Range<usize>) -> Images<'a> {
        let one = self.height * self.width * 3;
        Images { pixels: &self.pixels[images.start * one..images.end * one], ..*self }
    }

    /// The image of index `n` alone.
    pub(super) fn get(&self, n: usize) -> &'a [u8] {
        let len = self.height * self.width * 3;
        &self.pixels[n * len..][..len]
    }
}

/// Height and width of images within the model's input, from those they have.
///
/// # Errors
/// [`Error::Invalid`] if they do not fit.
pub(super) fn size_within([height, width]: [usize; 2], rule: &Image) -> Result<[usize; 2]> {
    let [rows, columns] = rule.size;
    let (from, to) = match rule.resize {
        Resize::Squash => return Ok(rule.size),
        Resize::Shorter => (height.min(width), rows.min(columns)),
        Resize::Longer => (height.max(width), rows.max(columns)),
    };
    // As SAM's ResizeLongestSide rounds.
    let scaled = |pixels: usize| (((pixels * to) as f64 / from as f64 + 0.5) as usize).max(1);
    let size = [scaled(height), scaled(width)];
    if size[0] > rows || size[1] > columns {
        return Err(Error::invalid(format!(
            "images of {height} x {width} pixels become {} x {}, which does not fit into the model's {rows} x {columns}; \
             render square views",
            size[0], size[1]
        )));
    }
    Ok(size)
}

/// Resizes, normalises and pads: `[N, 3, rule.size]`, in the elements that a model takes.
pub(super) fn prepare(images: Images, rule: &Image, element: Element) -> Result<Owned> {
    images.check()?;
    let prepared = model_input::cpu::prepare(images.pixels, &plan(images.size(), rule)?)?;
    Ok(Owned::floats(prepared, element))
}

/// From images of one size to a model's input.
pub(super) fn plan(from: [usize; 2], rule: &Image) -> Result<Plan> {
    Ok(Plan { from, to: size_within(from, rule)?, padded: rule.size, rule: rule.normalization() })
}
