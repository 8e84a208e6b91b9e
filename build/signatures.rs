//! Reads the signatures of the kernels from their sources, and writes the Rust function that launches each.

use std::fmt::Write;

/// A kernel as its source declares it.
pub struct Kernel {
    pub name: String,
    /// The source that holds it: what profilers call the range of its launch.
    pub group: String,
    /// The comment above it.
    pub comment: Vec<String>,
    /// Threads of a block, from `__launch_bounds__`.
    pub block: u32,
    /// Its blocks wait for each other.
    pub cooperative: bool,
    pub pointers: Vec<Pointer>,
    /// The structure passed by value, and its parameter's name.
    pub scalars: Option<(String, String)>,
}

pub struct Pointer {
    pub name: String,
    pub element: &'static str,
    pub mutable: bool,
}

impl Pointer {
    /// Its name says so.
    fn may_be_null(&self) -> bool {
        self.name.ends_with("_or_null")
    }
}

/// A structure that travels by value.
pub struct Scalars {
    pub name: String,
    pub fields: Vec<(String, &'static str)>,
}

const TYPES: [(&str, &str); 9] = [
    ("float", "f32"),
    ("double", "f64"),
    ("int32_t", "i32"),
    ("uint32_t", "u32"),
    ("int64_t", "i64"),
    ("uint64_t", "u64"),
    ("uint8_t", "u8"),
    ("uint16_t", "u16"),
    ("__half", "half::f16"),
];

fn rust_type(c: &str) -> Option<&'static str> {
    TYPES.iter().find(|(name, _)| *name == c).map(|&(_, rust)| rust)
}

/// The kernels of one source and the structures that they take; `group`: the source's name.
pub fn parse(group: &str, source: &str) -> Result<(Vec<Kernel>, Vec<Scalars>), String> {
    let mut kernels = vec![];
    let mut scalars: Vec<Scalars> = vec![];
    for (at, _) in source.match_indices("extern \"C\" __global__") {
        let (head, rest) = source[at..].split_once('{').ok_or("a kernel has no body")?;
        let mut kernel = kernel(head).map_err(|why| format!("{}: {why}", head.replace('\n', " ")))?;
        let body = rest.split_once("\n}").map_or(rest, |(body, _)| body);
        kernel.cooperative = body.contains("this_grid()");
        kernel.group = group.to_string();
        kernel.comment = comment_above(&source[..at]);
        if let Some((name, _)) = &kernel.scalars
            && !scalars.iter().any(|s| s.name == *name)
        {
            scalars.push(structure(source, name)?);
        }
        kernels.push(kernel);
    }
    Ok((kernels, scalars))
}

fn kernel(head: &str) -> Result<Kernel, String> {
    let bounds = head.split_once("__launch_bounds__(").ok_or("no __launch_bounds__")?.1;
    let (block, rest) = bounds.split_once(')').ok_or("__launch_bounds__ is not closed")?;
    let block = block.split(',').next().unwrap_or(block);
    let block = block.trim().parse().map_err(|_| "__launch_bounds__ does not begin with a literal number")?;
    let (name, parameters) = rest.split_once('(').ok_or("no parameters")?;
    let parameters = parameters.rsplit_once(')').ok_or("the parameters are not closed")?.0;
    let mut kernel = Kernel {
        name: name.trim().to_string(),
        group: String::new(),
        comment: vec![],
        block,
        cooperative: false,
        pointers: vec![],
        scalars: None,
    };
    for parameter in parameters.split(',') {
        if kernel.scalars.is_some() {
            return Err("the structure must be the last parameter".into());
        }
        let spaced = parameter.replace('*', " * ");
        let mut words: Vec<&str> = spaced.split_whitespace().filter(|word| *word != "__restrict__").collect();
        let name = words.pop().ok_or("an empty parameter")?.to_string();
        let constant = words.first() == Some(&"const");
        match &words[constant as usize..] {
            [element, "*"] => {
                let element = rust_type(element).ok_or(format!("type {element} is not supported"))?;
                let pointer = Pointer { name, element, mutable: !constant };
                if pointer.mutable && pointer.may_be_null() {
                    return Err(format!("{} may be null, and so must be const", pointer.name));
                }
                kernel.pointers.push(pointer);
            }
            [structure] if structure.ends_with("Dims") => {
                kernel.scalars = Some((structure.to_string(), name));
            }
            _ => return Err(format!("parameter {:?} is neither a pointer nor a ...Dims", parameter.trim())),
        }
    }
    Ok(kernel)
}

fn structure(source: &str, name: &str) -> Result<Scalars, String> {
    let start = format!("struct {name} {{");
    let body = source.split_once(&start).ok_or(format!("no `{start}` in the same file"))?.1;
    let body = body.split_once("};").ok_or(format!("struct {name} is not closed"))?.0;
    let code: String = body.lines().map(|line| line.split("//").next().unwrap_or("")).collect();
    let mut fields = vec![];
    for declaration in code.split(';').map(str::trim).filter(|d| !d.is_empty()) {
        let (c, names) = declaration.split_once(' ').ok_or(format!("{name}: {declaration:?}"))?;
        let rust = rust_type(c).ok_or(format!("{name}: type {c} is not supported"))?;
        fields.extend(names.split(',').map(|field| (field.trim().to_string(), rust)));
    }
    Ok(Scalars { name: name.into(), fields })
}

/// The lines of the comment that ends right above.
fn comment_above(before: &str) -> Vec<String> {
    let lines = before.lines().rev().take_while(|line| line.trim_start().starts_with("//"));
    let mut lines: Vec<String> =
        lines.map(|line| line.trim_start().trim_start_matches('/').to_string()).collect();
    lines.reverse();
    lines
}

/// The Rust side: a structure per `...Dims`, a function per kernel, and the table of all kernels.
pub fn generate(kernels: &[Kernel], scalars: &[Scalars]) -> String {
    let mut out = String::new();
    for Scalars { name, fields } in scalars {
        writeln!(out, "/// What a kernel must know beside its buffers.").unwrap();
        writeln!(out, "#[repr(C)]\n#[derive(Debug, Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]")
            .unwrap();
        writeln!(out, "#[allow(missing_docs)]\npub struct {name} {{").unwrap();
        for (field, rust) in fields {
            writeln!(out, "    pub {field}: {rust},").unwrap();
        }
        writeln!(out, "}}\n").unwrap();
    }
    for (index, kernel) in kernels.iter().enumerate() {
        launch(&mut out, index, kernel);
    }
    writeln!(out, "/// Name, threads a block, and whether its blocks wait for each other, of every kernel.")
        .unwrap();
    writeln!(out, "pub const KERNELS: &[(&str, u32, bool)] = &[").unwrap();
    for Kernel { name, block, cooperative, .. } in kernels {
        writeln!(out, "    ({name:?}, {block}, {cooperative}),").unwrap();
    }
    writeln!(out, "];").unwrap();
    out
}

fn launch(out: &mut String, index: usize, kernel: &Kernel) {
    let Kernel { name, group, comment, block, cooperative, pointers, scalars } = kernel;
    let most = if *cooperative { ", or on as many as the device holds, if these are fewer" } else { "" };
    writeln!(out, "/// Launches `{name}` on `grid` blocks of {block} threads{most}.\n///\n/// ```text")
        .unwrap();
    for line in comment {
        writeln!(out, "///{line}").unwrap();
    }
    writeln!(out, "/// ```").unwrap();
    writeln!(out, "#[allow(clippy::too_many_arguments)]").unwrap();
    write!(out, "pub(crate) fn {name}(gpu: &Gpu, grid: [u32; 3]").unwrap();
    for pointer in pointers {
        let Pointer { name, element, mutable } = pointer;
        match (pointer.may_be_null(), mutable) {
            (true, _) => write!(out, ", {name}: Option<&crate::device::gpu::Buffer<{element}>>"),
            (_, true) => write!(out, ", {name}: &mut impl DevicePtrMut<{element}>"),
            (_, false) => write!(out, ", {name}: &impl DevicePtr<{element}>"),
        }
        .unwrap();
    }
    if let Some((structure, name)) = scalars {
        write!(out, ", {name}: {structure}").unwrap();
    }
    writeln!(out, ") -> Result<()> {{").unwrap();
    writeln!(out, "    let _range = tracing::debug_span!(target: \"partstad\", {group:?}).entered();")
        .unwrap();
    let bytes = |pointer: &Pointer| {
        let Pointer { name, element, .. } = pointer;
        match pointer.may_be_null() {
            true => format!("{name}.map_or(0, |b| b.len() * size_of::<{element}>())"),
            false => format!("{name}.len() * size_of::<{element}>()"),
        }
    };
    let bytes: Vec<String> = pointers.iter().map(bytes).collect();
    writeln!(out, "    let bytes = {};", if bytes.is_empty() { "0".into() } else { bytes.join(" + ") })
        .unwrap();
    for (i, pointer) in pointers.iter().enumerate() {
        let Pointer { name, mutable, .. } = pointer;
        let method = if *mutable { "device_ptr_mut" } else { "device_ptr" };
        match pointer.may_be_null() {
            true => writeln!(
                out,
                "    let ({name}, _sync{i}) = {name}.map(|b| b.device_ptr(gpu.stream())).unzip();\n    \
                 let {name} = {name}.unwrap_or_default();"
            ),
            false => writeln!(out, "    let ({name}, _sync{i}) = {name}.{method}(gpu.stream());"),
        }
        .unwrap();
    }
    let all = pointers.iter().map(|p| &p.name).chain(scalars.iter().map(|(_, name)| name));
    let arguments: Vec<String> = all.map(|name| format!("&raw const {name} as *mut c_void")).collect();
    writeln!(out, "    let mut arguments = [{}];", arguments.join(", ")).unwrap();
    writeln!(
        out,
        "    // SAFETY: the arguments have the number, order and types of the kernel's parameters; the operation that calls has \
         checked that the buffers are as long as its comment says."
    )
    .unwrap();
    writeln!(out, "    unsafe {{ gpu.launch({index}, grid, bytes, &mut arguments) }}\n}}\n").unwrap();
}
