//! Work on a thread of its own, so that the one that asked for it can let go of the interpreter, tell an observer, and
//! answer Ctrl-C at once.

use crate::error::{OrRaise, exception, invalid};
use partstad::{Error, Observer, Result, observer::Stage};
use pyo3::prelude::*;
use std::{
    mem,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// How often it is asked whether somebody pressed Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// What the thread that asked hears of the work.
enum Event<T> {
    Begins(Stage),
    Done(Result<T>),
}

/// Watches the work: hands on what happens, and stops it before its next stage.
pub struct Watch {
    begins: Box<dyn Fn(Stage) + Send + Sync>,
    cancelled: Arc<AtomicBool>,
}

impl Observer for Watch {
    fn begins(&self, stage: Stage) {
        (self.begins)(stage);
    }

    fn cancels(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || ENDING.load(Ordering::Relaxed)
    }
}

/// Does the work without the interpreter. After Ctrl-C, or an exception of the observer, this returns at once, and the
/// thread ends before its next stage.
///
/// `observer`: called with the name of every stage that begins.
pub fn run<T: Send + 'static>(
    py: Python,
    observer: Option<&Bound<PyAny>>,
    work: impl FnOnce(&Watch) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    start_threads().or_raise(py)?;
    if is_forked() {
        return Err(invalid(
            py,
            "this process was forked from one that had computed with partstad, whose threads are not here; start it by \
             multiprocessing's method spawn or forkserver, or fork before the first call",
        ));
    }
    let (sender, mut events) = mpsc::channel();
    let cancelled = Arc::new(AtomicBool::new(false));
    let busy = Busy::new();
    let watch = Watch { begins: tell(&sender), cancelled: cancelled.clone() };
    let body = move || {
        let _busy = busy;
        let done = catch_unwind(AssertUnwindSafe(|| work(&watch)));
        let done = done.unwrap_or_else(|_| Err(Error::invalid("partstad panicked; please report this")));
        // Nobody hears it after Ctrl-C.
        _ = sender.send(Event::Done(done));
    };
    let started = thread::Builder::new().name("partstad".into()).spawn(body);
    started.map_err(|e| exception(py, no_threads(&e)))?;
    loop {
        let (event, rest) = py.detach(move || (events.recv_timeout(TICK), events));
        events = rest;
        let told = match event {
            Ok(Event::Done(done)) => return done.or_raise(py),
            Ok(Event::Begins(stage)) => observer.map_or(Ok(()), |told| told.call1((stage.name(),)).map(drop)),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(exception(py, Error::Cancelled)),
        };
        if let Err(stop) = told.and_then(|()| py.check_signals()) {
            cancelled.store(true, Ordering::Relaxed);
            return Err(stop);
        }
    }
}

fn tell<T: Send + 'static>(sender: &Sender<Event<T>>) -> Box<dyn Fn(Stage) + Send + Sync> {
    let sender = Mutex::new(sender.clone());
    Box::new(move |stage| {
        _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(Event::Begins(stage));
    })
}

fn no_threads(why: &dyn std::fmt::Display) -> Error {
    Error::Memory(format!(
        "the threads to compute on do not start: {why}; raise the limits of processes and memory (ulimit -u, ulimit -v), or \
         set RAYON_NUM_THREADS"
    ))
}

/// The process whose threads compute.
static HOME: OnceLock<u32> = OnceLock::new();

/// Starts the threads of all pipelines, where an error can be told: what needs them first would panic.
fn start_threads() -> Result<()> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        HOME.get_or_init(process::id);
        rayon::ThreadPoolBuilder::new().build_global().map_err(|e| e.to_string())
    });
    started.as_ref().map_err(|why| no_threads(why)).copied()
}

/// Whether this is a fork of the process that computes: it has none of its threads.
fn is_forked() -> bool {
    HOME.get().is_some_and(|&home| home != process::id())
}

/// Threads for the calls of one pipeline, instead of those of all.
pub fn pool(threads: usize) -> Result<Option<rayon::ThreadPool>> {
    if threads == 0 {
        return Ok(None);
    }
    if threads > 1024 {
        return Err(Error::invalid(format!("threads is {threads}; at most 1024, or 0 for one a core")));
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().map(Some).map_err(|e| no_threads(&e))
}

/// What waits for threads when it is dropped, and so is not dropped where these are not.
pub struct Kept<T>(Option<T>);

impl<T> Kept<T> {
    pub fn new(value: T) -> Kept<T> {
        Kept(Some(value))
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if is_forked() {
            mem::forget(self.0.take());
        }
    }
}

/// How many threads work.
static WORKING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
/// Whether the interpreter ends.
static ENDING: AtomicBool = AtomicBool::new(false);

struct Busy;

impl Busy {
    fn new() -> Busy {
        *WORKING.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *WORKING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        WORKING.1.notify_all();
    }
}

/// Waits until no thread works any more, after Ctrl-C: the process may then end without pulling models out from under
/// them. Ctrl-C ends the wait.
#[pyfunction]
pub fn finish(py: Python) -> PyResult<()> {
    if is_forked() {
        return Ok(());
    }
    ENDING.store(true, Ordering::Relaxed);
    loop {
        let working = py.detach(|| {
            let (working, until) =
                (WORKING.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now() + TICK);
            let rest = until.saturating_duration_since(Instant::now());
            let waited = WORKING.1.wait_timeout_while(working, rest, |working| *working > 0);
            *waited.unwrap_or_else(PoisonError::into_inner).0
        });
        if working == 0 {
            return Ok(());
        }
        py.check_signals()?;
    }
}
