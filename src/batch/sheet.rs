//! `index.html`: a batch to look at, failures first.

use super::journal::{Entry, State};
use crate::{
    error::Result,
    io::staged,
    output::{escaped, palette},
    segmentation::counted,
};
use std::path::{Path, PathBuf};

/// The folder of the small pictures.
pub(super) const THUMBNAILS: &str = "thumbnails";
/// The page.
pub(super) const PAGE: &str = "index.html";
/// More pictures than this are left out of the page.
const MOST: usize = 500;

/// The small picture of a shape.
pub fn thumbnail(out: &Path, id: &str) -> PathBuf {
    out.join(THUMBNAILS).join(id).with_added_extension("png")
}

/// Writes `index.html` into the folder of the results. `report`: whether each shape has a `report.html`.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if it cannot be written.
pub fn write(out: &Path, entries: &[Entry], report: bool) -> Result<()> {
    let failed: Vec<&Entry> = entries.iter().filter(|entry| entry.state == State::Failed).collect();
    let done: Vec<&Entry> = entries.iter().filter(|entry| entry.state == State::Done).collect();
    let mut page = String::from(HEAD);
    page += &format!(
        "<h1>Batch</h1>\n<p>{}, {} failed, {:.1} s of segmenting a cloud on average.</p>\n",
        counted(done.len(), "result", "results"),
        failed.len(),
        done.iter().map(|entry| entry.seconds.segment).sum::<f64>() / done.len().max(1) as f64
    );
    if !failed.is_empty() {
        page += "<h2>Failed</h2>\n<table>\n";
        for entry in &failed {
            let error = entry.error.as_deref().unwrap_or_default();
            page += &format!("<tr><td>{}</td><td>{}</td></tr>\n", escaped(&entry.id), escaped(error));
        }
        page += "</table>\n";
    }
    page += "<h2>Results</h2>\n<div class=\"sheet\">\n";
    for entry in done.iter().take(MOST) {
        let id = escaped(&entry.id);
        let picture =
            format!("<img loading=\"lazy\" src=\"{THUMBNAILS}/{}.png\" alt=\"\">", address(&entry.id));
        let linked = match report {
            true => format!("<a href=\"{}/report.html\">{picture}</a>", address(&entry.id)),
            false => picture,
        };
        let part = |(part, j): (&super::Part, i32)| {
            let [r, g, b] = palette::color(j);
            format!(
                "<span class=\"part{}\"><i style=\"background: rgb({r} {g} {b})\"></i>{} {}</span>",
                if part.points == 0 { " absent" } else { "" },
                escaped(&part.name),
                part.instances
            )
        };
        let parts: String = entry.parts.iter().zip(0..).map(part).collect();
        page += &format!("<figure>{linked}<figcaption><b>{id}</b><br>{parts}</figcaption></figure>\n");
    }
    page += "</div>\n";
    if done.len() > MOST {
        page += &format!("<p>{} more are in the journal.</p>\n", done.len() - MOST);
    }
    staged::write_all(&out.join(PAGE), (page + "</main></body></html>\n").as_bytes())
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta name=\"color-scheme\" content=\"light dark\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'\">
<title>partstad: batch</title>
<style>
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 24px; }
td { padding: 4px 16px 4px 0; vertical-align: top; overflow-wrap: anywhere; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 14px; }
figure { margin: 0; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: 10px; overflow: hidden; }
img { display: block; width: 100%; aspect-ratio: 1; background: #fff; }
figcaption { padding: 6px 10px; font-size: 12px; overflow-wrap: anywhere; }
.part { display: inline-block; margin-right: 8px; }
.part i { display: inline-block; width: 9px; height: 9px; margin-right: 4px; border-radius: 2px; }
.absent { opacity: 0.5; }
</style></head><body><main>
";

/// An id within an address.
fn address(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    id.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}
