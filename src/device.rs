//! Where the operations run: a value chosen at run time, not a type parameter.

use crate::error::{Error, Result};
use std::{fmt, str::FromStr};

/// The device that a pipeline computes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU reference, on all cores of rayon's pool.
    #[default]
    Cpu,
}

impl FromStr for Device {
    type Err = Error;

    /// `auto`, `cpu` or `cuda:N`.
    fn from_str(text: &str) -> Result<Device> {
        match text {
            "auto" | "cpu" => Ok(Device::Cpu),
            cuda if cuda == "cuda"
                || cuda.strip_prefix("cuda:").is_some_and(|n| n.parse::<u32>().is_ok()) =>
            {
                Err(Error::Device(format!(
                    "device {cuda}: this version has no CUDA kernels; use --device cpu or auto"
                )))
            }
            other => Err(Error::Device(format!("device {other:?} is not one of auto, cpu, cuda:N"))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
        }
    }
}
