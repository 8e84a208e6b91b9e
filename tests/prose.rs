//! The Markdown outside `benches/record`: short lines, short paragraphs, links that lead somewhere. The dated records are
//! exempt.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Of a line outside tables and code, in characters.
const LINE: usize = 120;
/// Of a paragraph or an item of a list, in words.
const PARAGRAPH: usize = 80;
/// Lines of what newcomers read first.
const LENGTHS: [(&str, usize); 3] = [("README.md", 80), ("ARCHITECTURE.md", 150), ("CONTRIBUTING.md", 150)];

#[test]
fn prose_can_be_read() {
    let root = Path::new("");
    let ignored = fs::read_to_string(".gitignore").expect("run from the repository's root");
    let mut skipped: Vec<PathBuf> = ignored.lines().map(|line| line.trim_matches('/').into()).collect();
    skipped.push("benches/record".into());
    let mut files = vec![];
    collect(root, &skipped, &mut files);
    let mut wrong = vec![];
    for (name, _) in LENGTHS {
        if !files.contains(&name.into()) {
            wrong.push(format!("there is no {name}"));
        }
    }
    for path in &files {
        let most = LENGTHS.iter().find(|(name, _)| path == Path::new(name)).map_or(usize::MAX, |&(_, n)| n);
        let folder = path.parent().unwrap();
        for fault in faults(&fs::read_to_string(path).unwrap(), most, |target| anchors_of(folder, target)) {
            wrong.push(format!("{}:{fault}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// All `.md` files, but for hidden folders, other builds and what is `skipped`.
fn collect(dir: &Path, skipped: &[PathBuf], files: &mut Vec<PathBuf>) {
    let here = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    for entry in fs::read_dir(here).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let path = dir.join(&name);
        if name.starts_with('.') || name == "target" || skipped.contains(&path) {
            continue;
        }
        if path.is_dir() {
            collect(&path, skipped, files);
        } else if name.ends_with(".md") {
            files.push(path);
        }
    }
}

/// The anchors of what a link names: none of a file that is not Markdown; `None` if there is no such file.
fn anchors_of(folder: &Path, target: &str) -> Option<Vec<String>> {
    let path = folder.join(target);
    match target.ends_with(".md") {
        true => Some(anchors(&fs::read_to_string(path).ok()?)),
        false => path.exists().then(Vec::new),
    }
}

/// What a line of Markdown is.
#[derive(PartialEq)]
enum Kind {
    Code,
    Table,
    Heading,
    Blank,
    Item,
    Text,
}

fn kinds(text: &str) -> impl Iterator<Item = (Kind, &str)> {
    let mut fenced = false;
    text.lines().map(move |line| {
        let start = line.trim_start();
        let fence = start.starts_with("```");
        fenced ^= fence;
        let numbered = start.trim_start_matches(|c: char| c.is_ascii_digit());
        let kind = match start {
            _ if fence || fenced => Kind::Code,
            "" => Kind::Blank,
            _ if start.starts_with('|') => Kind::Table,
            _ if start.starts_with('#') => Kind::Heading,
            _ if start.starts_with("- ") || start.starts_with("* ") => Kind::Item,
            _ if numbered.len() < start.len() && numbered.starts_with(". ") => Kind::Item,
            _ => Kind::Text,
        };
        (kind, line)
    })
}

/// All that is wrong with a text of at most `most` lines, by line. `linked`: the anchors of a linked file, `None` if there
/// is no such file.
fn faults(text: &str, most: usize, linked: impl Fn(&str) -> Option<Vec<String>>) -> Vec<String> {
    let mut found = vec![];
    let lines = text.lines().count();
    if lines > most {
        found.push(format!("{lines}: {lines} lines; {most} are the most"));
    }
    for (i, (kind, line)) in kinds(text).enumerate() {
        let length = line.chars().count();
        if length > LINE && kind != Kind::Code && kind != Kind::Table {
            found.push(format!("{}: {length} characters; {LINE} are the most", i + 1));
        }
    }
    let own = anchors(text);
    for (kind, line, text) in blocks(text) {
        let words = text.split_whitespace().count();
        if words > PARAGRAPH && kind != Kind::Table {
            found.push(format!("{line}: a paragraph of {words} words; {PARAGRAPH} are the most"));
        }
        for link in links(&text) {
            let anchors_of = |file: &str| if file.is_empty() { Some(own.clone()) } else { linked(file) };
            if let Some(why) = broken(&link, anchors_of) {
                found.push(format!("{line}: {why}"));
            }
        }
    }
    found
}

/// The paragraphs, items, headings and rows of tables, each with its first line, joined to one line.
fn blocks(text: &str) -> Vec<(Kind, usize, String)> {
    let mut blocks: Vec<(Kind, usize, String)> = vec![];
    let mut open = false;
    for (i, (kind, line)) in kinds(text).enumerate() {
        match kind {
            Kind::Code | Kind::Blank => open = false,
            Kind::Text if open => {
                let block = blocks.last_mut().expect("a block is open");
                block.2 += " ";
                block.2 += line.trim();
            }
            kind => {
                open = kind == Kind::Text || kind == Kind::Item;
                blocks.push((kind, i + 1, line.trim().to_string()));
            }
        }
    }
    blocks
}

/// The targets of the links `[text](target)`, code apart.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect();
    prose.split("](").skip(1).map(|rest| rest.split([')', ' ']).next().unwrap().to_string()).collect()
}

/// What is wrong with a link, if it is a relative one.
fn broken(link: &str, anchors_of: impl Fn(&str) -> Option<Vec<String>>) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    match anchors_of(file) {
        None => Some(format!("there is no {file}")),
        Some(anchors) if !anchor.is_empty() && !anchors.iter().any(|a| a == anchor) => {
            Some(format!("{link}: there is no such heading"))
        }
        Some(_) => None,
    }
}

/// The anchors that GitHub gives to headings.
fn anchors(text: &str) -> Vec<String> {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = kinds(text).filter(|(kind, _)| *kind == Kind::Heading);
    let anchor = |(_, line): (Kind, &str)| {
        let title = line.trim_start().trim_start_matches('#').trim().to_lowercase();
        let anchor: String = title.chars().filter(kept).collect::<String>().replace(' ', "-");
        let times = seen.entry(anchor.clone()).and_modify(|n| *n += 1).or_default();
        if *times == 0 { anchor } else { format!("{anchor}-{times}") }
    };
    headings.map(anchor).collect()
}

#[test]
fn the_reader_of_prose_can_fail() {
    let linked = |file: &str| match file {
        "docs/other.md" => Some(vec!["the-models".to_string()]),
        "assets" => Some(vec![]),
        _ => None,
    };
    let faults = |text: &str| faults(text, 10, linked).len();
    let paragraph =
        |n: usize| vec!["word"; n].chunks(20).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");

    assert_eq!(faults("# Title\n\nA line.\n"), 0);
    assert_eq!(faults(&"\n".repeat(10)), 0);
    assert_eq!(faults(&"\n".repeat(11)), 1, "too many lines");

    assert_eq!(faults(&"x".repeat(120)), 0);
    assert_eq!(faults(&"x".repeat(121)), 1, "a long line");
    assert_eq!(faults(&"é".repeat(120)), 0, "characters count, not bytes");
    assert_eq!(faults(&format!("# {}", "x".repeat(120))), 1, "a long heading");
    assert_eq!(faults(&format!("| {} |", "x".repeat(120))), 0, "tables may be wide");
    assert_eq!(faults(&format!("```sh\n{}\n```\n", "x".repeat(121))), 0, "so may code");
    assert_eq!(faults(&format!("```sh\n```\n{}\n", "x".repeat(121))), 1, "but not what follows it");

    assert_eq!(faults(&paragraph(80)), 0);
    assert_eq!(faults(&paragraph(81)), 1, "a long paragraph");
    assert_eq!(faults(&format!("{}\n\n{}", paragraph(80), paragraph(80))), 0);
    assert_eq!(faults(&format!("{}\n{}", paragraph(40), paragraph(41))), 1, "a line's end does not end it");
    assert_eq!(faults(&format!("{}\n- {}", paragraph(60), paragraph(60))), 0, "an item does");
    assert_eq!(faults(&format!("1. {}", paragraph(80))), 1, "a long item");

    for right in [
        "[a](assets), [b](docs/other.md#the-models), [c](https://example.org/none), ![d](assets)",
        "# One, `two`: three\n[a](#one-two-three)",
        "# One\n# One\n# One\n[a](#one-2)",
        "`[a](none)`",
        "```\n[a](none)\n```",
    ] {
        assert_eq!(faults(right), 0, "{right}");
    }
    for wrong in [
        "[a](none)",
        "[a\nb](docs/none.md)",
        "![a](assets/none.png)",
        "| [a](none) |",
        "- [a](docs/other.md#no-models)",
        "# One\n[a](#two)",
        "# One\n# One\n[a](#one-2)",
        "```\n# One\n```\n[a](#one)",
    ] {
        assert_eq!(faults(wrong), 1, "{wrong}");
    }
}
