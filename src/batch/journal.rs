//! The journal of a batch: a line of JSON for each outcome, only ever added to. It tells what need not be done again.

use super::flow::Seconds;
use crate::{
    error::{Error, Result},
    io::{hash, path_text},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// How a shape ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its result is written.
    Done,
    /// It has none; the entry says why.
    Failed,
}

/// What tells an input file from others and from earlier content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub modified: u128,
    /// Of its content, in hexadecimal.
    pub sha256: String,
}

/// An outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The shape's name.
    pub id: String,
    /// How it ended.
    pub state: State,
    /// What was read; none if that failed.
    #[serde(default)]
    pub input: Option<File>,
    /// A hash of all else that the result depends on: names, options, models, weights, version.
    pub made_from: String,
    /// What its steps took.
    #[serde(default)]
    pub seconds: Seconds,
    /// The result's files and their lengths.
    #[serde(default)]
    pub files: BTreeMap<String, u64>,
    /// Of the content of the file that was written last, in hexadecimal: what another run wrote over it has another.
    #[serde(default)]
    pub result_sha256: Option<String>,
    /// What was found of each part.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Points of the cloud.
    #[serde(default)]
    pub points: usize,
    /// What the reader of the result should know.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What NVML told of the device after it.
    #[serde(default)]
    pub gpu: Option<serde_json::Value>,
}

/// What was found of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Points labelled with it.
    pub points: usize,
    /// Its instances.
    pub instances: usize,
    /// Points labelled with it that are in none of them.
    #[serde(default)]
    pub without_instance: usize,
}

impl Entry {
    /// A shape without a result.
    pub fn failed(id: String, error: String) -> Entry {
        Entry {
            id,
            state: State::Failed,
            input: None,
            made_from: String::new(),
            seconds: Seconds::default(),
            files: BTreeMap::new(),
            result_sha256: None,
            parts: vec![],
            points: 0,
            warnings: vec![],
            error: Some(error),
            gpu: None,
        }
    }
}

impl File {
    /// Looks at a file, whose content is hashed unless `known` tells the hash of a file of that length and time.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn of(path: &Path, known: Option<&File>) -> Result<File> {
        let found = fs::metadata(path).map_err(Error::io(path))?;
        let modified = found.modified().map_err(Error::io(path))?;
        let modified = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let (path_text, bytes) = (path_text(path), found.len());
        let sha256 = match known {
            Some(known) if (known.bytes, known.modified, &known.path) == (bytes, modified, &path_text) => {
                known.sha256.clone()
            }
            _ => hash::sha256_of_file(path)?,
        };
        Ok(File { path: path_text, bytes, modified, sha256 })
    }
}

/// Whether a journal may have that file name.
pub(super) fn is_one(name: &str) -> bool {
    name.starts_with("journal") && name.ends_with(".jsonl")
}

/// The last entry of every shape in each journal beside one. What cannot be read is passed over: others may be writing it.
pub(super) fn beside(path: &Path) -> Vec<Entry> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let others = fs::read_dir(folder).into_iter().flatten().flatten().filter(|other| {
        let name = other.file_name();
        Some(&*name) != path.file_name() && name.to_str().is_some_and(is_one)
    });
    let entries = others.filter_map(|other| fs::read(other.path()).ok()).flat_map(|text| {
        let lines = text.split(|&byte| byte == b'\n');
        let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
        entries.map(|entry| (entry.id.clone(), entry)).collect::<BTreeMap<_, _>>().into_values()
    });
    entries.collect()
}

/// A journal that this process alone writes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: fs::File,
    /// The last entry of every shape.
    entries: BTreeMap<String, Entry>,
}

impl Journal {
    /// Opens a journal, or begins one. A last line that was cut off is dropped.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] naming a line that is no entry, or if another process writes it.
    pub fn open(path: &Path) -> Result<Journal> {
        let options = fs::File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(path).map_err(Error::io(path))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(Error::format(path, "another batch is running here; wait until it ends"));
            }
            // Some network's file systems know no locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut text = vec![];
        file.read_to_end(&mut text).map_err(Error::io(path))?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        file.set_len(whole as u64).map_err(Error::io(path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io(path))?;
        let mut entries = BTreeMap::new();
        for (i, line) in
            text[..whole].split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            let entry: Entry = serde_json::from_slice(line).map_err(|e| {
                Error::format(
                    path,
                    format!("line {}: {e}; remove the line, or the journal to do all anew", i + 1),
                )
            })?;
            entries.insert(entry.id.clone(), entry);
        }
        Ok(Journal { path: path.to_path_buf(), file, entries })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last entry of every shape.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// The same, by name.
    pub fn all(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }

    /// Adds an entry; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full; what was there stays whole.
    pub fn add(&mut self, entry: Entry) -> Result<()> {
        self.add_all(vec![entry])
    }

    /// Adds entries, all or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// As [`Journal::add`].
    pub fn add_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        let line = |entry| serde_json::to_string(entry).expect("an entry is text and numbers") + "\n";
        let lines: String = entries.iter().map(line).collect();
        let begin = self.file.stream_position().map_err(Error::io(&self.path))?;
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(e) = written {
            let _ = self.file.set_len(begin).and_then(|()| self.file.seek(SeekFrom::Start(begin)));
            return Err(Error::io(&self.path)(e));
        }
        self.entries.extend(entries.into_iter().map(|entry| (entry.id.clone(), entry)));
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A child that another thread starts may hold the open file, and with it the lock, for a moment longer.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, state: State) -> Entry {
        Entry { state, made_from: "x".into(), points: 3, ..Entry::failed(id.into(), "no memory".into()) }
    }

    #[test]
    fn what_was_written_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path).unwrap();
        let busy = Journal::open(&path).unwrap_err().to_string();
        assert!(busy.contains("another batch"), "{busy}");
        journal.add(entry("a", State::Failed)).unwrap();
        journal.add(entry("b", State::Done)).unwrap();
        journal.add(entry("a", State::Done)).unwrap();
        drop(journal);
        // As a kill leaves it.
        let whole = fs::read(&path).unwrap();
        for cut in [1, 10, 40] {
            fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            let journal = Journal::open(&path).unwrap();
            assert_eq!(journal.entries().len(), 2);
            assert_eq!(journal.entries()["a"], entry("a", State::Done));
            drop(journal);
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
        fs::write(&path, [b"{}\n", &whole[..]].concat()).unwrap();
        let damaged = Journal::open(&path).unwrap_err().to_string();
        assert!(damaged.contains("line 1"), "{damaged}");
    }

    #[test]
    fn a_changed_input_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ply");
        fs::write(&path, "one").unwrap();
        let first = File::of(&path, None).unwrap();
        assert_eq!(File::of(&path, Some(&first)).unwrap(), first);
        let trusted = File { sha256: "known".into(), ..first.clone() };
        assert_eq!(
            File::of(&path, Some(&trusted)).unwrap().sha256,
            "known",
            "same time and length: not read"
        );
        fs::write(&path, "three").unwrap();
        assert_ne!(File::of(&path, Some(&first)).unwrap().sha256, first.sha256);
    }
}
