//! `partstad dataset`: folders of labelled clouds of your own.

use super::{Global, progress};
use clap::{Args, Subcommand};
use partstad::{
    Error, Parts, Result,
    io::path_text,
    segmentation::counted,
    study::dataset::{Dataset, INDEX, Index, Rules},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// List or check a folder of labelled clouds
#[derive(Args)]
pub struct DatasetCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    Init(Init),
    Check(Check),
}

/// Write a dataset.json for a folder of labelled clouds
///
/// Finds the clouds and their labels: label.npy in a folder with one cloud, CLOUD.labels.npy beside others, or properties
/// label (and instance) in a PLY file. Instances likewise in instances.npy or CLOUD.instances.npy. Labels are integers, one a
/// row: the place of the part's name, -1 = none. The folders train, val and test name splits, the next folder the category.
/// What cannot be used is listed and left out.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad dataset init mugs --category mug --parts body,handle --test 4
  partstad dataset init data --parts mug=body,handle --parts lamp=base,shade --first-label 1")]
struct Init {
    /// Directory of labelled clouds
    folder: PathBuf,
    /// Names of the parts in the order of their labels: body,handle for all categories, or mug=body,handle for one; may
    /// be repeated
    #[arg(long, value_name = "NAMES", required = true)]
    parts: Vec<String>,
    /// Category of all clouds [default: the folder that they lie in]
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Clouds of each category that are put aside to choose the best epoch in training, unless a folder is called val
    #[arg(long, value_name = "N", default_value_t = 0)]
    val: usize,
    /// Clouds of each category that are put aside to measure on, unless a folder is called test
    #[arg(long, value_name = "N", default_value_t = 0)]
    test: usize,
    /// The label of the first part; lower ones mean none
    #[arg(long, value_name = "LABEL", default_value_t = 0, allow_hyphen_values = true)]
    first_label: i64,
    /// Another label that means none, such as 255
    #[arg(long, value_name = "LABEL", allow_hyphen_values = true)]
    no_label: Option<i64>,
    /// Replace a dataset.json that is there
    #[arg(long)]
    force: bool,
}

/// Read every cloud of a data set and say what it holds
#[derive(Args)]
#[command(after_help = "Example: partstad dataset check mugs")]
struct Check {
    /// Directory of labelled clouds: with a dataset.json, or in PartNet-Ensembled's layout
    folder: PathBuf,
}

impl DatasetCommand {
    pub fn run(&self, global: &Global) -> Result<()> {
        match &self.command {
            Action::Init(init) => init.run(global),
            Action::Check(check) => check.run(global),
        }
    }
}

impl Init {
    fn run(&self, global: &Global) -> Result<()> {
        let path = self.folder.join(INDEX);
        if path.exists() && !self.force {
            return Err(Error::invalid(format!("{} is there already; --force replaces it", path.display())));
        }
        let rules = Rules {
            parts: self.parts().unwrap_or_else(|e| super::malformed("--parts", &e)),
            category: self.category.clone(),
            val: self.val,
            test: self.test,
            first_label: self.first_label,
            no_label: self.no_label,
        };
        let (index, problems) = Index::scan(&self.folder, &rules)?;
        for problem in &problems {
            tracing::warn!("{}: {}", problem.cloud.display(), problem.what);
        }
        if index.objects.is_empty() {
            let found = counted(problems.len(), "cloud", "clouds");
            return Err(Error::invalid(format!(
                "{}: {found}, none of which can be used",
                self.folder.display()
            )));
        }
        index.write(&self.folder)?;
        let mut splits: BTreeMap<&str, usize> = BTreeMap::new();
        index.objects.iter().for_each(|entry| *splits.entry(&entry.split).or_default() += 1);
        let split = |(split, count): (&&str, &usize)| format!("{count} {split}");
        let text = format!(
            "{} of {}: {}{}\n{}",
            counted(index.objects.len(), "cloud", "clouds"),
            counted(index.categories.len(), "category", "categories"),
            splits.iter().map(split).collect::<Vec<_>>().join(", "),
            match problems.len() {
                0 => String::new(),
                left => format!("; {left} left out"),
            },
            path.display()
        );
        let left_out = problems.iter().map(|p| json!({ "cloud": path_text(&p.cloud), "problem": p.what }));
        global.report(
            json!({ "dataset": path_text(&path), "objects": index.objects.len(), "splits": splits,
                    "left_out": left_out.collect::<Vec<_>>() }),
            &text,
        )
    }

    /// The part names by category; under "" those of all.
    fn parts(&self) -> Result<BTreeMap<String, Parts>> {
        let mut parts = BTreeMap::new();
        for text in &self.parts {
            let (category, names) = text.split_once('=').unwrap_or(("", text));
            let category = category.trim().to_string();
            if let Some(first) = parts.insert(category, Parts::listed(names)?) {
                return Err(Error::invalid(format!(
                    "{text}: there are names already, {first}; --parts CATEGORY=NAMES names those of one category"
                )));
            }
        }
        Ok(parts)
    }
}

impl Check {
    fn run(&self, global: &Global) -> Result<()> {
        let data = Dataset::open(&self.folder)?;
        let mut objects = vec![];
        for split in data.splits()? {
            objects.extend(data.objects(&split)?);
        }
        if objects.is_empty() {
            return Err(data.nothing(&[]));
        }
        let bar = progress::objects("check", objects.len());
        let (mut rows, mut failed) = (BTreeMap::<_, Counts>::new(), vec![]);
        let [mut uncolored, mut z_up] = [0; 2];
        for object in &objects {
            bar.set_message(object.place().display().to_string());
            let parts = &data.parts[&object.category];
            match object.read(parts.len()) {
                Ok((points, truth)) => {
                    uncolored += points.colors.is_empty() as usize;
                    z_up += points.z_up as usize;
                    let counts = rows.entry((&object.category, &object.split)).or_default();
                    counts.objects += 1;
                    counts.points += truth.semantic.len();
                    counts.parts.resize(parts.len(), 0);
                    truth.semantic.iter().filter(|&&j| j >= 0).for_each(|&j| counts.parts[j as usize] += 1);
                    counts.with_instances += truth.instance.iter().any(|&i| i >= 0) as usize;
                }
                Err(e) => {
                    progress::complain(&bar, &e.to_string());
                    failed.push(json!({ "object": path_text(object.place()), "error": e.to_string() }));
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let (mut lines, mut told) = (vec![], vec![]);
        for ((category, split), counts) in &rows {
            let shares = data.parts[*category].iter().zip(&counts.parts);
            let shares =
                shares.map(|(name, &n)| format!("{name} {:.1} %", 100.0 * n as f64 / counts.points as f64));
            let shares = shares.collect::<Vec<_>>().join(", ");
            let objects = counted(counts.objects, "cloud", "clouds");
            let instances = match counts.with_instances {
                0 => "no instances, so no AP".into(),
                n => format!("{n} with instances"),
            };
            lines.push(format!("{category}, {split}: {objects}, {instances}; of the points: {shares}"));
            told.push(json!({
                "category": category, "split": split, "objects": counts.objects, "points": counts.points,
                "labelled": counts.parts, "with_instances": counts.with_instances,
            }));
        }
        let mut warnings = doubts(&rows, &data, objects.iter().all(|object| object.labels.first == 0));
        for (count, what, flag) in
            [(uncolored, "without colours", "--grey"), (z_up, "whose format has z up", "--up z")]
        {
            if count > 0 {
                let clouds = counted(count, "cloud", "clouds");
                warnings.push(format!("{clouds} {what}: give {flag} to prepare and evaluate."));
            }
        }
        for warning in &warnings {
            super::warn(warning);
        }
        let count = failed.len();
        global
            .report(json!({ "groups": told, "failed": failed, "warnings": warnings }), &lines.join("\n"))?;
        match count {
            0 => Ok(()),
            _ => Err(Error::invalid(format!("{count} of {} clouds cannot be used", objects.len()))),
        }
    }
}

/// What looks wrong with the labels of clouds by category and split. `from_zero`: whether they count from 0.
fn doubts(rows: &BTreeMap<(&String, &String), Counts>, data: &Dataset, from_zero: bool) -> Vec<String> {
    let mut doubts = vec![];
    let splits: BTreeSet<&String> = rows.keys().map(|(_, split)| *split).collect();
    for split in splits.into_iter().filter(|split| !["train", "val", "test"].contains(&split.as_str())) {
        doubts.push(format!(
            "The split {split:?} is none of train, val and test: prepare and evaluate leave it out, unless --splits names it."
        ));
    }
    let all = rows.values().all(|counts| counts.parts.iter().sum::<usize>() == counts.points);
    if all && from_zero && !rows.is_empty() {
        doubts.push(
            "Every point of every cloud has a part. If 0 means none, labels count from 1: --first-label 1."
                .into(),
        );
    }
    for (category, parts) in &data.parts {
        let of_category: Vec<&Counts> =
            rows.iter().filter(|((name, _), _)| *name == category).map(|(_, counts)| counts).collect();
        let absent = |j: &usize| of_category.iter().all(|counts| counts.parts[*j] == 0);
        for j in (0..parts.len()).filter(|j| !of_category.is_empty() && absent(j)) {
            let remedy = match j {
                0 if from_zero => ". If its labels count from 1, list it anew: dataset init --first-label 1",
                _ => "",
            };
            doubts.push(format!("{category}: no point of any cloud is labelled {:?}{remedy}.", parts[j]));
        }
    }
    doubts
}

#[derive(Default)]
struct Counts {
    objects: usize,
    points: usize,
    /// Points of each part.
    parts: Vec<usize>,
    with_instances: usize,
}
