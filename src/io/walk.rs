//! The files below a folder.

use crate::error::{Error, Result};
use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

/// How deep below the folder files are looked for.
const DEPTH: usize = 100;

/// The files below `root`, from there on, by path; hidden ones and those of hidden folders left out. A folder that links
/// lead to as well is looked through once.
///
/// # Errors
/// [`Error::Io`] if `root` cannot be read; a folder below it that cannot is left out with a warning.
pub fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut links) = (vec![], VecDeque::new());
    let mut known = BTreeSet::from([fs::canonicalize(root).map_err(Error::io(root))?]);
    walk(root, Path::new(""), &mut known, &mut links, &mut found)?;
    // After the folders themselves, so that what lies below has its own path.
    while let Some(folder) = links.pop_front() {
        look_below(root, &folder, &mut known, &mut links, &mut found);
    }
    found.sort();
    Ok(found)
}

fn walk(
    root: &Path,
    folder: &Path,
    known: &mut BTreeSet<PathBuf>,
    links: &mut VecDeque<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<()> {
    let here = root.join(folder);
    let entries = fs::read_dir(&here).map_err(Error::io(&here))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(Error::io(&here))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name(), entry.path());
        let below = folder.join(&name);
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        match path.is_dir() {
            true if path.is_symlink() => links.push_back(below),
            true => look_below(root, &below, known, links, found),
            false => found.push(below),
        }
    }
    Ok(())
}

/// Walks a folder below `root`, unless it is known; warns where it cannot.
fn look_below(
    root: &Path,
    folder: &Path,
    known: &mut BTreeSet<PathBuf>,
    links: &mut VecDeque<PathBuf>,
    found: &mut Vec<PathBuf>,
) {
    let path = root.join(folder);
    if folder.components().count() > DEPTH {
        return tracing::warn!("left out: {}: lies more than {DEPTH} folders deep", path.display());
    }
    let looked = match fs::canonicalize(&path) {
        Ok(real) => match known.insert(real) {
            true => walk(root, folder, known, links, found),
            false => Ok(()),
        },
        Err(e) => Err(Error::io(&path)(e)),
    };
    if let Err(e) = looked {
        tracing::warn!("left out: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn links_lead_to_each_folder_once() {
        let dir = tempfile::tempdir().unwrap();
        let (root, apart) = (dir.path().join("root"), dir.path().join("apart"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir(&apart).unwrap();
        for file in ["root/a/b/one", "root/a/.hidden", "apart/two"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        for (link, to) in [("a/b/loop", &root), ("a/again", &root.join("a/b")), ("0", &apart), ("1", &apart)]
        {
            std::os::unix::fs::symlink(to, root.join(link)).unwrap();
        }
        assert_eq!(files(&root).unwrap(), ["0/two", "a/b/one"].map(PathBuf::from));
    }

    #[test]
    fn nine_folders_deep() {
        let dir = tempfile::tempdir().unwrap();
        let deep: PathBuf = (0..9).map(|i| i.to_string()).collect();
        fs::create_dir_all(dir.path().join(&deep)).unwrap();
        fs::write(dir.path().join(&deep).join("a"), "").unwrap();
        assert_eq!(files(dir.path()).unwrap(), [deep.join("a")]);
        assert!(files(&dir.path().join("nowhere")).is_err());
    }
}
