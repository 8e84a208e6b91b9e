//! What NVIDIA's management library (NVML) knows of a device: for the choice of one, and for records of a run.

use nvml_wrapper::{
    Device, Nvml,
    enum_wrappers::device::{Clock, TemperatureSensor},
    error::NvmlError,
};
use serde::Serialize;
use std::sync::OnceLock;

/// The state of a device at one moment. None: the device or its driver does not tell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Telemetry {
    /// The driver's version.
    pub driver: Option<String>,
    /// The device's identity, whatever its number.
    pub uuid: Option<String>,
    /// Bytes of memory that are free, and in all.
    pub memory: Option<[u64; 2]>,
    /// Clock of the multiprocessors in MHz, now and at most.
    pub clock: Option<[u32; 2]>,
    /// Clock of the memory in MHz, now and at most.
    pub memory_clock: Option<[u32; 2]>,
    /// Watts drawn.
    pub watts: Option<f64>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
}

impl Telemetry {
    /// Asks about the device with this PCI address ([`bus_id`](crate::device::gpu::bus_id)); None where the library is not
    /// installed or does not know the device.
    pub fn read(bus_id: &str) -> Option<Telemetry> {
        let nvml = nvml()?;
        let device = told(nvml.device_by_pci_bus_id(bus_id))?;
        let clock = |clock| Some([told(device.clock_info(clock))?, told(device.max_clock_info(clock))?]);
        Some(Telemetry {
            driver: told(nvml.sys_driver_version()),
            uuid: told(device.uuid()),
            memory: memory(&device),
            clock: clock(Clock::SM),
            memory_clock: clock(Clock::Memory),
            watts: told(device.power_usage()).map(|milliwatts| f64::from(milliwatts) / 1000.0),
            temperature: told(device.temperature(TemperatureSensor::Gpu)),
        })
    }
}

/// Bytes of free memory of the device with this PCI address, without opening it.
pub fn free_memory(bus_id: &str) -> Option<u64> {
    Some(memory(&told(nvml()?.device_by_pci_bus_id(bus_id))?)?[0])
}

fn memory(device: &Device) -> Option<[u64; 2]> {
    told(device.memory_info()).map(|memory| [memory.free, memory.total])
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| told(Nvml::init())).as_ref()
}

fn told<T>(answer: Result<T, NvmlError>) -> Option<T> {
    answer.inspect_err(|why| tracing::debug!("NVML: {why}")).ok()
}
