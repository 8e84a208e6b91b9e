//! What a caller learns of a call, and how it stops one.

use crate::status::string;
use rust::{Observer, observer::Stage};
use std::ffi::{c_char, c_int, c_void};

/// Watches one call. Each function may be NULL. All are called by the thread that made the call, before it returns.
/// They must not throw or jump out; the process is aborted then. The texts live as long as the function runs.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct partstad_observer {
    /// Handed to every function.
    pub user: *mut c_void,
    /// A stage begins: "superpoints", "views", "boxes", "masks", "evidence", "memberships", "weights", "scores",
    /// "labels" or "instances".
    pub begins: Option<unsafe extern "C-unwind" fn(user: *mut c_void, stage: *const c_char)>,
    /// Something that is no error, but that the caller should know; the result holds it too.
    pub warns: Option<unsafe extern "C-unwind" fn(user: *mut c_void, warning: *const c_char)>,
    /// Asked before every stage: any value but 0 stops the work, and the call returns `PARTSTAD_CANCELLED`.
    pub cancels: Option<unsafe extern "C-unwind" fn(user: *mut c_void) -> c_int>,
}

// SAFETY: the pipeline calls its observer on the thread that the caller called on, as the header promises.
unsafe impl Sync for partstad_observer {}

impl Observer for partstad_observer {
    fn begins(&self, stage: Stage) {
        if let Some(begins) = self.begins {
            // SAFETY: the caller's function, and what it asked for.
            unsafe { begins(self.user, string(stage.name()).as_ptr()) }
        }
    }

    fn warns(&self, warning: &str) {
        if let Some(warns) = self.warns {
            // SAFETY: the caller's function, and what it asked for.
            unsafe { warns(self.user, string(warning).as_ptr()) }
        }
    }

    fn cancels(&self) -> bool {
        // SAFETY: the caller's function, and what it asked for.
        self.cancels.is_some_and(|cancels| unsafe { cancels(self.user) != 0 })
    }
}

/// The caller's observer, or one that watches nothing.
pub fn or_none(observer: Option<&partstad_observer>) -> &dyn Observer {
    observer.map_or(&(), |observer| observer)
}
