//! What a person sees while the pipeline works.

use super::for_terminal;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use partstad::{
    Observer,
    error::one_line,
    observer::{STEPS, Stage},
};
use std::{
    fmt,
    io::Write,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::{Layer, filter, layer::Context, registry::LookupSpan};

/// The bar that people look at, and what it says before the steps.
static SHOWN: Mutex<Option<(ProgressBar, String)>> = Mutex::new(None);

/// Says what is being done.
pub fn show(bar: &ProgressBar, what: &str) {
    bar.set_message(what.to_string());
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some((bar.clone(), what.to_string()));
}

/// Writes the steps within a stage behind its name.
pub fn steps<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Steps.with_filter(filter::filter_fn(|metadata| metadata.target() == STEPS))
}

struct Steps;

impl<S: Subscriber> Layer<S> for Steps {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some((bar, what)) = &*SHOWN.lock().unwrap_or_else(PoisonError::into_inner) {
            let mut words = Words(String::new());
            event.record(&mut words);
            bar.set_message(format!("{what}: {}", words.0));
        }
    }
}

/// An event's message.
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// A spinner on standard error for work without stages.
pub fn work(title: &str, what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_finish(ProgressFinish::AndClear);
    let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}  {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_prefix(title.to_string());
    tick(&bar);
    show(&bar, what);
    bar
}

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
        show(self.0, stage.name());
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
