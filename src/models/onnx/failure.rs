//! What ONNX Runtime's failures mean, and what helps.

use crate::error::Error;

/// The error for what ONNX Runtime `said` while it did `what`.
pub fn explain(what: &str, said: &str) -> Error {
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

/// Whether it says that a provider lacks an operator.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub fn lacks_operator(said: &str) -> bool {
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
            let error = explain("model.onnx", &said);
            assert!(matches!(error, Error::Model(_)), "{error}");
            let text = error.to_string();
            assert!(
                text.starts_with("model.onnx: ") && text.contains(&said) && text.contains(remedy),
                "{text}"
            );
        }
        assert_eq!(explain("a", "something else").to_string(), "a: something else");
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
            assert!(matches!(explain("run", said), Error::Memory(_)), "{said}");
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
