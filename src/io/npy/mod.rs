//! NumPy arrays: `.npy` files and the members of `.npz` archives.
//!
//! Of the format's element types, the plain numbers and booleans of either byte order are read, and records of these as
//! clouds. The header is parsed here, strictly: the crates for it evaluate any Python literal, and nested brackets overflow
//! their stack.

mod archive;
pub(in crate::io) mod content;

pub use self::archive::ArchiveWriter;

use super::{
    budget::{self, Budget},
    staged,
};
use crate::error::{Error, Result};
use std::{
    fmt,
    fs::File,
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};
use zip::ZipArchive;

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<T> {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements, last axis fastest.
    pub data: Vec<T>,
}

/// No plain array has a longer header.
const HEADER_LIMIT: usize = 1 << 16;
/// An archive's member may unpack to this many bytes; more is taken for a decompression bomb.
const MEMBER_LIMIT: u64 = 1 << 33;

/// Writes an array to a `.npy` file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
///
/// # Panics
/// If the shape does not hold the data.
pub fn write<T: Element>(path: &Path, shape: &[usize], data: &[T]) -> Result<()> {
    staged::write(path, |to| write_to(to, shape, data.iter().copied()))
}

fn write_to<T: Element>(
    mut to: impl Write,
    shape: &[usize],
    data: impl IntoIterator<Item = T>,
) -> std::io::Result<()> {
    let mut left = shape.iter().product::<usize>();
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let dict =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", T::DESCR, shape.trim_end());
    let length = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    to.write_all(b"\x93NUMPY\x01\x00")?;
    to.write_all(&(length as u16).to_le_bytes())?;
    writeln!(to, "{dict:<width$}", width = length - 1)?;
    for x in data {
        left = left.checked_sub(1).expect("the shape must hold the data");
        x.write(&mut to)?;
    }
    assert_eq!(left, 0, "the shape must hold the data");
    to.flush()
}

/// Reads a `.npy` file of any number type as `T`.
///
/// Numbers become `bool` as in NumPy (anything but 0 is true) and are rounded to `f32` and `f64`; what the other types
/// cannot hold exactly is an error.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is no such array or an element does not fit `T`.
pub fn read<T: Element>(path: &Path) -> Result<Array<T>> {
    let (file, length) = budget::open(path)?;
    parse(file, length, path)
}

/// Reads the member `name` (without `.npy`) of an `.npz` archive as [`read`] reads a file.
///
/// # Errors
/// As [`read`]; also without such a member, with the names of those that there are.
pub fn read_member<T: Element>(path: &Path, name: &str) -> Result<Array<T>> {
    Members::of(path)?.read(name)
}

/// The arrays of an `.npz` archive, which have one budget of memory together.
pub struct Members<'a> {
    path: &'a Path,
    budget: Budget,
}

impl Members<'_> {
    /// Of this archive.
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such file.
    pub fn of(path: &Path) -> Result<Members<'_>> {
        let length = std::fs::metadata(path).map_err(Error::io(path))?.len();
        Ok(Members { path, budget: Budget::of(length) })
    }

    /// Reads the member `name` (without `.npy`).
    ///
    /// # Errors
    /// As [`read_member`].
    pub fn read<T: Element>(&mut self, name: &str) -> Result<Array<T>> {
        in_member(self.path, name, |from, length, path| {
            parse_within(from, length, &mut self.budget, &any, path)
        })
    }
}

/// Whether an array's shape is one that the caller can use; the error says what it must be.
pub type Fits<'a> = &'a dyn Fn(&[usize]) -> Result<(), String>;

fn any(_: &[usize]) -> Result<(), String> {
    Ok(())
}

fn in_member<T>(
    path: &Path,
    name: &str,
    parse: impl FnOnce(&mut dyn Read, u64, &Path) -> Result<T>,
) -> Result<T> {
    let mut archive = archive(path)?;
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        return Err(Error::format(path, format!("holds {:?}, but no `{name}`", member_names(&archive))));
    };
    let mut member = archive.by_index(index).map_err(|e| broken_zip(path, e))?;
    let label = PathBuf::from(format!("{}[{name}]", path.display()));
    let length = member.size();
    if length > MEMBER_LIMIT {
        return Err(Error::format(label, format!("unpacks to {length} bytes; the limit is {MEMBER_LIMIT}")));
    }
    parse(&mut member, length, &label)
}

/// Reads an array from a `.npy` file, or from an `.npz` archive: its member `name`, or its only one. Its shape is known to
/// fit before its data is read.
///
/// # Errors
/// As [`read`] and [`read_member`]; also if the shape does not fit.
pub fn read_either<T: Element>(path: &Path, name: &str, fits: Fits) -> Result<Array<T>> {
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("npz")) {
        let (file, length) = budget::open(path)?;
        return parse_within(file, length, &mut Budget::of_memory(), fits, path);
    }
    let members = members(path)?;
    let name = if let [only] = &members[..] { only } else { name };
    in_member(path, name, |from, length, path| {
        parse_within(from, length, &mut Budget::of_memory(), fits, path)
    })
}

/// The names of the arrays in an `.npz` archive, in its order.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is no archive.
pub fn members(path: &Path) -> Result<Vec<String>> {
    archive(path).map(|archive| member_names(&archive))
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>> {
    ZipArchive::new(budget::open(path)?.0).map_err(|e| broken_zip(path, e))
}

fn broken_zip(path: &Path, e: zip::result::ZipError) -> Error {
    Error::format(path, format!("not a readable .npz archive: {e}"))
}

fn member_names<R: Read + std::io::Seek>(archive: &ZipArchive<R>) -> Vec<String> {
    archive.file_names().flatten().filter_map(|name| Some(name.strip_suffix(".npy")?.to_string())).collect()
}

/// Reads an array that fills `length` bytes from anywhere; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse<T: Element>(from: impl Read, length: u64, path: &Path) -> Result<Array<T>> {
    parse_within(from, length, &mut Budget::of(length), &any, path)
}

fn parse_within<T: Element>(
    mut from: impl Read,
    length: u64,
    budget: &mut Budget,
    fits: Fits,
    path: &Path,
) -> Result<Array<T>> {
    let (head, header) = header(&mut from, path)?;
    fits(&header.shape).map_err(|what| Error::format(path, what))?;
    match &header.elements {
        Elements::Plain(descr) => {
            array(from, length.saturating_sub(head), descr, header.fortran, header.shape, budget, path)
        }
        Elements::Records(fields) => {
            let names: Vec<&str> = fields.iter().map(|field| &field.name[..]).collect();
            let message = format!("records of {}; an array of plain numbers is needed", names.join(", "));
            Err(Error::format(path, message))
        }
    }
}

/// The elements of an array from the `body` bytes that follow its header.
fn array<T: Element>(
    mut from: impl Read,
    body: u64,
    descr: &str,
    fortran: bool,
    shape: Vec<usize>,
    budget: &mut Budget,
    path: &Path,
) -> Result<Array<T>> {
    let unfit = |message: String| Error::format(path, message);
    let unknown = || unfit(format!("elements of type '{descr}'; only numbers and booleans can be used"));
    let (kind, size, big_endian) = number_type(descr).ok_or_else(unknown)?;
    let count = count(&shape, size, body).ok_or_else(|| does_not_fit(&shape, descr, body, path))?;
    let convert = converter::<T>(kind, size).ok_or_else(unknown)?;
    let copies = if fortran && shape.len() > 1 { 2 } else { 1 };
    budget.take(count, copies * size_of::<T>()).map_err(unfit)?;
    let mut data = Vec::with_capacity(count);
    let mut chunk = vec![0; (count * size).min(1 << 16)];
    while data.len() < count {
        let bytes = &mut chunk[..((count - data.len()) * size).min(1 << 16)];
        from.read_exact(bytes)
            .map_err(|e| unfit(format!("ends after {} of {count} elements: {e}", data.len())))?;
        if big_endian {
            bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        convert(bytes, &mut data)
            .map_err(|x| unfit(format!("element {} is {x}, which does not fit {}", data.len(), T::DESCR)))?;
    }
    if fortran && shape.len() > 1 {
        data = by_rows(&data, &shape);
    }
    Ok(Array { shape, data })
}

/// Kind and size of '<f4' and the like, and whether its first byte is the highest.
fn number_type(descr: &str) -> Option<(u8, usize, bool)> {
    match descr.as_bytes() {
        &[order, kind, digit @ b'1'..=b'8'] => Some((kind, (digit - b'0') as usize, order == b'>')),
        _ => None,
    }
}

/// The number of elements, if `body` bytes have room for them.
fn count(shape: &[usize], size: usize, body: u64) -> Option<usize> {
    let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
    count.checked_mul(size).filter(|&bytes| bytes as u64 <= body).map(|_| count)
}

fn does_not_fit(shape: &[usize], descr: &str, body: u64, path: &Path) -> Error {
    let message =
        format!("shape {shape:?} of '{descr}' does not fit the {body} bytes that follow: truncated");
    Error::format(path, message)
}

/// What lies column by column (first axis fastest), row by row.
fn by_rows<T: Copy>(data: &[T], shape: &[usize]) -> Vec<T> {
    let mut steps = vec![1; shape.len()];
    for axis in 1..shape.len() {
        steps[axis] = steps[axis - 1] * shape[axis - 1];
    }
    let mut rows = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() {
        rows.push(data[index.iter().zip(&steps).map(|(i, step)| i * step).sum::<usize>()]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    rows
}

/// A field of a record: `count` numbers.
struct Field {
    name: String,
    descr: String,
    count: usize,
}

/// The pickle that follows the header of an array of objects; None if the array holds something else.
pub(super) fn pickled<'a>(file: &'a [u8], path: &Path) -> Result<Option<&'a [u8]>> {
    let (head, header) = header(&mut &file[..], path)?;
    let objects = matches!(&header.elements, Elements::Plain(descr) if descr == "|O");
    Ok(objects.then(|| &file[head as usize..]))
}

/// Whether a `.npy` file holds a pickle instead of numbers.
///
/// # Errors
/// As [`read`].
pub fn is_pickled(path: &Path) -> Result<bool> {
    let (mut file, _) = budget::open(path)?;
    let (_, header) = header(&mut file, path)?;
    Ok(matches!(&header.elements, Elements::Plain(descr) if descr == "|O"))
}

enum Elements {
    /// Of one type.
    Plain(String),
    Records(Vec<Field>),
}

struct Header {
    elements: Elements,
    fortran: bool,
    shape: Vec<usize>,
}

/// The header and how many bytes it takes.
fn header(from: &mut impl Read, path: &Path) -> Result<(u64, Header)> {
    let unfit = |message: &str| Error::format(path, format!("not a NumPy array: {message}"));
    let mut magic = [0; 8];
    from.read_exact(&mut magic).map_err(|_| unfit("shorter than its header"))?;
    let mut length = [0; 4];
    let width = match magic {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => 2,
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => 4,
        _ => return Err(unfit("its first bytes are not those of a .npy file")),
    };
    from.read_exact(&mut length[..width]).map_err(|_| unfit("shorter than its header"))?;
    let length = u32::from_le_bytes(length) as usize;
    if length > HEADER_LIMIT {
        return Err(unfit(&format!("a header of {length} bytes")));
    }
    let mut text = vec![0; length];
    from.read_exact(&mut text).map_err(|_| unfit("shorter than its header"))?;
    let text = String::from_utf8_lossy(&text);
    let header = parse_dict(&text).ok_or_else(|| unfit(&format!("header {:?}", text.trim_end())))?;
    Ok(((8 + width + length) as u64, header))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`; of records the descr is a list.
fn parse_dict(text: &str) -> Option<Header> {
    let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
    let descr = value("descr")?;
    let elements = match descr.strip_prefix('[') {
        Some(list) => Elements::Records(parse_fields(list)?),
        None => Elements::Plain(quoted(descr)?.0.to_string()),
    };
    let fortran = match value("fortran_order")? {
        text if text.starts_with("True") => true,
        text if text.starts_with("False") => false,
        _ => return None,
    };
    let shape = parse_shape(value("shape")?)?.0;
    Some(Header { elements, fortran, shape })
}

/// `(3, 4)`, and what follows.
fn parse_shape(text: &str) -> Option<(Vec<usize>, &str)> {
    let (shape, rest) = text.strip_prefix('(')?.split_once(')')?;
    let lengths = shape.split(',').map(str::trim).filter(|n| !n.is_empty());
    Some((lengths.map(|n| n.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?, rest))
}

/// `'<f4'`, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('\'')?.split_once('\'')
}

/// `('x', '<f4'), ('rgb', '|u1', (3,))]`
fn parse_fields(list: &str) -> Option<Vec<Field>> {
    let mut fields = vec![];
    let mut rest = list.trim_start();
    while !rest.starts_with(']') {
        let (name, after) = quoted(rest.strip_prefix('(')?)?;
        let (descr, after) = quoted(after.strip_prefix(", ")?)?;
        let (shape, after) = match after.strip_prefix(", ") {
            Some(shape) => parse_shape(shape)?,
            None => (vec![], after),
        };
        let count = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n))?;
        fields.push(Field { name: name.to_string(), descr: descr.to_string(), count });
        let after = after.strip_prefix(')')?;
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
    }
    Some(fields)
}

/// An element as the file holds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Of an integer or boolean type.
    Int(i128),
    /// Of a floating-point type.
    Float(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(x) => x.fmt(f),
            Number::Float(x) => x.fmt(f),
        }
    }
}

/// Little-endian elements of a NumPy kind and size; the number that does not fit `T`.
pub(crate) fn elements<T: Element>(kind: u8, size: usize, bytes: &[u8]) -> Result<Vec<T>, Number> {
    let mut data = Vec::with_capacity(bytes.len() / size);
    converter::<T>(kind, size).expect("a type that NumPy has")(bytes, &mut data)?;
    Ok(data)
}

type Convert<T> = fn(&[u8], &mut Vec<T>) -> Result<(), Number>;

/// Appends little-endian elements of a NumPy kind and size.
fn converter<T: Element>(kind: u8, size: usize) -> Option<Convert<T>> {
    fn each<const W: usize, T: Element>(
        bytes: &[u8],
        out: &mut Vec<T>,
        number: impl Fn([u8; W]) -> Number,
    ) -> Result<(), Number> {
        for &raw in bytes.as_chunks().0 {
            let number = number(raw);
            out.push(T::from_number(number).ok_or(number)?);
        }
        Ok(())
    }
    macro_rules! int {
        ($t:ty) => {
            |bytes, out| each(bytes, out, |raw| Number::Int(<$t>::from_le_bytes(raw).into()))
        };
    }
    macro_rules! float {
        ($t:ty) => {
            |bytes, out| each(bytes, out, |raw| Number::Float(<$t>::from_le_bytes(raw).into()))
        };
    }
    Some(match (kind, size) {
        (b'b', 1) => |bytes, out| each(bytes, out, |[b]| Number::Int((b != 0).into())),
        (b'u', 1) => int!(u8),
        (b'u', 2) => int!(u16),
        (b'u', 4) => int!(u32),
        (b'u', 8) => int!(u64),
        (b'i', 1) => int!(i8),
        (b'i', 2) => int!(i16),
        (b'i', 4) => int!(i32),
        (b'i', 8) => int!(i64),
        (b'f', 2) => float!(half::f16),
        (b'f', 4) => float!(f32),
        (b'f', 8) => float!(f64),
        _ => return None,
    })
}

/// A number type that arrays are read as and written in.
pub trait Element: Copy {
    /// NumPy's name of it.
    const DESCR: &'static str;

    /// The number as this type; none if it does not fit.
    fn from_number(number: Number) -> Option<Self>;

    /// Writes it, little-endian.
    ///
    /// # Errors
    /// What `to` says.
    fn write(self, to: &mut impl Write) -> std::io::Result<()>;
}

macro_rules! element {
    ($($t:ty: $descr:literal, $number:ident => $from:expr;)*) => {$(
        impl Element for $t {
            const DESCR: &'static str = $descr;

            fn from_number($number: Number) -> Option<$t> {
                $from
            }

            fn write(self, to: &mut impl Write) -> std::io::Result<()> {
                to.write_all(&self.to_le_bytes())
            }
        }
    )*};
}

element! {
    u8: "|u1", x => integer(x)?.try_into().ok();
    u16: "<u2", x => integer(x)?.try_into().ok();
    u32: "<u4", x => integer(x)?.try_into().ok();
    i32: "<i4", x => integer(x)?.try_into().ok();
    i64: "<i8", x => integer(x)?.try_into().ok();
    f32: "<f4", x => Some(match x { Number::Int(x) => x as f32, Number::Float(x) => x as f32 });
    f64: "<f8", x => Some(match x { Number::Int(x) => x as f64, Number::Float(x) => x });
}

impl Element for bool {
    const DESCR: &'static str = "|b1";

    fn from_number(number: Number) -> Option<bool> {
        Some(!matches!(number, Number::Int(0) | Number::Float(0.0)))
    }

    fn write(self, to: &mut impl Write) -> std::io::Result<()> {
        to.write_all(&[self.into()])
    }
}

fn integer(number: Number) -> Option<i128> {
    match number {
        Number::Int(x) => Some(x),
        Number::Float(x) => (x.fract() == 0.0).then_some(x as i128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(descr: &str, shape: &str, body: &[u8]) -> Vec<u8> {
        file(&format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n"), body)
    }

    fn file(dict: &str, body: &[u8]) -> Vec<u8> {
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((dict.len() as u16).to_le_bytes());
        file.extend(dict.as_bytes());
        file.extend(body);
        file
    }

    fn parsed<T: Element>(file: &[u8]) -> Result<Array<T>, String> {
        parse(file, file.len() as u64, Path::new("a.npy")).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[][..], &[1], &[0], &[2, 3, 4]] {
            let data: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 * 0.5).collect();
            let mut file = Vec::new();
            write_to(&mut file, shape, data.iter().copied()).unwrap();
            assert_eq!((file.len() - data.len() * 4) % 64, 0, "NumPy aligns the data");
            assert_eq!(parsed(&file).unwrap(), Array { shape: shape.to_vec(), data });
        }
    }

    #[test]
    fn any_number_type_is_converted() {
        let one = [("|b1", &[1][..]), ("<u2", &[1, 0]), (">i4", &[0, 0, 0, 1]), ("<f2", &[0, 0x3c])];
        for (descr, body) in one {
            let file = array(descr, "(1,)", body);
            assert_eq!(parsed::<f32>(&file).unwrap().data, [1.0], "{descr}");
            assert_eq!(parsed::<i32>(&file).unwrap().data, [1], "{descr}");
            assert_eq!(parsed::<bool>(&file).unwrap().data, [true], "{descr}");
        }
    }

    #[test]
    fn columns_first_is_read_as_rows_first() {
        let dict = |shape: &str| format!("{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}, }}\n");
        let flat = file(&dict("(2, 3)"), &[1, 4, 2, 5, 3, 6]);
        assert_eq!(parsed::<u8>(&flat).unwrap().data, [1, 2, 3, 4, 5, 6]);
        // numpy.arange(12).reshape(2, 3, 2) in columns-first order.
        let deep = file(&dict("(2, 3, 2)"), &[0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
        assert_eq!(parsed::<u8>(&deep).unwrap().data, (0..12).collect::<Vec<u8>>());
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let half = array("<f4", "(1,)", &0.5f32.to_le_bytes());
        assert_eq!(parsed::<i32>(&half).unwrap_err(), "a.npy: element 0 is 0.5, which does not fit <i4");
        let nan = array("<f8", "(1,)", &f64::NAN.to_le_bytes());
        assert!(parsed::<i32>(&nan).is_err());
        let big = array("<u8", "(2,)", &[[0; 8], [255; 8]].concat());
        let message = parsed::<i64>(&big).unwrap_err();
        assert_eq!(message, "a.npy: element 1 is 18446744073709551615, which does not fit <i8");
    }

    #[test]
    fn bombs_are_refused_before_anything_is_allocated() {
        let nested = format!("({}", "(".repeat(60_000));
        for shape in
            ["(18446744073709551615, 2)", "(4294967296, 4294967296)", "(1000000000000,)", "(-1,)", &nested]
        {
            assert!(parsed::<f32>(&array("<f4", shape, &[])).is_err(), "{shape}");
        }
        for descr in ["<U9", "|O", "<c8", "<f9", "", "<f16", "[('a', '<f4')]"] {
            assert!(parsed::<f32>(&array(descr, "(1,)", &[0; 64])).is_err(), "{descr}");
        }
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert_eq!(
            parsed::<f32>(&long).unwrap_err(),
            "a.npy: not a NumPy array: a header of 4294967295 bytes"
        );
    }
}
