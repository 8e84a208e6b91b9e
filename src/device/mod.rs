//! Where the operations run: a value chosen at run time, not a type parameter.

#[cfg(feature = "cuda")]
pub mod borrowed;
#[cfg(feature = "cust")]
pub mod cust;
#[cfg(feature = "cuda")]
pub mod download;
#[cfg(feature = "cuda")]
pub mod gpu;
#[cfg(feature = "cuda")]
mod launch;
#[cfg(feature = "cuda")]
mod locked;
#[cfg(feature = "cuda")]
mod memory;
#[cfg(feature = "cuda")]
mod pool;
#[cfg(feature = "cuda")]
mod profile;
#[cfg(feature = "cuda")]
pub mod telemetry;
pub mod twin;

#[cfg(feature = "cuda")]
use self::gpu::Gpu;
use crate::error::{Error, Result};
use std::{fmt, str::FromStr};

/// The device that a pipeline computes on.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum Device {
    /// The CPU reference, on all cores of rayon's pool.
    #[default]
    Cpu,
    /// Our kernels on a CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(Gpu),
}

impl Device {
    /// CUDA device `ordinal`.
    ///
    /// # Errors
    /// [`Error::Device`] saying what is missing, and the remedy.
    pub fn cuda(ordinal: usize) -> Result<Device> {
        #[cfg(feature = "cuda")]
        return Gpu::new(ordinal).map(Device::Cuda);
        #[cfg(not(feature = "cuda"))]
        Err(Error::Device(format!(
            "device cuda:{ordinal}: this partstad was built without the feature cuda; use the device cpu or auto"
        )))
    }

    /// What a CUDA device is and does now, for records; none of a CPU.
    pub fn describe(&self) -> Option<serde_json::Value> {
        match self {
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.describe().ok().map(|description| serde_json::json!(description)),
            _ => None,
        }
    }

    /// Waits for it, and gives back what a CUDA device keeps of its memory for the next cloud. A CPU keeps none.
    ///
    /// # Errors
    /// [`Error::Device`] if anything before it failed.
    pub fn trim(&self) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.trim(),
            Device::Cpu => Ok(()),
        }
    }

    /// The CUDA device with the most free memory, or the CPU where that does not work.
    pub fn auto() -> Device {
        Device::cuda(freest()).unwrap_or_else(|why| {
            tracing::info!("computing on the CPU: {why}");
            Device::Cpu
        })
    }
}

/// The device with the most free memory; the first where nobody tells.
#[cfg(feature = "cuda")]
fn freest() -> usize {
    let free = |ordinal: &usize| gpu::bus_id(*ordinal).ok().and_then(|id| telemetry::free_memory(&id));
    (0..gpu::device_count().unwrap_or(0)).rev().max_by_key(free).unwrap_or(0)
}

#[cfg(not(feature = "cuda"))]
fn freest() -> usize {
    0
}

impl FromStr for Device {
    type Err = Error;

    /// `auto`, `cpu`, `cuda` (the first) or `cuda:N`.
    fn from_str(text: &str) -> Result<Device> {
        match text {
            "auto" => Ok(Device::auto()),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Device::cuda(0),
            other => match other.strip_prefix("cuda:").map(str::parse) {
                Some(Ok(ordinal)) => Device::cuda(ordinal),
                _ => Err(Error::Device(format!("device {other:?} is not one of auto, cpu, cuda, cuda:N"))),
            },
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => write!(f, "cuda:{}", gpu.ordinal()),
        }
    }
}
