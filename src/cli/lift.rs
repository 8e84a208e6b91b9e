//! `partstad lift`: the 2D-to-3D half alone.

use super::{
    Global,
    progress::{self, Stages},
    run::{self, Drawing, Job, Learned, Refinements, Settings},
};
use clap::Args;
use partstad::{
    Error, Pipeline, Predictions, Result, input,
    io::{path_text, staged::Folder},
    output,
    stages::{
        boxes::{Boxes, MASKS_UNREAD},
        masks::Masks,
        memberships::CountedViews,
        superpoints::Superpoints,
        weights::Weights,
    },
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Lift boxes and masks from any detector to parts of the cloud
///
/// The boxes and masks belong to the images that `partstad render` makes of the cloud. Without masks the boxes
/// themselves vote, as in PartSLIP. A point counts in every view that shows it: a part must win over all of them. Writes
/// the same files as `partstad segment`.
#[derive(Args)]
#[command(after_help = "Example:
  partstad render chair.ply -o views
  (run your detector on views/0.png .. views/9.png)
  partstad lift chair.ply --boxes pred.json --masks masks.npz --parts arm,back,leg,seat,wheel -o out")]
pub struct Lift {
    /// Coloured point cloud or mesh: .ply, .pcd, .las, .laz, .e57, .npy, .npz, text (.xyz, .txt, .csv, .asc, .pts, .xyzrgb),
    /// .glb, .gltf, .obj, .stl
    cloud: PathBuf,
    /// Boxes: JSON list of {"image_id": view from 0, "category_id": part from 1, "bbox": [x, y, width, height], "score"}, or
    /// a COCO dictionary with such a list as annotations, whose categories are told by their names. By default
    /// scores say how far boxes are believed, and how sure instances are; a box without one has 1
    #[arg(long, value_name = "FILE")]
    boxes: PathBuf,
    /// Names of the parts, in the order of the category_id
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    parts: Vec<String>,
    /// Masks: .npz with `mask` of shape [boxes, 800, 800] in the order of the boxes: 0 = outside, or logits, or probabilities
    #[arg(long, value_name = "FILE")]
    masks: Option<PathBuf>,
    /// Detector features: .npz with `feature` of shape [boxes, 256]; --weights reads them
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Superpoint of every point: .npy of N integers from 0; made anew without it
    #[arg(long, value_name = "FILE")]
    superpoints: Option<PathBuf>,
    /// Weight of every box: .npy of as many numbers as boxes, or one more with the null weight first
    #[arg(long, value_name = "FILE", conflicts_with = "weights")]
    box_weights: Option<PathBuf>,
    #[command(flatten)]
    learned: Learned,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    drawing: Drawing,
    /// Count only the views that have boxes. A part must win its points over all views that show them, so boxes in one
    /// view of ten win nothing without this
    #[arg(long)]
    skip_empty_views: bool,
    #[command(flatten)]
    refinements: Refinements,
}

impl Lift {
    pub fn run(&self, global: &Global) -> Result<()> {
        let parts = run::parts(&self.parts);
        let device = self.settings.device()?;
        let mut options = self.refinements.of(self.drawing.of(self.settings.options()?));
        if self.skip_empty_views {
            options.memberships.views = CountedViews::WithBoxes;
        }
        let others =
            [&self.masks, &self.features, &self.superpoints, &self.box_weights, &self.learned.weights];
        let inputs = [&self.cloud, &self.boxes].into_iter().chain(others.into_iter().flatten());
        let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).chain(self.settings.files()).collect();
        run::check_results(&[&self.out], &inputs)?;
        let folder = Folder::begin(&self.out)?;
        let job = Job::read(&self.cloud, &device, &options)?;
        let (views, side) = (options.views.poses.len(), options.views.side);
        let mut boxes = Boxes::read_named(&self.boxes, views, &parts)?;
        let unsure = boxes.check_pixels(side).map_err(|e| Error::format(&self.boxes, e.to_string()))?;
        if let Some(path) = &self.features {
            boxes.read_features(path)?;
        }
        let (b, masks_unread) = (boxes.len(), boxes.masks_unread && self.masks.is_none());
        let masks = self.masks.as_ref().map_or(Ok(Masks::Boxes), |path| Masks::read(path, b, side))?;
        let load = |path: &PathBuf| Superpoints::load(path, &job.input.cloud);
        let superpoints = self.superpoints.as_ref().map(load).transpose()?;
        let null = options.weights.null_of_given();
        let weights = self.box_weights.as_ref().map(|path| Weights::read(path, b, null)).transpose()?;

        let bar = progress::stages("lift");
        let (pipeline, unlearned) = self.learned.give(Pipeline::new(device, options), &parts)?;
        let predictions = Predictions { boxes, masks, superpoints, weights };
        let found = pipeline
            .lift(&job.input.cloud, &parts, predictions, &Stages(&bar))
            .map_err(|e| input::named(job.path, e))?;
        bar.finish_and_clear();
        let mut parameters = output::parameters("lift", &pipeline);
        let given = |path: &Option<PathBuf>| path.as_ref().map(path_text);
        parameters["input"] = json!({
            "cloud": path_text(&self.cloud), "boxes": path_text(&self.boxes), "masks": given(&self.masks),
            "features": given(&self.features), "superpoints": given(&self.superpoints),
            "box_weights": given(&self.box_weights), "weights": given(&self.learned.weights),
        });
        let masks_unread = masks_unread.then(|| MASKS_UNREAD.to_string());
        let unread = (self.features.is_some() && self.learned.weights.is_none())
            .then(|| "Nothing reads the features: --weights would.".to_string());
        let warnings: Vec<String> =
            unlearned.into_iter().chain(unsure).chain(masks_unread).chain(unread).collect();
        let finished = job.finish(&found, folder, parameters, &warnings)?;
        run::print(global, vec![finished], &warnings)
    }
}
