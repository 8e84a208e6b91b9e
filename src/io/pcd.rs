//! Point clouds as PCD files of the Point Cloud Library: ascii, binary, and binary_compressed.

use super::{
    budget::{self, Budget},
    columns::{self, Column, Scalar},
    points::PointCloud,
};
use crate::error::{Error, Result};
use std::path::Path;

/// Reads a file.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read(path: &Path) -> Result<PointCloud> {
    parse(&budget::read_all(path)?, path)
}

/// Reads what is in memory; `path` is for messages.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn parse(file: &[u8], path: &Path) -> Result<PointCloud> {
    let read = || {
        let (header, body) = Header::read(file)?;
        let columns = match &header.data[..] {
            "ascii" => header.of_text(body)?,
            "binary" => header.of_rows(body)?,
            "binary_compressed" => header.of_columns(&decompressed(body)?)?,
            other => return Err(format!("data {other:?} is none of ascii, binary, binary_compressed")),
        };
        Ok((columns, header.fields.into_iter().map(|field| field.name).collect::<Vec<_>>()))
    };
    let (columns, names) = read().map_err(|what| Error::format(path, format!("not a PCD file: {what}")))?;
    columns::cloud(columns, "points", &names, None, path)
}

#[derive(Default)]
struct Header {
    fields: Vec<Field>,
    points: usize,
    data: String,
}

struct Field {
    name: String,
    kind: u8,
    size: usize,
    count: usize,
}

impl Field {
    /// The field as an empty column, if a cloud needs it.
    fn column(&self) -> Option<Column> {
        let scalar = match (self.kind, self.size) {
            (b'I', 1) => Scalar::I8,
            (b'I', 2) => Scalar::I16,
            (b'I', 4) => Scalar::I32,
            (b'I', 8) => Scalar::I64,
            (b'U', 1) => Scalar::U8,
            (b'U', 2) => Scalar::U16,
            (b'U', 4) => Scalar::U32,
            (b'U', 8) => Scalar::U64,
            (b'F', 4) => Scalar::F32,
            (b'F', 8) => Scalar::F64,
            _ => return None,
        };
        Column::wanted(&self.name, scalar).filter(|_| self.count == 1)
    }
}

impl Header {
    fn read(file: &[u8]) -> Result<(Header, &[u8]), String> {
        let mut header = Header::default();
        let (mut width, mut height, mut points) = (None, 1usize, None);
        let mut rest = file;
        loop {
            let end = rest.iter().take(1 << 16).position(|&byte| byte == b'\n');
            let end = end.ok_or("its header has no line DATA")?;
            let line = String::from_utf8_lossy(&rest[..end]).into_owned();
            rest = &rest[end + 1..];
            let odd = || format!("its header has the line {line:?}");
            let mut words = line.split_whitespace();
            let number =
                |word: Option<&str>| word.and_then(|word| word.parse::<usize>().ok()).ok_or_else(odd);
            let key = words.next().unwrap_or("#");
            match key {
                "FIELDS" | "COLUMNS" => {
                    let field = |name: &str| Field { name: name.into(), kind: b'F', size: 4, count: 1 };
                    header.fields = words.map(field).collect();
                }
                "SIZE" | "TYPE" | "COUNT" => {
                    let values: Vec<&str> = words.collect();
                    if values.len() != header.fields.len() {
                        return Err(odd());
                    }
                    for (field, &value) in header.fields.iter_mut().zip(&values) {
                        match key {
                            "TYPE" => field.kind = value.as_bytes()[0].to_ascii_uppercase(),
                            "SIZE" => field.size = number(Some(value))?,
                            _ => field.count = number(Some(value))?,
                        }
                    }
                }
                "WIDTH" => width = Some(number(words.next())?),
                "HEIGHT" => height = number(words.next())?,
                "POINTS" => points = Some(number(words.next())?),
                "DATA" => {
                    header.data = words.next().unwrap_or_default().to_lowercase();
                    break;
                }
                "VERSION" | "VIEWPOINT" => (),
                _ if key.starts_with('#') => (),
                _ => return Err(odd()),
            }
        }
        let size = width.and_then(|width| width.checked_mul(height));
        if let (Some(points), Some(width)) = (points, width)
            && size != Some(points)
        {
            return Err(format!(
                "its header says {points} points, but a width of {width} and a height of {height}"
            ));
        }
        header.points = points.or(size).ok_or("its header has no line POINTS")?;
        if header.fields.is_empty() {
            return Err("its header has no line FIELDS".into());
        }
        Ok((header, rest))
    }

    /// Bytes of a point.
    fn row(&self) -> Option<usize> {
        let mut sizes = self.fields.iter().map(|field| field.size.checked_mul(field.count));
        sizes.try_fold(0usize, |sum, size| sum.checked_add(size?))
    }

    /// The bytes of all points, if there are so many.
    fn whole<'a>(&self, body: &'a [u8]) -> Result<(&'a [u8], usize), String> {
        let row = self.row().filter(|&row| row > 0).ok_or("fields of no size")?;
        let whole = row.checked_mul(self.points).and_then(|bytes| body.get(..bytes));
        let short = || {
            format!(
                "the header says {} points of {row} bytes, but {} bytes follow: the file is truncated or damaged",
                self.points,
                body.len()
            )
        };
        Ok((whole.ok_or_else(short)?, row))
    }

    fn of_rows(&self, body: &[u8]) -> Result<Vec<Column>, String> {
        let (whole, row) = self.whole(body)?;
        let mut budget = Budget::of(body.len() as u64);
        let mut columns = vec![];
        let mut at = 0;
        for field in &self.fields {
            if let Some(mut column) = field.column() {
                columns::make_room([&mut column].into_iter(), self.points, &mut budget)?;
                whole.chunks_exact(row).for_each(|point| column.push(&point[at..], false));
                columns.push(column);
            }
            at += field.size * field.count;
        }
        Ok(columns)
    }

    /// Compressed points lie field by field.
    fn of_columns(&self, body: &[u8]) -> Result<Vec<Column>, String> {
        let (mut rest, _) = self.whole(body)?;
        let mut budget = Budget::of(body.len() as u64);
        let mut columns = vec![];
        for field in &self.fields {
            let (of_field, after) = rest.split_at(field.size * field.count * self.points);
            rest = after;
            if let Some(mut column) = field.column() {
                columns::make_room([&mut column].into_iter(), self.points, &mut budget)?;
                of_field.chunks_exact(field.size).for_each(|value| column.push(value, false));
                columns.push(column);
            }
        }
        Ok(columns)
    }

    fn of_text(&self, body: &[u8]) -> Result<Vec<Column>, String> {
        let mut columns: Vec<Option<Column>> = self.fields.iter().map(Field::column).collect();
        let wanted = self.fields.iter().try_fold(0usize, |sum, field| sum.checked_add(field.count));
        let wanted = wanted.ok_or("fields of too many values")?;
        let mut lines = body.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let mut budget = Budget::of(body.len() as u64);
        for i in 0..self.points {
            if i % columns::BATCH == 0 {
                columns::make_room(
                    columns.iter_mut().flatten(),
                    columns::BATCH.min(self.points - i),
                    &mut budget,
                )?;
            }
            let line = lines.next().ok_or_else(|| {
                format!("ends after {i} of {} points: the file is truncated or damaged", self.points)
            })?;
            let text = String::from_utf8_lossy(line);
            let found = text.split_whitespace().count();
            if found != wanted {
                return Err(format!("point {i} has {found} values, the header says {wanted}"));
            }
            let mut words = text.split_whitespace();
            for (field, column) in self.fields.iter().zip(&mut columns) {
                let Some(column) = column else {
                    words.by_ref().take(field.count).for_each(drop);
                    continue;
                };
                let word = words.next().unwrap_or_default();
                if !column.push_word(word) {
                    return Err(format!("{} of point {i} is {word:?}, which is no number", field.name));
                }
            }
        }
        Ok(columns.into_iter().flatten().collect())
    }
}

/// What follows the two lengths of compressed data (LZF).
fn decompressed(body: &[u8]) -> Result<Vec<u8>, String> {
    let length =
        |at: usize| body.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let short = "compressed data: the file is truncated or damaged";
    let (packed, unpacked) = length(0).zip(length(4)).ok_or(short)?;
    // A byte may become a number of eight.
    Budget::of(body.len() as u64).take(unpacked, 9)?;
    let mut packed = body[8..].get(..packed).ok_or(short)?;
    let mut out: Vec<u8> = vec![];
    while let Some((&control, rest)) = packed.split_first() {
        let control = control as usize;
        if control < 32 {
            let (literal, rest) = rest.split_at_checked(control + 1).ok_or(short)?;
            out.extend_from_slice(literal);
            packed = rest;
        } else {
            let (mut length, mut rest) = (control >> 5, rest);
            if length == 7 {
                let (&more, after) = rest.split_first().ok_or(short)?;
                (length, rest) = (length + more as usize, after);
            }
            let (&low, after) = rest.split_first().ok_or(short)?;
            let back = ((control & 31) << 8 | low as usize) + 1;
            let from = out.len().checked_sub(back).ok_or(short)?;
            // What is copied may be what the copy itself writes.
            (from..from + length + 2).for_each(|i| out.push(out[i]));
            packed = after;
        }
        if out.len() > unpacked {
            return Err(short.into());
        }
    }
    match out.len() == unpacked {
        true => Ok(out),
        false => Err(short.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z _ rgb\nSIZE 4 4 4 1 4\nTYPE F F F U F\nCOUNT 1 1 1 2 1\nWIDTH 2\n\
                          HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA ";

    fn read(data: &str, body: &[u8]) -> Result<PointCloud, String> {
        parse(&[HEADER.as_bytes(), data.as_bytes(), b"\n", body].concat(), Path::new("a.pcd"))
            .map_err(|e| e.to_string())
    }

    fn rows() -> Vec<[Vec<u8>; 5]> {
        let row = |x: f32, rgb: u32| {
            let [x, y, z] = [x, 2.0, 3.0].map(|v| v.to_le_bytes().to_vec());
            [x, y, z, vec![7, 7], rgb.to_le_bytes().to_vec()]
        };
        vec![row(1.0, 0xffff0033), row(f32::NAN, 0)]
    }

    fn check(cloud: PointCloud) {
        assert_eq!((cloud.positions[0], cloud.colors[0]), ([1.0, 2.0, 3.0], [1.0, 0.0, 0.2]));
        assert!(cloud.positions[1][0].is_nan() && cloud.len() == 2);
    }

    #[test]
    fn width_and_height_make_the_points() {
        let header = HEADER.replace("WIDTH 2", "WIDTH 3");
        let file = format!("{header}ascii\n1 2 3 7 7 0\n1 2 3 7 7 0\n");
        let error = parse(file.as_bytes(), Path::new("a.pcd")).unwrap_err().to_string();
        assert!(error.contains("2 points, but a width of 3 and a height of 1"), "{error}");
    }

    #[test]
    fn three_kinds_of_data() {
        check(read("ascii", b"1 2 3 7 7 16711731\nnan 2 3 7 7 0\n").unwrap());
        let whole = rows().concat().concat();
        check(read("binary", &whole).unwrap());
        let columns: Vec<u8> =
            (0..5).flat_map(|i| rows().into_iter().flat_map(move |row| row[i].clone())).collect();
        let mut packed = vec![];
        for literal in columns.chunks(32) {
            packed.push(literal.len() as u8 - 1);
            packed.extend_from_slice(literal);
        }
        let lengths = [(packed.len() as u32).to_le_bytes(), (columns.len() as u32).to_le_bytes()].concat();
        let body = [lengths, packed].concat();
        check(read("binary_compressed", &body).unwrap());
        for end in 0..body.len() {
            assert!(read("binary_compressed", &body[..end]).unwrap_err().contains("truncated"), "{end}");
        }
        for end in 0..whole.len() {
            assert!(read("binary", &whole[..end]).unwrap_err().contains("truncated"), "{end}");
        }
    }

    #[test]
    fn copies_in_compressed_data() {
        let lengths = |packed: u32, unpacked: u32| [packed.to_le_bytes(), unpacked.to_le_bytes()].concat();
        // "ab", then five bytes from two back; and nine from one back, of the long form.
        let body = [lengths(6, 7), vec![1, b'a', b'b', 3 << 5, 1, 0]].concat();
        assert!(decompressed(&body).is_err(), "a literal without its byte");
        let body = [lengths(5, 7), vec![1, b'a', b'b', 3 << 5, 1]].concat();
        assert_eq!(decompressed(&body).unwrap(), b"abababa");
        let body = [lengths(5, 10), vec![0, b'a', 7 << 5, 0, 0]].concat();
        assert_eq!(decompressed(&body).unwrap(), b"aaaaaaaaaa");
        assert!(decompressed(&[lengths(3, 4), vec![1 << 5, 9, 0]].concat()).is_err(), "before the start");
    }

    #[test]
    fn odd_files_are_named() {
        for (data, body, words) in [
            ("ascii", &b"1 2 3 7 7 0"[..], "ends after 1 of 2 points"),
            ("ascii", b"1 2 3 7\n", "point 0 has 4 values, the header says 6"),
            ("ascii", b"1 2 z 7 7 0\n", "z of point 0 is \"z\""),
            ("lzma", b"", "data \"lzma\" is none of"),
        ] {
            let error = read(data, body).unwrap_err();
            assert!(error.starts_with("a.pcd: ") && error.contains(words), "{error}");
        }
        let parsed = |text: &str| parse(text.as_bytes(), Path::new("a.pcd")).unwrap_err().to_string();
        assert!(parsed("solid\n").contains("the line \"solid\""));
        assert!(parsed("FIELDS x\n").contains("no line DATA"));
        let huge = "FIELDS x\nSIZE 4\nTYPE F\nCOUNT 1\nPOINTS 18446744073709551615\nDATA ";
        assert!(parsed(&format!("{huge}binary\n")).contains("truncated"));
        assert!(parsed(&format!("{huge}ascii\n")).contains("ends after 0"));
        assert!(
            parsed(&format!("{}binary\n", huge.replace("COUNT 1", "COUNT 18446744073709551615")))
                .contains("no size")
        );
    }
}
