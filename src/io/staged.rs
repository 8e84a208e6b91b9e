//! Files and folders that appear as a whole or not at all.
//!
//! What is written goes into a hidden folder beside its place, and is moved there when it is complete. So a full disk, or
//! a process that is killed, leaves what was there. Of one file the move is atomic. Of a folder's files each is; the file
//! that says that the result is complete goes first and comes last, and a move that was interrupted is completed by the
//! next writer. Links and pipes at a file's place are replaced or refused, never written through.

use super::hash;
use crate::error::{Error, Result};
use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

const STAGE: &str = ".partstad-new";
/// Holds back other writers.
const LOCK: &str = "lock";
/// Names the last file, once all are written.
const COMPLETE: &str = "complete";

/// A hidden folder that one process at a time may write into.
#[derive(Debug)]
struct Stage {
    folder: PathBuf,
    lock: Option<File>,
}

impl Stage {
    /// `place`: what is to be written, for messages.
    fn claim(folder: PathBuf, place: &Path) -> Result<Stage> {
        let taken = || {
            Error::format(
                place,
                "another process is writing here; wait until it ends, or write somewhere else",
            )
        };
        // A stage may vanish between two steps, when its owner ends.
        for _ in 0..100 {
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&folder) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(Error::io(place)(e)),
                _ => {}
            }
            match fs::symlink_metadata(&folder) {
                Ok(found) if !found.is_dir() => {
                    return Err(Error::format(&folder, "is in the way: remove it"));
                }
                _ => {}
            }
            let path = folder.join(LOCK);
            let lock = match File::options().create(true).write(true).truncate(false).open(&path) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                opened => opened.map_err(Error::io(place))?,
            };
            match lock.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(taken()),
                // Some network's file systems know no locks; there the names alone keep writers apart.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            if is_at(&lock, &path) {
                return Ok(Stage { folder, lock: Some(lock) });
            }
        }
        Err(taken())
    }

    /// What lies in it.
    fn names(&self) -> Result<Vec<OsString>> {
        let entries = fs::read_dir(&self.folder).map_err(Error::io(&self.folder))?;
        let names: io::Result<Vec<OsString>> = entries.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = names.map_err(Error::io(&self.folder))?;
        names.retain(|name| name != LOCK && name != COMPLETE);
        names.sort();
        Ok(names)
    }

    /// Removes what a process left in it that was killed.
    fn clear(&self) -> Result<()> {
        for name in self.names()?.into_iter().chain([COMPLETE.into()]) {
            let path = self.folder.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&path)(e)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if cfg!(windows) {
            // An open file keeps its folder there.
            self.lock = None;
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a file is still the one that its path names.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if same(&a, &b))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// A file on its way to its place.
#[derive(Debug)]
pub struct Staged {
    place: PathBuf,
    name: OsString,
    file: File,
    stage: Stage,
}

impl Staged {
    /// Begins a file; what lies at its place stays until [`finish`](Staged::finish). Its folder is made if need be, and stays.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`Error::Format`] if the place is taken by something that is no file, or
    /// another process is writing it.
    pub fn create(path: &Path) -> Result<Staged> {
        let Some(name) = path.file_name() else {
            return Err(Error::format(path, "is not the name of a file"));
        };
        if let Ok(found) = fs::symlink_metadata(path)
            && !found.is_file()
        {
            return Err(Error::format(path, "is a link, a folder or a device; name a file to write to"));
        }
        let short = &hash::sha256(name.as_encoded_bytes())[..16];
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), fs::create_dir_all).map_err(Error::io(path))?;
        let stage = Stage::claim(path.with_file_name(format!("{STAGE}-{short}")), path)?;
        stage.clear()?;
        let file = File::options().write(true).create_new(true).open(stage.folder.join(name));
        let file = file.map_err(Error::io(path))?;
        Ok(Staged { place: path.to_path_buf(), name: name.to_os_string(), file, stage })
    }

    /// What to write into.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Moves it to its place.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk is full or the place cannot be written.
    pub fn finish(self) -> Result<()> {
        // Where a full disk shows only now, the old file is still there.
        let synced = self.file.sync_data();
        let moved = synced.and_then(|()| fs::rename(self.stage.folder.join(&self.name), &self.place));
        moved.map_err(Error::io(&self.place))
    }
}

/// Writes a file by `fill`: readers find the old content or the new, never a part.
///
/// # Errors
/// Those of [`Staged`] and of `fill`.
pub fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>) -> Result<()> {
    let staged = Staged::create(path)?;
    let mut to = BufWriter::new(staged.file());
    fill(&mut to).and_then(|()| to.flush()).map_err(Error::io(path))?;
    drop(to);
    staged.finish()
}

/// The same with content that is at hand.
///
/// # Errors
/// Those of [`Staged`].
pub fn write_all(path: &Path, content: &[u8]) -> Result<()> {
    write(path, |to| to.write_all(content))
}

/// A folder of results on its way. Nobody else can begin one at the same place meanwhile; dropped unfinished, it leaves
/// no trace.
#[derive(Debug)]
pub struct Folder {
    place: PathBuf,
    /// The folders that were made for it.
    made: Vec<PathBuf>,
    stage: Option<Stage>,
}

impl Folder {
    /// Begins results in the folder `place`, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written; [`Error::Format`] if it is a file, or if another process is writing there;
    /// [`Error::Invalid`] for the empty path.
    pub fn begin(place: &Path) -> Result<Folder> {
        if place.as_os_str().is_empty() {
            return Err(Error::invalid("the folder to write to has no name; `.` is the current one"));
        }
        if place.exists() && !place.is_dir() {
            return Err(Error::format(place, "is a file; name a folder to write to"));
        }
        let missing = place.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let made = missing.map(Path::to_path_buf).collect();
        fs::create_dir_all(place).map_err(Error::io(place))?;
        let mut folder = Folder { place: place.to_path_buf(), made, stage: None };
        let stage = Stage::claim(place.join(STAGE), place)?;
        if let Ok(last) = fs::read_to_string(stage.folder.join(COMPLETE)) {
            publish(&stage, place, &last)?;
        }
        stage.clear()?;
        folder.stage = Some(stage);
        Ok(folder)
    }

    /// Where the results go meanwhile.
    pub fn path(&self) -> &Path {
        self.stage.as_ref().map_or(&self.place, |stage| &stage.folder)
    }

    /// Where they will be.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Moves all files to their place, `last` last: while it is missing there, the others may be of two runs.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be moved; [`Error::Format`] if a folder is where a file should go.
    pub fn finish(mut self, last: &str) -> Result<()> {
        let Some(stage) = self.stage.take() else { return Ok(()) };
        write_all(&stage.folder.join(COMPLETE), last.as_bytes())?;
        self.made.clear();
        publish(&stage, &self.place, last)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.stage = None;
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }
}

fn publish(stage: &Stage, place: &Path, last: &str) -> Result<()> {
    let names = stage.names()?;
    for name in &names {
        let path = place.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            let _ = fs::remove_file(stage.folder.join(COMPLETE));
            return Err(Error::format(
                path,
                "is a folder where a file should go: remove it or write somewhere else",
            ));
        }
    }
    if names.iter().any(|name| name == last) {
        match fs::remove_file(place.join(last)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(place.join(last))(e)),
            _ => {}
        }
    }
    let (end, others): (Vec<&OsString>, Vec<_>) = names.iter().partition(|&name| name == last);
    for name in others.into_iter().chain(end) {
        let path = place.join(name);
        fs::rename(stage.folder.join(name), &path).map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Checks that no output is a file that is read.
///
/// # Errors
/// [`Error::Invalid`] naming the first that is.
pub fn check_apart<O: AsRef<Path>>(
    outputs: impl IntoIterator<Item = O>,
    inputs: &[impl AsRef<Path>],
) -> Result<()> {
    for output in outputs {
        let output = output.as_ref();
        let Ok(there) = identity(output) else { continue };
        if inputs.iter().any(|input| identity(input.as_ref()).is_ok_and(|read| read == there)) {
            return Err(Error::invalid(format!(
                "{} would be overwritten, but is read; write somewhere else",
                output.display()
            )));
        }
    }
    Ok(())
}

/// Where a file is or will be, however it is named: the same for two names of one place.
pub fn place_of(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    path.file_name().map_or_else(|| folder.clone(), |name| folder.join(name))
}

/// A place that one process at a time works on, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    _stage: Stage,
}

impl Claim {
    /// Claims a file's place.
    ///
    /// # Errors
    /// [`Error::Format`] if another process has it, [`Error::Io`] if its folder cannot be written.
    pub fn of(path: &Path) -> Result<Claim> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let short = &hash::sha256(name.as_encoded_bytes())[..16];
        Ok(Claim { _stage: Stage::claim(path.with_file_name(format!("{STAGE}-claim-{short}")), path)? })
    }
}

/// What two names of one file have in common.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_all(&path, b"old").unwrap();
        let staged = Staged::create(&path).unwrap();
        staged.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let second = Staged::create(&path).unwrap_err().to_string();
        assert!(second.contains("another process is writing"), "{second}");
        staged.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let broken = write(&path, |to| to.write_all(b"half").and(Err(ErrorKind::StorageFull.into())));
        assert!(broken.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a"], "nothing is left beside it");
        write_all(&dir.path().join("new/deep/a"), b"its folders are made").unwrap();
        assert!(write_all(&path.join("b"), b"").is_err(), "a file is no folder");
        write_all(&dir.path().join("x".repeat(255)), b"a long name").unwrap();
    }

    #[test]
    fn results_appear_together() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a/b");
        drop(Folder::begin(&place).unwrap());
        assert!(names(dir.path()).is_empty(), "unfinished, it leaves no trace");
        for round in ["first", "second"] {
            let folder = Folder::begin(&place).unwrap();
            let taken = Folder::begin(&place).unwrap_err().to_string();
            assert!(taken.contains("another process is writing here"), "{taken}");
            for name in ["one", "run", "two"] {
                write_all(&folder.path().join(name), round.as_bytes()).unwrap();
            }
            let old = fs::read_to_string(place.join("one")).unwrap_or_default();
            assert_ne!(old, round);
            folder.finish("run").unwrap();
            assert_eq!(names(&place), ["one", "run", "two"]);
            assert_eq!(fs::read_to_string(place.join("two")).unwrap(), round);
        }
        fs::write(place.join("another's"), "kept").unwrap();
        drop(Folder::begin(&place).unwrap());
        assert_eq!(names(&place), ["another's", "one", "run", "two"]);
        fs::create_dir(place.join("three")).unwrap();
        let folder = Folder::begin(&place).unwrap();
        for name in ["one", "run", "three"] {
            write_all(&folder.path().join(name), b"third").unwrap();
        }
        assert!(folder.finish("run").unwrap_err().to_string().contains("three"));
        assert_eq!(fs::read(place.join("run")).unwrap(), b"second");
        assert_eq!(fs::read(place.join("one")).unwrap(), b"second");
    }

    /// As a process leaves it that is killed: before it was complete, and while it moved.
    #[test]
    fn the_next_writer_completes_or_removes_what_a_killed_one_left() {
        let dir = tempfile::tempdir().unwrap();
        let (place, stage) = (dir.path(), dir.path().join(STAGE));
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join("one"), "half").unwrap();
        drop(Folder::begin(place).unwrap());
        assert!(names(place).is_empty());
        fs::create_dir(&stage).unwrap();
        fs::write(place.join("one"), "new").unwrap();
        for (name, content) in [("two", "new"), ("run", "new"), (COMPLETE, "run")] {
            fs::write(stage.join(name), content).unwrap();
        }
        fs::write(place.join("two"), "old").unwrap();
        drop(Folder::begin(place).unwrap());
        assert_eq!(names(place), ["one", "run", "two"]);
        assert_eq!(fs::read(place.join("two")).unwrap(), b"new");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let (precious, place) = (dir.path().join("precious"), dir.path().join("out"));
        fs::write(&precious, "mine").unwrap();
        fs::create_dir(&place).unwrap();
        symlink(&precious, place.join("run")).unwrap();
        assert!(write_all(&place.join("run"), b"x").unwrap_err().to_string().contains("is a link"));
        let folder = Folder::begin(&place).unwrap();
        write_all(&folder.path().join("run"), b"x").unwrap();
        folder.finish("run").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
        assert!(fs::symlink_metadata(place.join("run")).unwrap().is_file());
        symlink(dir.path(), place.join(STAGE)).unwrap();
        assert!(Folder::begin(&place).unwrap_err().to_string().contains("in the way"));
        assert!(write_all(Path::new("/dev/null"), b"").unwrap_err().to_string().contains("a device"));
    }

    #[test]
    fn inputs_are_known_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "").unwrap();
        fs::write(&b, "").unwrap();
        let other = dir.path().join("../").join(dir.path().file_name().unwrap()).join("a");
        let refused = check_apart([&b, &other], &[&a]).unwrap_err().to_string();
        assert!(refused.contains("would be overwritten"), "{refused}");
        check_apart([&b, &dir.path().join("none")], &[&a, &dir.path().join("none")]).unwrap();
    }
}
