//! How many images or boxes go through a model in one run.

use crate::{
    error::{Error, Result},
    observer::step,
};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// What is known about how many items a model takes at once, where the caller leaves it to us.
#[derive(Debug)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub(super) struct Batch {
    /// What the items are, for those who wait.
    noun: &'static str,
    /// Where the model computes on the CPU.
    few: usize,
    /// The most on a device, however much memory it has.
    most: usize,
    /// Bytes that a run on a device may take; none = what is free.
    memory: Option<u64>,
    /// What earlier runs showed to fit.
    fits: Mutex<Option<usize>>,
}

impl Batch {
    pub(super) fn new(noun: &'static str, few: usize, most: usize, memory: Option<u64>) -> Batch {
        Batch { noun, few, most, memory, fits: Mutex::default() }
    }

    /// Hands `items` to `run` in order, `asked` at a time; 0 = as many as suit a CPU. See [`in_runs`].
    pub(super) fn on_cpu(
        &self,
        items: Range<usize>,
        asked: usize,
        run: impl FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let mut size = if asked == 0 { self.few } else { asked };
        in_runs(self.noun, items, &mut size, || Ok(false), run)
    }

    /// Hands `items` to `run` in order, `asked` at a time; 0 = as many as the device's memory holds, which the first run,
    /// of one item, shows by the memory that it leaves taken. `trimmed`: gives back what nobody uses, and says how many
    /// bytes are free once all runs are done. See [`in_runs`].
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub(super) fn on_device(
        &self,
        items: Range<usize>,
        asked: usize,
        trimmed: impl Fn() -> Result<u64>,
        mut run: impl FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let fits = || self.fits.lock().unwrap_or_else(PoisonError::into_inner);
        let make_room = || trimmed().map(|_| true);
        if asked > 0 || items.is_empty() {
            let mut size = asked;
            return in_runs(self.noun, items, &mut size, make_room, run);
        }
        let (mut size, mut rest) = (*fits(), items.clone());
        if size.is_none() {
            let before = trimmed()?;
            rest.start += 1;
            run(items.start..rest.start)?;
            let after = trimmed()?;
            let taken = before.saturating_sub(after);
            // A tenth is left to others.
            let room = self.memory.unwrap_or(after / 10 * 9);
            size = Some(fitting(room, taken, self.most));
            tracing::debug!("one item took {} MiB; {size:?} at once", taken >> 20);
        }
        let mut size = size.unwrap_or(1);
        let done = in_runs(self.noun, rest, &mut size, make_room, run);
        *fits() = Some(size);
        done
    }
}

/// How many items of `each` bytes fit into `room`: at least one, at most `most`.
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
fn fitting(room: u64, each: u64, most: usize) -> usize {
    room.checked_div(each).map_or(most, |fit| fit.clamp(1, most as u64) as usize)
}

/// Hands `items` to `run` in order, at most `size` at a time (0 counts as 1). A run for which memory does not suffice is
/// tried again if `make_room` says so, then with half as many, which `size` is from then on; one item that does not fit is
/// an error.
fn in_runs(
    noun: &str,
    items: Range<usize>,
    size: &mut usize,
    make_room: impl Fn() -> Result<bool>,
    mut run: impl FnMut(Range<usize>) -> Result<()>,
) -> Result<()> {
    let (mut next, mut made_room) = (items.start, false);
    while next < items.end {
        let end = items.end.min(next + (*size).max(1));
        step!("{noun} {end} of {}", items.end);
        match run(next..end) {
            Ok(()) => next = end,
            Err(Error::Memory(why)) => {
                if !made_room && make_room()? {
                    made_room = true;
                    tracing::debug!("{why}; trying again, with what nobody uses given back");
                } else if end - next > 1 {
                    *size = (end - next) / 2;
                    tracing::warn!("{why}; trying again with {} at once", *size);
                } else {
                    return Err(Error::Memory(why));
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn no_room() -> Result<bool> {
        Ok(false)
    }

    #[test]
    fn runs_cover_all_items_in_order() {
        for (size, expected) in [(0, 5), (1, 5), (2, 3), (5, 1), (9, 1)] {
            let mut seen = vec![];
            let mut runs = 0;
            let run = |items: Range<usize>| {
                seen.extend(items);
                runs += 1;
                Ok(())
            };
            in_runs("view", 2..7, &mut { size }, no_room, run).unwrap();
            assert_eq!((seen, runs), (vec![2, 3, 4, 5, 6], expected), "{size} at once");
        }
    }

    #[test]
    fn what_does_not_fit_is_halved_and_stays_so() {
        let (mut size, mut runs) = (10, vec![]);
        let mut run = |items: Range<usize>| match items.len() {
            0..=2 => {
                runs.push(items);
                Ok(())
            }
            _ => Err(Error::Memory("full".into())),
        };
        in_runs("view", 0..10, &mut size, no_room, &mut run).unwrap();
        assert_eq!((size, runs.len(), &runs[0], &runs[4]), (2, 5, &(0..2), &(8..10)));
        let error =
            in_runs("view", 0..3, &mut 3, no_room, |_| Err(Error::Memory("full of one".into()))).unwrap_err();
        assert_eq!(error.to_string(), "full of one");
        let error =
            in_runs("view", 0..3, &mut 3, no_room, |_| Err(Error::Model("broken".into()))).unwrap_err();
        assert_eq!(error.to_string(), "broken", "only memory is worth another try");
    }

    #[test]
    fn room_is_made_before_less_is_tried() {
        let (mut size, room) = (4, Cell::new(2));
        let mut runs = vec![];
        let run = |items: Range<usize>| {
            runs.push(items.len());
            if items.len() > room.get() { Err(Error::Memory("full".into())) } else { Ok(()) }
        };
        let make_room = || Ok(room.replace(3) < 3);
        in_runs("view", 0..6, &mut size, make_room, run).unwrap();
        assert_eq!((runs, size), (vec![4, 4, 2, 2, 2], 2), "room for three is made, which four do not fit");
        let (mut runs, room) = (vec![], Cell::new(2));
        let run = |items: Range<usize>| {
            runs.push(items.len());
            if items.len() > room.get() { Err(Error::Memory("full".into())) } else { Ok(()) }
        };
        in_runs("view", 0..6, &mut 4, || Ok(room.replace(4) < 4), run).unwrap();
        assert_eq!(runs, [4, 4, 2], "room for four is enough");
    }

    #[test]
    fn as_many_as_fit() {
        assert_eq!([fitting(100, 30, 10), fitting(100, 300, 10), fitting(100, 1, 10)], [3, 1, 10]);
        assert_eq!(fitting(100, 0, 10), 10, "what takes nothing is left to the device to refuse");
    }

    #[test]
    fn the_first_item_is_measured_and_the_batch_remembered() {
        const EACH: u64 = 1 << 20;
        let batch = Batch::new("view", 1, 10, Some(4 * EACH + 5));
        let (arena, mut runs) = (Cell::new(0), vec![]);
        let mut detect = |asked, items| {
            let free = || Ok(100 * EACH - arena.get());
            batch.on_device(items, asked, free, |some: Range<usize>| {
                arena.set(arena.get().max(some.len() as u64 * EACH));
                runs.push(some.len());
                Ok(())
            })
        };
        detect(0, 0..10).unwrap();
        detect(0, 0..10).unwrap();
        detect(7, 0..10).unwrap();
        detect(0, 0..0).unwrap();
        assert_eq!(runs, [1, 4, 4, 1, 4, 4, 2, 7, 3]);
    }
}
