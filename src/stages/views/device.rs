//! Views on a device.

use super::{Camera, Options, Views};
use crate::{
    device::{gpu::Gpu, twin::Twin},
    error::Result,
    ops::views::rasterize,
    stages::cloud::Cloud,
};

impl Views {
    pub(super) fn render_on_gpu(
        gpu: &Gpu,
        cameras: Vec<Camera>,
        cloud: &Cloud,
        options: &Options,
    ) -> Result<Views> {
        let matrices: Vec<_> = cameras.iter().flat_map(Camera::matrices).collect();
        let rendered = rasterize::cuda::render(
            gpu,
            &rasterize::cuda::Input {
                positions: &*cloud.positions.device(gpu)?,
                colors: &*cloud.colors.device(gpu)?,
                cameras: &gpu.upload(matrices.as_flattened().as_flattened())?,
                side: options.side,
                radius: options.radius,
            },
        )?;
        Ok(Views {
            cameras,
            side: options.side,
            pixel_to_point: Twin::on_device(gpu, rendered.pixel_to_point),
            screen: Twin::on_device(gpu, rendered.screen),
            images: Twin::on_device(gpu, rendered.images),
        })
    }
}
