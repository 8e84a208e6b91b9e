//! `partstad weights`: learned weights to and from the authors' code.

use super::{Global, run};
use clap::{Args, Subcommand};
use partstad::{
    Error, Parts, Result,
    io::{path_text, staged},
    stages::checkpoint::Checkpoint,
    study::dataset::BENCHMARK,
};
use serde_json::json;
use std::path::PathBuf;

/// Exchange learned weights with the authors' code
#[derive(Args)]
pub struct Weights {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Import(Import),
    Export(Export),
}

/// Take over a checkpoint that the authors' code saved (PyTorch, ckpt_400.tar)
///
/// Needs no Python. The file's pickle is read as data; what asks for more than tensors is refused.
#[derive(Args)]
#[command(after_help = "Examples:
  partstad weights import ckpt_400.tar --category Chair -o weights/Chair.safetensors
  partstad weights import ckpt_400.tar --parts arm,back,leg,seat,wheel -o chair.safetensors")]
#[command(group(clap::ArgGroup::new("what").required(true).args(["category", "parts"])))]
struct Import {
    /// Checkpoint of PyTorch 1.6 or later
    file: PathBuf,
    /// Category of the benchmark that it was learned for
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Names of the parts that it was learned for, in their order, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    parts: Vec<String>,
    /// File to write (.safetensors)
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// Write learned weights as a checkpoint for the authors' code
///
/// `torch.load(FILE, weights_only=True)` reads it. Their optimizers start afresh. Their code knows no agreement, so the weights
/// must have been learned with `train --basis constant`.
#[derive(Args)]
#[command(after_help = "Example: partstad weights export weights/Chair.safetensors -o ckpt_400.tar")]
struct Export {
    /// Weights that `partstad train --basis constant` wrote
    file: PathBuf,
    /// File to write (.tar, as they call it; a zip archive in truth)
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Weights {
    pub fn run(&self, global: &Global) -> Result<()> {
        let (checkpoint, out) = match &self.command {
            Command::Import(Import { file, category, parts, out }) => {
                let parts = match category {
                    Some(category) => benchmark(category)?,
                    None => run::parts(parts),
                };
                staged::check_apart([out], &[file])?;
                let checkpoint = Checkpoint::import(file, &parts)?;
                checkpoint.write(out)?;
                (checkpoint, out)
            }
            Command::Export(Export { file, out }) => {
                staged::check_apart([out], &[file])?;
                let checkpoint = Checkpoint::read(file)?;
                checkpoint.export(out).map_err(|e| match e {
                    Error::Invalid(why) => Error::format(file, why),
                    other => other,
                })?;
                (checkpoint, out)
            }
        };
        let Checkpoint { parts, epoch, network, .. } = &checkpoint;
        let (channels, null_weight, basis) = (network.channels(), network.null(), network.basis());
        let names = parts.join(", ");
        global.report(
            json!({ "out": path_text(out), "parts": parts, "epoch": epoch, "channels": channels, "null_weight": null_weight, "basis": basis }),
            &format!("{}: epoch {epoch}, parts {names}, null weight {null_weight:.2}", out.display()),
        )
    }
}

fn benchmark(category: &str) -> Result<Parts> {
    match BENCHMARK.iter().find(|(name, _)| *name == category) {
        Some((_, parts)) => Parts::new(*parts),
        None => {
            let names: Vec<&str> = BENCHMARK.iter().map(|(name, _)| *name).collect();
            let message = format!("no category {category:?}; there are {}; or use --parts", names.join(", "));
            Err(Error::invalid(message))
        }
    }
}
