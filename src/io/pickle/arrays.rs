//! What `numpy.save` pickles into a `.npy` file: dictionaries of arrays, as PartNet-Ensembled stores its labels, and lists
//! of indices, as the authors store superpoints.

use super::{Machine, Parsed, Value};
use crate::{
    error::{Error, Result},
    io::{
        budget::{self, Budget},
        npy::{self, Array},
    },
};
use std::{collections::BTreeMap, path::Path};

/// Opcodes of a dictionary of arrays; of lists of points there are more.
const DICTIONARY_LIMIT: usize = 1 << 16;

/// Reads a `.npy` file that holds one dictionary from names to arrays of integers:
/// `numpy.save(path, {"semantic_seg": a, "instance_seg": b})`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it holds anything else.
pub fn read(path: &Path) -> Result<BTreeMap<String, Array<i64>>> {
    parse(&budget::read_all(path)?, path)
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
    let mut machine = Machine::new(DICTIONARY_LIMIT);
    let top = machine.run(pickle).map_err(|(at, what)| unfit(format!("pickle, byte {at}: {what}")))?;
    let mut arrays = BTreeMap::new();
    // Entries may share their contents, and small integers become wide ones.
    let mut budget = Budget::of(file.len() as u64);
    for (name, contents) in machine.dictionary(top).map_err(unfit)? {
        budget.take(contents.bytes.len(), size_of::<i64>()).map_err(unfit)?;
        arrays.insert(name.to_owned(), contents.array(path)?);
    }
    Ok(arrays)
}

/// What lists of points make of `points` points: the place of the list that each is in, -1 = none. None if the file is no
/// array of objects.
///
/// `numpy.save(path, numpy.array([[0, 2], [1]], dtype=object))`; the lists may be arrays.
///
/// # Errors
/// [`Error::Format`] if it holds other objects, or a point twice.
pub fn partition(file: &[u8], points: usize, path: &Path) -> Result<Option<Vec<i32>>> {
    let Some(pickle) = npy::pickled(file, path)? else { return Ok(None) };
    let mut machine = Machine::new(points.saturating_mul(4).saturating_add(DICTIONARY_LIMIT));
    let top = machine.run(pickle).map_err(|(at, what)| format!("pickle, byte {at}: {what}"));
    let partition = top.and_then(|top| machine.partition(top, points));
    partition.map(Some).map_err(|what| Error::format(path, what))
}

impl<'a> Machine<'a> {
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

    fn partition(&self, top: usize, points: usize) -> Parsed<Vec<i32>> {
        let Value::Array(Some([shape, _, list])) = self.values[top] else {
            return Err(format!("holds {}, not lists of points", self.values[top].kind()));
        };
        let Value::List(lists) = &self.values[list] else { return Err("holds no objects".into()) };
        // Lists of one length become a table of two axes.
        let width = match self.tuple(shape)? {
            [_] => None,
            &[_, width] => match self.values[width] {
                Value::Int(width @ 1..) => Some(width as usize),
                _ => return Err("a table without columns".into()),
            },
            axes => return Err(format!("an array of {} axes, not of lists of points", axes.len())),
        };
        let mut of_point = vec![-1; points];
        let mut put = |point: i64, s: usize| {
            let place = usize::try_from(point).ok().and_then(|point| of_point.get_mut(point));
            let place =
                place.ok_or_else(|| format!("list {s} has point {point}; the cloud has {points} points"))?;
            match std::mem::replace(place, s as i32) {
                -1 => Ok(()),
                other => Err(format!("point {point} is in list {other} and in list {s}")),
            }
        };
        for (at, &item) in lists.iter().enumerate() {
            match (&self.values[item], width) {
                (&Value::Int(point), Some(width)) => put(point, at / width)?,
                (Value::List(items), None) => {
                    for &item in items {
                        match self.values[item] {
                            Value::Int(point) => put(point, at)?,
                            ref other => return Err(format!("list {at} has {}, not a point", other.kind())),
                        }
                    }
                }
                (Value::Array(_), None) => {
                    let contents = self.contents(item).map_err(|what| format!("list {at}: {what}"))?;
                    for point in contents.numbers()? {
                        put(point, at)?;
                    }
                }
                (other, _) => return Err(format!("entry {at} is {}, not a list of points", other.kind())),
            }
        }
        Ok(of_point)
    }
}

/// An array of integers as NumPy pickles it.
struct Contents<'a> {
    descr: String,
    /// The lengths of the axes, each with its comma.
    shape: String,
    bytes: &'a [u8],
}

impl Contents<'_> {
    fn array(&self, path: &Path) -> Result<Array<i64>> {
        let Contents { descr, shape, bytes } = self;
        // The array's own file, so that the numbers are converted in one place.
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let length = (header.len() as u32).to_le_bytes();
        let npy = [b"\x93NUMPY\x02\x00", &length[..], header.as_bytes(), bytes].concat();
        npy::parse(&npy[..], npy.len() as u64, path)
    }

    fn numbers(&self) -> Parsed<Vec<i64>> {
        self.array(Path::new("array")).map(|array| array.data).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.save` of {"semantic_seg": [0, 1, 2, -1, 1, 0], "instance_seg": [0, 1, 2, -1, 3, 0]} (NumPy 2, protocol 4).
    const LABELS: &[u8] = include_bytes!("../../../tests/fixtures/labels/protocol4.npy");
    /// The same by NumPy 1's modules and protocol 3, as i4 and big-endian i2.
    const OLDER: &[u8] = include_bytes!("../../../tests/fixtures/labels/protocol3.npy");

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

    /// `numpy.save` of [[0, 2], [1]] as objects (protocol 4), the second an array.
    fn lists(items: &[u8], shape: &[u8]) -> Vec<u8> {
        let dict = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n";
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((dict.len() as u16).to_le_bytes());
        file.extend(dict.as_bytes());
        let head =
            b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01";
        file.extend(
            [&head[..], shape, b"cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R\x89", items, b"tb."].concat(),
        );
        file
    }

    #[test]
    fn lists_of_points_are_a_partition() {
        let read =
            |file: &[u8], points| partition(file, points, Path::new("sp.npy")).map_err(|e| e.to_string());
        let two = lists(b"](](K\x00K\x02e](K\x01ee", b"K\x02\x85");
        assert_eq!(read(&two, 3).unwrap().unwrap(), [0, 1, 0]);
        let table = lists(b"](K\x00K\x02K\x01K\x03e", b"K\x02K\x02\x86");
        assert_eq!(read(&table, 4).unwrap().unwrap(), [0, 1, 0, 1]);
        assert!(read(&two, 2).unwrap_err().contains("point 2; the cloud has 2 points"));
        assert!(
            read(&lists(b"](](K\x00e](K\x00ee", b"K\x02\x85"), 1)
                .unwrap_err()
                .contains("in list 0 and in list 1")
        );
        assert!(
            read(&lists(b"](K\x00K\x01e", b"K\x02\x85"), 2).unwrap_err().contains("an integer, not a list")
        );
        for end in 0..two.len() {
            assert!(read(&two[..end], 3).is_err(), "cut at {end}");
        }
    }
}
