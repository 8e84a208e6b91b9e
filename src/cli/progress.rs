//! What a person sees while the pipeline works.

use super::for_terminal;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use partstad::{Observer, error::one_line, observer::Stage};
use std::{io::Write, thread, time::Duration};

/// A bar on standard error that counts the stages; nothing where that is no terminal.
pub fn stages(title: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}  {bar:24} {msg}  {elapsed}");
    let bar = ProgressBar::new(Stage::ALL.len() as u64).with_finish(ProgressFinish::AndClear);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(one_line(title));
    tick(&bar);
    bar
}

/// Moves a bar of [`stages`].
pub struct Stages<'a>(pub &'a ProgressBar);

impl Observer for Stages<'_> {
    fn begins(&self, stage: Stage) {
        self.0.set_position(Stage::ALL.iter().position(|&s| s == stage).unwrap_or_default() as u64);
        self.0.set_message(stage.name());
        tracing::info!("{}", stage.name());
    }
}

/// A bar that counts objects, the one at work beside it.
pub fn objects(title: &str, count: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{spinner} {prefix}  {bar:24} {pos}/{len} {msg}  {elapsed}, {eta} left");
    let bar = ProgressBar::new(count as u64).with_finish(ProgressFinish::AndClear);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(one_line(title));
    tick(&bar);
    bar
}

/// Turns the bar's wheel, if somebody sees it and a thread can be had.
fn tick(bar: &ProgressBar) {
    let thread = || thread::Builder::new().spawn(|| ()).is_ok_and(|thread| thread.join().is_ok());
    if !bar.is_hidden() && thread() {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
}

/// Prints an error that does not end the command.
pub fn complain(bar: &ProgressBar, error: &str) {
    bar.suspend(|| writeln!(std::io::stderr(), "error: {}", for_terminal(error))).unwrap_or_default();
}
