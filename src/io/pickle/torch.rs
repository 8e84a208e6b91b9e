//! The pickles inside PyTorch's checkpoints.

use super::{Machine, Parsed, Value};

/// The networks and optimizers of a checkpoint have some thousand.
const OPCODE_LIMIT: usize = 1 << 20;

/// A tensor of PyTorch: numbers of the storage `key`, row by row.
pub(crate) struct Tensor<'a> {
    /// `FloatStorage` and the like.
    pub class: &'a str,
    pub key: &'a str,
    pub first: usize,
    pub shape: Vec<usize>,
}

/// The pickle of a PyTorch checkpoint, and the place of what it holds.
pub(crate) fn read(code: &[u8]) -> Parsed<(Machine<'_>, usize)> {
    let mut machine = Machine { torch: true, ..Machine::new(OPCODE_LIMIT) };
    let top = machine.run(code).map_err(|(at, what)| format!("pickle, byte {at}: {what}"))?;
    Ok((machine, top))
}

impl<'a> Machine<'a> {
    /// The entries of a dictionary with texts for keys.
    pub(crate) fn entries(&self, place: usize) -> Parsed<Vec<(&'a str, usize)>> {
        match &self.values[place] {
            Value::Dict(entries) => {
                entries.iter().map(|&(key, value)| Ok((self.text(key)?, value))).collect()
            }
            other => Err(format!("needs a dictionary, found {}", other.kind())),
        }
    }

    /// A number.
    pub(crate) fn number(&self, place: usize) -> Parsed<f64> {
        match self.values[place] {
            Value::Int(value) => Ok(value as f64),
            Value::Float(value) => Ok(value),
            ref other => Err(format!("needs a number, found {}", other.kind())),
        }
    }

    /// A tensor whose numbers lie row by row.
    pub(crate) fn tensor(&self, place: usize) -> Parsed<Tensor<'a>> {
        let Value::Tensor([storage, first, shape, strides]) = self.values[place] else {
            return Err(format!("needs a tensor, found {}", self.values[place].kind()));
        };
        let Value::Storage { class, key } = self.values[storage] else {
            return Err(format!("a tensor in {}", self.values[storage].kind()));
        };
        let length = |&place: &usize| match self.values[place] {
            Value::Int(n) => usize::try_from(n).map_err(|_| format!("a length of {n}")),
            ref other => Err(format!("{} in a shape", other.kind())),
        };
        let lengths = |place: usize| self.tuple(place)?.iter().map(length).collect::<Parsed<Vec<_>>>();
        let (shape, strides) = (lengths(shape)?, lengths(strides)?);
        let mut step = 1usize;
        for (&n, &stride) in shape.iter().zip(&strides).rev() {
            if n != 1 && stride != step {
                return Err("a tensor that is not contiguous; save tensor.contiguous() of it".into());
            }
            step = step.checked_mul(n).ok_or("a shape of too many elements")?;
        }
        match shape.len() == strides.len() && shape.len() <= 8 {
            true => Ok(Tensor { class, key, first: length(&first)?, shape }),
            false => Err(format!("a tensor of {} axes and {} strides", shape.len(), strides.len())),
        }
    }
}
