//! The grounding detector (GLIP): images and part names to boxes with scores and features.

use super::{
    batch::Batch,
    folder::Folder,
    heads::Search,
    image::{self, Images},
    keep, manifest,
    onnx::{
        contract::{
            Contract,
            Dim::{Any, Fixed, Free},
            Port, Symbols,
        },
        model::Model,
        session::Sessions,
        tensor::Values,
    },
    tokenizer::{Tokenizer, Tokens},
};
use crate::{
    device::{Device, twin::Mirrored},
    error::{Error, Result},
    io::{npy::Array, tensors::Tensors},
    ops::detect::detection::{Detection, Thresholds},
    parts::Template,
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// A text encoder and a grounding detector, ready to run.
#[derive(Debug)]
pub struct Detector {
    pub(super) rules: manifest::Detector,
    tokenizer: Tokenizer,
    /// By caption.
    offsets: BTreeMap<String, Offset>,
    text_encoder: Model,
    pub(super) model: Model,
    device: Device,
    pub(super) batch: Batch,
    prompts: Mutex<HashMap<String, Arc<Prompt>>>,
}

/// Part names as the detector wants them.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// The caption's tokens.
    pub tokens: Tokens,
    /// The text encoder's last hidden state plus the caption's learned offset, if it has one, `[L, D]`.
    pub hidden: Mirrored<Vec<f32>>,
    /// 1 for every token, `[L]`.
    pub mask: Mirrored<Vec<i64>>,
    /// Parts whose names the detector can hardly find, below P, and why, as in "is not in the vocabulary".
    pub doubts: Vec<(u32, String)>,
}

/// What was found in one image, strongest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The boxes, corners in pixels of the image as it was given, `[B]`.
    pub boxes: Vec<Detection>,
    /// The feature at each box's location, `[B, C]`.
    pub features: Vec<f32>,
    /// The boxes that were too weak to be found.
    pub weak: Vec<Detection>,
}

/// Refuses thresholds that no score can be compared with, and weak boxes that would be stronger than those found.
pub(super) fn check_thresholds(Thresholds { found, weak }: Thresholds) -> Result<()> {
    match (0.0..=1.0).contains(&found) && (0.0..=found).contains(&weak) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "detection threshold {found}, weak boxes' {weak}: they must be in [0, 1], and that of weak boxes not the higher"
        ))),
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

/// What the text encoder and the detector take and give; the features come last.
pub(super) fn contracts(rules: &manifest::Detector) -> [Contract; 2] {
    let (family, input) = (rules.head.family(), rules.image.size);
    let [height, width] = input.map(Fixed);
    let a = Fixed(family.rows(input));
    let (n, t, l, d) = (Free("N"), Free("T"), Free("L"), Any("D"));
    let mut outputs = family.outputs(input);
    outputs.push(Port::f32("features", &[n, a, Fixed(rules.feature_dim)]));
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
        sessions: &Sessions,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Detector,
    ) -> Result<Detector> {
        let manifest::Text { tokenizer, vocab, separator, max_tokens, offsets, .. } = &rules.text;
        let tokenizer =
            Tokenizer::new(&folder.read(vocab)?, *tokenizer, separator, *max_tokens, &folder.path(vocab))?;
        let offsets = offsets.iter().map(|(caption, file)| {
            Ok((
                caption.clone(),
                Offset::parse(folder.read(file)?.into_owned(), &folder.path(file), caption)?,
            ))
        });
        let [text_encoder, model] = contracts(rules);
        Ok(Detector {
            rules: rules.clone(),
            tokenizer,
            offsets: offsets.collect::<Result<_>>()?,
            text_encoder: Model::new(&sessions.on_cpu(), &folder.source(&rules.text_encoder)?, text_encoder)?,
            model: Model::new(&sessions.ungraphed(), &folder.source(&rules.model)?, model)?,
            device: device.clone(),
            batch: Batch::new("view", 1, 10, sessions.options().batch_memory),
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

    /// Encodes part names, each asked for as the template says; a second call with the same names answers from memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names that make no caption or are more than the detector takes (GLIP: 80), [`Error::Model`]
    /// if the text encoder fails.
    pub fn prompt(&self, parts: &[impl AsRef<str>], template: &Template) -> Result<Arc<Prompt>> {
        if let Some(most) = self.rules.head.family().most_parts().filter(|&most| parts.len() > most) {
            let named = parts.len();
            return Err(Error::invalid(format!("{named} part names; the detector takes at most {most}")));
        }
        let tokens = self.tokenizer.tokenize(parts, template)?;
        let prompts = || self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompt) = prompts().get(&tokens.caption).filter(|prompt| prompt.tokens == tokens) {
            return Ok(prompt.clone());
        }
        let shape = [1, tokens.ids.len()];
        let mask = vec![1; tokens.ids.len()];
        let inputs = [(&shape[..], Values::I64(&tokens.ids)), (&shape[..], Values::I64(&mask))];
        let mut hidden = self.text_encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
        match self.offsets.get(&tokens.caption) {
            Some(offset) => offset.add(&mut hidden, tokens.ids.len())?,
            None => self.tell_of_order(&tokens.caption),
        }
        let doubts = self.doubts(parts, &tokens);
        let prompt = Arc::new(Prompt { tokens, hidden: hidden.into(), mask: mask.into(), doubts });
        keep(&mut prompts(), prompt.tokens.caption.clone(), prompt.clone());
        Ok(prompt)
    }

    /// Warns of an offset that would be used if the names came in its order.
    fn tell_of_order(&self, caption: &str) {
        let sorted = |caption: &str| {
            let mut names: Vec<_> =
                caption.split(&self.rules.text.separator[..]).map(str::to_string).collect();
            names.sort();
            names
        };
        let asked = sorted(caption);
        for (learned, offset) in self.offsets.iter().filter(|(learned, _)| sorted(learned) == asked) {
            tracing::warn!("{} is not used: it was learned for the order {learned:?}", offset.path.display());
        }
    }

    fn doubts(&self, parts: &[impl AsRef<str>], tokens: &Tokens) -> Vec<(u32, String)> {
        let manifest::Text { max_tokens, known_parts, .. } = &self.rules.text;
        let doubt = |p: usize| {
            if tokens.parts[p].is_empty() {
                Some(format!("lies beyond the {max_tokens} tokens of a caption"))
            } else if tokens.unknown.contains(&p) {
                Some("has a word that is not in the detector's vocabulary".into())
            } else if !known_parts.is_empty() && !known_parts.iter().any(|known| known == parts[p].as_ref()) {
                Some(format!("is not among the {} that the detector was trained on", known_parts.len()))
            } else {
                None
            }
        };
        (0..parts.len()).filter_map(|p| Some((p as u32, doubt(p)?))).collect()
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
        thresholds: Thresholds,
        batch: usize,
    ) -> Result<Vec<Found>> {
        images.check()?;
        check_thresholds(thresholds)?;
        let mut found = vec![];
        self.batch.on_cpu(0..images.len(), batch, |some| {
            found.extend(self.detect_batch(images.slice(some), prompt, thresholds)?);
            Ok(())
        })?;
        Ok(found)
    }

    fn detect_batch(&self, images: Images, prompt: &Prompt, thresholds: Thresholds) -> Result<Vec<Found>> {
        let (n, l) = (images.len(), prompt.tokens.ids.len());
        let [height, width] = self.rules.image.size;
        let input = image::prepare(images, &self.rules.image, self.model.element(0))?;
        let (hidden, mask) = (prompt.hidden.repeat(n), prompt.mask.repeat(n));
        let inputs = [
            (&[n, 3, height, width][..], input.values()),
            (&[n, l, prompt.hidden.len() / l][..], Values::F32(&hidden)),
            (&[n, l][..], Values::I64(&mask)),
        ];
        let size = image::size_within(images.size(), &self.rules.image)?;
        let search = self.search(prompt, size, thresholds);
        self.model.run(&inputs, |outputs| {
            let find = |i: usize| {
                let row = |output: &[f32]| i * (output.len() / n)..(i + 1) * (output.len() / n);
                let rows: Vec<&[f32]> = outputs.iter().map(|&output| &output[row(output)]).collect();
                let (features, own) = rows.split_last().expect("the features are an output");
                let found = self.rules.head.family().detect(own, &search)?;
                Ok(self.gather(found, features, size, images.size(), thresholds.found))
            };
            (0..n).into_par_iter().map(find).collect()
        })
    }

    /// What to find in images that are `size` in the model's input.
    pub(super) fn search<'a>(
        &self,
        prompt: &'a Prompt,
        size: [usize; 2],
        thresholds: Thresholds,
    ) -> Search<'a> {
        let manifest::Detector { nms, max_det, .. } = self.rules;
        Search { parts: &prompt.tokens.parts, input: self.rules.image.size, size, thresholds, nms, max_det }
    }

    /// Number of values of every output of `n` images and `l` tokens.
    pub(super) fn output_lens(&self, n: usize, l: usize) -> Vec<usize> {
        let symbols = Symbols::from([("N", n), ("L", l)]);
        let len = |port: &Port| symbols.shape(port).expect("no other symbols").iter().product();
        self.model.contract().outputs.iter().map(len).collect()
    }

    /// The boxes of one image that is `size` in the model's input and was `given` in the caller's hands, with their
    /// features.
    fn gather(
        &self,
        mut boxes: Vec<Detection>,
        features: &[f32],
        size: [usize; 2],
        given: [usize; 2],
        threshold: f32,
    ) -> Found {
        let (x, y) = (given[1] as f32 / size[1] as f32, given[0] as f32 / size[0] as f32);
        for b in &mut boxes {
            let [x1, y1, x2, y2] = b.corners;
            b.corners = [x1 * x, y1 * y, x2 * x, y2 * y];
        }
        let weak = boxes.split_off(boxes.partition_point(|b| b.score > threshold));
        let c = self.rules.feature_dim;
        let rows = boxes.iter().flat_map(|b| &features[b.location * c..][..c]).copied().collect();
        Found { boxes, features: rows, weak }
    }
}
