//! The choice of what computes the models: what the options ask for, if it works on the device.

#[cfg(feature = "cuda")]
use super::probe;
use super::{
    options::{Options, Provider},
    runtime::Runtime,
    session::Sessions,
};
use crate::{
    device::Device,
    error::{Error, Result},
};

/// What the options ask for on a device, where a graph of two operators is tried.
///
/// # Errors
/// [`Error::Invalid`] for options that do not fit the device; [`Error::Model`] saying what is missing, unless the options
/// allow the CPU.
pub fn sessions(runtime: &'static Runtime, device: &Device, options: &Options) -> Result<Sessions> {
    let cpu = Sessions::cpu(runtime, options);
    let on_cpu = |why: &str| match options {
        Options { provider: Provider::Tensorrt, .. } => {
            Err(Error::invalid(format!("provider tensorrt: {why}; choose a device cuda:N")))
        }
        Options { cuda_graphs: true, .. } => {
            Err(Error::invalid(format!("cuda_graphs: {why}; choose a device cuda:N and its own provider")))
        }
        _ => Ok(cpu.clone()),
    };
    if (options.provider, options.cuda_graphs) == (Provider::Tensorrt, true) {
        // It would replay the first shape's graph for every other.
        return Err(Error::invalid("cuda_graphs: not with the provider tensorrt"));
    }
    match (device, options.provider) {
        (Device::Cpu, _) => on_cpu("the device is the CPU"),
        #[cfg(feature = "cuda")]
        (Device::Cuda(_), Provider::Cpu) => on_cpu("the provider is the CPU's"),
        #[cfg(feature = "cuda")]
        (Device::Cuda(gpu), provider) => {
            let there = Sessions { device: device.clone(), options: options.clone(), ..cpu.clone() };
            match probe::check(there, gpu) {
                Err(Error::Model(why)) if provider == Provider::DeviceOrCpu => {
                    tracing::warn!("the models run on the CPU: {why}");
                    Ok(cpu)
                }
                checked => checked,
            }
        }
    }
}
