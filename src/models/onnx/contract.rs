//! What a model takes and gives: the contract of its inputs and outputs, and how a model's own differ.

use ort::{
    session::Session,
    value::{Outlet, TensorElementType, ValueType},
};
use serde::Serialize;
use std::{borrow::Cow, fmt};

/// Element types of the contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 16-bit float.
    F16,
    /// 32-bit float.
    F32,
    /// 64-bit integer.
    I64,
    /// Truth, a byte each.
    Bool,
    /// 8-bit integer from 0.
    U8,
}

impl Element {
    /// An element type of ONNX Runtime's, if it is one of these.
    pub fn from_ort(element: TensorElementType) -> Option<Element> {
        match element {
            TensorElementType::Float16 => Some(Element::F16),
            TensorElementType::Float32 => Some(Element::F32),
            TensorElementType::Int64 => Some(Element::I64),
            TensorElementType::Bool => Some(Element::Bool),
            TensorElementType::Uint8 => Some(Element::U8),
            _ => None,
        }
    }
}

/// Length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim {
    /// Any length, under this symbol; an input's must be dynamic in the file.
    Free(&'static str),
    /// Any length, under this symbol, that the file may fix.
    Any(&'static str),
    /// Exactly this.
    Fixed(usize),
}

/// An input or output that a contract asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: Cow<'static, str>,
    /// What its elements may be.
    pub elements: &'static [Element],
    /// Its axes.
    pub dims: Vec<Dim>,
}

impl Port {
    /// A port of any of these.
    pub fn of(name: impl Into<Cow<'static, str>>, elements: &'static [Element], dims: Vec<Dim>) -> Port {
        Port { name: name.into(), elements, dims }
    }

    /// A port of f32.
    pub fn f32(name: impl Into<Cow<'static, str>>, dims: &[Dim]) -> Port {
        Port { name: name.into(), elements: &[Element::F32], dims: dims.to_vec() }
    }

    /// A port of f32 or f16, as the file has it.
    pub fn float(name: impl Into<Cow<'static, str>>, dims: &[Dim]) -> Port {
        Port { name: name.into(), elements: &[Element::F32, Element::F16], dims: dims.to_vec() }
    }

    /// A port of i64.
    pub fn i64(name: impl Into<Cow<'static, str>>, dims: &[Dim]) -> Port {
        Port { name: name.into(), elements: &[Element::I64], dims: dims.to_vec() }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Element::F16 => "f16",
            Element::F32 => "f32",
            Element::I64 => "i64",
            Element::Bool => "bool",
            Element::U8 => "u8",
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<String> = self.elements.iter().map(|e| e.to_string()).collect();
        let dims: Vec<String> = self.dims.iter().map(|d| d.to_string()).collect();
        write!(f, "{} [{}]", elements.join(" or "), dims.join(", "))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Free(symbol) | Dim::Any(symbol) => f.write_str(symbol),
            Dim::Fixed(n) => write!(f, "{n}"),
        }
    }
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Every input there may be.
    pub inputs: Vec<Port>,
    /// The outputs that are read; a model may have more.
    pub outputs: Vec<Port>,
}

/// An input or output of a contract, of a model or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// "input" or "output".
    pub kind: &'static str,
    /// Its name in the graph.
    pub name: String,
    /// What the contract asks for, if it knows it.
    pub contract: Option<String>,
    /// What the model has, if it has it.
    pub model: Option<String>,
    /// What is wrong, in words.
    pub problem: Option<String>,
}

impl Contract {
    /// The lengths of the axes with symbols. `elements`: of every input in the model; `inputs`: shape, elements and number
    /// of values.
    pub fn bind<'a>(
        &self,
        elements: &[Element],
        inputs: impl ExactSizeIterator<Item = (&'a [usize], Element, usize)>,
    ) -> Result<Symbols, String> {
        if inputs.len() != self.inputs.len() {
            return Err(format!("{} inputs given, {} needed", inputs.len(), self.inputs.len()));
        }
        let mut symbols = Symbols(vec![]);
        for ((port, own), (shape, element, len)) in self.inputs.iter().zip(elements).zip(inputs) {
            let agrees = |(&dim, &n): (&Dim, &usize)| match (symbols.length(dim), dim) {
                (Some(bound), _) => bound == n,
                (None, Dim::Free(symbol) | Dim::Any(symbol)) => {
                    symbols.0.push((symbol, n));
                    true
                }
                (None, Dim::Fixed(_)) => false,
            };
            if element != *own
                || shape.len() != port.dims.len()
                || len != shape.iter().product::<usize>()
                || !port.dims.iter().zip(shape).all(agrees)
            {
                return Err(format!(
                    "input `{}` is {len} values ({element}) of shape {shape:?}, expected {port}, in {own}",
                    port.name
                ));
            }
        }
        Ok(symbols)
    }
}

/// What the symbols of a contract's axes are in one run.
pub struct Symbols(Vec<(&'static str, usize)>);

impl<const N: usize> From<[(&'static str, usize); N]> for Symbols {
    fn from(symbols: [(&'static str, usize); N]) -> Symbols {
        Symbols(symbols.to_vec())
    }
}

impl Symbols {
    /// Lengths of all axes; none if one's symbol is unknown.
    pub fn shape(&self, port: &Port) -> Option<Vec<usize>> {
        port.dims.iter().map(|&dim| self.length(dim)).collect()
    }

    /// Length of an axis; none if its symbol is unknown.
    pub fn length(&self, dim: Dim) -> Option<usize> {
        match dim {
            Dim::Fixed(n) => Some(n),
            Dim::Free(symbol) | Dim::Any(symbol) => {
                self.0.iter().find(|(s, _)| *s == symbol).map(|&(_, n)| n)
            }
        }
    }
}

impl fmt::Display for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbols: Vec<String> = self.0.iter().map(|(symbol, n)| format!("{symbol} = {n}")).collect();
        f.write_str(&symbols.join(", "))
    }
}

/// What is said of an input that only the model has.
pub const UNKNOWN: &str = "is none that the contract knows";

/// Every input and output of the contract beside the model's, then the inputs that only the model has.
pub fn compare(session: &Session, contract: &Contract) -> Vec<Comparison> {
    let mut ports = vec![];
    for (expected, outlets, kind) in
        [(&contract.inputs, session.inputs(), "input"), (&contract.outputs, session.outputs(), "output")]
    {
        for port in expected {
            let outlet = outlets.iter().find(|outlet| outlet.name() == port.name);
            let problem = match outlet {
                Some(outlet) => differs(port, outlet, kind == "input")
                    .err()
                    .map(|why| format!("{kind} `{}` should be {port}, but {why}", port.name)),
                None => {
                    let names: Vec<&str> = outlets.iter().map(|o| o.name()).collect();
                    let names = names.join(", ");
                    Some(format!("there is no {kind} `{}` ({port}); the {kind}s are: {names}", port.name))
                }
            };
            let (name, contract) = (port.name.to_string(), Some(port.to_string()));
            ports.push(Comparison { kind, name, contract, model: outlet.map(shape), problem });
        }
    }
    for outlet in session.inputs() {
        if contract.inputs.iter().all(|port| port.name != outlet.name()) {
            let problem = Some(format!("input `{}` ({}) {UNKNOWN}", outlet.name(), shape(outlet)));
            let (name, model) = (outlet.name().to_string(), Some(shape(outlet)));
            ports.push(Comparison { kind: "input", name, contract: None, model, problem });
        }
    }
    ports
}

/// Elements and axes of a model's input or output, as a [`Port`] shows them.
fn shape(outlet: &Outlet) -> String {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return outlet.dtype().to_string();
    };
    let axis = |(&n, symbol): (&i64, &String)| match n {
        0.. => n.to_string(),
        _ if symbol.is_empty() => "?".into(),
        _ => symbol.clone(),
    };
    let axes: Vec<String> = shape.iter().zip(dimension_symbols.iter()).map(axis).collect();
    format!("{ty} [{}]", axes.join(", "))
}

/// How a graph's input or output differs from the contract.
fn differs(port: &Port, outlet: &Outlet, is_input: bool) -> Result<(), String> {
    let found = outlet.dtype();
    if !found
        .tensor_type()
        .and_then(Element::from_ort)
        .is_some_and(|element| port.elements.contains(&element))
    {
        return Err(format!("the model has {found}"));
    }
    let shape = found.tensor_shape().map_or(&[][..], |shape| &**shape);
    if shape.is_empty() && !is_input {
        // ONNX Runtime could not infer the shape; every run checks it.
        return Ok(());
    }
    if shape.len() != port.dims.len() {
        return Err(format!("the model has {} axes: {found}", shape.len()));
    }
    for (axis, (dim, &n)) in port.dims.iter().zip(shape).enumerate() {
        match *dim {
            Dim::Fixed(fixed) if n >= 0 && n as usize != fixed => {
                return Err(format!("the model's axis {axis} is {n}"));
            }
            Dim::Free(_) if n >= 0 && is_input => {
                return Err(format!("the model's axis {axis} is fixed at {n}; export it as dynamic"));
            }
            _ => {}
        }
    }
    Ok(())
}
