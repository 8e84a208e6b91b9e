//! Meshes written as GLB files: groups of faces as nodes with names, with the materials and textures that they had.

use super::{Material, Mesh, Shading, Texture, Wrap, light::linear};
use crate::{
    error::{Error, Result},
    io::staged,
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, path::Path};

/// Faces that become one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The node's name.
    pub name: String,
    /// Its faces.
    pub faces: Vec<u32>,
    /// What else is known about it, as the node's `extras`; null = nothing.
    pub extras: Value,
}

/// What a mesh is written as.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene<'a> {
    /// The name of the node above the groups.
    pub name: &'a str,
    /// The mesh.
    pub mesh: &'a Mesh,
    /// Its faces by nodes; a group without faces is left out.
    pub groups: Vec<Group>,
    /// The file's axes, as y is up in a GLB file; columns.
    pub axes: [[f64; 3]; 3],
}

/// Vertices this many times farther from the origin than they lie apart are written around their middle.
const FAR: f64 = 1000.0;
const TRIANGLES: u32 = 4;
const U32: u32 = 5125;
const F32: u32 = 5126;
const ARRAY: u32 = 34962;
const INDICES: u32 = 34963;

impl Scene<'_> {
    /// Writes the file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`Error::Invalid`] as [`Scene::encode`].
    pub fn write(&self, path: &Path) -> Result<()> {
        staged::write_all(path, &self.encode()?)
    }

    /// The file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no face, if a coordinate is beyond what the format holds, or if more than 4 GB are needed.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut writer = Writer::new(self.mesh);
        if writer.size > f64::from(f32::MAX) {
            return Err(Error::invalid(format!(
                "the coordinates reach {:e}; a GLB file holds {:e} at most",
                writer.size,
                f32::MAX
            )));
        }
        let mut nodes = vec![Value::Null];
        let mut meshes = vec![];
        for group in self.groups.iter().filter(|group| !group.faces.is_empty()) {
            let primitives = writer.primitives(&group.faces);
            if !primitives.is_empty() {
                let mut node = json!({ "name": group.name, "mesh": meshes.len() });
                if !group.extras.is_null() {
                    node["extras"] = group.extras.clone();
                }
                nodes.push(node);
                meshes.push(json!({ "name": group.name, "primitives": primitives }));
            }
        }
        if meshes.is_empty() {
            return Err(Error::invalid("there is no face to write"));
        }
        let children: Vec<usize> = (1..nodes.len()).collect();
        nodes[0] = json!({ "name": self.name, "children": children });
        let [x, y, z] = self.axes;
        let o = writer.origin;
        let origin = [0, 1, 2].map(|i| x[i] * o[0] + y[i] * o[1] + z[i] * o[2]);
        let columns = [x, y, z, origin].into_iter().zip([0, 0, 0, 1]);
        let matrix: Vec<f64> = columns.flat_map(|(c, w)| [c[0], c[1], c[2], f64::from(w)]).collect();
        if self.axes != [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] || o != [0.0; 3] {
            nodes[0]["matrix"] = json!(matrix);
        }
        let mut file = writer.looks();
        file.insert("scene".into(), json!(0));
        file.insert("scenes".into(), json!([{ "nodes": [0] }]));
        file.insert("nodes".into(), json!(nodes));
        file.insert("meshes".into(), json!(meshes));
        writer.finish(file)
    }
}

struct Writer<'a> {
    mesh: &'a Mesh,
    /// The triangles of face f: `[first[f], first[f + 1])`.
    first: Vec<usize>,
    origin: [f64; 3],
    /// Of the largest coordinate.
    size: f64,
    views: Vec<Value>,
    accessors: Vec<Value>,
    bin: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(mesh: &'a Mesh) -> Writer<'a> {
        let mut first = vec![0; mesh.len() + 1];
        mesh.face_of.iter().for_each(|&face| first[face as usize + 1] += 1);
        (0..mesh.len()).for_each(|face| first[face + 1] += first[face]);
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for p in mesh.triangles.iter().flatten().map(|&v| mesh.positions[v as usize]) {
            low = [0, 1, 2].map(|axis| low[axis].min(p[axis]));
            high = [0, 1, 2].map(|axis| high[axis].max(p[axis]));
        }
        let middle = [0, 1, 2].map(|axis| (low[axis] + high[axis]) / 2.0);
        let extent = (0..3).map(|axis| high[axis] - low[axis]).fold(0.0, f64::max);
        let is_far = middle.iter().any(|x| x.abs() > FAR * extent);
        let origin = if is_far { middle } else { [0.0; 3] };
        let size = low.iter().chain(&high).fold(extent, |most, x| most.max(x.abs()));
        Writer { mesh, first, origin, size, views: vec![], accessors: vec![], bin: vec![] }
    }

    /// A primitive a material, in the materials' order.
    fn primitives(&mut self, faces: &[u32]) -> Vec<Value> {
        let mut by_material: Vec<(i32, u32)> =
            faces.iter().map(|&face| (self.mesh.material_of[face as usize], face)).collect();
        by_material.sort_unstable();
        let groups = by_material.chunk_by(|a, b| a.0 == b.0);
        groups.filter_map(|group| self.primitive(group[0].0, group)).collect()
    }

    fn primitive(&mut self, material: i32, faces: &[(i32, u32)]) -> Option<Value> {
        let mesh = self.mesh;
        // Colours of faces need corners of their own.
        let apart = !mesh.face_colors.is_empty();
        let (mut place, mut vertices, mut indices) = (HashMap::new(), vec![], vec![]);
        for &(_, face) in faces {
            let triangles = &mesh.triangles[self.first[face as usize]..self.first[face as usize + 1]];
            for &v in triangles.iter().flatten() {
                let key = (v, if apart { face } else { 0 });
                indices.push(*place.entry(key).or_insert_with(|| {
                    vertices.push((v, face));
                    vertices.len() as u32 - 1
                }));
            }
        }
        if indices.is_empty() {
            return None;
        }
        let origin = self.origin;
        let at = |v: u32| [0, 1, 2].map(|axis| (mesh.positions[v as usize][axis] - origin[axis]) as f32);
        let positions: Vec<[f32; 3]> = vertices.iter().map(|&(v, _)| at(v)).collect();
        let mut attributes = Map::new();
        attributes.insert("POSITION".into(), json!(self.attribute(&positions, true)));
        let all = |values: &[[f32; 3]]| -> Option<Vec<[f32; 3]>> {
            let found = vertices.iter().map(|&(v, _)| values.get(v as usize).copied());
            found.map(|value| value.filter(|value| value.iter().all(|x| x.is_finite()))).collect()
        };
        if let Some(normals) = all(&mesh.normals) {
            attributes.insert("NORMAL".into(), json!(self.attribute(&normals, false)));
        }
        for (i, set) in mesh.texcoords.iter().enumerate() {
            let uv: Vec<[f32; 2]> = vertices.iter().map(|&(v, _)| set[v as usize]).collect();
            if uv.iter().flatten().all(|x| x.is_finite()) {
                attributes.insert(format!("TEXCOORD_{i}"), json!(self.attribute(&uv, false)));
            }
        }
        let colors = self.colors(material, &vertices);
        if let Some(colors) = &colors {
            attributes.insert("COLOR_0".into(), json!(self.attribute(colors, false)));
        }
        let view = self.view(indices.iter().flat_map(|i| i.to_le_bytes()), Some(INDICES));
        let accessor =
            json!({ "bufferView": view, "componentType": U32, "count": indices.len(), "type": "SCALAR" });
        self.accessors.push(accessor);
        let mut primitive =
            json!({ "attributes": attributes, "indices": self.accessors.len() - 1, "mode": TRIANGLES });
        match (usize::try_from(material), &mesh.gltf) {
            (Ok(material), _) => primitive["material"] = json!(material),
            // Two more, for faces that have none.
            (Err(_), None) => {
                primitive["material"] = json!(mesh.materials.len() + usize::from(colors.is_some()))
            }
            (Err(_), Some(_)) => (),
        }
        Some(primitive)
    }

    /// The colours of corners that show.
    fn colors(&self, material: i32, vertices: &[(u32, u32)]) -> Option<Vec<[f32; 4]>> {
        let mesh = self.mesh;
        let light = |[r, g, b, a]: [f32; 4]| {
            let [r, g, b] = [r, g, b].map(|c| linear(c) as f32);
            [r, g, b, a]
        };
        let of_vertex = || -> Option<Vec<[f32; 4]>> {
            let found = vertices.iter().map(|&(v, _)| mesh.colors.get(v as usize).copied());
            found.map(|color| color.filter(|color| color.iter().all(|x| x.is_finite()))).collect()
        };
        if mesh.shading == Shading::Product {
            return of_vertex();
        }
        let look = usize::try_from(material).ok().and_then(|material| mesh.materials.get(material));
        if look.is_some_and(|look| look.texture.is_some()) {
            return None;
        }
        let of_face =
            |&(_, face): &(u32, u32)| mesh.face_colors.get(face as usize).map(|&[r, g, b]| [r, g, b, 1.0]);
        let of_faces: Option<Vec<[f32; 4]>> = vertices.iter().map(of_face).collect();
        of_faces.or_else(of_vertex).map(|colors| colors.into_iter().map(light).collect())
    }

    /// Of vertices: the accessor.
    fn attribute<const N: usize>(&mut self, values: &[[f32; N]], bounds: bool) -> usize {
        let bytes = values.as_flattened().iter().flat_map(|x| x.to_le_bytes());
        let view = self.view(bytes, Some(ARRAY));
        let kind = ["SCALAR", "VEC2", "VEC3", "VEC4"][N - 1];
        let mut accessor =
            json!({ "bufferView": view, "componentType": F32, "count": values.len(), "type": kind });
        if bounds {
            let fold = |best: fn(f32, f32) -> f32| -> Vec<f32> {
                (0..N).map(|i| values.iter().map(|value| value[i]).reduce(best).unwrap_or_default()).collect()
            };
            accessor["min"] = json!(fold(f32::min));
            accessor["max"] = json!(fold(f32::max));
        }
        self.accessors.push(accessor);
        self.accessors.len() - 1
    }

    fn view(&mut self, bytes: impl Iterator<Item = u8>, target: Option<u32>) -> usize {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        let offset = self.bin.len();
        self.bin.extend(bytes);
        let mut view = json!({ "buffer": 0, "byteOffset": offset, "byteLength": self.bin.len() - offset });
        if let Some(target) = target {
            view["target"] = json!(target);
        }
        self.views.push(view);
        self.views.len() - 1
    }

    /// Materials, textures, samplers and images: those of a glTF file as they were.
    fn looks(&mut self) -> Map<String, Value> {
        let mesh = self.mesh;
        let mut file = match &mesh.gltf {
            Some(Value::Object(source)) => source.clone(),
            _ => self.materials(),
        };
        let mut images = file.get("images").and_then(Value::as_array).cloned().unwrap_or_default();
        for (image, picture) in images.iter_mut().zip(&mesh.pictures) {
            let named = image.get("mimeType").cloned();
            let kind = picture.mime_type().map(|kind| json!(kind)).or(named);
            // What could not be read stays the name of a file.
            if let (Some(kind), false, Some(image)) = (kind, picture.bytes.is_empty(), image.as_object_mut())
            {
                image.remove("uri");
                image.insert("mimeType".into(), kind);
                image.insert("bufferView".into(), json!(self.view(picture.bytes.iter().copied(), None)));
            }
        }
        file.remove("images");
        if !images.is_empty() {
            file.insert("images".into(), json!(images));
        }
        // A list must not be empty.
        file.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        let mut asset = json!({
            "version": "2.0", "generator": concat!("partstad ", env!("CARGO_PKG_VERSION"))
        });
        if let Some(copyright) = file.get("asset").and_then(|asset| asset.get("copyright")) {
            asset["copyright"] = copyright.clone();
        }
        file.insert("asset".into(), asset);
        let mut used = vec![];
        file.values().for_each(|value| extensions(value, &mut used));
        if let Some(Value::Array(required)) = file.get_mut("extensionsRequired") {
            required.retain(|name| used.iter().any(|used| name == used));
            if required.is_empty() {
                file.remove("extensionsRequired");
            }
        }
        if !used.is_empty() {
            file.insert("extensionsUsed".into(), json!(used));
        }
        file
    }

    /// Of files that are no glTF.
    fn materials(&mut self) -> Map<String, Value> {
        let mesh = self.mesh;
        let (mut textures, mut samplers, mut images) = (vec![], vec![], vec![]);
        let mut image_of = vec![None; mesh.pictures.len()];
        for (i, picture) in mesh.pictures.iter().enumerate() {
            // One that cannot be read was warned of when points were drawn.
            if let Ok(fit) = picture.for_gltf() {
                let kind = fit.mime_type().unwrap_or("image/png");
                let view = self.view(fit.bytes.into_iter(), None);
                images.push(json!({ "name": picture.name, "mimeType": kind, "bufferView": view }));
                image_of[i] = Some(images.len() - 1);
            }
        }
        let mut texture = |texture: &Texture| -> Option<Value> {
            let mode = |wrap| match wrap {
                Wrap::Repeat => 10497,
                Wrap::Mirror => 33648,
                Wrap::Clamp => 33071,
            };
            let sampler = json!({ "wrapS": mode(texture.wrap[0]), "wrapT": mode(texture.wrap[1]) });
            let known = samplers.iter().position(|known| *known == sampler);
            let sampler = known.unwrap_or_else(|| {
                samplers.push(sampler);
                samplers.len() - 1
            });
            textures.push(json!({ "source": image_of[texture.picture]?, "sampler": sampler }));
            let mut info = json!({ "index": textures.len() - 1, "texCoord": texture.set });
            // Readers of files that are no glTF only stretch and move.
            if let Some([[su, _, ou], [_, sv, ov]]) = texture.transform {
                let transform = json!({ "offset": [ou, ov], "scale": [su, sv] });
                info["extensions"] = json!({ "KHR_texture_transform": transform });
            }
            Some(info)
        };
        let plain = |name: &str, color: [f32; 3]| Material {
            name: name.into(),
            color: [color[0], color[1], color[2], 1.0],
            texture: None,
            alpha_cutoff: None,
        };
        let bare = [plain("no material", [0.8; 3]), plain("colours of the file", [1.0; 3])];
        let materials: Vec<Value> = mesh
            .materials
            .iter()
            .chain(&bare)
            .map(|material| {
                let [r, g, b, a] = material.color;
                let mut look = json!({ "metallicFactor": 0.0, "roughnessFactor": 0.9 });
                // Colours of faces and vertices go before the material's.
                let colored = !mesh.colors.is_empty() || !mesh.face_colors.is_empty();
                match material.texture.as_ref().and_then(&mut texture) {
                    Some(info) => look["baseColorTexture"] = info,
                    None if colored && material.name != bare[0].name => (),
                    None => look["baseColorFactor"] = json!([linear(r), linear(g), linear(b), f64::from(a)]),
                }
                let mut written =
                    json!({ "name": material.name, "pbrMetallicRoughness": look, "doubleSided": true });
                if let Some(cutoff) = material.alpha_cutoff {
                    written["alphaMode"] = json!("MASK");
                    written["alphaCutoff"] = json!(cutoff);
                }
                written
            })
            .collect();
        let mut file = Map::new();
        for (name, list) in
            [("materials", materials), ("textures", textures), ("samplers", samplers), ("images", images)]
        {
            file.insert(name.into(), json!(list));
        }
        file
    }

    fn finish(mut self, mut file: Map<String, Value>) -> Result<Vec<u8>> {
        self.bin.resize(self.bin.len().next_multiple_of(4), 0);
        file.insert("accessors".into(), json!(self.accessors));
        file.insert("bufferViews".into(), json!(self.views));
        file.insert("buffers".into(), json!([{ "byteLength": self.bin.len() }]));
        let mut text = Value::Object(file).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(4), b' ');
        let total = 12 + 8 + text.len() + 8 + self.bin.len();
        let too_large =
            || Error::invalid(format!("the GLB file would have {total} bytes; the format ends at 4 GB"));
        let length = |n: usize| u32::try_from(n).map_err(|_| too_large());
        let mut glb = Vec::with_capacity(total);
        glb.extend(b"glTF");
        for number in [2, length(total)?, length(text.len())?] {
            glb.extend(number.to_le_bytes());
        }
        glb.extend(b"JSON");
        glb.extend(text);
        glb.extend(length(self.bin.len())?.to_le_bytes());
        glb.extend(b"BIN\0");
        glb.extend(self.bin);
        Ok(glb)
    }
}

/// The names of the extensions that are in use.
fn extensions(value: &Value, used: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| extensions(value, used)),
        Value::Object(members) => {
            for (name, value) in members {
                if let ("extensions", Value::Object(found)) = (&name[..], value) {
                    used.extend(
                        found.keys().filter(|name| !used.contains(name)).cloned().collect::<Vec<_>>(),
                    );
                }
                extensions(value, used);
            }
        }
        _ => (),
    }
}
