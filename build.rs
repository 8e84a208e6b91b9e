//! Compiles `kernels/*/*.cu` into one fat binary and generates a typed launch function per kernel.
//!
//! Looks for nvcc in `NVCC`, `CUDA_HOME`, `CUDA_PATH`, `.cuda` (filled by `tools/cuda/fetch`), `PATH` and
//! `/usr/local/cuda`. Without one the build succeeds, and no CUDA device can be opened; `PARTSTAD_CUDA=require` makes
//! that an error. `PARTSTAD_CUDA_ARCHS` ("80,90") names the architectures; debug builds
//! make do with two.

#[path = "build/signatures.rs"]
mod signatures;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Compute capabilities with machine code of their own; others run the PTX of the first.
const ARCHS: &str = "80,86,89,90,100,120";
/// Those of builds without optimization, which are made often.
const DEBUG_ARCHS: &str = "80,90";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=kernels");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH", "PARTSTAD_CUDA", "PARTSTAD_CUDA_ARCHS", "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    if let Err(why) = build(&out) {
        println!("cargo::error={}", why.trim_end().replace('\n', "; "));
    }
}

fn build(out: &Path) -> Result<(), String> {
    let mut sources = vec![];
    for family in files("kernels".as_ref())?.iter().filter(|path| path.is_dir()) {
        sources.extend(files(family)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "cu")));
    }
    let (mut kernels, mut scalars) = (vec![], vec![]);
    let mut unit = String::from("#include \"common.cuh\"\n");
    for source in &sources {
        let text = fs::read_to_string(source).map_err(|e| format!("{}: {e}", source.display()))?;
        let group = source.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let (k, s) = signatures::parse(group, &text).map_err(|why| format!("{}: {why}", source.display()))?;
        kernels.extend(k);
        scalars.extend(s);
        unit += &format!("#include {:?}\n", source.strip_prefix("kernels").expect("it lies there"));
    }
    write(&out.join("kernels.rs"), signatures::generate(&kernels, &scalars))?;
    let unit_path = out.join("kernels.cu");
    write(&unit_path, unit)?;

    let (image, resources) = (out.join("kernels.fatbin"), out.join("resources.txt"));
    let required = env::var("PARTSTAD_CUDA").is_ok_and(|value| value == "require");
    let nvcc = if env::var_os("DOCS_RS").is_some() { None } else { find_nvcc() };
    match nvcc {
        Some(nvcc) => write(&resources, compile(&nvcc, &unit_path, &image)?),
        None if required => {
            Err("PARTSTAD_CUDA=require, but there is no nvcc; run tools/cuda/fetch to fetch one".into())
        }
        None => {
            println!(
                "cargo::warning=no nvcc found: built without CUDA kernels; run tools/cuda/fetch to fetch a compiler"
            );
            println!("cargo::rerun-if-changed=.cuda/bin/nvcc");
            write(&image, "")?;
            write(&resources, "")
        }
    }
}

/// What lies in a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn find_nvcc() -> Option<PathBuf> {
    let home = |variable| Some(Path::new(&env::var_os(variable)?).join("bin/nvcc"));
    let on_path =
        || env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join("nvcc")).find(|p| p.is_file());
    [
        env::var_os("NVCC").map(PathBuf::from),
        home("CUDA_HOME"),
        home("CUDA_PATH"),
        Some(".cuda/bin/nvcc".into()),
        on_path(),
        Some("/usr/local/cuda/bin/nvcc".into()),
    ]
    .into_iter()
    .flatten()
    .find(|nvcc| nvcc.is_file())
}

/// Makes the fat binary; returns the assembler's report of every kernel's resources, one line each.
fn compile(nvcc: &Path, unit: &Path, image: &Path) -> Result<String, String> {
    let debug = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let archs = env::var("PARTSTAD_CUDA_ARCHS").unwrap_or(if debug { DEBUG_ARCHS } else { ARCHS }.into());
    let mut command = Command::new(nvcc);
    // Products and sums are not fused, so that they round as the CPU reference does.
    command.args([
        "-fatbin",
        "-std=c++20",
        "-O3",
        "--fmad=false",
        "-lineinfo",
        "--threads",
        "0",
        "-Ikernels",
    ]);
    command.args(["-Werror", "all-warnings", "-Xptxas", "-v,-warn-spills,-warn-lmem-usage"]);
    for arch in archs.split(',').map(str::trim) {
        command.arg("-gencode").arg(format!("arch=compute_{arch},code=sm_{arch}"));
    }
    let lowest = archs.split(',').next().unwrap_or("80").trim();
    command.arg("-gencode").arg(format!("arch=compute_{lowest},code=compute_{lowest}"));
    command.arg("-o").arg(image).arg(unit);
    let output = command.output().map_err(|e| format!("{}: {e}", nvcc.display()))?;
    let log = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    if output.status.success() { Ok(resources(&log)) } else { Err(format!("nvcc failed: {log}")) }
}

/// "kernel arch registers stack spilled shared", sorted, from what `ptxas -v` prints.
fn resources(log: &str) -> String {
    let quoted = |line: &str| line.split('\'').map(str::to_string).collect::<Vec<_>>();
    let number_before = |line: &str, what: &str| -> u32 {
        let before = line.split(what).next().filter(|before| before.len() < line.len());
        before.and_then(|b| b.split_whitespace().last()?.parse().ok()).unwrap_or(0)
    };
    let (mut lines, mut name, mut stack) = (vec![], String::new(), (0, 0));
    for line in log.lines() {
        if line.contains("Compiling entry function") {
            let parts = quoted(line);
            name = format!("{} {}", parts[1], parts[3]);
        } else if line.contains("bytes stack frame") {
            stack = (number_before(line, "bytes stack frame"), number_before(line, "bytes spill stores"));
        } else if line.contains("Used ") && line.contains("registers") {
            let (registers, shared) = (number_before(line, "registers"), number_before(line, "bytes smem"));
            lines.push(format!("{name} {registers} {} {} {shared}\n", stack.0, stack.1));
        }
    }
    lines.sort();
    lines.concat()
}

fn write(path: &Path, text: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
