//! Point clouds as PLY files: ascii, binary little and big endian.

mod write;

pub use write::{write, write_colored};

use super::{
    budget::{self, Budget},
    columns::{self, Column, Scalar},
    points::PointCloud,
};
use crate::error::{Error, Result};
use std::{
    collections::BTreeMap,
    io::{BufRead, Read},
    path::Path,
};

/// No point cloud's header is longer; a longer one is a file of another kind.
const HEADER_LIMIT: u64 = 1 << 20;
/// No element has more.
const PROPERTY_LIMIT: usize = 1 << 12;

pub(crate) const OF_A_MESH: &str = "It is a mesh";
/// Reads the points and colours of the `vertex` element, of any number type and of the usual names; everything else is
/// skipped.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn read(path: &Path) -> Result<PointCloud> {
    let (file, length) = budget::open(path)?;
    parse(file, length, path)
}

/// Reads a PLY file of `length` bytes from anywhere; `path` is for messages.
///
/// # Errors
/// As [`PointCloud::read`].
pub fn parse(mut from: impl BufRead, length: u64, path: &Path) -> Result<PointCloud> {
    let header = Header::read(&mut from, path)?;
    let body = length.saturating_sub(header.length);
    for (i, element) in header.elements.iter().enumerate() {
        element.check_count(header.format, body, path)?;
        let is_vertex = element.name == "vertex";
        let wanted = |p: &Property| match p.list {
            None if is_vertex => Column::wanted(&p.name, p.scalar).map(Kept::Column),
            _ => None,
        };
        let kept = element.read(&mut from, header.format, body, wanted, path)?;
        if is_vertex {
            let mut cloud = element.points(kept, header.colors_elsewhere(), path)?;
            cloud.warnings.extend(header.mesh_warning(cloud.len()));
            let mut rest = vec![];
            from.take(1 << 12).read_to_end(&mut rest).map_err(Error::io(path))?;
            if i + 1 == header.elements.len() && !rest.trim_ascii().is_empty() {
                let n = cloud.len();
                cloud.warnings.push(format!(
                    "More follows than the {n} vertices that its header tells of; it is left out."
                ));
            }
            return Ok(cloud);
        }
    }
    Err(Error::format(path, "has no element named vertex"))
}

/// Reads properties of the vertices that hold integers, by name; those that there are.
///
/// # Errors
/// As [`PointCloud::read`]; also if a value is no integer.
pub fn integers(path: &Path, names: &[&str]) -> Result<BTreeMap<String, Vec<i64>>> {
    let (mut from, length) = budget::open(path)?;
    let header = Header::read(&mut from, path)?;
    let body = length.saturating_sub(header.length);
    for element in &header.elements {
        element.check_count(header.format, body, path)?;
        let is_vertex = element.name == "vertex";
        let wanted = |p: &Property| {
            let name = p.name.to_ascii_lowercase();
            let is_wanted = is_vertex && p.list.is_none() && names.contains(&&name[..]);
            is_wanted.then(|| Kept::Column(Column::named(&name, p.scalar)))
        };
        let kept = element.read(&mut from, header.format, body, wanted, path)?;
        if is_vertex {
            let integers = |column: Column| {
                let (name, values) = (column.name(), &column.values);
                match values.iter().position(|&v| v.fract() != 0.0 || v.abs() > 9e15) {
                    None => Ok((name.to_string(), values.iter().map(|&v| v as i64).collect())),
                    Some(i) => {
                        Err(Error::format(path, format!("{name} of vertex {i} is {}, no integer", values[i])))
                    }
                }
            };
            return kept.into_iter().filter_map(Kept::column).map(integers).collect();
        }
    }
    Err(Error::format(path, "has no element named vertex"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ascii,
    LittleEndian,
    BigEndian,
}

#[derive(Debug)]
pub(super) struct Header {
    pub format: Format,
    pub elements: Vec<Element>,
    /// The files that comments name as textures.
    pub textures: Vec<String>,
    /// In bytes.
    pub length: u64,
}

#[derive(Debug)]
pub(super) struct Element {
    pub name: String,
    pub count: u64,
    properties: Vec<Property>,
}

#[derive(Debug)]
pub(super) struct Property {
    pub name: String,
    pub scalar: Scalar,
    /// The type of the count, if it is a list.
    pub list: Option<Scalar>,
}

/// What is kept of a property: one number or one list of every row.
pub(super) enum Kept {
    Column(Column),
    #[cfg_attr(not(feature = "meshes"), allow(dead_code))]
    List(crate::ragged::Ragged<f64>),
}

impl Kept {
    fn column(self) -> Option<Column> {
        match self {
            Kept::Column(column) => Some(column),
            Kept::List(_) => None,
        }
    }
}

impl Header {
    pub fn read(from: &mut impl BufRead, path: &Path) -> Result<Header> {
        let unfit = |message: String| Error::format(path, format!("not a PLY file: {message}"));
        let (mut format, mut elements, mut textures) = (None, Vec::<Element>::new(), vec![]);
        let (mut line, mut length) = (vec![], 0);
        let mut limited = from.take(HEADER_LIMIT);
        loop {
            line.clear();
            length += limited.read_until(b'\n', &mut line).map_err(Error::io(path))? as u64;
            // Comments may be in any encoding.
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim();
            if format.is_none() && length == line.len() as u64 {
                match text {
                    "ply" => continue,
                    _ => return Err(unfit("its first line is not `ply`".into())),
                }
            }
            let odd = || unfit(format!("its header has the line {text:?}"));
            let words: Vec<&str> = text.split_whitespace().collect();
            match words[..] {
                ["end_header"] if line.ends_with(b"\n") => break,
                _ if !line.ends_with(b"\n") => {
                    return Err(unfit("its header has no line `end_header`".into()));
                }
                ["comment", "TextureFile", ..] => textures.push(words[2..].join(" ")),
                [] | ["comment" | "obj_info", ..] => (),
                ["format", name, _] => {
                    format = Some(match name {
                        "ascii" => Format::Ascii,
                        "binary_little_endian" => Format::LittleEndian,
                        "binary_big_endian" => Format::BigEndian,
                        _ => return Err(odd()),
                    })
                }
                ["element", name, count] => {
                    let count = count.parse().map_err(|_| odd())?;
                    elements.push(Element { name: name.into(), count, properties: vec![] });
                }
                ["property", .., name] => {
                    let (scalar, list) = match words[1..words.len() - 1] {
                        [kind] => (scalar(kind), None),
                        ["list", count, kind] => (scalar(kind), scalar(count)),
                        _ => return Err(odd()),
                    };
                    let (Some(scalar), true) = (scalar, list.is_some() == (words.len() == 5)) else {
                        return Err(unfit(format!("no number type is known in the line {text:?}")));
                    };
                    let Some(element) = elements.last_mut() else { return Err(odd()) };
                    if element.properties.len() == PROPERTY_LIMIT {
                        return Err(unfit(format!(
                            "more than {PROPERTY_LIMIT} properties of {}",
                            element.name
                        )));
                    }
                    if element.properties.iter().any(|other| other.name == name) {
                        let message = format!(
                            "its element {} has two properties named {name}; remove one, or name it otherwise",
                            element.name
                        );
                        return Err(Error::format(path, message));
                    }
                    element.properties.push(Property { name: name.into(), scalar, list });
                }
                _ => return Err(odd()),
            }
        }
        let format = format.ok_or_else(|| unfit("its header has no line `format`".into()))?;
        Ok(Header { format, elements, textures, length })
    }

    fn element(&self, name: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.name == name)
    }

    /// Where else than at the vertices the colours are.
    fn colors_elsewhere(&self) -> Option<String> {
        let faces = self.element("face");
        let has = |name: &str| {
            faces.is_some_and(|f| f.properties.iter().any(|p| p.name.eq_ignore_ascii_case(name)))
        };
        let place = if !self.textures.is_empty() || has("texcoord") {
            format!("in a texture, {}", self.textures.first().map_or("an image", String::as_str))
        } else if ["red", "r", "diffuse_red"].into_iter().any(has) {
            "those of faces".to_string()
        } else {
            return None;
        };
        Some(format!(
            "its vertices have no property red: the colours are {place}. Draw points on the faces (option mesh.points)"
        ))
    }

    /// Faces or strips of them.
    pub fn faces(&self) -> u64 {
        let faces = ["face", "tristrips"].into_iter().filter_map(|name| self.element(name)).map(|f| f.count);
        faces.fold(0, u64::saturating_add)
    }

    fn mesh_warning(&self, vertices: usize) -> Option<String> {
        let faces = self.faces();
        (faces > 0).then(|| {
            format!(
                "{OF_A_MESH}, of {faces} faces; only its {vertices} vertices are read, and what lies between them is not \
                 seen. Sample points on its surface (option mesh.points)."
            )
        })
    }
}

fn scalar(name: &str) -> Option<Scalar> {
    Some(match name {
        "char" | "int8" => Scalar::I8,
        "uchar" | "uint8" | "bool" => Scalar::U8,
        "short" | "int16" => Scalar::I16,
        "ushort" | "uint16" => Scalar::U16,
        "int" | "int32" => Scalar::I32,
        "uint" | "uint32" => Scalar::U32,
        "long" | "int64" | "longlong" => Scalar::I64,
        "ulong" | "uint64" | "ulonglong" => Scalar::U64,
        "half" | "float16" => Scalar::F16,
        "float" | "float32" => Scalar::F32,
        "double" | "float64" => Scalar::F64,
        _ => return None,
    })
}

impl Element {
    /// The points that the columns of the vertices are.
    pub fn points(&self, kept: Vec<Kept>, elsewhere: Option<String>, path: &Path) -> Result<PointCloud> {
        let names: Vec<String> = self.properties.iter().map(|p| p.name.clone()).collect();
        let columns = kept.into_iter().filter_map(Kept::column).collect();
        columns::cloud(columns, "vertices", &names, elsewhere, path)
    }

    /// Refuses counts that the file has no room for, before anything is read or allocated.
    pub fn check_count(&self, format: Format, body: u64, path: &Path) -> Result<()> {
        let Element { name, count, properties } = self;
        let size = |p: &Property| match format {
            Format::Ascii => 2, // a digit and a space
            _ => p.list.unwrap_or(p.scalar).size() as u64,
        };
        let row: u64 = properties.iter().map(size).sum();
        if *count > 0 && row == 0 {
            return Err(Error::format(path, format!("its {count} elements named {name} have no properties")));
        }
        // One byte more: the last line of an ascii file need not end.
        match count.checked_mul(row) {
            Some(needed) if needed <= body + 1 => Ok(()),
            _ => Err(Error::format(
                path,
                format!(
                    "the header says {count} elements named {name} of {row} bytes or more, but only {body} bytes follow: \
                     the file is truncated or damaged"
                ),
            )),
        }
    }

    /// Reads or skips the rows; what is wanted of them, in the order of the properties.
    pub fn read(
        &self,
        from: &mut impl BufRead,
        format: Format,
        body: u64,
        wanted: impl FnMut(&Property) -> Option<Kept>,
        path: &Path,
    ) -> Result<Vec<Kept>> {
        let mut columns: Vec<Option<Kept>> = self.properties.iter().map(wanted).collect();
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let plain = columns.iter_mut().flatten().filter_map(|kept| match kept {
            Kept::Column(column) => Some(column),
            Kept::List(_) => None,
        });
        columns::make_room(plain, count, &mut Budget::of(body)).map_err(|what| {
            Error::format(path, format!("its {count} elements named {}: {what}", self.name))
        })?;
        let mut row = vec![];
        for i in 0..self.count {
            let read = match format {
                Format::Ascii => self.read_line(from, &mut row, &mut columns),
                _ => self.read_row(from, &mut row, &mut columns, format == Format::BigEndian),
            };
            read.map_err(|what| Error::format(path, format!("{} {i}: {what}", self.name)))?;
        }
        Ok(columns.into_iter().flatten().collect())
    }

    fn read_row(
        &self,
        from: &mut impl BufRead,
        row: &mut Vec<u8>,
        columns: &mut [Option<Kept>],
        big_endian: bool,
    ) -> Result<(), String> {
        let broken = |e: std::io::Error| format!("cannot be read, the file is truncated: {e}");
        if self.properties.iter().all(|p| p.list.is_none()) {
            row.resize(self.properties.iter().map(|p| p.scalar.size()).sum(), 0);
            from.read_exact(row).map_err(broken)?;
            let mut rest = &row[..];
            for (property, column) in self.properties.iter().zip(columns) {
                if let Some(Kept::Column(column)) = column {
                    column.push(rest, big_endian);
                }
                rest = &rest[property.scalar.size()..];
            }
            return Ok(());
        }
        for (property, column) in self.properties.iter().zip(columns) {
            row.resize(property.list.unwrap_or(property.scalar).size(), 0);
            from.read_exact(row).map_err(broken)?;
            if let Some(Kept::Column(column)) = column {
                column.push(row, big_endian);
            }
            if let Some(count) = property.list {
                let count = count.number(row, big_endian);
                let bytes = count * property.scalar.size() as f64;
                if !(0.0..9e15).contains(&bytes) || count.fract() != 0.0 {
                    return Err(format!("{} has {count} entries: damaged", property.name));
                }
                let mut values = from.take(bytes as u64);
                let found = match column {
                    Some(Kept::List(lists)) => {
                        row.clear();
                        let found = values.read_to_end(row).map_err(broken)?;
                        let entries = row.chunks_exact(property.scalar.size());
                        lists.push(entries.map(|entry| property.scalar.number(entry, big_endian)));
                        found as u64
                    }
                    _ => std::io::copy(&mut values, &mut std::io::sink()).map_err(broken)?,
                };
                if found < bytes as u64 {
                    return Err("cannot be read, the file is truncated".into());
                }
            }
        }
        Ok(())
    }

    fn read_line(
        &self,
        from: &mut impl BufRead,
        line: &mut Vec<u8>,
        columns: &mut [Option<Kept>],
    ) -> Result<(), String> {
        line.clear();
        while line.trim_ascii().is_empty() {
            line.clear();
            if from.read_until(b'\n', line).map_err(|e| e.to_string())? == 0 {
                return Err("cannot be read, the file is truncated".into());
            }
        }
        let text = String::from_utf8_lossy(line);
        let found = text.split_whitespace().count();
        let mut words = text.split_whitespace();
        let short = |property: &Property| {
            format!(
                "its line has {found} values, none of them for {}; the file is damaged or truncated, or its header names \
                 properties that it lacks",
                property.name
            )
        };
        for (property, column) in self.properties.iter().zip(columns) {
            let word = words.next().ok_or_else(|| short(property))?;
            if let Some(count) = property.list.map(|_| columns::number(word)) {
                let count = count.filter(|&n| n >= 0.0 && n <= found as f64 && n.fract() == 0.0);
                let count =
                    count.ok_or_else(|| format!("{} has {word:?} entries: damaged", property.name))?;
                let mut entries = vec![];
                for _ in 0..count as usize {
                    let word = words.next().ok_or_else(|| short(property))?;
                    if let Some(Kept::List(_)) = column {
                        let entry = columns::number(word);
                        let odd = || format!("{} has the entry {word:?}, which is no number", property.name);
                        entries.push(entry.ok_or_else(odd)?);
                    }
                }
                if let Some(Kept::List(lists)) = column {
                    lists.push(entries);
                }
            } else if let Some(Kept::Column(column)) = column
                && !column.push_word(word)
            {
                let remedy = if word.contains(',') { "; decimals need a point, not a comma" } else { "" };
                return Err(format!("{} is {word:?}, which is no number{remedy}", property.name));
            }
        }
        match words.count() {
            0 => Ok(()),
            more => Err(format!(
                "its line has {found} values, {more} more than the header names properties; the file is damaged"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{write::write_to, *};

    fn parsed(file: &[u8]) -> Result<PointCloud, String> {
        parse(file, file.len() as u64, Path::new("a.ply")).map_err(|e| e.to_string())
    }

    fn binary(order: &str, number: impl Fn(f32) -> [u8; 4]) -> Vec<u8> {
        let mut file = format!(
            "ply\r\nformat binary_{order}_endian 1.0\r\ncomment caf\u{e9}\r\nelement face 1\nproperty list uchar int i\n\
             element vertex 2\nproperty float x\nproperty float quality\nproperty float y\nproperty float z\n\
             property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\nend_header\n"
        )
        .into_bytes();
        file.extend([2, 9, 9, 9, 9, 9, 9, 9, 9]);
        for colors in [[255, 0, 51, 255], [0, 255, 102, 255]] {
            for x in [1.0, f32::NAN, 2.0, 3.0] {
                file.extend(number(x));
            }
            file.extend(colors);
        }
        file
    }

    fn ascii(vertex: &str, rows: &str) -> Vec<u8> {
        let properties: String = vertex.split(", ").map(|p| format!("property {p}\n")).collect();
        let count = rows.lines().count();
        format!("ply\nformat ascii 1.0\nelement vertex {count}\n{properties}end_header\n{rows}").into_bytes()
    }

    const XYZRGB: &str = "double x, double y, double z, float red, float green, float blue";

    #[test]
    fn either_byte_order_with_other_properties_and_faces() {
        let expected = PointCloud {
            positions: vec![[1.0, 2.0, 3.0]; 2],
            colors: vec![[1.0, 0.0, 0.2], [0.0, 1.0, 0.4]],
            ..PointCloud::default()
        };
        let points = |file: &[u8]| {
            let PointCloud { positions, colors, warnings, .. } = parsed(file).unwrap();
            assert!(warnings[0].contains("a mesh, of 1 faces; only its 2 vertices"), "{warnings:?}");
            PointCloud { positions, colors, ..PointCloud::default() }
        };
        assert_eq!(points(&binary("little", f32::to_le_bytes)), expected);
        assert_eq!(points(&binary("big", f32::to_be_bytes)), expected);
        assert_eq!(
            points(&[b"\xef\xbb\xbf", &binary("big", f32::to_be_bytes)[..]].concat()),
            expected,
            "BOM"
        );
        let mut latin1 = binary("big", f32::to_be_bytes);
        let at = latin1.windows(2).position(|pair| pair == "\u{e9}".as_bytes()).unwrap();
        latin1.splice(at..at + 2, [0xe9]);
        assert_eq!(points(&latin1), expected);
    }

    #[test]
    fn what_follows_the_vertices_is_told() {
        let file = ascii(XYZRGB, "1 2 3 0 0 1\n1 2 4 0 0 1\n");
        assert!(parsed(&[&file[..], b"\n \n"].concat()).unwrap().warnings.is_empty());
        let longer = [&file[..], b"1 2 5 0 0 1\n"].concat();
        assert!(parsed(&longer).unwrap().warnings[0].contains("More follows than the 2 vertices"));
    }

    #[test]
    fn ascii_colors_in_their_units() {
        let colors = |file: Vec<u8>| parsed(&file).unwrap().colors;
        assert_eq!(colors(ascii(XYZRGB, "0 0 0 0 .5 1\n1 1e-3 1 1 1 1")), [[0.0, 0.5, 1.0], [1.0; 3]]);
        assert_eq!(colors(ascii(XYZRGB, "0 0 0 0 51 255")), [[0.0, 0.2, 1.0]]);
        let short = XYZRGB.replace("float", "ushort");
        assert_eq!(colors(ascii(&short, "0 0 0 0 13107 65535")), [[0.0, 0.2, 1.0]]);
        let bytes = XYZRGB.replace("float", "uchar");
        assert_eq!(colors(ascii(&bytes, "0 0 0 0.0 51.0 2.55e2")), [[0.0, 0.2, 1.0]]);
        let wide = format!("{XYZRGB}, uint64 time, long a, int64 b, bool seen");
        assert_eq!(colors(ascii(&wide, "0 0 0 0 .2 1 18446744073709551615 -1 9 1")), [[0.0, 0.2, 1.0]]);
        let mut listed = ascii(&format!("list uchar int i, {XYZRGB}"), "2 7 7 0 0 0 0 .2 1\r");
        assert_eq!(colors(listed.clone()), [[0.0, 0.2, 1.0]]);
        listed.extend(b"\n\n");
        assert_eq!(colors(listed), [[0.0, 0.2, 1.0]]);
    }

    #[test]
    fn rows_that_are_not_finite_are_read() {
        let cloud = parsed(&ascii(XYZRGB, "0 0 0 0 .2 1\n0 -nan(ind) 0 9 9 9\n1.#INF 0 0 0 0 0")).unwrap();
        assert_eq!(cloud.colors[0], [0.0, 0.2, 1.0]);
        assert!(cloud.positions[1][1].is_nan() && cloud.positions[2][0].is_infinite());
    }

    #[test]
    fn what_is_written_is_read() {
        let cloud = PointCloud {
            positions: vec![[0.1, -2e9, 3.0]],
            colors: vec![[1.0, 0.2, 0.0]],
            ..PointCloud::default()
        };
        let mut file = Vec::new();
        write_to(&mut file, &cloud.positions, &cloud.colors, &[("label", &[-1]), ("instance", &[7])])
            .unwrap();
        assert_eq!(parsed(&file).unwrap(), cloud);
    }

    #[test]
    fn every_cut_and_every_odd_value_is_an_error_that_says_so() {
        let whole = binary("little", f32::to_le_bytes);
        for end in 0..whole.len() {
            assert!(parsed(&whole[..end]).is_err(), "cut after {end} bytes");
        }
        let says = |file: Vec<u8>, words: &str| {
            let message = parsed(&file).unwrap_err();
            assert!(message.starts_with("a.ply: ") && message.contains(words), "{message}");
        };
        says(ascii(XYZRGB, "0 0 0 0 0 0\n0 0 zero 0 0 0"), "vertex 1: z is \"zero\", which is no number");
        says(
            ascii(XYZRGB, "0,5 0 0 0 0 0"),
            "vertex 0: x is \"0,5\", which is no number; decimals need a point",
        );
        says(ascii(XYZRGB, "0.0 0 0 0 0 0\n0.0 0 0 0 0"), "its line has 5 values, none of them for blue");
        says(ascii(XYZRGB, "0 0 0 0 0 0 0"), "its line has 7 values, 1 more");
        says(ascii("list uchar int i, float x", "9 1 1"), "\"9\" entries");
        says(ascii("list uchar int i, float x", "2 1 1"), "none of them for x");
        says(ascii("list uchar int i, float x", "-1 1 1"), "\"-1\" entries");
        says(ascii(&format!("{XYZRGB}, float x"), "0 0 0 0 0 0 0"), "two properties named x");
        says(ascii(&format!("{XYZRGB}, float X"), "0 0 0 0 0 0 0"), "two columns named x");
        says(
            ascii("float x, complex y", "0 0"),
            "no number type is known in the line \"property complex y\"",
        );
        says(ascii(XYZRGB, "0 0 0 0 0 300"), "colours must lie in 0..=255");
        says(ascii(XYZRGB, ""), "no points");
        let plain = "float x, float y, float z";
        let why = |file: Vec<u8>| parsed(&file).unwrap().uncolored.unwrap();
        assert!(why(ascii(plain, "0 0 0")).contains("no property red"));
        let with = |after: &str, rows: &str| {
            let text = String::from_utf8(ascii(plain, "0 0 0")).unwrap();
            let text = text.replace("end_header", &format!("{after}\nend_header")) + rows;
            why(text.into_bytes())
        };
        assert!(with("element face 0\nproperty uchar red", "").contains("those of faces"));
        assert!(with("comment TextureFile my wood.png", "").contains("in a texture, my wood.png"));
        says(ascii("float x, float y, uchar red, uchar green, uchar blue", "0 0 0 0 0"), "no property z");
        says(ascii(&XYZRGB.replace("float red", "uchar red"), "0 0 0 0 0 0"), "different types");
        says(
            b"ply\nformat ascii 1.0\nelement vertex 9000000000000000000\nproperty float x\nend_header\n"
                .into(),
            "truncated",
        );
        says(
            b"ply\nformat ascii 1.0\nelement nothing 9000000000000000000\nend_header\n".into(),
            "no properties",
        );
        says(b"solid cube\n".into(), "not a PLY file");
        says([&b"ply\n"[..], &vec![b'x'; 3 << 20]].concat(), "end_header");
    }
}
