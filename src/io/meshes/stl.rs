//! Meshes as STL files: binary or ascii, triangles without colours.

use super::{Mesh, beside};
use crate::{
    error::{Error, Result},
    io::columns,
};
use std::{collections::HashMap, path::Path};

/// Before the triangles of a binary file: 80 bytes of anything, and their number.
const HEADER: usize = 84;
/// Bytes of a triangle: a normal, three corners, two bytes of anything.
const TRIANGLE: usize = 50;

pub(super) fn read(path: &Path) -> Result<Mesh> {
    // The 50 bytes of a triangle are up to three vertices, which are looked up by their places.
    parse(&beside::whole(path, 4)?, path)
}

/// Corners at one place are one vertex.
#[derive(Default)]
struct Welded {
    mesh: Mesh,
    vertex_at: HashMap<[u64; 3], u32>,
}

impl Welded {
    fn push(&mut self, corners: [[f64; 3]; 3]) {
        let Welded { mesh, vertex_at } = self;
        let vertices = corners.map(|p| {
            *vertex_at.entry(p.map(|x| (x + 0.0).to_bits())).or_insert_with(|| {
                mesh.positions.push(p);
                mesh.positions.len() as u32 - 1
            })
        });
        mesh.faces.push(vertices);
        mesh.material_of.push(-1);
    }
}

pub(super) fn parse(file: &[u8], path: &Path) -> Result<Mesh> {
    let count = file.get(80..HEADER).and_then(<[u8]>::first_chunk).map(|&b| u32::from_le_bytes(b) as usize);
    let body = file.len().saturating_sub(HEADER) / TRIANGLE;
    // Binary files may begin with `solid` too: what tells them is their length.
    let is_binary = count == Some(body) || !file.trim_ascii_start().starts_with(b"solid");
    let mut welded = Welded::default();
    match (is_binary, count) {
        (true, Some(count)) if count > body => {
            let message =
                format!("the header says {count} triangles, but only {body} follow: truncated or damaged");
            return Err(Error::format(path, message));
        }
        (true, None) => return Err(Error::format(path, "not an STL file: too short, and no word `solid`")),
        (true, Some(count)) => {
            for triangle in file[HEADER..].chunks_exact(TRIANGLE).take(count) {
                let number =
                    |i: usize| f32::from_le_bytes(*triangle[12 + 4 * i..].first_chunk().expect("50 bytes"));
                welded.push([0, 3, 6].map(|corner| [0, 1, 2].map(|axis| number(corner + axis).into())));
            }
            if count < body {
                welded.mesh.warnings.push(format!(
                    "The header says {count} triangles, but {body} follow: those beyond are left out."
                ));
            }
        }
        (false, _) => ascii(file, &mut welded, path)?,
    }
    Ok(welded.mesh)
}

fn ascii(file: &[u8], welded: &mut Welded, path: &Path) -> Result<()> {
    let text = String::from_utf8_lossy(file);
    let mut corners = vec![];
    for (i, line) in text.lines().enumerate() {
        let unfit = |what: String| Error::format(path, format!("line {}: {what}", i + 1));
        let mut words = line.split_ascii_whitespace();
        let word = words.next().unwrap_or_default().to_ascii_lowercase();
        match &word[..] {
            "vertex" => {
                let numbers: Vec<f64> = words.map_while(columns::number).collect();
                let &[x, y, z] = &numbers[..] else {
                    return Err(unfit(format!("{:?} has no three numbers", line.trim())));
                };
                corners.push([x, y, z]);
            }
            "endloop" => match corners[..] {
                [a, b, c] => {
                    welded.push([a, b, c]);
                    corners.clear();
                }
                _ => return Err(unfit(format!("a facet of {} corners; they have three", corners.len()))),
            },
            _ => (),
        }
    }
    match corners.is_empty() {
        true => Ok(()),
        false => Err(Error::format(path, "ends within a facet: truncated")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(header: &[u8], triangles: &[[[f32; 3]; 3]]) -> Vec<u8> {
        let mut file = header.to_vec();
        file.resize(80, 0);
        file.extend((triangles.len() as u32).to_le_bytes());
        for triangle in triangles {
            file.extend([0; 12]);
            file.extend(triangle.as_flattened().iter().flat_map(|x| x.to_le_bytes()));
            file.extend([0; 2]);
        }
        file
    }

    const TWO: [[[f32; 3]; 3]; 2] = [
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]],
    ];

    #[test]
    fn binary_and_ascii_hold_the_same() {
        let wanted = parse(&binary(b"made by us", &TWO), Path::new("a.stl")).unwrap();
        assert_eq!((wanted.positions.len(), wanted.faces.row(1)), (4, &[1, 3, 2][..]));
        assert_eq!(parse(&binary(b"solid but binary", &TWO), Path::new("a.stl")).unwrap(), wanted);
        let facet = |t: &[[f32; 3]; 3]| {
            let corners: String = t.iter().map(|[x, y, z]| format!("vertex {x} {y} {z:e}\n")).collect();
            format!("facet normal 0 0 1\n outer loop\n{corners} endloop\nendfacet\n")
        };
        let text = format!("solid\n{}{}endsolid", facet(&TWO[0]), facet(&TWO[1]));
        assert_eq!(parse(text.as_bytes(), Path::new("a.stl")).unwrap(), wanted);
        assert_eq!(
            parse(text.to_uppercase().replace("SOLID\n", "solid\n").as_bytes(), Path::new("a.stl")).unwrap(),
            wanted
        );
    }

    #[test]
    fn what_is_damaged_is_said() {
        let says = |file: &[u8], words: &str| {
            let message = parse(file, Path::new("a.stl")).unwrap_err().to_string();
            assert!(message.starts_with("a.stl: ") && message.contains(words), "{message}");
        };
        let whole = binary(b"", &TWO);
        let more = parse(&[&whole[..], &[0; TRIANGLE]].concat(), Path::new("a.stl")).unwrap();
        assert!(
            more.faces.len() == 2 && more.warnings[0].contains("says 2 triangles, but 3 follow"),
            "{more:?}"
        );
        for end in 0..whole.len() {
            says(&whole[..end], if end < 84 { "too short" } else { "truncated" });
        }
        says(b"solid\nvertex 1 2\n", "line 2: \"vertex 1 2\" has no three numbers");
        says(b"solid\nvertex 1 2 3\nendloop", "a facet of 1 corners");
        says(b"solid\nvertex 1 2 3", "within a facet");
    }
}
