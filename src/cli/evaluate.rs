//! `partstad evaluate`: methods against the ground truth.

use super::{Global, data::Data, progress};
use clap::{Args, ValueEnum};
use partstad::{
    Error, Result,
    error::one_line,
    io::{path_text, staged::Folder},
    study::{
        dataset::Object,
        evaluate::{Evaluation, Evaluator, Paper, Run},
        methods::Method,
    },
};
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};

/// Measure methods on labelled clouds
///
/// Semantic IoU and instance AP at IoU 0.5, per category and part, averaged as in the paper: over objects, then parts, then
/// categories. Writes results.csv, results.md, results.json and results.html (tables, and the best and worst objects pictured).
/// An object that fails is listed and left out; the exit code is then 1.
#[derive(Args)]
#[command(after_help = methods() + EXAMPLES)]
pub struct Evaluate {
    #[command(flatten)]
    data: Data,
    /// What to evaluate; may be repeated [default: partstad with --weights, else agreement; all with --compare]
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    method: Vec<Method>,
    /// Directory of learned weights, <Category>.safetensors; those of no-sam, cross-entropy and null-only in directories
    /// of these names within it; or one such file, for its category. May be repeated (several seeds): tables then show
    /// mean and standard deviation
    #[arg(long, value_name = "PATH")]
    weights: Vec<PathBuf>,
    /// Print the methods side by side, as the paper's tables do
    #[arg(long)]
    compare: bool,
    /// Evaluate what a table of the paper has, and write it: rows, means, published means, what is missing, seconds.
    /// Instances follow the paper's rule (touching), whatever the options say, and constant weights stand in for those
    /// that were not learned
    #[arg(long, value_name = "NAME", conflicts_with_all = ["method", "compare"])]
    table: Option<Tables>,
    /// Categories to evaluate, separated by commas [default: all that the data holds]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    category: Vec<String>,
    /// Splits to evaluate, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "test")]
    splits: Vec<String>,
    /// Directory of `partstad prepare` to take 2D predictions and superpoints from and to keep them in
    #[arg(long, value_name = "DIR")]
    prepared: Option<PathBuf>,
    /// Directory to write to; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

/// Tables to make.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tables {
    /// Tables 1, 2 and 3 of the PartSTAD paper
    Paper,
}

const EXAMPLES: &str = "\
Examples:
  partstad evaluate partnete --method agreement,no-weights -o out
  partstad evaluate partnete --weights weights --compare --prepared prepared -o out
  partstad evaluate partnete --weights seed-0 --weights seed-1 --table paper --prepared prepared -o out";

fn methods() -> String {
    let width = Method::ALL.iter().map(|method| method.name.len()).max().unwrap_or(0);
    let line = |method: &Method| format!("  {:width$}  {}\n", method.name, method.about);
    format!("Methods:\n{}\n", Method::ALL.iter().map(line).collect::<String>())
}

impl Evaluate {
    pub fn run(&self, global: &Global) -> Result<()> {
        let data = self.data.open()?;
        let objects = data.select(&self.splits, &self.category)?;
        self.check_weights(&objects)?;
        let runs = match self.table {
            Some(Tables::Paper) => Run::paper(&self.weights),
            None => Run::all(&self.method, &self.weights, self.compare),
        };
        let out = Folder::begin(&self.out)?;
        let bar = progress::objects("evaluate", objects.len());
        let mut preparer = self.data.preparer(global, self.prepared.as_deref())?;
        if self.table.is_some() {
            preparer = preparer.as_in_paper();
        }
        let mut warnings = preparer.warnings(&objects, &data.parts);
        if self.compare && self.method.is_empty() && self.table.is_none() {
            let left_out = |method: &&Method| runs.iter().all(|run| run.method != **method);
            let names: Vec<&str> = Method::ALL.iter().filter(left_out).map(|method| method.name).collect();
            if !names.is_empty() {
                warnings.push(format!("Left out, as --weights has none for them: {}.", names.join(", ")));
            }
        }
        bar.suspend(|| warnings.iter().for_each(|warning| super::warn(warning)));
        let about = json!({
            "splits": self.splits, "out": path_text(&self.out), "options": preparer.options(),
            "predictions": preparer.predictor().description(), "warnings": warnings,
        });
        let note = format!("Splits: {}. 2D predictions: {}.", self.splits.join(", "), preparer.predictor());
        let mut evaluator =
            Evaluator::new(preparer, runs).map_err(|e| Error::invalid(format!("{e}; --weights names it")))?;
        if self.table.is_some() {
            evaluator = evaluator.picturing_all();
        }
        for object in &objects {
            bar.set_message(one_line(&object.place().to_string_lossy()));
            if let Some(failure) = evaluator.add(object, &data.parts[&object.category]) {
                progress::complain(&bar, &format!("{}: {}", failure.object.display(), failure.error));
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let evaluation = evaluator.finish();
        let paper = self.table.map(|Tables::Paper| evaluation.paper());
        evaluation.write_into(out, &[vec![note], warnings].concat(), paper.as_ref())?;
        let mut told = json!(evaluation);
        told["about"] = about;
        global.report(told, &self.text(&evaluation, paper.as_ref()))?;
        match evaluation.failures.len() {
            0 => Ok(()),
            failed => Err(Error::invalid(format!("{failed} of {} objects failed", objects.len()))),
        }
    }

    /// Refuses weights that are not there, and one file for several categories.
    fn check_weights(&self, objects: &[Object]) -> Result<()> {
        let categories: BTreeSet<&str> = objects.iter().map(|object| &object.category[..]).collect();
        for path in &self.weights {
            let shown = path.display();
            if path.is_dir() {
                continue;
            }
            if !path.is_file() {
                return Err(Error::invalid(format!("--weights {shown}: there is no such file or directory")));
            }
            if categories.len() > 1 {
                return Err(Error::invalid(format!(
                    "--weights {shown} is one file, for one category; evaluated: {}; name the file's category with \
                     --category, or give the directory of all files",
                    categories.into_iter().collect::<Vec<_>>().join(", ")
                )));
            }
            if let Some(method) =
                self.method.iter().find(|m| m.weights_folder().is_some_and(|f| !f.is_empty()))
            {
                return Err(Error::invalid(format!(
                    "--weights {shown} is one file; {method} looks for its weights in a directory"
                )));
            }
        }
        Ok(())
    }

    fn text(&self, evaluation: &Evaluation, paper: Option<&Paper>) -> String {
        let compared = evaluation.comparisons();
        let tables = match paper {
            Some(paper) => paper.tables.clone(),
            None if self.compare && !compared.is_empty() => compared,
            None => evaluation.details(),
        };
        let tables = tables.iter().map(|table| format!("{}\n{}", table.title, table.text()));
        let mut text = tables.collect::<Vec<_>>().join("\n");
        for note in paper.map_or(&[][..], |paper| &paper.missing).iter().cloned().chain(evaluation.notes()) {
            text += &format!("\n{note}");
        }
        text + &format!("\nLook at {}", self.out.join("results.html").display())
    }
}
