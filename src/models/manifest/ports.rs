//! What the graphs of other exports call their inputs and outputs, and how these lie.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Those of the three graphs of a concept segmenter, where they are not partstad's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ports {
    /// Of the vision encoder.
    #[serde(skip_serializing_if = "Graph::is_own")]
    pub vision_encoder: Graph,
    /// Of the text encoder.
    #[serde(skip_serializing_if = "Graph::is_own")]
    pub text_encoder: Graph,
    /// Of the decoder.
    #[serde(skip_serializing_if = "Graph::is_own")]
    pub decoder: Graph,
}

/// Those of one graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Graph {
    /// What each input is, by its name in the graph: all of them, but for the features and the index of the image; none =
    /// partstad's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// The outputs' names in the graph, by what they are; others have partstad's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Output>,
}

impl Graph {
    fn is_own(&self) -> bool {
        *self == Graph::default()
    }
}

impl Ports {
    /// Whether there are none.
    pub fn are_own(&self) -> bool {
        *self == Ports::default()
    }
}

/// What an input is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "an input is a role, {\"from\": role, \"axes\", \"as\"} or {\"fill\": number, \"axes\"}"
)]
pub enum Input {
    /// A role, its axes as partstad's.
    Role(String),
    /// A role in another form.
    Formed(Formed),
    /// The same number everywhere.
    Constant(Constant),
}

/// A role in another form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Formed {
    /// The role.
    pub from: String,
    /// Its axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<Vec<Axis>>,
    /// What a mask's 1 means, if not that a token counts.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Meaning>,
}

/// What a mask's 1 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// That there is no token.
    Padding,
}

/// The same number everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The number.
    pub fill: f64,
    /// Lengths, or `B`.
    pub axes: Vec<Axis>,
}

/// An axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an axis is a length or a letter")]
pub enum Axis {
    /// Of this length.
    Length(usize),
    /// Of the length that the letter stands for.
    Letter(char),
}

/// An output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "an output is a name, or {\"name\", \"axes\"}")]
pub enum Output {
    /// Its name; its axes as partstad's.
    Name(String),
    /// With axes of its own.
    Formed(Named),
}

/// An output with axes of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its axes.
    pub axes: Vec<Axis>,
}

/// How pairs of a view and a name go through the decoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// N views, B pairs, and the view of each pair.
    #[default]
    Indexed,
    /// B views, B names: a view's features are repeated for every name.
    Aligned,
    /// One view, B names.
    OneView,
    /// One view, one name.
    Single,
}

impl Pairs {
    /// Whether they are partstad's own.
    pub fn are_own(&self) -> bool {
        *self == Pairs::Indexed
    }
}
