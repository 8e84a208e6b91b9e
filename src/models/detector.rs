//! The grounding detector (GLIP): images and part names to boxes with scores and features.

use super::{
    Folder, Options,
    image::{self, Images},
    manifest,
    onnx::{
        Contract,
        Dim::{Any, Fixed, Free},
        Model, Port, Values,
    },
    runtime::Runtime,
    tokenizer::{Tokenizer, Tokens},
};
use crate::{
    device::Device,
    error::{Error, Result},
    io::{npy::Array, tensors::Tensors},
    ops::{
        detection::{self, Detection, Head},
        queries,
    },
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
#[cfg(feature = "cuda")]
use {
    super::{image::ImagesOnDevice, onnx::OnDevice},
    crate::{gpu::Gpu, ops::detection::cuda::Workspace},
};

/// A text encoder and a grounding head, ready to run.
#[derive(Debug)]
pub struct Detector {
    rules: manifest::Detector,
    decoding: manifest::Head,
    tokenizer: Tokenizer,
    /// By caption.
    offsets: BTreeMap<String, Offset>,
    text_encoder: Model,
    head: Model,
    device: Device,
    prompts: Mutex<HashMap<String, Arc<Prompt>>>,
}

/// Part names as the head wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The caption's tokens.
    pub tokens: Tokens,
    /// The text encoder's last hidden state plus the caption's learned offset, if it has one, `[L, D]`.
    pub hidden: Vec<f32>,
}

/// What was found in one image, strongest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The boxes, corners in pixels of the image as it was given, `[B]`.
    pub boxes: Vec<Detection>,
    /// The feature at each box's location, `[B, C]`.
    pub features: Vec<f32>,
}

/// What was found in images on a device: images ascending, strongest first in each.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placed {
    /// The image, `[B]`.
    pub views: Vec<u32>,
    /// The part, `[B]`.
    pub parts: Vec<u32>,
    /// In [0, 1], `[B]`.
    pub scores: Vec<f32>,
    /// x, y of the upper left corner, width, height in pixels of the image as it was given, `[B]`.
    pub rects: Vec<[f32; 4]>,
    /// The feature at each box's location, `[B, C]`.
    pub features: Vec<f32>,
}

fn check_threshold(threshold: f32) -> Result<()> {
    match (0.0..=1.0).contains(&threshold) {
        true => Ok(()),
        false => Err(Error::invalid(format!("detection threshold {threshold} is not in [0, 1]"))),
    }
}

/// What PartSLIP learned to add to the text encoder's output, by position, for one caption.
#[derive(Debug)]
struct Offset {
    path: PathBuf,
    /// `[>= L, D]`
    rows: Array<f32>,
}

impl Offset {
    fn parse(data: Vec<u8>, path: &Path, caption: &str) -> Result<Offset> {
        let file = Tensors::parse(data, path)?;
        if let Some(own) = file.metadata("caption").filter(|&own| own != caption) {
            return Err(file.unfit(format!(
                "was learned for the caption {own:?}, but the manifest gives it to {caption:?}"
            )));
        }
        Ok(Offset { path: path.to_path_buf(), rows: file.get("text_offset")? })
    }

    /// Adds the offset to `hidden`, `[L, D]`.
    fn add(&self, hidden: &mut [f32], tokens: usize) -> Result<()> {
        let channels = hidden.len() / tokens;
        if self.rows.shape.len() != 2 || self.rows.shape[0] < tokens || self.rows.shape[1] != channels {
            let shape = &self.rows.shape;
            return Err(Error::format(
                &self.path,
                format!(
                    "`text_offset` is {shape:?}; this caption and text encoder need [{tokens}, {channels}]"
                ),
            ));
        }
        hidden.iter_mut().zip(&self.rows.data).for_each(|(x, offset)| *x += offset);
        Ok(())
    }
}

/// What the text encoder and the head take and give.
pub(super) fn contracts(rules: &manifest::Detector) -> [Contract; 2] {
    let [height, width] = rules.image.size.map(Fixed);
    let a = Fixed(rules.rows());
    let (n, t, l, d) = (Free("N"), Free("T"), Free("L"), Any("D"));
    let mut outputs = vec![
        Port::f32("token_logits", &[n, a, l]),
        Port::f32("box_regression", &[n, a, Fixed(4)]),
        Port::f32("features", &[n, a, Fixed(rules.feature_dim)]),
    ];
    if rules.kind == manifest::Kind::Atss {
        outputs.push(Port::f32("centerness", &[n, a]));
    }
    [
        Contract {
            inputs: vec![Port::i64("input_ids", &[t, l]), Port::i64("attention_mask", &[t, l])],
            outputs: vec![Port::f32("text_hidden", &[t, l, d])],
        },
        Contract {
            inputs: vec![
                Port::f32("image", &[n, Fixed(3), height, width]),
                Port::f32("text_hidden", &[n, l, d]),
                Port::i64("text_mask", &[n, l]),
            ],
            outputs,
        },
    ]
}

impl Detector {
    pub(super) fn new(
        runtime: &Runtime,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Detector,
        options: &Options,
    ) -> Result<Detector> {
        let vocab = folder.read(&rules.text.vocab)?;
        let path = folder.path(&rules.text.vocab);
        let tokenizer =
            Tokenizer::new(&vocab, &rules.text.separator, rules.text.max_tokens, Path::new(&path))?;
        let offsets = rules.text.offsets.iter().map(|(caption, file)| {
            Ok((
                caption.clone(),
                Offset::parse(folder.read(file)?.into_owned(), &folder.path(file), caption)?,
            ))
        });
        let [text_encoder, head] = contracts(rules);
        Ok(Detector {
            rules: rules.clone(),
            decoding: rules.head(),
            tokenizer,
            offsets: offsets.collect::<Result<_>>()?,
            text_encoder: folder.model(
                runtime,
                &Device::Cpu,
                &rules.text_encoder,
                options.threads,
                text_encoder,
            )?,
            head: folder.model(runtime, device, &rules.model, options.threads, head)?,
            device: match rules.kind {
                manifest::Kind::Atss => device.clone(),
                manifest::Kind::Detr => Device::Cpu,
            },
            prompts: Mutex::default(),
        })
    }

    /// The device that it was loaded for; the CPU for a detector of queries, whose outputs are read there.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Channels of a box's feature, C.
    pub fn feature_dim(&self) -> usize {
        self.rules.feature_dim
    }

    /// Encodes part names; a second call with the same names answers from memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names that make no caption, [`Error::Model`] if the text encoder fails.
    pub fn prompt(&self, parts: &[impl AsRef<str>]) -> Result<Arc<Prompt>> {
        let tokens = self.tokenizer.tokenize(parts)?;
        let prompts = || self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompt) = prompts().get(&tokens.caption) {
            return Ok(prompt.clone());
        }
        for (name, span) in parts.iter().zip(&tokens.parts) {
            if span.is_empty() {
                let max = self.rules.text.max_tokens;
                tracing::warn!(
                    "part {:?} lies beyond the {max} tokens of a caption and cannot be found",
                    name.as_ref()
                );
            }
        }
        for &p in &tokens.unknown {
            tracing::warn!(
                "part {:?} is not in the detector's vocabulary and will hardly be found",
                parts[p].as_ref()
            );
        }
        let shape = [1, tokens.ids.len()];
        let mask = vec![1; tokens.ids.len()];
        let inputs = [(&shape[..], Values::I64(&tokens.ids)), (&shape[..], Values::I64(&mask))];
        let mut hidden = self.text_encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
        if let Some(offset) = self.offsets.get(&tokens.caption) {
            offset.add(&mut hidden, tokens.ids.len())?;
        }
        let prompt = Arc::new(Prompt { tokens, hidden });
        prompts().insert(prompt.tokens.caption.clone(), prompt.clone());
        Ok(prompt)
    }

    /// Finds the parts of a prompt in images, at most `batch` of them in one run. Returns one [`Found`] an image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images that the model cannot take, [`Error::Model`] if the model fails.
    pub fn detect(
        &self,
        images: Images,
        prompt: &Prompt,
        threshold: f32,
        batch: usize,
    ) -> Result<Vec<Found>> {
        images.check()?;
        check_threshold(threshold)?;
        let mut found = vec![];
        for images in images.chunks(batch) {
            found.extend(self.detect_batch(images, prompt, threshold)?);
        }
        Ok(found)
    }

    fn detect_batch(&self, images: Images, prompt: &Prompt, threshold: f32) -> Result<Vec<Found>> {
        let (n, l) = (images.len(), prompt.tokens.ids.len());
        let [height, width] = self.rules.image.size;
        let input = image::prepare(images, &self.rules.image)?;
        let hidden = prompt.hidden.repeat(n);
        let mask = vec![1; n * l];
        let inputs = [
            (&[n, 3, height, width][..], Values::F32(&input)),
            (&[n, l, prompt.hidden.len() / l][..], Values::F32(&hidden)),
            (&[n, l][..], Values::I64(&mask)),
        ];
        let size = image::size_within(images.size(), &self.rules.image)?;
        self.head.run(&inputs, |outputs| {
            let row = |output: usize, i: usize| {
                let len = outputs[output].len() / n;
                &outputs[output][i * len..][..len]
            };
            let find = |i: usize| {
                let (logits, regression, parts) = (row(0, i), row(1, i), &prompt.tokens.parts);
                let boxes = match &self.decoding {
                    manifest::Head::Atss(levels, rules) => {
                        let head =
                            Head { token_logits: logits, box_regression: regression, centerness: row(3, i) };
                        detection::cpu::detect(&head, parts, levels, size, rules, threshold)
                    }
                    manifest::Head::Detr(rules) => {
                        let input = self.rules.image.size;
                        queries::cpu::detect(logits, regression, parts, input, size, rules, threshold)
                    }
                };
                self.gather(boxes, row(2, i), size, images.size())
            };
            Ok((0..n).into_par_iter().map(find).collect())
        })
    }

    /// As [`Detector::detect`], for images on a device. Of the head's outputs only the boxes and their features leave it.
    ///
    /// # Errors
    /// As [`Detector::detect`]; [`Error::Device`] if the driver refuses; [`Error::Invalid`] for a detector of queries.
    #[cfg(feature = "cuda")]
    pub fn detect_on(
        &self,
        gpu: &Gpu,
        images: ImagesOnDevice,
        prompt: &Prompt,
        threshold: f32,
        batch: usize,
    ) -> Result<Placed> {
        check_threshold(threshold)?;
        let (count, batch) = (images.count()?, batch.max(1));
        let manifest::Head::Atss(levels, rules) = &self.decoding else {
            return Err(Error::invalid(
                "detectors of queries read their outputs on the host; use Detector::detect",
            ));
        };
        let (l, a, c) = (prompt.tokens.ids.len(), detection::locations(levels), self.rules.feature_dim);
        let [height, width] = self.rules.image.size;
        let size = image::size_within(images.size, &self.rules.image)?;
        let scale = [1, 0].map(|axis| images.size[axis] as f32 / size[axis] as f32);
        let prepare = images.prepare(gpu, &self.rules.image)?;
        let most = batch.min(count);
        let parts = &prompt.tokens.parts;
        let mut workspace = Workspace::new(gpu, most, levels, parts, rules.top_n)?;
        let mut placed = Placed::default();
        for view in (0..count).step_by(batch) {
            let n = batch.min(count - view);
            let input = prepare.f32(gpu, &images.slice(view..view + n))?;
            let (hidden, mask) = (gpu.upload(&prompt.hidden.repeat(n))?, gpu.upload(&vec![1i64; n * l])?);
            let (mut token_logits, mut box_regression) = (gpu.alloc(n * a * l)?, gpu.alloc(n * a * 4)?);
            let (mut centerness, mut features) = (gpu.alloc(n * a)?, gpu.alloc(n * a * c)?);
            self.head.run_on(
                gpu,
                &[
                    (&[n, 3, height, width], OnDevice::F32(&input)),
                    (&[n, l, prompt.hidden.len() / l], OnDevice::F32(&hidden)),
                    (&[n, l], OnDevice::I64(&mask)),
                ],
                &mut [&mut token_logits, &mut box_regression, &mut features, &mut centerness]
                    .map(|output| output.as_view_mut()),
            )?;
            let head = detection::cuda::Head {
                token_logits: &token_logits,
                box_regression: &box_regression,
                centerness: &centerness,
            };
            let counts = detection::cuda::detect(gpu, &head, n, size, rules, threshold, &mut workspace)?;
            let found = counts.iter().sum::<u32>() as usize;
            let mut boxes = detection::cuda::Boxes::new(gpu, found, c)?;
            detection::cuda::gather(gpu, &workspace, &counts, &features, scale, view, 0, &mut boxes)?;
            placed.views.extend(gpu.download(&boxes.views)?);
            placed.parts.extend(gpu.download(&boxes.parts)?);
            placed.scores.extend(gpu.download(&boxes.scores)?);
            placed.rects.extend(gpu.download(&boxes.rects)?.as_chunks().0);
            placed.features.extend(gpu.download(&boxes.features)?);
        }
        Ok(placed)
    }

    /// The boxes of one image that is `size` in the model's input and was `given` in the caller's hands, with their
    /// features.
    fn gather(
        &self,
        mut boxes: Vec<Detection>,
        features: &[f32],
        size: [usize; 2],
        given: [usize; 2],
    ) -> Found {
        let (x, y) = (given[1] as f32 / size[1] as f32, given[0] as f32 / size[0] as f32);
        let c = self.rules.feature_dim;
        let mut rows = Vec::with_capacity(boxes.len() * c);
        for b in &mut boxes {
            let [x1, y1, x2, y2] = b.corners;
            b.corners = [x1 * x, y1 * y, x2 * x, y2 * y];
            rows.extend_from_slice(&features[b.location * c..][..c]);
        }
        Found { boxes, features: rows }
    }
}
