//! Sessions of ONNX Runtime.

use super::{
    failure,
    options::Options,
    runtime::{self, Runtime},
};
use crate::{device::Device, error::Result};
use ort::session::{Session, builder::GraphOptimizationLevel};
use std::{fmt, path::PathBuf};

/// Where a model's bytes are.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a file, whose external data may lie beside it.
    File(PathBuf),
    /// In memory, under a name.
    Bytes(String, &'static [u8]),
}

impl fmt::Display for Source {
    /// What messages call the model.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Bytes(name, _) => f.write_str(name),
        }
    }
}

/// Makes sessions: ONNX Runtime with what they compute by.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub struct Sessions {
    pub(super) runtime: &'static Runtime,
    pub(super) options: Options,
    /// What they compute on.
    pub(super) device: Device,
    /// Whether models are of f16 or bf16, whose convolutions may then use the tensor cores.
    pub(super) half: bool,
    /// Whether graphs with DeformConv run on the device as a whole.
    pub has_deform_conv: bool,
}

impl Sessions {
    /// On the CPU.
    pub fn cpu(runtime: &'static Runtime, options: &Options) -> Sessions {
        Sessions {
            runtime,
            options: Options { cuda_graphs: false, ..options.clone() },
            device: Device::Cpu,
            half: false,
            has_deform_conv: true,
        }
    }

    /// The same ONNX Runtime on the CPU.
    pub fn on_cpu(&self) -> Sessions {
        Sessions::cpu(self.runtime, &self.options)
    }

    /// For models of f16 or bf16, or of f32.
    pub fn for_half(self, half: bool) -> Sessions {
        Sessions { half, ..self }
    }

    /// Without CUDA graphs.
    pub fn ungraphed(&self) -> Sessions {
        Sessions { options: Options { cuda_graphs: false, ..self.options.clone() }, ..self.clone() }
    }

    /// What was asked for.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A session.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) if the file is missing, broken or needs what this ONNX Runtime or machine
    /// lacks; [`Error::Memory`](crate::Error::Memory).
    pub fn open(&self, source: &Source) -> Result<Session> {
        runtime::forget_complaint();
        let made = || {
            let mut builder = Session::builder(self.runtime.environment())?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(self.options.threads)?
                // Idle workers would take the cores from the stages that follow.
                .with_intra_op_spinning(false)?
                // A planned run takes its memory in one piece, beside the pieces of the first: with SAM ViT-H, 4 GB more.
                .with_memory_pattern(false)?;
            #[cfg(feature = "cuda")]
            if let Device::Cuda(gpu) = &self.device {
                builder =
                    builder.with_execution_providers(super::ep::providers(gpu, &self.options, self.half))?;
                if self.options.whole_on_device {
                    builder = builder.with_disable_cpu_fallback()?;
                }
            }
            match source {
                Source::File(path) => builder.commit_from_file(path),
                Source::Bytes(_, bytes) => builder.commit_from_memory(bytes),
            }
        };
        made().map_err(|e: ort::Error| {
            // The loader's words on a provider's library are in the log alone.
            let said = match runtime::complaint() {
                Some(complaint) if !e.to_string().contains(&complaint) => format!("{e}; {complaint}"),
                _ => e.to_string(),
            };
            failure::explain(&format!("{source}: ONNX Runtime cannot use this model"), &said)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_named() {
        const CUT: &[u8] = include_bytes!("probe.onnx").split_at(100).0;
        let sessions = Sessions::cpu(runtime::load().unwrap(), &Options::default());
        let broken = sessions.open(&Source::Bytes("cut".into(), CUT)).unwrap_err().to_string();
        assert!(broken.contains("cut: ONNX Runtime cannot use this model"), "{broken}");
    }
}
