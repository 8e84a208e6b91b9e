//! The box-prompted segmenter (SAM): images and boxes to low-resolution mask logits.

use super::{
    batch::Batch,
    folder::Folder,
    image::{self, Images},
    manifest,
    onnx::{
        contract::{
            Contract,
            Dim::{Fixed, Free},
            Port,
        },
        model::Model,
        session::Sessions,
        tensor::Values,
    },
    points::{self, Points},
};
use crate::{
    device::Device,
    error::{Error, Result},
    ops::{detect::boxes, lift::mask::LOGITS},
};
use std::ops::Range;

/// An image encoder and a box decoder, ready to run.
#[derive(Debug)]
pub struct Segmenter {
    pub(super) rules: manifest::Segmenter,
    pub(super) encoder: Model,
    pub(super) decoder: Model,
    points: Option<Points>,
    device: Device,
    pub(super) images: Batch,
    pub(super) boxes: Batch,
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
            inputs: vec![Port::float("image", &[n, Fixed(3), height, width])],
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
        sessions: &Sessions,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Segmenter,
    ) -> Result<Segmenter> {
        let [encoder, decoder] = contracts(rules);
        let memory = sessions.options().batch_memory;
        let ungraphed = sessions.ungraphed();
        let of_encoder = folder.source(&rules.encoder)?;
        let of_points = |file: &String| {
            let decoder = (folder.source(file)?, points::contract(rules));
            Ok(Points::new(sessions, [(of_encoder.clone(), encoder.clone()), decoder]))
        };
        Ok(Segmenter {
            points: rules.points.as_ref().map(of_points).transpose()?,
            rules: rules.clone(),
            encoder: Model::new(sessions, &of_encoder, encoder)?,
            decoder: Model::new(&ungraphed, &folder.source(&rules.decoder)?, decoder)?,
            device: device.clone(),
            images: Batch::new("view", 1, 10, memory),
            boxes: Batch::new("box", 32, 256, memory),
        })
    }

    /// The mask logits of every box, `[B, 256, 256]`, over the model's square input (`image.size` of the manifest).
    ///
    /// `boxes`: images ascending. At most `images_at_once` images are encoded and `boxes_at_once` boxes decoded in one
    /// run, 0 = as many as suit the machine; an image without boxes is never encoded.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images that the model cannot take, boxes out of order, of no image or not finite;
    /// [`Error::Model`] if the model fails; [`Error::Memory`] if memory does not suffice for one image and box.
    pub fn segment(
        &self,
        images: Images,
        boxes: &[Prompt],
        images_at_once: usize,
        boxes_at_once: usize,
    ) -> Result<Vec<f32>> {
        images.check()?;
        check(boxes, images.len())?;
        let scale = self.scale(images.size())?;
        let by_image: Vec<&[Prompt]> = boxes.chunk_by(|a, b| a.image == b.image).collect();
        let mut embeddings = vec![];
        self.images.on_cpu(0..by_image.len(), images_at_once, |group| {
            let [height, width] = self.rules.image.size;
            let (group, mut pixels) = (&by_image[group], vec![]);
            group.iter().for_each(|boxes| pixels.extend_from_slice(images.get(boxes[0].image)));
            let input = image::prepare(
                Images { pixels: &pixels, ..images },
                &self.rules.image,
                self.encoder.element(0),
            )?;
            let inputs = [(&[group.len(), 3, height, width][..], input.values())];
            self.encoder.run(&inputs, |outputs| {
                embeddings.extend_from_slice(outputs[0]);
                Ok(())
            })
        })?;
        let mut rows = vec![0; images.len()];
        (0..).zip(&by_image).for_each(|(row, boxes)| rows[boxes[0].image] = row);
        let views: Vec<u32> = boxes.iter().map(|b| b.image as u32).collect();
        let corners: Vec<[f32; 4]> = boxes.iter().map(|b| b.corners).collect();
        let (corners, rows) = boxes::cpu::prompts(&corners, &views, &rows, scale)?;
        let mut logits = Vec::with_capacity(boxes.len() * LOGITS * LOGITS);
        self.boxes.on_cpu(0..rows.len(), boxes_at_once, |some| {
            let (corners, rows) = (&corners[some.clone()], &rows[some]);
            self.decode(&embeddings, by_image.len(), corners, rows, &mut logits)
        })?;
        Ok(logits)
    }

    /// Whether it answers points, and not boxes alone.
    pub fn answers_points(&self) -> bool {
        self.points.is_some()
    }

    /// Loads what answers points, which else the first [`answer`](Segmenter::answer) does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it answers no points, [`Error::Model`] if the model cannot be used.
    pub fn load_points(&self) -> Result<()> {
        self.points()?.load().map(|_| ())
    }

    fn points(&self) -> Result<&Points> {
        self.points.as_ref().ok_or_else(|| {
            Error::invalid(
                "these models answer boxes, not points: export SAM with its point decoder (docs/models.md)",
            )
        })
    }

    /// The masks at every point of one image: hands on which points, their logits `[points, 3, 256, 256]` and the predicted IoU
    /// `[points, 3]`. The first call loads the point decoder.
    ///
    /// `points`: x, y in the image's pixels.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it answers no points, for more than one image or one that the model cannot take; [`Error::Model`] if
    /// the model fails; [`Error::Memory`] if memory does not suffice for one point; what `each` returns.
    pub fn answer(
        &self,
        image: Images,
        points: &[[f64; 2]],
        each: impl FnMut(Range<usize>, &[f32], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let of_points = self.points()?;
        image.check()?;
        if image.len() != 1 {
            return Err(Error::invalid(format!("points are of one image, not of {}", image.len())));
        }
        let scale = self.scale(image.size())?;
        of_points.answer(&self.rules, &self.encoder, image, scale, points, each)
    }

    /// The device that it was loaded for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// From pixels of images that have this size to those of the model's input, x and y.
    pub(super) fn scale(&self, size: [usize; 2]) -> Result<[f32; 2]> {
        let [rows, columns] = image::size_within(size, &self.rules.image)?;
        Ok([columns as f32 / size[1] as f32, rows as f32 / size[0] as f32])
    }

    /// Decodes boxes, corners in the model's input, with the row of their image's embedding, and appends their logits.
    fn decode(
        &self,
        embeddings: &[f32],
        n: usize,
        corners: &[[f32; 4]],
        rows: &[i64],
        logits: &mut Vec<f32>,
    ) -> Result<()> {
        let [channels, side] = self.rules.embedding;
        let inputs = [
            (&[n, channels, side, side][..], Values::F32(embeddings)),
            (&[rows.len(), 4][..], Values::F32(corners.as_flattened())),
            (&[rows.len()][..], Values::I64(rows)),
        ];
        self.decoder.run(&inputs, |outputs| {
            logits.extend_from_slice(outputs[0]);
            Ok(())
        })
    }
}

/// Refuses boxes out of order, of no image or not finite.
pub(crate) fn check(boxes: &[Prompt], images: usize) -> Result<()> {
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
