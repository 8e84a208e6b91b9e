//! What a caller learns while a cloud is segmented, and how it stops that.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A stage of the pipeline, as progress and timings name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Stage {
    Superpoints,
    Views,
    Boxes,
    Masks,
    Evidence,
    Memberships,
    Weights,
    Scores,
    Labels,
    Instances,
}

impl Stage {
    /// The stages in the order they run.
    pub const ALL: [Stage; 10] = [
        Stage::Superpoints,
        Stage::Views,
        Stage::Boxes,
        Stage::Masks,
        Stage::Evidence,
        Stage::Memberships,
        Stage::Weights,
        Stage::Scores,
        Stage::Labels,
        Stage::Instances,
    ];

    /// Its lower-case name.
    pub fn name(self) -> &'static str {
        self.named().0
    }

    /// Its name, and the range that a profiler shows while it runs.
    fn named(self) -> (&'static str, tracing::Span) {
        macro_rules! named {
            ($($stage:ident: $name:literal),*) => {
                match self { $(Stage::$stage => ($name, tracing::info_span!(target: "partstad", $name)),)* }
            };
        }
        named!(
            Superpoints: "superpoints",
            Views: "views",
            Boxes: "boxes",
            Masks: "masks",
            Evidence: "evidence",
            Memberships: "memberships",
            Weights: "weights",
            Scores: "scores",
            Labels: "labels",
            Instances: "instances"
        )
    }
}

/// Watches one call. Each cloud may have an observer of its own, so that clouds at work at the same time are told apart.
pub trait Observer: Sync {
    /// A stage begins.
    fn begins(&self, _stage: Stage) {}

    /// Something that the caller should know and that is no error; it is also in the result.
    fn warns(&self, _warning: &str) {}

    /// Whether to stop before the next stage, with [`Error::Cancelled`].
    fn cancels(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Observer for () {}

/// The target of the events of [`tracing`] that tell how far a stage has come, in words, at the level `TRACE`. They are
/// for people who wait: "neighbours of 2000000 points", "view 3 of 10".
pub const STEPS: &str = "partstad::steps";

/// Tells how far a stage has come.
macro_rules! step {
    ($($words:tt)*) => { tracing::trace!(target: $crate::observer::STEPS, $($words)*) };
}
pub(crate) use step;

/// How far one call has come: what its observer was told, and what each stage took.
pub struct Progress<'a> {
    observer: &'a dyn Observer,
    /// Wall-clock seconds until each stage returned, in the order they ran. On a device work goes on behind it, and the next
    /// stage that waits pays for it.
    pub seconds: Vec<(Stage, f64)>,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

impl<'a> Progress<'a> {
    /// At the start of a call.
    pub fn new(observer: &'a dyn Observer) -> Progress<'a> {
        Progress { observer, seconds: vec![], warnings: vec![] }
    }

    /// Does a stage's work.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the observer asks for that; those of the work.
    pub fn run<T>(&mut self, stage: Stage, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.observer.cancels() {
            return Err(Error::Cancelled);
        }
        self.observer.begins(stage);
        let _range = stage.named().1.entered();
        let start = Instant::now();
        let result = work();
        self.seconds.push((stage, start.elapsed().as_secs_f64()));
        result
    }

    /// Keeps a warning, and tells the observer.
    pub fn warn(&mut self, warning: String) {
        self.observer.warns(&warning);
        self.warnings.push(warning);
    }
}

impl Default for Progress<'_> {
    /// Without an observer.
    fn default() -> Self {
        Progress::new(&())
    }
}
