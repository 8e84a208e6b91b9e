//! Meshes as glTF files, `.gltf` or `.glb`: the default scene at rest, by the crate gltf.

use super::{Material, Mesh, Picture, Shading, Texture, Wrap, beside};
use crate::{
    error::{Error, Result},
    io::{
        budget::Budget,
        contained::{contained, unreadable},
    },
};
use gltf::{
    Accessor, Document, Node, Primitive, Semantic,
    accessor::{DataType, Dimensions},
    buffer, image,
    json::{self, validation::Validate},
    material::AlphaMode,
    mesh::Mode,
    texture::{Info, WrappingMode},
};
use serde_json::Value;
use std::path::Path;

/// Bytes that a vertex takes, and a corner of a face.
const VERTEX: usize = 128;
const CORNER: usize = 40;
/// What is more transparent than this is not there.
const CLEAR: f32 = 0.05;
/// Places more copies of a node's mesh; not read.
const INSTANCING: &str = "EXT_mesh_gpu_instancing";
/// The members of the JSON that a mesh keeps.
const KEPT: [&str; 6] = ["asset", "extensionsRequired", "images", "materials", "samplers", "textures"];

pub(super) fn read(path: &Path) -> Result<Mesh> {
    let file = beside::whole(path, 1)?;
    contained("glTF", path, || parse(&file, path))
}

pub(super) fn parse(file: &[u8], path: &Path) -> Result<Mesh> {
    let broken = |e: String| unreadable("glTF", e, path);
    let (text, bin) = match file.starts_with(b"glTF") {
        true => {
            let [text, bin] = chunks(file).map_err(broken)?;
            (text.ok_or_else(|| broken("it has no chunk of JSON".into()))?.to_vec(), bin.map(<[u8]>::to_vec))
        }
        false => (file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).to_vec(), None),
    };
    let mut root: json::Root = json::deserialize::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    let mut whole: Value = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    check(&root).map_err(broken)?;
    name_images(&mut root);
    let document = Document::from_json_without_validation(root);
    let mut reader =
        Reader { path, buffers: vec![], mesh: Mesh::default(), budget: Budget::of(file.len() as u64) };
    reader.mesh.shading = Shading::Product;
    if let Some(members) = whole.as_object_mut() {
        members.retain(|name, _| KEPT.contains(&&name[..]));
    }
    reader.mesh.gltf = Some(whole);
    reader.read(&document, bin, file.len()).map_err(|what| Error::format(path, what))?;
    Ok(reader.mesh)
}

/// The JSON and the binary chunk of a GLB file; others are skipped. The crate's reader of them panics at odd lengths.
fn chunks(file: &[u8]) -> Result<[Option<&[u8]>; 2], String> {
    let number = |at: usize| file.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes));
    match number(4) {
        Some(2) => (),
        version => return Err(format!("it is of version {}; 2 is read", version.unwrap_or_default())),
    }
    let mut found = [None; 2];
    let mut at = 12;
    while let (Some(length), Some(kind)) = (number(at), number(at + 4)) {
        let content = file.get(at + 8..).and_then(|rest| rest.get(..length as usize));
        let content =
            content.ok_or_else(|| format!("a chunk of {length} bytes ends behind it: truncated"))?;
        let place = match &kind.to_le_bytes() {
            b"JSON" => &mut found[0],
            b"BIN\0" => &mut found[1],
            _ => &mut None,
        };
        place.get_or_insert(content);
        at = (at + 8 + length as usize).next_multiple_of(4);
    }
    Ok(found)
}

/// Refuses what the crate would stumble over, and what would be read wrong in silence.
fn check(root: &json::Root) -> Result<(), String> {
    let known = |name: &str| {
        name.starts_with("KHR_materials_")
            || [
                "EXT_texture_webp",
                "KHR_lights_punctual",
                "KHR_mesh_quantization",
                "KHR_texture_basisu",
                "KHR_texture_transform",
            ]
            .contains(&name)
    };
    if let Some(name) = root.extensions_required.iter().find(|name| !known(name)) {
        return Err(format!(
            "it needs the extension {name}, which is not read here; write it without, as by `gltf-transform copy` or Blender"
        ));
    }
    // The crate looks these up before it checks them.
    let accessors = root.accessors.len();
    for (m, mesh) in root.meshes.iter().enumerate() {
        let used = mesh.primitives.iter().flat_map(|primitive| primitive.attributes.values());
        if let Some(index) = used.map(|index| index.value()).find(|&index| index >= accessors) {
            return Err(format!("meshes[{m}] names accessor {index} of {accessors}"));
        }
    }
    let mut wrong = None;
    root.validate(root, json::Path::new, &mut |at, error| {
        let at = at().to_string();
        // Bounds of positions are not needed; extensions were looked at.
        let harmless =
            error == json::validation::Error::Unsupported || at.ends_with(".min") || at.ends_with(".max");
        if !harmless && wrong.is_none() {
            wrong = Some(format!("{at}: {error}"));
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// Images without a type are read all the same, and those without a place are missing; the crate panics at both.
fn name_images(root: &mut json::Root) {
    for image in &mut root.images {
        image.mime_type.get_or_insert_with(|| json::image::MimeType(String::new()));
        image.uri.get_or_insert_default();
    }
}

/// Columns of a transform, the last one a translation.
type Matrix = [[f64; 3]; 4];

const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0; 3]];

struct Reader<'a> {
    path: &'a Path,
    buffers: Vec<Vec<u8>>,
    mesh: Mesh,
    /// Nodes that share a mesh make much of little.
    budget: Budget,
}

impl Reader<'_> {
    fn read(&mut self, document: &Document, mut bin: Option<Vec<u8>>, length: usize) -> Result<(), String> {
        let mut bytes = length;
        for buffer in document.buffers() {
            let content = match buffer.source() {
                buffer::Source::Bin => bin.take().ok_or("it has no binary chunk")?,
                buffer::Source::Uri(uri) => self.file(uri)?,
            };
            if content.len() < buffer.length() {
                let (is, i, says) = (content.len(), buffer.index(), buffer.length());
                return Err(format!("buffer {i} has {is} bytes of {says}: truncated"));
            }
            bytes += content.len();
            self.buffers.push(content);
        }
        self.budget = Budget::of(bytes as u64);
        if document.extensions_used().any(|name| name == INSTANCING) {
            self.mesh
                .warnings
                .push(format!("Copies by {INSTANCING} are left out: a mesh is read once a node."));
        }
        self.pictures(document);
        self.mesh.materials = document.materials().map(|material| self.material(&material)).collect();
        let globals = globals(document)?;
        for (node, global) in &globals {
            if let Some(mesh) = node.mesh() {
                let joints = self.joints(node, &globals)?;
                let weights = node.weights().or(mesh.weights()).unwrap_or_default();
                for primitive in mesh.primitives() {
                    let at = || format!("mesh {}, primitive {}", mesh.index(), primitive.index());
                    self.primitive(&primitive, *global, joints.as_deref(), weights)
                        .map_err(|what| format!("{}: {what}", at()))?;
                }
            }
        }
        Ok(())
    }

    fn file(&self, uri: &str) -> Result<Vec<u8>, String> {
        match beside::data(uri) {
            Some(data) => data,
            None => beside::read(self.path, &beside::unescaped(uri)),
        }
    }

    /// An image that is missing has no bytes.
    fn pictures(&mut self, document: &Document) {
        for (i, image) in document.images().enumerate() {
            let (name, bytes) = match image.source() {
                image::Source::View { view, .. } => {
                    (format!("image {i}"), self.view(&view).map(<[u8]>::to_vec))
                }
                image::Source::Uri { uri, .. } if uri.starts_with("data:") => {
                    (format!("image {i}"), self.file(uri))
                }
                image::Source::Uri { uri, .. } => (beside::unescaped(uri), self.file(uri)),
            };
            let bytes = bytes.unwrap_or_else(|why| {
                let warning =
                    format!("A texture is missing ({why}): its faces have their material's colour.");
                self.mesh.warnings.push(warning);
                vec![]
            });
            self.mesh.pictures.push(Picture { name, bytes });
        }
        let unknown = document.textures().filter(|texture| picture_of(texture).is_none()).count();
        if unknown > 0 {
            let warning = format!(
                "{unknown} textures are of a kind that is not read: faces have their material's colour."
            );
            self.mesh.warnings.push(warning);
        }
    }

    fn material(&self, material: &gltf::Material) -> Material {
        let plain = material.pbr_metallic_roughness();
        let (color, texture) = match material.pbr_specular_glossiness() {
            Some(old) => (old.diffuse_factor(), old.diffuse_texture()),
            None => (plain.base_color_factor(), plain.base_color_texture()),
        };
        let alpha_cutoff = match material.alpha_mode() {
            AlphaMode::Opaque => None,
            AlphaMode::Mask => Some(material.alpha_cutoff().unwrap_or(0.5)),
            AlphaMode::Blend => Some(CLEAR),
        };
        let name = material.name().unwrap_or_default().to_string();
        let texture = texture.and_then(|info| self.texture(&info));
        Material { name, color: color.map(|c| c.clamp(0.0, 1.0)), texture, alpha_cutoff }
    }

    fn texture(&self, info: &Info) -> Option<Texture> {
        let texture = info.texture();
        let picture = picture_of(&texture)?;
        if self.mesh.pictures.get(picture)?.bytes.is_empty() {
            return None;
        }
        let wrap = |mode| match mode {
            WrappingMode::Repeat => Wrap::Repeat,
            WrappingMode::MirroredRepeat => Wrap::Mirror,
            WrappingMode::ClampToEdge => Wrap::Clamp,
        };
        let sampler = texture.sampler();
        let transform = info.texture_transform();
        let set = transform.as_ref().and_then(|t| t.tex_coord()).unwrap_or(info.tex_coord());
        let transform = transform.map(|t| {
            let ([ou, ov], [su, sv]) = (t.offset(), t.scale());
            let (sin, cos) = f64::from(t.rotation()).sin_cos();
            let (sin, cos) = (sin as f32, cos as f32);
            [[cos * su, sin * sv, ou], [-sin * su, cos * sv, ov]]
        });
        let wrap = [wrap(sampler.wrap_s()), wrap(sampler.wrap_t())];
        Some(Texture { picture, set: set as usize, wrap, transform })
    }

    fn view(&self, view: &buffer::View) -> Result<&[u8], String> {
        let end = view.offset().checked_add(view.length());
        let content = self.buffers.get(view.buffer().index());
        let found = end.and_then(|end| content?.get(view.offset()..end));
        found.ok_or_else(|| format!("buffer view {} ends behind its buffer: truncated", view.index()))
    }

    /// The numbers of an accessor, one element after the other; those that are normalized within [-1, 1].
    fn numbers(&self, accessor: &Accessor) -> Result<Vec<f64>, String> {
        let width = accessor.dimensions().multiplicity();
        let (count, kind) = (accessor.count(), accessor.data_type());
        if matches!(accessor.dimensions(), Dimensions::Mat2 | Dimensions::Mat3) {
            return Err(format!("accessor {} holds small matrices", accessor.index()));
        }
        let normalized = accessor.normalized();
        let mut numbers = match accessor.view() {
            Some(view) => {
                let stride = view.stride().unwrap_or(width * kind.size());
                let bytes = self.view(&view)?.get(accessor.offset()..).unwrap_or_default();
                elements(bytes, stride, count, width, kind, normalized)
                    .ok_or_else(|| format!("accessor {} ends behind its buffer view", accessor.index()))?
            }
            None => {
                // Of sparse elements the others are 0.
                let room = self.budget.clone().take(count, width * size_of::<f64>());
                room.map_err(|what| format!("accessor {} says {count} elements: {what}", accessor.index()))?;
                vec![0.0; count * width]
            }
        };
        if let Some(sparse) = accessor.sparse() {
            let (indices, values) = (sparse.indices(), sparse.values());
            let index_kind = match indices.index_type() {
                gltf::accessor::sparse::IndexType::U8 => DataType::U8,
                gltf::accessor::sparse::IndexType::U16 => DataType::U16,
                gltf::accessor::sparse::IndexType::U32 => DataType::U32,
            };
            let read = |view: &buffer::View, offset: usize, width: usize, kind: DataType| {
                let bytes = self.view(view)?.get(offset..).unwrap_or_default();
                let normalized = normalized && width > 0;
                let short = || format!("accessor {} has too few sparse elements", accessor.index());
                elements(bytes, width * kind.size(), sparse.count(), width, kind, normalized)
                    .ok_or_else(short)
            };
            let at = {
                let bytes = self.view(&indices.view())?.get(indices.offset()..).unwrap_or_default();
                elements(bytes, index_kind.size(), sparse.count(), 1, index_kind, false)
            };
            let at = at.ok_or_else(|| format!("accessor {} has too few sparse indices", accessor.index()))?;
            let values = read(&values.view(), values.offset(), width, kind)?;
            for (at, value) in at.iter().zip(values.chunks_exact(width)) {
                let start = *at as usize * width;
                let place = numbers.get_mut(start..start + width);
                place
                    .ok_or_else(|| format!("accessor {} has a sparse index {at}", accessor.index()))?
                    .copy_from_slice(value);
            }
        }
        Ok(numbers)
    }

    /// For a skin: what each joint does to the vertices.
    fn joints(&self, node: &Node, globals: &[(Node, Matrix)]) -> Result<Option<Vec<Matrix>>, String> {
        let Some(skin) = node.skin() else { return Ok(None) };
        let inverse = skin.inverse_bind_matrices().map(|accessor| self.numbers(&accessor)).transpose()?;
        let joint = |(i, joint): (usize, Node)| {
            let global =
                globals.iter().find(|(node, _)| node.index() == joint.index()).map(|(_, global)| *global);
            let column = |m: &[f64], c: usize| [m[4 * c], m[4 * c + 1], m[4 * c + 2]];
            let bind = inverse.as_ref().and_then(|m| m.get(16 * i..16 * i + 16));
            let bind = bind.map_or(IDENTITY, |m| [0, 1, 2, 3].map(|c| column(m, c)));
            product(&global.unwrap_or(IDENTITY), &bind)
        };
        Ok(Some(skin.joints().enumerate().map(joint).collect()))
    }

    fn primitive(
        &mut self,
        primitive: &Primitive,
        global: Matrix,
        joints: Option<&[Matrix]>,
        weights: &[f32],
    ) -> Result<(), String> {
        let mode = primitive.mode();
        if !matches!(mode, Mode::Triangles | Mode::TriangleStrip | Mode::TriangleFan) {
            let warning = "Its lines and points are left out.".to_string();
            if !self.mesh.warnings.contains(&warning) {
                self.mesh.warnings.push(warning);
            }
            return Ok(());
        }
        let read = |this: &Self, semantic: Semantic, width: usize| -> Result<Option<Vec<f64>>, String> {
            let Some(accessor) = primitive.get(&semantic) else { return Ok(None) };
            match accessor.dimensions().multiplicity() == width {
                true => this.numbers(&accessor).map(Some),
                false => Err(format!("accessor {} has not {width} numbers a vertex", accessor.index())),
            }
        };
        let mut places = read(self, Semantic::Positions, 3)?.ok_or("it has no POSITION")?;
        let count = places.len() / 3;
        let corners = primitive.indices().map_or(count, |accessor| accessor.count());
        if let Err(what) = self.budget.take(count, VERTEX).and_then(|()| self.budget.take(corners, CORNER)) {
            return Err(format!("its nodes show so many vertices that they {what}"));
        }
        for (target, &weight) in primitive.morph_targets().zip(weights).filter(|(_, weight)| **weight != 0.0)
        {
            if let Some(accessor) = target.positions() {
                let moved = self.numbers(&accessor)?;
                places.iter_mut().zip(moved).for_each(|(x, by)| *x += f64::from(weight) * by);
            }
        }
        let indices = primitive.indices().map(|accessor| self.numbers(&accessor)).transpose()?;
        let indices: Vec<u32> = match indices {
            Some(indices) => indices.into_iter().map(|i| i as u32).collect(),
            None => (0..count as u32).collect(),
        };
        if let Some(&wrong) = indices.iter().find(|&&i| i as usize >= count) {
            return Err(format!("an index is {wrong}, of {count} vertices: damaged"));
        }
        let normals = read(self, Semantic::Normals, 3)?;
        let mut sets = vec![];
        while let Some(set) = read(self, Semantic::TexCoords(sets.len() as u32), 2)? {
            sets.push(set);
        }
        let colors = match primitive.get(&Semantic::Colors(0)) {
            Some(accessor) => Some((self.numbers(&accessor)?, accessor.dimensions().multiplicity())),
            None => None,
        };
        let moves = match (joints, read(self, Semantic::Joints(0), 4)?, read(self, Semantic::Weights(0), 4)?)
        {
            (Some(joints), Some(which), Some(weights)) => {
                let more = match (read(self, Semantic::Joints(1), 4)?, read(self, Semantic::Weights(1), 4)?) {
                    (Some(which), Some(weights)) => vec![(which, weights)],
                    _ => vec![],
                };
                let sets: Vec<_> = [(which, weights)].into_iter().chain(more).collect();
                Some((0..count).map(|v| blend(joints, &sets, v)).collect::<Vec<Matrix>>())
            }
            _ => None,
        };
        let of = |v: usize| moves.as_ref().map_or(&global, |moves| &moves[v]);

        let mesh = &mut self.mesh;
        let first = mesh.positions.len();
        mesh.positions.extend((0..count).map(|v| point(of(v), [0, 1, 2].map(|axis| places[3 * v + axis]))));
        let total = first + count;
        if let Some(normals) = normals.filter(|normals| normals.len() == 3 * count) {
            mesh.normals.resize(first, [f32::NAN; 3]);
            mesh.normals
                .extend((0..count).map(|v| normal(of(v), [0, 1, 2].map(|axis| normals[3 * v + axis]))));
        } else if !mesh.normals.is_empty() {
            mesh.normals.resize(total, [f32::NAN; 3]);
        }
        if let Some((colors, width @ (3 | 4))) =
            colors.filter(|(colors, width)| colors.len() == width * count)
        {
            mesh.colors.resize(first, [f32::NAN; 4]);
            let color = |c: &[f64]| [0, 1, 2, 3].map(|i| c.get(i).map_or(1.0, |&c| c.clamp(0.0, 1.0) as f32));
            mesh.colors.extend(colors.chunks_exact(width).map(color));
        } else if !mesh.colors.is_empty() {
            mesh.colors.resize(total, [f32::NAN; 4]);
        }
        for (i, set) in sets.iter().enumerate().filter(|(_, set)| set.len() == 2 * count) {
            if mesh.texcoords.len() <= i {
                mesh.texcoords.resize(i + 1, vec![]);
            }
            mesh.texcoords[i].resize(first, [f32::NAN; 2]);
            mesh.texcoords[i].extend(set.chunks_exact(2).map(|uv| [uv[0] as f32, uv[1] as f32]));
        }
        mesh.texcoords.iter_mut().for_each(|set| set.resize(total, [f32::NAN; 2]));

        let material = primitive.material().index().map_or(-1, |i| i as i32);
        // A transform that mirrors turns the faces inside out.
        let mirrored = moves.is_none() && determinant(&global) < 0.0;
        let mut add = |[a, b, c]: [u32; 3]| {
            let [b, c] = if mirrored { [c, b] } else { [b, c] };
            mesh.faces.push([a, b, c].map(|v| v + first as u32));
            mesh.material_of.push(material);
        };
        match mode {
            Mode::TriangleStrip => {
                for (i, strip) in indices.windows(3).enumerate() {
                    let [a, b] = if i % 2 == 0 { [strip[0], strip[1]] } else { [strip[1], strip[0]] };
                    add([a, b, strip[2]]);
                }
            }
            Mode::TriangleFan => indices
                .iter()
                .skip(1)
                .zip(indices.iter().skip(2))
                .for_each(|(&b, &c)| add([indices[0], b, c])),
            _ => indices.as_chunks().0.iter().for_each(|&triangle| add(triangle)),
        }
        Ok(())
    }
}

fn picture_of(texture: &gltf::Texture) -> Option<usize> {
    let webp = || texture.extension_value("EXT_texture_webp")?.get("source")?.as_u64();
    texture.source().map(|image| image.index()).or(webp().map(|i| i as usize))
}

/// The nodes of the default scene, or of the first, or all, depth first, each with its transform into the scene.
fn globals(document: &Document) -> Result<Vec<(Node<'_>, Matrix)>, String> {
    let scene = document.default_scene().or(document.scenes().next());
    let roots: Vec<Node> = match scene {
        Some(scene) => scene.nodes().collect(),
        None => {
            let mut is_child = vec![false; document.nodes().len()];
            document
                .nodes()
                .flat_map(|node| node.children())
                .for_each(|child| is_child[child.index()] = true);
            document.nodes().filter(|node| !is_child[node.index()]).collect()
        }
    };
    let mut seen = vec![false; document.nodes().len()];
    let mut open: Vec<(Node, Matrix)> = roots.into_iter().rev().map(|node| (node, IDENTITY)).collect();
    let mut found = vec![];
    while let Some((node, above)) = open.pop() {
        if std::mem::replace(&mut seen[node.index()], true) {
            return Err(format!("node {} is a child of several nodes: damaged", node.index()));
        }
        let own = node.transform().matrix().map(|[x, y, z, _]| [x, y, z].map(f64::from));
        let global = product(&above, &own);
        let children: Vec<_> = node.children().map(|child| (child, global)).collect();
        open.extend(children.into_iter().rev());
        found.push((node, global));
    }
    Ok(found)
}

/// `count` elements of `width` numbers, `stride` bytes apart; None if the bytes end before.
fn elements(
    bytes: &[u8],
    stride: usize,
    count: usize,
    width: usize,
    kind: DataType,
    normalized: bool,
) -> Option<Vec<f64>> {
    let size = width * kind.size();
    if count > 0
        && (stride < size || count.checked_sub(1)?.checked_mul(stride)?.checked_add(size)? > bytes.len())
    {
        return None;
    }
    let mut numbers = Vec::with_capacity(count * width);
    for i in 0..count {
        for part in bytes[i * stride..][..size].chunks_exact(kind.size()) {
            let (value, most) = match (kind, part) {
                (DataType::I8, &[a]) => (f64::from(a as i8), 127.0),
                (DataType::U8, &[a]) => (f64::from(a), 255.0),
                (DataType::I16, &[a, b]) => (f64::from(i16::from_le_bytes([a, b])), 32767.0),
                (DataType::U16, &[a, b]) => (f64::from(u16::from_le_bytes([a, b])), 65535.0),
                (DataType::U32, &[a, b, c, d]) => (f64::from(u32::from_le_bytes([a, b, c, d])), 4294967295.0),
                (DataType::F32, &[a, b, c, d]) => (f64::from(f32::from_le_bytes([a, b, c, d])), 1.0),
                _ => return None,
            };
            numbers.push(if normalized { (value / most).max(-1.0) } else { value });
        }
    }
    Some(numbers)
}

/// What a vertex's joints do to it, by their weights.
fn blend(joints: &[Matrix], sets: &[(Vec<f64>, Vec<f64>)], v: usize) -> Matrix {
    let (mut sum, mut total) = ([[0.0; 3]; 4], 0.0);
    for (which, weights) in sets {
        for k in 4 * v..4 * v + 4 {
            let joint = which.get(k).and_then(|&joint| joints.get(joint as usize));
            if let (Some(joint), Some(&weight)) = (joint, weights.get(k)) {
                sum.as_flattened_mut()
                    .iter_mut()
                    .zip(joint.as_flattened())
                    .for_each(|(s, m)| *s += weight * m);
                total += weight;
            }
        }
    }
    if total <= 0.0 { IDENTITY } else { sum.map(|column| column.map(|x| x / total)) }
}

fn direction(m: &Matrix, p: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| m[0][axis] * p[0] + m[1][axis] * p[1] + m[2][axis] * p[2])
}

fn point(m: &Matrix, p: [f64; 3]) -> [f64; 3] {
    let p = direction(m, p);
    [0, 1, 2].map(|axis| p[axis] + m[3][axis])
}

fn product(a: &Matrix, b: &Matrix) -> Matrix {
    [direction(a, b[0]), direction(a, b[1]), direction(a, b[2]), point(a, b[3])]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn determinant(m: &Matrix) -> f64 {
    let c = cross(m[1], m[2]);
    m[0][0] * c[0] + m[0][1] * c[1] + m[0][2] * c[2]
}

/// Normals turn by the cofactors, up to the sign of a mirror.
fn normal(m: &Matrix, n: [f64; 3]) -> [f32; 3] {
    let cofactors = [cross(m[1], m[2]), cross(m[2], m[0]), cross(m[0], m[1]), [0.0; 3]];
    let sign = if determinant(m) < 0.0 { -1.0 } else { 1.0 };
    super::obj::unit(direction(&cofactors, n).map(|x| sign * x))
}
