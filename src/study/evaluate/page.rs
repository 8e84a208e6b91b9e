//! An evaluation to look at: one page that needs no network.

use super::{
    Evaluation, Figure, Picture,
    tables::{Table, escaped},
};
use crate::{
    error::Result,
    io::staged::{self, Folder},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::path::Path;

impl Evaluation {
    /// Writes into a folder, which is made if need be: `results.csv`, `results.md`, `results.json`, and `results.html`
    /// with pictures of the best and the worst object of every category: PartSTAD's, or else the first run's.
    ///
    /// `about`: what else a reader must know.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written.
    pub fn write(&self, folder: &Path, about: &[String]) -> Result<()> {
        let staged = Folder::begin(folder)?;
        let write = |name: &str, text: String| staged::write_all(&staged.path().join(name), text.as_bytes());
        write("results.csv", self.csv())?;
        write("results.md", self.markdown(about))?;
        write("results.html", self.html(about))?;
        write("results.json", format!("{:#}\n", serde_json::json!(self)))?;
        staged.finish("results.json")
    }

    /// The tables: the methods side by side, then every run in detail.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = Figure::ALL.map(|figure| self.comparison(figure)).to_vec();
        tables.extend(self.details());
        tables
    }

    fn markdown(&self, about: &[String]) -> String {
        let notes = about.iter().cloned().chain(self.notes());
        let notes: String = notes.map(|note| format!("- {note}\n")).collect();
        let table = |table: &Table| format!("\n## {}\n\n{}", table.title, table.markdown());
        format!("# Evaluation\n\n{notes}{}", self.tables().iter().map(table).collect::<String>())
    }

    fn html(&self, about: &[String]) -> String {
        let notes = about.iter().cloned().chain(self.notes());
        let notes: String = notes.map(|note| format!("<p class=\"note\">{}</p>\n", escaped(&note))).collect();
        let table = |table: &Table| {
            format!(
                "<section><h2>{}</h2><div class=\"wide\">{}</div></section>\n",
                escaped(&table.title),
                table.html()
            )
        };
        let count = self.objects.len();
        include_str!("page.html")
            .replace("{{style}}", include_str!("../../output/report/style.css"))
            .replace("{{summary}}", &format!("{count} objects of {} categories", self.parts.len()))
            .replace("{{pictured}}", &escaped(&self.figures[self.pictured].title()))
            .replace("{{pictures}}", &self.pictures.iter().map(Picture::html).collect::<String>())
            .replace("{{tables}}", &self.tables().iter().map(table).collect::<String>())
            .replacen("{{notes}}", &notes, 1)
    }
}

impl Picture {
    fn html(&self) -> String {
        let image = |(bytes, what): (&Vec<u8>, &str)| {
            format!("<img src=\"data:image/png;base64,{}\" alt=\"{what}\">", STANDARD.encode(bytes))
        };
        let images = self.images.iter().zip(["the cloud", "the ground truth", "the result"]).map(image);
        format!(
            "<figure>{}<figcaption>{} {}: mIoU {:.1} %</figcaption></figure>\n",
            images.collect::<String>(),
            escaped(&self.category),
            escaped(&self.id),
            100.0 * self.miou
        )
    }
}
