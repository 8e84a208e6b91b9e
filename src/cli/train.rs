//! `partstad train`: learns the weights of boxes.

use super::{Global, progress, settings::read_options};
use clap::{Args, ValueEnum};
use partstad::{
    Device, Error, Result,
    io::{
        check_name, path_text,
        staged::{self, Claim},
    },
    stages::{checkpoint::Checkpoint, network::Basis},
    study::{
        prepare,
        sample::Sample,
        train::{self, Folds, Gain, Options, Trainer, WINDOW},
    },
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Learn to weigh boxes from a few labelled shapes
///
/// Reads the labelled shapes that `partstad prepare` wrote, of the splits `train` and `val`, and holds them out in turn, in
/// five groups. If learned weights win over agreement, the default of `segment`, on the shapes that they were not learned
/// from, by more than two standard errors, they are learned from all, and written with a table of the epochs (.csv) and a
/// curve (.svg). If not, none are written, and what an earlier training left there gets a name that ends in .old; the exit
/// code is 0.
///
/// Learning begins from agreement: it weighs the boxes that other views do not speak against. With --basis constant, as in the
/// paper, it begins from the same weight for every box.
///
/// With --folds 0, as in the paper too, it learns from `train` alone and keeps the epoch with the best mIoU on `val` (on
/// `train` itself where a category has no `val`), whether it helps or not.
///
/// An interrupted training goes on where it stopped, to the same bits; what was held out is held out again.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad train prepared --category Chair -o Chair.safetensors
  partstad train prepared --all-categories -o weights
  partstad train prepared --all-categories --folds 0 --basis constant -o weights    (the paper's)
  partstad train prepared --all-categories --shared -o weights
  partstad train prepared/no-sam --all-categories -o weights/no-sam
  partstad train prepared --all-categories --loss cross-entropy --folds 0 --basis constant -o weights/cross-entropy")]
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
    /// Groups of shapes that are held out in turn to tell whether learning helps; 0: none, `val` chooses the epoch
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = groups)]
    folds: usize,
    /// What the weights begin from [default: agreement]
    #[arg(long)]
    basis: Option<Begin>,
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

#[derive(Clone, Copy, ValueEnum)]
enum Begin {
    /// Those of agreement: boxes that other views speak against stay out
    Agreement,
    /// The same weight for every box, as in the paper
    Constant,
}

/// The extension of the file of an unfinished training.
const STATE: &str = "state.safetensors";
/// Epochs between two savings of it.
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
            .map_or_else(|| Ok(Options::default()), |path| read_options(path, "training options"))?;
        options.seed = self.seed.unwrap_or(options.seed);
        options.epochs = self.epochs.unwrap_or(options.epochs);
        if let Some(basis) = self.basis {
            options.basis = match basis {
                Begin::Agreement => Basis::Agreement,
                Begin::Constant => Basis::Constant,
            };
        }
        if self.folds > 0 {
            options.average = WINDOW;
        }
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
        let Labelled { mut train, mut val, parts } = self.labelled(categories, path)?;
        let beside = |category| path.with_file_name(category).with_added_extension("safetensors");
        let files: Vec<PathBuf> = match categories {
            [_] => vec![path.to_path_buf()],
            several => several.iter().map(beside).collect(),
        };
        let shapes = json!({ "category": name, "train": train.len(), "val": val.len(), "parts": parts });
        let folds = match self.folds {
            0 => None,
            folds => {
                train.append(&mut val);
                Some(cross_validate(name, &train, folds, options, device)?)
            }
        };
        let told = |more: Value| {
            let mut told = shapes.clone();
            told.as_object_mut().expect("it is one").extend(more.as_object().cloned().unwrap_or_default());
            told
        };
        let gain = folds.as_ref().and_then(Folds::wins);
        if let (Some(found), None) = (&folds, gain) {
            let mut line =
                format!("{name}: {}; no weights written (--folds 0 learns all the same)", in_words(found));
            // What an earlier training wrote would stand for this one.
            let beside = ["csv", "svg", STATE].map(|extension| path.with_extension(extension));
            for file in files.iter().chain(&beside).filter(|file| file.exists()) {
                let old = file.with_added_extension("old");
                fs::rename(file, &old).map_err(Error::io(file))?;
                line += &format!("; what was there is now {}", old.display());
            }
            write(path, "folds.csv", &found.table())?;
            return Ok((told(json!({ "out": Value::Null, "wins": false, "folds": found })), line));
        }
        let options = match gain {
            Some(Gain { epoch: epochs, .. }) => {
                Options { epochs, average: WINDOW.min(epochs), ..options.clone() }
            }
            None => options.clone(),
        };
        let trainer = self.learn(name, path, train, val, &options, device)?;
        let (Some(&best), network) = trainer.best()? else {
            return Err(Error::invalid("train: no epoch to keep; ask for at least one"));
        };
        let mut checkpoint =
            Checkpoint { parts: vec![], epoch: best.epoch, val_miou: best.val_miou, network };
        match (&folds, gain) {
            (Some(found), Some(gain)) => {
                checkpoint.val_miou = found.unlearned + gain.mean;
                write(path, "folds.csv", &found.table())?;
            }
            _ => remove(&path.with_extension("folds.csv"))?,
        }
        for (file, parts) in files.iter().zip(&parts) {
            checkpoint.parts = parts.clone();
            checkpoint.write(file)?;
        }
        write(path, "csv", &train::table(trainer.history()))?;
        write(path, "svg", &train::curve(trainer.history(), name))?;
        remove(&path.with_extension(STATE))?;
        let out = if files.len() == 1 { path } else { path.parent().unwrap_or(path) };
        let where_to = format!("null weight {:.2}; {}", best.null, out.display());
        if let Some(found) = &folds {
            let line = format!("{name}: {}, {where_to}", in_words(found));
            let value = json!({ "out": path_text(out), "wins": true, "folds": found, "best": best });
            return Ok((told(value), line));
        }
        let unlearned = trainer.unlearned_miou()?;
        let judged = if shapes["val"] == 0 { "training" } else { "validation" };
        let line = format!(
            "{name}: {judged} mIoU {:.1} % in epoch {} of {}, {:.1} % without learning, {where_to}",
            100.0 * best.val_miou,
            best.epoch,
            trainer.history().len(),
            100.0 * unlearned,
        );
        if unlearned > best.val_miou {
            tracing::warn!(
                "{name}: unlearned weights are better on the {judged} shapes; segment without these weights"
            );
        }
        Ok((told(json!({ "out": path_text(out), "best": best, "unlearned_miou": unlearned })), line))
    }

    /// The prepared shapes of some categories, and the parts of each.
    fn labelled(&self, categories: &[String], path: &Path) -> Result<Labelled> {
        let mut labelled = Labelled::default();
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
            labelled.parts.push(first.parts.clone());
            labelled.train.extend(of_train);
            labelled.val.extend(of_val);
        }
        Ok(labelled)
    }

    /// Trains to the end, from where an interrupted training stopped.
    fn learn(
        &self,
        name: &str,
        path: &Path,
        train: Vec<Sample>,
        val: Vec<Sample>,
        options: &Options,
        device: &Device,
    ) -> Result<Trainer> {
        let mut trainer = Trainer::new(train, val, options)?;
        let state = path.with_extension(STATE);
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
        Ok(trainer)
    }
}

/// Prepared shapes.
#[derive(Default)]
struct Labelled {
    train: Vec<Sample>,
    val: Vec<Sample>,
    /// Of each category.
    parts: Vec<Vec<String>>,
}

fn cross_validate(
    name: &str,
    samples: &[Sample],
    folds: usize,
    options: &Options,
    device: &Device,
) -> Result<Folds> {
    let bar = progress::objects(&format!("hold out {name}"), folds.min(samples.len()) * options.epochs);
    let found = train::cross_validate(samples, folds, options, device, || bar.inc(1))?;
    bar.finish_and_clear();
    Ok(found)
}

/// Groups of shapes; one alone would leave nothing to learn from.
fn groups(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>().map_err(|e| e.to_string())? {
        1 => Err("one group leaves nothing to learn from; give 2 or more, or 0 for none".into()),
        groups => Ok(groups),
    }
}

/// What cross-validation found, in a sentence.
fn in_words(folds: &Folds) -> String {
    let Folds { shapes, unlearned, largest: Some(Gain { epoch, mean, error }), .. } = folds else {
        return "fewer than two shapes have parts to be found, so nobody can tell whether learning helps"
            .into();
    };
    let wins = match folds.wins() {
        Some(_) => "learning wins over agreement",
        None => "learning does not win over agreement by two standard errors",
    };
    let [unlearned, mean, error] = [unlearned, mean, error].map(|share| 100.0 * share);
    format!(
        "{wins}, whose mIoU is {unlearned:.1} %: {mean:+.1} ± {error:.1} after epoch {epoch}, on {shapes} shapes that were held \
         out in turn"
    )
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> Result<()> {
    match file.exists() {
        true => fs::remove_file(file).map_err(Error::io(file)),
        false => Ok(()),
    }
}

/// Writes a file beside the weights.
fn write(weights: &Path, extension: &str, text: &str) -> Result<()> {
    staged::write_all(&weights.with_extension(extension), text.as_bytes())
}

/// Checks that none of the files beside `path` is a prepared shape.
fn check_apart(prepared: &Path, category: &str, path: &Path, options: Option<&Path>) -> Result<()> {
    let outputs = ["safetensors", "csv", "svg", "folds.csv", STATE].map(|e| path.with_extension(e));
    let folders = ["train", "val"].map(|split| prepared.join(split).join(category));
    let shapes = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let inputs: Vec<PathBuf> = shapes.map(|e| e.path()).chain(options.map(Path::to_path_buf)).collect();
    staged::check_apart(outputs, &inputs)
}
