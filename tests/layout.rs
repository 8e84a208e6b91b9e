//! The layout of `src/`: what may import what, how long a file may be, and that the map in ARCHITECTURE.md is true.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms from the ground up; a file imports only from its own floor or lower ones. `lib`, `main` and `cli` stand on top.
const FLOORS: [&[&str]; 10] = [
    &["error", "parts"],
    &["memory", "observer", "ragged"],
    &["device", "io"],
    &["ops"],
    &["mesh", "models"],
    &["stages", "sam3d"],
    &["options"],
    &["input", "lifting", "satr", "segmentation", "unnamed"],
    &["pipeline", "output", "study"],
    &["batch"],
];

/// The data's way: within `stages`, a noun imports only from earlier ones.
const STAGES: [&str; 13] = [
    "cloud",
    "superpoints",
    "views",
    "boxes",
    "masks",
    "evidence",
    "memberships",
    "weights",
    "network",
    "checkpoint",
    "scores",
    "labels",
    "instances",
];

/// Most lines of a source file, and of an operation's.
const LONGEST: usize = 600;
const LONGEST_OPERATION: usize = 400;

/// The files of `src/` by module: `stages::boxes` -> its text without tests.
struct Source {
    files: BTreeMap<Vec<String>, (PathBuf, String)>,
}

impl Source {
    fn read() -> Source {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::from("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    files.insert(module(&path), (path, text));
                }
            }
        }
        assert!(files.len() > 30, "run from the repository's root");
        Source { files }
    }

    /// The file that a path of modules and items leads to.
    fn file_of(&self, path: &[String]) -> Option<&[String]> {
        (1..=path.len())
            .rev()
            .find_map(|n| self.files.get_key_value(&path[..n]))
            .map(|(module, _)| &module[..])
    }

    /// What each file imports from others, but for what a folder hands on from its own files.
    fn imports(&self) -> BTreeMap<&[String], BTreeSet<&[String]>> {
        let imports_of = |(module, (_, text)): (&Vec<String>, &(PathBuf, String))| {
            let found = imports(text, module, self.is_folder(module));
            found.iter().filter_map(|path| self.file_of(path)).filter(|&file| file != &module[..]).collect()
        };
        self.files.iter().map(|file| (&file.0[..], imports_of(file))).collect()
    }

    fn is_folder(&self, module: &[String]) -> bool {
        self.files[module].0.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs")
    }
}

/// `src/stages/boxes.rs` -> stages, boxes; `src/stages/mod.rs` -> stages.
fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let mut parts: Vec<String> = path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    parts.retain(|part| part != "mod");
    parts
}

/// The paths below the crate that a file names: `crate::a::b` anywhere, and `super::b` or `self::b` in `use` lines that
/// hand nothing on.
fn imports(text: &str, module: &[String], folder: bool) -> Vec<Vec<String>> {
    let code: String = text
        .split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join(" ");
    let mut found = vec![];
    let here = if folder { module } else { &module[..module.len().saturating_sub(1)] };
    let above = if folder { &module[..module.len().saturating_sub(1)] } else { here };
    for (prefix, base) in [("crate::", &[][..]), ("super::", above), ("self::", module)] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].trim_end();
            let in_use = before.ends_with("use") && !before.ends_with("pub use");
            let handed_on = before.ends_with("pub use");
            // `self::` and `super::` inside an inner module stay within the file.
            let counts = if prefix == "crate::" { !handed_on } else { in_use };
            if counts && !before.ends_with("::") {
                expand(&code[at + prefix.len()..], base, &mut found);
            }
        }
    }
    found
}

/// The paths of a use tree: `a::{b, c::d}` -> a::b, a::c::d. Returns how much of the text it took.
fn expand(tree: &str, base: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let rest = tree[at..].trim_start();
        at = tree.len() - rest.len();
        if rest.starts_with('{') {
            at += 1;
            loop {
                at += expand(&tree[at..], &path, found);
                let rest = tree[at..].trim_start();
                at = tree.len() - rest.len();
                match rest.chars().next() {
                    Some(',') => at += 1,
                    Some('}') => return at + 1,
                    _ => return at,
                }
            }
        }
        let name: String = rest.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect();
        at += name.len();
        if !name.is_empty() && name != "self" {
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

/// Why a file may not import from another.
fn wrong(module: &[String], import: &[String]) -> Option<String> {
    let Some(here) = floor(&module[0]) else {
        return Some(format!("module {} has no floor; name it in tests/layout.rs", module[0]));
    };
    let there = floor(&import[0])?;
    if there > here {
        return Some(format!("floor {there} is above floor {here}"));
    }
    if module[0] != "stages" || import[0] != "stages" || module.len() == 1 || import.len() == 1 {
        return None;
    }
    let noun = |module: &[String]| STAGES.iter().position(|&stage| stage == module[1]);
    match (noun(module), noun(import)) {
        (Some(here), Some(there)) if there > here => Some(format!("{} comes after {}", import[1], module[1])),
        (None, _) => Some(format!("{} is no noun of the list in tests/layout.rs", module[1])),
        _ => None,
    }
}

#[test]
fn no_file_imports_upwards() {
    let source = Source::read();
    let mut found = vec![];
    for (module, imports) in source.imports() {
        if module == ["lib"] || module == ["main"] || module[0] == "cli" {
            continue;
        }
        let why = |import: &&[String]| {
            Some(format!("{} imports {}: {}", module.join("::"), import.join("::"), wrong(module, import)?))
        };
        found.extend(imports.iter().filter_map(why));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let source = Source::read();
    let circles = circles(&source.imports());
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// A circle through every file that lies on one, each circle once.
fn circles(imports: &BTreeMap<&[String], BTreeSet<&[String]>>) -> Vec<String> {
    let mut found = BTreeMap::new();
    for &start in imports.keys() {
        let mut from = BTreeMap::new();
        let mut open = vec![start];
        while let Some(file) = open.pop() {
            for &next in imports.get(file).into_iter().flatten() {
                if next == start {
                    let mut circle = vec![file];
                    while let Some(&before) = from.get(circle[circle.len() - 1]) {
                        circle.push(before);
                    }
                    circle.reverse();
                    let mut members = circle.clone();
                    members.sort_unstable();
                    let names: Vec<String> = circle.iter().map(|file| file.join("::")).collect();
                    found.entry(members).or_insert(names.join(" -> "));
                    open.clear();
                    break;
                }
                if next != start && !from.contains_key(next) {
                    from.insert(next, file);
                    open.push(next);
                }
            }
        }
    }
    found.into_values().collect()
}

#[test]
fn no_file_is_too_long() {
    let mut long = vec![];
    for (path, text) in Source::read().files.values() {
        let most = if path.starts_with("src/ops") { LONGEST_OPERATION } else { LONGEST };
        let lines = text.lines().count();
        if lines > most {
            long.push(format!("{}: {lines} lines, more than {most}", path.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn the_map_is_true() {
    let text = fs::read_to_string("ARCHITECTURE.md").unwrap();
    let map = text.split("## The map").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("a map");
    let named: Vec<&str> = map
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.starts_with("src/"))
        .collect();
    for name in &named {
        assert!(Path::new(name).exists(), "ARCHITECTURE.md: there is no {name}");
        assert_eq!(Path::new(name).is_dir(), name.ends_with('/'), "ARCHITECTURE.md: {name}");
    }
    let mut missing = vec![];
    for folder in ["src", "src/ops"] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let slash = if path.is_dir() { "/" } else { "" };
            let name = format!("{}{slash}", path.display());
            if !name.ends_with("mod.rs") && !named.contains(&&name[..]) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md's map does not have {}", missing.join(", "));
}

#[test]
fn kernels_lie_beside_their_operations() {
    for family in
        fs::read_dir("kernels").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for kernel in fs::read_dir(&family).unwrap().map(|entry| entry.unwrap().path()) {
            if kernel.extension().is_some_and(|e| e == "cu") {
                let operation =
                    Path::new("src/ops").join(kernel.strip_prefix("kernels").unwrap()).with_extension("");
                let there = operation.is_dir() || operation.with_extension("rs").exists();
                assert!(there, "{}: there is no {}", kernel.display(), operation.display());
            }
        }
    }
}

#[test]
fn the_reader_of_imports_can_fail() {
    let boxes = ["stages".to_string(), "boxes".to_string()];
    let wrongs = |text: &str| {
        imports(text, &boxes, false).iter().filter(|import| wrong(&boxes, import).is_some()).count()
    };
    assert_eq!(
        wrongs("use crate::{error::{Error, Result}, io::npy, ops::nms};\nuse super::{views::Views};"),
        0
    );
    assert_eq!(wrongs("use super::{masks::Masks, views::Views};"), 1);
    assert_eq!(wrongs("use crate::stages::{\n    masks::Masks,\n    labels,\n};"), 2);
    assert_eq!(wrongs("use crate::{pipeline::Pipeline, stages::views::{self, Views}};"), 1);
    assert_eq!(wrongs("fn f() -> crate::output::report::Report {}"), 1);
    assert_eq!(wrongs("// use crate::pipeline;"), 0);
    let folder = ["models".to_string()];
    assert_eq!(
        imports("use self::onnx::Model; pub use self::image::Images;", &folder, true),
        [["models", "onnx", "Model"]]
    );
    assert_eq!(
        imports("use super::Device;", &["device".into(), "gpu".into()], false),
        [["device", "Device"]]
    );
}

#[test]
fn the_finder_of_circles_can_fail() {
    let name = |text: &str| vec![text.to_string()];
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let graph = |edges: &[(&'static str, &'static str)]| {
        let of = |from: &str| {
            edges
                .iter()
                .filter(|edge| edge.0 == from)
                .map(|edge| [&a, &b, &c][(edge.1.as_bytes()[0] - b'a') as usize])
                .map(|v| &v[..])
                .collect()
        };
        circles(&BTreeMap::from([(&a[..], of("a")), (&b[..], of("b")), (&c[..], of("c"))]))
    };
    assert!(graph(&[("a", "b"), ("b", "c"), ("a", "c")]).is_empty());
    assert_eq!(graph(&[("a", "b"), ("b", "c"), ("c", "a")]), ["a -> b -> c"]);
    assert_eq!(graph(&[("b", "c"), ("c", "b")]), ["b -> c"]);
}
