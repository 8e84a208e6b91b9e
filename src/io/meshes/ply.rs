//! Meshes as PLY files: with colours of vertices or faces, or textures, as MeshLab writes them.

use super::{Material, Mesh, Picture, Texture, Wrap, beside};
use crate::{
    error::{Error, Result},
    io::{
        budget,
        columns::{Column, Scalar},
        ply::{Element, Header, Kept, Property},
        staged,
    },
    ragged::Ragged,
};
use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
    path::Path,
};

pub(super) fn read(path: &Path) -> Result<Mesh> {
    let (from, length) = budget::open(path)?;
    parse(from, length, path)
}

pub(super) fn has_faces(path: &Path) -> Result<bool> {
    Ok(Header::read(&mut budget::open(path)?.0, path)?.faces() > 0)
}

/// What an element holds beside points.
#[derive(Default)]
struct Extra {
    columns: HashMap<String, (Scalar, Vec<f64>)>,
    lists: HashMap<String, Ragged<f64>>,
}

impl Extra {
    /// Splits what was read into what points are made of and the rest; the properties tell the order.
    fn of(element: &Element, kept: Vec<Kept>, properties: Vec<(String, Scalar)>) -> (Vec<Kept>, Extra) {
        let (mut points, mut extra) = (vec![], Extra::default());
        for (kept, (name, scalar)) in kept.into_iter().zip(properties) {
            match kept {
                Kept::Column(column)
                    if element.name == "vertex" && Column::wanted(&name, scalar).is_some() =>
                {
                    points.push(Kept::Column(column));
                }
                Kept::Column(column) => _ = extra.columns.insert(name, (scalar, column.values)),
                Kept::List(list) => _ = extra.lists.insert(name, list),
            }
        }
        (points, extra)
    }

    fn columns<const N: usize>(&self, names: [[&str; N]; 3]) -> Option<[&(Scalar, Vec<f64>); N]> {
        let found = |names: [&str; N]| {
            let columns = names.map(|name| self.columns.get(name));
            columns.iter().all(Option::is_some).then(|| columns.map(|column| column.expect("just checked")))
        };
        names.into_iter().find_map(found)
    }
}

pub(super) fn parse(mut from: impl BufRead, length: u64, path: &Path) -> Result<Mesh> {
    let header = Header::read(&mut from, path)?;
    let body = length.saturating_sub(header.length);
    let mut mesh = Mesh::default();
    let mut faces = Extra::default();
    let mut strips = Extra::default();
    for element in &header.elements {
        element.check_count(header.format, body, path)?;
        let wanted = matches!(&element.name[..], "vertex" | "face" | "tristrips");
        let mut properties = vec![];
        let keep = |p: &Property| {
            wanted.then(|| {
                properties.push((p.name.to_lowercase(), p.scalar));
                match p.list {
                    None if element.name == "vertex" => Kept::Column(
                        Column::wanted(&p.name, p.scalar).unwrap_or_else(|| Column::named(&p.name, p.scalar)),
                    ),
                    None => Kept::Column(Column::named(&p.name, p.scalar)),
                    Some(_) => Kept::List(Ragged::default()),
                }
            })
        };
        let kept = element.read(&mut from, header.format, body, keep, path)?;
        let (points, extra) = Extra::of(element, kept, properties);
        match &element.name[..] {
            "vertex" => vertices(&mut mesh, element, points, &extra, path)?,
            "face" => faces = extra,
            "tristrips" => strips = extra,
            _ => (),
        }
    }
    if mesh.positions.is_empty() {
        return Err(Error::format(path, "has no element named vertex"));
    }
    let indices =
        |extra: &mut Extra| extra.lists.remove("vertex_indices").or(extra.lists.remove("vertex_index"));
    let corners = match (indices(&mut faces), indices(&mut strips)) {
        (Some(corners), _) => corners,
        (None, Some(strips)) => triangles_of(&strips),
        (None, None) if header.elements.iter().any(|element| element.name == "face" && element.count > 0) => {
            return Err(Error::format(path, "its faces have no list vertex_indices"));
        }
        (None, None) => return Err(Error::format(path, "has no faces; read it as a cloud")),
    };
    for (i, face) in corners.rows().enumerate() {
        let vertex = |&v: &f64| (v.fract() == 0.0 && (0.0..u32::MAX.into()).contains(&v)).then_some(v as u32);
        let corners: Option<Vec<u32>> = face.iter().map(vertex).collect();
        let odd =
            || Error::format(path, format!("face {i} has corners {face:?}; they must be places of vertices"));
        mesh.faces.push(corners.ok_or_else(odd)?);
    }
    mesh.material_of = vec![-1; mesh.faces.len()];
    face_colors(&mut mesh, &faces);
    textures(&mut mesh, &faces, &header.textures, path)?;
    Ok(mesh)
}

fn vertices(mesh: &mut Mesh, element: &Element, points: Vec<Kept>, extra: &Extra, path: &Path) -> Result<()> {
    let cloud = element.points(points, Some(String::new()), path)?;
    mesh.colors = cloud.colors.iter().map(|&[r, g, b]| [r, g, b, 1.0]).collect();
    mesh.positions = cloud.positions;
    mesh.warnings = cloud.warnings;
    if let Some([(_, x), (_, y), (_, z)]) = extra.columns([["nx", "ny", "nz"]; 3]) {
        mesh.normals = (0..x.len()).map(|i| super::obj::unit([x[i], y[i], z[i]])).collect();
    }
    let names = [["s", "t"], ["u", "v"], ["texture_u", "texture_v"]];
    if let Some([(_, u), (_, v)]) = extra.columns(names) {
        mesh.texcoords = vec![u.iter().zip(v).map(|(&u, &v)| [u as f32, 1.0 - v as f32]).collect()];
    }
    Ok(())
}

/// Strips that end at -1; every other triangle turns the other way.
fn triangles_of(strips: &Ragged<f64>) -> Ragged<f64> {
    let mut triangles = Ragged::default();
    for strip in strips.rows().flat_map(|strip| strip.split(|&v| v < 0.0)) {
        for (i, corners) in strip.windows(3).enumerate() {
            let [a, b] = if i % 2 == 0 { [corners[0], corners[1]] } else { [corners[1], corners[0]] };
            triangles.push([a, b, corners[2]]);
        }
    }
    triangles
}

fn face_colors(mesh: &mut Mesh, faces: &Extra) {
    let names = [["red", "green", "blue"], ["r", "g", "b"], ["diffuse_red", "diffuse_green", "diffuse_blue"]];
    let Some(rgb) = faces.columns(names) else { return };
    if rgb.iter().any(|(_, values)| values.len() != mesh.faces.len()) {
        return;
    }
    let largest = rgb.iter().flat_map(|(_, values)| values).copied().fold(0.0, f64::max);
    let unit = match rgb[0].0 {
        Scalar::F16 | Scalar::F32 | Scalar::F64 if largest <= 2.0 => 1.0,
        _ if largest > 255.0 => 65535.0,
        _ => 255.0,
    };
    let color = |i: usize| [0, 1, 2].map(|c| (rgb[c].1[i] / unit).clamp(0.0, 1.0) as f32);
    mesh.face_colors = (0..mesh.faces.len()).map(color).collect();
}

/// Textures that comments name, on coordinates of vertices or of the faces' corners.
fn textures(mesh: &mut Mesh, faces: &Extra, names: &[String], path: &Path) -> Result<()> {
    let at_corners = faces.lists.get("texcoord");
    if names.is_empty() || at_corners.is_none() && mesh.texcoords.is_empty() {
        return Ok(());
    }
    if let Some(texcoords) = at_corners {
        for (i, (face, uv)) in mesh.faces.rows().zip(texcoords.rows()).enumerate() {
            if !uv.is_empty() && uv.len() != 2 * face.len() {
                let message =
                    format!("face {i} has {} corners, but {} numbers of texcoord", face.len(), uv.len());
                return Err(Error::format(path, message));
            }
        }
        split_corners(mesh, texcoords, path)?;
    }
    for name in names {
        let (color, alpha_cutoff) = ([0.8, 0.8, 0.8, 1.0], None);
        let texture = match beside::read(path, name) {
            Ok(bytes) => {
                mesh.pictures.push(Picture { name: name.clone(), bytes });
                let picture = mesh.pictures.len() - 1;
                Some(Texture { picture, set: 0, wrap: [Wrap::Repeat; 2], transform: None })
            }
            Err(why) => {
                mesh.warnings.push(format!("A texture is missing ({why}): its faces have no colours of it."));
                None
            }
        };
        mesh.materials.push(Material { name: name.clone(), color, texture, alpha_cutoff });
    }
    let number = faces.columns.get("texnumber").map(|(_, numbers)| numbers);
    let last = mesh.materials.len() as i32 - 1;
    let textured = mesh.materials.iter().any(|material| material.texture.is_some());
    for (i, material) in mesh.material_of.iter_mut().enumerate() {
        if textured {
            *material = number.and_then(|n| n.get(i)).map_or(0, |&n| (n as i32).clamp(-1, last));
        }
    }
    Ok(())
}

/// Corners of one vertex that lie at different places of the texture become vertices of their own.
fn split_corners(mesh: &mut Mesh, texcoords: &Ragged<f64>, path: &Path) -> Result<()> {
    let mut split = Mesh::default();
    let mut uvs = vec![];
    let mut vertex_of: HashMap<(u32, [u32; 2]), u32> = HashMap::new();
    for (i, (face, uv)) in mesh.faces.rows().zip(texcoords.rows()).enumerate() {
        let mut corners = vec![];
        for (k, &v) in face.iter().enumerate() {
            let Some(&position) = mesh.positions.get(v as usize) else {
                let message = format!(
                    "face {i} names vertex {v}, counted from 0, of {}: damaged",
                    mesh.positions.len()
                );
                return Err(Error::format(path, message));
            };
            let at = match uv.get(2 * k..2 * k + 2) {
                Some(uv) => [uv[0] as f32, 1.0 - uv[1] as f32],
                None => [f32::NAN; 2],
            };
            corners.push(*vertex_of.entry((v, at.map(f32::to_bits))).or_insert_with(|| {
                split.positions.push(position);
                split.colors.extend(mesh.colors.get(v as usize));
                split.normals.extend(mesh.normals.get(v as usize));
                uvs.push(at);
                split.positions.len() as u32 - 1
            }));
        }
        split.faces.push(corners);
    }
    let Mesh { positions, colors, normals, faces, .. } = split;
    (mesh.positions, mesh.colors, mesh.normals, mesh.faces) = (positions, colors, normals, faces);
    mesh.texcoords = vec![uvs];
    Ok(())
}

/// Writes a binary little-endian PLY file: the vertices' x y z as `double`; of every face its `vertex_indices`, red green blue
/// as `uchar`, then the named columns as `int`, each `[F]`. MeshLab and Blender open it.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Invalid`] if the lengths differ.
pub fn write(path: &Path, mesh: &Mesh, colors: &[[u8; 3]], columns: &[(&str, &[i32])]) -> Result<()> {
    let f = mesh.len();
    if colors.len() != f || columns.iter().any(|(_, column)| column.len() != f) {
        return Err(Error::invalid(format!("PLY: colours and columns must have the {f} rows of the faces")));
    }
    staged::write(path, |to| write_to(to, mesh, colors, columns))
}

fn write_to(
    mut to: impl Write,
    mesh: &Mesh,
    colors: &[[u8; 3]],
    columns: &[(&str, &[i32])],
) -> io::Result<()> {
    let many = mesh.faces.rows().any(|face| face.len() > 255);
    write!(to, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", mesh.positions.len())?;
    write!(to, "property double x\nproperty double y\nproperty double z\nelement face {}\n", mesh.len())?;
    writeln!(to, "property list {} int vertex_indices", if many { "uint" } else { "uchar" })?;
    write!(to, "property uchar red\nproperty uchar green\nproperty uchar blue\n")?;
    for (name, _) in columns {
        writeln!(to, "property int {name}")?;
    }
    writeln!(to, "end_header")?;
    for x in mesh.positions.as_flattened() {
        to.write_all(&x.to_le_bytes())?;
    }
    for (i, (face, color)) in mesh.faces.rows().zip(colors).enumerate() {
        match many {
            true => to.write_all(&(face.len() as u32).to_le_bytes())?,
            false => to.write_all(&[face.len() as u8])?,
        }
        for corner in face {
            to.write_all(&corner.to_le_bytes())?;
        }
        to.write_all(color)?;
        for (_, column) in columns {
            to.write_all(&column[i].to_le_bytes())?;
        }
    }
    to.flush()
}
