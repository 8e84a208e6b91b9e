//! On a CUDA device.

use super::check;
use crate::{
    device::gpu::{
        Buffer, Gpu, blocks,
        kernels::{self, RasterizeDims},
    },
    error::Result,
    ops::expect_len,
};

/// What to render.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// `[N, 3]`.
    pub positions: &'a Buffer<f32>,
    /// `[N, 3]` in [0, 1].
    pub colors: &'a Buffer<f32>,
    /// World to view and world to NDC of every view, `[K, 2, 4, 4]`.
    pub cameras: &'a Buffer<f32>,
    /// Pixels along each side.
    pub side: usize,
    /// Of a disc, in NDC.
    pub radius: f64,
}

/// K views.
#[derive(Debug)]
pub struct Rendered {
    /// The winning point of every pixel, `[K, side, side]`, [`BACKGROUND`](super::BACKGROUND) where there is none.
    pub pixel_to_point: Buffer<i32>,
    /// Where every point falls in pixels, `[K, N, 2]`.
    pub screen: Buffer<f32>,
    /// `[K, side, side, 3]`.
    pub images: Buffer<u8>,
}

/// Renders all views at once; bit for bit what [`cpu`](super::cpu) makes of each.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) if a shape does not fit, [`Error::Device`](crate::Error::Device) if
/// the driver refuses.
pub fn render(gpu: &Gpu, input: &Input) -> Result<Rendered> {
    let (points, views) = (input.positions.len() / 3, input.cameras.len() / 32);
    check(points, views, input.side)?;
    expect_len("rasterize", "colors [N, 3]", input.colors.len(), input.positions.len())?;
    expect_len("rasterize", "cameras [K, 2, 4, 4]", input.cameras.len(), views * 32)?;
    let pixels = input.side * input.side;
    let mut nearest = gpu.zeros(views * pixels)?;
    let mut screen = gpu.alloc(views * points * 2)?;
    let (mut pixel_to_point, mut images) = (gpu.alloc(views * pixels)?, gpu.alloc(views * pixels * 3)?);
    let d = RasterizeDims {
        points: points as u32,
        side: input.side as u32,
        radius: input.radius as f32,
        radius_squared: (input.radius * input.radius) as f32,
    };
    let grid = |items| [blocks(items, 256)[0], views as u32, 1];
    let Input { positions, cameras, colors, .. } = input;
    kernels::rasterize_splat(gpu, grid(points), *positions, *cameras, &mut nearest, &mut screen, d)?;
    kernels::rasterize_resolve(
        gpu,
        grid(pixels),
        &nearest,
        *positions,
        *cameras,
        *colors,
        &mut pixel_to_point,
        &mut images,
        d,
    )?;
    Ok(Rendered { pixel_to_point, screen, images })
}
