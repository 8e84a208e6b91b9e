//! An evaluation to look at: one page that needs no network.

use super::{Evaluation, Paper, Picture, tables::Table};
use crate::{
    error::{Error, Result},
    io::staged::{self, Folder},
    output::{escaped, palette},
    segmentation::counted,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{fs, path::Path};

impl Evaluation {
    /// Writes into a folder, which is made if need be: `results.csv`, `results.md`, `results.json`, and `results.html`
    /// with pictures of the best and the worst object of every category: PartSTAD's, or else the first run's.
    ///
    /// `about`: what else a reader must know. `paper`: the paper's tables, which come first and are `tables.csv` too.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written, [`Error::Format`] if another process writes there.
    pub fn write(&self, folder: &Path, about: &[String], paper: Option<&Paper>) -> Result<()> {
        self.write_into(Folder::begin(folder)?, about, paper)
    }

    /// The same into a folder that was begun before the evaluation, so that it surely can be written.
    ///
    /// # Errors
    /// As [`Evaluation::write`].
    pub fn write_into(&self, staged: Folder, about: &[String], paper: Option<&Paper>) -> Result<()> {
        let place = staged.place().to_path_buf();
        let about = &[about, paper.map_or(&[], |paper| &paper.missing)].concat()[..];
        let compared = paper.map_or_else(|| self.comparisons(), |paper| paper.tables.clone());
        let write = |name: &str, text: String| staged::write_all(&staged.path().join(name), text.as_bytes());
        write("results.csv", self.csv())?;
        if let Some(paper) = paper {
            write("tables.csv", paper.csv.clone())?;
        }
        write("results.md", self.markdown(about, &compared))?;
        write("results.html", self.html(about, &compared))?;
        write("results.json", format!("{:#}\n", serde_json::json!(self)))?;
        staged.finish("results.json")?;
        // Of an earlier run.
        let stale = place.join("tables.csv");
        if paper.is_none() && stale.exists() {
            fs::remove_file(&stale).map_err(Error::io(&stale))?;
        }
        Ok(())
    }

    fn markdown(&self, about: &[String], compared: &[Table]) -> String {
        let notes = about.iter().cloned().chain(self.notes());
        let notes: String = notes.map(|note| format!("- {note}\n")).collect();
        let table = |table: &Table| format!("\n## {}\n\n{}", table.title, table.markdown());
        let tables = [compared, &self.details(), &[self.legend()]].concat();
        format!("# Evaluation\n\n{notes}{}", tables.iter().map(table).collect::<String>())
    }

    fn html(&self, about: &[String], compared: &[Table]) -> String {
        let notes = about.iter().cloned().chain(self.notes());
        let notes: String = notes.map(|note| format!("<p class=\"note\">{}</p>\n", escaped(&note))).collect();
        let heading = |table: &Table| escaped(&table.title);
        let body = |table: &Table, class: &str| format!("<div class=\"{class}\">{}</div>", table.html());
        let open = |table: &Table, class: &str| {
            format!("<section><h2>{}</h2>{}</section>\n", heading(table), body(table, class))
        };
        // Of several runs the details are many: they open on demand.
        let closed = |table: &Table| {
            let (heading, body) = (heading(table), body(table, "wide"));
            format!("<details><summary>{heading}, by part</summary>{body}</details>\n")
        };
        let detailed = self.details();
        let detailed = match compared.is_empty() {
            true => detailed.iter().map(|table| open(table, "wide")).collect::<String>(),
            false => format!("<section>{}</section>", detailed.iter().map(closed).collect::<String>()),
        };
        let compared: String = compared.iter().map(|table| open(table, "wide")).collect();
        let tables = compared + &detailed + &open(&self.legend(), "wide words");
        let count = self.objects.len();
        include_str!("page.html")
            .replace("{{style}}", include_str!("../../output/report/style.css"))
            .replace(
                "{{summary}}",
                &format!(
                    "{} of {}",
                    counted(count, "object", "objects"),
                    counted(self.parts.len(), "category", "categories")
                ),
            )
            .replace(
                "{{results}}",
                match self.pictures.iter().all(|picture| picture.images.len() == 3) {
                    true => "the result",
                    false => "what every method made of it",
                },
            )
            .replace("{{pictured}}", &escaped(&self.figures[self.pictured].title()))
            .replace("{{pictures}}", &self.pictures.iter().map(Picture::html).collect::<String>())
            .replace("{{tables}}", &tables)
            .replacen("{{notes}}", &notes, 1)
    }
}

impl Picture {
    fn html(&self) -> String {
        let image = |(what, bytes): &(String, Vec<u8>)| {
            let (what, bytes) = (escaped(what), STANDARD.encode(bytes));
            let caption = if self.images.len() > 3 { what.clone() } else { String::new() };
            format!(
                "<span class=\"image\"><img src=\"data:image/png;base64,{bytes}\" alt=\"{what}\">{caption}</span>"
            )
        };
        let images = self.images.iter().map(image);
        let key = |(part, j): (&String, i32)| {
            let [r, g, b] = palette::color(j);
            let swatch = format!("<span class=\"swatch\" style=\"background: rgb({r} {g} {b})\"></span>");
            format!("<span class=\"key\">{swatch}{}</span>", escaped(part))
        };
        format!(
            "<figure>{}<figcaption>{} {}: mIoU {:.1} %<br>{}</figcaption></figure>\n",
            images.collect::<String>(),
            escaped(&self.category),
            escaped(&self.id),
            100.0 * self.miou,
            self.parts.iter().zip(0..).map(key).collect::<String>()
        )
    }
}
