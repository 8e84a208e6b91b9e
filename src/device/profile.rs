//! Profiles: every launch with its time and bytes.

use cudarc::driver::CudaEvent;
use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// One launch of a kernel, as [`Gpu::profile`](crate::device::gpu::Gpu::profile) saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Bytes of the arrays that it was given: what it moves if it touches all of each once.
    pub bytes: usize,
    /// How long it ran, by the device's clock.
    pub milliseconds: f32,
}

/// A launch that may not have ended: the kernel's index, the bytes of its arrays, and events before and after it.
pub(super) type Seen = (usize, usize, [CudaEvent; 2]);

/// The launches since a profile began.
#[derive(Default)]
pub(super) struct Profile {
    runs: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    /// Events of profiles before: making one costs as much as a small kernel.
    events: Mutex<Vec<CudaEvent>>,
}

impl Profile {
    pub(super) fn runs(&self) -> bool {
        self.runs.load(Relaxed)
    }

    /// Whether it ran before.
    pub(super) fn set_runs(&self, runs: bool) -> bool {
        self.runs.swap(runs, Relaxed)
    }

    pub(super) fn note(&self, launch: Seen) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(launch);
    }

    /// Keeps events for others.
    pub(super) fn spare(&self, events: impl Iterator<Item = CudaEvent>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
    }

    /// An event that was kept.
    pub(super) fn spared(&self) -> Option<CudaEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Those since the last time.
    pub(super) fn take(&self) -> Vec<Seen> {
        mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
