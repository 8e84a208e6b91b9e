//! What computes the models: an execution provider of ONNX Runtime on a device, and what its failures mean.

use super::{
    Options,
    manifest::Precision,
    onnx::Source,
    runtime::{self, Runtime},
};
use crate::{
    device::Device,
    error::{Error, Result},
};
#[cfg(feature = "cuda")]
use ort::ep::{self, ExecutionProvider};
use ort::session::{Session, builder::GraphOptimizationLevel};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
#[cfg(feature = "cuda")]
use {super::probe, crate::device::gpu::Gpu};

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

/// ONNX Runtime with what it computes by.
#[derive(Debug, Clone)]
pub struct Engine {
    runtime: &'static Runtime,
    options: Options,
    /// None = the CPU.
    #[cfg(feature = "cuda")]
    gpu: Option<Gpu>,
    has_deform_conv: bool,
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    precision: Precision,
}

impl Engine {
    /// On the CPU.
    pub fn cpu(runtime: &'static Runtime, options: &Options) -> Engine {
        Engine {
            runtime,
            options: options.clone(),
            #[cfg(feature = "cuda")]
            gpu: None,
            has_deform_conv: true,
            precision: Precision::F32,
        }
    }

    /// What the options ask for, on a device, if it works there: a graph of two operators is tried.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that do not fit the device; [`Error::Model`] saying what is missing, unless the
    /// options allow the CPU.
    pub fn new(runtime: &'static Runtime, device: &Device, options: &Options) -> Result<Engine> {
        let cpu = Engine::cpu(runtime, options);
        let on_cpu = |why: &str| match options {
            Options { provider: Provider::Tensorrt, .. } => {
                Err(Error::invalid(format!("provider tensorrt: {why}; choose a device cuda:N")))
            }
            Options { cuda_graphs: true, .. } => Err(Error::invalid(format!(
                "cuda_graphs: {why}; choose a device cuda:N and its own provider"
            ))),
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
                match (Engine { gpu: Some(gpu.clone()), ..cpu.clone() }).tried(gpu) {
                    Err(Error::Model(why)) if provider == Provider::DeviceOrCpu => {
                        tracing::warn!("the models run on the CPU: {why}");
                        Ok(cpu)
                    }
                    tried => tried,
                }
            }
        }
    }

    /// The same ONNX Runtime on the CPU.
    pub(super) fn on_cpu(&self) -> Engine {
        Engine::cpu(self.runtime, &Options { cuda_graphs: false, ..self.options.clone() })
    }

    /// For models that compute in another precision.
    pub(super) fn in_precision(self, precision: Precision) -> Engine {
        Engine { precision, ..self }
    }

    /// Without CUDA graphs.
    pub(super) fn ungraphed(&self) -> Engine {
        Engine { options: Options { cuda_graphs: false, ..self.options.clone() }, ..self.clone() }
    }

    /// Whether graphs with DeformConv run on the device as a whole.
    pub(super) fn has_deform_conv(&self) -> bool {
        self.has_deform_conv
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// The device that the models compute on; none = the CPU.
    #[cfg(feature = "cuda")]
    pub(super) fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    #[cfg(feature = "cuda")]
    fn tried(mut self, gpu: &Gpu) -> Result<Engine> {
        let lacks = match self.options.provider {
            Provider::Tensorrt if !ep::TensorRT::is_available().unwrap_or(false) => Some("TensorRT"),
            _ if !ep::CUDA::is_available().unwrap_or(false) => Some("CUDA"),
            _ => None,
        };
        if let Some(lacks) = lacks {
            return Err(Error::Model(format!(
                "ONNX Runtime at {} has no {lacks} provider; tools/cuda/fetch-onnxruntime gets one with CUDA's, and \
                 ORT_DYLIB_PATH names it; or let the models run on the CPU with the provider device-or-cpu",
                self.runtime.location()
            )));
        }
        if gpu.stream().cu_stream().is_null() {
            return Err(Error::invalid(
                "on the default stream ONNX Runtime would use streams of its own; make the device with Gpu::new, or hand over \
                 a stream of its own",
            ));
        }
        let options = Options { whole_on_device: true, cuda_graphs: false, ..self.options.clone() };
        match probe::run(&Engine { options, ..self.clone() }, gpu) {
            Ok(()) => {}
            Err(Error::Model(said)) if lacks_operator(&said) => self.has_deform_conv = false,
            Err(e) => {
                let location = self.runtime.location();
                return Err(Error::Model(format!(
                    "ONNX Runtime at {location} does not compute on the device: {e}"
                )));
            }
        }
        Ok(self)
    }

    /// A session. `name` is for messages.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, broken or needs what this ONNX Runtime or machine lacks; [`Error::Memory`].
    pub fn session(&self, name: &str, source: Source) -> Result<Session> {
        self.open(source)
            .map_err(|said| failure(&format!("{name}: ONNX Runtime cannot use this model"), &said))
    }

    /// The error is what ONNX Runtime said.
    fn open(&self, source: Source) -> Result<Session, String> {
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
            if let Some(gpu) = &self.gpu {
                builder = builder.with_execution_providers(self.providers(gpu))?;
                if self.options.whole_on_device {
                    builder = builder.with_disable_cpu_fallback()?;
                }
            }
            match source {
                Source::File(path) => builder.commit_from_file(path),
                Source::Bytes(bytes) => builder.commit_from_memory(bytes),
            }
        };
        // The loader's words on a provider's library are in the log alone.
        made().map_err(|e: ort::Error| match runtime::complaint() {
            Some(complaint) if !e.to_string().contains(&complaint) => format!("{e}; {complaint}"),
            _ => e.to_string(),
        })
    }

    #[cfg(feature = "cuda")]
    fn providers(&self, gpu: &Gpu) -> Vec<ep::ExecutionProviderDispatch> {
        let (device, stream) = (gpu.ordinal() as i32, gpu.stream().cu_stream().cast());
        let mut cuda = ep::CUDA::default()
            .with_device_id(device)
            // Models of f32 in full precision, as on the CPU. In f16 it is what allows convolutions the tensor cores.
            .with_tf32(self.precision != Precision::F32)
            // So that what a run takes can be seen.
            .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested)
            .with_cuda_graph(self.options.cuda_graphs)
            // By cuDNN's rules of thumb.
            .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
        if let Some(limit) = self.options.memory_limit {
            cuda = cuda.with_memory_limit(limit as usize);
        }
        // SAFETY: the models keep the device, whose stream lives as long as it.
        let cuda = unsafe { cuda.with_compute_stream(stream) }.build().error_on_failure();
        if self.options.provider != Provider::Tensorrt {
            return vec![cuda];
        }
        let mut tensorrt = ep::TensorRT::default().with_device_id(device);
        if let Some(folder) = runtime::cache_dir() {
            // An engine takes minutes to make; one that cannot be kept is made again.
            let folder = folder.join("tensorrt");
            if std::fs::create_dir_all(&folder).is_ok() {
                tensorrt = tensorrt.with_engine_cache(true).with_engine_cache_path(folder.display());
            }
        }
        // SAFETY: as above.
        let tensorrt = unsafe { tensorrt.with_compute_stream(stream) }.build().error_on_failure();
        vec![tensorrt, cuda]
    }
}

/// The error for what ONNX Runtime `said` while it did `what`.
pub(super) fn failure(what: &str, said: &str) -> Error {
    let text = format!("{what}: {}", explained(said));
    if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) {
        Error::Memory(text)
    } else {
        Error::Model(text)
    }
}

/// How ONNX Runtime and CUDA's libraries say that memory does not suffice.
const OUT_OF_MEMORY: [&str; 9] = [
    "Failed to allocate memory",
    "out of memory",
    "OUT_OF_MEMORY",
    "smaller than requested bytes",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "Failed to find a free memory block",
    "std::bad_alloc",
    "MemoryAllocation",
];

#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
fn lacks_operator(said: &str) -> bool {
    const WORDS: [&str; 4] = [
        "assigned to the default CPU EP",
        "have not been partitioned",
        "Could not find an implementation",
        "is not a registered function",
    ];
    WORDS.iter().any(|words| said.contains(words))
}

/// What ONNX Runtime said, after the remedy if it is known.
fn explained(said: &str) -> String {
    const DRIVER: &str = "the GPU's driver is older than this ONNX Runtime's CUDA: update the driver";
    const KNOWN: [(&[&str], &str); 12] = [
        (&["cuDNN is not available"], CUDNN),
        (&["cuDNN is unavailable"], CUDNN),
        (
            &["CUDNN", "VERSION_MISMATCH"],
            "parts of two versions of cuDNN are loaded: leave one folder with cuDNN in LD_LIBRARY_PATH",
        ),
        (&["driver version is insufficient"], DRIVER),
        (&["not supported in the installed CUDA driver"], DRIVER),
        (&["undefined symbol: cu"], DRIVER),
        (&["unsupported display driver"], DRIVER),
        (&["forward compatibility was attempted"], DRIVER),
        (&["unsupported toolchain"], DRIVER),
        (&["no CUDA-capable device"], "CUDA sees no GPU: look at CUDA_VISIBLE_DEVICES"),
        (
            &["no kernel image is available"],
            "this ONNX Runtime is not compiled for this GPU's compute capability",
        ),
        (
            &["DeformConv"],
            "this ONNX Runtime has no DeformConv, which GLIP needs: take 1.22 or newer on the CPU, onnxruntime-gpu 1.31.1 or newer on CUDA",
        ),
    ];
    let known = || KNOWN.iter().find(|(words, _)| words.iter().all(|word| said.contains(word)));
    match missing_library(said).map(remedy).or_else(|| known().map(|(_, remedy)| *remedy)) {
        Some(remedy) => format!("{remedy}\n  ONNX Runtime said: {said}"),
        None => said.into(),
    }
}

const CUDNN: &str = "cuDNN 9 for CUDA 13 is not where the loader looks (LD_LIBRARY_PATH); tools/cuda/fetch-onnxruntime gets \
                     a set that fits";

/// The library that the system's loader did not find: `NAME: cannot open shared object file`.
fn missing_library(said: &str) -> Option<&str> {
    let (before, _) = said.split_once(": cannot open shared object file")?;
    before.rsplit([' ', '/']).next()
}

/// How to get a library that is missing.
fn remedy(library: &str) -> &'static str {
    let starts = |names: &[&str]| names.iter().any(|name| library.starts_with(name));
    if starts(&["libonnxruntime"]) {
        "the providers' libraries must lie beside libonnxruntime, as in its wheel; tools/cuda/fetch-onnxruntime gets a set \
         that fits"
    } else if starts(&["libnvinfer", "libnvonnxparser"]) {
        "TensorRT 10 for CUDA 13 is not where the loader looks (LD_LIBRARY_PATH): install it (pip's tensorrt-cu13<11 holds it)"
    } else if starts(&["libcuda."]) {
        "NVIDIA's driver is missing: install it"
    } else if library.ends_with(".so.11") || library.ends_with(".so.12") {
        "this ONNX Runtime is built for another CUDA than 13, whose libraries are not where the loader looks \
         (LD_LIBRARY_PATH); tools/cuda/fetch-onnxruntime gets a set that fits"
    } else if starts(&["libcudnn"]) {
        CUDNN
    } else {
        "CUDA 13's libraries are not where the loader looks (LD_LIBRARY_PATH); tools/cuda/fetch-onnxruntime gets a set that \
         fits"
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

    #[cfg(feature = "cuda")]
    #[test]
    fn a_broken_file_is_named() {
        let engine = Engine::cpu(runtime::load().unwrap(), &Options::default());
        let broken = engine.session("cut", Source::Bytes(&probe::GRAPH[..100])).unwrap_err().to_string();
        assert!(broken.contains("cut: ONNX Runtime cannot use this model"), "{broken}");
    }

    /// Most texts are those of onnxruntime-gpu 1.31.1, seen without one library or the other or with an old driver.
    #[test]
    fn failures_are_explained() {
        let load = |library: &str, why: &str| {
            format!(
                "provider_bridge_ort.cc:2043 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : \
                 1 : FAIL : Failed to load library /lib/libonnxruntime_providers_{library}.so with error: {why}"
            )
        };
        let missing =
            |library: &str| format!("{library}: cannot open shared object file: No such file or directory");
        let of_cuda = |library: &str| load("cuda", &missing(library));
        let cases = [
            (of_cuda("libcublasLt.so.13"), "CUDA 13's libraries"),
            (of_cuda("libcurand.so.10"), "CUDA 13's libraries"),
            (of_cuda("libcublasLt.so.12"), "another CUDA than 13"),
            (of_cuda("libcuda.so.1"), "driver is missing"),
            (of_cuda("libcudnn.so.9"), "cuDNN 9 for CUDA 13"),
            ("cuDNN is not available. Install cuDNN, update the system library search path".into(), "cuDNN 9 for CUDA 13"),
            (load("shared", &missing("/lib/libonnxruntime_providers_shared.so")), "beside libonnxruntime"),
            (load("tensorrt", &missing("libnvinfer.so.10")), "TensorRT 10"),
            (
                load("cuda", "/lib/libonnxruntime_providers_cuda.so: undefined symbol: cuTensorMapEncodeTiled"),
                "update the driver",
            ),
            (
                "CUDA failure 36: API call is not supported in the installed CUDA driver ; GPU=-1 ; hostname=host ; \
                 expr=cudaGetDeviceCount(&num_devices);"
                    .into(),
                "update the driver",
            ),
            (
                "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version".into(),
                "update the driver",
            ),
            ("CUDNN failure 1002: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH".into(), "two versions of cuDNN"),
            ("CUDA failure 209: no kernel image is available for execution on the device".into(), "compute capability"),
            ("Could not find an implementation for DeformConv(19) node with name 'n0'".into(), "which GLIP needs"),
        ];
        for (said, remedy) in cases {
            let error = failure("model.onnx", &said);
            assert!(matches!(error, Error::Model(_)), "{error}");
            let text = error.to_string();
            assert!(
                text.starts_with("model.onnx: ") && text.contains(&said) && text.contains(remedy),
                "{text}"
            );
        }
        assert_eq!(failure("a", "something else").to_string(), "a: something else");
    }

    #[test]
    fn a_lack_of_memory_is_told_apart() {
        let said = [
            "Failed to allocate memory for requested buffer of size 1090519040",
            "Available memory of 12 is smaller than requested bytes of 400",
            "CUDA failure 2: out of memory ; GPU=0",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
            "std::bad_alloc",
        ];
        for said in said {
            assert!(matches!(failure("run", said), Error::Memory(_)), "{said}");
        }
    }

    #[test]
    fn what_an_operator_lacks_is_no_broken_provider() {
        assert!(lacks_operator(
            "This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been \
             explicitly disabled by the user."
        ));
        assert!(!lacks_operator("libcudnn.so.9: cannot open shared object file"));
    }
}
