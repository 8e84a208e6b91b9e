//! The operations: slices in, slices out, each with its CPU reference (`cpu`) and, beside it, its kernel's launch (`cuda`).
//!
//! The families follow the data: what all use, then what partitions a cloud, renders it, detects in its views, lifts the
//! detections back, to superpoints or to the faces of a surface, merges what views say of points, and learns to weigh
//! detections. `kernels/` has the same folders.

pub mod basic;
pub mod detect;
pub mod learn;
pub mod lift;
pub mod merge;
pub mod partition;
pub mod surface;
pub mod views;

use crate::error::{Error, Result};

/// Checks the length of an argument. `what`: its name and shape.
pub(crate) fn expect_len(op: &str, what: &str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::invalid(format!("{op}: {what} has {found} elements, not {wanted}")))
}

/// Checks that an argument lies where a kernel may read it in fours: a view into a buffer, or memory of others, may not.
#[cfg(feature = "cuda")]
pub(crate) fn expect_fours(
    gpu: &crate::device::gpu::Gpu,
    op: &str,
    what: &str,
    values: &impl cudarc::driver::DevicePtr<f32>,
) -> Result<()> {
    let (address, _order) = values.device_ptr(gpu.stream());
    if values.len() == 0 || address.is_multiple_of(16) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{op}: {what} begins at address {address:#x}, not at a multiple of 16 bytes; slice buffers at a multiple of four, or \
         copy it to memory of its own"
    )))
}

#[cfg(test)]
mod tests {
    use super::{basic::*, detect::*, learn::*, lift::*, merge::*, partition::*, surface::*, views::*};
    use crate::{error::Result, ragged::Ragged};

    #[test]
    fn references_refuse_shapes_that_do_not_fit() {
        let (points, one) = ([[0.5f32; 3]; 2], Ragged::from_iter([[0, 1]]));
        let rule = normalize::Normalization {
            order: normalize::Order::Rgb,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let energy = agglomeration::Options { lambda: 1.0, small: 0, bound: 1.0 };
        let graph = cut_pursuit::graph::Graph::from_neighbors(&[1, 0], &[1.0; 2], 2, 1).unwrap();
        let matrix = |rows| matmul::Matrix::new(&[1.0f32; 2], rows, 1);
        let step = adamw::Options::default();
        let split =
            |k| evidence::Split { superpoint_of: &[0, 0], neighbors: &[1, 0], k, border: 1.0, small: 0 };
        let seen = evidence::Evidence { seen: vec![1, 1], held: vec![1, 0] };
        let input = |rects: &'static [[f32; 4]]| evidence::Input {
            visible: &[true],
            screen: &[[0.5; 2]],
            of_view: &one,
            rects,
            box_label: &[0, 0],
            region: membership::Region::Boxes,
            side: 1,
            labels: 1,
        };
        assert!(evidence::cpu::split(&seen, &split(1)).is_ok());
        let refused: [(&str, Result<()>); 29] = [
            ("softmax", softmax::cpu::forward(&[0.0f32; 3], 0).map(drop)),
            ("matmul", matrix(3).map(drop)),
            ("matmul", matmul::cpu::multiply(matrix(2).unwrap(), matrix(2).unwrap()).map(drop)),
            ("adamw", {
                let moments = [&mut [0.0; 2][..], &mut [0.0; 1][..]];
                adamw::cpu::step(&mut [0.0f32; 2], moments, &[0.0; 2], &step, step.factors(1.0, 1))
            }),
            ("mlp", mlp::Parameters::split(&[0.0f32; 3], 1).map(drop)),
            ("positional", positional::cpu::inputs::<f32>(&[0.0; 3], &[[0.0; 7]; 2]).map(drop)),
            ("nms", nms::cpu::nms(&[[0.0; 4]; 2], &[0.5; 2], &[0], 0.5).map(drop)),
            ("resize", resize::cpu::bilinear::<3>(&[0; 5], [1, 2], [1, 1]).map(drop)),
            ("normalize", normalize::cpu::normalize(&[0; 3], [1, 1], &rule, [1, 1], &mut [0.0; 2])),
            ("boxes", boxes::cpu::by_view(&[0, 1], &[0]).map(drop)),
            ("boxes", boxes::cpu::prompts(&[[0.0; 4]], &[1], &[0], [1.0; 2]).map(drop)),
            ("observe", observe::cpu::views(&[true], &[[0.0; 2]; 2], &one, 1).map(drop)),
            ("whole_object", whole_object::cpu::whole(&[[0.0; 2]], 1, &[[0.0; 4]], &[1], 0.5).map(drop)),
            ("evidence", evidence::cpu::evidence(&input(&[[0.0; 4]])).map(drop)),
            ("evidence", evidence::cpu::split(&seen, &split(2)).map(drop)),
            ("fill", fill::cpu::fill(&[0, 0], &[1], &[0, 1], &[1, 0], 1).map(drop)),
            ("mask", mask::cpu::expand(&[0.0; 3], &mask::taps(2)).map(drop)),
            ("edge_weights", edge_weights::cpu::edge_weights(&points, &[1, 0], &[1.0], 1).map(drop)),
            (
                "agglomeration",
                agglomeration::cpu::agglomerate(&points, &[1, 0], &[1.0], 1, &energy).map(drop),
            ),
            ("cut_pursuit", cut_pursuit::cpu::partition(&graph, &points[..1], &Default::default()).map(drop)),
            ("ball_pivoting", ball_pivoting::faces(&points, &points[..1], &[1.0]).map(drop)),
            ("centre", {
                let input = centre::Input { vertices: &points, faces: &[[0, 1, 1]], areas: &[] };
                centre::cpu::centres(&input, &Ragged::default()).map(drop)
            }),
            ("frame", frame::cpu::frame(&[0], &[], 1).map(drop)),
            ("paint", paint::cpu::paint(&[0; 3], 33).map(drop)),
            ("transfer", {
                let input = transfer::Input { source: &[0], target: &[0], matched: &[], above: 1 };
                transfer::cpu::transfer(&input).map(drop)
            }),
            ("scores", {
                let shown = Ragged::from_iter([[(0, 1)]]);
                let input = scores::Input { shown: &shown, weights: &[], parts: &[0], faces: 1, labels: 1 };
                scores::cpu::sum(&input).map(drop)
            }),
            ("tally", {
                let input = tally::Input { maps: &[0; 3], side: 2, views: &[], rects: &[], faces: 1 };
                tally::cpu::tally(&input).map(drop)
            }),
            ("weights", {
                let input = weights::Input {
                    offsets: &[0, 1],
                    pixels: &[1],
                    distances: &[],
                    seen: &[1],
                    around: &[1],
                    scores: &[0.5],
                };
                let factors = weights::Factors { gaussian: true, visibility: true, undefined: false };
                weights::cpu::weights(&input, factors).map(drop)
            }),
            ("rasterize", rasterize::cpu::shade(&[-1; 3], &[], &[], 2, 0.1).map(drop)),
        ];
        for (op, result) in refused {
            let error = result.expect_err(op).to_string();
            assert!(error.starts_with(op), "{op}: {error}");
        }
        assert!(point_features::cpu::signed(&points, &points[..1], 1.0).is_err());
        assert!(merge_small::cpu::merge_small(&points, &[0], 1).is_err());
        assert!(normals::cpu::orient(&mut points.clone(), &[1], 1).is_err());
    }
}
