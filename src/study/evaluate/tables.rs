//! Figures as tables, in per cent: for the screen, for Markdown, for HTML, for spreadsheets.

use super::{Evaluation, Figures, Run};
use crate::output::escaped;
use crate::parts::Parts;
use crate::stages::weights;
use crate::study::{
    methods::Method,
    metrics::{Summary, mean, mean_over},
    prepare::noticed,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A table of text: the first column names the rows, the others hold figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// The columns' names.
    pub header: Vec<String>,
    /// Row by row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// In Markdown, without the title.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule = "|---".repeat(self.header.len()) + "|\n";
        line(&self.header) + &rule + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }

    /// In columns for a terminal, without the title.
    pub fn text(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let width = |column: usize| lines().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string() + "\n"
        };
        lines().map(line).collect()
    }

    /// In HTML, without the title.
    pub(super) fn html(&self) -> String {
        let line = |tag: &str, cells: &[String]| {
            let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
            format!("<tr>{}</tr>\n", cells.collect::<String>())
        };
        let rows: String = self.rows.iter().map(|row| line("td", row)).collect();
        format!("<table>\n{}{rows}</table>\n", line("th", &self.header))
    }
}

/// A figure by which methods are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Mean IoU of the parts.
    Miou,
    /// Part-aware mAP50.
    Map50,
    /// Part-agnostic mAP50.
    Map50Agnostic,
    /// Mean IoU of the parts over the points that some view shows.
    VisibleMiou,
}

impl Figure {
    /// The paper's tables 1 to 3, and one of our own.
    pub const ALL: [Figure; 4] = [Figure::Miou, Figure::Map50, Figure::Map50Agnostic, Figure::VisibleMiou];

    /// What tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Figure::Miou => "mIoU",
            Figure::Map50 => "mAP50",
            Figure::Map50Agnostic => "mAP50, part-agnostic",
            Figure::VisibleMiou => "mIoU of the points in sight",
        }
    }

    /// Of one run on one category.
    pub fn of(self, figures: &Figures, category: &str) -> Option<f64> {
        let summary = figures.categories.get(category)?;
        match self {
            Figure::Miou => summary.miou,
            Figure::Map50 => summary.map50,
            Figure::Map50Agnostic => summary.map50_agnostic,
            Figure::VisibleMiou => figures.visible_miou[category],
        }
    }
}

/// What the row of means is called.
pub(super) const MEAN: &str = "mean over categories";

/// One run: a row per category, and the mean over them. `parts`: the categories' part names.
pub fn details(
    title: &str,
    categories: &BTreeMap<String, Summary>,
    parts: &BTreeMap<String, Parts>,
) -> Table {
    let header = ["category", "objects", "mIoU", "mAP50", "agnostic", "IoU by part", "AP50 by part"];
    let by_part = |category: &str, values: &[Option<f64>]| {
        let cell = |(part, &value): (&String, _)| format!("{part} {}", percent(value));
        parts[category].iter().zip(values).map(cell).collect::<Vec<_>>().join(", ")
    };
    let row = |(name, s): (&String, &Summary)| {
        let figures = [s.miou, s.map50, s.map50_agnostic].map(percent);
        let parts = [by_part(name, &s.iou), by_part(name, &s.ap50)];
        [vec![name.clone(), s.objects.to_string()], figures.into(), parts.into()].concat()
    };
    let summaries = || categories.values();
    let means: [fn(&Summary) -> Option<f64>; 3] = [|s| s.miou, |s| s.map50, |s| s.map50_agnostic];
    let objects: usize = summaries().map(|s| s.objects).sum();
    let mut last = vec![MEAN.to_string(), objects.to_string()];
    last.extend(means.map(|figure| percent(mean_over(summaries(), figure))));
    last.resize(header.len(), String::new());
    Table {
        title: title.to_string(),
        header: header.map(String::from).to_vec(),
        // The mean over one category is that category.
        rows: categories.iter().map(row).chain((categories.len() > 1).then_some(last)).collect(),
    }
}

impl Evaluation {
    /// The methods side by side, if there are several: how well points are labelled, and how well instances are found.
    pub fn comparisons(&self) -> Vec<Table> {
        match self.figures.len() {
            1 => vec![],
            _ => [Figure::Miou, Figure::Map50].map(|figure| self.comparison(figure)).to_vec(),
        }
    }

    /// What each method is: name, the paper's title, one line.
    pub fn legend(&self) -> Table {
        let mut rows: Vec<Vec<String>> = vec![];
        for Figures { run: Run { method, .. }, .. } in &self.figures {
            let row = [method.name, method.title, method.about].map(String::from).to_vec();
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let header = ["method", "title", "what it does"].map(String::from).to_vec();
        Table { title: "Methods".into(), header, rows }
    }

    /// One table per run: every category with its parts.
    pub fn details(&self) -> Vec<Table> {
        let table = |figures: &Figures| details(&figures.title(), &figures.categories, &self.parts);
        self.figures.iter().map(table).collect()
    }

    /// The methods side by side as in the paper's tables, the mean over categories first: a column per method, with mean and
    /// sample standard deviation over its runs where it has several.
    pub fn comparison(&self, figure: Figure) -> Table {
        let mut methods: Vec<Method> = vec![];
        for figures in &self.figures {
            if !methods.contains(&figures.run.method) {
                methods.push(figures.run.method);
            }
        }
        let row = |name: &str, of: &dyn Fn(&Figures) -> Option<f64>| {
            let cell = |&method: &Method| {
                let runs = self.figures.iter().filter(|figures| figures.run.method == method);
                spread(&runs.map(of).collect::<Vec<_>>())
            };
            std::iter::once(name.to_string()).chain(methods.iter().map(cell)).collect()
        };
        let over_categories =
            |figures: &Figures| mean(self.parts.keys().map(|category| figure.of(figures, category)));
        let mut rows = vec![];
        if self.parts.len() > 1 {
            rows.push(row(MEAN, &over_categories));
        }
        rows.extend(self.parts.keys().map(|category| row(category, &|figures| figure.of(figures, category))));
        let titles = methods.iter().map(|method| method.name.to_string());
        Table {
            title: format!("{}, %", figure.title()),
            header: std::iter::once("category".to_string()).chain(titles).collect(),
            rows,
        }
    }

    /// One row per run, category and part; without a part, of the category; without a category, of all. Shares, not per cent.
    pub fn csv(&self) -> String {
        let mut text =
            "method,weights,category,part,objects,iou,iou_visible,ap50,ap50_agnostic\n".to_string();
        let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.6}"));
        for figures in &self.figures {
            let weights =
                figures.run.weights.as_ref().map_or(String::new(), |path| path.display().to_string());
            let mut row = |category: &str, part: &str, objects: usize, values: [Option<f64>; 4]| {
                let mut cells: Vec<String> =
                    [figures.run.method.name, &weights, category, part].map(quoted).to_vec();
                cells.push(objects.to_string());
                cells.extend(values.map(number));
                text += &(cells.join(",") + "\n");
            };
            for (category, summary) in &figures.categories {
                for (part, (&iou, &ap50)) in
                    self.parts[category].iter().zip(summary.iou.iter().zip(&summary.ap50))
                {
                    row(category, part, summary.objects, [iou, None, ap50, None]);
                }
                let visible = figures.visible_miou[category];
                let values = [summary.miou, visible, summary.map50, summary.map50_agnostic];
                row(category, "", summary.objects, values);
            }
            let of = |figure: Figure| mean(self.parts.keys().map(|category| figure.of(figures, category)));
            let values = [Figure::Miou, Figure::VisibleMiou, Figure::Map50, Figure::Map50Agnostic].map(of);
            row("", "", figures.categories.values().map(|s| s.objects).sum(), values);
        }
        text
    }

    /// What a reader must know besides the tables.
    pub fn notes(&self) -> Vec<String> {
        let list = |items: Vec<String>| items.join(", ");
        let mut notes = vec![];
        if !self.unlabelled.is_empty() {
            let parts = self.unlabelled.iter().map(|(category, part)| format!("{category} {part}"));
            notes.push(format!(
                "Without a labelled point in any object, and so left out: {}.",
                list(parts.collect())
            ));
        }
        let stand_in = match self.weights {
            weights::Options::Constant { .. } => "constant ones",
            weights::Options::Agreement { .. } => "those of agreement",
            weights::Options::Confidence { .. } => "the detector's confidence",
        };
        for figures in self.figures.iter().filter(|figures| !figures.unlearned.is_empty()) {
            notes.push(format!(
                "{}: without learned weights, and so with {stand_in}: {}.",
                figures.title(),
                list(figures.unlearned.clone())
            ));
        }
        if !self.without_masks.is_empty() {
            let names = self.without_masks.iter().map(|method| method.name.to_string());
            notes.push(format!("Left out, as the 2D predictions have no masks: {}.", list(names.collect())));
        }
        if !self.without_regions.is_empty() {
            let names = self.without_regions.iter().map(|method| method.name.to_string());
            notes.push(format!(
                "Left out, as no segmenter answers points and there is no regions.npz (docs/methods.md): {}.",
                list(names.collect())
            ));
        }
        notes.extend(noticed(self.objects.iter().map(|of| (of.object.as_path(), &of.warnings[..]))));
        for failure in &self.failures {
            notes.push(format!("Failed, and in no figure: {}: {}", failure.object.display(), failure.error));
        }
        notes
    }
}

impl Figures {
    /// The method and its weights.
    pub fn title(&self) -> String {
        match (&self.run.weights, self.run.method.weights_folder()) {
            (Some(path), Some(_)) => format!("{} ({})", self.run.method.name, path.display()),
            _ => self.run.method.name.to_string(),
        }
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |v| format!("{:.1}", 100.0 * v))
}

/// Mean and sample standard deviation.
pub(super) fn spread(values: &[Option<f64>]) -> String {
    let Some(middle) = mean(values.iter().copied()) else { return percent(None) };
    let there: Vec<f64> = values.iter().copied().flatten().collect();
    if there.len() < 2 {
        return percent(Some(middle));
    }
    let squares: f64 = there.iter().map(|v| (v - middle).powi(2)).sum();
    format!("{} ± {}", percent(Some(middle)), percent(Some((squares / (there.len() - 1) as f64).sqrt())))
}

/// A field of CSV.
pub(super) fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_the_same_everywhere() {
        let cells = |row: [&str; 2]| row.map(String::from).to_vec();
        let table = Table {
            title: "t".into(),
            header: cells(["category", "mIoU"]),
            rows: vec![cells(["Box", "61.2 ± 0.3"]), cells(["A<B", "-"])],
        };
        assert_eq!(table.markdown(), "| category | mIoU |\n|---|---|\n| Box | 61.2 ± 0.3 |\n| A<B | - |\n");
        assert_eq!(table.text(), "category        mIoU\nBox       61.2 ± 0.3\nA<B                -\n");
        assert!(table.html().contains("<td>A&lt;B</td><td>-</td>"));
    }

    #[test]
    fn spread_is_that_of_a_sample() {
        assert_eq!(spread(&[Some(0.5), Some(0.6), None]), "55.0 ± 7.1");
        assert_eq!(spread(&[Some(0.5)]), "50.0");
        assert_eq!(spread(&[None]), "-");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
