//! `partstad models`: models of one's own, from checkpoints to a checked folder.

use super::{Global, run};
use clap::{Args, Subcommand};
use partstad::{
    Error, Result,
    models::{
        Options,
        check::{self, Report, Trial},
    },
};
use serde_json::json;
use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process,
};

/// Export models of your own (GLIP, SAM, ...) and check them
#[derive(Args)]
pub struct ModelsCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(Check),
    Export(Export),
}

/// Check a folder of models
///
/// Compares every input and output with what partstad asks for, runs made-up views on the CPU, times them, and says in words
/// what is wrong. The exit code is 1 if anything is.
#[derive(Args)]
#[command(after_help = "Example: partstad models check my-models")]
struct Check {
    /// Directory with manifest.json and ONNX models
    folder: PathBuf,
    /// Names to look for in the trial, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "arm,back,leg,seat,wheel")]
    parts: Vec<String>,
}

/// Export a checkpoint to a folder of models
///
/// Hands its arguments to the Python program tools/export/export.py of partstad's repository; docs/models.md tells what it
/// takes and how to install what it needs.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad models export -- --help
  partstad models export sam sam_vit_h_4b8939.pth --model vit_h -o my-models")]
struct Export {
    /// Python with the packages of requirements.txt [default: tools/export/.venv's if it is there, else python3]
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Directory of the exporters
    #[arg(long, value_name = "DIR", default_value = "tools/export")]
    tools: PathBuf,
    /// What to export: the exporters' own arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl ModelsCommand {
    pub fn run(&self, global: &Global) -> Result<()> {
        match &self.command {
            Command::Check(check) => check.run(global),
            Command::Export(export) => export.run(),
        }
    }
}

impl Check {
    fn run(&self, global: &Global) -> Result<()> {
        let threads = global.threads.unwrap_or(0).into();
        let report =
            check::check(&self.folder, &run::parts(&self.parts), &Options { threads, ..Options::default() })?;
        global.report(json!(report), &describe(&report))?;
        match report.problems.len() {
            0 => Ok(()),
            n => Err(Error::Model(format!(
                "{}: {n} problem{} (see above); these models cannot be used",
                self.folder.display(),
                if n == 1 { "" } else { "s" }
            ))),
        }
    }
}

fn describe(report: &Report) -> String {
    let kind = if report.manifest.stand_in { " (small stand-ins for GLIP and SAM)" } else { "" };
    let mut lines = vec![format!("{}{kind}", report.manifest.name)];
    for model in &report.models {
        lines.push(format!("\n{}  {:.1} MB", model.file, mega(model.bytes)));
        for port in &model.ports {
            let side = |side: &Option<String>| side.clone().unwrap_or("-".into());
            let verdict = if port.problem.is_some() { "WRONG" } else { "ok" };
            lines.push(format!(
                "  {:6}  {:16}  needs {:26}  has {:30}  {verdict}",
                port.kind,
                port.name,
                side(&port.contract),
                side(&port.model)
            ));
        }
    }
    lines
        .extend(report.trial.as_ref().map(|trial| describe_trial(trial, report.manifest.concepts.is_some())));
    lines.extend(report.notes.iter().map(|note| format!("\n{note}")));
    match &report.problems[..] {
        [] => lines.push("\nNothing is wrong.".into()),
        problems => {
            lines.push("\nWrong:".into());
            lines.extend(problems.iter().map(|problem| format!("  - {problem}")));
        }
    }
    lines.join("\n")
}

fn describe_trial(trial: &Trial, by_name: bool) -> String {
    let Trial { load, text, detect, boxes, segment, decode, weights, outputs, peak } = trial;
    let mut lines = vec![
        "\nTrial, on the CPU".to_string(),
        format!("  sessions made in      {load:.2} s"),
        format!("  part names encoded in {text:.3} s"),
        match by_name {
            true => format!("  a name in a view in   {detect:.2} s, {boxes} boxes of any score"),
            false => format!("  one view detected in  {detect:.2} s, {boxes} boxes of any score"),
        },
    ];
    if let (true, Some(decode)) = (by_name, decode) {
        lines.push(format!("  each further name in  {decode:.2} s"));
    }
    if let (Some(segment), Some(decode)) = (segment, decode) {
        lines.push(format!("  one view segmented in {segment:.2} s, each further box in {decode:.3} s"));
    }
    let peak = peak.map_or(String::new(), |peak| format!("; this process took {:.0} MB at most", mega(peak)));
    lines.push(format!(
        "  memory                {:.1} MB of weights, {:.1} MB of {}{peak}",
        mega(*weights),
        mega(*outputs),
        if by_name { "the decoder's outputs a name" } else { "detector's outputs a view" }
    ));
    lines.join("\n")
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

impl Export {
    fn run(&self) -> Result<()> {
        let program = self.tools.join("export.py");
        if !program.is_file() {
            return Err(Error::invalid(format!(
                "{}: there are no exporters; run in partstad's repository, or name its tools/export with --tools",
                program.display()
            )));
        }
        let own = self.tools.join(".venv/bin/python");
        let python = match &self.python {
            Some(python) => python,
            None if own.is_file() => &own,
            None => Path::new("python3"),
        };
        let done = process::Command::new(python).arg(&program).args(&self.arguments).status();
        let wrong = match done {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => format!("the exporter ended with {status}; its message is above"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                "there is no such Python; install Python 3.11 or newer, or name one with --python".into()
            }
            Err(e) => format!("does not start: {e}"),
        };
        Err(Error::invalid(format!("{}: {wrong}", python.display())))
    }
}
