//! The box-prompted segmenter (SAM): images and boxes to low-resolution mask logits.

use super::{
    Folder, Options,
    image::{self, Images},
    manifest,
    onnx::{
        Contract,
        Dim::{Fixed, Free},
        Model, Port, Values,
    },
    runtime::Runtime,
};
use crate::{
    device::Device,
    error::{Error, Result},
    ops::mask::LOGITS,
};
#[cfg(feature = "cuda")]
use {
    super::{image::ImagesOnDevice, onnx::OnDevice},
    crate::gpu::{Buffer, Gpu},
};

/// An image encoder and a box decoder, ready to run.
#[derive(Debug)]
pub struct Segmenter {
    rules: manifest::Segmenter,
    encoder: Model,
    decoder: Model,
    device: Device,
}

/// A box of one of the images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prompt {
    /// The image it lies in.
    pub image: usize,
    /// x1, y1, x2, y2 in the image's pixels.
    pub corners: [f32; 4],
}

/// What the encoder and the decoder take and give.
pub(super) fn contracts(rules: &manifest::Segmenter) -> [Contract; 2] {
    let [height, width] = rules.image.size.map(Fixed);
    let [channels, side] = rules.embedding.map(Fixed);
    let (n, b, one, logits) = (Free("N"), Free("B"), Fixed(1), Fixed(LOGITS));
    let embeddings = Port::f32("image_embeddings", &[n, channels, side, side]);
    [
        Contract {
            inputs: vec![Port::f32("image", &[n, Fixed(3), height, width])],
            outputs: vec![embeddings.clone()],
        },
        Contract {
            inputs: vec![embeddings, Port::f32("boxes", &[b, Fixed(4)]), Port::i64("image_index", &[b])],
            outputs: vec![
                Port::f32("low_res_logits", &[b, one, logits, logits]),
                Port::f32("iou", &[b, one]),
            ],
        },
    ]
}

impl Segmenter {
    pub(super) fn new(
        runtime: &Runtime,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Segmenter,
        options: &Options,
    ) -> Result<Segmenter> {
        let [encoder, decoder] = contracts(rules);
        Ok(Segmenter {
            rules: rules.clone(),
            encoder: folder.model(runtime, device, &rules.encoder, options.threads, encoder)?,
            decoder: folder.model(runtime, device, &rules.decoder, options.threads, decoder)?,
            device: device.clone(),
        })
    }

    /// The mask logits of every box, `[B, 256, 256]`, over the model's square input (`models.md`'s 1024-frame).
    ///
    /// `boxes`: images ascending. At most `images_at_once` images are encoded and `boxes_at_once` boxes decoded in one
    /// run; an image without boxes is never encoded.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images that the model cannot take, boxes out of order, of no image or not finite;
    /// [`Error::Model`] if the model fails.
    pub fn segment(
        &self,
        images: Images,
        boxes: &[Prompt],
        images_at_once: usize,
        boxes_at_once: usize,
    ) -> Result<Vec<f32>> {
        images.check()?;
        check(boxes, images.len())?;
        let mut logits = Vec::with_capacity(boxes.len() * LOGITS * LOGITS);
        let by_image: Vec<&[Prompt]> = boxes.chunk_by(|a, b| a.image == b.image).collect();
        for group in by_image.chunks(images_at_once.max(1)) {
            let [height, width] = self.rules.image.size;
            let mut input = vec![];
            for boxes in group {
                let image = Images { pixels: images.get(boxes[0].image), ..images };
                input.extend(image::prepare(image, &self.rules.image)?);
            }
            let inputs = [(&[group.len(), 3, height, width][..], Values::F32(&input))];
            let embeddings = self.encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
            for chunk in indexed(group).chunks(boxes_at_once.max(1)) {
                self.decode(images, &embeddings, group.len(), chunk, &mut logits)?;
            }
        }
        Ok(logits)
    }

    /// As [`Segmenter::segment`], from images to logits on a device.
    ///
    /// # Errors
    /// As [`Segmenter::segment`]; [`Error::Device`] if the driver refuses.
    #[cfg(feature = "cuda")]
    pub fn segment_on(
        &self,
        gpu: &Gpu,
        images: ImagesOnDevice,
        boxes: &[Prompt],
        images_at_once: usize,
        boxes_at_once: usize,
    ) -> Result<Buffer<f32>> {
        check(boxes, images.count()?)?;
        const MASK: usize = LOGITS * LOGITS;
        let ([height, width], [channels, side]) = (self.rules.image.size, self.rules.embedding);
        let prepare = images.prepare(gpu, &self.rules.image)?;
        let mut logits = gpu.alloc(boxes.len() * MASK)?;
        let mut done = 0;
        let by_image: Vec<&[Prompt]> = boxes.chunk_by(|a, b| a.image == b.image).collect();
        for group in by_image.chunks(images_at_once.max(1)) {
            let (n, pixels) = (group.len(), 3 * height * width);
            let mut input = gpu.alloc(n * pixels)?;
            for (i, boxes) in group.iter().enumerate() {
                let image = boxes[0].image;
                let prepared = prepare.f32(gpu, &images.slice(image..image + 1))?;
                gpu.copy(&prepared, &mut input.slice_mut(i * pixels..(i + 1) * pixels))?;
            }
            let mut embeddings = gpu.alloc(n * channels * side * side)?;
            let inputs = [(&[n, 3, height, width][..], OnDevice::F32(&input))];
            self.encoder.run_on(gpu, &inputs, &mut [embeddings.as_view_mut()])?;
            for chunk in indexed(group).chunks(boxes_at_once.max(1)) {
                let b = chunk.len();
                let (corners, index) = self.within(images.size, chunk)?;
                let (corners, index) = (gpu.upload(&corners)?, gpu.upload(&index)?);
                let mut quality = gpu.alloc(b)?;
                let inputs = [
                    (&[n, channels, side, side][..], OnDevice::F32(&embeddings)),
                    (&[b, 4][..], OnDevice::F32(&corners)),
                    (&[b][..], OnDevice::I64(&index)),
                ];
                let masks = logits.slice_mut(done * MASK..(done + b) * MASK);
                self.decoder.run_on(gpu, &inputs, &mut [masks, quality.as_view_mut()])?;
                done += b;
            }
        }
        Ok(logits)
    }

    /// The device that it was loaded for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Corners in the model's input and image indices, of boxes of images that have this size.
    fn within(&self, size: [usize; 2], boxes: &[(i64, [f32; 4])]) -> Result<(Vec<f32>, Vec<i64>)> {
        let [rows, columns] = image::size_within(size, &self.rules.image)?;
        let (x, y) = (columns as f32 / size[1] as f32, rows as f32 / size[0] as f32);
        let scaled = boxes.iter().flat_map(|(_, [x1, y1, x2, y2])| [x1 * x, y1 * y, x2 * x, y2 * y]);
        Ok((scaled.collect(), boxes.iter().map(|b| b.0).collect()))
    }

    /// Decodes boxes (with the index of their embedding) and appends their logits.
    fn decode(
        &self,
        images: Images,
        embeddings: &[f32],
        n: usize,
        boxes: &[(i64, [f32; 4])],
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        let (corners, index) = self.within(images.size(), boxes)?;
        let [channels, side] = self.rules.embedding;
        let inputs = [
            (&[n, channels, side, side][..], Values::F32(embeddings)),
            (&[boxes.len(), 4][..], Values::F32(&corners)),
            (&[boxes.len()][..], Values::I64(&index)),
        ];
        self.decoder.run(&inputs, |outputs| {
            logits.extend_from_slice(outputs[0]);
            Ok(())
        })
    }
}

fn check(boxes: &[Prompt], images: usize) -> Result<()> {
    for (b, Prompt { image, corners }) in boxes.iter().enumerate() {
        if *image >= images || (b > 0 && boxes[b - 1].image > *image) {
            return Err(Error::invalid(format!(
                "box {b} lies in image {image}; there are {images} images, and boxes must come in their order"
            )));
        }
        if corners.iter().any(|x| !x.is_finite()) {
            return Err(Error::invalid(format!("box {b} has corners {corners:?}, which are not finite")));
        }
    }
    Ok(())
}

/// The corners of the boxes, with the index of their image's embedding.
fn indexed(by_image: &[&[Prompt]]) -> Vec<(i64, [f32; 4])> {
    let of_image =
        |(index, boxes): (i64, &&[Prompt])| -> Vec<_> { boxes.iter().map(|b| (index, b.corners)).collect() };
    (0..).zip(by_image).flat_map(of_image).collect()
}
