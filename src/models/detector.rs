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
    error::{Error, Result},
    io::{npy::Array, tensors::Tensors},
    ops::detection::{self, Detection, Head, Level},
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A text encoder and a grounding head, ready to run.
#[derive(Debug)]
pub struct Detector {
    rules: manifest::Detector,
    levels: Vec<Level>,
    tokenizer: Tokenizer,
    /// By caption.
    offsets: BTreeMap<String, Offset>,
    text_encoder: Model,
    head: Model,
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
    let a = Fixed(detection::locations(&rules.levels()));
    let (n, t, l, d) = (Free("N"), Free("T"), Free("L"), Any("D"));
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
            outputs: vec![
                Port::f32("token_logits", &[n, a, l]),
                Port::f32("box_regression", &[n, a, Fixed(4)]),
                Port::f32("centerness", &[n, a]),
                Port::f32("features", &[n, a, Fixed(rules.feature_dim)]),
            ],
        },
    ]
}

impl Detector {
    pub(super) fn new(
        runtime: &Runtime,
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
            levels: rules.levels(),
            tokenizer,
            offsets: offsets.collect::<Result<_>>()?,
            text_encoder: folder.model(runtime, &rules.text_encoder, options.threads, text_encoder)?,
            head: folder.model(runtime, &rules.model, options.threads, head)?,
            prompts: Mutex::default(),
        })
    }

    /// Channels of a box's feature, C.
    pub fn feature_dim(&self) -> usize {
        self.rules.feature_dim
    }

    /// The levels that a [`Detection::location`] indexes.
    pub fn levels(&self) -> &[Level] {
        &self.levels
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
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::invalid(format!("detection threshold {threshold} is not in [0, 1]")));
        }
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
        let size = image::size_within(images, &self.rules.image)?;
        self.head.run(&inputs, |outputs| {
            let row = |output: usize, i: usize| {
                let len = outputs[output].len() / n;
                &outputs[output][i * len..][..len]
            };
            let find = |i: usize| {
                let head = Head { token_logits: row(0, i), box_regression: row(1, i), centerness: row(2, i) };
                self.find(head, row(3, i), prompt, threshold, size, [images.height, images.width])
            };
            Ok((0..n).into_par_iter().map(find).collect())
        })
    }

    /// The boxes of one image that is `size` in the model's input and was `given` in the caller's hands.
    fn find(
        &self,
        head: Head,
        features: &[f32],
        prompt: &Prompt,
        threshold: f32,
        size: [usize; 2],
        given: [usize; 2],
    ) -> Found {
        let rules = self.rules.rules();
        let mut boxes =
            detection::cpu::detect(&head, &prompt.tokens.parts, &self.levels, size, &rules, threshold);
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
