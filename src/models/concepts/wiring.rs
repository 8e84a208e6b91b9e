//! Which input of a graph is what, and which output: the contracts of the three graphs of a concept segmenter.

use crate::models::{
    manifest,
    onnx::contract::{
        Contract,
        Dim::{Any, Fixed, Free},
        Port, Symbols,
    },
};

/// What an input of the decoder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An output of the vision encoder, by its place there.
    Feature(usize),
    /// The view of every pair, `[B]`.
    ImageIndex,
    /// The name of every pair, `[B, L, D]`.
    Prompt,
    /// 1 for the tokens of it that count, `[B, L]`.
    PromptMask,
}

/// The contracts, and what the decoder's inputs are.
#[derive(Debug)]
pub struct Wiring {
    /// An image to features.
    pub vision: Contract,
    /// Tokens to a prompt.
    pub text: Contract,
    /// Features and prompts to answers. Its outputs are logits, boxes, masks, then presence, then features, as far as there
    /// are any.
    pub decoder: Contract,
    /// What each of its inputs is.
    pub sources: Vec<Source>,
}

impl Wiring {
    /// As the manifest says.
    pub fn new(rules: &manifest::Concepts) -> Wiring {
        let [height, width] = rules.image.size.map(Fixed);
        let (n, b, t, l, d) = (Free("N"), Free("B"), Free("T"), Free("L"), Fixed(rules.prompt_dim));
        let (q, side) = (Fixed(rules.queries), Fixed(rules.masks));
        let feature = |(name, shape): (&String, &Vec<usize>)| {
            let dims: Vec<_> = [n].into_iter().chain(shape.iter().map(|&length| Fixed(length))).collect();
            Port::f32(name.clone(), &dims)
        };
        let features: Vec<Port> = rules.features.iter().map(feature).collect();
        let mut sources: Vec<Source> = (0..features.len()).map(Source::Feature).collect();
        sources.extend([Source::ImageIndex, Source::Prompt, Source::PromptMask]);
        let mut inputs = features.clone();
        inputs.extend([
            Port::i64("image_index", &[b]),
            Port::f32("text_hidden", &[b, l, d]),
            Port::i64("text_mask", &[b, l]),
        ]);
        let mut outputs = vec![
            Port::f32("logits", &[b, q]),
            Port::f32("boxes", &[b, q, Fixed(4)]),
            Port::f32("masks", &[b, q, side, side]),
        ];
        if rules.score.has_presence() {
            outputs.push(Port::f32("presence", &[b]));
        }
        if rules.feature_dim > 0 {
            outputs.push(Port::f32("features", &[b, q, Fixed(rules.feature_dim)]));
        }
        Wiring {
            vision: Contract {
                inputs: vec![Port::float("image", &[n, Fixed(3), height, width])],
                outputs: features,
            },
            text: Contract {
                inputs: vec![Port::i64("input_ids", &[t, l]), Port::i64("attention_mask", &[t, l])],
                outputs: vec![Port::f32("text_hidden", &[t, Any("L"), d])],
            },
            decoder: Contract { inputs, outputs },
            sources,
        }
    }

    /// Numbers of values of a graph's ports.
    pub fn lens(ports: &[Port], symbols: &Symbols) -> Vec<usize> {
        let len = |port: &Port| symbols.shape(port).expect("no other symbols").iter().product();
        ports.iter().map(len).collect()
    }
}
