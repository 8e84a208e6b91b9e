//! The dictionaries of arrays that `numpy.save` pickles into a `.npy` file, as PartNet-Ensembled stores its labels; and
//! the pickles inside PyTorch's checkpoints (`torch`).
//!
//! A reader of data, not an interpreter: it knows the few opcodes and names that NumPy writes for arrays of integers
//! and PyTorch for tensors, builds these, and refuses everything else. Nothing is ever imported or called.

use crate::{
    error::{Error, Result},
    io::npy::{self, Array},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// Reads a `.npy` file that holds one dictionary from names to arrays of integers:
/// `numpy.save(path, {"semantic_seg": a, "instance_seg": b})`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it holds anything else.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array<i64>>> {
    parse(&std::fs::read(path).map_err(Error::io(path))?, path)
}

/// What [`read`] does, from memory; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(file: &[u8], path: &Path) -> Result<BTreeMap<String, Array<i64>>> {
    let unfit = |message: String| Error::format(path, message);
    let Some(pickle) = npy::pickled(file, path)? else {
        return Err(unfit("holds no pickled dictionary of arrays".into()));
    };
    let mut machine = Machine::default();
    let top = machine.run(pickle).map_err(|(at, what)| unfit(format!("pickle, byte {at}: {what}")))?;
    let mut arrays = BTreeMap::new();
    for (name, Contents { descr, shape, bytes }) in machine.dictionary(top).map_err(unfit)? {
        // The array's own file, so that the numbers are converted in one place.
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let length = (header.len() as u32).to_le_bytes();
        let npy = [b"\x93NUMPY\x02\x00", &length[..], header.as_bytes(), bytes].concat();
        arrays.insert(name.to_owned(), npy::parse(&npy[..], npy.len() as u64, path)?);
    }
    Ok(arrays)
}

/// A value; the ones it holds are named by their place among the machine's values.
#[derive(Debug)]
enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    /// `numpy.ndarray` and the like: a name, which stands for nothing but itself.
    Global(&'a str),
    /// `<i8` and the like; the order is known once it is built.
    Dtype {
        name: &'a str,
        order: &'a str,
    },
    /// An array: dtype, shape, contents; empty until it is built.
    Array(Option<[usize; 3]>),
    Float(f64),
    /// Where PyTorch keeps a tensor's numbers: their type and the file within the checkpoint.
    Storage {
        class: &'a str,
        key: &'a str,
    },
    /// Of PyTorch: storage, first element, shape, strides.
    Tensor([usize; 4]),
}

/// A tensor of PyTorch: numbers of the storage `key`, row by row.
pub(super) struct Tensor<'a> {
    /// `FloatStorage` and the like.
    pub class: &'a str,
    pub key: &'a str,
    pub first: usize,
    pub shape: Vec<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Machine<'a> {
    /// Whether PyTorch's names are known, instead of NumPy's.
    torch: bool,
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
}

pub(super) type Parsed<T> = Result<T, String>;

/// The pickle of a PyTorch checkpoint, and the place of what it holds.
pub(super) fn torch(code: &[u8]) -> Parsed<(Machine<'_>, usize)> {
    let mut machine = Machine { torch: true, ..Machine::default() };
    let top = machine.run(code).map_err(|(at, what)| format!("pickle, byte {at}: {what}"))?;
    Ok((machine, top))
}

impl<'a> Machine<'a> {
    /// The entries of a dictionary with texts for keys.
    pub(super) fn entries(&self, place: usize) -> Parsed<Vec<(&'a str, usize)>> {
        match &self.values[place] {
            Value::Dict(entries) => {
                entries.iter().map(|&(key, value)| Ok((self.text(key)?, value))).collect()
            }
            other => Err(format!("needs a dictionary, found {}", other.kind())),
        }
    }

    /// A number.
    pub(super) fn number(&self, place: usize) -> Parsed<f64> {
        match self.values[place] {
            Value::Int(value) => Ok(value as f64),
            Value::Float(value) => Ok(value),
            ref other => Err(format!("needs a number, found {}", other.kind())),
        }
    }

    /// A tensor whose numbers lie row by row.
    pub(super) fn tensor(&self, place: usize) -> Parsed<Tensor<'a>> {
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

    /// Runs to the end; the place of the one value that is left, or where and why it stopped.
    fn run(&mut self, code: &'a [u8]) -> Result<usize, (usize, String)> {
        let mut rest = code;
        loop {
            let at = code.len() - rest.len();
            match self.step(&mut rest) {
                Ok(None) => (),
                Ok(Some(top)) => return Ok(top),
                Err(what) => return Err((at, what)),
            }
        }
    }

    fn step(&mut self, code: &mut &'a [u8]) -> Parsed<Option<usize>> {
        match take::<1>(code)?[0] {
            0x80 => match take::<1>(code)?[0] {
                2..=5 => (),
                other => return Err(format!("protocol {other}; save it again with NumPy 1.16 or later")),
            },
            0x95 => _ = take::<8>(code)?,
            b'.' => return self.pop().map(Some),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => self.push_int(take::<1>(code)?[0].into()),
            b'M' => self.push_int(u16::from_le_bytes(take(code)?).into()),
            b'J' => self.push_int(i32::from_le_bytes(take(code)?).into()),
            0x8a => {
                let length = take::<1>(code)?[0].into();
                let bytes = slice(code, length)?;
                let negative = bytes.last().is_some_and(|&high| high >= 0x80);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                wide.get_mut(..bytes.len()).ok_or("an integer of more than 64 bits")?.copy_from_slice(bytes);
                self.push_int(i64::from_le_bytes(wide));
            }
            b'G' if self.torch => {
                let value = f64::from_be_bytes(take(code)?);
                self.push(Value::Float(value));
            }
            b'Q' if self.torch => self.storage()?,
            0x8c => {
                let length = take::<1>(code)?[0].into();
                self.push_text(slice(code, length)?)?;
            }
            b'X' => {
                let length = u32::from_le_bytes(take(code)?).into();
                self.push_text(slice(code, length)?)?;
            }
            b'C' => {
                let length = take::<1>(code)?[0].into();
                self.push(Value::Bytes(slice(code, length)?));
            }
            b'B' => {
                let length = u32::from_le_bytes(take(code)?).into();
                self.push(Value::Bytes(slice(code, length)?));
            }
            0x8e => {
                let length = u64::from_le_bytes(take(code)?);
                self.push(Value::Bytes(slice(code, length)?));
            }
            0x94 => {
                let next = self.memo.len() as u32;
                self.remember(next)?;
            }
            b'q' => self.remember(take::<1>(code)?[0].into())?,
            b'r' => self.remember(u32::from_le_bytes(take(code)?))?,
            b'h' => self.recall(take::<1>(code)?[0].into())?,
            b'j' => self.recall(u32::from_le_bytes(take(code)?))?,
            b'(' => self.marks.push(self.stack.len()),
            b')' => self.push(Value::Tuple(vec![])),
            count @ 0x85..=0x87 => {
                let items = self.pops(count as usize - 0x84)?;
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items));
            }
            b']' => self.push(Value::List(vec![])),
            b'}' => self.push(Value::Dict(vec![])),
            b'a' => {
                let items = self.pops(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(items)?;
            }
            b's' => {
                let items = self.pops(2)?;
                self.set_items(items)?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(items)?;
            }
            b'c' => {
                let (module, name) = (line(code)?, line(code)?);
                self.push_global(module, name)?;
            }
            0x93 => {
                let [module, name] = self.pops(2)?[..] else { unreachable!("two were asked for") };
                let (module, name) = (self.text(module)?, self.text(name)?);
                self.push_global(module, name)?;
            }
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => return Err(format!("opcode {other:#04x} is none of those that arrays need")),
        }
        Ok(None)
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn push_int(&mut self, value: i64) {
        self.push(Value::Int(value));
    }

    fn push_text(&mut self, bytes: &'a [u8]) -> Parsed<()> {
        self.push(Value::Text(std::str::from_utf8(bytes).map_err(|e| format!("a text: {e}"))?));
        Ok(())
    }

    fn push_global(&mut self, module: &'a str, name: &'a str) -> Parsed<()> {
        let known = match (self.torch, module) {
            (false, "numpy.core.multiarray" | "numpy._core.multiarray") => name == "_reconstruct",
            (false, "numpy") => ["ndarray", "dtype"].contains(&name),
            (true, "collections") => name == "OrderedDict",
            (true, "torch._utils") => name == "_rebuild_tensor_v2",
            (true, "torch") => {
                ["FloatStorage", "DoubleStorage", "HalfStorage", "LongStorage"].contains(&name)
            }
            _ => false,
        };
        if !known {
            let what = if self.torch { "tensor" } else { "array of integers" };
            return Err(format!("refers to {module}.{name}, which no {what} needs; refused"));
        }
        self.push(Value::Global(name));
        Ok(())
    }

    /// The persistent id of PyTorch: ("storage", class, key, device, elements).
    fn storage(&mut self) -> Parsed<()> {
        let id = self.pop()?;
        let &[_, class, key, _, _] = self.tuple(id)? else {
            return Err("a storage that is not five things".into());
        };
        let Value::Global(class) = self.values[class] else {
            return Err(format!("a storage of {}", self.values[class].kind()));
        };
        let key = self.text(key)?;
        self.push(Value::Storage { class, key });
        Ok(())
    }

    fn pop(&mut self) -> Parsed<usize> {
        Ok(self.pops(1)?[0])
    }

    /// The topmost `count` values above the last mark, in their order.
    fn pops(&mut self, count: usize) -> Parsed<Vec<usize>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(from) if from >= floor => Ok(self.stack.split_off(from)),
            _ => Err("takes more values than there are".into()),
        }
    }

    fn pop_mark(&mut self) -> Parsed<Vec<usize>> {
        let from = self.marks.pop().ok_or("takes values up to a mark that is not there")?;
        Ok(self.stack.split_off(from))
    }

    fn top(&self) -> Parsed<usize> {
        self.stack.last().copied().ok_or_else(|| "needs a value, but there is none".into())
    }

    fn remember(&mut self, key: u32) -> Parsed<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Parsed<()> {
        self.stack.push(*self.memo.get(&key).ok_or_else(|| format!("recalls value {key}, never stored"))?);
        Ok(())
    }

    fn text(&self, place: usize) -> Parsed<&'a str> {
        match self.values[place] {
            Value::Text(text) => Ok(text),
            ref other => Err(format!("needs a text, found {}", other.kind())),
        }
    }

    fn tuple(&self, place: usize) -> Parsed<&[usize]> {
        match &self.values[place] {
            Value::Tuple(items) => Ok(items),
            other => Err(format!("needs a tuple, found {}", other.kind())),
        }
    }

    fn append(&mut self, items: Vec<usize>) -> Parsed<()> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            other => return Err(format!("appends to {}", other.kind())),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<usize>) -> Parsed<()> {
        let top = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else { return Err("a key without a value".into()) };
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            other => return Err(format!("sets an entry of {}", other.kind())),
        }
        Ok(())
    }

    /// `_reconstruct(ndarray, ...)` and `dtype(name, ...)`: an object that is built later.
    fn reduce(&mut self) -> Parsed<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let arguments = self.tuple(arguments)?;
        let object = match (&self.values[callable], arguments) {
            (Value::Global("_reconstruct"), &[class, ..])
                if matches!(self.values[class], Value::Global("ndarray")) =>
            {
                Value::Array(None)
            }
            (Value::Global("OrderedDict"), []) => Value::Dict(vec![]),
            (Value::Global("_rebuild_tensor_v2"), &[storage, first, shape, strides, ..]) => {
                Value::Tensor([storage, first, shape, strides])
            }
            (Value::Global("dtype"), &[name, ..]) => Value::Dtype { name: self.text(name)?, order: "|" },
            (other, _) => return Err(format!("calls {}; refused", other.kind())),
        };
        self.push(object);
        Ok(())
    }

    /// The state of a dtype is (version, order, ...), that of an array (version, shape, dtype, column-major, contents).
    fn build(&mut self) -> Parsed<()> {
        let state = self.pop()?;
        let object = self.top()?;
        if self.torch && matches!(self.values[object], Value::Dict(_)) {
            // What PyTorch notes beside a dictionary of tensors: versions of its modules.
            return Ok(());
        }
        let state = self.tuple(state)?;
        let built = match (&self.values[object], state) {
            (Value::Dtype { name, .. }, &[_, order, ..]) => Value::Dtype { name, order: self.text(order)? },
            (Value::Array(None), &[_, shape, dtype, column_major, contents]) => {
                if matches!(self.values[column_major], Value::Bool(true)) && self.tuple(shape)?.len() > 1 {
                    return Err("a column-major array; save numpy.ascontiguousarray of it".into());
                }
                Value::Array(Some([shape, dtype, contents]))
            }
            (other, _) => return Err(format!("sets the state of {}", other.kind())),
        };
        self.values[object] = built;
        Ok(())
    }

    /// The entries of the dictionary inside the array of one object at `top`.
    fn dictionary(&self, top: usize) -> Parsed<Vec<(&'a str, Contents<'a>)>> {
        let Value::Array(Some([_, _, list])) = self.values[top] else {
            return Err(format!("holds {}, not an array of one object", self.values[top].kind()));
        };
        let Value::List(list) = &self.values[list] else { return Err("holds no object".into()) };
        let &[only] = &list[..] else { return Err(format!("holds {} objects, not one", list.len())) };
        let Value::Dict(entries) = &self.values[only] else {
            return Err(format!("holds {}, not a dictionary of arrays", self.values[only].kind()));
        };
        // Entries may share their contents: many of them would fill the memory from a small file.
        if entries.len() > 64 {
            return Err(format!("a dictionary of {} entries; the limit is 64", entries.len()));
        }
        let entry = |&(key, value): &(usize, usize)| {
            let name = self.text(key)?;
            Ok((name, self.contents(value).map_err(|what| format!("entry {name:?}: {what}"))?))
        };
        entries.iter().map(entry).collect()
    }

    fn contents(&self, place: usize) -> Parsed<Contents<'a>> {
        let Value::Array(Some([shape, dtype, bytes])) = self.values[place] else {
            return Err(format!("{}, not an array", self.values[place].kind()));
        };
        let Value::Dtype { name, order } = self.values[dtype] else {
            return Err(format!("elements of {}", self.values[dtype].kind()));
        };
        let Value::Bytes(bytes) = self.values[bytes] else {
            return Err(format!("an array of '{order}{name}', not of integers"));
        };
        let length = |&n: &usize| match self.values[n] {
            Value::Int(n) => Ok(format!("{n},")),
            ref other => Err(format!("{} in a shape", other.kind())),
        };
        let shape: Vec<String> = self.tuple(shape)?.iter().map(length).collect::<Parsed<_>>()?;
        let kind = name.get(..1).unwrap_or_default();
        if !["b", "i", "u"].contains(&kind) || shape.len() > 32 {
            return Err(format!("{} axes of '{order}{name}', not integers", shape.len()));
        }
        Ok(Contents { descr: format!("{order}{name}"), shape: shape.concat(), bytes })
    }
}

/// An array of integers as NumPy pickles it.
struct Contents<'a> {
    descr: String,
    /// The lengths of the axes, each with its comma.
    shape: String,
    bytes: &'a [u8],
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Value::None => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "an integer",
            Value::Text(_) => "a text",
            Value::Bytes(_) => "bytes",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Global(_) => "a name",
            Value::Dtype { .. } => "a dtype",
            Value::Array(_) => "an array",
            Value::Float(_) => "a number",
            Value::Storage { .. } => "a storage",
            Value::Tensor(_) => "a tensor",
        }
    }
}

fn take<const N: usize>(code: &mut &[u8]) -> Parsed<[u8; N]> {
    let (head, rest) = code.split_first_chunk().ok_or("the file ends here: truncated")?;
    *code = rest;
    Ok(*head)
}

fn slice<'a>(code: &mut &'a [u8], length: u64) -> Parsed<&'a [u8]> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (head, rest) = code.split_at_checked(length).ok_or("the file ends here: truncated")?;
    *code = rest;
    Ok(head)
}

fn line<'a>(code: &mut &'a [u8]) -> Parsed<&'a str> {
    let end = code.iter().position(|&byte| byte == b'\n').ok_or("the file ends here: truncated")?;
    let line = slice(code, end as u64)?;
    *code = &code[1..];
    std::str::from_utf8(line).map_err(|e| format!("a name: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.save` of {"semantic_seg": [0, 1, 2, -1, 1, 0], "instance_seg": [0, 1, 2, -1, 3, 0]} (NumPy 2, protocol 4).
    const LABELS: &[u8] = include_bytes!("../../tests/fixtures/labels/protocol4.npy");
    /// The same by NumPy 1's modules and protocol 3, as i4 and big-endian i2.
    const OLDER: &[u8] = include_bytes!("../../tests/fixtures/labels/protocol3.npy");

    fn parsed(file: &[u8]) -> Result<BTreeMap<String, Array<i64>>, String> {
        parse(file, Path::new("label.npy")).map_err(|e| e.to_string())
    }

    fn pickle(code: &[u8]) -> Result<BTreeMap<String, Array<i64>>, String> {
        let header = LABELS.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        parsed(&[&LABELS[..header], code].concat())
    }

    #[test]
    fn both_protocols_give_the_arrays() {
        for file in [LABELS, OLDER] {
            let arrays = parsed(file).unwrap();
            assert_eq!(arrays.keys().collect::<Vec<_>>(), ["instance_seg", "semantic_seg"]);
            assert_eq!(arrays["semantic_seg"], Array { shape: vec![6], data: vec![0, 1, 2, -1, 1, 0] });
            assert_eq!(arrays["instance_seg"].data, [0, 1, 2, -1, 3, 0]);
        }
    }

    #[test]
    fn nothing_is_called() {
        let error = pickle(b"\x80\x03cposix\nsystem\nX\x04\0\0\0true\x85R.").unwrap_err();
        assert!(error.contains("label.npy") && error.contains("posix.system"), "{error}");
        let error = pickle(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.").unwrap_err();
        assert!(error.contains("builtins.eval"), "{error}");
    }

    #[test]
    fn broken_pickles_are_refused_with_a_reason() {
        for (code, reason) in [
            (&b"\x80\x04"[..], "truncated"),
            (b"\x80\x04X\xff\xff\xff\xffabc", "truncated"),
            (b"\x80\x09.", "protocol 9"),
            (b".", "more values"),
            (b"K\x01.", "an integer, not an array"),
            (b"h\x05.", "never stored"),
            (b"t.", "a mark"),
            (b"K\x01K\x02a.", "appends to an integer"),
            (b"}(K\x01u.", "without"),
            (b"\x8a\x09123456789.", "64 bits"),
            (b"Ofoo", "opcode 0x4f"),
        ] {
            let error = pickle(code).unwrap_err();
            assert!(error.contains(reason), "{code:?}: {error}");
        }
    }

    #[test]
    fn a_cut_or_changed_file_never_panics() {
        for file in [LABELS, OLDER] {
            for end in 0..file.len() {
                assert!(parsed(&file[..end]).is_err(), "cut at {end}");
            }
            for at in 0..file.len() {
                for flip in [1, 0x10, 0x80] {
                    let mut changed = file.to_vec();
                    changed[at] ^= flip;
                    _ = parsed(&changed);
                }
            }
        }
    }
}
