//! The concept segmenter on a CUDA device: from images there to boxes and masks there.

use super::{Concepts, Prompt, Source, Wired, Wiring, check_thresholds};
use crate::{
    device::gpu::{Buffer, Gpu},
    error::Result,
    models::{
        device::{Found, Images, Preparer, in_runs},
        manifest::ports::Pairs,
        onnx::{
            contract::Symbols,
            model::Model,
            tensor::{
                self,
                cuda::{Owned, Values},
            },
        },
    },
    ops::detect::{
        concepts::cuda::{self, Answer, Frame, Rows},
        detection::{
            Thresholds,
            cuda::{Boxes, Workspace},
        },
    },
};
use std::ops::Range;

/// What was found: images ascending, strongest first in each.
#[derive(Debug)]
pub struct FoundOnDevice {
    /// The boxes.
    pub boxes: Found,
    /// The mask of each that was found, one bit a pixel of the image, `[B, ceil(H W / 8)]`.
    pub masks: Buffer<u8>,
}

impl Concepts {
    /// As [`Concepts::find`], for images on a device. The host learns how many boxes each name has in each image, and how many
    /// of them remain.
    ///
    /// # Errors
    /// As [`Concepts::find`]; [`Error::Device`](crate::Error::Device) if the driver refuses.
    pub fn find_on(
        &self,
        gpu: &Gpu,
        images: Images,
        prompt: &Prompt,
        thresholds: Thresholds,
        images_at_once: usize,
        pairs_at_once: usize,
    ) -> Result<FoundOnDevice> {
        check_thresholds(thresholds)?;
        let count = images.count()?;
        let (rules, own, names) = (self.post(), self.frame(images.size)?, prompt.names);
        let frame = Frame::new(gpu, own.input, own.size, own.scale(), &own.taps(self.rules.masks))?;
        let preparer = Preparer::new(gpu, &images, &self.rules.image, &self.vision)?;
        let mut workspace: Option<Workspace> = None;
        let (mut found, mut weak, mut masks) = ((vec![], vec![]), (vec![], vec![]), vec![]);
        in_runs(gpu, &self.vision, &self.views, 0..count, self.images_at_once(images_at_once), |some| {
            let features = self.look_on(gpu, &preparer, &images, some.clone())?;
            let mut runs = vec![];
            let mut run = |pairs: Range<usize>| {
                let workspace = match &mut workspace {
                    Some(large) if large.most() >= pairs.len() => large,
                    small => small.insert(cuda::workspace(gpu, pairs.len(), self.rules.queries)?),
                };
                let (outputs, nans) = self.answer_on(gpu, &features, prompt, pairs.clone())?;
                let answer = self.answer_of(&outputs);
                let (first, weak) = (pairs.start, thresholds.weak);
                let rows =
                    cuda::candidates(gpu, &answer, &frame, pairs.len(), first, &rules, weak, workspace)?;
                self.decoder.check_nans(&gpu.download(&nans)?)?;
                runs.push(rows);
                Ok(())
            };
            for group in self.groups(some.len(), names) {
                let at_once = self.pairs_at_once(pairs_at_once);
                in_runs(gpu, &self.decoder, &self.pairs, group, at_once, &mut run)?;
            }
            let rows = Rows::concat(gpu, runs)?;
            let remaining = rows.remaining(gpu, &frame, names, some.start, &rules, thresholds.found)?;
            found.0.extend(remaining.counts.found);
            found.1.push(remaining.found);
            weak.0.extend(remaining.counts.weak);
            weak.1.push(remaining.weak);
            masks.push(remaining.masks);
            Ok(())
        })?;
        let boxes = Found {
            per_view: found.0,
            boxes: Boxes::concat(gpu, found.1)?,
            weak_per_view: weak.0,
            weak: Boxes::concat(gpu, weak.1)?,
        };
        Ok(FoundOnDevice { boxes, masks: gpu.concat(masks.iter())? })
    }

    /// What the vision encoder makes of some images: every output, `[N, ...]`.
    fn look_on(
        &self,
        gpu: &Gpu,
        preparer: &Preparer,
        images: &Images,
        some: Range<usize>,
    ) -> Result<Vec<Buffer<f32>>> {
        let input = preparer.run(gpu, &images.slice(some.clone()))?;
        let symbols = Symbols::from([("N", some.len())]);
        let give = |_| Ok(Given::There(input.values()));
        let (features, nans) = run(gpu, &self.vision, &self.wiring.vision, &symbols, give)?;
        self.vision.check_nans(&gpu.download(&nans)?)?;
        Ok(features)
    }

    /// What the decoder says of some pairs: every output, `[B, ...]`, and how many of its values are NaN.
    fn answer_on(
        &self,
        gpu: &Gpu,
        features: &[Buffer<f32>],
        prompt: &Prompt,
        pairs: Range<usize>,
    ) -> Result<(Vec<Buffer<f32>>, Buffer<u32>)> {
        let symbols = self.symbols(features[0].len(), pairs.len(), prompt.tokens);
        let one = prompt.hidden.len() / prompt.names;
        let hidden = prompt.hidden.device(gpu)?;
        let names: Vec<usize> = pairs.clone().map(|pair| pair % prompt.names).collect();
        let texts = rows(gpu, &hidden, &names, one)?;
        let give = |input: usize| match self.wiring.decoder.sources[input] {
            Source::Feature(level) if self.wiring.pairs == Pairs::Indexed => {
                Ok(Given::There(Values::F32(&features[level])))
            }
            Source::Feature(level) => {
                let views = self.views_of(&pairs, prompt.names);
                let rows = rows(gpu, &features[level], &views, self.feature_len(level))?;
                Ok(Given::Made(Owned::F32(rows)))
            }
            Source::Prompt => Ok(Given::There(Values::F32(&texts))),
            other => {
                let here = self.of_host(other, self.decoder.element(input), prompt, &pairs);
                Ok(Given::Made(Owned::upload(gpu, &here)?))
            }
        };
        run(gpu, &self.decoder, &self.wiring.decoder, &symbols, give)
    }

    /// What the decoder's outputs are.
    fn answer_of<'a>(&self, outputs: &'a [Buffer<f32>]) -> Answer<'a> {
        let [logits, boxes, masks, others @ ..] = outputs else { unreachable!("the contract has them") };
        let (presence, features) = match self.rules.score.has_presence() {
            true => (Some(&others[0]), others.get(1)),
            false => (None, others.first()),
        };
        Answer {
            queries: self.rules.queries,
            logits,
            presence,
            boxes,
            low: self.rules.masks,
            masks,
            features,
        }
    }
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

/// Runs a graph on what `give` says that its inputs are, by their place: every output, and how many of its values are NaN.
fn run<'a>(
    gpu: &Gpu,
    model: &Model,
    wired: &Wired,
    symbols: &Symbols,
    give: impl Fn(usize) -> Result<Given<'a>>,
) -> Result<(Vec<Buffer<f32>>, Buffer<u32>)> {
    let shapes = wired.shapes(symbols);
    let given = |(input, shape): (usize, &Vec<usize>)| match wired.sources[input] {
        Source::Constant(fill) => {
            let fill = vec![fill; shape.iter().product()];
            let here = tensor::Owned::floats(fill, model.element(input));
            Ok(Given::Made(Owned::upload(gpu, &here)?))
        }
        _ => give(input),
    };
    let given = shapes.iter().enumerate().map(given).collect::<Result<Vec<_>>>()?;
    let inputs: Vec<_> =
        shapes.iter().zip(&given).map(|(shape, given)| (&shape[..], given.values())).collect();
    let lens = Wiring::lens(&wired.contract.outputs, symbols);
    let mut outputs = lens.iter().map(|&len| gpu.alloc(len)).collect::<Result<Vec<_>>>()?;
    let mut nans = gpu.zeros(outputs.len())?;
    let mut room: Vec<_> = outputs.iter_mut().map(|output| output.as_view_mut()).collect();
    model.run_on(gpu, &inputs, &mut room, &mut nans)?;
    drop(room);
    Ok((outputs, nans))
}

/// Some rows of so many values each.
fn rows(gpu: &Gpu, from: &Buffer<f32>, rows: &[usize], one: usize) -> Result<Buffer<f32>> {
    let mut to = gpu.alloc(rows.len() * one)?;
    for (i, row) in rows.iter().enumerate() {
        gpu.copy(&from.slice(row * one..(row + 1) * one), &mut to.slice_mut(i * one..(i + 1) * one))?;
    }
    Ok(to)
}
