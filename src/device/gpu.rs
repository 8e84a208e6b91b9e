//! A CUDA device: its context, one stream, our kernels, and memory on it.
//!
//! [`kernels`] is generated from `kernels/*.cu`: one typed launch function per kernel. Everything runs in order on the
//! stream of the [`Gpu`]; nothing waits for it but downloads, [`Gpu::synchronize`] and [`Gpu::trim`].

use crate::{
    device::{
        locked::Locked,
        memory::Cache,
        pool,
        profile::Profile,
        telemetry::{self, Telemetry},
    },
    error::{Error, Result},
};
use cudarc::{
    driver::{
        CudaContext, CudaFunction, CudaStream, DevicePtr, DevicePtrMut, DeviceRepr, DriverError,
        ValidAsZeroBits, result, sys,
    },
    nvrtc::Ptx,
};
use std::{
    ffi::{CStr, c_char},
    fmt,
    sync::{Arc, Mutex},
};

/// Memory on the device.
pub use crate::device::memory::Buffer;
pub use crate::device::profile::Launch;
/// A part of a [`Buffer`].
pub use cudarc::driver::{CudaView as View, CudaViewMut as ViewMut};

/// The launch functions, generated from the kernels' signatures.
pub mod kernels {
    use crate::{device::gpu::Gpu, error::Result};
    use cudarc::driver::{DevicePtr, DevicePtrMut};
    use std::ffi::c_void;
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

    /// The assembler's report, one line per kernel and architecture: kernel, architecture, registers, bytes of stack,
    /// bytes spilled, bytes of shared memory. Empty if built without nvcc.
    pub const RESOURCES: &str = include_str!(concat!(env!("OUT_DIR"), "/resources.txt"));
}

static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The driver must be at least of the toolkit that compiled the kernels: 13.0.
const LEAST_DRIVER: i32 = 13_000;
/// The lowest compute capability that the kernels are compiled for.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// A device and a stream on it. Clones share both.
#[derive(Clone)]
pub struct Gpu(pub(super) Arc<Inner>);

pub(super) struct Inner {
    stream: Arc<CudaStream>,
    pub(super) functions: Vec<CudaFunction>,
    name: String,
    pub(super) profile: Profile,
    locked: Mutex<Locked>,
    cache: Arc<Cache>,
}

impl Inner {
    /// `other`: what it is a fork of.
    fn new(
        stream: Arc<CudaStream>,
        functions: Vec<CudaFunction>,
        name: String,
        other: Option<&Inner>,
    ) -> Inner {
        let cache = Cache::new(stream.clone(), other.map(|other| &*other.cache));
        Inner { stream, functions, name, profile: Profile::default(), locked: Mutex::default(), cache }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody will ask for what buffers leave that live longer.
        self.cache.keep_blocks(false);
    }
}

/// What a device is, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Description {
    /// Its number.
    pub ordinal: usize,
    /// Its product name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory in all.
    pub memory: usize,
    /// Bytes of memory that are free.
    pub free: usize,
    /// CUDA version of the driver, as 1000 * major + 10 * minor.
    pub driver: i32,
    /// What NVML tells, if it is installed.
    pub telemetry: Option<Telemetry>,
}

impl Gpu {
    /// Opens device `ordinal` with a stream of its own.
    ///
    /// # Errors
    /// [`Error::Device`] saying what is missing: kernels in this build, the driver, the device, a driver or device new
    /// enough.
    pub fn new(ordinal: usize) -> Result<Gpu> {
        check_build()?;
        let count = device_count()?;
        if ordinal >= count {
            let there = match count {
                0 => "there is no CUDA device".to_string(),
                1 => "there is only cuda:0".to_string(),
                _ => format!("the devices are cuda:0 to cuda:{}", count - 1),
            };
            return Err(Error::Device(format!(
                "no device cuda:{ordinal}: {there}; use the device cpu or auto"
            )));
        }
        let context = CudaContext::new(ordinal).map_err(failed(&format!("opening cuda:{ordinal}")))?;
        // SAFETY: every buffer made through a `Gpu` is used on that one stream, in order.
        unsafe { context.disable_event_tracking() };
        Gpu::on_stream(context.new_stream().map_err(failed("making a stream"))?)
    }

    /// Works on a stream of the caller's, so that its work and ours run in order without a wait.
    ///
    /// # Errors
    /// [`Error::Device`] if this build has no kernels or the device cannot run them.
    pub fn on_stream(stream: Arc<CudaStream>) -> Result<Gpu> {
        check_build()?;
        let context = stream.context();
        let name = context.name().map_err(failed("reading the device's name"))?;
        let capability = context.compute_capability().map_err(failed("reading the compute capability"))?;
        if capability < LEAST_CAPABILITY {
            return Err(Error::Device(format!(
                "{name} has compute capability {}.{}; the kernels need {}.{} or later; use the device cpu",
                capability.0, capability.1, LEAST_CAPABILITY.0, LEAST_CAPABILITY.1
            )));
        }
        pool::keep_all(context).map_err(failed("setting up the memory pool"))?;
        let module = context
            .load_module(Ptx::from_binary(IMAGE.to_vec()))
            .map_err(failed(&format!("loading the kernels on {name}")))?;
        let load = |&(kernel, ..): &(&str, u32, bool)| {
            module.load_function(kernel).map_err(failed(&format!("loading kernel {kernel}")))
        };
        let functions = kernels::KERNELS.iter().map(load).collect::<Result<_>>()?;
        Ok(Gpu(Arc::new(Inner::new(stream, functions, name, None))))
    }

    /// The same device with another new stream: what runs on it overlaps with ours. A buffer stays with the stream
    /// that made it.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn fork(&self) -> Result<Gpu> {
        let stream = self.stream().context().new_stream().map_err(failed("making a stream"))?;
        let (functions, name) = (self.0.functions.clone(), self.0.name.clone());
        Ok(Gpu(Arc::new(Inner::new(stream, functions, name, Some(&self.0)))))
    }

    /// Its number.
    pub fn ordinal(&self) -> usize {
        self.stream().context().ordinal()
    }

    /// Its product name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Bytes of its memory that nobody has: as NVML or the driver tells, whichever is less. Of a part of a GPU (MIG) NVML
    /// tells those of the whole.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn free_memory(&self) -> Result<u64> {
        let told =
            self.stream().context().mem_get_info().map_err(failed("reading the free memory"))?.0 as u64;
        Ok(telemetry::free_memory(&bus_id(self.ordinal())?).map_or(told, |free| free.min(told)))
    }

    /// Waits for the stream, and gives back to the driver what its pool, this `Gpu` and its forks keep and nobody uses: ONNX
    /// Runtime's memory is not of the pool.
    ///
    /// # Errors
    /// [`Error::Device`] if anything before it failed.
    pub fn trim(&self) -> Result<()> {
        self.0.cache.clear_all();
        self.synchronize()?;
        pool::trim(self.stream().context()).map_err(failed("trimming the memory pool"))
    }

    /// The stream that everything runs on.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.0.stream
    }

    /// Memory of the host that [`Gpu::download_all`] copies to.
    pub(super) fn locked(&self) -> &Mutex<Locked> {
        &self.0.locked
    }

    /// Whether the memory of dropped buffers waits for others of this `Gpu`, as it does at first. Without that every buffer
    /// comes from the driver, with its exact size: so tools see who reads or writes beyond it, or after it was dropped. Forks
    /// begin as it is. In a context with cudarc's event tracking none waits.
    pub fn cache_memory(&self, keep: bool) {
        self.0.cache.keep_blocks(keep);
    }

    /// Memory for `len` values, which are whatever lay there.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough.
    pub fn alloc<T: DeviceRepr + bytemuck::Pod>(&self, len: usize) -> Result<Buffer<T>> {
        self.0.cache.buffer(len).map_err(|error| self.no_memory(len.saturating_mul(size_of::<T>()), error))
    }

    /// Memory for `len` values, all zero.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn zeros<T: DeviceRepr + ValidAsZeroBits + bytemuck::Pod>(&self, len: usize) -> Result<Buffer<T>> {
        let mut buffer = self.alloc(len)?;
        self.clear(&mut buffer)?;
        Ok(buffer)
    }

    /// Sets every value to zero.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn clear<T: DeviceRepr + ValidAsZeroBits>(&self, buffer: &mut impl DevicePtrMut<T>) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        self.stream().memset_zeros(buffer).map_err(failed("clearing memory"))
    }

    /// Copies values to the device. Values in page-locked memory may be read until the stream has come by.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough memory.
    pub fn upload<T: DeviceRepr + bytemuck::Pod>(&self, values: &[T]) -> Result<Buffer<T>> {
        let mut buffer = self.alloc(values.len())?;
        self.write(values, &mut buffer)?;
        Ok(buffer)
    }

    /// Copies values from one buffer to another.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the other is too short, [`Error::Device`] if the driver refuses.
    pub fn copy<T: DeviceRepr>(&self, from: &impl DevicePtr<T>, to: &mut impl DevicePtrMut<T>) -> Result<()> {
        if from.len() > to.len() {
            return Err(Error::invalid(format!("{} values do not fit a buffer of {}", from.len(), to.len())));
        }
        self.stream().memcpy_dtod(from, to).map_err(failed("copying on the device"))
    }

    /// The values of all buffers, one after the other.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough, [`Error::Device`] if the driver refuses.
    pub fn concat<'a, T: DeviceRepr + bytemuck::Pod>(
        &self,
        buffers: impl Iterator<Item = &'a Buffer<T>> + Clone,
    ) -> Result<Buffer<T>> {
        let mut all = self.alloc(buffers.clone().map(|buffer| buffer.len()).sum())?;
        let mut at = 0;
        for buffer in buffers.filter(|buffer| !buffer.is_empty()) {
            self.copy(buffer, &mut all.slice_mut(at..at + buffer.len()))?;
            at += buffer.len();
        }
        Ok(all)
    }

    /// Memory for `len` times the same value.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not enough, [`Error::Device`] if the driver refuses.
    pub fn filled(&self, value: f32, len: usize) -> Result<Buffer<f32>> {
        let mut buffer = self.alloc(len)?;
        if len > 0 {
            let context = self.stream().context();
            context.bind_to_thread().map_err(failed("filling memory"))?;
            let (at, _order) = buffer.device_ptr_mut(self.stream());
            // SAFETY: the buffer has `len` values of 32 bits.
            unsafe { sys::cuMemsetD32Async(at, value.to_bits(), len, self.stream().cu_stream()) }
                .result()
                .map_err(failed("filling memory"))?;
        }
        Ok(buffer)
    }

    /// Copies values over the first of a buffer's. See [`Gpu::upload`] for values in page-locked memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the buffer is too short, [`Error::Device`] if the driver refuses.
    pub fn write<T: DeviceRepr>(&self, values: &[T], buffer: &mut impl DevicePtrMut<T>) -> Result<()> {
        if values.len() > buffer.len() {
            return Err(Error::invalid(format!(
                "{} values do not fit a buffer of {}",
                values.len(),
                buffer.len()
            )));
        }
        if values.is_empty() {
            return Ok(());
        }
        self.stream().memcpy_htod(values, buffer).map_err(failed("copying to the device"))
    }

    /// Makes the device this thread's own, as libraries expect that compute on it.
    #[cfg(feature = "ort")]
    pub(crate) fn bind(&self) -> Result<()> {
        self.stream().context().bind_to_thread().map_err(failed("choosing the device"))
    }

    /// Waits until everything on the stream is done.
    ///
    /// # Errors
    /// [`Error::Device`] if any of it failed.
    pub fn synchronize(&self) -> Result<()> {
        self.stream().synchronize().map_err(failed("running kernels"))
    }

    /// What comes on this stream from now on waits for what is on the other's.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn after(&self, other: &Gpu) -> Result<()> {
        self.stream().join(other.stream()).map_err(failed("ordering two streams"))
    }

    /// What `work` puts on the stream, and on others that come after it and that it comes after, as a graph; none of it
    /// runs yet. It may not allocate, wait or copy from or to the host.
    ///
    /// # Errors
    /// What `work` failed with; [`Error::Device`] if it did what cannot be captured, or if nothing can on this stream.
    #[cfg(feature = "study")]
    pub(crate) fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let stream = self.stream();
        if stream.cu_stream().is_null() || stream.context().is_managing_stream_synchronization() {
            return Err(Error::Device(
                "the default stream, and a context with cudarc's event tracking, capture no graphs, which training needs; \
                 make the device with Gpu::new, or call disable_event_tracking and hand over a stream of its own"
                    .into(),
            ));
        }
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream.begin_capture(mode).map_err(failed("capturing a graph"))?;
        // What is captured does not run, and has no time.
        let profiled = self.0.profile.set_runs(false);
        let done = super::memory::uncached(work);
        self.0.profile.set_runs(profiled);
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        done?;
        match graph.map_err(failed("capturing a graph"))? {
            Some(graph) => Ok(Graph(graph)),
            None => Err(Error::Device("CUDA: capturing a graph gave none".into())),
        }
    }

    /// What the device is and has.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn describe(&self) -> Result<Description> {
        let context = self.stream().context();
        let (free, memory) = context.mem_get_info().map_err(failed("reading the free memory"))?;
        let capability = context.compute_capability().map_err(failed("reading the compute capability"))?;
        let (ordinal, name) = (self.ordinal(), self.name().to_string());
        let telemetry = Telemetry::read(&bus_id(ordinal)?);
        Ok(Description { ordinal, name, capability, memory, free, driver: driver_version()?, telemetry })
    }

    fn no_memory(&self, bytes: usize, error: DriverError) -> Error {
        if error.0 != sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY {
            return failed("allocating memory")(error);
        }
        let free = self.stream().context().mem_get_info().map_or(0, |(free, _)| free);
        Error::Memory(format!(
            "cuda:{} is out of memory: {} MiB asked for, {} MiB free; use a smaller cloud, fewer boxes at once or \
             another device",
            self.ordinal(),
            bytes >> 20,
            free >> 20
        ))
    }
}

/// Work that the driver knows beforehand, and starts with one call.
#[cfg(feature = "study")]
pub(crate) struct Graph(cudarc::driver::CudaGraph);

// SAFETY: the driver's graphs belong to no thread; `launch` lets one at a time use it.
#[cfg(feature = "study")]
unsafe impl Send for Graph {}

#[cfg(feature = "study")]
impl Graph {
    /// Runs it on the stream that it was captured from.
    ///
    /// # Errors
    /// [`Error::Device`] if the driver refuses.
    pub fn launch(&mut self) -> Result<()> {
        self.0.launch().map_err(failed("launching a graph"))
    }
}

impl PartialEq for Gpu {
    fn eq(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cuda:{} ({})", self.ordinal(), self.name())
    }
}

/// Blocks of `block` threads for `items`, one thread each.
pub fn blocks(items: usize, block: u32) -> [u32; 3] {
    // More than the driver takes, which it says by name.
    [u32::try_from(items.div_ceil(block as usize)).unwrap_or(u32::MAX), 1, 1]
}

/// How many CUDA devices there are.
///
/// # Errors
/// [`Error::Device`] if the driver is missing, too old or does not start.
pub fn device_count() -> Result<usize> {
    // SAFETY: loads the library named libcuda, whose initialisation has no precondition.
    if !unsafe { sys::is_culib_present() } {
        return Err(Error::Device(
            "no CUDA driver: the library libcuda was not found; install NVIDIA's driver or use the device cpu"
                .into(),
        ));
    }
    match result::init() {
        Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => return Ok(0),
        other => other.map_err(failed("starting the CUDA driver"))?,
    }
    let version = driver_version()?;
    if version < LEAST_DRIVER {
        return Err(Error::Device(format!(
            "the driver supports CUDA {}.{}; the kernels need {}.{} or later; update the driver or use the device cpu",
            version / 1000,
            version % 1000 / 10,
            LEAST_DRIVER / 1000,
            LEAST_DRIVER % 1000 / 10
        )));
    }
    let count = result::device::get_count().map_err(failed("counting the devices"))?;
    Ok(count as usize)
}

/// The address of device `ordinal` on the PCI bus, without opening it.
///
/// # Errors
/// [`Error::Device`] if the driver refuses.
pub fn bus_id(ordinal: usize) -> Result<String> {
    let refused = || failed(&format!("finding cuda:{ordinal} on the PCI bus"));
    let device = result::device::get(ordinal as i32).map_err(refused())?;
    let mut text = [0 as c_char; 32];
    // SAFETY: writes no more than the array holds, a terminating zero among it.
    unsafe { sys::cuDeviceGetPCIBusId(text.as_mut_ptr(), text.len() as i32, device) }
        .result()
        .map_err(refused())?;
    // SAFETY: the driver ended the text with a zero.
    Ok(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned())
}

fn driver_version() -> Result<i32> {
    let mut version = 0;
    // SAFETY: writes one i32.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(failed("reading the driver's version"))?;
    Ok(version)
}

fn check_build() -> Result<()> {
    if IMAGE.is_empty() {
        return Err(Error::Device(
            "this partstad was built without CUDA kernels, because no nvcc was found; run tools/cuda/fetch, build again, or \
             use the device cpu"
                .into(),
        ));
    }
    Ok(())
}

/// For `map_err`: what was being done, and what the driver says. A newer driver may have codes that the enum does not
/// know, so its `Debug` is no name for them; the driver's own names are.
pub(super) fn failed(what: &str) -> impl FnOnce(DriverError) -> Error + use<> {
    let what = what.to_string();
    move |error| {
        let said =
            |text: Result<&CStr, DriverError>| text.ok().map(|text| text.to_string_lossy().into_owned());
        let name = said(error.error_name()).unwrap_or_else(|| format!("code {}", error.0 as u32));
        let text =
            said(error.error_string()).unwrap_or_else(|| "an error that the driver cannot explain".into());
        Error::Device(format!("CUDA: {what}: {text} ({name})"))
    }
}
