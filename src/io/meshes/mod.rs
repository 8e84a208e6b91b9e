//! Meshes as files hold them: glTF, OBJ, PLY and STL.

mod beside;
pub mod glb;
mod gltf;
pub(crate) mod light;
mod obj;
mod pictures;
pub mod ply;
mod polygon;
mod stl;

pub use pictures::{Picture, Pixels};

use super::extension;
use crate::{
    error::{Error, Result},
    ragged::Ragged,
};
use std::path::Path;

/// A surface of V vertices and F faces, as its file holds it: any unit, any origin.
///
/// What a vertex lacks is NaN; an array that no vertex has is empty. The faces of an OBJ, PLY or STL file are in the file's
/// order. Those of a glTF file are in the order of the scene's nodes, depth first, then of the primitives and their indices;
/// a mesh that several nodes show is there several times.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mesh {
    /// x, y, z in the file's unit, the nodes' transforms applied, `[V]`.
    pub positions: Vec<[f64; 3]>,
    /// Unit normals, `[V]` or empty.
    pub normals: Vec<[f32; 3]>,
    /// Sets of texture coordinates, u to the right and v down from the image's upper left, each `[V]`.
    pub texcoords: Vec<Vec<[f32; 2]>>,
    /// Red, green, blue, alpha in [0, 1], `[V]` or empty.
    pub colors: Vec<[f32; 4]>,
    /// The corners of every face, `[F]`.
    pub faces: Ragged<u32>,
    /// The faces as T triangles.
    pub triangles: Vec<[u32; 3]>,
    /// The face that a triangle is of, `[T]`.
    pub face_of: Vec<u32>,
    /// Red, green, blue in [0, 1], `[F]` or empty.
    pub face_colors: Vec<[f32; 3]>,
    /// The material of every face, -1 = none, `[F]`.
    pub material_of: Vec<i32>,
    /// How faces look.
    pub materials: Vec<Material>,
    /// The images of the textures.
    pub pictures: Vec<Picture>,
    /// How colours of vertices, materials and textures come together.
    pub shading: Shading,
    /// The JSON of a glTF file, which holds more of its materials than `materials`.
    pub gltf: Option<serde_json::Value>,
    /// What the reader noticed and the caller should know.
    pub warnings: Vec<String>,
}

/// How colours come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shading {
    /// The first that there is: texture, colour of the face, of the vertex, of the material. Colours are as shown (sRGB).
    #[default]
    First,
    /// Their product, of linear light, as in glTF.
    Product,
}

/// How a face looks; of what a material is, that which shows in a render without lights.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// Its name in the file.
    pub name: String,
    /// Red, green, blue, alpha in [0, 1].
    pub color: [f32; 4],
    /// An image over it.
    pub texture: Option<Texture>,
    /// What has less alpha is not there.
    pub alpha_cutoff: Option<f32>,
}

/// Where an image lies on a surface.
#[derive(Debug, Clone, PartialEq)]
pub struct Texture {
    /// Which of the pictures.
    pub picture: usize,
    /// Which set of texture coordinates.
    pub set: usize,
    /// What lies outside [0, 1], along u and v.
    pub wrap: [Wrap; 2],
    /// Rows that make u and v of `[u, v, 1]`; None leaves them.
    pub transform: Option<[[f32; 3]; 2]>,
}

/// What lies outside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wrap {
    /// The image again.
    #[default]
    Repeat,
    /// The image mirrored.
    Mirror,
    /// Its edge.
    Clamp,
}

/// The extensions of files that hold meshes.
const EXTENSIONS: [&str; 5] = ["glb", "gltf", "obj", "ply", "stl"];

impl Mesh {
    /// Reads a mesh from a `.glb`, `.gltf`, `.obj`, `.ply` or `.stl` file. Files that it names (materials, textures, buffers)
    /// must lie in its folder or below. A texture that cannot be had is a warning.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read; [`Error::Format`] if the extension is another one, if the content breaks its
    /// format, or if there is no face.
    pub fn read(path: &Path) -> Result<Mesh> {
        let mesh = match extension(path).as_str() {
            "glb" | "gltf" => gltf::read(path),
            "obj" => obj::read(path),
            "ply" => ply::read(path),
            "stl" => stl::read(path),
            _ => {
                let formats = EXTENSIONS.map(|e| format!(".{e}")).join(", ");
                Err(Error::format(path, format!("meshes are read from {formats} files; convert it to one")))
            }
        };
        mesh?.checked(path)
    }

    /// Whether the extension is one of those that [`Mesh::read`] knows.
    pub fn is_readable(path: &Path) -> bool {
        EXTENSIONS.contains(&&extension(path)[..])
    }

    /// Whether a file holds a mesh: by its extension; a `.ply` file if it has faces.
    ///
    /// # Errors
    /// [`Error::Io`] if a `.ply` file cannot be read, [`Error::Format`] if it is none.
    pub fn is_in(path: &Path) -> Result<bool> {
        match extension(path).as_str() {
            "ply" => ply::has_faces(path),
            _ => Ok(Mesh::is_readable(path)),
        }
    }

    /// Number of faces, F.
    pub fn len(&self) -> usize {
        self.faces.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// The corners of a triangle.
    pub fn corners(&self, triangle: usize) -> [[f64; 3]; 3] {
        self.triangles[triangle].map(|v| self.positions[v as usize])
    }

    /// Makes the triangles, and refuses what no later step could use.
    fn checked(mut self, path: &Path) -> Result<Mesh> {
        let unfit = |message: String| Err(Error::format(path, message));
        let (v, f) = (self.positions.len(), self.faces.len());
        if f == 0 {
            return unfit("holds no faces; a cloud of points may be .ply or .xyz".into());
        }
        let corners = self.faces.values().len();
        if v.max(f).max(corners) > i32::MAX as usize {
            return unfit(format!("holds {v} vertices and {f} faces; the limit is {}", i32::MAX));
        }
        for (i, face) in self.faces.rows().enumerate() {
            if let Some(&wrong) = face.iter().find(|&&corner| corner as usize >= v) {
                return unfit(format!("face {i} names vertex {wrong}, counted from 0, of {v}: damaged"));
            }
        }
        let faces = std::mem::take(&mut self.faces);
        let (mut broken, mut flat, mut work) = (0, 0, polygon::WORK);
        for (i, face) in faces.rows().enumerate() {
            let finite = |&v: &u32| self.positions[v as usize].iter().all(|x| x.is_finite());
            if !face.iter().all(finite) {
                broken += 1;
                continue;
            }
            let before = self.triangles.len();
            let cut = polygon::triangulate(face, &self.positions, &mut self.triangles, &mut work);
            if cut.is_none() {
                return unfit(format!(
                    "face {i}, counted from 0, has {} corners and is too intricate to be cut into triangles; triangulate the \
                     mesh first",
                    face.len()
                ));
            }
            self.face_of.resize(self.triangles.len(), i as u32);
            flat += usize::from(before == self.triangles.len());
        }
        self.faces = faces;
        for (count, what) in [(broken, "have a corner that is not finite"), (flat, "have no area")] {
            if count > 0 {
                self.warnings.push(format!("{count} of {f} faces {what}: no points lie on them."));
            }
        }
        if self.triangles.is_empty() {
            return unfit(format!("none of its {f} faces has an area"));
        }
        Ok(self)
    }
}
