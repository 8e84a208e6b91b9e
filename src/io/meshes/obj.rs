//! Meshes as OBJ files, with their MTL files and textures.

use super::{Material, Mesh, Picture, Texture, Wrap, beside};
use crate::{
    error::{Error, Result},
    io::columns,
};
use std::{collections::HashMap, path::Path};

pub(super) fn read(path: &Path) -> Result<Mesh> {
    // `v 0.1 0.2 0.3` is a place, a colour and a vertex.
    parse(&beside::whole(path, 8)?, path)
}

/// What the lines of a file said so far.
#[derive(Default)]
struct Reader {
    mesh: Mesh,
    places: Vec<[f64; 3]>,
    /// Red, green, blue, alpha of every place; NaN where its line has none.
    colors: Vec<[f32; 4]>,
    texcoords: Vec<[f32; 2]>,
    normals: Vec<[f32; 3]>,
    /// The vertex of a place, texture coordinates and a normal.
    vertex_of: HashMap<[u32; 3], u32>,
    material: i32,
    material_named: HashMap<String, i32>,
    picture_named: HashMap<String, Option<usize>>,
    /// Names that no library defines.
    unknown: Vec<String>,
}

/// No texture coordinates, no normal.
const MISSING: u32 = u32::MAX;

pub(super) fn parse(file: &[u8], path: &Path) -> Result<Mesh> {
    let mut reader = Reader { material: -1, ..Reader::default() };
    let text = String::from_utf8_lossy(file);
    let mut lines = text.lines().zip(1..);
    let mut joined = String::new();
    while let Some((line, at)) = lines.next() {
        let mut line = line.trim_start_matches('\u{feff}');
        // A line that ends in a backslash goes on in the next.
        if line.trim_end().ends_with('\\') {
            joined.clear();
            joined.push_str(line.trim_end().trim_end_matches('\\'));
            for (more, _) in lines.by_ref() {
                joined.push(' ');
                joined.push_str(more.trim_end().trim_end_matches('\\'));
                if !more.trim_end().ends_with('\\') {
                    break;
                }
            }
            line = &joined;
        }
        reader.line(line.trim(), path).map_err(|what| Error::format(path, format!("line {at}: {what}")))?;
    }
    Ok(reader.finish())
}

impl Reader {
    fn line(&mut self, line: &str, path: &Path) -> Result<(), String> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        // Names may have a `#`.
        let rest =
            if word.starts_with(['v', 'f']) { rest.split('#').next().unwrap_or_default() } else { rest };
        match word {
            "v" => {
                let all = numbers(rest)?;
                let &[x, y, z, ref more @ ..] = &all[..] else {
                    return Err(format!("{line:?} has no three numbers"));
                };
                self.places.push([x, y, z]);
                self.colors.push(match *more {
                    [r, g, b] => [r as f32, g as f32, b as f32, 1.0],
                    [r, g, b, _] if more.len() == 4 => [r as f32, g as f32, b as f32, 1.0],
                    _ => [f32::NAN; 4],
                });
            }
            "vt" => {
                let all = numbers(rest)?;
                let &[u, ref more @ ..] = &all[..] else { return Err(format!("{line:?} has no number")) };
                self.texcoords.push([u as f32, 1.0 - more.first().map_or(0.0, |&v| v as f32)]);
            }
            "vn" => match numbers(rest)?[..] {
                [x, y, z, ..] => self.normals.push(unit([x, y, z])),
                _ => return Err(format!("{line:?} has no three numbers")),
            },
            "f" | "fo" => self.face(rest)?,
            "usemtl" => self.use_material(rest.trim()),
            "mtllib" => self.library(rest.trim(), path),
            // Names, groups, smoothing, lines, points and curves say nothing about a face's look.
            _ => (),
        }
        Ok(())
    }

    fn face(&mut self, corners: &str) -> Result<(), String> {
        let mut face = vec![];
        for corner in corners.split_ascii_whitespace() {
            let mut parts = corner.split('/');
            let mut index = |what: &str, count: usize| -> Result<u32, String> {
                let word = parts.next().unwrap_or_default();
                if word.is_empty() && what != "vertex" {
                    return Ok(MISSING);
                }
                // Counted from 1, or back from the last.
                let number: i64 =
                    word.parse().map_err(|_| format!("the face's corner {corner:?} is no number"))?;
                let index = if number < 0 { count as i64 + number } else { number - 1 };
                match (0..count as i64).contains(&index) {
                    true => Ok(index as u32),
                    false => Err(format!("the face names {what} {number} of {count}")),
                }
            };
            let place = index("vertex", self.places.len())?;
            // A broken reference to a texture does not break the shape.
            let texcoord = index("texture coordinates", self.texcoords.len()).unwrap_or(MISSING);
            let normal = index("normal", self.normals.len()).unwrap_or(MISSING);
            face.push(self.vertex([place, texcoord, normal]));
        }
        // Fewer than three corners make no surface, but the file has the face, and results follow the file.
        self.mesh.faces.push(face);
        self.mesh.material_of.push(self.material);
        Ok(())
    }

    fn vertex(&mut self, [place, texcoord, normal]: [u32; 3]) -> u32 {
        let Reader { mesh, .. } = self;
        *self.vertex_of.entry([place, texcoord, normal]).or_insert_with(|| {
            mesh.positions.push(self.places[place as usize]);
            mesh.colors.push(self.colors[place as usize]);
            if mesh.texcoords.is_empty() {
                mesh.texcoords.push(vec![]);
            }
            let get = |i: u32| usize::try_from(i).ok();
            let uv = get(texcoord).and_then(|i| self.texcoords.get(i)).copied();
            mesh.texcoords[0].push(uv.unwrap_or([f32::NAN; 2]));
            let n = get(normal).and_then(|i| self.normals.get(i)).copied();
            mesh.normals.push(n.unwrap_or([f32::NAN; 3]));
            mesh.positions.len() as u32 - 1
        })
    }

    fn use_material(&mut self, name: &str) {
        self.material = self.material_named.get(name).copied().unwrap_or(-1);
        if self.material < 0 && !name.is_empty() && !self.unknown.iter().any(|known| known == name) {
            self.unknown.push(name.into());
        }
    }

    /// Reads a library of materials, or several whose names stand in one line.
    fn library(&mut self, names: &str, path: &Path) {
        let mut found = beside::read(path, names);
        if found.is_err() && names.contains(char::is_whitespace) {
            let several: Vec<Vec<u8>> =
                names.split_whitespace().filter_map(|name| beside::read(path, name).ok()).collect();
            if !several.is_empty() {
                found = Ok(several.join(&b'\n'));
            }
        }
        match found {
            Ok(library) => self.materials(&String::from_utf8_lossy(&library), path),
            Err(why) => self.warn(format!("The materials are missing ({why}): faces are grey.")),
        }
    }

    fn materials(&mut self, library: &str, path: &Path) {
        for line in library.lines() {
            let line = line.trim_start_matches('\u{feff}').trim();
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            if word == "newmtl" {
                let at = self.mesh.materials.len() as i32;
                self.material_named.entry(rest.into()).or_insert(at);
                let (color, texture, alpha_cutoff) = ([0.8, 0.8, 0.8, 1.0], None, None);
                self.mesh.materials.push(Material { name: rest.into(), color, texture, alpha_cutoff });
                continue;
            }
            let texture = match word.to_ascii_lowercase().as_str() {
                "map_kd" => self.texture(rest, path),
                _ => None,
            };
            let Some(material) = self.mesh.materials.last_mut() else { continue };
            match word {
                "Kd" => {
                    if let Ok(&[r, g, b]) = numbers(rest).as_deref()
                        && [r, g, b].iter().all(|c| c.is_finite())
                    {
                        let [r, g, b] = [r, g, b].map(|c| (c as f32).clamp(0.0, 1.0));
                        material.color = [r, g, b, 1.0];
                    }
                }
                "map_d" => material.alpha_cutoff = Some(0.5),
                _ => material.texture = texture.or(material.texture.take()),
            }
        }
    }

    /// `map_Kd -s 1 1 1 wood.png`: options, then a name that may have spaces.
    fn texture(&mut self, line: &str, path: &Path) -> Option<Texture> {
        let mut wrap = Wrap::Repeat;
        let (mut scale, mut offset) = ([1.0f32; 2], [0.0f32; 2]);
        let mut rest = line.trim();
        while let Some(option) = rest.strip_prefix('-') {
            let (name, mut values) = option.split_once(char::is_whitespace)?;
            let most = match name {
                "s" | "o" | "t" => 3,
                "mm" => 2,
                _ => 1,
            };
            let mut taken = vec![];
            while taken.len() < most {
                let (value, after) = values.trim_start().split_once(char::is_whitespace)?;
                // Two of three numbers may be missing.
                if !taken.is_empty() && value.parse::<f32>().is_err() {
                    break;
                }
                taken.push(value);
                values = after;
            }
            let pair = |usual: [f32; 2]| {
                [0, 1].map(|i| taken.get(i).and_then(|v: &&str| v.parse().ok()).unwrap_or(usual[i]))
            };
            match name {
                "clamp" if taken == ["on"] => wrap = Wrap::Clamp,
                "s" => scale = pair([1.0; 2]),
                "o" => offset = pair([0.0; 2]),
                _ => (),
            }
            rest = values.trim_start();
        }
        let picture = self.picture(rest, path)?;
        let [[su, sv], [ou, ov]] = [scale, offset];
        // Of v downwards: 1 - (sv (1 - v) + ov).
        let transform =
            ([su, sv, ou, ov] != [1.0, 1.0, 0.0, 0.0]).then_some([[su, 0.0, ou], [0.0, sv, 1.0 - sv - ov]]);
        Some(Texture { picture, set: 0, wrap: [wrap; 2], transform })
    }

    fn picture(&mut self, name: &str, path: &Path) -> Option<usize> {
        if let Some(&known) = self.picture_named.get(name) {
            return known;
        }
        let found = match beside::read(path, name) {
            Ok(bytes) => {
                self.mesh.pictures.push(Picture { name: name.into(), bytes });
                Some(self.mesh.pictures.len() - 1)
            }
            Err(why) => {
                self.warn(format!("A texture is missing ({why}): its faces have their material's colour."));
                None
            }
        };
        self.picture_named.insert(name.into(), found);
        found
    }

    fn warn(&mut self, warning: String) {
        if !self.mesh.warnings.contains(&warning) {
            self.mesh.warnings.push(warning);
        }
    }

    /// Drops what no vertex has.
    fn finish(mut self) -> Mesh {
        if !self.unknown.is_empty() && !self.mesh.materials.is_empty() {
            let names = self.unknown.join(", ");
            self.warn(format!("No material is named: {names}. Faces of that name are grey."));
        }
        let mut mesh = self.mesh;
        if mesh.normals.iter().flatten().all(|x| x.is_nan()) {
            mesh.normals.clear();
        }
        mesh.texcoords.retain(|set| set.iter().flatten().any(|x| !x.is_nan()));
        let largest = mesh.colors.iter().flatten().copied().fold(0.0, f32::max);
        if mesh.colors.iter().flatten().all(|x| x.is_nan()) {
            mesh.colors.clear();
        }
        // Bytes, as some programs write them.
        let unit = if largest > 2.0 { 255.0 } else { 1.0 };
        for [rgb @ .., _] in &mut mesh.colors {
            rgb.iter_mut().for_each(|c| *c = (*c / unit).clamp(0.0, 1.0));
        }
        mesh
    }
}

fn numbers(words: &str) -> Result<Vec<f64>, String> {
    let number = |word: &str| columns::number(word).ok_or_else(|| format!("{word:?} is no number"));
    words.split_ascii_whitespace().map(number).collect()
}

/// NaN if it has no length.
pub(super) fn unit(n: [f64; 3]) -> [f32; 3] {
    let length = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
    match length > 0.0 && length.is_finite() {
        true => n.map(|x| (x / length) as f32),
        false => [f32::NAN; 3],
    }
}
