//! `partstad info`: what this program finds on this machine.

use super::Global;
use clap::Args;
use partstad::{
    Error, Result,
    models::{Manifest, Models, runtime},
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Show versions, ONNX Runtime, GPU and models
#[derive(Args)]
#[command(after_help = "Example: partstad info --json")]
pub struct Info {
    /// Directory of models to look at instead of those inside this program
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

impl Info {
    pub fn run(&self, global: &Global) -> Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let (runtime, runtime_text) = match runtime::find() {
            Ok(Some(found)) => {
                let (path, build) = (found.location().path().display().to_string(), found.build_info());
                (json!({ "path": path, "build": build }), format!("{path} ({build})"))
            }
            Ok(None) => {
                (Value::Null, "none on this machine; `segment` and `demo` fetch it from PyPI".to_string())
            }
            Err(e) => (json!({ "error": e.to_string() }), e.to_string()),
        };
        let gpu = gpu();
        let (models, models_text) = match self.manifest() {
            Ok(manifest) => (json!(manifest), describe(&manifest)),
            Err(e) if self.models.is_some() => return Err(e),
            Err(e) => (json!({ "error": e.to_string() }), e.to_string()),
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "partstad      {version}\nthreads       {} of {cores} cores\nONNX Runtime  {runtime_text}\nGPU           {gpu}\nmodels        {models_text}",
            rayon::current_num_threads()
        );
        let json = json!({
            "partstad": version, "threads": rayon::current_num_threads(), "cores": cores,
            "onnx_runtime": runtime, "gpu": gpu, "models": models,
        });
        global.report(json, &text)
    }

    fn manifest(&self) -> Result<Manifest> {
        let Some(folder) = &self.models else { return Models::embedded_manifest() };
        let path = folder.join("manifest.json");
        let text = std::fs::read(&path).map_err(Error::io(&path))?;
        Manifest::parse(&text, &path)
    }
}

fn describe(manifest: &Manifest) -> String {
    let kind = if manifest.stand_in { " (small stand-ins for GLIP and SAM)" } else { "" };
    let files = manifest.files.iter().map(|(name, sum)| format!("\n              {name}  sha256 {sum}"));
    format!("{}{kind}{}", manifest.name, files.collect::<String>())
}

/// Whether there is a GPU to use, or why not.
fn gpu() -> String {
    let driver = std::fs::read_to_string(Path::new("/proc/driver/nvidia/version")).ok();
    match driver.as_deref().and_then(|text| text.lines().next()) {
        Some(line) => format!("not used: this version has no CUDA kernels (found {})", line.trim()),
        None => "not used: this version has no CUDA kernels (and no NVIDIA driver was found)".to_string(),
    }
}
