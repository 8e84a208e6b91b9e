//! The concept segmenter (SAM 3): views and names to boxes with masks.

#[cfg(feature = "cuda")]
mod device;
mod wiring;

#[cfg(feature = "cuda")]
pub use self::device::FoundOnDevice;

use self::wiring::{Source, Wired, Wiring};
use super::{
    batch::Batch,
    detector::check_thresholds,
    folder::Folder,
    image::{self, Images},
    keep,
    manifest::{self, Score, ports::Pairs},
    onnx::{
        contract::{Contract, Element, Symbols},
        model::Model,
        session::Sessions,
        tensor::{Owned, Values},
    },
    tokenizer::Tokenizer,
};
use crate::{
    device::{Device, twin::Mirrored},
    error::{Error, Result},
    io::tensors::Tensors,
    ops::{
        detect::{
            concepts::{self, Rules},
            detection::{Detection, Thresholds},
            queries::Form,
        },
        lift::mask,
    },
    parts::Template,
};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    iter::repeat_n,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// A vision encoder, a text encoder and a decoder, ready to run.
#[derive(Debug)]
pub struct Concepts {
    rules: manifest::Concepts,
    wiring: Wiring,
    /// Where names can be encoded.
    text: Option<(Tokenizer, Model)>,
    /// By name.
    stored: BTreeMap<String, Stored>,
    vision: Model,
    decoder: Model,
    device: Device,
    views: Batch,
    pairs: Batch,
    prompts: Mutex<HashMap<Vec<String>, Arc<Prompt>>>,
}

/// A name as the decoder reads it.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    /// `[L, D]`
    hidden: Vec<f32>,
    /// 1 for tokens that count, `[L]`.
    mask: Vec<i64>,
}

/// Names as the decoder wants them: P of them, each L tokens long with those that do not count.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// How many names, P.
    pub names: usize,
    /// How many tokens each has, L.
    pub tokens: usize,
    /// What the text encoder says of each, `[P, L, D]`.
    pub hidden: Mirrored<Vec<f32>>,
    /// 1 for the tokens that count, `[P, L]`.
    pub mask: Vec<i64>,
    /// Names that the model can hardly find, below P, and why.
    pub doubts: Vec<(u32, String)>,
}

/// What was found in one image, strongest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The boxes, corners in pixels of the image as it was given; their part is the name, `[B]`.
    pub boxes: Vec<Detection>,
    /// A feature of each box, `[B, C]`.
    pub features: Vec<f32>,
    /// The mask of each box, one bit a pixel of the image, `[B, ceil(H W / 8)]`.
    pub masks: Vec<u8>,
    /// The boxes that were too weak to be found.
    pub weak: Vec<Detection>,
}

/// What the decoder says of one view and name that were looked for together.
struct Candidates {
    boxes: Vec<Detection>,
    features: Vec<f32>,
    masks: Vec<u8>,
}

/// How images lie in the model's input.
struct Frame {
    /// Height and width of the images as they were given.
    given: [usize; 2],
    /// Height and width in the model's input.
    size: [usize; 2],
    /// Height and width of the model's input.
    input: [usize; 2],
}

/// Values of an input, with their memory or without.
enum Given<'a> {
    There(Values<'a>),
    Made(Owned),
}

impl Given<'_> {
    fn values(&self) -> Values<'_> {
        match self {
            Given::There(values) => *values,
            Given::Made(values) => values.values(),
        }
    }
}

/// Runs a graph on what `give` says that its inputs are, by their source, elements and number of values.
fn run<'a, T>(
    model: &Model,
    wired: &Wired,
    symbols: &Symbols,
    give: impl Fn(Source, Element, usize) -> Given<'a>,
    read: impl FnOnce(&[&[f32]]) -> Result<T>,
) -> Result<T> {
    let shapes = wired.shapes(symbols);
    let sources = wired.sources.iter().zip(&shapes).enumerate();
    let given: Vec<Given> = sources
        .map(|(i, (&source, shape))| {
            let (element, len) = (model.element(i), shape.iter().product());
            match source {
                Source::Constant(fill) => Given::Made(Owned::floats(vec![fill; len], element)),
                other => give(other, element, len),
            }
        })
        .collect();
    let inputs: Vec<_> =
        shapes.iter().zip(&given).map(|(shape, given)| (&shape[..], given.values())).collect();
    model.run(&inputs, read)
}

/// The graphs' files, and what each takes and gives.
pub(super) fn contracts(rules: &manifest::Concepts) -> Result<Vec<(&String, Contract)>, String> {
    let Wiring { vision, text, decoder, .. } = Wiring::new(rules)?;
    let mut named = vec![(&rules.vision_encoder, vision.contract)];
    named.extend(rules.text_encoder.iter().map(|file| (file, text.contract.clone())));
    named.push((&rules.decoder, decoder.contract));
    Ok(named)
}

impl Stored {
    fn parse(data: Vec<u8>, path: &Path, name: &str, channels: usize) -> Result<Stored> {
        let file = Tensors::parse(data, path)?;
        if let Some(own) = file.metadata("name").filter(|&own| own != name) {
            return Err(
                file.unfit(format!("is the prompt of {own:?}, but the manifest gives it to {name:?}"))
            );
        }
        let shape = file.shape("prompt")?;
        let tokens = match *shape {
            [tokens, own] if own == channels && (1..=manifest::MOST_TOKENS).contains(&tokens) => tokens,
            _ => {
                let most = manifest::MOST_TOKENS;
                return Err(file.unfit(format!(
                    "`prompt` is {shape:?}; it must be [L, {channels}] with L in 1..={most}"
                )));
            }
        };
        let hidden = file.get::<f32>("prompt")?.data;
        if let Some(at) = hidden.iter().position(|x| !x.is_finite()) {
            return Err(file.unfit(format!("`prompt` is {} at token {}", hidden[at], at / channels)));
        }
        let mask = match file.names().iter().any(|name| name == "mask") {
            true => file.shaped::<i64>("mask", &[tokens])?,
            false => vec![1; tokens],
        };
        if mask.iter().any(|x| !(0..=1).contains(x)) || !mask.contains(&1) {
            return Err(file.unfit("`mask` must be 1 for tokens that count, at least one, and 0 for others"));
        }
        Ok(Stored { hidden, mask })
    }
}

impl Concepts {
    pub(super) fn new(
        sessions: &Sessions,
        device: &Device,
        folder: &Folder,
        rules: &manifest::Concepts,
    ) -> Result<Concepts> {
        let manifest = folder.path("manifest.json");
        let wiring = Wiring::new(rules).map_err(|e| Error::format(manifest, format!("concepts.{e}")))?;
        let text = match (&rules.text_encoder, &rules.text) {
            (Some(file), Some(manifest::ConceptText { tokenizer, vocab, max_tokens, .. })) => {
                let path = folder.path(vocab);
                let tokenizer = Tokenizer::new(&folder.read(vocab)?, *tokenizer, "", *max_tokens, &path)?;
                let contract = wiring.text.contract.clone();
                Some((tokenizer, Model::new(&sessions.on_cpu(), &folder.source(file)?, contract)?))
            }
            _ => None,
        };
        let stored = rules.prompts.iter().map(|(name, file)| {
            let data = folder.read(file)?.into_owned();
            Ok((name.clone(), Stored::parse(data, &folder.path(file), name, rules.prompt_dim)?))
        });
        let memory = sessions.options().batch_memory;
        let source = |file: &String| folder.source(file);
        let vision = Model::new(sessions, &source(&rules.vision_encoder)?, wiring.vision.contract.clone())?;
        let manifest::Image { scale, mean, std, .. } = rules.image;
        if vision.element(0) == Element::U8 && (scale, mean, std) != (255.0, [0.0; 3], [1.0; 3]) {
            return Err(Error::Model(format!(
                "{}: takes images in u8, so that the manifest's concepts.image needs scale 255, mean 0 and std 1",
                folder.path(&rules.vision_encoder).display()
            )));
        }
        let contract = wiring.decoder.contract.clone();
        Ok(Concepts {
            text,
            stored: stored.collect::<Result<_>>()?,
            vision,
            decoder: Model::new(&sessions.ungraphed(), &source(&rules.decoder)?, contract)?,
            wiring,
            rules: rules.clone(),
            device: device.clone(),
            views: Batch::new("view", 1, 10, memory),
            pairs: Batch::new("name in a view", 1, 64, memory),
            prompts: Mutex::default(),
        })
    }

    /// The device that it was loaded for.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Channels of a box's feature, C: those of four numbers where the decoder gives none.
    pub fn feature_dim(&self) -> usize {
        match self.rules.feature_dim {
            0 => concepts::STAND_IN,
            channels => channels,
        }
    }

    /// Whether the decoder gives features; else score, presence and the mask's shares of view and box stand in.
    pub fn has_features(&self) -> bool {
        self.rules.feature_dim > 0
    }

    /// Those of some names that can be asked for here; where none can, a stored one.
    pub(super) fn known(&self, names: &[impl AsRef<str>]) -> Vec<String> {
        let names = names.iter().map(|name| name.as_ref().to_string());
        let mut known: Vec<String> =
            names.filter(|name| self.text.is_some() || self.stored.contains_key(name)).collect();
        if known.is_empty() {
            known.extend(self.stored.keys().next().cloned());
        }
        known
    }

    /// Number of values of the decoder's outputs for a pair.
    pub(super) fn output_len(&self) -> usize {
        let symbols = Symbols::from([("B", 1)]);
        Wiring::lens(&self.wiring.decoder.contract.outputs, &symbols).iter().sum()
    }

    /// Encodes names, each by itself; a second call with the same names answers from memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] for names that cannot be encoded or are neither stored nor can be encoded here, [`Error::Model`] if
    /// the text encoder fails.
    pub fn prompt(&self, names: &[impl AsRef<str>]) -> Result<Arc<Prompt>> {
        if names.is_empty() {
            return Err(Error::invalid("no part names; give at least one"));
        }
        let names: Vec<String> = names.iter().map(|name| name.as_ref().to_string()).collect();
        if let Some(p) = (1..names.len()).find(|&p| names[..p].contains(&names[p])) {
            return Err(Error::invalid(format!("part {:?} is named twice", names[p])));
        }
        let prompts = || self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompt) = prompts().get(&names) {
            return Ok(prompt.clone());
        }
        let mut doubts = vec![];
        let encode = |(p, name): (u32, &String)| match self.stored.get(name) {
            Some(stored) => Ok(stored.clone()),
            None => self.encode(name, |doubt| doubts.push((p, doubt))),
        };
        let encoded = (0..).zip(&names).map(encode).collect::<Result<Vec<_>>>()?;
        // As long as any name may be, so that what is said of one does not depend on the others.
        let most = self.rules.text.as_ref().map_or(1, |text| text.max_tokens);
        let tokens = encoded.iter().map(|one| one.mask.len()).fold(most, usize::max);
        let tokens = match self.rules.prompt_tokens {
            Some(fixed) if tokens > fixed => {
                return Err(Error::invalid(format!(
                    "a stored prompt has {tokens} tokens; these models take {fixed} at most"
                )));
            }
            Some(fixed) => fixed,
            None => tokens,
        };
        let (mut hidden, mut mask) = (vec![], vec![]);
        for (p, one) in encoded.iter().enumerate() {
            hidden.extend_from_slice(&one.hidden);
            hidden.resize((p + 1) * tokens * self.rules.prompt_dim, 0.0);
            mask.extend_from_slice(&one.mask);
            mask.resize((p + 1) * tokens, 0);
        }
        let prompt = Arc::new(Prompt { names: names.len(), tokens, hidden: hidden.into(), mask, doubts });
        keep(&mut prompts(), names, prompt.clone());
        Ok(prompt)
    }

    /// Has the text encoder read one name.
    fn encode(&self, name: &str, mut doubt: impl FnMut(String)) -> Result<Stored> {
        let Some((tokenizer, model)) = &self.text else {
            let known: Vec<&str> = self.stored.keys().map(String::as_str).collect();
            return Err(Error::invalid(format!(
                "{name:?} is none of the prompts that these models hold, and there is no text encoder to read it; ask for {}",
                known.join(", ")
            )));
        };
        let tokens = tokenizer.tokenize(&[name], &Template::default())?;
        let most = self.rules.text.as_ref().map_or(0, |text| text.max_tokens);
        if !tokens.whole {
            doubt(format!("is longer than the {most} tokens of a name and was cut"));
        } else if tokens.parts[0].is_empty() {
            doubt("has no token that the text encoder knows".into());
        } else if !tokens.unknown.is_empty() {
            doubt("has a word that is not in the text encoder's vocabulary".into());
        }
        let (mut ids, mut mask) = (tokens.ids, vec![]);
        mask.resize(ids.len(), 1);
        if let (Some(fixed), Some(text)) = (self.rules.prompt_tokens, &self.rules.text) {
            ids.resize(fixed, text.pad);
            mask.resize(fixed, 0);
        }
        let symbols = Symbols::from([("T", 1), ("L", ids.len())]);
        let give = |source, element, _| match source {
            Source::Ids => Given::There(Values::I64(&ids)),
            _ => Given::Made(Owned::integers(&mask, element)),
        };
        let hidden = run(model, &self.wiring.text, &symbols, give, |outputs| Ok(outputs[0].to_vec()))?;
        Ok(Stored { hidden, mask })
    }

    /// Finds the names of a prompt in images: at most `images_at_once` go through the vision encoder and `pairs_at_once` pairs
    /// of an image and a name through the decoder in one run, 0 = as many as suit the machine. Returns one [`Found`] an image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for images that the model cannot take, [`Error::Model`] if the model fails, [`Error::Memory`] if
    /// memory does not suffice for one image and name.
    pub fn find(
        &self,
        images: Images,
        prompt: &Prompt,
        thresholds: Thresholds,
        images_at_once: usize,
        pairs_at_once: usize,
    ) -> Result<Vec<Found>> {
        images.check()?;
        check_thresholds(thresholds)?;
        let frame = self.frame(images.size())?;
        let mut found = vec![];
        self.views.on_cpu(0..images.len(), self.images_at_once(images_at_once), |some| {
            let images = images.slice(some);
            let features = self.look(images)?;
            let mut candidates = vec![];
            for group in self.groups(images.len(), prompt.names) {
                self.pairs.on_cpu(group, self.pairs_at_once(pairs_at_once), |some| {
                    candidates.extend(self.answer(&features, prompt, some, &frame, thresholds.weak)?);
                    Ok(())
                })?;
            }
            for of_view in candidates.chunks(prompt.names) {
                found.push(self.remaining(of_view, &frame, thresholds.found)?);
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn images_at_once(&self, asked: usize) -> usize {
        if self.wiring.one_image { 1 } else { asked }
    }

    fn pairs_at_once(&self, asked: usize) -> usize {
        if self.wiring.pairs == Pairs::Single { 1 } else { asked }
    }

    /// The pairs of so many views, view after view, in groups of those that may go through the decoder together.
    fn groups(&self, views: usize, names: usize) -> Vec<Range<usize>> {
        match self.wiring.pairs {
            Pairs::Indexed | Pairs::Aligned => std::iter::once(0..views * names).collect(),
            Pairs::OneView | Pairs::Single => (0..views).map(|v| v * names..(v + 1) * names).collect(),
        }
    }

    /// What the vision encoder makes of images: every output, `[N, ...]`.
    fn look(&self, images: Images) -> Result<Vec<Vec<f32>>> {
        let wired = &self.wiring.vision;
        let symbols = Symbols::from([("N", images.len())]);
        let input = image::prepare(images, &self.rules.image, self.vision.element(0))?;
        let give = |_, _, _| Given::There(input.values());
        run(&self.vision, wired, &symbols, give, |outputs| {
            Ok(outputs.iter().map(|output| output.to_vec()).collect())
        })
    }

    /// What the decoder finds for some pairs, view after view, of views with these features.
    fn answer(
        &self,
        features: &[Vec<f32>],
        prompt: &Prompt,
        pairs: Range<usize>,
        frame: &Frame,
        threshold: f32,
    ) -> Result<Vec<Candidates>> {
        let hidden = prompt.hidden.len() / prompt.names;
        let symbols = self.symbols(features[0].len(), pairs.len(), prompt.tokens);
        let names = pairs.clone().map(|pair| pair % prompt.names);
        let texts: Vec<f32> = names.flat_map(|p| &prompt.hidden[p * hidden..][..hidden]).copied().collect();
        let give = |source, element, _| match source {
            Source::Feature(level) if self.wiring.pairs == Pairs::Indexed => {
                Given::There(Values::F32(&features[level]))
            }
            Source::Feature(level) => {
                let one = self.feature_len(level);
                let views = self.views_of(&pairs, prompt.names);
                let rows = views.iter().flat_map(|&view| &features[level][view * one..][..one]);
                Given::Made(Owned::F32(rows.copied().collect()))
            }
            Source::Prompt => Given::There(Values::F32(&texts)),
            other => Given::Made(self.of_host(other, element, prompt, &pairs)),
        };
        run(&self.decoder, &self.wiring.decoder, &symbols, give, |outputs| {
            let one = |b: usize| {
                let rows: Vec<&[f32]> = outputs
                    .iter()
                    .map(|output| &output[b * (output.len() / pairs.len())..][..output.len() / pairs.len()])
                    .collect();
                self.candidates(&rows, frame, threshold)
            };
            (0..pairs.len()).into_par_iter().map(one).collect()
        })
    }

    /// The views whose features a run of these pairs takes, where it is not told which is whose.
    fn views_of(&self, pairs: &Range<usize>, names: usize) -> Vec<usize> {
        match self.wiring.pairs {
            Pairs::Indexed | Pairs::Aligned => pairs.clone().map(|pair| pair / names).collect(),
            Pairs::OneView | Pairs::Single => vec![pairs.start / names],
        }
    }

    /// What the host knows of some pairs: their views, and which tokens count.
    fn of_host(&self, source: Source, element: Element, prompt: &Prompt, pairs: &Range<usize>) -> Owned {
        let Source::PromptMask { padding } = source else {
            return Owned::I64(pairs.clone().map(|pair| (pair / prompt.names) as i64).collect());
        };
        let l = prompt.tokens;
        let counts = pairs.clone().flat_map(|pair| &prompt.mask[pair % prompt.names * l..][..l]);
        let ones: Vec<i64> = counts.map(|&counts| if padding { 1 - counts } else { counts }).collect();
        Owned::integers(&ones, element)
    }

    /// Number of values of a view's feature.
    fn feature_len(&self, level: usize) -> usize {
        self.rules.features.values().nth(level).expect("there is one").iter().product()
    }

    /// Lengths of the decoder's axes, for features whose first level has so many values, and so many pairs and tokens.
    fn symbols(&self, first: usize, pairs: usize, tokens: usize) -> Symbols {
        Symbols::from([("N", first / self.feature_len(0)), ("B", pairs), ("L", tokens)])
    }

    /// From the decoder's outputs for one pair to boxes with features and masks.
    fn candidates(&self, outputs: &[&[f32]], frame: &Frame, threshold: f32) -> Result<Candidates> {
        let [logits, of, masks, others @ ..] = outputs else { unreachable!("the contract has them") };
        let (presence, features) = match self.rules.score.has_presence() {
            true => (Some(others[0][0]), others.get(1)),
            false => (None, others.first()),
        };
        let rules = self.post();
        let mut boxes =
            concepts::cpu::detect(logits, presence, of, frame.input, frame.size, &rules, threshold)?;
        let low = self.rules.masks;
        let [rows, columns] = frame.taps(low);
        let expand = |b: &Detection| {
            mask::cpu::expand_of(&masks[b.location * low * low..][..low * low], low, &rows, &columns)
        };
        let masks = boxes.par_iter().map(expand).collect::<Result<Vec<_>>>()?;
        let [x, y] = frame.scale();
        let mut rows = vec![];
        for (b, mask) in boxes.iter_mut().zip(&masks) {
            let [x1, y1, x2, y2] = b.corners;
            b.corners = [x1 * x, y1 * y, x2 * x, y2 * y];
            match features {
                Some(features) => {
                    let channels = self.rules.feature_dim;
                    rows.extend_from_slice(&features[b.location * channels..][..channels]);
                }
                None => rows.extend(concepts::cpu::stand_in(
                    b.score,
                    concepts::cpu::probability_of(presence, &rules),
                    b.corners,
                    concepts::cpu::area(mask),
                    frame.given[0] * frame.given[1],
                )),
            }
        }
        Ok(Candidates { boxes, features: rows, masks: masks.concat() })
    }

    /// What remains of one view's candidates, name after name.
    fn remaining(&self, names: &[Candidates], frame: &Frame, threshold: f32) -> Result<Found> {
        let (channels, bytes) = (self.feature_dim(), mask::bytes(frame.given[0] * frame.given[1]));
        let counts = names.iter().map(|name| name.boxes.len()).enumerate();
        let rows: Vec<(usize, usize)> = counts.flat_map(|(p, count)| repeat_n(p, count).zip(0..)).collect();
        let scores: Vec<f32> = rows.iter().map(|&(p, b)| names[p].boxes[b].score).collect();
        let masks: Vec<u8> = names.iter().flat_map(|name| &name.masks).copied().collect();
        let mut found = Found::default();
        for r in concepts::cpu::suppress(&scores, &masks, &self.post())? {
            let (part, b) = rows[r];
            let detection = Detection { part, ..names[part].boxes[b] };
            if detection.score > threshold {
                found.boxes.push(detection);
                found.features.extend_from_slice(&names[part].features[b * channels..][..channels]);
                found.masks.extend_from_slice(&masks[r * bytes..][..bytes]);
            } else {
                found.weak.push(detection);
            }
        }
        Ok(found)
    }

    fn post(&self) -> Rules {
        let manifest::Concepts { score, boxes, nms, max_det, .. } = self.rules;
        let form = match boxes {
            manifest::Boxes::Center => Form::Center,
            manifest::Boxes::Corners => Form::Corners,
            manifest::Boxes::CornerPixels => Form::CornerPixels,
        };
        let probabilities = matches!(score, Score::ProbabilityXPresence | Score::Probability);
        Rules { probabilities, form, nms, max_det }
    }

    fn frame(&self, given: [usize; 2]) -> Result<Frame> {
        let size = image::size_within(given, &self.rules.image)?;
        Ok(Frame { given, size, input: self.rules.image.size })
    }
}

impl Frame {
    /// From pixels of the model's input to those of the images, x and y.
    fn scale(&self) -> [f32; 2] {
        [1, 0].map(|axis| self.given[axis] as f32 / self.size[axis] as f32)
    }

    /// What the images' rows and columns read of `low` x `low` logits.
    fn taps(&self, low: usize) -> [Vec<mask::Tap>; 2] {
        [0, 1].map(|axis| mask::taps_of(low, [self.size[axis], self.input[axis]], self.given[axis]))
    }
}
