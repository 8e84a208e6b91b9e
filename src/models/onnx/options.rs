//! What computes the models, and how much memory they may take.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How to make the sessions, and how much memory they may take. All but the threads is for models on a CUDA device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Threads within an operator on the CPU; 0 = one per core.
    pub threads: usize,
    /// What computes them.
    pub provider: Provider,
    /// Refuse models of which ONNX Runtime would compute any node on the CPU. Dynamic models usually compute their shapes
    /// there.
    pub whole_on_device: bool,
    /// Replay the image encoder's work as one CUDA graph for each number of images, captured when the number first comes;
    /// nobody else in this process may use the device meanwhile. Its inputs and outputs get memory of their own. Asks for
    /// an encoder without copies to or from the host in between.
    pub cuda_graphs: bool,
    /// The most bytes that ONNX Runtime takes for a model, weights included; none = no limit.
    pub memory_limit: Option<u64>,
    /// The bytes that a run of a model may take, which decides how many images or boxes it takes where the stages leave
    /// that open; none = nine tenths of what is free when it first runs.
    pub batch_memory: Option<u64>,
}

/// What computes the detector's head and the segmenter. The text encoder, which runs once a prompt, stays on the CPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// The device's own: ONNX Runtime's CUDA provider on a CUDA device; without it there is an error.
    #[default]
    Device,
    /// The device's own, and the CPU where ONNX Runtime has none or it does not work, with a warning.
    DeviceOrCpu,
    /// TensorRT on a CUDA device, and the CUDA provider for what TensorRT does not take.
    Tensorrt,
    /// The CPU, whatever the device.
    Cpu,
}

impl Provider {
    const NAMES: [(&str, Provider); 4] = [
        ("device", Provider::Device),
        ("device-or-cpu", Provider::DeviceOrCpu),
        ("tensorrt", Provider::Tensorrt),
        ("cpu", Provider::Cpu),
    ];
}

impl FromStr for Provider {
    type Err = Error;

    /// `device`, `device-or-cpu`, `tensorrt` or `cpu`.
    fn from_str(text: &str) -> Result<Provider> {
        let found = Provider::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|&(_, provider)| provider).ok_or_else(|| {
            Error::invalid(format!(
                "provider {text:?} is not one of {}",
                Provider::NAMES.map(|(name, _)| name).join(", ")
            ))
        })
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Provider::NAMES.iter().find(|(_, provider)| provider == self).map(|(name, _)| *name);
        f.write_str(name.expect("every provider has a name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_names() {
        for (name, provider) in Provider::NAMES {
            assert_eq!(
                (name.parse::<Provider>().unwrap(), provider.to_string()),
                (provider, name.to_string())
            );
            assert_eq!(serde_json::to_value(provider).unwrap(), name);
        }
        assert!("gpu".parse::<Provider>().unwrap_err().to_string().contains("device-or-cpu"));
    }
}
