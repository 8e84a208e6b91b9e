//! All masks of an image, from a segmenter that answers points (SAM's automatic masks).

use crate::{
    error::{Error, Result, in_range},
    ops::{
        detect::{
            automatic::{self, Crop},
            candidates::Mask,
        },
        merge::paint::words,
    },
};
use serde::{Deserialize, Serialize};

/// Masks that a prompt is answered with.
pub const PER_PROMPT: usize = 3;

/// Where to ask, and which answers stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Prompts along each side of the image.
    pub points_per_side: usize,
    /// Masks stay whose predicted IoU is above this; 0 = all.
    pub min_iou: f32,
    /// Masks stay whose stability is at least this; 0 = all.
    pub min_stability: f32,
    /// Of the logits whose signs stability compares.
    pub offset: f32,
    /// Of two masks whose boxes have a larger IoU the surer one stays.
    pub nms: f32,
    /// Layers of crops; 0 = the whole image alone.
    pub crop_layers: u32,
    /// How much crops of the first layer overlap, in parts of half the image's shorter side.
    pub crop_overlap: f64,
    /// What the prompts along a crop's side are divided by, layer by layer.
    pub crop_divisor: usize,
    /// As `nms`, between crops, of which the smaller one's mask stays.
    pub crop_nms: f32,
    /// Holes and islands of fewer pixels go; 0 = none.
    pub min_area: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            points_per_side: 32,
            min_iou: 0.88,
            min_stability: 0.95,
            offset: 1.0,
            nms: 0.7,
            crop_layers: 0,
            crop_overlap: 512.0 / 1500.0,
            crop_divisor: 1,
            crop_nms: 0.7,
            min_area: 0,
        }
    }
}

/// One of the answers to a prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The prompt.
    pub prompt: usize,
    /// What the segmenter believes its IoU to be.
    pub iou: f32,
    /// Over the crop.
    pub mask: Mask,
}

/// A mask of the image.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The mask; its stability is that of the candidate, also if it was cleaned.
    pub mask: Mask,
    /// What the segmenter believes its IoU to be.
    pub iou: f32,
    /// Share of the pixels that a lower threshold gives and a higher one too.
    pub stability: f32,
    /// The prompt, in pixels.
    pub point: [f64; 2],
    /// The crop it was found in.
    pub crop: Crop,
    /// Whether holes or islands were looked after.
    pub cleaned: bool,
}

impl Options {
    /// Whether a predicted IoU is good enough, which no pixel need be looked at for.
    pub fn is_sure(&self, iou: f32) -> bool {
        self.min_iou <= 0.0 || iou > self.min_iou
    }

    fn is_stable(&self, mask: &Mask) -> bool {
        self.min_stability <= 0.0 || mask.stability() >= self.min_stability
    }

    pub(super) fn check(&self) -> Result<()> {
        let Options { points_per_side: side, crop_layers: layers, crop_divisor: divisor, .. } = *self;
        in_range((1..=1024).contains(&side), "sam3d.masks.points_per_side", side, "from 1 to 1024")?;
        in_range(layers <= 5, "sam3d.masks.crop_layers", layers, "at most 5")?;
        in_range(divisor > 0, "sam3d.masks.crop_divisor", divisor, "at least 1")
    }
}

/// All masks of an image, by falling predicted IoU; with crops those of small crops first; cleaned ones last.
///
/// `ask`: the answers to the points, in a crop's pixels, that are [sure](Options::is_sure), prompt by prompt.
///
/// # Errors
/// [`Error::Invalid`] if an option is out of range or an answer is not of the crop; those of `ask`.
pub fn automatic(
    size: [u32; 2],
    options: &Options,
    mut ask: impl FnMut(Crop, &[[f64; 2]]) -> Result<Vec<Candidate>>,
) -> Result<Vec<Record>> {
    options.check()?;
    let crops = automatic::crops(size, options.crop_layers, options.crop_overlap);
    let mut records = vec![];
    for &(crop, layer) in &crops {
        let [width, height] = [crop[2] - crop[0], crop[3] - crop[1]];
        let points = automatic::grid(options.points_per_side / options.crop_divisor.pow(layer), crop);
        let mut found = ask(crop, &points)?;
        let pixels = (width * height) as usize;
        if let Some(Candidate { prompt, mask, .. }) =
            found.iter().find(|found| found.mask.bits.len() != words(pixels) || found.prompt >= points.len())
        {
            let (count, bits) = (points.len(), mask.bits.len());
            return Err(Error::invalid(format!(
                "automatic masks: an answer to prompt {prompt} of {count} with {bits} words for {pixels} pixels"
            )));
        }
        found.retain(|found| options.is_stable(&found.mask));
        found.retain(|found| !automatic::is_cut(found.mask.corners, crop, size));
        for kept in suppress(&found, |found| (found.mask.corners, found.iou), options.nms) {
            let Candidate { prompt, iou, mask } = &found[kept];
            let [x, y] = points[*prompt];
            records.push(Record {
                stability: mask.stability(),
                mask: placed(mask, crop, size),
                iou: *iou,
                point: [x + f64::from(crop[0]), y + f64::from(crop[1])],
                crop,
                cleaned: false,
            });
        }
    }
    if crops.len() > 1 {
        let smallness = |[left, top, right, bottom]: Crop| 1.0 / ((right - left) * (bottom - top)) as f32;
        let of = |record: &Record| (record.mask.corners, smallness(record.crop));
        records = ordered(&records, suppress(&records, of, options.crop_nms));
    }
    if options.min_area > 0 {
        let [width, height] = size.map(|x| x as usize);
        for record in &mut records {
            if let Some(mask) = automatic::clean(&record.mask, width, height, options.min_area) {
                *record = Record { mask, cleaned: true, ..record.clone() };
            }
        }
        let of = |record: &Record| (record.mask.corners, f32::from(u8::from(!record.cleaned)));
        records = ordered(&records, suppress(&records, of, options.nms.max(options.crop_nms)));
    }
    Ok(records)
}

fn suppress<T>(all: &[T], of: impl Fn(&T) -> ([u32; 4], f32), limit: f32) -> Vec<usize> {
    let (corners, scores): (Vec<_>, Vec<_>) = all.iter().map(of).unzip();
    automatic::suppress(&corners, &scores, limit)
}

fn ordered(records: &[Record], order: Vec<usize>) -> Vec<Record> {
    order.into_iter().map(|i| records[i].clone()).collect()
}

/// A mask of a crop as one of the image.
fn placed(mask: &Mask, crop: Crop, [width, height]: [u32; 2]) -> Mask {
    let [left, top, right, _] = crop.map(|x| x as usize);
    if (right - left, mask.bits.len()) == (width as usize, words((width * height) as usize)) {
        return mask.clone();
    }
    let mut bits = vec![0; words((width * height) as usize)];
    for pixel in (0..(right - left) * (crop[3] - crop[1]) as usize).filter(|&pixel| mask.holds(pixel)) {
        let at = (pixel / (right - left) + top) * width as usize + pixel % (right - left) + left;
        bits[at / 32] |= 1 << (at % 32);
    }
    let corners = std::array::from_fn(|side| mask.corners[side] + crop[side % 2]);
    Mask { bits, corners, ..*mask }
}
