//! Versions, status codes, and the message of the last failure.

use rust::{Error, Result};
use std::{
    any::Any,
    cell::RefCell,
    ffi::{CStr, CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The version of this interface. It changes when a program that was compiled against another one would break.
pub const PARTSTAD_ABI: u32 = 1;

/// The version of the interface that the library was built with; compare it with `PARTSTAD_ABI` when a library was
/// loaded that the program was not linked with.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_abi() -> u32 {
    PARTSTAD_ABI
}

/// The version of the library, such as "0.1.0". Never freed.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => panic!("a version has no zero byte"),
        };
    VERSION.as_ptr()
}

/// How a call ended.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum partstad_status {
    /// Done.
    PARTSTAD_OK = 0,
    /// A file could not be opened, read or written.
    PARTSTAD_IO = 1,
    /// A file's content is not what its format asks for.
    PARTSTAD_FORMAT = 2,
    /// An argument or an option is outside what the call accepts.
    PARTSTAD_INVALID = 3,
    /// A model or ONNX Runtime cannot be used.
    PARTSTAD_MODEL = 4,
    /// The device cannot be used.
    PARTSTAD_DEVICE = 5,
    /// There is not enough memory.
    PARTSTAD_MEMORY = 6,
    /// The observer stopped the work.
    PARTSTAD_CANCELLED = 7,
    /// A bug of the library. Free the handles that the call was given, and report the message.
    PARTSTAD_BUG = 8,
}

use partstad_status::*;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// What the last call of this thread that failed has to say: what went wrong, the value found and what to do about it,
/// in UTF-8. Empty if none has failed. Valid until the next call of this thread fails.
#[unsafe(no_mangle)]
pub extern "C" fn partstad_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs what a call does: an error becomes its status and this thread's message, and so does a panic.
pub fn guard(work: impl FnOnce() -> Result<()>) -> partstad_status {
    let (status, message) = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return PARTSTAD_OK,
        Ok(Err(error)) => (status(&error), error.to_string()),
        Err(panic) => (PARTSTAD_BUG, format!("a bug of partstad: {}; please report it", said(&*panic))),
    };
    _ = LAST.try_with(|last| *last.borrow_mut() = string(&message));
    status
}

/// Frees a handle, if there is one.
pub fn free<T>(handle: Option<Box<T>>) {
    guard(|| {
        drop(handle);
        Ok(())
    });
}

fn status(error: &Error) -> partstad_status {
    match error {
        Error::Io { .. } => PARTSTAD_IO,
        Error::Format { .. } => PARTSTAD_FORMAT,
        Error::Invalid(_) => PARTSTAD_INVALID,
        Error::Model(_) => PARTSTAD_MODEL,
        Error::Device(_) => PARTSTAD_DEVICE,
        Error::Memory(_) => PARTSTAD_MEMORY,
        Error::Cancelled => PARTSTAD_CANCELLED,
        _ => PARTSTAD_BUG,
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a panic without words",
    }
}

/// A text as C has it; zero bytes become U+FFFD.
pub fn string(text: &str) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the message is a string that lives until the next failure.
        unsafe { CStr::from_ptr(partstad_last_error()) }.to_string_lossy().into_owned()
    }

    #[test]
    fn failures_have_a_status_and_words() {
        assert_eq!(guard(|| Ok(())), PARTSTAD_OK);
        assert_eq!(last(), "");
        assert_eq!(guard(|| Err(Error::invalid("3 \0 wheels"))), PARTSTAD_INVALID);
        assert_eq!(last(), "3 \u{fffd} wheels");
        assert_eq!(guard(|| Ok(())), PARTSTAD_OK);
        assert_eq!(last(), "3 \u{fffd} wheels", "until the next failure");
        std::thread::scope(|scope| scope.spawn(|| assert_eq!(last(), "")).join().unwrap());
    }

    #[test]
    fn a_panic_does_not_cross() {
        assert_eq!(guard(|| panic!("the {} is loose", "wheel")), PARTSTAD_BUG);
        assert!(last().contains("the wheel is loose"));
        let of_a_worker = || {
            rayon::join(|| panic!("no leg"), || ());
            Ok(())
        };
        assert_eq!(guard(of_a_worker), PARTSTAD_BUG);
        assert!(last().contains("no leg"));
    }
}
