//! Builds the emulator, a shared library, twice: with every load and store of the kernels watched, and without.
//!
//! Both hold the project's kernels and those of this crate's tests. Elsewhere than on Linux nothing is built.
//!
//! The kernels are compiled from copies, in which dynamic shared memory is a pointer and, if `PARTSTAD_MUTANTS` is set, the
//! bugs of `mutants.txt` are planted, each behind a question to the environment.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RUNTIME: [&str; 9] =
    ["access", "block", "driver", "graph", "grid", "launch", "memory", "sectors", "shared"];

#[path = "mutants.rs"]
mod mutants;

use mutants::Mutant;

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = fs::canonicalize(here.join("../..")).expect("the repository is there");
    for path in ["crimes", "../../kernels", "runtime", "mutants.rs", "mutants.txt"] {
        println!("cargo:rerun-if-changed={}", here.join(path).display());
    }
    println!("cargo:rerun-if-env-changed=PARTSTAD_MUTANTS");
    let linux = env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux");
    let mutants = match env::var_os("PARTSTAD_MUTANTS") {
        Some(_) => mutants::read(&here.join("mutants.txt"), &root.join("kernels")),
        None => Ok(vec![]),
    };
    let mutants = mutants.unwrap_or_else(|why| panic!("{why}"));
    let copies = out.join("sources");
    let _ = fs::remove_dir_all(&copies);
    let mut kernels = vec![];
    for folder in [here.join("crimes"), root.join("kernels")] {
        copy(&root, &folder, &copies, &mutants, &mut kernels);
    }
    kernels.sort();
    for (checked, variable) in [(true, "EMULATOR_CHECKED"), (false, "EMULATOR_FAST")] {
        let library = out.join(if checked { "checked.so" } else { "fast.so" });
        if linux {
            build(&here, &out, &kernels, &mutants, checked, &library);
        }
        println!("cargo:rustc-env={variable}={}", library.display());
    }
}

/// Copies the kernels below a folder, as the host compiler takes them; `kernels` gets the files that hold some.
fn copy(root: &Path, folder: &Path, copies: &Path, mutants: &[Mutant], kernels: &mut Vec<PathBuf>) {
    for path in mutants::sources(folder) {
        let place = fs::canonicalize(&path).expect("a file that was just listed");
        let place = place.strip_prefix(root).expect("a file of the repository").to_path_buf();
        let mut text = fs::read_to_string(&path).expect("kernels are UTF-8 text");
        for (number, mutant) in mutants.iter().enumerate().filter(|(_, mutant)| path.ends_with(&mutant.file))
        {
            text = text.replacen(&mutant.text, &mutant.planted(number), 1);
        }
        let to = copies.join(&place);
        fs::create_dir_all(to.parent().expect("a file lies in a folder"))
            .expect("the output folder is writable");
        fs::write(&to, format!("#line 1 \"/{}\"\n{}", place.display(), dynamic(&text)))
            .expect("the output folder is writable");
        if path.extension().is_some_and(|extension| extension == "cu") {
            kernels.push(to);
        }
    }
}

/// `extern __shared__ T name[];` is a pointer here.
fn dynamic(text: &str) -> String {
    let mut parts = text.split("extern __shared__ ");
    let mut result = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (declaration, rest) = part.split_once(';').expect("a declaration ends");
        let declaration = declaration.trim_end_matches("[]");
        // After `__align__(16)`, which the memory is anyway.
        let declaration = declaration.split_once(") ").map_or(declaration, |(_, after)| after);
        let (kind, name) = declaration.rsplit_once(' ').expect("a type and a name");
        result += &format!("{kind} *const {name} = static_cast<{kind} *>(emulator_dynamic_shared());{rest}");
    }
    result
}

fn build(here: &Path, out: &Path, sources: &[PathBuf], mutants: &[Mutant], checked: bool, library: &Path) {
    let generated = out.join(if checked { "checked.cpp" } else { "fast.cpp" });
    fs::write(&generated, unit(sources, mutants, checked)).expect("the output folder is writable");
    let root = fs::canonicalize(here.join("../..")).expect("the repository is there");
    let mut kernels = compiler(here, &root);
    kernels.include(out.join("sources/kernels"));
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
        .include(here.join("runtime/include"));
    build
}

fn run(mut command: Command) {
    let status = command.status().expect("the C++ compiler runs");
    assert!(status.success(), "linking the emulator failed: {status}");
}

/// The translation unit: every kernel file, then the tables of kernels and of planted bugs.
fn unit(sources: &[PathBuf], mutants: &[Mutant], checked: bool) -> String {
    let mut text = String::from("#include \"emulator.h\"\n");
    let mut table = String::new();
    for file in sources {
        let source = fs::read_to_string(file).expect("kernels are UTF-8 text");
        writeln!(text, "#include \"{}\"", file.display()).expect("strings take text");
        for (name, threads) in signatures(&source) {
            writeln!(table, "    kernel<&{name}>(\"{name}\", {threads}),").expect("strings take text");
        }
    }
    let names: String = mutants.iter().map(|mutant| format!("    \"{}\",\n", mutant.name)).collect();
    format!(
        "{text}namespace emulator {{\nconst Kernel kernels[] = {{\n{table}}};\n\
         const size_t kernel_count = sizeof kernels / sizeof *kernels;\nconst bool checked = {checked};\n\
         const char *const mutants[] = {{\n{names}    nullptr}};\nconst size_t mutant_count = {};\n}}\n",
        mutants.len()
    )
}

/// Name and block size of each `extern "C" __global__ void __launch_bounds__(256) name(`.
fn signatures(source: &str) -> Vec<(&str, u32)> {
    let found = source.split("extern \"C\" __global__ void __launch_bounds__(").skip(1);
    found
        .map(|rest| {
            let (threads, rest) = rest.split_once(')').expect("__launch_bounds__ is closed");
            let (name, _) = rest.split_once('(').expect("a kernel has parameters");
            let threads = threads.split(',').next().unwrap_or(threads);
            (name.trim(), threads.trim().parse().expect("__launch_bounds__ is a literal number"))
        })
        .collect()
}
