//! Point clouds as text: a point a line, numbers between white space, commas or semicolons, with or without names above.

use super::{
    budget::{self, Budget},
    columns::{self, Column, Scalar},
    points::PointCloud,
};
use crate::error::{Error, Result};
use std::{
    io::{BufRead, Read},
    path::Path,
};

/// No line of a cloud is longer.
const LINE_LIMIT: u64 = 1 << 16;

/// Reads a file.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read(path: &Path) -> Result<PointCloud> {
    parse(budget::open(path)?.0, path)
}

/// Reads text from anywhere. Without a line of names the columns are x y z, x y z intensity, or x y z red green blue and
/// whatever follows. Seven are x y z intensity red green blue in a file `.pts`, or if the fourth of the first line is no
/// integer from 0 to 255. `path` is for messages.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn parse(mut from: impl BufRead, path: &Path) -> Result<PointCloud> {
    let unfit = |at: usize, what: String| Error::format(path, format!("line {at}: {what}"));
    let is_pts = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pts"));
    let (mut names, mut table): (Option<Vec<String>>, Option<Table>) = (None, None);
    let (mut line, mut promised) = (vec![], None);
    for at in 1.. {
        line.clear();
        if from.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(Error::io(path))? == 0 {
            break;
        }
        if line.len() as u64 == LINE_LIMIT {
            return Err(unfit(at, format!("is longer than {LINE_LIMIT} bytes; a point must be a line")));
        }
        if at == 1 && [&[0xff, 0xfe], &[0xfe, 0xff]].iter().any(|mark| line.starts_with(*mark)) {
            return Err(Error::format(path, "is UTF-16 text; save it as UTF-8"));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_start_matches('\u{feff}').trim();
        let comment = text.strip_prefix('#').or_else(|| text.strip_prefix("//"));
        let words = Separator::of(text);
        match &mut table {
            _ if text.is_empty() => (),
            Some(table) => table.add(text).map_err(|what| unfit(at, what))?,
            // A comment may name the columns, as CloudCompare writes it.
            None if comment.is_some() => {
                let comment = comment.unwrap_or_default();
                let found = Separator::of(comment).split(comment).map(String::from).collect::<Vec<_>>();
                if found.len() > 2 && found.iter().any(|name| name.eq_ignore_ascii_case("x")) {
                    names = Some(found);
                }
            }
            None if is_pts && promised.is_none() && text.parse::<u64>().is_ok() => {
                promised = text.parse::<u64>().ok();
            }
            None if names.is_none() && words.split(text).all(|word| columns::number(word).is_none()) => {
                names = Some(words.split(text).map(String::from).collect());
            }
            None => {
                if words == Separator::Space && text.contains(',') {
                    let message = format!("{text:?} has commas in numbers; decimals need a point");
                    return Err(unfit(at, message));
                }
                let count = words.split(text).count();
                let names = match names.take() {
                    Some(names) => names,
                    None => usual(&words.split(text).collect::<Vec<_>>(), is_pts).ok_or_else(|| {
                        let what = match count {
                            1 => "one value; if it is the number of points, remove the line".into(),
                            _ => format!(
                                "{count} values; a line above must say which are x, y, z, red, green, blue"
                            ),
                        };
                        unfit(at, what)
                    })?,
                };
                let mut first = Table::new(words, names);
                first.add(text).map_err(|what| unfit(at, what))?;
                table = Some(first);
            }
        }
    }
    let Some(table) = table else { return Err(Error::format(path, "holds no points")) };
    let cloud =
        columns::cloud(table.columns.into_iter().flatten().collect(), "lines", &table.names, None, path)?;
    match promised {
        Some(promised) if (cloud.len() as u64) < promised => Err(Error::format(
            path,
            format!(
                "its first line says {promised} points, but it has {}: it is truncated, or correct that line",
                cloud.len()
            ),
        )),
        _ => Ok(cloud),
    }
}

/// What stands between the values of a line.
#[derive(Clone, Copy, PartialEq)]
enum Separator {
    Space,
    Comma,
    /// Commas may be those of decimals.
    Semicolon,
}

impl Separator {
    fn of(line: &str) -> Separator {
        // "1, 2, 3" and "1,2,3" are parted by commas, "1,5 2,5 3,5" is not.
        let inside = || line.split_whitespace().any(|word| word.trim_end_matches(',').contains(','));
        match line.contains(',') {
            _ if line.contains(';') => Separator::Semicolon,
            false => Separator::Space,
            true if line.contains(char::is_whitespace) && inside() && !line.contains(", ") => {
                Separator::Space
            }
            true => Separator::Comma,
        }
    }

    fn split(self, line: &str) -> impl Iterator<Item = &str> {
        let parts = move |c: char| match self {
            Separator::Space => c.is_whitespace(),
            Separator::Comma => c == ',',
            Separator::Semicolon => c == ';',
        };
        let words = line.split(parts).map(|word| word.trim_matches([' ', '\t', '"']));
        words.filter(move |word| self != Separator::Space || !word.is_empty())
    }
}

/// The names of the columns where the file gives none, from its first row.
fn usual(row: &[&str], is_pts: bool) -> Option<Vec<String>> {
    let is_byte =
        |word: &str| columns::number(word).is_some_and(|v| v.fract() == 0.0 && (0.0..256.0).contains(&v));
    let names: &[&str] = match row.len() {
        3 => &["x", "y", "z"],
        4 => &["x", "y", "z", "intensity"],
        7 if is_pts || !is_byte(row[3]) => &["x", "y", "z", "intensity", "red", "green", "blue"],
        6.. => &["x", "y", "z", "red", "green", "blue"],
        _ => return None,
    };
    let more = (names.len()..row.len()).map(|i| format!("column {}", i + 1));
    Some(names.iter().map(|name| name.to_string()).chain(more).collect())
}

/// The lines read so far.
struct Table {
    separator: Separator,
    names: Vec<String>,
    columns: Vec<Option<Column>>,
    rows: usize,
}

impl Table {
    fn new(separator: Separator, names: Vec<String>) -> Table {
        let columns = names.iter().map(|name| Column::wanted(name, Scalar::F64)).collect();
        Table { separator, names, columns, rows: 0 }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (found, wanted) = (self.separator.split(line).count(), self.names.len());
        if found != wanted {
            return Err(format!("{found} values, where there should be {wanted}"));
        }
        if self.rows.is_multiple_of(columns::BATCH) {
            let mut budget = Budget::of_memory();
            budget.take(self.rows, columns::ROW)?;
            columns::make_room(self.columns.iter_mut().flatten(), columns::BATCH, &mut budget)?;
        }
        self.rows += 1;
        for ((word, column), name) in self.separator.split(line).zip(&mut self.columns).zip(&self.names) {
            let Some(column) = column else { continue };
            let decimal = word.replace(',', ".");
            // An empty cell is a number that is missing.
            let word = match word {
                "" => "nan",
                _ if self.separator == Separator::Semicolon => &decimal,
                _ => word,
            };
            if !column.push_word(word) {
                return Err(format!("{name} is {word:?}, which is no number"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<PointCloud, String> {
        parse(text.as_bytes(), Path::new(name)).map_err(|e| e.to_string())
    }

    #[test]
    fn lines_of_any_form() {
        for (name, text) in [
            ("a.xyz", "1 2.5 3 255 0 51\n\n"),
            ("a.txt", "# exported\n1\t2.5\t3\t255\t0\t51\t9"),
            ("a.csv", "\u{feff}x,y,z,red,green,blue,class\r\n1,2.5,3,255,0,51,chair\r\n"),
            ("a.csv", "\"R\", \"G\", \"B\", \"X\", \"Y\", \"Z\"\n255, 0, 51, 1, 2.5, 3\n"),
            ("a.csv", "X;Y;Z;R;G;B\n1;2,5;3;255;0;51\n"),
            ("a.asc", "//X Y Z R G B\n1 2.5 3 255 0 51\n"),
            ("a.pts", "1\n1 2.5 3 17 255 0 51\n"),
            ("a.txt", "1 2.5 3 -1250 255 0 51"),
            ("a.txt", "1 2.5 3 255 0 51 0.1 0.2 0.9"),
        ] {
            let cloud = read(name, text).unwrap();
            assert_eq!(
                (&cloud.positions[..], &cloud.colors[..]),
                (&[[1.0, 2.5, 3.0]][..], &[[1.0, 0.0, 0.2]][..]),
                "{text}"
            );
        }
        let gap = read("a.csv", "x,y,z,r,g,b\n1,,3,1,2,3\n1,2,3,1,2,3").unwrap();
        assert!(gap.positions[0][1].is_nan() && gap.len() == 2);
        assert_eq!(read("a.xyz", "1 2 3\n").unwrap().positions, [[1.0, 2.0, 3.0]]);
    }

    #[test]
    fn odd_lines_are_named() {
        for (text, words) in [
            ("", "no points"),
            ("# nothing\n", "no points"),
            ("1 2\n", "line 1: 2 values; a line above must say"),
            ("1 2 3 4 5 6\n1 2 3\n", "line 2: 3 values, where there should be 6"),
            ("1 2 3 4 5 6\n1 2 three 4 5 6\n", "line 2: z is \"three\", which is no number"),
            ("0,5 0,5 0,5 1 2 3\n", "decimals need a point"),
            ("2\nwater\nO 0 0 0\n", "line 1: one value; if it is the number of points"),
            ("a b c\n1 2 3\n", "no property x"),
            ("1 2 3 300 0 0\n", "point 0 has colour"),
        ] {
            let error = read("a.txt", text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let error = read("a.pts", "3\n1 2 3\n4 5 6\n").unwrap_err();
        assert!(error.contains("its first line says 3 points, but it has 2: it is truncated"), "{error}");
        assert_eq!(read("a.pts", "1\n1 2 3\n4 5 6\n").unwrap().len(), 2);
        let error = parse(&b"\xff\xfe1\x00 \x002\x00"[..], Path::new("a.txt")).unwrap_err().to_string();
        assert!(error.contains("a.txt: is UTF-16 text; save it as UTF-8"), "{error}");
    }
}
