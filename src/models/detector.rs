//! The grounding detector (GLIP): images and part names to boxes with scores and features.

use super::{
    Folder,
    batch::Batch,
    contract::{
        Contract,
        Dim::{Any, Fixed, Free},
        Port,
    },
    engine::Engine,
    image::{self, Images},
    manifest,
    onnx::Model,
    tensor::Values,
    tokenizer::{Tokenizer, Tokens},
};
use crate::{
    device::{Device, twin::Mirrored},
    error::{Error, Result},
    io::{npy::Array, tensors::Tensors},
    ops::detect::{
        atss::{self, Head},
        detection::Detection,
        queries,
    },
};
use rayon::prelude::*;
#[cfg(feature = "cuda")]
use std::ops::Range;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
#[cfg(feature = "cuda")]
use {
    super::{image::ImagesOnDevice, tensor::OnDevice},
    crate::{
        device::gpu::{Buffer, Gpu},
        ops::detect::detection::cuda::{self, Boxes, Workspace},
    },
    std::iter::repeat_n,
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
    batch: Batch,
    prompts: Mutex<HashMap<String, Arc<Prompt>>>,
}

/// Part names as the head wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The caption's tokens.
    pub tokens: Tokens,
    /// The text encoder's last hidden state plus the caption's learned offset, if it has one, `[L, D]`.
    pub hidden: Mirrored<Vec<f32>>,
    /// 1 for every token, `[L]`.
    pub mask: Mirrored<Vec<i64>>,
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
#[derive(Debug)]
pub struct FoundOnDevice {
    /// How many boxes each image has, `[N]`; the host's.
    pub per_view: Vec<u32>,
    /// The boxes, in pixels of the image as it was given.
    pub boxes: Boxes,
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
                Port::float("image", &[n, Fixed(3), height, width]),
                Port::f32("text_hidden", &[n, l, d]),
                Port::i64("text_mask", &[n, l]),
            ],
            outputs,
        },
    ]
}

impl Detector {
    pub(super) fn new(
        engine: &Engine,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Detector,
    ) -> Result<Detector> {
        let vocab = folder.read(&rules.text.vocab)?;
        let path = folder.path(&rules.text.vocab);
        let tokenizer = Tokenizer::new(&vocab, &rules.text, &path)?;
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
            text_encoder: folder.model(&engine.on_cpu(), &rules.text_encoder, text_encoder)?,
            head: folder.model(&engine.ungraphed(), &rules.model, head)?,
            device: device.clone(),
            batch: Batch::new(1, 10, engine.options().batch_memory),
            prompts: Mutex::default(),
        })
    }

    /// The device that it was loaded for.
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
        let prompt = Arc::new(Prompt { tokens, hidden: hidden.into(), mask: mask.into() });
        prompts().insert(prompt.tokens.caption.clone(), prompt.clone());
        Ok(prompt)
    }

    /// Finds the parts of a prompt in images, at most `batch` of them in one run, 0 = as many as suit the machine. Returns
    /// one [`Found`] an image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images that the model cannot take, [`Error::Model`] if the model fails, [`Error::Memory`] if
    /// memory does not suffice for one image.
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
        self.batch.on_cpu(0..images.len(), batch, |some| {
            found.extend(self.detect_batch(images.slice(some), prompt, threshold)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn detect_batch(&self, images: Images, prompt: &Prompt, threshold: f32) -> Result<Vec<Found>> {
        let (n, l) = (images.len(), prompt.tokens.ids.len());
        let [height, width] = self.rules.image.size;
        let input = image::prepare(images, &self.rules.image, self.head.element(0))?;
        let (hidden, mask) = (prompt.hidden.repeat(n), prompt.mask.repeat(n));
        let inputs = [
            (&[n, 3, height, width][..], input.values()),
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
                        atss::cpu::detect(&head, parts, levels, size, rules, threshold)?
                    }
                    manifest::Head::Detr(rules) => {
                        let input = self.rules.image.size;
                        queries::cpu::detect(logits, regression, parts, input, size, rules, threshold)?
                    }
                };
                Ok(self.gather(boxes, row(2, i), size, images.size()))
            };
            (0..n).into_par_iter().map(find).collect()
        })
    }

    /// As [`Detector::detect`], for images on a device. The host learns how many boxes each image has.
    ///
    /// # Errors
    /// As [`Detector::detect`]; [`Error::Device`] if the driver refuses.
    #[cfg(feature = "cuda")]
    pub fn detect_on(
        &self,
        gpu: &Gpu,
        images: ImagesOnDevice,
        prompt: &Prompt,
        threshold: f32,
        batch: usize,
    ) -> Result<FoundOnDevice> {
        check_threshold(threshold)?;
        let (l, a, c) = (prompt.tokens.ids.len(), self.rules.rows(), self.rules.feature_dim);
        let [height, width] = self.rules.image.size;
        let size = image::size_within(images.size, &self.rules.image)?;
        let scale = [1, 0].map(|axis| images.size[axis] as f32 / size[axis] as f32);
        let preparer = images.preparer(gpu, &self.rules.image, self.head.element(0))?;
        let text = (&*prompt.hidden.device(gpu)?, &*prompt.mask.device(gpu)?);
        let mut workspace: Option<Workspace> = None;
        let (mut per_view, mut batches) = (vec![], vec![]);
        let run = |some: Range<usize>| {
            let (n, view) = (some.len(), some.start);
            let input = preparer.run(gpu, &images.slice(some))?;
            let (hidden, mask) = (gpu.concat(repeat_n(text.0, n))?, gpu.concat(repeat_n(text.1, n))?);
            let (mut token_logits, mut box_regression) = (gpu.alloc(n * a * l)?, gpu.alloc(n * a * 4)?);
            let (mut centerness, mut features): (_, Buffer<f32>) = (gpu.alloc(n * a)?, gpu.alloc(n * a * c)?);
            let mut nans = gpu.zeros(4)?;
            let mut outputs =
                vec![token_logits.as_view_mut(), box_regression.as_view_mut(), features.as_view_mut()];
            if self.rules.kind == manifest::Kind::Atss {
                outputs.push(centerness.as_view_mut());
            }
            self.head.run_on(
                gpu,
                &[
                    (&[n, 3, height, width], input.values()),
                    (&[n, l, prompt.hidden.len() / l], OnDevice::F32(&hidden)),
                    (&[n, l], OnDevice::I64(&mask)),
                ],
                &mut outputs,
                &mut nans,
            )?;
            let workspace = match &mut workspace {
                Some(large) if large.most() >= n => large,
                small => small.insert(self.workspace(gpu, n, &prompt.tokens.parts)?),
            };
            let counts = match &self.decoding {
                manifest::Head::Atss(levels, rules) => {
                    let head = atss::cuda::Head {
                        levels,
                        token_logits: &token_logits,
                        box_regression: &box_regression,
                        centerness: &centerness,
                    };
                    atss::cuda::detect(gpu, &head, n, size, rules, threshold, workspace)?
                }
                manifest::Head::Detr(rules) => {
                    let head = queries::cuda::Head {
                        queries: a,
                        token_logits: &token_logits,
                        boxes: &box_regression,
                        input: self.rules.image.size,
                    };
                    queries::cuda::detect(gpu, &head, n, size, rules, threshold, workspace)?
                }
            };
            self.head.check_nans(&gpu.download(&nans)?)?;
            let mut boxes = Boxes::new(gpu, counts.iter().sum::<u32>() as usize, c)?;
            cuda::gather(gpu, workspace, &counts, &features, scale, view, 0, &mut boxes)?;
            per_view.extend(counts);
            batches.push(boxes);
            Ok(())
        };
        match self.head.is_on(gpu) {
            true => self.batch.on_device(gpu, 0..images.count()?, batch, run)?,
            false => self.batch.on_cpu(0..images.count()?, batch, run)?,
        }
        Ok(FoundOnDevice { per_view, boxes: Boxes::concat(gpu, batches)? })
    }

    #[cfg(feature = "cuda")]
    fn workspace(&self, gpu: &Gpu, images: usize, parts: &[Range<usize>]) -> Result<Workspace> {
        match &self.decoding {
            manifest::Head::Atss(levels, rules) => atss::cuda::workspace(gpu, images, levels, parts, rules),
            manifest::Head::Detr(_) => queries::cuda::workspace(gpu, images, self.rules.rows(), parts),
        }
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
