//! The command line: arguments in, files and messages out. Exit codes: 0 done, 1 failed, 2 unknown or malformed arguments.

#[cfg(feature = "ort")]
mod batch;
#[cfg(feature = "ort")]
mod data;
mod dataset;
#[cfg(feature = "ort")]
mod evaluate;
#[cfg(feature = "ort")]
mod info;
#[cfg(feature = "ort")]
mod isolate;
mod lift;
#[cfg(feature = "ort")]
mod models;
#[cfg(feature = "ort")]
mod prepare;
mod progress;
mod render;
mod run;
#[cfg(feature = "ort")]
mod segment;
mod settings;
mod superpoints;
mod train;
mod weights;

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use partstad::{Error, Result, error::one_line};
use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};
use tracing_subscriber::{filter::LevelFilter, fmt, prelude::*};

/// Segments coloured 3D point clouds into named parts and instances.
///
/// The cloud is rendered from ten directions, a 2D model finds the parts in the images, and their votes are gathered on
/// the cloud (PartSTAD, ECCV 2024).
#[derive(Parser)]
#[command(name = "partstad", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed (the message says why), 2 an argument is unknown, missing or malformed.";

#[derive(Args)]
pub struct Global {
    /// Print the result as JSON on standard output: an object; of several clouds a list; of batch a line for each outcome,
    /// and the totals last
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    /// Say more on standard error: -v what is done, -vv details
    #[arg(short, long, global = true, display_order = 901, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Threads to compute on [default: one per core]; results do not depend on it
    #[arg(long, global = true, display_order = 902, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "ort")]
    Demo(segment::Demo),
    #[cfg(feature = "ort")]
    Segment(segment::Segment),
    #[cfg(feature = "ort")]
    Batch(batch::BatchCommand),
    Lift(lift::Lift),
    Render(render::Render),
    Superpoints(superpoints::SuperpointsCommand),
    Dataset(dataset::DatasetCommand),
    #[cfg(feature = "ort")]
    Prepare(prepare::Prepare),
    Train(train::Train),
    Weights(weights::Weights),
    #[cfg(feature = "ort")]
    Evaluate(evaluate::Evaluate),
    #[cfg(feature = "ort")]
    Models(models::ModelsCommand),
    #[cfg(feature = "ort")]
    Info(info::Info),
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    let Cli { command, global } = Cli::parse();
    let level = match global.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // Where there are colours, tracing itself replaces what would change them.
    let log = fmt::layer()
        .with_writer(move || Log { color })
        .with_ansi(color)
        .without_time()
        .with_target(false)
        .with_filter(level);
    let log = tracing_subscriber::registry().with(log).with(progress::steps());
    #[cfg(feature = "nvtx")]
    let log = {
        let ours = tracing_subscriber::filter::Targets::new().with_target("partstad", LevelFilter::DEBUG);
        log.with(nvtx::tracing::NvtxLayer::default().with_filter(ours))
    };
    log.init();
    let done = start_threads(global.threads).and_then(|()| match command {
        #[cfg(feature = "ort")]
        Command::Demo(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Segment(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Batch(args) => args.run(&global),
        Command::Lift(args) => args.run(&global),
        Command::Render(args) => args.run(&global),
        Command::Superpoints(args) => args.run(&global),
        Command::Dataset(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Prepare(args) => args.run(&global),
        Command::Train(args) => args.run(&global),
        Command::Weights(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Evaluate(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Models(args) => args.run(&global),
        #[cfg(feature = "ort")]
        Command::Info(args) => args.run(&global),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ =
                writeln!(std::io::stderr(), "{}", for_terminal(&format!("error: {error}{}", hint(&error))));
            ExitCode::FAILURE
        }
    }
}

/// Ends the program as an argument does that clap refuses.
fn malformed(argument: &str, why: &Error) -> ! {
    let message = for_terminal(&format!("{argument}: {why}"));
    clap::Error::raw(ErrorKind::ValueValidation, format!("{message}\n")).exit()
}

/// How the command line asks for what the library's message names.
fn hint(error: &Error) -> &'static str {
    match error {
        Error::Device(_) => "\nhint: the device is chosen by --device cpu, --device auto or --device cuda:N",
        _ => "",
    }
}

/// Where messages of what is done go.
struct Log {
    color: bool,
}

impl Write for Log {
    fn write(&mut self, message: &[u8]) -> std::io::Result<usize> {
        if self.color {
            std::io::stderr().write_all(message)?;
        } else {
            writeln!(std::io::stderr(), "{}", for_terminal(&String::from_utf8_lossy(message)))?;
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Starts the threads now, where an error can be told: what needs them first would panic.
fn start_threads(threads: Option<u16>) -> Result<()> {
    let built = rayon::ThreadPoolBuilder::new().num_threads(threads.unwrap_or(0).into()).build_global();
    built.map_err(|e| {
        Error::Memory(format!(
            "the threads to compute on do not start: {e}; ask for fewer with --threads, or raise the limits of processes and \
             memory (ulimit -u, ulimit -v)"
        ))
    })
}

/// Text whose lines may hold what stands in files.
fn for_terminal(text: &str) -> String {
    run::with_flags(text).lines().map(one_line).collect::<Vec<_>>().join("\n")
}

/// Warns of what a library's call noticed.
fn warn(warning: &str) {
    tracing::warn!("{}", for_terminal(warning));
}

impl Global {
    /// Prints the outcome: JSON for machines, or text for people.
    fn report(&self, json: serde_json::Value, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let done = if self.json { writeln!(out, "{json}") } else { writeln!(out, "{}", for_terminal(text)) };
        match done {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("standard output")(e)),
            _ => Ok(()),
        }
    }
}
