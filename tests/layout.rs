//! The floors of `src/`: a file imports only from its own or lower ones, and inside `stages` only from earlier nouns.

use std::{
    fs,
    path::{Path, PathBuf},
};

const FLOORS: [&[&str]; 9] = [
    &["error"],
    &["buffer", "device", "gpu", "interop", "io", "palette", "telemetry"],
    &["ops"],
    &["models"],
    &["stages"],
    &["dataset", "checkpoint"],
    &["pipeline", "train"],
    &["prepare"],
    &["evaluate", "report", "output"],
];
const STAGES: [&str; 12] = [
    "cloud",
    "superpoints",
    "views",
    "boxes",
    "masks",
    "evidence",
    "memberships",
    "weights",
    "scores",
    "labels",
    "instances",
    "metrics",
];
/// Of the floor of stages, but no noun: targets for training and metrics, made from the ground truth; samples for
/// training, made from all that; the network that learns from them.
const BESIDE: [&str; 3] = ["targets", "sample", "network"];

#[test]
fn no_file_imports_upwards() {
    let mut files = vec![];
    collect(Path::new("src"), &mut files);
    assert!(files.len() > 30, "run from the repository's root");
    let mut wrong = vec![];
    for file in &files {
        let module = module(file);
        if module.is_empty() || ["lib", "main", "cli"].contains(&module[0].as_str()) {
            continue;
        }
        for import in imports(&fs::read_to_string(file).unwrap(), &module) {
            if let Err(why) = check(&module, &import) {
                wrong.push(format!("{}: crate::{}: {why}", file.display(), import.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// `src/stages/boxes.rs` -> stages, boxes.
fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let mut parts: Vec<String> = path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    parts.retain(|part| part != "mod");
    parts
}

/// The paths below the crate that a file names, as `crate::a::b` or `super::b`, in `use` lines and elsewhere.
fn imports(text: &str, module: &[String]) -> Vec<Vec<String>> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    let mut found = vec![];
    let identifier = |c: char| c.is_alphanumeric() || c == '_';
    for (prefix, base) in [("crate::", &[][..]), ("super::", &module[..module.len() - 1])] {
        for (at, _) in code.match_indices(prefix) {
            // `self::` and `super::` inside an inner module stay within the file.
            if prefix == "super::" && !code[..at].trim_end().ends_with("use") {
                continue;
            }
            expand(&code[at + prefix.len()..], base, &identifier, &mut found);
        }
    }
    found
}

/// The paths of a use tree: `a::{b, c::d}` -> a::b, a::c::d.
fn expand(
    tree: &str,
    base: &[String],
    identifier: &dyn Fn(char) -> bool,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let rest = &tree[at..];
        let skip = rest.len() - rest.trim_start().len();
        let rest = &rest[skip..];
        at += skip;
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += expand(&tree[at..], &path, identifier, found);
                let rest = tree[at..].trim_start();
                at += tree[at..].len() - rest.len();
                match rest.chars().next() {
                    Some(',') => at += 1,
                    Some('}') => return at + 1,
                    _ => return at,
                }
            }
        }
        let name: String = rest.chars().take_while(|&c| identifier(c)).collect();
        at += name.len();
        if !name.is_empty() {
            path.push(name);
        }
        if !tree[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    if path.len() > base.len() {
        found.push(path);
    }
    at
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn check(module: &[String], import: &[String]) -> Result<(), String> {
    let here =
        floor(&module[0]).ok_or(format!("module {} has no floor; name it in tests/layout.rs", module[0]))?;
    // Re-exports at the crate's root: Device, Error, Result.
    let Some(there) = floor(&import[0]) else {
        let known = ["Device", "Error", "Result"].contains(&import[0].as_str());
        return if known { Ok(()) } else { Err("what is that? name its module".into()) };
    };
    if there > here {
        return Err(format!("floor {there} is above floor {here}"));
    }
    if module[0] == "stages" && import[0] == "stages" && module.len() > 1 && import.len() > 1 {
        let noun = |name: &str| STAGES.iter().position(|&stage| stage == name);
        match (noun(&module[1]), noun(&import[1])) {
            (Some(here), Some(there)) if there > here => {
                return Err(format!("{} comes after {}", import[1], module[1]));
            }
            (None, _) if !BESIDE.contains(&module[1].as_str()) => {
                return Err(format!("{} is no noun of the list in tests/layout.rs", module[1]));
            }
            _ => {}
        }
    }
    Ok(())
}

#[test]
fn the_reader_of_imports_can_fail() {
    let boxes = ["stages".to_string(), "boxes".to_string()];
    let wrong =
        |text: &str| imports(text, &boxes).iter().filter(|import| check(&boxes, import).is_err()).count();
    assert_eq!(
        wrong("use crate::{error::{Error, Result}, io::npy, ops::detect::nms};\nuse super::{views::Views};"),
        0
    );
    assert_eq!(wrong("use super::{masks::Masks, views::Views};"), 1);
    assert_eq!(wrong("use crate::stages::{\n    masks::Masks,\n    labels,\n};"), 2);
    assert_eq!(wrong("use crate::{pipeline::Pipeline, stages::views::{self, Views}};"), 1);
    assert_eq!(wrong("fn f() -> crate::output::report::Report {}"), 1);
    assert_eq!(wrong("// use crate::pipeline;"), 0);
}
