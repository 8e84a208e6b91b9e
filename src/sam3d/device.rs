//! On a CUDA device: frames, their merging and the answer; the host learns how many points and groups there are.

use super::{
    Regions,
    merging::{Part, Places, Rules, in_pairs},
};
use crate::{
    device::gpu::{Buffer, Gpu},
    error::Result,
    ops::merge::{
        frame::cuda::{Frame, frame},
        groups::cuda::{compact, drop_small, of},
        nearest::cuda::{positions, within},
        transfer::cuda::transfer,
        union,
    },
    stages::{cloud::Cloud, views::Views},
};

struct Merger<'a> {
    gpu: &'a Gpu,
    positions: &'a Buffer<f32>,
    cells: Option<Buffer<i32>>,
    radius: f64,
    small: u32,
}

/// The group of every point of the cloud, -1 = none, `[N]`. `order`: of the views.
#[allow(clippy::too_many_arguments)]
pub fn merge(
    gpu: &Gpu,
    cloud: &Cloud,
    views: &Views,
    regions: &Regions,
    order: &[usize],
    places: &Places,
    radius: f64,
    rules: &Rules,
) -> Result<Vec<i32>> {
    let positions = &*cloud.positions.device(gpu)?;
    let cells = places.cells.as_ref().map(|cells| gpu.upload(cells.as_flattened())).transpose()?;
    let merger = Merger { gpu, positions, cells, radius, small: rules.small };
    let maps = &*views.pixel_to_point.device(gpu)?;
    let pixels = views.side * views.side;
    let mut parts = vec![];
    for &k in order {
        let of_view = regions.of_view(k);
        let map = maps.slice(k * pixels..(k + 1) * pixels);
        let bound = of_view.iter().max().map_or(0, |&most| most as usize + 1);
        let mut frame = frame(gpu, &map, &gpu.upload(of_view)?, cloud.len(), bound)?;
        if frame.points.is_empty() {
            continue;
        }
        let bound = compact(gpu, &mut frame.groups, bound)? as u32;
        parts.push(Part { frame: merger.thinned(frame)?, bound });
    }
    let Some(Part { mut frame, bound }) = in_pairs(parts, |a, b| merger.pair(a, b))? else {
        return Ok(vec![-1; cloud.len()]);
    };
    drop_small(gpu, &mut frame.groups, bound as usize, rules.small)?;
    let count = compact(gpu, &mut frame.groups, bound as usize)?;
    let found = within(gpu, &merger.of(&frame)?, merger.positions, rules.farthest.next_up())?;
    let mut groups = of(gpu, &frame.groups, &found)?;
    compact(gpu, &mut groups, count)?;
    gpu.download(&groups)
}

impl Merger<'_> {
    fn of(&self, frame: &Frame) -> Result<Buffer<f32>> {
        positions(self.gpu, self.positions, &frame.points)
    }

    fn thinned(&self, frame: Frame) -> Result<Frame> {
        let rows = union::cuda::rows(self.gpu, &frame.points, self.cells.as_ref())?;
        union::cuda::gather(self.gpu, &frame, &rows)
    }

    fn pair(&self, mut first: Part<Frame>, mut second: Part<Frame>) -> Result<Part<Frame>> {
        let gpu = self.gpu;
        for Part { frame, bound } in [&mut first, &mut second] {
            drop_small(gpu, &mut frame.groups, *bound as usize, self.small)?;
        }
        let [at_a, at_b] = [self.of(&first.frame)?, self.of(&second.frame)?];
        let (b_to_a, a_to_b) =
            (within(gpu, &at_a, &at_b, self.radius)?, within(gpu, &at_b, &at_a, self.radius)?);
        let [of_a, of_b] = [first.bound as usize, second.bound as usize];
        let (a, b) = (first.frame.groups, second.frame.groups);
        let b = transfer(gpu, &a, &b, &b_to_a, of_a, of_b)?;
        let a = transfer(gpu, &b, &a, &a_to_b, of_a + of_b, of_a)?;
        let mut both = Frame {
            points: gpu.concat([&first.frame.points, &second.frame.points].into_iter())?,
            groups: gpu.concat([&a, &b].into_iter())?,
        };
        let bound = compact(gpu, &mut both.groups, 2 * of_a + of_b)? as u32;
        Ok(Part { frame: self.thinned(both)?, bound })
    }
}
