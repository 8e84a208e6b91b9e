//! `partstad train`: learns the weights of boxes.

use super::{Global, progress, run::read_json};
use clap::{Args, ValueEnum};
use partstad::{
    Device, Error, Result,
    io::{
        check_name, path_text,
        staged::{self, Claim},
    },
    stages::checkpoint::Checkpoint,
    study::{
        prepare,
        train::{self, Options, Trainer},
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Learn to weigh boxes from a few labelled shapes
///
/// Reads what `partstad prepare` wrote: trains on the split `train`, keeps the epoch with the best mIoU on `val` (on `train`
/// itself where a category has no `val`). Writes the weights, and beside them a table of the epochs (.csv) and a curve (.svg).
/// An interrupted training goes on where it stopped, to the same bits.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad train prepared --category Chair -o Chair.safetensors
  partstad train prepared --all-categories -o weights
  partstad train prepared --all-categories --shared -o weights
  partstad train prepared/no-sam --all-categories -o weights/no-sam
  partstad train prepared --all-categories --loss cross-entropy -o weights/cross-entropy")]
#[command(group(clap::ArgGroup::new("which").required(true).args(["category", "all_categories"])))]
pub struct Train {
    /// Directory of `partstad prepare`
    prepared: PathBuf,
    /// Categories to train, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    category: Vec<String>,
    /// Train every category that has training shapes
    #[arg(long)]
    all_categories: bool,
    /// Learn one network from all these categories together instead of one from each
    #[arg(long)]
    shared: bool,
    /// Seed of the first weights and of the order of the shapes
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How often every shape is seen [default: 400]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// What is learned from [default: mriou]
    #[arg(long)]
    loss: Option<Loss>,
    /// Options of the training as JSON, like {"rate": 1e-4, "null_rate": 0.05, "batch": 2}
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Where to compute: cpu, cuda:N, or auto for the CUDA device with the most free memory and else the CPU
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Begin anew where an interrupted training left its state
    #[arg(long)]
    restart: bool,
    /// File of weights (.safetensors) for one category, or directory for <Category>.safetensors
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Loss {
    /// The relaxed 3D IoU of the paper
    Mriou,
    /// Cross entropy, the paper's ablation
    CrossEntropy,
}

/// Epochs between two savings of an unfinished training.
const SAVE_EVERY: usize = 20;

impl Train {
    pub fn run(&self, global: &Global) -> Result<()> {
        let (options, device): (_, Device) = (self.options()?, self.device.parse()?);
        let categories = match self.all_categories {
            true => prepare::categories(&self.prepared, "train")?,
            false => self.category.clone(),
        };
        categories.iter().try_for_each(|name| check_name("the category", name))?;
        let file = self.out.extension().is_some_and(|extension| extension == "safetensors");
        if file && categories.len() != 1 {
            let (count, out) = (categories.len(), self.out.display());
            return Err(Error::invalid(format!(
                "-o {out} is one file, for {count} categories; name a directory"
            )));
        }
        let folder = if file { self.out.parent().unwrap_or(Path::new("")) } else { &self.out };
        if !folder.as_os_str().is_empty() {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let (mut told, mut failed, mut text) = (vec![], 0, vec![]);
        let groups = categories.chunks(if self.shared { categories.len().max(1) } else { 1 });
        let count = groups.len();
        for group in groups {
            let name = if group.len() == 1 { &group[0] } else { "shared" };
            let path = match file {
                true => self.out.clone(),
                false => self.out.join(name).with_added_extension("safetensors"),
            };
            match self.train(name, group, &path, &options, &device) {
                Ok((value, line)) => {
                    told.push(value);
                    text.push(line);
                }
                Err(error) if count == 1 => return Err(error),
                Err(error) => {
                    failed += 1;
                    let line = format!("{name}: {error}");
                    told.push(json!({ "category": name, "error": error.to_string() }));
                    tracing::error!("{}", super::for_terminal(&line));
                    text.push(line);
                }
            }
        }
        let told = json!({ "options": options, "device": device.to_string(), "categories": told });
        global.report(told, &text.join("\n"))?;
        match failed {
            0 => Ok(()),
            _ => Err(Error::invalid(format!("{failed} of {count} categories failed"))),
        }
    }

    fn options(&self) -> Result<Options> {
        let mut options: Options = self
            .options
            .as_ref()
            .map_or_else(|| Ok(Options::default()), |path| read_json(path, "training options"))?;
        options.seed = self.seed.unwrap_or(options.seed);
        options.epochs = self.epochs.unwrap_or(options.epochs);
        match self.loss {
            Some(Loss::Mriou) => (options.riou, options.cross_entropy) = (1.0, 0.0),
            Some(Loss::CrossEntropy) => (options.riou, options.cross_entropy) = (0.0, 1.0),
            None => {}
        }
        Ok(options)
    }

    /// Trains one network for `categories`. `path`: of its weights; those of several categories, the same with their parts, lie
    /// beside it.
    fn train(
        &self,
        name: &str,
        categories: &[String],
        path: &Path,
        options: &Options,
        device: &Device,
    ) -> Result<(Value, String)> {
        let _alone = Claim::of(path)?;
        let (mut train, mut val, mut parts) = (vec![], vec![], vec![]);
        for category in categories {
            check_apart(&self.prepared, category, path, self.options.as_deref())?;
            let samples = |split| prepare::samples(&self.prepared, split, category);
            let [of_train, of_val] = [samples("train")?, samples("val")?];
            let Some(first) = of_train.first() else {
                let folder = self.prepared.join("train").join(category);
                return Err(Error::invalid(format!(
                    "{}: no prepared shape; `partstad prepare` makes them",
                    folder.display()
                )));
            };
            if let Some(other) = of_train.iter().chain(&of_val).find(|sample| sample.parts != first.parts) {
                let (a, b) = (&first.parts, &other.parts);
                return Err(Error::invalid(format!(
                    "train: shapes of {category} have parts {a:?} and {b:?}"
                )));
            }
            parts.push(first.parts.clone());
            train.extend(of_train);
            val.extend(of_val);
        }
        let shapes = [train.len(), val.len()];
        let mut trainer = Trainer::new(train, val, options)?;
        let state = path.with_extension("state.safetensors");
        if state.exists() && !self.restart {
            let resumed = trainer.resume(&state);
            trainer = resumed.map_err(|e| Error::invalid(format!("{e}; --restart begins anew")))?;
            let (done, asked) = (trainer.history().len(), options.epochs);
            if done > asked {
                return Err(Error::format(
                    &state,
                    format!(
                        "an interrupted training of {done} epochs, more than {asked}; ask for more, or begin with --restart"
                    ),
                ));
            }
            tracing::warn!(
                "{name}: goes on after epoch {done} of an interrupted training; --restart begins anew"
            );
        }
        trainer = trainer.on(device)?;
        let bar = progress::objects(&format!("train {name}"), options.epochs);
        bar.set_position(trainer.history().len() as u64);
        while !trainer.done() {
            let epoch = trainer.epoch()?;
            bar.inc(1);
            bar.set_message(format!(
                "loss {:.3}, validation mIoU {:.1} %",
                epoch.loss,
                100.0 * epoch.val_miou
            ));
            if epoch.epoch % SAVE_EVERY == 0 {
                trainer.save(&state)?;
            }
        }
        bar.finish_and_clear();
        let (Some(&best), network) = trainer.best()? else {
            return Err(Error::invalid("train: no epoch to keep; ask for at least one"));
        };
        let mut checkpoint =
            Checkpoint { parts: vec![], epoch: best.epoch, val_miou: best.val_miou, network };
        for (category, parts) in categories.iter().zip(&parts) {
            checkpoint.parts = parts.clone();
            match categories {
                [_] => checkpoint.write(path)?,
                _ => checkpoint.write(&path.with_file_name(category).with_added_extension("safetensors"))?,
            }
        }
        let write = |extension: &str, text: String| {
            let path = path.with_extension(extension);
            staged::write_all(&path, text.as_bytes())
        };
        write("csv", train::table(trainer.history()))?;
        write("svg", train::curve(trainer.history(), name))?;
        if state.exists() {
            fs::remove_file(&state).map_err(Error::io(&state))?;
        }
        let constant = trainer.constant_miou()?;
        let [training, validating] = shapes;
        let judged = if validating > 0 { "validation" } else { "training" };
        let line = format!(
            "{name}: {judged} mIoU {:.1} % in epoch {} of {}, {:.1} % with constant weights, null weight {:.2}; {}",
            100.0 * best.val_miou,
            best.epoch,
            trainer.history().len(),
            100.0 * constant,
            best.null,
            path.display()
        );
        if constant > best.val_miou {
            tracing::warn!(
                "{name}: constant weights are better on the {judged} shapes; segment without these weights"
            );
        }
        let value = json!({
            "category": name, "out": path_text(path), "train": training, "val": validating, "best": best,
            "constant_miou": constant, "parts": parts,
        });
        Ok((value, line))
    }
}

/// Checks that none of the files beside `path` is a prepared shape.
fn check_apart(prepared: &Path, category: &str, path: &Path, options: Option<&Path>) -> Result<()> {
    let outputs = ["safetensors", "csv", "svg", "state.safetensors"].map(|e| path.with_extension(e));
    let folders = ["train", "val"].map(|split| prepared.join(split).join(category));
    let shapes = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let inputs: Vec<PathBuf> = shapes.map(|e| e.path()).chain(options.map(Path::to_path_buf)).collect();
    staged::check_apart(outputs, &inputs)
}
