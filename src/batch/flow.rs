//! Reading, computing and writing at the same time: while one item is computed, the next are read and the last is written.

use crate::error::{Error, Result};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Instant,
};

/// How far the steps may run apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Threads that read.
    pub readers: usize,
    /// Threads that compute; `compute` learns which.
    pub workers: usize,
    /// Threads that write.
    pub writers: usize,
    /// Items that wait before computing, and before writing.
    pub ahead: usize,
    /// Bytes that all items under way may need together. One alone always goes.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { readers: 1, workers: 1, writers: 1, ahead: 2, memory: u64::MAX }
    }
}

/// Wall-clock seconds of one item's steps, without waiting.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Seconds {
    /// Reading.
    pub read: f64,
    /// Computing.
    pub segment: f64,
    /// Writing.
    pub write: f64,
}

/// What an item goes through.
pub trait Steps: Sync {
    /// What is worked on.
    type Item: Sync;
    /// What reading gives.
    type Read: Send;
    /// What computing gives.
    type Found: Send;
    /// What writing gives.
    type Written: Send;

    /// Reads an item.
    ///
    /// # Errors
    /// They become the item's outcome, as those of all steps.
    fn read(&self, item: &Self::Item) -> Result<Self::Read>;

    /// The bytes that the item needs from here until it is written.
    fn memory(&self, read: &Self::Read) -> u64;

    /// Computes; `worker` is below [`Options::workers`].
    fn compute(&self, worker: usize, item: &Self::Item, read: Self::Read) -> Result<Self::Found>;

    /// Writes.
    fn write(&self, item: &Self::Item, found: Self::Found) -> Result<Self::Written>;

    /// Takes note of an outcome, one at a time.
    ///
    /// # Errors
    /// They end the run.
    fn done(&self, item: &Self::Item, outcome: Result<Self::Written>, seconds: Seconds) -> Result<()>;

    /// Whether to begin no further item.
    fn stops(&self) -> bool {
        false
    }
}

/// An item on its way.
struct Parcel<'g, T> {
    index: usize,
    content: Result<T>,
    seconds: Seconds,
    /// Its share of the memory, given back when it is dropped.
    share: Option<Share<'g>>,
}

/// Takes all items through their steps. An item that fails, or panics, does not stop the others.
///
/// # Errors
/// The first of [`Steps::done`]; what was begun is finished before.
pub fn run<S: Steps>(steps: &S, items: &[S::Item], options: &Options) -> Result<()> {
    let (gate, next) = (Gate::new(options.memory), AtomicUsize::new(0));
    let broken = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let (to_compute, computing) = sync_channel(options.ahead.max(1));
    let (to_write, writing) = sync_channel(options.ahead.max(1));
    let (computing, writing) = (Mutex::new(computing), Mutex::new(writing));
    thread::scope(|scope| {
        for _ in 0..options.readers.max(1) {
            let to = to_compute.clone();
            let (gate, next, broken) = (&gate, &next, &broken);
            scope.spawn(move || {
                while !broken.load(Ordering::Relaxed) && !steps.stops() {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { break };
                    send(&to, read(steps, index, item, gate));
                }
            });
        }
        drop(to_compute);
        for worker in 0..options.workers.max(1) {
            let to = to_write.clone();
            let from = &computing;
            scope.spawn(move || {
                while let Some(parcel) = receive(from) {
                    let Parcel { index, content, mut seconds, share } = parcel;
                    let begun = Instant::now();
                    let content =
                        content.and_then(|read| guarded(|| steps.compute(worker, &items[index], read)));
                    seconds.segment = begun.elapsed().as_secs_f64();
                    send(&to, Parcel { index, content, seconds, share });
                }
            });
        }
        drop(to_write);
        for _ in 0..options.writers.max(1) {
            let (from, broken, failure) = (&writing, &broken, &failure);
            scope.spawn(move || {
                while let Some(parcel) = receive(from) {
                    let Parcel { index, content, mut seconds, share } = parcel;
                    let (item, begun) = (&items[index], Instant::now());
                    let outcome = content.and_then(|found| guarded(|| steps.write(item, found)));
                    seconds.write = begun.elapsed().as_secs_f64();
                    drop(share);
                    let mut failed = lock(failure);
                    if failed.is_none()
                        && let Err(e) = guarded(|| steps.done(item, outcome, seconds))
                    {
                        *failed = Some(e);
                        broken.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

fn read<'g, S: Steps>(steps: &S, index: usize, item: &S::Item, gate: &'g Gate) -> Parcel<'g, S::Read> {
    let begun = Instant::now();
    let content = guarded(|| steps.read(item));
    let seconds = Seconds { read: begun.elapsed().as_secs_f64(), ..Seconds::default() };
    let share = content.as_ref().ok().map(|read| gate.take(steps.memory(read)));
    Parcel { index, content, seconds, share }
}

/// A panic becomes an error of the item.
fn guarded<T>(step: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        Err(Error::invalid(format!("a fault of this program, please report it: {}", words(&*panic))))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panicked")
}

/// What a panic left behind is used on: no step is half done in it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send<T>(to: &SyncSender<T>, value: T) {
    to.send(value).expect("receivers outlive the threads that send");
}

fn receive<T>(from: &Mutex<Receiver<T>>) -> Option<T> {
    lock(from).recv().ok()
}

/// Keeps what is under way within a budget of bytes.
struct Gate {
    budget: u64,
    taken: Mutex<u64>,
    given_back: Condvar,
}

struct Share<'g> {
    gate: &'g Gate,
    bytes: u64,
}

impl Gate {
    fn new(budget: u64) -> Gate {
        Gate { budget, taken: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Waits until `bytes` are left, or nothing is under way.
    fn take(&self, bytes: u64) -> Share<'_> {
        let full = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > self.budget;
        let taken = self.given_back.wait_while(lock(&self.taken), full);
        *taken.unwrap_or_else(PoisonError::into_inner) += bytes;
        Share { gate: self, bytes }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *lock(&self.gate.taken) -= self.bytes;
        self.gate.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, time::Duration};

    /// Items that take some milliseconds each; 7 cannot be read, 11 panics, 13 cannot be written.
    #[derive(Default)]
    struct Slow {
        under_way: AtomicU64,
        most: AtomicU64,
        outcomes: Mutex<Vec<(u64, Result<u64, String>)>>,
        fails_at: Option<usize>,
    }

    impl Steps for Slow {
        type Item = u64;
        type Read = u64;
        type Found = u64;
        type Written = u64;

        fn read(&self, &item: &u64) -> Result<u64> {
            match item {
                7 => Err(Error::invalid("unreadable")),
                _ => Ok(item),
            }
        }

        fn memory(&self, _: &u64) -> u64 {
            let now = self.under_way.fetch_add(1, Ordering::SeqCst);
            // Called before the share is taken: up to one reader waits.
            self.most.fetch_max(now, Ordering::SeqCst);
            10
        }

        fn compute(&self, _: usize, &item: &u64, read: u64) -> Result<u64> {
            thread::sleep(Duration::from_millis(2));
            assert!(item != 11, "eleven");
            Ok(read * read)
        }

        fn write(&self, &item: &u64, found: u64) -> Result<u64> {
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if item == 13 { Err(Error::invalid("a full disk")) } else { Ok(found) }
        }

        fn done(&self, &item: &u64, outcome: Result<u64>, _: Seconds) -> Result<()> {
            let mut outcomes = lock(&self.outcomes);
            if self.fails_at == Some(outcomes.len()) {
                return Err(Error::invalid("no journal"));
            }
            outcomes.push((item, outcome.map_err(|e| e.to_string())));
            Ok(())
        }
    }

    #[test]
    fn every_item_has_one_outcome_whatever_the_others_do() {
        let items: Vec<u64> = (0..40).collect();
        for (readers, workers, writers, ahead) in [(1, 1, 1, 1), (2, 3, 2, 2), (4, 1, 3, 8)] {
            let slow = Slow::default();
            let options = Options { readers, workers, writers, ahead, memory: u64::MAX };
            run(&slow, &items, &options).unwrap();
            let mut outcomes = slow.outcomes.into_inner().unwrap();
            outcomes.sort_by_key(|outcome| outcome.0);
            assert_eq!(outcomes.iter().map(|outcome| outcome.0).collect::<Vec<_>>(), items);
            for (item, outcome) in outcomes {
                match item {
                    7 => assert_eq!(outcome, Err("unreadable".into())),
                    11 => assert!(outcome.unwrap_err().contains("eleven")),
                    13 => assert_eq!(outcome, Err("a full disk".into())),
                    _ => assert_eq!(outcome, Ok(item * item)),
                }
            }
        }
    }

    #[test]
    fn memory_bounds_what_is_under_way() {
        let items: Vec<u64> = (20..60).collect();
        let most = |memory| {
            let slow = Slow::default();
            run(&slow, &items, &Options { readers: 3, ahead: 8, memory, ..Options::default() }).unwrap();
            assert_eq!(slow.outcomes.into_inner().unwrap().len(), 40);
            slow.most.into_inner()
        };
        assert!(most(25) <= 2 + 3, "two items fit, and each of three readers may hold one");
        assert!(most(5) <= 1 + 3, "one goes, however little there is");
        assert!(most(u64::MAX) > 5);
    }

    #[test]
    fn without_a_journal_nothing_goes_on() {
        let items: Vec<u64> = (20..1000).collect();
        let slow = Slow { fails_at: Some(3), ..Slow::default() };
        assert_eq!(run(&slow, &items, &Options::default()).unwrap_err().to_string(), "no journal");
        assert_eq!(slow.outcomes.into_inner().unwrap().len(), 3);
        assert!(slow.under_way.into_inner() < 10, "no further item is begun");
    }
}
