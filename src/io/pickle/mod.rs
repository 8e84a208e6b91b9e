//! Pickles: what `numpy.save` writes of objects, and what lies in PyTorch's checkpoints.
//!
//! A reader of data, not an interpreter: it knows the few opcodes and names that NumPy writes for arrays of integers
//! and PyTorch for tensors, builds these, and refuses everything else. Nothing is ever imported or called.

pub mod arrays;
#[cfg(feature = "study")]
pub(crate) mod torch;

use std::collections::HashMap;

/// A value; the ones it holds are named by their place among the machine's values.
// Floats and what PyTorch adds are read by `study` alone.
#[cfg_attr(not(feature = "study"), allow(dead_code))]
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

#[derive(Debug, Default)]
pub(crate) struct Machine<'a> {
    /// Whether PyTorch's names are known, instead of NumPy's.
    torch: bool,
    values: Vec<Value<'a>>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
    /// Opcodes that may still come. Each makes a value or a few bytes, which are more than itself.
    left: usize,
}

pub(crate) type Parsed<T> = Result<T, String>;

impl<'a> Machine<'a> {
    fn new(limit: usize) -> Machine<'a> {
        Machine { left: limit, ..Machine::default() }
    }

    /// Runs to the end; the place of the one value that is left, or where and why it stopped.
    fn run(&mut self, code: &'a [u8]) -> Result<usize, (usize, String)> {
        let mut rest = code;
        loop {
            let at = code.len() - rest.len();
            self.left = self.left.checked_sub(1).ok_or((at, "more values than can be used".to_string()))?;
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
            (false, "numpy.core.multiarray" | "numpy._core.multiarray") => {
                ["_reconstruct", "scalar"].contains(&name)
            }
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
            (Value::Global("scalar"), &[dtype, bytes]) => Value::Int(self.scalar(dtype, bytes)?),
            (Value::Global("dtype"), &[name, ..]) => Value::Dtype { name: self.text(name)?, order: "|" },
            (other, _) => return Err(format!("calls {}; refused", other.kind())),
        };
        self.push(object);
        Ok(())
    }

    /// One integer, as NumPy keeps what is taken out of an array.
    fn scalar(&self, dtype: usize, bytes: usize) -> Parsed<i64> {
        let (&Value::Dtype { name, order }, &Value::Bytes(bytes)) =
            (&self.values[dtype], &self.values[bytes])
        else {
            return Err("a number that is not a dtype and bytes".into());
        };
        let mut wide = [0; 8];
        let place = wide
            .get_mut(..bytes.len())
            .filter(|place| !place.is_empty() && name.get(1..) == Some(&place.len().to_string()));
        place.ok_or_else(|| format!("a number of '{order}{name}', not an integer"))?.copy_from_slice(bytes);
        if order == ">" {
            wide[..bytes.len()].reverse();
        }
        let unused = 64 - 8 * bytes.len() as u32;
        match name.get(..1).unwrap_or_default() {
            "i" => Ok((i64::from_le_bytes(wide) << unused) >> unused),
            "u" => i64::try_from(u64::from_le_bytes(wide)).map_err(|e| e.to_string()),
            _ => Err(format!("a number of '{order}{name}', not an integer")),
        }
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
