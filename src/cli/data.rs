//! What the commands on labelled data share: which objects, and where their 2D predictions come from.

use super::{
    Global,
    run::{Asking, ModelSettings, Settings},
};
use clap::Args;
use partstad::{
    Result,
    io::staged,
    study::{
        dataset::Dataset,
        prepare::{Predictor, Preparer},
    },
};
use std::path::{Path, PathBuf};

/// Labelled data and 2D predictions of it.
#[derive(Args)]
pub struct Data {
    /// Directory of labelled clouds: with a dataset.json, which `partstad dataset init` writes; or
    /// DATA/<split>/<Category>/<id>/pc.ply and label.npy, the part names in DATA/PartNetE_meta.json (those of the
    /// benchmark's 45 categories without one)
    data: PathBuf,
    /// Directory with manifest.json and ONNX models [default: the small stand-ins inside this program]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Boxes and masks from files instead of models: DIR/<split>/<Category>/<id>/ with pred.json, features.npy and
    /// masks.npz as `partstad lift` reads them
    #[arg(long, value_name = "DIR", conflicts_with = "models")]
    predictions: Option<PathBuf>,
    #[command(flatten)]
    model_settings: ModelSettings,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    settings: Settings,
}

impl Data {
    pub fn open(&self) -> Result<Dataset> {
        Dataset::open(&self.data)
    }

    /// Keeps what it makes in `folder`, if one is given.
    pub fn preparer(&self, global: &Global, folder: Option<&Path>) -> Result<Preparer> {
        let (device, options) = (self.settings.device()?, self.asking.of(self.settings.options()?));
        let predictor = match &self.predictions {
            Some(predictions) => {
                staged::check_apart(folder.map(|folder| folder.join("shapes")), &[predictions])?;
                Predictor::Folder(predictions.clone())
            }
            None => {
                let (models, _) =
                    self.model_settings.load(global, &self.settings, &device, self.models.as_deref())?;
                Predictor::Models(Box::new(models))
            }
        };
        Preparer::new(device, options, predictor, folder.map(Path::to_path_buf))
    }
}
