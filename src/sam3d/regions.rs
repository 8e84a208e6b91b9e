//! Regions: which mask each pixel of each view shows. The masks have no labels.

#[cfg(feature = "ort")]
use super::masks::{self, Candidate, Record};
use super::{Options, Top};
#[cfg(feature = "ort")]
use crate::models::{Images, Segmenter};
use crate::{
    device::Device,
    error::{Error, Result},
    io::npy,
    ops::{
        detect::candidates::{self, Mask},
        lift::mask::{self, Tap},
        merge::paint,
    },
    stages::{
        boxes::Boxes,
        masks::{LOGIT_SIDE, Masks},
        views::Views,
    },
};
#[cfg(feature = "cuda")]
use crate::{device::gpu::Gpu, ops::lift::membership::cuda::Taps};
use rayon::prelude::*;
use std::path::Path;

/// The number of each pixel's region within its view, -1 = none. Of regions that hold as many of a point's pixels, the larger
/// number counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    /// `[K, side, side]`.
    pub of_pixel: Vec<i32>,
    /// Pixels along each side of a view.
    pub side: usize,
}

impl Regions {
    /// Regions that are at hand, `[K, side, side]` each a number from 0 on, or -1.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length does not fit, or a number is below -1 or not below the pixels of a view.
    pub fn new(of_pixel: Vec<i32>, side: usize) -> Result<Regions> {
        if !of_pixel.len().is_multiple_of((side * side).max(1)) {
            return Err(Error::invalid(format!(
                "regions: {} pixels are not a number of views of {side} x {side}",
                of_pixel.len()
            )));
        }
        let most = i32::try_from(side * side).unwrap_or(i32::MAX);
        match of_pixel.iter().find(|&&number| number < -1 || number >= most) {
            Some(number) => Err(Error::invalid(format!(
                "regions: a pixel has number {number}; a view of {side} x {side} has regions 0 to {}, -1 = none",
                most - 1
            ))),
            None => Ok(Regions { of_pixel, side }),
        }
    }

    /// Reads `[K, side, side]` of any integer type from an `.npz` archive (`regions`) or a `.npy` file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] if the shape is not that of the views or a number is below -1.
    pub fn read(path: &Path, views: &Views) -> Result<Regions> {
        let wanted = [views.len(), views.side, views.side];
        let fits = |found: &[usize]| match found == wanted {
            true => Ok(()),
            false => Err(format!("regions of shape {found:?}; they must be {wanted:?}")),
        };
        let array = npy::read_either::<i32>(path, "regions", &fits)?;
        Regions::new(array.data, views.side).map_err(|e| Error::format(path, e.to_string()))
    }

    /// Writes them as the member `regions` of an `.npz` archive.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let views = self.of_pixel.len() / (self.side * self.side).max(1);
        let mut archive = npy::ArchiveWriter::create(path)?;
        archive.member("regions", &[views, self.side, self.side], self.of_pixel.iter().copied())?;
        archive.finish()
    }

    /// Those of view `k`.
    pub(super) fn of_view(&self, k: usize) -> &[i32] {
        &self.of_pixel[k * self.side * self.side..][..self.side * self.side]
    }

    pub(super) fn check(&self, views: &Views) -> Result<()> {
        crate::ops::expect_len("sam3d", "side of the regions", self.side, views.side)?;
        crate::ops::expect_len(
            "sam3d",
            "regions [K, side, side]",
            self.of_pixel.len(),
            views.len() * views.side * views.side,
        )
    }

    /// The masks of boxes, whatever part they show: what there is without a segmenter that answers points.
    ///
    /// # Errors
    /// [`Error::Invalid`] if boxes have no masks, or are not of these views; [`Error::Device`] if the device fails.
    pub fn of_boxes(
        device: &Device,
        views: &Views,
        boxes: &Boxes,
        masks: &Masks,
        options: &Options,
    ) -> Result<Regions> {
        if *masks == Masks::Boxes {
            return Err(Error::invalid("sam3d: boxes without masks; give masks, or models with a segmenter"));
        }
        masks.check(boxes.len(), views.side)?;
        let (list, painter) = (boxes.list()?, Painter::new(device, views, options)?);
        let of_view = |k: usize| {
            let found: Vec<usize> = (0..list.len()).filter(|&b| list[b].view as usize == k).collect();
            let scores = found.iter().map(|&b| list[b].score);
            let mut masks: Vec<(Mask, f32)> =
                painter.of_boxes(masks, &found)?.into_iter().zip(scores).collect();
            masks.sort_by(|a, b| b.1.total_cmp(&a.1));
            painter.paint(k, masks.into_iter().map(|(mask, _)| mask).collect())
        };
        let of_pixel = (0..views.len()).map(of_view).collect::<Result<Vec<_>>>()?.concat();
        Regions::new(of_pixel, views.side)
    }

    /// All masks that a segmenter finds without being told what to look for.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is out of range or the segmenter answers no points, [`Error::Model`] if it fails,
    /// [`Error::Memory`] if memory does not suffice.
    #[cfg(feature = "ort")]
    pub fn everything(
        device: &Device,
        views: &Views,
        segmenter: &Segmenter,
        options: &Options,
    ) -> Result<Regions> {
        let painter = Painter::new(device, views, options)?;
        let mut of_pixel = vec![];
        for k in 0..views.len() {
            let records = painter.everything(k, segmenter)?;
            of_pixel.extend(painter.paint(k, records.into_iter().map(|record| record.mask).collect())?);
        }
        Regions::new(of_pixel, views.side)
    }
}

/// Makes masks of logits and paints them.
struct Painter<'a> {
    views: &'a Views,
    options: &'a Options,
    measure: Measure,
}

/// Where that is computed, with the taps of the views' side.
enum Measure {
    Cpu(Vec<Tap>),
    #[cfg(feature = "cuda")]
    Cuda(Gpu, Taps),
}

impl<'a> Painter<'a> {
    fn new(device: &Device, views: &'a Views, options: &'a Options) -> Result<Painter<'a>> {
        let measure = match device {
            Device::Cpu => Measure::Cpu(mask::taps(views.side)),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => Measure::Cuda(gpu.clone(), Taps::new(gpu, views.side)?),
        };
        Ok(Painter { views, options, measure })
    }

    /// The masks of some boxes.
    fn of_boxes(&self, masks: &Masks, boxes: &[usize]) -> Result<Vec<Mask>> {
        let (size, side) = (LOGIT_SIDE * LOGIT_SIDE, self.views.side);
        match masks {
            Masks::Boxes => Ok(vec![]),
            Masks::Logits(logits) => {
                let logits = logits.host()?;
                self.measure(&boxes.iter().map(|&b| &logits[b * size..][..size]).collect::<Vec<_>>(), 0.0)
            }
            Masks::Bits(bits) => {
                let (bits, bytes) = (bits.host()?, mask::bytes(side * side));
                let full = |&b: &usize| {
                    let bits = &bits[b * bytes..][..bytes];
                    let inside = (0..side * side).map(|pixel| mask::cpu::bit(bits, pixel));
                    Mask::of(side, &inside.collect::<Vec<_>>())
                };
                Ok(boxes.par_iter().map(full).collect())
            }
        }
    }

    /// The masks of logits, `[256, 256]` each.
    fn measure(&self, logits: &[&[f32]], offset: f32) -> Result<Vec<Mask>> {
        match &self.measure {
            Measure::Cpu(taps) => {
                let measure = |logits: &&[f32]| {
                    let logit = |x: usize, y: usize| mask::cpu::logit(logits, &taps[y], &taps[x]);
                    candidates::cpu::measure([taps.len(); 2], offset, logit)
                };
                Ok(logits.par_iter().map(measure).collect())
            }
            #[cfg(feature = "cuda")]
            Measure::Cuda(gpu, taps) => {
                candidates::cuda::measure(gpu, &gpu.upload(&logits.concat())?, taps, offset)
            }
        }
    }

    /// The regions of view `k`. `masks`: by falling predicted IoU.
    fn paint(&self, k: usize, mut masks: Vec<Mask>) -> Result<Vec<i32>> {
        let pixels = self.views.side * self.views.side;
        if self.options.whole < 1.0 {
            let map = &self.views.pixel_to_point.host()?[k * pixels..][..pixels];
            let shown: Vec<usize> = (0..pixels).filter(|&pixel| map[pixel] >= 0).collect();
            let most = self.options.whole * shown.len() as f64;
            masks.retain(|mask| shown.iter().filter(|&&pixel| mask.holds(pixel)).count() as f64 <= most);
        }
        if self.options.top == Top::Small {
            masks.sort_by_key(|mask| mask.area);
        }
        let bits: Vec<u32> = masks.into_iter().flat_map(|mask| mask.bits).collect();
        match &self.measure {
            Measure::Cpu(_) => paint::cpu::paint(&bits, pixels),
            #[cfg(feature = "cuda")]
            Measure::Cuda(gpu, _) => gpu.download(&paint::cuda::paint(gpu, &gpu.upload(&bits)?, pixels)?),
        }
    }

    /// All masks of view `k`.
    #[cfg(feature = "ort")]
    fn everything(&self, k: usize, segmenter: &Segmenter) -> Result<Vec<Record>> {
        let (options, side) = (&self.options.masks, self.views.side);
        if options.crop_layers > 0 {
            return Err(Error::invalid(format!(
                "option sam3d.masks.crop_layers is {}; views are segmented as a whole: set 0",
                options.crop_layers
            )));
        }
        let one = 3 * side * side;
        let pixels = &self.views.images.host()?[k * one..][..one];
        let image = Images { pixels, height: side, width: side };
        let map = &self.views.pixel_to_point.host()?[k * side * side..][..side * side];
        masks::automatic([side as u32; 2], options, |_, points| {
            let mut found = vec![];
            let asked: Vec<usize> = (0..points.len()).filter(|&p| shows(map, side, points[p])).collect();
            let at: Vec<[f64; 2]> = asked.iter().map(|&p| points[p]).collect();
            segmenter.answer(image, &at, |prompts, logits, iou| {
                let sure: Vec<usize> = (0..iou.len()).filter(|&c| options.is_sure(iou[c])).collect();
                let size = LOGIT_SIDE * LOGIT_SIDE;
                let of_sure: Vec<&[f32]> = sure.iter().map(|&c| &logits[c * size..][..size]).collect();
                let masks = self.measure(&of_sure, options.offset)?;
                found.extend(masks.into_iter().zip(sure).map(|(mask, c)| Candidate {
                    prompt: asked[prompts.start + c / masks::PER_PROMPT],
                    iou: iou[c],
                    mask,
                }));
                Ok(())
            })?;
            Ok(found)
        })
    }
}

/// Pixels around a prompt: what is nearer lies between its splats.
#[cfg(feature = "ort")]
const NEAR: usize = 2;

/// Whether the view shows a point of the cloud where it is asked, or beside it. Of white there is nothing to learn.
#[cfg(feature = "ort")]
fn shows(map: &[i32], side: usize, point: [f64; 2]) -> bool {
    let around = |at: f64| {
        let at = (at as usize).min(side - 1);
        at.saturating_sub(NEAR)..(at + NEAR + 1).min(side)
    };
    around(point[1]).any(|y| around(point[0]).any(|x| map[y * side + x] >= 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::{
        boxes::Box2d,
        views::{Camera, POSES},
    };

    fn views(side: usize) -> Views {
        Views {
            cameras: POSES[..2].iter().copied().map(Camera::new).collect(),
            side,
            pixel_to_point: vec![0; 2 * side * side].into(),
            screen: vec![].into(),
            images: vec![].into(),
        }
    }

    /// Of 9 pixels the surer box holds six, the other the middle row, which lies in both.
    #[test]
    fn the_surest_or_the_smallest_mask_lies_on_top() {
        let (views, whole) = (views(3), 0.6);
        let of_view = |view| [(view, 0.9), (view, 0.8)];
        let list = [of_view(0), of_view(1)].concat();
        let found = |(view, score)| Box2d { view, label: 0, bbox: [0.0; 4], score };
        let boxes = Boxes::from(list.into_iter().map(found).collect::<Vec<_>>());
        let masks = [(0..6), (3..6), (0..6), (3..6)];
        let inside: Vec<bool> =
            masks.iter().flat_map(|mask| (0..9).map(|pixel| mask.contains(&pixel))).collect();
        let masks = Masks::pack(&inside, 3);
        let of =
            |options: Options| Regions::of_boxes(&Device::Cpu, &views, &boxes, &masks, &options).unwrap();
        let sure = of(Options::default());
        assert_eq!(sure.of_view(1), [1, 1, 1, 1, 1, 1, -1, -1, -1]);
        let small = of(Options { top: Top::Small, ..Options::default() });
        assert_eq!(small.of_view(0), [0, 0, 0, 1, 1, 1, -1, -1, -1]);
        let parts = of(Options { whole, ..Options::default() });
        assert_eq!(parts.of_view(0), [-1, -1, -1, 0, 0, 0, -1, -1, -1]);
        let error = Regions::of_boxes(&Device::Cpu, &views, &boxes, &Masks::Boxes, &Options::default());
        assert!(error.unwrap_err().to_string().contains("without masks"));
    }

    #[test]
    fn regions_of_other_views_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("regions.npz");
        let regions = Regions::new((0..18).map(|i| i % 4 - 1).collect(), 3).unwrap();
        regions.write(&path).unwrap();
        assert_eq!(Regions::read(&path, &views(3)).unwrap(), regions);
        let error = Regions::read(&path, &views(4)).unwrap_err().to_string();
        assert!(error.contains("[2, 3, 3]") && error.contains("[2, 4, 4]"), "{error}");
        assert!(Regions::new(vec![0; 5], 2).is_err() && Regions::new(vec![-2], 1).is_err());
        assert!(Regions::new(vec![0], 1).is_ok() && Regions::new(vec![1], 1).is_err());
        // As many pixels, of other views.
        let error = Regions::new(vec![0; 2 * 16], 2).unwrap().check(&views(4)).unwrap_err().to_string();
        assert!(error.contains("side of the regions"), "{error}");
    }
}
