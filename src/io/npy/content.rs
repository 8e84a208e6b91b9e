//! NumPy arrays as clouds: plain numbers, or those columns of records that a cloud needs.

use super::{Array, Elements, Field, array, count, does_not_fit, header, in_member, number_type};
use crate::{
    error::{Error, Result},
    io::{
        budget::{self, Budget},
        columns::{Column, Scalar},
    },
};
use std::{
    io::{BufReader, Read},
    path::Path,
};

/// What a file holds about a cloud.
pub(in crate::io) enum Content {
    /// Plain numbers; what they were before they became f64.
    Numbers(Scalar, Array<f64>),
    /// Those columns of records that a cloud needs, and the names of all.
    Records(Vec<Column>, Vec<String>),
}

impl Content {
    /// Of a `.npy` file.
    pub fn read(path: &Path) -> Result<Content> {
        let (file, length) = budget::open(path)?;
        Content::parse(file, length, &mut Budget::of(length), path)
    }

    /// Of an archive's member.
    pub fn member(path: &Path, name: &str, budget: &mut Budget) -> Result<Content> {
        in_member(path, name, |from, length, path| Content::parse(BufReader::new(from), length, budget, path))
    }

    pub fn parse(mut from: impl Read, length: u64, budget: &mut Budget, path: &Path) -> Result<Content> {
        let (head, header) = header(&mut from, path)?;
        let body = length.saturating_sub(head);
        match header.elements {
            Elements::Plain(descr) => {
                let array = array(from, body, &descr, header.fortran, header.shape, budget, path)?;
                let scalar = number_type(&descr).and_then(|(kind, size, _)| scalar(kind, size));
                Ok(Content::Numbers(scalar.expect("an array of it was read"), array))
            }
            Elements::Records(fields) => records(from, body, &fields, &header.shape, budget, path),
        }
    }
}

fn records(
    mut from: impl Read,
    body: u64,
    fields: &[Field],
    shape: &[usize],
    budget: &mut Budget,
    path: &Path,
) -> Result<Content> {
    let (mut columns, mut size) = (vec![], 0usize);
    for Field { name, descr, count } in fields {
        let skipped =
            || descr.get(2..).and_then(|size| size.parse().ok()).map(|bytes: usize| (bytes, None, false));
        let number = number_type(descr).map(|(kind, size, big)| (size, scalar(kind, size), big));
        let unknown = || Error::format(path, format!("a field {name:?} of type '{descr}', unknown here"));
        let (one, scalar, big_endian) = number.or_else(skipped).ok_or_else(unknown)?;
        // Texts count in characters of four bytes.
        let one = if descr.as_bytes().get(1) == Some(&b'U') { one.saturating_mul(4) } else { one };
        for i in 0..(*count).min(4) {
            let name = if *count == 1 { name.clone() } else { format!("{name}:{i}") };
            let column = scalar.and_then(|scalar| Column::wanted(&name, scalar));
            columns.extend(column.map(|column| (size.saturating_add(one * i), column, big_endian)));
        }
        size = size.saturating_add(one.saturating_mul(*count));
    }
    if size == 0 {
        return Err(Error::format(path, "records of no size"));
    }
    let count = count(shape, size, body).ok_or_else(|| does_not_fit(shape, "records", body, path))?;
    budget.take(count, size_of::<f64>() * columns.len()).map_err(|what| Error::format(path, what))?;
    let mut record = vec![0; size.min(body as usize)];
    for i in 0..count {
        let ends = |e| Error::format(path, format!("ends after {i} of {count} records: {e}"));
        from.read_exact(&mut record).map_err(ends)?;
        for (at, column, big_endian) in &mut columns {
            column.push(&record[*at..], *big_endian);
        }
    }
    let names = fields.iter().map(|field| field.name.clone()).collect();
    Ok(Content::Records(columns.into_iter().map(|(_, column, _)| column).collect(), names))
}

fn scalar(kind: u8, size: usize) -> Option<Scalar> {
    Some(match (kind, size) {
        (b'b' | b'u', 1) => Scalar::U8,
        (b'u', 2) => Scalar::U16,
        (b'u', 4) => Scalar::U32,
        (b'u', 8) => Scalar::U64,
        (b'i', 1) => Scalar::I8,
        (b'i', 2) => Scalar::I16,
        (b'i', 4) => Scalar::I32,
        (b'i', 8) => Scalar::I64,
        (b'f', 2) => Scalar::F16,
        (b'f', 4) => Scalar::F32,
        (b'f', 8) => Scalar::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::parse, *};

    fn file(dict: &str, body: &[u8]) -> Vec<u8> {
        let length = (dict.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], dict.as_bytes(), body].concat()
    }

    #[test]
    fn records_are_columns() {
        let dict = "{'descr': [('id', '|S2'), ('x', '>f4'), ('rgb', '|u1', (3,))], 'fortran_order': False, 'shape': (2,), }\n";
        let row = |x: f32| [b"ab", &x.to_be_bytes()[..], &[1, 2, 3]].concat();
        let whole = file(dict, &[row(1.5), row(2.5)].concat());
        let read =
            |file: &[u8]| Content::parse(file, file.len() as u64, &mut Budget::of(0), Path::new("a.npy"));
        let Content::Records(columns, names) = read(&whole).unwrap() else { panic!("records") };
        assert_eq!(names, ["id", "x", "rgb"]);
        let values: Vec<_> = columns.into_iter().map(|column| column.values).collect();
        assert_eq!(values, [[1.5, 2.5], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]);
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut after {end} bytes");
        }
        let wide = dict.replace("(3,)", "(4294967296, 4294967296)").replace("(2,)", "(0,)");
        assert!(read(&file(&wide, &[])).is_err());
        let nothing =
            "{'descr': [('id', '|S0')], 'fortran_order': False, 'shape': (1000000000000000000,), }\n";
        let error = read(&file(nothing, &[])).err().unwrap().to_string();
        assert!(error.contains("no size"), "{error}");
        let numbers = parse::<f32>(&whole[..], whole.len() as u64, Path::new("a.npy")).unwrap_err();
        assert!(numbers.to_string().contains("records of id, x, rgb"));
    }
}
