//! A segmenter that is asked for whatever lies at a point (SAM): three masks each.

use super::{
    batch::Batch,
    image::{self, Images},
    manifest,
    onnx::{
        contract::{
            Contract,
            Dim::{Fixed, Free},
            Port,
        },
        model::Model,
        session::{Sessions, Source},
        tensor::Values,
    },
};
use crate::{error::Result, ops::lift::mask::LOGITS};
use std::{
    ops::Range,
    sync::{Mutex, OnceLock, PoisonError},
};

/// Masks that a point is answered with: of a whole, a part and a piece of it.
const MASKS: usize = 3;

/// What the point decoder takes and gives.
pub(super) fn contract(rules: &manifest::Segmenter) -> Contract {
    let [channels, side] = rules.embedding.map(Fixed);
    let (n, p, masks, logits) = (Free("N"), Free("P"), Fixed(MASKS), Fixed(LOGITS));
    Contract {
        inputs: vec![
            Port::f32("image_embeddings", &[n, channels, side, side]),
            Port::f32("points", &[p, Fixed(2)]),
            Port::i64("image_index", &[p]),
        ],
        outputs: vec![
            Port::f32("low_res_logits", &[p, masks, logits, logits]),
            Port::f32("iou", &[p, masks]),
        ],
    }
}

/// What answers points, loaded when it is first asked: most never are.
#[derive(Debug)]
pub(super) struct Points {
    sessions: Sessions,
    /// Where the encoder and the decoder are, and what they take and give.
    models: [(Source, Contract); 2],
    prompts: Batch,
    loading: Mutex<()>,
    loaded: OnceLock<Loaded>,
}

#[derive(Debug)]
pub(super) struct Loaded {
    decoder: Model,
    /// An encoder of its own, where the segmenter's is a graph: that knows no addresses of images from the host.
    encoder: Option<Model>,
}

impl Points {
    pub fn new(sessions: &Sessions, models: [(Source, Contract); 2]) -> Points {
        let prompts = Batch::new("point", 64, 64, sessions.options().batch_memory);
        Points {
            sessions: sessions.clone(),
            models,
            prompts,
            loading: Mutex::default(),
            loaded: OnceLock::new(),
        }
    }

    /// As [`Segmenter::answer`](super::Segmenter::answer). `scale`: from the image's pixels to those of the input.
    pub fn answer(
        &self,
        rules: &manifest::Segmenter,
        encoder: &Model,
        image: Images,
        scale: [f32; 2],
        points: &[[f64; 2]],
        mut each: impl FnMut(Range<usize>, &[f32], &[f32]) -> Result<()>,
    ) -> Result<()> {
        let loaded = self.load()?;
        let (encoder, [height, width]) = (loaded.encoder.as_ref().unwrap_or(encoder), rules.image.size);
        let input = image::prepare(image, &rules.image, encoder.element(0))?;
        let inputs = [(&[1, 3, height, width][..], input.values())];
        let embedding = encoder.run(&inputs, |outputs| Ok(outputs[0].to_vec()))?;
        let [channels, side] = rules.embedding;
        self.prompts.on_cpu(0..points.len(), 0, |some| {
            let scaled = |p: &[f64; 2]| [p[0] as f32 * scale[0], p[1] as f32 * scale[1]];
            let points: Vec<[f32; 2]> = points[some.clone()].iter().map(scaled).collect();
            let inputs = [
                (&[1, channels, side, side][..], Values::F32(&embedding)),
                (&[points.len(), 2][..], Values::F32(points.as_flattened())),
                (&[points.len()][..], Values::I64(&vec![0; points.len()])),
            ];
            loaded.decoder.run(&inputs, |outputs| each(some, outputs[0], outputs[1]))
        })
    }

    /// Loads it, if nobody has.
    pub fn load(&self) -> Result<&Loaded> {
        // Whoever comes at the same time waits.
        let _turn = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let (ungraphed, graphed) = (self.sessions.ungraphed(), self.sessions.options().cuda_graphs);
        let [encoder, decoder] = &self.models;
        let open = |(source, contract): &(Source, Contract)| Model::new(&ungraphed, source, contract.clone());
        let made = Loaded { decoder: open(decoder)?, encoder: graphed.then(|| open(encoder)).transpose()? };
        Ok(self.loaded.get_or_init(|| made))
    }
}
