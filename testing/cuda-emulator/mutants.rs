//! The bugs that `tools/mutate` plants, from `mutants.txt`: read by the build script, and by a test that they still fit.

use std::fs;
use std::path::{Path, PathBuf};

/// A bug: a text in a file of kernels, and what it becomes.
pub struct Mutant {
    pub name: String,
    /// File name, in whatever folder of the kernels.
    pub file: String,
    pub text: String,
    /// With the word `MUTANT` where it is asked whether this bug is wanted.
    pub mutated: String,
}

impl Mutant {
    /// What stands in the place of the text in a build with bugs.
    pub fn planted(&self, number: usize) -> String {
        self.mutated.replace("MUTANT", &format!("emulator_mutant({number})"))
    }
}

/// Every file of kernels below a folder.
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "cu" || extension == "cuh") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The bugs of a table, each of whose texts stands once in its file, below the folder of kernels.
pub fn read(table: &Path, kernels: &Path) -> Result<Vec<Mutant>, String> {
    let text = fs::read_to_string(table).map_err(|why| format!("{}: {why}", table.display()))?;
    let mut mutants: Vec<Mutant> = vec![];
    for entry in text.split("\n\n").filter(|entry| !entry.trim().is_empty() && !entry.starts_with('#')) {
        let wrong = |what: &str| format!("{}: {what}: {entry}", table.display());
        let mut lines = entry.lines();
        let name = lines.next().unwrap_or_default().to_string();
        let named =
            |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_string();
        let marked = |mark: &str| {
            entry.lines().filter_map(|line| line.strip_prefix(mark)).collect::<Vec<_>>().join("\n")
        };
        let mutant = Mutant { name, file: named("in: "), text: marked("- "), mutated: marked("+ ") };
        if mutant.file.is_empty() || mutant.text.is_empty() || !mutant.mutated.contains("MUTANT") {
            return Err(wrong(
                "an entry is a name, `in: FILE`, `test: PROGRAM TEST`, and `- ` and `+ ` before each line of the \
                              text and of what it becomes, with the word MUTANT in it",
            ));
        }
        let files: Vec<PathBuf> =
            sources(kernels).into_iter().filter(|path| path.ends_with(&mutant.file)).collect();
        let text = |path: &PathBuf| fs::read_to_string(path).unwrap_or_default();
        let count: usize = files.iter().map(|path| text(path).matches(&mutant.text).count()).sum();
        if files.len() != 1 || count != 1 {
            return Err(wrong(&format!(
                "{} files of that name, {count} times the text in them; bring the entry up to date",
                files.len()
            )));
        }
        if mutants.iter().any(|other| other.name == mutant.name) {
            return Err(wrong("two entries of one name"));
        }
        mutants.push(mutant);
    }
    Ok(mutants)
}
