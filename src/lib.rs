//! Segments coloured 3D point clouds into named parts and instances (PartSTAD, ECCV 2024): renders the cloud from ten
//! views, lets a text-prompted detector find boxes and a segmenter turn them into masks, and lifts both back to 3D by
//! a weighted vote over superpoints.
//!
//! # The data's way
//! Every noun is one file of [`stages`]: its struct, its invariants, its options and the one function that makes it
//! from earlier nouns.
//!
//! ```text
//! cloud -> superpoints ----------------------------------------+
//!       -> views -> boxes -> masks -> memberships -> weights -> scores -> labels -> instances
//! ```
//! [`Pipeline::segment`] goes all of it, [`Pipeline::lift`] from boxes and masks on. A [`lifting::Scene`] is what both
//! have by then.
//!
//! # From cloud to labels
//! [`io::points::PointCloud::read`], [`stages::cloud::Cloud::fit`], [`Pipeline::segment`]: its [`Segmentation`] holds
//! [`labels`](stages::labels::Labels) and [`instances`](stages::instances::Instances), and [`output::Output`] writes them.
//! They are of the cloud's points: [`Cloud::to_rows`](stages::cloud::Cloud::to_rows) turns them into those of the file's
//! rows, [`Segmentation::summary`] counts them by part. [`Pipeline::segment_unnamed`] needs no names. With boxes of your own take
//! [`Boxes::read`](stages::boxes::Boxes::read), [`Predictions`] and [`Pipeline::lift`]. [`Pipeline::relabel`]
//! labels anew when weights, rules or names of parts change.
//!
//! # From a mesh to its faces
//! [`Mesh::read`](io::meshes::Mesh::read), [`Mesh::sample`](io::meshes::Mesh::sample), then as above with the points that
//! were drawn; [`Segmentation::faces`] gives the labels of the mesh's own faces.
#![cfg_attr(
    feature = "meshes",
    doc = "
```no_run
use partstad::{Device, Parts, Pipeline, Predictions, io::meshes::Mesh, stages::{boxes::Boxes, cloud::Cloud}};

let pipeline = Pipeline::new(Device::Cpu, Default::default());
let mesh = Mesh::read(\"chair.glb\".as_ref())?;
let sampled = mesh.sample(&pipeline.options().mesh)?;
let cloud = Cloud::fit(&sampled.points, &pipeline.options().cloud)?;
let boxes = Boxes::read(\"pred.json\".as_ref(), 10, 2)?;
let found = pipeline.lift(&cloud, &Parts::new([\"leg\", \"seat\"])?, Predictions::new(boxes), &())?;
// A label for every face of the file: the place of a part's name, -1 = none.
println!(\"{:?}\", found.faces(&mesh, &sampled, &cloud)?.labels);
# Ok::<(), partstad::Error>(())
```
"
)]
//! Boxes in views of the mesh itself label its faces too, by another method: [`satr`].
//!
//! # What is promised
//! Versions follow semver for [`Pipeline`] and what it takes and gives: [`stages`], [`lifting`], [`options`], [`models`],
//! [`io`], [`output`]. [`ops`], [`satr`], the GPU's launches and [`study`] may change in any version.
//!
//! # The rooms
//! From the ground up: [`device`] and [`io`], [`ops`] (slices in, slices out, each operation with its CPU reference),
//! [`models`] (ONNX Runtime), [`stages`], [`lifting`], [`pipeline`], [`output`] and [`study`], the command line. A file
//! imports only from its own floor or lower ones. ARCHITECTURE.md has the map.
//!
//! # Names and units
//! N points, K views, S superpoints, L parts, B boxes, F feature channels. Array shapes are written `[K, N]`, the last
//! axis fastest. Positions are in cloud radii, image positions in pixels, x to the right and y down.
#![deny(missing_docs)]

pub mod batch;
pub mod device;
pub mod error;
pub mod input;
pub mod io;
pub mod lifting;
pub mod memory;
pub mod mesh;
#[cfg(feature = "ort")]
pub mod models;
pub mod observer;
pub mod ops;
pub mod options;
pub mod output;
pub mod parts;
pub mod pipeline;
pub mod ragged;
pub mod sam3d;
pub mod satr;
pub mod segmentation;
pub mod stages;
#[cfg(feature = "study")]
pub mod study;
pub mod unnamed;

pub use device::Device;
pub use error::{Error, Result};
pub use observer::Observer;
pub use parts::{Parts, Template};
pub use pipeline::{Pipeline, Predictions, Segmentation};

#[cfg(all(doctest, feature = "small-models"))]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, feature = "small-models"))]
#[doc = include_str!("../docs/linking.md")]
struct Linking;
