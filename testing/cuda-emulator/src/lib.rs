//! Runs the project's CUDA kernels on the CPU, behind the CUDA driver API. See the README beside this crate.
//!
//! Tests call [`install`] before anything of CUDA.
#![deny(missing_docs)]

use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// What the CUDA calls of this process reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpu {
    /// The driver of a real GPU.
    Real,
    /// The emulator. Results from it are to be called emulated.
    Emulated,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Gpu::Real => "real",
            Gpu::Emulated => "emulated",
        })
    }
}

static INSTALLED: OnceLock<(Gpu, Option<Library>)> = OnceLock::new();

/// Puts the emulator in the driver's place where there is no GPU, and says which of the two CUDA calls will reach.
///
/// The environment may choose: `PARTSTAD_TEST_GPU` is `auto` (the default), `real` or `emulated`, and
/// `PARTSTAD_EMULATOR` is `checked` (the default) or `fast`. To be called before the first call of CUDA; calls after
/// the first return the same.
///
/// # Panics
/// If a variable has another value, if a real GPU is asked for and there is none, or if the emulator cannot be loaded.
pub fn install() -> Gpu {
    INSTALLED
        .get_or_init(|| match choice("PARTSTAD_TEST_GPU", ["auto", "real", "emulated"]) {
            "real" if !real_gpu() => panic!("PARTSTAD_TEST_GPU=real, but no driver here has a GPU"),
            "auto" | "real" if real_gpu() => (Gpu::Real, None),
            _ => (Gpu::Emulated, Some(load())),
        })
        .0
}

/// Puts the emulator in the driver's place, whatever GPU there is: for the emulator's own tests. To be called before the first
/// call of CUDA.
pub fn emulate() {
    INSTALLED.get_or_init(|| (Gpu::Emulated, Some(load())));
}

/// Number of device allocations that live now, in this process; `None` on a real GPU.
pub fn live_allocations() -> Option<usize> {
    let count = symbol::<unsafe extern "C" fn() -> usize>(c"emulator_live_allocations")?;
    // SAFETY: it only counts.
    Some(unsafe { count() })
}

/// What [`fail`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Calls of this thread that a driver may refuse.
    pub calls: u64,
    /// Name of the one that failed.
    pub failed: Option<String>,
}

/// Runs `work`, in which call `at` of this thread, counted from 0, fails with CUDA's error `code`; those that give back do
/// not count. An `at` beyond all of them only counts. None on a real GPU, where `work` does not run.
pub fn fail<T>(at: u64, code: i32, work: impl FnOnce() -> T) -> Option<(T, Faults)> {
    let begin = symbol::<unsafe extern "C" fn(u64, c_int)>(c"emulator_fail")?;
    let end = symbol::<unsafe extern "C" fn(*mut *const c_char) -> u64>(c"emulator_failed")?;
    // SAFETY: it notes two numbers.
    unsafe { begin(at, code) };
    let done = work();
    let mut name = std::ptr::null();
    // SAFETY: it writes one pointer, which is null or that of a text that lives for ever.
    let calls = unsafe { end(&mut name) };
    // SAFETY: as above.
    let text = |name: *const c_char| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    Some((done, Faults { calls, failed: (!name.is_null()).then(|| text(name)) }))
}

/// How often this thread made a call of the driver, by its name without a version (`cuLaunchKernel`), so far; `None` on a
/// real GPU.
pub fn called(name: &CStr) -> Option<u64> {
    let count = symbol::<unsafe extern "C" fn(*const c_char) -> u64>(c"emulator_called")?;
    // SAFETY: it reads a text that ends in 0.
    Some(unsafe { count(name.as_ptr()) })
}

/// The words of 32 bits that the warps of a kernel showed each other since this was last asked, by shuffles, matches and
/// reductions: each is one instruction of a warp, or more. `None` on a real GPU.
pub fn exchanges(kernel: &CStr) -> Option<u64> {
    let count = symbol::<unsafe extern "C" fn(*const c_char) -> u64>(c"emulator_exchanges")?;
    // SAFETY: it reads a text that ends in 0.
    Some(unsafe { count(kernel.as_ptr()) })
}

/// Bytes that were copied between host and device on one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfers {
    /// From the host.
    pub to_device: u64,
    /// To the host.
    pub to_host: u64,
}

/// What was copied on a stream since it was made; `None` on a real GPU. `stream`: the address that is the driver's handle.
pub fn transfers(stream: usize) -> Option<Transfers> {
    type Function = unsafe extern "C" fn(usize, *mut u64, *mut u64);
    let read = symbol::<Function>(c"emulator_transfers")?;
    let mut found = Transfers::default();
    // SAFETY: it writes two numbers, and looks the handle up without following it.
    unsafe { read(stream, &mut found.to_device, &mut found.to_host) };
    Some(found)
}

/// Sectors of 32 bytes that a kernel's warps moved in counted blocks, against those they needed at the least: the
/// distinct bytes of each access of a warp, packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Name of the kernel.
    pub kernel: String,
    /// Needed and moved by loads.
    pub loads: (u64, u64),
    /// Needed and moved by stores.
    pub stores: (u64, u64),
}

/// Starts counting sectors, in the checked emulator: those of eight blocks or so of every launch, always the same.
pub fn count_sectors() {
    if let Some(count) = symbol::<unsafe extern "C" fn()>(c"emulator_count_sectors") {
        // SAFETY: it sets a flag.
        unsafe { count() }
    }
}

/// What each kernel has moved since [`count_sectors`], by name. Atomics are not counted.
pub fn sectors() -> Vec<Traffic> {
    let Some(write) = symbol::<unsafe extern "C" fn(*mut u8, usize) -> usize>(c"emulator_sectors") else {
        return vec![];
    };
    let mut text = vec![0; 1 << 20];
    // SAFETY: it writes no more than it is given room for.
    let length = unsafe { write(text.as_mut_ptr(), text.len()) };
    text.truncate(length);
    let line = |line: &str| {
        let (kernel, numbers) = line.split_once(' ')?;
        let n: Vec<u64> = numbers.split(' ').map_while(|n| n.parse().ok()).collect();
        Some(Traffic { kernel: kernel.into(), loads: (n[0], n[1]), stores: (n[2], n[3]) })
    };
    String::from_utf8_lossy(&text).lines().filter_map(line).collect()
}

/// A function of the emulator, if it is what was installed. `T` is to be its type.
fn symbol<T: Copy>(name: &CStr) -> Option<T> {
    let (_, library) = INSTALLED.get()?;
    // SAFETY: the callers name the functions' own types.
    unsafe { library.as_ref()?.get::<T>(name).map(|symbol| *symbol).ok() }
}

fn load() -> Library {
    let path = match choice("PARTSTAD_EMULATOR", ["checked", "fast"]) {
        "fast" => env!("EMULATOR_FAST"),
        _ => env!("EMULATOR_CHECKED"),
    };
    // SAFETY: the library is ours; nothing happens when it is loaded.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.unwrap_or_else(|_| {
        panic!("the CUDA emulator is not where it was built; run the tests where they were built")
    })
}

fn choice<const N: usize>(variable: &str, values: [&'static str; N]) -> &'static str {
    let Ok(asked) = std::env::var(variable) else { return values[0] };
    let found = values.into_iter().find(|value| *value == asked);
    found.unwrap_or_else(|| panic!("{variable} is `{asked}`; it can be one of {values:?}"))
}

/// Whether a driver is here and has a device. A driver without one is unloaded again.
fn real_gpu() -> bool {
    // SAFETY: the two functions have these types in every driver.
    unsafe {
        let Ok(driver) = Library::new("libcuda.so.1") else { return false };
        let Ok(init) = driver.get::<unsafe extern "C" fn(u32) -> c_int>(c"cuInit") else { return false };
        let Ok(count) = driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(c"cuDeviceGetCount") else {
            return false;
        };
        let mut devices = 0;
        let found = init(0) == 0 && count(&mut devices) == 0 && devices > 0;
        if found {
            // A driver that has begun stays.
            std::mem::forget(driver);
        }
        found
    }
}
