//! `partstad info`: what this program finds on this machine.

use super::Global;
use clap::Args;
use partstad::{
    Error, Result,
    models::{Manifest, Models, runtime},
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Show versions, ONNX Runtime, GPU and models
#[derive(Args)]
#[command(after_help = "Example: partstad info --json")]
pub struct Info {
    /// Directory of models to look at instead of those inside this program; its files are compared with their checksums
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
        let (gpu, gpu_text) = gpu();
        let (models, models_text) = match Models::manifest_of(self.models.as_deref()) {
            Ok((manifest, problems)) => {
                let problems: Vec<String> = problems.iter().map(Error::to_string).collect();
                let mut models = json!(manifest);
                models["problems"] = json!(problems);
                let wrong = problems.iter().map(|problem| format!("\n              WRONG: {problem}"));
                (models, describe(&manifest) + &wrong.collect::<String>())
            }
            Err(e) if self.models.is_some() => return Err(e),
            Err(e) => (json!({ "error": e.to_string() }), e.to_string()),
        };
        let version = env!("CARGO_PKG_VERSION");
        let text = format!(
            "partstad      {version}\nthreads       {} of {cores} cores\nONNX Runtime  {runtime_text}\nGPU           {gpu_text}\nmodels        {models_text}",
            rayon::current_num_threads()
        );
        let json = json!({
            "partstad": version, "threads": rayon::current_num_threads(), "cores": cores,
            "onnx_runtime": runtime, "gpu": gpu, "models": models,
        });
        global.report(json, &text)
    }
}

fn describe(manifest: &Manifest) -> String {
    let kind = if manifest.stand_in { " (small stand-ins for GLIP and SAM)" } else { "" };
    let files = manifest.files.iter().map(|(name, sum)| format!("\n              {name}  sha256 {sum}"));
    let list = |title: &str, names: &[String]| match names {
        [] => String::new(),
        names => format!("\n{title:14}{}", names.join(", ")),
    };
    let known = list("known parts", manifest.known_parts());
    let concepts = manifest.concepts.iter().map(|concepts| {
        let [height, width] = concepts.image.size;
        let features = if concepts.feature_dim > 0 { "" } else { ", without features of its own" };
        let stored: Vec<String> = concepts.prompts.keys().cloned().collect();
        let (stored, text) = (list("stored names", &stored), concepts.text_encoder.is_some());
        let others = if text { "" } else { "\n              no text encoder: no other names" };
        format!(
            "\n              finds concepts in {height} x {width}, {} queries{features}{stored}{others}",
            concepts.queries
        )
    });
    format!("{}{kind}{}{known}{}", manifest.name, files.collect::<String>(), concepts.collect::<String>())
}

/// The CUDA devices, or why there is none to use.
#[cfg(feature = "cuda")]
fn gpu() -> (Value, String) {
    use partstad::device::gpu::{self, Gpu};
    let found = gpu::device_count().and_then(|count| {
        (0..count.max(1)).map(|ordinal| Gpu::new(ordinal)?.describe()).collect::<Result<Vec<_>>>()
    });
    match found {
        Ok(devices) => {
            let lines = devices.iter().map(|d| {
                let clock = d.telemetry.as_ref().and_then(|t| t.clock);
                let clock = clock.map_or(String::new(), |[now, most]| format!(", {now} of {most} MHz"));
                let watts = d.telemetry.as_ref().and_then(|t| t.watts);
                let watts = watts.map_or(String::new(), |watts| format!(", {watts:.0} W"));
                format!(
                    "cuda:{} {} (compute capability {}.{}, {} of {} MiB free, driver for CUDA {}.{}{clock}{watts})",
                    d.ordinal,
                    d.name,
                    d.capability.0,
                    d.capability.1,
                    d.free >> 20,
                    d.memory >> 20,
                    d.driver / 1000,
                    d.driver % 1000 / 10
                )
            });
            let text = lines.collect::<Vec<_>>().join("\n              ");
            (json!(devices), text)
        }
        Err(why) => (json!({ "error": why.to_string() }), format!("not used: {why}")),
    }
}

#[cfg(not(feature = "cuda"))]
fn gpu() -> (Value, String) {
    (Value::Null, "not used: built without the feature cuda".into())
}
