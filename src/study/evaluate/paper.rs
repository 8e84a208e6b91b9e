//! The paper's tables 1 to 3, and whether its order is seen.

use super::{
    Evaluation, Figures, Run,
    tables::{Figure, MEAN, Table, quoted, spread},
};
use crate::study::{dataset::BENCHMARK, methods::Method, metrics::mean};
use std::path::PathBuf;

/// Rows of the paper's tables, in their order, with the published mean over 45 categories in per cent: mIoU, part-aware and
/// part-agnostic mAP50. Those of the supplement are not at hand, and one row is ours.
const ROWS: [(Method, [Option<f64>; 3]); 10] = [
    (Method::SATR, [Some(29.3), None, None]),
    (Method::SATR_SP, [Some(34.8), None, None]),
    (Method::SAM3D, [None, None, Some(12.1)]),
    (Method::SAM3D_BOXES, [None; 3]),
    (Method::PARTSLIP, [Some(58.0), Some(41.6), Some(38.9)]),
    (Method::NO_WEIGHTS, [Some(61.9), Some(44.7), Some(42.6)]),
    (Method::NO_SAM, [Some(62.1), Some(44.2), Some(42.6)]),
    (Method::PARTSTAD, [Some(65.0), Some(45.6), Some(44.1)]),
    (Method::CROSS_ENTROPY, [None; 3]),
    (Method::CONFIDENCE, [None; 3]),
];

/// What the paper says is better than what.
const ORDER: [[Method; 2]; 7] = [
    [Method::PARTSTAD, Method::NO_WEIGHTS],
    [Method::PARTSTAD, Method::NO_SAM],
    [Method::NO_WEIGHTS, Method::PARTSLIP],
    [Method::NO_SAM, Method::PARTSLIP],
    [Method::PARTSLIP, Method::SATR_SP],
    [Method::SATR_SP, Method::SATR],
    [Method::PARTSLIP, Method::SAM3D],
];

const FIGURES: [Figure; 3] = [Figure::Miou, Figure::Map50, Figure::Map50Agnostic];

/// Objects of the paper.
const OBJECTS: usize = 1906;

/// The tables of an evaluation of [`Run::paper`].
#[derive(Debug, Clone)]
pub struct Paper {
    /// Tables 1 to 3, a row per method and a column per category; the paper's order; seconds.
    pub tables: Vec<Table>,
    /// What the paper has and this evaluation has not.
    pub missing: Vec<String>,
    /// One row per table, method, category and part: mean and sample standard deviation over seeds, as shares.
    pub csv: String,
}

impl Run {
    /// The rows of the paper's tables, those with learned weights for each of these folders that has them.
    pub fn paper(weights: &[PathBuf]) -> Vec<Run> {
        let methods: Vec<Method> = ROWS.iter().map(|&(method, _)| method).collect();
        let there = |method: &Method| match method.weights_folder() {
            None => true,
            Some(folder) => weights.iter().any(|weights| weights.join(folder).is_dir()),
        };
        Run::all(&methods.into_iter().filter(there).collect::<Vec<_>>(), weights, false)
    }
}

impl Evaluation {
    /// The paper's tables with what was evaluated.
    pub fn paper(&self) -> Paper {
        let mut tables: Vec<Table> = (0..FIGURES.len()).map(|i| self.paper_table(i)).collect();
        tables.extend([self.order(), self.times()]);
        Paper { tables, missing: self.missing(), csv: self.tables_csv() }
    }

    fn runs_of(&self, method: Method) -> Vec<&Figures> {
        self.figures.iter().filter(|figures| figures.run.method == method).collect()
    }

    fn over_categories(&self, figure: Figure, figures: &Figures) -> Option<f64> {
        mean(self.parts.keys().map(|category| figure.of(figures, category)))
    }

    /// Rows with a figure of that kind, here or in the paper.
    fn rows_of(&self, i: usize) -> impl Iterator<Item = (Method, Option<f64>, Vec<&Figures>)> {
        ROWS.iter().map(move |(method, published)| (*method, published[i], self.runs_of(*method))).filter(
            move |(_, published, runs)| {
                published.is_some() || runs.iter().any(|of| self.over_categories(FIGURES[i], of).is_some())
            },
        )
    }

    fn paper_table(&self, i: usize) -> Table {
        let figure = FIGURES[i];
        let row = |(method, published, runs): (Method, Option<f64>, Vec<&Figures>)| {
            let cell = |of: &dyn Fn(&Figures) -> Option<f64>| {
                spread(&runs.iter().map(|figures| of(figures)).collect::<Vec<_>>())
            };
            let published = published.map_or("-".to_string(), |value| format!("{value:.1}"));
            let mut cells = vec![method.title.to_string(), published];
            cells.push(cell(&|figures| self.over_categories(figure, figures)));
            cells.extend(self.parts.keys().map(|category| cell(&|figures| figure.of(figures, category))));
            cells
        };
        let header = ["method", "paper, 45 categories", MEAN].map(String::from).into_iter();
        Table {
            title: format!("Table {}: {}, %", i + 1, figure.title()),
            header: header.chain(self.parts.keys().cloned()).collect(),
            rows: self.rows_of(i).map(row).collect(),
        }
    }

    /// Whether what the paper found better is better here.
    fn order(&self) -> Table {
        let published = |method: Method, i: usize| ROWS.iter().find(|row| row.0 == method)?.1[i];
        let here = |method: Method, i: usize| {
            mean(self.runs_of(method).iter().map(|figures| self.over_categories(FIGURES[i], figures)))
        };
        let mut rows = vec![];
        for (i, figure) in FIGURES.iter().enumerate() {
            for [better, worse] in ORDER {
                let (Some(a), Some(b)) = (published(better, i), published(worse, i)) else { continue };
                let difference = here(better, i).zip(here(worse, i)).map(|(a, b)| 100.0 * (a - b));
                let objects = match figure {
                    Figure::Miou => self.won(better, worse),
                    _ => None,
                };
                rows.push(vec![
                    figure.title().to_string(),
                    format!("{} > {}", better.title, worse.title),
                    format!("{:+.1}", a - b),
                    difference.map_or("-".into(), |d| format!("{d:+.1}")),
                    difference.map_or("-", |d| if d > 0.0 { "yes" } else { "no" }).to_string(),
                    objects.map_or("-".into(), |[won, lost]| format!("{won} : {lost}")),
                ]);
            }
        }
        let header = ["figure", "the paper's order", "paper", "here", "seen", "objects better : worse"];
        Table { title: "Is the paper's order seen?".into(), header: header.map(String::from).to_vec(), rows }
    }

    /// Objects on which the first run of one method is better than that of another, and worse.
    fn won(&self, better: Method, worse: Method) -> Option<[usize; 2]> {
        let run = |method: Method| self.figures.iter().position(|figures| figures.run.method == method);
        let (a, b) = (run(better)?, run(worse)?);
        let both = || self.objects.iter().filter_map(|object| object.miou[a].zip(object.miou[b]));
        Some([both().filter(|(a, b)| a > b).count(), both().filter(|(a, b)| a < b).count()])
    }

    fn times(&self) -> Table {
        let (count, each) = (self.objects.len().max(1) as f64, |seconds: f64| format!("{seconds:.1}"));
        let row = |name: String, seconds: f64| vec![name, each(seconds), format!("{:.3}", seconds / count)];
        let rows = self.figures.iter().map(|figures| row(figures.title(), figures.seconds));
        let shared =
            row("all of them: reading, superpoints, views, boxes, masks".into(), self.shared_seconds);
        let header = ["method", "seconds", "an object"].map(String::from).to_vec();
        Table { title: "Time".into(), header, rows: std::iter::once(shared).chain(rows).collect() }
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = vec![];
        let (objects, categories) = (self.objects.len(), self.parts.len());
        let absent: Vec<&str> =
            BENCHMARK.iter().map(|&(name, _)| name).filter(|&name| !self.parts.contains_key(name)).collect();
        if objects < OBJECTS || !absent.is_empty() {
            missing.push(format!(
                "Missing of the paper's data: {objects} objects of {categories} categories were evaluated; the paper has \
                 {OBJECTS} of {}.",
                BENCHMARK.len()
            ));
        }
        if !absent.is_empty() {
            missing.push(format!("Missing categories: {}.", absent.join(", ")));
        }
        let unweighed = ROWS.iter().map(|row| row.0).filter(|method| self.runs_of(*method).is_empty());
        let unweighed: Vec<&str> =
            unweighed.filter(|m| m.weights_folder().is_some()).map(|method| method.title).collect();
        if !unweighed.is_empty() {
            missing.push(format!(
                "Missing rows, as there are no learned weights of them (partstad train): {}.",
                unweighed.join(", ")
            ));
        }
        for figures in self.figures.iter().filter(|figures| !figures.agreed.is_empty()) {
            missing.push(format!(
                "{}: not the paper's weights, for they begin from agreement (train --basis constant): {}.",
                figures.title(),
                figures.agreed.join(", ")
            ));
        }
        missing
    }

    fn tables_csv(&self) -> String {
        let mut text = "table,method,category,part,mean,deviation,runs\n".to_string();
        for (i, figure) in FIGURES.iter().enumerate() {
            for (method, _, runs) in self.rows_of(i) {
                let mut row = |category: &str, part: &str, of: &dyn Fn(&Figures) -> Option<f64>| {
                    let values: Vec<f64> = runs.iter().filter_map(|figures| of(figures)).collect();
                    let Some(middle) = mean(values.iter().map(|&v| Some(v))) else { return };
                    let squares: f64 = values.iter().map(|v| (v - middle).powi(2)).sum();
                    let deviation = match values.len() {
                        1 => String::new(),
                        n => format!("{:.6}", (squares / (n - 1) as f64).sqrt()),
                    };
                    let cells = [method.name, category, part].map(quoted).join(",");
                    text += &format!("{},{cells},{middle:.6},{deviation},{}\n", i + 1, values.len());
                };
                row("", "", &|figures| self.over_categories(*figure, figures));
                for (category, parts) in &self.parts {
                    row(category, "", &|figures| figure.of(figures, category));
                    for (j, part) in parts.iter().enumerate() {
                        let of_part = |figures: &Figures| {
                            let summary = figures.categories.get(category)?;
                            match figure {
                                Figure::Miou => summary.iou[j],
                                Figure::Map50 => summary.ap50[j],
                                _ => None,
                            }
                        };
                        row(category, part, &of_part);
                    }
                }
            }
        }
        text
    }
}
