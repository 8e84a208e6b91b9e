//! Builds the emulator, a shared library, twice: with every load and store of the kernels watched, and without.
//!
//! Both hold the project's kernels and those of this crate's tests. Elsewhere than on Linux nothing is built.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNTIME: [&str; 8] = ["access", "block", "driver", "graph", "launch", "memory", "sectors", "shared"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let sources = here.join("../../kernels");
    for folder in [&here.join("crimes"), &here.join("runtime"), &sources] {
        println!("cargo:rerun-if-changed={}", folder.display());
    }
    let families = fs::read_dir(&sources).expect("the kernels lie beside the tests");
    let mut folders: Vec<PathBuf> = families.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.push(here.join("crimes"));
    let linux = env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux");
    for (checked, variable) in [(true, "EMULATOR_CHECKED"), (false, "EMULATOR_FAST")] {
        let library = out.join(if checked { "checked.so" } else { "fast.so" });
        if linux {
            build(&here, &out, &folders, checked, &library);
        }
        println!("cargo:rustc-env={variable}={}", library.display());
    }
}

fn build(here: &Path, out: &Path, folders: &[PathBuf], checked: bool, library: &Path) {
    let generated = out.join(if checked { "checked.cpp" } else { "fast.cpp" });
    fs::write(&generated, kernels(folders, checked)).expect("the output folder is writable");
    let root = fs::canonicalize(here.join("../..")).expect("the repository is there");
    let mut kernels = compiler(here, &root);
    kernels.flag("-Wno-unused-function").flag("-fno-tree-loop-distribute-patterns");
    if checked {
        kernels.flag("-DEMULATOR_CHECKED");
        kernels.flags(["-fsanitize=thread", "--param=tsan-distinguish-volatile=1"]);
    }
    let mut objects = kernels.file(&generated).compile_intermediates();
    let mut runtime = compiler(here, &root);
    runtime.files(RUNTIME.map(|name| here.join("runtime").join(name).with_extension("cpp")));
    objects.extend(runtime.compile_intermediates());
    // cudarc asks for libcuda.so first; a library already loaded under that name is the one it gets.
    let mut link = compiler(here, &root).get_compiler().to_command();
    link.args(&objects)
        .args(["-shared", "-pthread", "-Wl,-soname,libcuda.so", "-Wl,--no-undefined", "-o"])
        .arg(library);
    run(link);
}

fn compiler(here: &Path, root: &Path) -> cc::Build {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .opt_level(2)
        .debug(false)
        .flags([
            "-g1",
            "-ffp-contract=off",
            "-fvisibility=hidden",
            "-fno-strict-aliasing",
            "-Wno-unknown-pragmas",
        ])
        .flag(format!("-ffile-prefix-map={}/=", root.display()))
        .include(here.join("runtime"))
        .include(here.join("runtime/include"))
        .include(here.join("../../kernels"));
    build
}

fn run(mut command: Command) {
    let status = command.status().expect("the C++ compiler runs");
    assert!(status.success(), "linking the emulator failed: {status}");
}

/// The translation unit: every kernel file, then the table of kernels.
fn kernels(folders: &[PathBuf], checked: bool) -> String {
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.map(|entry| entry.expect("a readable folder").path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "cu"))
        .map(|path| fs::canonicalize(path).expect("a file that was just listed"))
        .collect();
    files.sort();
    let mut text = String::from("#include \"emulator.h\"\n");
    let mut table = String::new();
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let source = fs::read_to_string(file).expect("kernels are UTF-8 text");
        writeln!(text, "#include \"{}\"", file.display()).expect("strings take text");
        for (name, threads) in signatures(&source) {
            writeln!(table, "    kernel<&{name}>(\"{name}\", {threads}),").expect("strings take text");
        }
    }
    format!(
        "{text}namespace emulator {{\nconst Kernel kernels[] = {{\n{table}}};\n\
         const size_t kernel_count = sizeof kernels / sizeof *kernels;\nconst bool checked = {checked};\n}}\n"
    )
}

/// Name and block size of each `extern "C" __global__ void __launch_bounds__(256) name(`.
fn signatures(source: &str) -> Vec<(&str, u32)> {
    let found = source.split("extern \"C\" __global__ void __launch_bounds__(").skip(1);
    found
        .map(|rest| {
            let (threads, rest) = rest.split_once(')').expect("__launch_bounds__ is closed");
            let (name, _) = rest.split_once('(').expect("a kernel has parameters");
            (name.trim(), threads.trim().parse().expect("__launch_bounds__ is a literal number"))
        })
        .collect()
}
