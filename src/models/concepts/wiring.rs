//! Which input of a graph is what, and which output: the contracts of the three graphs of a concept segmenter.
//!
//! What lies in an input is the same in every export. Its axes may have another order or none for the batch, if the batch is
//! one; so values are never moved.

use crate::models::{
    manifest::{
        self,
        ports::{Axis, Formed, Graph, Input, Meaning, Output, Pairs},
    },
    onnx::contract::{
        Contract,
        Dim::{self, Any, Fixed, Free},
        Element, Port, Symbols,
    },
};

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Source {
    /// Images, `[N, C, H, W]`.
    Image,
    /// A name's tokens, `[T, L]`.
    Ids,
    /// 1 for those that count, `[T, L]`.
    Mask,
    /// An output of the vision encoder, by its place there.
    Feature(usize),
    /// The view of every pair, `[B]`.
    ImageIndex,
    /// The name of every pair, `[B, L, D]`.
    Prompt,
    /// 1 for the tokens of it that count, or that do not, `[B, L]`.
    PromptMask { padding: bool },
    /// The same number everywhere.
    Constant(f32),
}

/// A graph: what it takes and gives, and what its inputs are.
#[derive(Debug)]
pub struct Wired {
    pub contract: Contract,
    pub sources: Vec<Source>,
}

impl Wired {
    /// Shapes of its inputs.
    pub fn shapes(&self, symbols: &Symbols) -> Vec<Vec<usize>> {
        let shape = |port| symbols.shape(port).expect("no other symbols");
        self.contract.inputs.iter().map(shape).collect()
    }
}

/// The three graphs.
#[derive(Debug)]
pub struct Wiring {
    /// An image, its first input, to features.
    pub vision: Wired,
    /// Tokens to a prompt, one name at a time.
    pub text: Wired,
    /// Features and prompts to answers. Its outputs are logits, boxes, masks, then presence, then features, as far as there
    /// are any.
    pub decoder: Wired,
    /// Whether images go through the vision encoder one by one.
    pub one_image: bool,
    /// How pairs go through the decoder.
    pub pairs: Pairs,
}

/// What can be an input, with partstad's own name and axes; the first is the batch.
struct Role {
    name: &'static str,
    own: &'static str,
    axes: &'static [Axis],
    elements: &'static [Element],
    source: Source,
}

const fn letter(c: char) -> Axis {
    Axis::Letter(c)
}

const VISION: [Role; 1] = [Role {
    name: "image",
    own: "image",
    axes: &[letter('N'), letter('C'), letter('H'), letter('W')],
    elements: &[Element::F32, Element::F16, Element::U8],
    source: Source::Image,
}];

const TEXT: [Role; 2] = [
    Role {
        name: "ids",
        own: "input_ids",
        axes: &[letter('T'), letter('L')],
        elements: &[Element::I64],
        source: Source::Ids,
    },
    Role {
        name: "mask",
        own: "attention_mask",
        axes: &[letter('T'), letter('L')],
        elements: MASKS,
        source: Source::Mask,
    },
];

const DECODER: [Role; 3] = [
    Role {
        name: "image_index",
        own: "image_index",
        axes: &[letter('B')],
        elements: &[Element::I64],
        source: Source::ImageIndex,
    },
    Role {
        name: "prompt",
        own: "text_hidden",
        axes: &[letter('B'), letter('L'), letter('D')],
        elements: &[Element::F32],
        source: Source::Prompt,
    },
    Role {
        name: "prompt_mask",
        own: "text_mask",
        axes: &[letter('B'), letter('L')],
        elements: MASKS,
        source: Source::PromptMask { padding: false },
    },
];

const MASKS: &[Element] = &[Element::I64, Element::Bool];
const NUMBERS: &[Element] = &[Element::F32, Element::I64, Element::Bool, Element::F16];
/// Most values of a constant.
const CONSTANT: usize = 1 << 24;

impl Wiring {
    /// As the manifest says; the error begins with a field's name.
    pub fn new(rules: &manifest::Concepts) -> Result<Wiring, String> {
        let manifest::Concepts { ports, pairs, .. } = rules;
        let mut lengths = Lengths { rules, batch: [false; 2] };
        let mut vision_inputs = lengths.inputs("vision_encoder", &ports.vision_encoder, &VISION, 'N')?;
        vision_inputs.sort_by_key(|(_, source)| *source != Source::Image);
        let text_inputs = lengths.inputs("text_encoder", &ports.text_encoder, &TEXT, 'T')?;
        let roles = if *pairs == Pairs::Indexed { &DECODER[..] } else { &DECODER[1..] };
        let own = lengths.inputs("decoder", &ports.decoder, roles, 'B')?;
        let hidden = [letter('T'), letter('L'), letter('D')];
        let hidden =
            lengths.output("text_encoder", &ports.text_encoder, ("hidden", "text_hidden"), &hidden)?;
        let mut outputs = vec![
            ("logits", vec![letter('B'), letter('Q')]),
            ("boxes", vec![letter('B'), letter('Q'), Axis::Length(4)]),
            ("masks", vec![letter('B'), letter('Q'), letter('S'), letter('S')]),
        ];
        if rules.score.has_presence() {
            outputs.push(("presence", vec![letter('B')]));
        }
        if rules.feature_dim > 0 {
            outputs.push(("features", vec![letter('B'), letter('Q'), letter('F')]));
        }
        let known: Vec<&str> = outputs.iter().map(|(role, _)| *role).collect();
        check_roles("vision_encoder", &ports.vision_encoder, &[])?;
        check_roles("text_encoder", &ports.text_encoder, &["hidden"])?;
        check_roles("decoder", &ports.decoder, &known)?;
        let outputs = outputs
            .iter()
            .map(|(role, axes)| lengths.output("decoder", &ports.decoder, (role, role), axes))
            .collect::<Result<Vec<_>, _>>()?;
        let [one_image, one_pair] = lengths.batch;
        if one_pair && *pairs != Pairs::Single {
            return Err(
                "ports.decoder: an axis of pairs that is missing or not the first asks for pairs \"single\""
                    .into(),
            );
        }
        let feature = |first: Dim| {
            move |(name, shape): (&String, &Vec<usize>)| {
                let dims = [first].into_iter().chain(shape.iter().map(|&length| Fixed(length))).collect();
                Port::of(name.clone(), &[Element::F32], dims)
            }
        };
        let views = match pairs {
            Pairs::Indexed => Free("N"),
            Pairs::Aligned => Free("B"),
            Pairs::OneView | Pairs::Single => Fixed(1),
        };
        let mut inputs: Vec<Port> = rules.features.iter().map(feature(views)).collect();
        let mut sources: Vec<Source> = (0..inputs.len()).map(Source::Feature).collect();
        let (ports, own): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        inputs.extend(ports);
        sources.extend(own);
        let first = if one_image { Fixed(1) } else { Free("N") };
        let wired = |inputs: Vec<(Port, Source)>, outputs| {
            let (inputs, sources) = inputs.into_iter().unzip();
            Wired { contract: Contract { inputs, outputs }, sources }
        };
        Ok(Wiring {
            vision: wired(vision_inputs, rules.features.iter().map(feature(first)).collect()),
            text: wired(text_inputs, vec![hidden]),
            decoder: Wired { contract: Contract { inputs, outputs }, sources },
            one_image,
            pairs: *pairs,
        })
    }

    /// Numbers of values of a graph's ports.
    pub fn lens(ports: &[Port], symbols: &Symbols) -> Vec<usize> {
        let len = |port: &Port| symbols.shape(port).expect("no other symbols").iter().product();
        ports.iter().map(len).collect()
    }
}

/// Refuses outputs that nobody reads.
fn check_roles(graph: &str, ports: &Graph, known: &[&str]) -> Result<(), String> {
    match ports.outputs.keys().find(|role| !known.contains(&&role[..])) {
        Some(role) => Err(format!("ports.{graph}.outputs: {role:?} is none of {}", list(known))),
        None => Ok(()),
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none, by these rules".into() } else { names.join(", ") }
}

/// What letters stand for, and whether the batches N and B are one.
struct Lengths<'a> {
    rules: &'a manifest::Concepts,
    batch: [bool; 2],
}

impl Lengths<'_> {
    /// What a graph takes, in the order of the roles, or of its names if it has its own.
    fn inputs(
        &mut self,
        graph: &str,
        ports: &Graph,
        roles: &[Role],
        batch: char,
    ) -> Result<Vec<(Port, Source)>, String> {
        let field = format!("ports.{graph}.inputs");
        // First, whether the batch is one, which all its inputs are then.
        let role_of = |name: &str| {
            let known: Vec<&str> = roles.iter().map(|role| role.name).collect();
            let found = roles.iter().find(|role| role.name == name);
            found.ok_or_else(|| format!("{field}: {name:?} is none of {}", list(&known)))
        };
        for input in ports.inputs.values() {
            if let Input::Formed(Formed { from, axes: Some(axes), .. }) = input {
                let role = role_of(from)?;
                self.note(axes, role.axes).map_err(|why| format!("{field}: {from} {why}"))?;
            }
        }
        let mut made = vec![];
        for (name, input) in &ports.inputs {
            let (role, axes, meaning) = match input {
                Input::Constant(constant) => {
                    let fits = |axis: &Axis| match axis {
                        Axis::Length(n) => (1..=65536).contains(n),
                        Axis::Letter(c) => *c == batch,
                    };
                    let lengths =
                        constant.axes.iter().map(|axis| if let Axis::Length(n) = axis { *n } else { 1 });
                    let few = lengths.fold(1usize, usize::saturating_mul) <= CONSTANT;
                    if !constant.axes.iter().all(fits) || !few || !constant.fill.is_finite() {
                        return Err(format!(
                            "{field}.{name}: axes are lengths in 1..=65536 or \"{batch}\", {CONSTANT} numbers at most, fill is finite"
                        ));
                    }
                    let dims = constant.axes.iter().map(|&axis| self.dim(axis)).collect::<Result<_, _>>()?;
                    made.push((
                        Port::of(name.clone(), NUMBERS, dims),
                        Source::Constant(constant.fill as f32),
                    ));
                    continue;
                }
                Input::Role(from) => (role_of(from)?, None, None),
                Input::Formed(Formed { from, axes, meaning }) => (role_of(from)?, axes.as_ref(), *meaning),
            };
            let source = match (role.source, meaning) {
                (Source::PromptMask { .. }, Some(Meaning::Padding)) => Source::PromptMask { padding: true },
                (source, None) => source,
                _ => return Err(format!("{field}.{name}: prompt_mask alone can be \"padding\"")),
            };
            let dims = axes.map_or(role.axes, |axes| axes).iter().map(|&axis| self.dim(axis));
            made.push((Port::of(name.clone(), role.elements, dims.collect::<Result<_, _>>()?), source));
        }
        // Without names of its own, all roles by partstad's; with some, an index of the image that it does not mention.
        for role in roles {
            let mentioned = made
                .iter()
                .any(|(_, source)| std::mem::discriminant(source) == std::mem::discriminant(&role.source));
            let optional = matches!(role.source, Source::Mask | Source::PromptMask { .. });
            if mentioned || (optional && !ports.inputs.is_empty()) {
                continue;
            }
            if !ports.inputs.is_empty() && role.source != Source::ImageIndex {
                return Err(format!("{field} must say which input is the {}", role.name));
            }
            let dims = role.axes.iter().map(|&axis| self.dim(axis)).collect::<Result<_, _>>()?;
            made.push((Port::of(role.own, role.elements, dims), role.source));
        }
        Ok(made)
    }

    /// An output under its name, with its axes.
    fn output(
        &mut self,
        graph: &str,
        ports: &Graph,
        (role, own): (&str, &str),
        axes: &[Axis],
    ) -> Result<Port, String> {
        let (name, axes) = match ports.outputs.get(role) {
            None => (own, axes),
            Some(Output::Name(name)) => (&name[..], axes),
            Some(Output::Formed(named)) => {
                self.note(&named.axes, axes).map_err(|why| format!("ports.{graph}.outputs.{role} {why}"))?;
                (&named.name[..], &named.axes[..])
            }
        };
        let dims = axes.iter().map(|&axis| self.dim(axis)).collect::<Result<Vec<_>, _>>()?;
        // The file may say nothing of how long its texts are.
        let dims = if graph == "text_encoder" { dims.into_iter().map(any).collect() } else { dims };
        Ok(Port::of(name.to_string(), &[Element::F32], dims))
    }

    /// Checks axes against partstad's own, and notes whether the batch must be one.
    fn note(&mut self, axes: &[Axis], own: &[Axis]) -> Result<(), String> {
        let batch = own[0];
        let rest = |axes: &[Axis]| -> Vec<Axis> {
            axes.iter().copied().filter(|&axis| axis != batch && axis != Axis::Length(1)).collect()
        };
        if rest(axes) != rest(own) || axes.iter().filter(|&&axis| axis == batch).count() > 1 {
            return Err(format!(
                "has axes [{}]; they must be those of [{}], but for where {} is, and 1s",
                text(axes),
                text(own),
                text(&[batch])
            ));
        }
        let leads = axes.iter().find(|&&axis| axis != Axis::Length(1)) == Some(&batch);
        self.batch[0] |= !leads && batch == letter('N');
        self.batch[1] |= !leads && batch == letter('B');
        Ok(())
    }

    fn dim(&self, axis: Axis) -> Result<Dim, String> {
        let rules = self.rules;
        let [height, width] = rules.image.size;
        let [one_image, one_pair] = self.batch;
        let one = |one: bool, symbol| if one { Fixed(1) } else { Free(symbol) };
        Ok(match axis {
            Axis::Length(n) => Fixed(n),
            Axis::Letter('N') => one(one_image, "N"),
            Axis::Letter('B') => one(one_pair || rules.pairs == Pairs::Single, "B"),
            // Names are read one by one.
            Axis::Letter('T') => Any("T"),
            Axis::Letter('L') => rules.prompt_tokens.map_or(Free("L"), Fixed),
            Axis::Letter('C') => Fixed(3),
            Axis::Letter('H') => Fixed(height),
            Axis::Letter('W') => Fixed(width),
            Axis::Letter('D') => Fixed(rules.prompt_dim),
            Axis::Letter('Q') => Fixed(rules.queries),
            Axis::Letter('S') => Fixed(rules.masks),
            Axis::Letter('F') => Fixed(rules.feature_dim),
            Axis::Letter(c) => return Err(format!("ports: no axis is called {c:?}")),
        })
    }
}

fn any(dim: Dim) -> Dim {
    match dim {
        Free(symbol) => Any(symbol),
        other => other,
    }
}

fn text(axes: &[Axis]) -> String {
    let one = |axis: &Axis| match axis {
        Axis::Length(n) => n.to_string(),
        Axis::Letter(c) => c.to_string(),
    };
    axes.iter().map(one).collect::<Vec<_>>().join(", ")
}
