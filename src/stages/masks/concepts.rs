//! Boxes and masks at once, by a concept segmenter.

use super::{Masks, Options};
#[cfg(feature = "cuda")]
use crate::{
    device::{Device, twin::Twin},
    models::device as on_device,
};
use crate::{
    error::Result,
    models::{Concepts, Images},
    stages::{
        boxes::{self, Asked, Boxes},
        views::Views,
    },
};

/// Finds the parts in the views, with their masks (SAM 3): views ascending, scores descending within each. On the device that
/// the models were loaded for, where boxes and masks stay.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for names that the models cannot be asked for,
/// [`Error::Model`](crate::Error::Model) if a model fails, [`Error::Memory`](crate::Error::Memory) if memory does not suffice
/// for one view and name.
pub fn find(
    views: &Views,
    parts: &[impl AsRef<str>],
    concepts: &Concepts,
    boxes: &boxes::Options,
    masks: &Options,
) -> Result<(Boxes, Masks)> {
    let prompt = concepts.prompt(&boxes.template.fill(parts)?)?;
    let asked = Asked { options: boxes, doubts: &prompt.doubts, feature_dim: concepts.feature_dim() };
    #[cfg(feature = "cuda")]
    if let Device::Cuda(gpu) = concepts.device() {
        let pixels = &*views.images.device(gpu)?;
        let images = on_device::Images { pixels, size: [views.side; 2] };
        let found = concepts.find_on(gpu, images, &prompt, asked.thresholds(), masks.views, masks.boxes)?;
        let masks = Masks::Bits(Twin::on_device(gpu, found.masks));
        return Ok((asked.found_on(gpu, found.boxes), masks));
    }
    let images = Images { pixels: views.images.host()?, height: views.side, width: views.side };
    let found = concepts.find(images, &prompt, asked.thresholds(), masks.views, masks.boxes)?;
    let features = found.iter().flat_map(|found| &found.features).copied().collect();
    let bits: Vec<u8> = found.iter().flat_map(|found| &found.masks).copied().collect();
    let boxes = asked.found(found.iter().map(|found| (&found.boxes[..], &found.weak[..])), features);
    Ok((boxes, Masks::Bits(bits.into())))
}
