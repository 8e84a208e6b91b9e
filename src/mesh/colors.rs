//! The colour of a place on a surface: textures, colours of faces, vertices and materials.

use crate::io::meshes::{
    Material, Mesh, Pixels, Shading, Texture, Wrap,
    light::{linear, shown},
};

/// A place on a triangle: the weights of its corners.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub triangle: u32,
    pub weights: [f64; 3],
}

impl Spot {
    /// What the corners hold, as it is between them; None if a corner has nothing.
    fn of<const N: usize>(&self, mesh: &Mesh, values: &[[f32; N]]) -> Option<[f32; N]> {
        let corners = mesh.triangles[self.triangle as usize];
        let mut sum = [0.0; N];
        for (corner, weight) in corners.into_iter().zip(self.weights) {
            let value = values.get(corner as usize)?;
            sum.iter_mut().zip(value).for_each(|(sum, &value)| *sum += weight * f64::from(value));
        }
        sum.iter().all(|x| x.is_finite()).then(|| sum.map(|x| x as f32))
    }
}

/// The colours of places, [0, 1] as shown, and their alpha; None where there is no colour at all. What was missing is said.
pub(super) fn colors(mesh: &Mesh, spots: &[Spot]) -> (Vec<Option<[f32; 4]>>, Vec<String>) {
    let material = |spot: &Spot| -> Option<&Material> {
        let face = mesh.face_of[spot.triangle as usize] as usize;
        mesh.materials.get(usize::try_from(*mesh.material_of.get(face)?).ok()?)
    };
    let mut texels: Vec<Option<[f32; 4]>> = vec![None; spots.len()];
    let mut warnings = vec![];
    // One picture after the other: together they may be larger than the memory.
    for (p, picture) in mesh.pictures.iter().enumerate() {
        let textured = |spot: &Spot| material(spot)?.texture.as_ref().filter(|texture| texture.picture == p);
        if !spots.iter().any(|spot| textured(spot).is_some()) {
            continue;
        }
        match picture.decode() {
            Ok(pixels) => {
                for (spot, texel) in spots.iter().zip(&mut texels) {
                    if let Some(texture) = textured(spot) {
                        *texel = mesh
                            .texcoords
                            .get(texture.set)
                            .and_then(|set| spot.of(mesh, set))
                            .map(|uv| lookup(&pixels, texture, uv));
                    }
                }
            }
            Err(why) => warnings.push(format!("{why}: its faces have their material's colour.")),
        }
    }
    let shown = |(spot, texel): (&Spot, Option<[f32; 4]>)| {
        let vertex = spot.of(mesh, &mesh.colors);
        let plain = material(spot).map(|material| material.color);
        match mesh.shading {
            Shading::First => {
                let face = mesh.face_colors.get(mesh.face_of[spot.triangle as usize] as usize);
                let face = face.map(|&[r, g, b]| [r, g, b, 1.0]);
                // Of faces without a material where others have one.
                let bare = (!mesh.materials.is_empty()).then_some([0.8, 0.8, 0.8, 1.0]);
                texel.or(face).or(vertex).or(plain).or(bare)
            }
            Shading::Product => product(plain, vertex, texel),
        }
    };
    (spots.iter().zip(texels).map(shown).collect(), warnings)
}

/// Materials' and vertices' colours are linear light, textures are as shown.
fn product(plain: Option<[f32; 4]>, vertex: Option<[f32; 4]>, texel: Option<[f32; 4]>) -> Option<[f32; 4]> {
    if plain.is_none() && vertex.is_none() {
        return None;
    }
    let ([r, g, b, a], [vr, vg, vb, va]) = (plain.unwrap_or([1.0; 4]), vertex.unwrap_or([1.0; 4]));
    let factor = [r * vr, g * vg, b * vb];
    let alpha = a * va;
    Some(match texel {
        Some([r, g, b, a]) if factor == [1.0; 3] => [r, g, b, a * alpha],
        _ => {
            let [r, g, b, a] = texel.unwrap_or([1.0; 4]);
            let light = [r, g, b].map(linear);
            let [r, g, b] = [0, 1, 2].map(|c| shown(light[c] * f64::from(factor[c])));
            [r, g, b, a * alpha]
        }
    })
}

/// The image's colour at texture coordinates, between the middles of four pixels.
fn lookup(pixels: &Pixels, texture: &Texture, uv: [f32; 2]) -> [f32; 4] {
    let [u, v] = match texture.transform {
        Some(rows) => rows.map(|[a, b, c]| a * uv[0] + b * uv[1] + c),
        None => uv,
    };
    let [x, y] =
        [(u, pixels.width, texture.wrap[0]), (v, pixels.height, texture.wrap[1])].map(|(at, size, wrap)| {
            let at = f64::from(at) * size as f64 - 0.5;
            let first = at.floor();
            let pixel = |step: f64| {
                let (at, size) = (first + step, size as f64);
                let inside = match wrap {
                    Wrap::Repeat => at.rem_euclid(size),
                    Wrap::Mirror => {
                        let at = at.rem_euclid(2.0 * size);
                        if at < size { at } else { 2.0 * size - 1.0 - at }
                    }
                    Wrap::Clamp => at,
                };
                inside.clamp(0.0, size - 1.0) as usize
            };
            (pixel(0.0), pixel(1.0), (at - first) as f32)
        });
    let pixel = |x: usize, y: usize| pixels.rgba[y * pixels.width + x].map(|c| f32::from(c) / 255.0);
    let between = |a: [f32; 4], b: [f32; 4], t: f32| [0, 1, 2, 3].map(|c| a[c] + (b[c] - a[c]) * t);
    let row = |y: usize| between(pixel(x.0, y), pixel(x.1, y), x.2);
    between(row(y.0), row(y.1), y.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textures_are_looked_up_between_pixels_and_outside() {
        let rgba = vec![[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [255, 255, 255, 255]];
        let pixels = Pixels { width: 2, height: 2, rgba };
        let at = |wrap: Wrap, uv: [f32; 2]| {
            let texture = Texture { picture: 0, set: 0, wrap: [wrap; 2], transform: None };
            lookup(&pixels, &texture, uv)
        };
        assert_eq!(at(Wrap::Clamp, [0.25, 0.25]), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(at(Wrap::Clamp, [0.5, 0.25]), [0.5, 0.5, 0.0, 1.0], "half way");
        assert_eq!(at(Wrap::Clamp, [9.0, -9.0]), [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(at(Wrap::Repeat, [1.25, -0.75]), [1.0, 0.0, 0.0, 1.0]);
        assert_eq!(at(Wrap::Repeat, [0.0, 0.25]), [0.5, 0.5, 0.0, 1.0], "over the edge");
        assert_eq!(at(Wrap::Mirror, [1.25, 0.25]), [0.0, 1.0, 0.0, 1.0]);
        assert_eq!(at(Wrap::Mirror, [-0.25, 0.75]), [0.0, 0.0, 1.0, 1.0]);
        let transform = Some([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]);
        let moved = Texture { picture: 0, set: 0, wrap: [Wrap::Repeat; 2], transform };
        assert_eq!(lookup(&pixels, &moved, [0.25, 0.25]), [0.0, 1.0, 0.0, 1.0]);
        // Coordinates far out do not leave the image.
        for far in [f32::MAX, -f32::MAX, 1e20] {
            at(Wrap::Repeat, [far, far]);
            at(Wrap::Mirror, [far, far]);
        }
    }
}
