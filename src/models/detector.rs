//! The grounding detector (GLIP): images and part names to boxes with scores and features.

use super::{
    Folder, Options,
    image::{self, Images},
    manifest,
    onnx::{
        Dim::{Any, Fixed, Free},
        Model, Port, Values,
    },
    runtime::Runtime,
    tokenizer::{Tokenizer, Tokens},
};
use crate::{
    error::{Error, Result},
    ops::detection::{self, Detection, Head, Level},
};
use rayon::prelude::*;
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A text encoder and a grounding head, ready to run.
#[derive(Debug)]
pub struct Detector {
    rules: manifest::Detector,
    levels: Vec<Level>,
    tokenizer: Tokenizer,
    text_encoder: Model,
    head: Model,
    prompts: Mutex<HashMap<String, Arc<Prompt>>>,
}

/// Part names as the head wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The caption's tokens.
    pub tokens: Tokens,
    /// The text encoder's last hidden state, `[L, D]`.
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

impl Detector {
    pub(super) fn new(
        runtime: &Runtime,
        folder: &Folder,
        rules: &manifest::Detector,
        options: &Options,
    ) -> Result<Detector> {
        let [height, width] = rules.image.size;
        let levels = rules.levels();
        let a = Fixed(detection::locations(&levels));
        let vocab = folder.read(&rules.text.vocab)?;
        let path = folder.path(&rules.text.vocab);
        let tokenizer =
            Tokenizer::new(&vocab, &rules.text.separator, rules.text.max_tokens, Path::new(&path))?;
        let (n, t, l, d) = (Free("N"), Free("T"), Free("L"), Any("D"));
        let text_encoder = folder.model(
            runtime,
            &rules.text_encoder,
            options.threads,
            vec![Port::i64("input_ids", &[t, l]), Port::i64("attention_mask", &[t, l])],
            vec![Port::f32("text_hidden", &[t, l, d])],
        )?;
        let head = folder.model(
            runtime,
            &rules.model,
            options.threads,
            vec![
                Port::f32("image", &[n, Fixed(3), Fixed(height), Fixed(width)]),
                Port::f32("text_hidden", &[n, l, d]),
                Port::i64("text_mask", &[n, l]),
            ],
            vec![
                Port::f32("token_logits", &[n, a, l]),
                Port::f32("box_regression", &[n, a, Fixed(4)]),
                Port::f32("centerness", &[n, a]),
                Port::f32("features", &[n, a, Fixed(rules.feature_dim)]),
            ],
        )?;
        Ok(Detector {
            rules: rules.clone(),
            levels,
            tokenizer,
            text_encoder,
            head,
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
        let hidden = self.text_encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
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
