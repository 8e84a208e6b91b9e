//! The concept segmenter on a CUDA device: from images there to boxes and masks there.

use super::{Concepts, Prompt, Source, Wiring, check_thresholds};
use crate::{
    device::gpu::{Buffer, Gpu},
    error::Result,
    models::{
        device::{Found, Images, Preparer, in_runs},
        onnx::tensor::cuda::Values,
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
        in_runs(gpu, &self.vision, &self.views, 0..count, images_at_once, |some| {
            let features = self.look_on(gpu, &preparer, &images, some.clone())?;
            let mut runs = vec![];
            in_runs(gpu, &self.decoder, &self.pairs, 0..some.len() * names, pairs_at_once, |pairs| {
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
            })?;
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
        let [height, width] = self.rules.image.size;
        let input = preparer.run(gpu, &images.slice(some.clone()))?;
        let mut features =
            buffers(gpu, &Wiring::lens(&self.wiring.vision.outputs, &[("N", some.len())].into()))?;
        let mut nans = gpu.zeros(features.len())?;
        self.vision.run_on(
            gpu,
            &[(&[some.len(), 3, height, width], input.values())],
            &mut features.iter_mut().map(|output| output.as_view_mut()).collect::<Vec<_>>(),
            &mut nans,
        )?;
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
        let views: Vec<i64> = pairs.clone().map(|pair| (pair / prompt.names) as i64).collect();
        let views = gpu.upload(&views)?;
        let one = prompt.hidden.len() / prompt.names;
        let (mut texts, mut counts) =
            (gpu.alloc(pairs.len() * one)?, gpu.alloc(pairs.len() * prompt.tokens)?);
        let (hidden, mask) = (prompt.hidden.device(gpu)?, prompt.mask.device(gpu)?);
        for (b, pair) in pairs.clone().enumerate() {
            let (p, l) = (pair % prompt.names, prompt.tokens);
            gpu.copy(&hidden.slice(p * one..(p + 1) * one), &mut texts.slice_mut(b * one..(b + 1) * one))?;
            gpu.copy(&mask.slice(p * l..(p + 1) * l), &mut counts.slice_mut(b * l..(b + 1) * l))?;
        }
        let values = |source: &Source| match *source {
            Source::Feature(level) => Values::F32(&features[level]),
            Source::ImageIndex => Values::I64(&views),
            Source::Prompt => Values::F32(&texts),
            Source::PromptMask => Values::I64(&counts),
        };
        let shapes = self.shapes(&symbols);
        let sources = self.wiring.sources.iter();
        let inputs: Vec<_> =
            shapes.iter().zip(sources).map(|(shape, source)| (&shape[..], values(source))).collect();
        let mut outputs = buffers(gpu, &Wiring::lens(&self.wiring.decoder.outputs, &symbols))?;
        let mut nans = gpu.zeros(outputs.len())?;
        let mut room: Vec<_> = outputs.iter_mut().map(|output| output.as_view_mut()).collect();
        self.decoder.run_on(gpu, &inputs, &mut room, &mut nans)?;
        drop(room);
        Ok((outputs, nans))
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

fn buffers(gpu: &Gpu, lens: &[usize]) -> Result<Vec<Buffer<f32>>> {
    lens.iter().map(|&len| gpu.alloc(len)).collect()
}
