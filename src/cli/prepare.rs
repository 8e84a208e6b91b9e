//! `partstad prepare`: labelled clouds to training samples.

use super::{Global, data::Data, progress};
use clap::Args;
use partstad::{
    Error, Result,
    error::one_line,
    io::path_text,
    segmentation::counted,
    study::{prepare::noticed, strays::Strays},
};
use serde_json::json;
use std::path::PathBuf;

/// Prepare labelled clouds for training
///
/// Takes every cloud once through rendering, detection, masks and superpoints, and writes what training needs: a few
/// hundred kilobytes a shape, DIR/<split>/<Category>/<id>.safetensors where masks vote, DIR/no-sam/... where boxes do.
/// What is there already is kept, unless the cloud, the models or an option that it depends on has changed; so an
/// interrupted run goes on where it stopped. Samples of shapes that are in another split now are renamed to .old. DIR/shapes
/// holds boxes, masks and superpoints, to save time; it may be deleted.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad prepare partnete --category Chair -o prepared
  partstad prepare partnete --all-categories --models glip-sam -o prepared")]
#[command(group(clap::ArgGroup::new("which").required(true).args(["category", "all_categories"])))]
pub struct Prepare {
    #[command(flatten)]
    data: Data,
    /// Categories to prepare, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    category: Vec<String>,
    /// Prepare every category that the data holds
    #[arg(long)]
    all_categories: bool,
    /// Splits to prepare, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "train,val")]
    splits: Vec<String>,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

impl Prepare {
    pub fn run(&self, global: &Global) -> Result<()> {
        let data = self.data.open()?;
        let objects = data.select(&self.splits, &self.category)?;
        for split in self.splits.iter().filter(|&split| objects.iter().all(|object| &object.split != split)) {
            tracing::warn!("There is no cloud in the split {split}.");
        }
        let bar = progress::objects("prepare", objects.len());
        let preparer = self.data.preparer(global, Some(&self.out))?;
        let mut warnings = preparer.warnings(&objects, &data.parts);
        bar.suspend(|| warnings.iter().for_each(|warning| super::warn(warning)));
        let (mut made, mut failures, mut kept, mut bytes) = (vec![], vec![], 0, 0);
        let mut of_clouds = vec![];
        for object in &objects {
            bar.set_message(one_line(&object.place().to_string_lossy()));
            match preparer.samples(object, &data.parts[&object.category]) {
                Ok(prepared) => {
                    kept += prepared.kept as usize;
                    bytes += prepared.bytes;
                    of_clouds.push((object.place(), prepared.warnings.clone()));
                    made.push(json!({ "object": object.place(), "prepared": prepared }));
                }
                Err(error) => {
                    progress::complain(&bar, &format!("{}: {error}", object.place().display()));
                    failures.push(json!({ "object": object.place(), "error": error.to_string() }));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let categories = objects.iter().map(|object| &object.category).collect();
        let strays = Strays::set_aside(&self.out, &data, &categories)?;
        let list = |paths: &[PathBuf]| {
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
        };
        let of_strays = [
            (&strays.moved, "Renamed to .old, as their shapes are in another split now"),
            (
                &strays.others,
                "Of no shape of this data, but learned from all the same; remove them, or prepare elsewhere",
            ),
        ];
        for (paths, what) in of_strays.iter().filter(|(paths, _)| !paths.is_empty()) {
            let warning = format!("{what}: {}.", list(paths));
            super::warn(&warning);
            warnings.push(warning);
        }
        let of_clouds = noticed(of_clouds.iter().map(|(place, warnings)| (place.as_path(), &warnings[..])));
        of_clouds.iter().for_each(|warning| super::warn(warning));
        warnings.extend(of_clouds);
        let (count, failed) = (made.len(), failures.len());
        let text = format!(
            "{} in {} ({kept} were there), {} KB each",
            counted(count, "shape", "shapes"),
            self.out.display(),
            bytes / 1000 / count.max(1) as u64
        );
        global.report(
            json!({
                "out": path_text(&self.out), "shapes": made, "failures": failures, "kept": kept, "bytes": bytes,
                "predictions": preparer.predictor().description(), "options": preparer.options(), "warnings": warnings,
            }),
            &text,
        )?;
        match failed {
            0 => Ok(()),
            _ => Err(Error::invalid(format!("{failed} of {} shapes failed", objects.len()))),
        }
    }
}
