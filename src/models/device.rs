//! The models on a CUDA device: from images there to boxes and masks there.

use super::{
    batch::Batch,
    detector::{Detector, Prompt, check_thresholds},
    image,
    manifest::Image,
    onnx::{
        contract::Element,
        model::Model,
        tensor::cuda::{Owned, Values},
    },
    segmenter::Segmenter,
};
use crate::{
    device::gpu::{Buffer, Gpu, View},
    error::{Error, Result},
    ops::{
        detect::{
            boxes,
            detection::{
                Thresholds,
                cuda::{self, Boxes, Which, Workspace},
            },
            model_input::cuda::Prepare,
        },
        lift::mask::LOGITS,
    },
};
use std::{iter::repeat_n, ops::Range};

/// Images of one size, RGB.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// `[N, height, width, 3]`.
    pub pixels: &'a Buffer<u8>,
    /// Height and width.
    pub size: [usize; 2],
}

/// What was found: images ascending, strongest first in each.
#[derive(Debug)]
pub struct Found {
    /// How many boxes each image has, `[N]`; the host's.
    pub per_view: Vec<u32>,
    /// The boxes, in pixels of the image as it was given.
    pub boxes: Boxes,
    /// How many weak ones each image has, `[N]`; the host's.
    pub weak_per_view: Vec<u32>,
    /// The boxes that were too weak to be found, without features.
    pub weak: Boxes,
}

/// Boxes of images, images ascending.
#[derive(Debug, Clone, Copy)]
pub struct Prompts<'a> {
    /// The image of every box, `[B]`.
    pub images: &'a Buffer<u32>,
    /// x1, y1, x2, y2 in the image's pixels, `[B, 4]`.
    pub corners: &'a Buffer<f32>,
    /// How many boxes each image has, up to the last that has any; the host's.
    pub per_image: &'a [u32],
}

impl Images<'_> {
    fn bytes(&self) -> usize {
        self.size[0] * self.size[1] * 3
    }

    /// Number of images, N.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the pixels are not so many images.
    pub fn count(&self) -> Result<usize> {
        let (bytes, one) = (self.pixels.len(), self.bytes());
        if one == 0 || !bytes.is_multiple_of(one) {
            let [height, width] = self.size;
            return Err(Error::invalid(format!(
                "{bytes} bytes are not images of {height} x {width} RGB pixels"
            )));
        }
        Ok(bytes / one)
    }

    pub(super) fn slice(&self, images: Range<usize>) -> View<'_, u8> {
        self.pixels.slice(images.start * self.bytes()..images.end * self.bytes())
    }
}

/// Resizes, normalises and pads images, in the elements that a model takes.
pub(super) struct Preparer {
    prepare: Prepare,
    element: Element,
}

impl Preparer {
    pub(super) fn new(gpu: &Gpu, images: &Images, rule: &Image, model: &Model) -> Result<Preparer> {
        let prepare = Prepare::new(gpu, image::plan(images.size, rule)?)?;
        Ok(Preparer { prepare, element: model.element(0) })
    }

    /// `[n, 3, rule.size]`.
    pub(super) fn run(&self, gpu: &Gpu, images: &View<u8>) -> Result<Owned> {
        Ok(match self.element {
            Element::F16 => Owned::F16(self.prepare.f16(gpu, images)?),
            Element::U8 => Owned::U8(self.prepare.u8(gpu, images)?),
            _ => Owned::F32(self.prepare.f32(gpu, images)?),
        })
    }
}

/// Hands `items` to `run`, as many at a time as suit the place where the model computes.
pub(super) fn in_runs(
    gpu: &Gpu,
    model: &Model,
    batch: &Batch,
    items: Range<usize>,
    asked: usize,
    run: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<()> {
    if !model.is_on(gpu) {
        return batch.on_cpu(items, asked, run);
    }
    let free = || {
        gpu.trim()?;
        gpu.free_memory()
    };
    batch.on_device(items, asked, free, run)
}

impl Detector {
    /// As [`Detector::detect`], for images on a device. The host learns how many boxes each image has.
    ///
    /// # Errors
    /// As [`Detector::detect`]; [`Error::Device`] if the driver refuses.
    pub fn detect_on(
        &self,
        gpu: &Gpu,
        images: Images,
        prompt: &Prompt,
        thresholds: Thresholds,
        batch: usize,
    ) -> Result<Found> {
        check_thresholds(thresholds)?;
        let l = prompt.tokens.ids.len();
        let [height, width] = self.rules.image.size;
        let size = image::size_within(images.size, &self.rules.image)?;
        let scale = [1, 0].map(|axis| images.size[axis] as f32 / size[axis] as f32);
        let (family, search) = (self.rules.head.family(), self.search(prompt, size, thresholds));
        let preparer = Preparer::new(gpu, &images, &self.rules.image, &self.model)?;
        let text = (&*prompt.hidden.device(gpu)?, &*prompt.mask.device(gpu)?);
        let mut workspace: Option<Workspace> = None;
        let (mut found, mut weak) = ((vec![], vec![]), (vec![], vec![]));
        let run = |some: Range<usize>| {
            let (n, view) = (some.len(), some.start);
            let input = preparer.run(gpu, &images.slice(some))?;
            let (hidden, mask) = (gpu.concat(repeat_n(text.0, n))?, gpu.concat(repeat_n(text.1, n))?);
            let lens = self.output_lens(n, l);
            let mut outputs = lens.iter().map(|&len| gpu.alloc(len)).collect::<Result<Vec<_>>>()?;
            let mut nans = gpu.zeros(outputs.len())?;
            self.model.run_on(
                gpu,
                &[
                    (&[n, 3, height, width], input.values()),
                    (&[n, l, prompt.hidden.len() / l], Values::F32(&hidden)),
                    (&[n, l], Values::I64(&mask)),
                ],
                &mut outputs.iter_mut().map(|output| output.as_view_mut()).collect::<Vec<_>>(),
                &mut nans,
            )?;
            let (features, own) = outputs.split_last().expect("the features are an output");
            let workspace = match &mut workspace {
                Some(large) if large.most() >= n => large,
                small => small.insert(family.workspace(gpu, n, &search)?),
            };
            let counts = family.detect_on(gpu, own, n, &search, workspace)?;
            self.model.check_nans(&gpu.download(&nans)?)?;
            let gather = |which| cuda::gather(gpu, workspace, &counts, which, features, scale, view);
            found.1.push(gather(Which::Found)?);
            weak.1.push(gather(Which::Weak)?);
            found.0.extend(counts.found);
            weak.0.extend(counts.weak);
            Ok(())
        };
        in_runs(gpu, &self.model, &self.batch, 0..images.count()?, batch, run)?;
        Ok(Found {
            per_view: found.0,
            boxes: Boxes::concat(gpu, found.1)?,
            weak_per_view: weak.0,
            weak: Boxes::concat(gpu, weak.1)?,
        })
    }
}

impl Segmenter {
    /// As [`Segmenter::segment`], from images to logits on a device. The host learns nothing but that no logit is NaN.
    ///
    /// `boxes` are taken to be in order and finite.
    ///
    /// # Errors
    /// As [`Segmenter::segment`]; [`Error::Device`] if the driver refuses.
    pub fn segment_on(
        &self,
        gpu: &Gpu,
        images: Images,
        boxes: Prompts,
        images_at_once: usize,
        boxes_at_once: usize,
    ) -> Result<Buffer<f32>> {
        const MASK: usize = LOGITS * LOGITS;
        let count = images.count()?;
        if boxes.per_image.len() > count {
            return Err(Error::invalid(format!(
                "boxes lie in image {}; there are {count} images",
                boxes.per_image.len() - 1
            )));
        }
        let ([height, width], [channels, side]) = (self.rules.image.size, self.rules.embedding);
        let preparer = Preparer::new(gpu, &images, &self.rules.image, &self.encoder)?;
        let scale = self.scale(images.size)?;
        let mut logits = gpu.alloc(boxes.images.len() * MASK)?;
        let (mut encoder_nans, mut decoder_nans) = (gpu.zeros(1)?, gpu.zeros(2)?);
        let with_boxes: Vec<usize> = (0..boxes.per_image.len()).filter(|&i| boxes.per_image[i] > 0).collect();
        let (n, embedding) = (with_boxes.len(), channels * side * side);
        let mut embeddings = gpu.alloc(n * embedding)?;
        let encode = |group: Range<usize>| {
            let one = images.bytes();
            let mut pixels = gpu.alloc(group.len() * one)?;
            for (i, &image) in with_boxes[group.clone()].iter().enumerate() {
                gpu.copy(&images.slice(image..image + 1), &mut pixels.slice_mut(i * one..(i + 1) * one))?;
            }
            let input = preparer.run(gpu, &pixels.as_view())?;
            let inputs = [(&[group.len(), 3, height, width][..], input.values())];
            let made = embeddings.slice_mut(group.start * embedding..group.end * embedding);
            self.encoder.run_on(gpu, &inputs, &mut [made], &mut encoder_nans)
        };
        in_runs(gpu, &self.encoder, &self.images, 0..n, images_at_once, encode)?;
        let mut rows = vec![0; count];
        (0..).zip(&with_boxes).for_each(|(row, &image)| rows[image] = row);
        let rows = gpu.upload(&rows)?;
        let decode = |some: Range<usize>| {
            let b = some.len();
            let (corners, rows) = boxes::cuda::prompts(
                gpu,
                &boxes.corners.slice(4 * some.start..4 * some.end),
                &boxes.images.slice(some.clone()),
                &rows,
                scale,
            )?;
            let mut quality = gpu.alloc(b)?;
            let inputs = [
                (&[n, channels, side, side][..], Values::F32(&embeddings)),
                (&[b, 4][..], Values::F32(&corners)),
                (&[b][..], Values::I64(&rows)),
            ];
            let masks = logits.slice_mut(some.start * MASK..some.end * MASK);
            self.decoder.run_on(gpu, &inputs, &mut [masks, quality.as_view_mut()], &mut decoder_nans)
        };
        let all = 0..boxes.images.len();
        in_runs(gpu, &self.decoder, &self.boxes, all, boxes_at_once, decode)?;
        let [of_encoder, of_decoder] = gpu.download_all([&encoder_nans, &decoder_nans])?;
        self.encoder.check_nans(&of_encoder)?;
        self.decoder.check_nans(&of_decoder)?;
        Ok(logits)
    }
}
