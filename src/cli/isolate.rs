//! A batch in a process of its own, and who starts it again when a cloud has ended it.

use partstad::{
    Error, Result,
    batch::{
        Totals,
        journal::{Entry, Journal, State},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};

/// Names the file with the [`Ward`] of a process.
const VARIABLE: &str = "PARTSTAD_BATCH_WARD";

/// What a watched process may do, and where it says what it does.
#[derive(Serialize, Deserialize)]
pub struct Ward {
    log: PathBuf,
    /// This cloud alone.
    only: Option<String>,
    /// Clouds that have ended a process.
    without: BTreeSet<String>,
}

/// A line of the log.
#[derive(Serialize, Deserialize)]
enum Line {
    Begun(String),
    Done(String),
    Failed(String),
}

impl Ward {
    /// That of this process, if another one watches it.
    pub fn of_this_process() -> Result<Option<Ward>> {
        let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return Ok(None) };
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let ward = serde_json::from_slice(&text).map_err(|e| Error::format(&path, e.to_string()))?;
        thread::spawn(move || {
            // The watching process holds the other end, and takes it along when it goes. Nothing is lost by ending anywhere.
            let _ = std::io::stdin().read_to_end(&mut vec![]);
            path.parent().map(fs::remove_dir_all);
            std::process::exit(1);
        });
        Ok(Some(ward))
    }

    /// Whether it is of the whole batch, and not of one cloud.
    pub fn is_whole(&self) -> bool {
        self.only.is_none()
    }

    /// Whether the process may do a cloud.
    pub fn takes(&self, id: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == id) && !self.without.contains(id)
    }

    /// A cloud is about to be read.
    pub fn begun(&self, id: &str) -> Result<()> {
        self.note(&Line::Begun(id.into()))
    }

    /// A cloud has an outcome.
    pub fn ended(&self, entry: &Entry) {
        let id = entry.id.clone();
        // At worst it is begun anew, and found in the journal.
        let _ = self.note(&if entry.state == State::Done { Line::Done(id) } else { Line::Failed(id) });
    }

    fn note(&self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line).expect("a line is text") + "\n";
        let log = File::options().append(true).create(true).open(&self.log);
        log.and_then(|mut log| log.write_all(text.as_bytes())).map_err(Error::io(&self.log))
    }

    /// Runs this command again as a process that has this ward.
    fn run(&self, folder: &Path) -> Result<Ended> {
        let path = folder.join("ward.json");
        fs::write(&path, serde_json::to_vec(self).expect("a ward is text")).map_err(Error::io(&path))?;
        fs::write(&self.log, "").map_err(Error::io(&self.log))?;
        let program = std::env::current_exe().map_err(Error::io("this program"))?;
        let mut command = Command::new(&program);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, &path).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(Error::io(&program))?;
        // Held until it ends: that it closes tells the process that nobody watches any more.
        let watching = child.stdin.take();
        let status = child.wait().map_err(Error::io(&program))?;
        drop(watching);
        let mut ended = Ended { death: death(status)?, ..Ended::default() };
        let log = fs::read_to_string(&self.log).map_err(Error::io(&self.log))?;
        for line in log.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            let (Line::Begun(id) | Line::Done(id) | Line::Failed(id)) = &line;
            ended.under_way.retain(|other| other != id);
            match line {
                Line::Begun(id) => ended.under_way.push(id),
                Line::Done(_) => ended.done += 1,
                Line::Failed(id) => ended.failed.push(id),
            }
        }
        Ok(ended)
    }
}

/// How a watched process ended.
#[derive(Default)]
struct Ended {
    /// Why it ended early, if it did.
    death: Option<String>,
    /// Clouds that it had begun then.
    under_way: Vec<String>,
    done: usize,
    failed: Vec<String>,
}

/// Why a process ended early; an error if it was told to, or gave up by itself.
fn death(status: ExitStatus) -> Result<Option<String>> {
    #[cfg(unix)]
    if let Some(1 | 2 | 15) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Err(Error::invalid(format!("the batch was stopped, {status}")));
    }
    match status.code() {
        Some(0) => Ok(None),
        Some(1 | 2) => Err(Error::invalid("the batch gave up; its message stands above")),
        _ => Ok(Some(status.to_string())),
    }
}

/// Runs this command in a process that does the clouds, and starts it again when it dies. What was under way is then tried
/// alone, so that the cloud that ended it is found. `clouds`: how many there are; `tell` learns of those that failed so.
pub fn supervise(clouds: usize, journal: &Path, tell: impl Fn(&Entry)) -> Result<Totals> {
    let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
    let mut ward = Ward { log: folder.path().join("log"), only: None, without: BTreeSet::new() };
    let mut done = 0;
    let mut suspects: Vec<String> = vec![];
    loop {
        ward.only = suspects.pop();
        let ended = ward.run(folder.path())?;
        done += ended.done;
        ward.without.extend(ended.failed);
        match (ended.death, &ward.only) {
            (None, None) => break,
            (None, Some(_)) => {}
            (Some(death), _) if ended.under_way.is_empty() => {
                return Err(Error::invalid(format!("the batch ended before a cloud was begun, {death}")));
            }
            (Some(death), None) => {
                let clouds = ended.under_way.join(", ");
                tracing::warn!("the batch ended, {death}; what was under way is tried alone: {clouds}");
                suspects = ended.under_way;
            }
            (Some(death), Some(id)) => {
                let why = format!("it ended the process, {death}; is there enough memory?");
                let entry = Entry::failed(id.clone(), why);
                Journal::open(journal)?.add(entry.clone())?;
                tell(&entry);
                ward.without.insert(id.clone());
            }
        }
    }
    let failed = ward.without.len();
    Ok(Totals { done, failed, kept: clouds.saturating_sub(done + failed) })
}
